import gc
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.chip import Chip, preset
from spicesim.coding import dac_voltages
from spicesim.engine import IdealEngine
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.samples import Reservoir

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip
    conductance_range: tuple[float, float] = (1e-6, 45e-6)
    swing: float = 1.2

    def linear_swing(self, r_feedback):
        return self.swing

    def require_converter(self):
        return None


def make_chip(bits=8, size=32, percentile=99.99):
    return preset("gf180-1t1r").changed(
        array={"rows": size, "columns": size},
        dac={"bits": min(bits, 12)},
        adc={"bits": bits, "percentile": percentile},
    )


FINE = FakeCalibration(make_chip(bits=16, percentile=100))
DIGITS = load_digits()


def make(text, **constants):
    """Make a model from ONNX's text form and arrays."""
    model = onnx.parser.parse_model(HEADER + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return model


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_close_to_digital(network, x, tolerance=2e-3):
    network.fit_ranges(x)
    result, digital = network.run(x, IdealEngine(FINE.chip)), network.run_digital(x)
    assert result.logits.shape == digital.shape
    assert result.logits.dtype == digital.dtype
    np.testing.assert_allclose(result.logits, digital, rtol=0, atol=tolerance * np.abs(digital).max())
    return result


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_fine_converters_reproduce_onnxruntime(kind):
    result = assert_close_to_digital(compile_network(digits_network(kind), FINE), DIGITS.x)
    assert all(layer.snr_db > 55 for layer in result.stats.layers)
    assert all(max(layer.adc_clipped, layer.dac_clipped) < 1e-4 for layer in result.stats.layers)


@pytest.mark.parametrize(("kind", "tiles", "products"), [("mlp", [6, 2], [6, 2]), ("cnn", [1, 4, 3], [36, 16, 3])])
def test_eight_bits_keep_the_accuracy_of_the_digits(kind, tiles, products):
    calibration = FakeCalibration(make_chip())
    network = compile_network(digits_network(kind), calibration, x_calibration=DIGITS.x_calibration)
    result = network.run(DIGITS.x, IdealEngine(calibration.chip))
    digital = np.mean(network.run_digital(DIGITS.x).argmax(axis=1) == DIGITS.y)
    assert digital >= 0.97
    assert np.mean(result.logits.argmax(axis=1) == DIGITS.y) >= digital - 0.01
    assert [layer.tiles for layer in result.stats.layers] == tiles
    assert [layer.mvms / len(DIGITS.x) for layer in result.stats.layers] == products
    assert result.stats.notes == ()


def test_signed_inputs_are_coded_bipolar():
    model = make("g (float[n,5] x) => (float[n,7] y) { y = Gemm(x, w, b) }", w=weights(5, 7), b=weights(7))
    result = assert_close_to_digital(compile_network(model, FINE), weights(20, 5, seed=1))
    (layer,) = result.stats.layers
    assert layer.polarity == "bipolar"
    assert layer.adc.low == -layer.adc.high


def test_a_product_along_the_last_axis_keeps_the_others():
    model = make("g (float[n,3,4,5] x) => (float[n,3,4,2] y) { y = MatMul(x, w) }", w=weights(5, 2))
    result = assert_close_to_digital(compile_network(model, FINE), weights(6, 3, 4, 5))
    assert result.stats.mvms == 6 * 3 * 4


@pytest.mark.parametrize(("group", "size"), [(1, 32), (2, 32), (6, 32), (6, 8)])
def test_grouped_and_depthwise_convolutions(group, size):
    text = f"g (float[n,6,7,5] x) => (float[n,12,p,q] y) {{ y = Conv<group={group}, pads=[1,1,1,1]>(x, w, b) }}"
    model = make(text, w=weights(12, 6 // group, 3, 3), b=weights(12))
    calibration = FakeCalibration(make_chip(bits=16, percentile=100, size=size))
    assert_close_to_digital(compile_network(model, calibration), weights(4, 6, 7, 5, seed=1))


@pytest.mark.parametrize(
    "options", ["strides=[1]", "strides=[2], pads=[2,1]", "dilations=[2], group=2", 'auto_pad="SAME_LOWER"']
)
def test_convolutions_along_one_dimension(options):
    shape = (4, 1, 3) if "group" in options else (4, 2, 3)
    model = make(f"g (float[n,2,9] x) => (float[n,4,p] y) {{ y = Conv<{options}>(x, w) }}", w=weights(*shape))
    assert_close_to_digital(compile_network(model, FINE), weights(6, 2, 9, seed=1))


@pytest.mark.parametrize("x", [weights(6, 5), weights(6, 3, 5), weights(6, 2, 3, 5)])
def test_a_matrix_with_axes_of_one_before_it_multiplies_batches(x):
    axes = ",".join(["n", *map(str, x.shape[1:])])
    model = make(f"g (float[{axes}] x) => (y) {{ p = MatMul(x, w) y = Reshape(p, s) }}", w=weights(1, 5, 2),
                 s=np.array([-1, x[0].size // 5 * 2]))  # fmt: skip
    assert_close_to_digital(compile_network(model, FINE), x)


def test_a_residual_network_with_strided_convolutions():
    text = """g (float[n,2,9,8] x) => (float[n,3] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a)
        p = Conv<pads=[2,2,2,2], dilations=[2,2]>(r, w2) s = Add(p, a) t = Relu(s)
        q = Conv<strides=[2,1], auto_pad="SAME_UPPER">(t, w2) g = GlobalAveragePool(q) f = Flatten(g)
        l = Gemm(f, w3) y = Softmax(l) }"""
    model = make(text, w1=weights(4, 2, 3, 3), b1=weights(4), w2=weights(4, 4, 3, 3) / 5, w3=weights(4, 3))
    assert_close_to_digital(compile_network(model, FINE), weights(5, 2, 9, 8, seed=1), tolerance=5e-3)


def test_double_precision_networks_stay_double():
    model = make("g (double[n,5] x) => (double[n,7] y) { y = MatMul(x, w) }", w=weights(5, 7).astype(float))
    assert_close_to_digital(compile_network(model, FINE), weights(20, 5))


def test_several_inputs_and_outputs_go_by_name():
    text = """g (float[n,4] a, float[n,4] b, int64[n] k) => (float[n,3] y, int64[n] k2, float[n,4] s) {
        s = Add(a, b) y = MatMul(s, w) k2 = Add(k, k) }"""
    network = compile_network(make(text, w=weights(4, 3)), FINE)
    x = {"a": weights(9, 4), "b": weights(9, 4, seed=1), "k": np.arange(9)}
    outputs = network.run(x, IdealEngine(FINE.chip), chunk=4).outputs
    assert list(outputs) == ["y", "k2", "s"]
    np.testing.assert_array_equal(outputs["k2"], 2 * np.arange(9))
    np.testing.assert_array_equal(outputs["s"], x["a"] + x["b"])


def test_a_batch_size_fixed_in_the_network_sets_the_chunks():
    model = make("g (float[2,5] x) => (float[2,7] y) { y = MatMul(x, w) }", w=weights(5, 7))
    assert_close_to_digital(compile_network(model, FINE), weights(8, 5))


def test_chunks_change_neither_outputs_nor_samples():
    calibration = FakeCalibration(make_chip())
    network = compile_network(digits_network("cnn"), calibration, x_calibration=DIGITS.x_calibration)
    engine = IdealEngine(calibration.chip)
    whole = network.run(DIGITS.x[:50], engine, sample=9, seed=3)
    parts = network.run(DIGITS.x[:50], engine, sample=9, seed=3, chunk=7)
    np.testing.assert_allclose(parts.logits, whole.logits, rtol=1e-4, atol=1e-4)  # float32 sums in blocks
    for one, other in zip(whole.samples, parts.samples, strict=True):
        assert one.tile.name == other.tile.name
        np.testing.assert_array_equal(one.codes, other.codes)


def test_samples_are_products_that_were_done():
    calibration = FakeCalibration(make_chip())
    network = compile_network(digits_network("cnn"), calibration, x_calibration=DIGITS.x_calibration)
    result = network.run(DIGITS.x[:20], IdealEngine(calibration.chip), sample=40, seed=1)
    assert len(result.samples) == 40
    assert len({sample.layer for sample in result.samples}) == 3
    for sample in result.samples:
        v = dac_voltages(sample.codes, 8, 0.2, sample.tile.polarity)
        np.testing.assert_allclose(sample.volts, sample.tile.r_feedback * v @ sample.tile.g, rtol=1e-12)
        assert sample.tile.name.startswith(sample.layer)


def test_the_sample_is_uniform_over_products():
    counts = np.zeros(30)
    for seed in range(2000):
        reservoir = Reservoir[int](3, seed)
        reservoir.offer(0, 4, lambda k: k)
        reservoir.offer(1, 20, lambda k: 10 + k)
        reservoir.offer(0, 6, lambda k: 4 + k)
        counts[list(reservoir.items())] += 1
    # each of 30 items: binomial(2000, 0.1), standard deviation 13
    assert np.abs(counts - 200).max() < 60


def test_a_sample_larger_than_the_work_is_all_of_it():
    network = compile_network(digits_network("mlp"), FINE, x_calibration=DIGITS.x_calibration)
    assert len(network.run(DIGITS.x[:3], IdealEngine(FINE.chip), sample=1000).samples) == 3 * 8
    assert network.run(DIGITS.x[:3], IdealEngine(FINE.chip)).samples == ()


def test_without_calibration_inputs_the_first_run_fits_and_says_so():
    network = compile_network(digits_network("mlp"), FINE)
    result = network.run(DIGITS.x, IdealEngine(FINE.chip))
    assert result.stats.notes == ("no calibration inputs were given: ranges fitted on the first 64 inputs run",)
    ranges = network.ranges
    network.run(DIGITS.x[100:], IdealEngine(FINE.chip))
    assert network.ranges is ranges
    network.fit_ranges(DIGITS.x_calibration)
    assert network.notes == ()


def test_each_layer_takes_the_largest_feedback_that_fits_the_swing():
    chip = make_chip(percentile=100)
    network = compile_network(digits_network("mlp"), FakeCalibration(chip), x_calibration=DIGITS.x_calibration)
    for ranges in network.ranges:
        assert ranges.adc.high <= 1.2
        larger = [r for r in chip.sense_amplifier.r_feedback if r > ranges.r_feedback]
        assert all(ranges.adc.high * r / ranges.r_feedback > 1.2 for r in larger)


def test_a_swing_too_small_for_every_feedback_weakens_the_drive():
    calibration = FakeCalibration(make_chip(bits=16, percentile=100), swing=0.05)
    network = compile_network(digits_network("mlp"), calibration)
    assert_close_to_digital(network, DIGITS.x, tolerance=1e-2)
    assert [r.r_feedback for r in network.ranges] == [5e3, 5e3]
    assert all(r.adc.high == pytest.approx(0.05) for r in network.ranges)
    assert network.ranges[0].drive == pytest.approx(1 / network.ranges[0].input_scale, rel=1e-3)
    assert "drives its rows at" in network.notes[0]


def test_tiles_are_prepared_once_an_engine_and_dropped_with_it():
    class CountingEngine(IdealEngine):
        count = 0

        def prepare(self, tile):
            self.count += 1
            return super().prepare(tile)

    network = compile_network(digits_network("mlp"), FINE, x_calibration=DIGITS.x_calibration)
    engine = CountingEngine(FINE.chip)
    for _ in range(2):
        network.run(DIGITS.x[:2], engine)
    assert engine.count == 8
    network.fit_ranges(DIGITS.x)
    network.run(DIGITS.x[:2], engine)
    assert engine.count == 16
    del engine
    gc.collect()
    assert len(network._stocks) == 0


def test_clipped_conversions_are_counted():
    model = make("g (float[n,2] x) => (float[n,1] y) { y = MatMul(x, w) }", w=np.float32([[1], [1]]))
    network = compile_network(model, FINE, x_calibration=np.float32([[1, 0], [0, 1]]))
    (layer,) = network.run(np.float32([[-1, 0.5], [2, 2]]), IdealEngine(FINE.chip)).stats.layers
    assert layer.dac_clipped == 3 / 4
    assert layer.adc_clipped == 1 / 4  # g_pos of the second product


def test_a_layer_that_sees_only_zeros_gives_zeros():
    model = make("g (float[n,2] x) => (float[n,1] y) { y = MatMul(x, w) }", w=np.float32([[1], [1]]))
    network = compile_network(model, FINE, x_calibration=np.zeros((4, 2), np.float32))
    np.testing.assert_array_equal(network.run(np.zeros((4, 2), np.float32), IdealEngine(FINE.chip)).logits, 0)


def test_no_image_of_the_digits_is_in_two_sets():
    assert DIGITS.x.shape == (400, 1, 8, 8)
    assert DIGITS.x.min() == 0
    assert DIGITS.x.max() == 1
    both = np.concatenate([DIGITS.x, DIGITS.x_calibration])
    assert len(np.unique(both, axis=0)) == len(both)
