"""Ways to put weights on cells, and inputs on word lines, through whole layers and networks."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.chip import Array, Chip, preset
from spicesim.crossbar import Crossbar
from spicesim.engine import ExactEngine, IdealEngine
from spicesim.errors import MappingError, NetworkError
from spicesim.mapping import MappingOptions, decode_outputs, map_weights
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.predistortion import predistort
from spicesim.network.pulses import AT_ONCE, Digits

RANGE = (1e-6, 51e-6)
FINE = preset("gf180-1t1r").changed(array={"rows": 24, "columns": 33}, dac={"bits": 16}, adc={"bits": 16})
DIGITS = load_digits()
WAYS = {
    "differential": {},
    "reference": {"mapping": MappingOptions(signs="reference")},
    "offset": {"mapping": MappingOptions(signs="offset")},
    "one scale a tile": {"mapping": MappingOptions(scale="tile")},
    "one scale a layer": {"mapping": MappingOptions(scale="layer")},
    "slices": {"mapping": MappingOptions(slices=4, cell_bits=4)},
    "slices with a reference": {"mapping": MappingOptions(signs="reference", slices=2, cell_bits=8)},
    "slices with an offset": {"mapping": MappingOptions(signs="offset", slices=2, cell_bits=8)},
    "serial inputs": {"input_digit": 1},
    "inputs of four bits at a time": {"input_digit": 4},
    "serial inputs with an offset": {"mapping": MappingOptions(signs="offset"), "input_digit": 1},
    "serial inputs, sliced weights, a reference, an input scale a vector": {
        "mapping": MappingOptions(signs="reference", slices=2, cell_bits=8), "input_digit": 1, "input_scale": "vector",
    },
}  # fmt: skip


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def test_a_reference_column_holds_the_middle_and_is_subtracted():
    options = MappingOptions(signs="reference")
    (tile,) = map_weights([[0.5, -1.0], [2.0, 0.0]], Array(rows=4, columns=4), RANGE, name="fc", options=options)
    np.testing.assert_allclose(tile.g, [[38.5e-6, 51e-6, 26e-6], [1e-6, 26e-6, 26e-6]], rtol=1e-12)
    np.testing.assert_allclose(tile.weights, [[0.5, 2], [-1, 0]], atol=1e-12)
    assert [tile.whose(j) for j in range(3)] == [(0, 1, 0), (1, 1, 0), (None, -1, 0)]


def test_an_offset_is_subtracted_digitally():
    options = MappingOptions(signs="offset")
    (tile,) = map_weights([[0.5, -1.0]], Array(rows=4, columns=1), RANGE, name="fc", options=options)
    volts_in = np.array([[0.1, 0.2]])
    y = decode_outputs(1e4 * volts_in @ tile.g, tile, r_feedback=1e4, volts_per_input=0.1, volts_in=volts_in)
    np.testing.assert_allclose(y, [[0.5 - 2.0]], rtol=1e-12)
    with pytest.raises(MappingError, match="give volts_in"):
        decode_outputs(1e4 * volts_in @ tile.g, tile, r_feedback=1e4, volts_per_input=0.1)


def test_slices_hold_the_digits_of_a_weight_the_least_significant_first():
    options = MappingOptions(slices=2, cell_bits=2)
    (tile,) = map_weights([[15.0, -6.0]], Array(rows=2, columns=4), (0.0, 3e-5), name="fc", options=options)
    np.testing.assert_allclose(tile.g * 1e5, [[3, 0, 3, 0], [0, 2, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(tile.weights, [[15], [-6]], rtol=1e-12)
    assert [tile.whose(j) for j in range(4)] == [(0, 1, 0), (0, -1, 0), (0, 1, 1), (0, -1, 1)]


@pytest.mark.parametrize(("scale", "wanted"), [("column", (2, 4)), ("tile", (4, 4)), ("layer", (8, 8))])
def test_a_scale_covers_what_shares_it(scale, wanted):
    w = [[1.0, 2.0, 8.0], [4.0, 1.0, 1.0]]
    tile = map_weights(w, Array(rows=2, columns=4), RANGE, name="fc", options=MappingOptions(scale=scale))[1]
    first = map_weights(w, Array(rows=2, columns=4), RANGE, name="fc", options=MappingOptions(scale=scale))[0]
    assert [t.rows for t in (first, tile)] == [slice(0, 1), slice(1, 3)]
    scales = {"column": (8, 1), "tile": (8, 8), "layer": (8, 8)}[scale]
    np.testing.assert_allclose(tile.weight_per_siemens * 50e-6, scales, rtol=1e-12)
    np.testing.assert_allclose(first.weight_per_siemens * 50e-6, {"column": (1, 4)}.get(scale, (wanted[0],) * 2))


def test_clipping_gives_the_range_to_the_many_and_stops_the_few():
    w = np.append(np.linspace(0.01, 1, 100), 50.0)[None]
    (tile,) = map_weights(w, Array(rows=128, columns=2), RANGE, name="fc", options=MappingOptions(clip=99))
    np.testing.assert_allclose(tile.weights[:100, 0], w[0, :100], rtol=1e-9)
    np.testing.assert_allclose(tile.weights[100, 0], 1, rtol=1e-9)
    (whole,) = map_weights(0 * w, Array(rows=128, columns=2), RANGE, name="fc", options=MappingOptions(clip=99))
    np.testing.assert_array_equal(whole.weights, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signs": "unary"}, "no way of mapping 'unary'; there are: differential, reference, offset"),
        ({"scale": "row"}, "no way of mapping 'row'; there are: column, tile, layer"),
        ({"clip": 20}, r"must lie in 50..100 %, got 20"),
        ({"slices": 2}, "slices need the bits of a cell"),
        ({"slices": 9, "cell_bits": 3}, "got 9 slices of 3 bits"),
    ],
)
def test_impossible_mappings_are_refused_in_one_line(options, message):
    with pytest.raises(MappingError, match=message) as caught:
        MappingOptions(**options)
    assert "\n" not in str(caught.value)


def test_an_array_must_hold_all_columns_of_an_output():
    options = MappingOptions(signs="reference", slices=2, cell_bits=2)
    with pytest.raises(MappingError, match=r"an output needs array.columns >= 3, got 2"):
        map_weights([[1.0]], Array(rows=2, columns=2), RANGE, name="fc", options=options)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("digit", [1, 2, 3, 4])
def test_pulses_add_up_to_the_code(digit, polarity):
    codes, middle = np.arange(256)[None], 0 if polarity == "unipolar" else 128
    pulses = Digits.largest(digit, 8, polarity)
    planes = list(pulses.planes(codes, 8, polarity))
    assert len(planes) == pulses.count(8, polarity) == -(-(8 if polarity == "unipolar" else 7) // digit)
    total = sum(factor * (plane - middle) for factor, plane in planes)
    np.testing.assert_allclose(total, np.maximum(codes - middle, 1 - 128 if middle else 0), rtol=1e-12)
    assert all(plane.min() >= 0 and plane.max() <= 255 for _, plane in planes)


def test_a_whole_code_is_one_pulse():
    codes = np.arange(4)[None]
    ((factor, plane),) = AT_ONCE.planes(codes, 2, "unipolar")
    assert factor == 1
    assert plane is codes


def test_pulses_are_weakened_where_amplifiers_would_be_overdriven():
    @dataclass(frozen=True)
    class Weak(FakeCalibration):
        def linear_swing(self, r_feedback):
            return 1e-3

        def require_converter(self):
            return None

    network = compile_network(digits_network("mlp"), Weak(FINE), x_calibration=DIGITS.x_calibration, input_digit=1)
    ranges = network.ranges[0]
    assert ranges.drive < 1
    assert 1 <= ranges.pulses.height < 2**16 - 1
    assert ranges.adc.high <= 1e-3 * (1 + 1e-9)
    logits, wanted = network.run(DIGITS.x[:50], IdealEngine(FINE)).logits, network.run_digital(DIGITS.x[:50])
    np.testing.assert_array_equal(logits.argmax(axis=1), wanted.argmax(axis=1))


@pytest.mark.parametrize("signs", ["differential", "reference", "offset"])
def test_predistorted_conductances_make_up_for_the_wires(signs):
    array = Array(rows=64, columns=63, r_word_line=4.0, r_bit_line=4.0)
    w = np.random.default_rng(0).normal(size=(30, 64))
    (wanted,) = map_weights(w, array, RANGE, name="fc", options=MappingOptions(signs=signs))
    found = predistort(wanted, array, RANGE)
    assert RANGE[0] <= found.g.min()
    assert found.g.max() <= RANGE[1] * (1 + 1e-12)

    def error(tile):
        transfer = Crossbar(tile.g, r_word_line=4.0, r_bit_line=4.0).transfer_matrix()
        x = np.eye(64)
        y = decode_outputs(x @ transfer.T, tile, r_feedback=1.0, volts_per_input=1.0, volts_in=x)
        return np.abs(y - w.T).max() / np.abs(w).max()

    assert error(wanted) > 0.1
    # with a reference the smallest conductances cannot shrink as the others do
    assert error(found) < (1e-3 if signs == "differential" else 0.5 * error(wanted))


def test_cells_of_a_few_levels_are_not_predistorted():
    with pytest.raises(MappingError, match="leave out predistort or the cell's bits"):
        MappingOptions(predistort=True, cell_bits=4)


@pytest.mark.parametrize("digit", [0, 16])
def test_digits_of_inputs_have_fewer_bits_than_the_converter(digit):
    with pytest.raises(NetworkError, match=rf"must have 1..15 bits, one fewer than the DAC, got {digit}"):
        compile_network(digits_network("mlp"), FINE, input_digit=digit)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("way", WAYS)
def test_fine_converters_reproduce_the_digital_network_however_it_is_mapped(kind, way):
    network = compile_network(
        digits_network(kind), FakeCalibration(FINE), x_calibration=DIGITS.x_calibration, **WAYS[way]
    )
    logits, wanted = network.run(DIGITS.x, IdealEngine(FINE)).logits, network.run_digital(DIGITS.x)
    assert np.sqrt(np.mean((logits - wanted) ** 2) / np.mean(wanted**2)) < 1e-3
    assert np.mean(logits.argmax(axis=1) == wanted.argmax(axis=1)) >= 0.997


@pytest.mark.parametrize("way", WAYS)
def test_the_exact_engine_runs_a_network_however_it_is_mapped(way, generic_calibration):
    settings = {**WAYS[way]}
    digit = settings.pop("input_digit", None)
    network = compile_network(
        digits_network("mlp"), generic_calibration, x_calibration=DIGITS.x_calibration, input_digit=digit, **settings
    )
    engine = ExactEngine(generic_calibration)
    network.fit_gains(DIGITS.x_calibration[:40], engine)
    result = network.run(DIGITS.x[:24], engine)
    assert min(layer.snr_db for layer in result.stats.layers) > 12
    assert {layer.pulses > 1 for layer in result.stats.layers} == {digit is not None}


def test_grouped_convolutions_take_any_mapping():
    generator = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>g (float[n,6,5,5] x) => (float[n,6,p,q] y) { y = Conv<group=6>(x, w) }'
    )
    w, x = (generator.normal(size=shape).astype(np.float32) for shape in ((6, 1, 3, 3), (20, 6, 5, 5)))
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    for options in (MappingOptions(signs="offset"), MappingOptions(signs="reference", clip=100, scale="tile")):
        network = compile_network(model, FakeCalibration(FINE), x_calibration=x, mapping=options)
        wanted = network.run_digital(x)
        assert np.abs(network.run(x, IdealEngine(FINE)).logits - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_too_few_tiles_are_refused_with_what_takes_most():
    network = compile_network(digits_network("mlp"), FakeCalibration(FINE))
    count = sum(len(layer.mapped) for layer in network.layers)
    with pytest.raises(MappingError) as caught:
        compile_network(digits_network("mlp"), FakeCalibration(FINE), max_tiles=count - 1)
    most = max(network.layers, key=lambda layer: len(layer.mapped))
    assert str(caught.value) == (
        f"the network takes {count} tiles of 24x33, allowed are {count - 1}; allow more or keep layers digital: "
        f"{most.name!r} takes {len(most.mapped)}"
    )
    compile_network(digits_network("mlp"), FakeCalibration(FINE), max_tiles=count)
