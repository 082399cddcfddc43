"""Input scales, converter ranges and digital gains."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.chip import Chip, preset
from spicesim.engine import IdealEngine, IdealTile
from spicesim.errors import NetworkError
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.gains import GAIN_LIMITS, fit_tile_gains
from spicesim.network.ranges import least_error_range


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def make_chip(dac=8, adc=8, percentile=99.99):
    return preset("gf180-1t1r").changed(
        array={"rows": 32, "columns": 32}, dac={"bits": dac}, adc={"bits": adc, "percentile": percentile}
    )


def make(text, **constants):
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return model


class LossyEngine(IdealEngine):
    """An engine whose columns lose a share of their own, and have an offset."""

    name = "lossy"

    def prepare(self, tile):
        return LossyTile(tile=tile, dac=self._chip.dac)


class LossyTile(IdealTile):
    """A tile of it."""

    def mvm(self, codes):
        volts = super().mvm(codes)
        pairs = np.arange(volts.shape[1]) // 2
        return volts * (0.9 - 0.02 * pairs) + 0.01 * (np.arange(volts.shape[1]) % 2)


GENERATOR = np.random.default_rng(0)
W = GENERATOR.normal(size=(20, 6)).astype(np.float32)
X = GENERATOR.normal(size=(200, 20)).astype(np.float32)
START = GENERATOR.bit_generator.state
DIGITS = load_digits()


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_ran_before():
    GENERATOR.bit_generator.state = START


def linear(calibration, **settings):
    return compile_network(
        make("g (float[n,20] x) => (float[n,6] y) { y = MatMul(x, w) }", w=W), calibration, **settings
    )


def error(network, x, engine):
    digital = network.run_digital(x)
    return np.sqrt(np.mean((network.run(x, engine).logits - digital) ** 2) / np.mean(digital**2))


@pytest.mark.parametrize("scale", ["static", "vector"])
def test_gains_undo_what_each_column_loses(scale):
    calibration = FakeCalibration(make_chip(dac=12, adc=16, percentile=100))
    network, engine = linear(calibration, x_calibration=X, input_scale=scale), LossyEngine(calibration.chip)
    without = error(network, X, engine)
    network.fit_gains(X, engine)
    assert error(network, X, engine) < 0.02 * without
    (layer,) = network.run(X, engine).stats.layers
    np.testing.assert_allclose(layer.gain, [1 / 0.9, 1 / 0.85, 1 / 0.8], rtol=5e-3)
    network.clear_gains()
    assert error(network, X, engine) == without
    assert network.run(X, engine).stats.layers[0].gain is None


def test_gains_fit_the_ranges_first_and_new_ranges_drop_them():
    calibration = FakeCalibration(make_chip())
    network = linear(calibration)
    network.fit_gains(X, LossyEngine(calibration.chip))
    assert network.ranges is not None
    assert network.gains is not None
    network.fit_ranges(X)
    assert network.gains is None


def test_gains_of_a_whole_network_raise_every_snr():
    calibration = FakeCalibration(make_chip())
    network, engine = compile_network(digits_network("cnn"), calibration), LossyEngine(calibration.chip)
    network.fit_ranges(DIGITS.x_calibration)
    before = network.run(DIGITS.x, engine).stats.layers
    network.fit_gains(DIGITS.x_calibration, engine)
    after = network.run(DIGITS.x, engine).stats.layers
    assert all(b.snr_db > a.snr_db + 6 for a, b in zip(before, after, strict=True))


def test_a_clipped_sample_has_no_say_in_a_gain():
    y = np.linspace(-1, 1, 40)[:, None]
    target, usable = 1.25 * y + 0.1, np.ones_like(y, bool)
    target[-1], usable[-1] = 500, False
    gains = fit_tile_gains(y, target, usable)
    np.testing.assert_allclose([gains.gain[0], gains.offset[0]], [1.25, 0.1], rtol=1e-12)
    assert gains.left_out == 0


def test_a_gain_stays_within_its_limits_and_its_offset_with_it():
    y = np.linspace(0, 1, 40)[:, None] * [1, 1]
    gains = fit_tile_gains(y, y * [9, -9], np.ones_like(y, bool))
    np.testing.assert_array_equal(gains.gain, GAIN_LIMITS[::-1])
    np.testing.assert_allclose(gains.offset, [0.5 * (9 - 2), 0.5 * (-9 - 0.5)])


def test_outputs_with_too_few_samples_keep_a_gain_of_one_and_are_counted():
    y = GENERATOR.normal(size=(40, 3))
    usable = np.ones_like(y, bool)
    usable[10:, 1] = False
    gains = fit_tile_gains(y, 2 * y + 1, usable)
    assert gains.left_out == 1
    np.testing.assert_allclose(gains.apply(y, np.ones((40, 1)))[:, 1], y[:, 1])


def test_an_output_that_never_changes_gets_an_offset_only():
    gains = fit_tile_gains(np.full((40, 1), 0.3), np.zeros((40, 1)), np.ones((40, 1), bool))
    np.testing.assert_allclose([gains.gain[0], gains.offset[0]], [1, -0.3])


def test_too_few_calibration_vectors_are_noted():
    calibration = FakeCalibration(make_chip())
    network = linear(calibration)
    network.fit_gains(X[:5], IdealEngine(calibration.chip))
    assert "6 outputs of its tiles keep a gain of 1" in network.notes[0]


def test_an_input_scale_a_vector_saves_small_vectors_beside_large_ones():
    calibration = FakeCalibration(make_chip(adc=16, percentile=100))
    x = X * np.float32(10.0) ** GENERATOR.integers(-3, 1, (len(X), 1)).astype(np.float32)
    small = x[np.abs(x).max(axis=1) < 0.1]
    static, vector = (linear(calibration, x_calibration=x, input_scale=word) for word in ("static", "vector"))
    engine = IdealEngine(calibration.chip)
    assert error(vector, small, engine) < 0.01
    assert error(vector, small, engine) < 0.05 * error(static, small, engine)
    (layer,) = vector.run(x, engine).stats.layers
    assert layer.input_scaling == "vector"
    assert layer.dac_clipped == 0


def test_a_vector_of_zeros_stays_zero_with_a_scale_of_its_own():
    calibration = FakeCalibration(make_chip())
    network = linear(calibration, x_calibration=X, input_scale="vector")
    logits = network.run(np.zeros_like(X[:2]), IdealEngine(calibration.chip)).logits
    assert np.abs(logits).max() < 1e-9 + 2 * np.abs(W).max() * 20 / 255


def test_the_range_of_least_error_is_that_of_a_search():
    m = np.abs(GENERATOR.standard_t(2, 20000))
    best = least_error_range(m, 6, both_signs=True)

    def cost(end):
        step = 2 * end / 63
        codes = np.clip(np.rint((m + end) / step), 0, 63)
        return np.mean((codes * step - end - m) ** 2)

    ends = m.max() * 2.0 ** (-np.arange(73) / 12)
    assert cost(best) <= 1.05 * min(map(cost, ends))
    assert best < 0.6 * m.max()


def test_numbers_without_tails_keep_nearly_their_whole_range():
    assert least_error_range(GENERATOR.uniform(0, 1, 10000), 8, both_signs=False) > 0.94
    assert least_error_range(np.zeros(5), 8, both_signs=False) == 0


def test_a_range_of_least_error_helps_coarse_converters():
    calibration = FakeCalibration(make_chip(adc=4, percentile=100))
    x = GENERATOR.standard_t(3, (400, 20)).astype(np.float32)
    engine = IdealEngine(calibration.chip)
    errors = [
        error(linear(calibration, x_calibration=x, adc_range=word, input_scale="static"), x, engine)
        for word in ("percentile", "mse")
    ]
    assert errors[1] < 0.8 * errors[0]


def test_unknown_words_are_refused():
    with pytest.raises(NetworkError, match="no setting 'row'; there are: static, vector"):
        linear(FakeCalibration(make_chip()), input_scale="row")
    with pytest.raises(NetworkError, match="no setting 'max'; there are: percentile, mse"):
        linear(FakeCalibration(make_chip()), adc_range="max")
