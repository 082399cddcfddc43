"""Networks on chips whose word lines are driven a bit at a time: planes, what they add up to, what cannot be."""

from dataclasses import dataclass

import numpy as np
import pytest

from spicesim.chip import Chip, preset
from spicesim.engine import IdealEngine
from spicesim.errors import NetworkError
from spicesim.mapping import MappingOptions
from spicesim.network import compile_network, digits_network, layer, load_digits
from spicesim.network.pulses import AT_ONCE, BitPlanes, choose_pulses

CHIP = preset("gf180-1t1r").changed(
    array={"rows": 24, "columns": 33}, dac={"kind": "bits", "bits": 16}, adc={"bits": 16}
)
DIGITS = load_digits()
WAYS = {
    "differential": {},
    "reference": {"mapping": MappingOptions(signs="reference")},
    "offset": {"mapping": MappingOptions(signs="offset")},
    "slices with an offset": {"mapping": MappingOptions(signs="offset", slices=2, cell_bits=8)},
    "slices, an input scale a vector": {
        "mapping": MappingOptions(slices=4, cell_bits=4), "input_scale": "vector",
    },
}  # fmt: skip


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip
    swing: float = 1.2
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return self.swing

    def require_converter(self):
        return None


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("bits", [2, 3, 8, 16])
def test_planes_and_their_constant_add_up_to_the_code(bits, polarity):
    codes = np.unique(np.linspace(0, 2**bits - 1, 1000).astype(np.int64))[None]
    pulses = BitPlanes()
    planes = list(pulses.planes(codes, bits, polarity))
    assert len(planes) == pulses.count(bits, polarity) == bits
    assert all(set(np.unique(plane)) <= {0, 1} for _, plane in planes)
    dac = CHIP.changed(dac={"bits": bits}).dac
    total = pulses.constant(bits, polarity) * dac.v_span + sum(w * dac.volts(p, polarity) for w, p in planes)
    wanted = CHIP.changed(dac={"bits": bits, "kind": "r2r"}).dac.volts(codes, polarity)
    np.testing.assert_allclose(total, wanted, rtol=1e-12, atol=1e-15 * dac.v_span)


@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize("way", WAYS)
def test_bit_by_bit_a_network_computes_what_it_does_with_whole_codes(way, shift):
    coarse, x = CHIP.changed(dac={"bits": 3}), DIGITS.x[:100] - np.float32(shift)
    typical, found = DIGITS.x_calibration - np.float32(shift), {}
    for chip in (coarse, coarse.changed(dac={"kind": "r2r"})):
        network = compile_network(digits_network("mlp"), FakeCalibration(chip), x_calibration=typical, **WAYS[way])
        assert network.ranges[0].polarity == ("bipolar" if shift else "unipolar")
        found[chip.dac.kind] = network.run(x, IdealEngine(chip))
    logits, wanted = found["bits"].logits, found["r2r"].logits
    # of most images; of some, an input of the second layer lies where two codes meet
    assert np.median(np.abs(logits - wanted)) < 1e-3 * np.sqrt(np.mean(wanted**2))
    assert {layer.pulses for layer in found["bits"].stats.layers} == {3}


@pytest.mark.parametrize(("kind", "planes"), [("bits", 8), ("r2r", 1)])
def test_ranges_are_fitted_on_as_many_currents_however_inputs_are_driven(kind, planes, monkeypatch):
    chip, sizes = CHIP.changed(dac={"kind": kind, "bits": 8}), []
    fit_ranges, most = layer.fit_ranges, 5000 * planes

    def counting(vectors, limits, chip, swing, multiply, **options):
        def counted(*inputs):
            currents = multiply(*inputs)
            sizes.append(currents.shape)
            return currents

        return fit_ranges(vectors, limits, chip, swing, counted, **options)

    monkeypatch.setattr(layer, "FIT_NUMBERS", most)
    monkeypatch.setattr(layer, "fit_ranges", counting)
    network = compile_network(digits_network("mlp"), FakeCalibration(chip), x_calibration=DIGITS.x_calibration)
    assert len(sizes) == len(network.ranges) == 2
    for vectors, numbers in sizes:
        assert 64 <= vectors < len(DIGITS.x_calibration)
        assert vectors == 64 or vectors * numbers <= most < (vectors + 1) * numbers
    assert max(vectors for vectors, _ in sizes) > 64


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_gains_of_a_perfect_chip_are_one(shift):
    x = DIGITS.x_calibration - np.float32(shift)
    network = compile_network(digits_network("mlp"), FakeCalibration(CHIP), x_calibration=x)
    network.fit_gains(x[:100], IdealEngine(CHIP))
    for tiles in network.gains:
        for gains in tiles:
            np.testing.assert_allclose(gains.gain, 1, atol=5e-3)
            np.testing.assert_allclose(gains.offset, 0, atol=5e-3)


def test_whole_codes_stay_the_way_of_ladders():
    assert choose_pulses(CHIP.changed(dac={"kind": "r2r"}), None, "unipolar") is AT_ONCE
    assert AT_ONCE.constant(8, "bipolar") == 0


def test_digits_of_inputs_are_refused_where_drivers_take_bits():
    with pytest.raises(NetworkError, match=r"no digits to choose, got 1; leave input_digit out"):
        compile_network(digits_network("mlp"), FakeCalibration(CHIP), input_digit=1)


def test_what_overdrives_amplifiers_at_every_feedback_is_refused_with_a_remedy():
    said = r"'\S+': drivers of bits have one level for every 1.*smallest r_feedback; add one smaller"
    with pytest.raises(NetworkError, match=said):
        compile_network(digits_network("mlp"), FakeCalibration(CHIP, swing=1e-3), x_calibration=DIGITS.x_calibration)
