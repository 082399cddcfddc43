"""Smoothing: inputs divided by scales digitally, weights multiplied by the same before they are mapped."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.chip import Chip, preset
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, IdealEngine
from spicesim.errors import NetworkError, SpecError
from spicesim.experiment.plan import make_plan
from spicesim.network import compile_network
from spicesim.network.smoothing import FARTHEST, find_smoothing

CHIP = preset("gf180-1t1r").changed(array={"rows": 32, "columns": 32})
FINE = CHIP.changed(dac={"bits": 16}, adc={"bits": 16})
GENERATOR = np.random.default_rng(5)
W = GENERATOR.normal(size=(40, 12)).astype(np.float32)
SIZES = np.geomspace(0.01, 100, 40).astype(np.float32)
X = GENERATOR.normal(size=(300, 40)).astype(np.float32) * GENERATOR.permutation(SIZES)


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def make(text, **constants):
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return model


LINEAR = make("g (float[n,40] x) => (float[n,12] y) { y = MatMul(x, w) }", w=W)
TWICE = make("g (float[n,12] x) => (float[n,12] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, w) }", w=W[:12] / 4)
CONV = make(
    "g (float[n,6,5,5] x) => (float[n,8,k,l] y) { y = Conv <group=2, kernel_shape=[3,3], pads=[1,1,1,1]>(x, w) }",
    w=GENERATOR.normal(size=(8, 3, 3, 3)).astype(np.float32),
)
IMAGES = (GENERATOR.normal(size=(20, 6, 5, 5)) * np.array([0.1, 1, 10, 30, 3, 0.3])[:, None, None]).astype(np.float32)
LSTM = make(
    "g (float[n,4,5] x) => (float[n,4,1,6] y) { t = Transpose <perm=[1,0,2]>(x) "
    "s = LSTM <hidden_size=6>(t, w, r) y = Transpose <perm=[2,0,1,3]>(s) }",
    w=GENERATOR.normal(size=(1, 24, 5)).astype(np.float32), r=GENERATOR.normal(size=(1, 24, 6)).astype(np.float32),
)  # fmt: skip


def compiled(model, x, chip=CHIP, **options):
    return compile_network(model, FakeCalibration(chip), input_scale="vector", x_calibration=x, **options)


def error(network, x, engine=None):
    digital = network.run_digital(x)
    found = network.run(x, engine or IdealEngine(network.calibration.chip)).logits
    return float(np.sqrt(np.mean((found - digital) ** 2) / np.mean(digital**2)))


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    ("model", "x"), [(LINEAR, X), (TWICE, X[:, :12]), (CONV, IMAGES)], ids=["linear", "twice", "conv"]
)
def test_it_changes_nothing_but_the_digits(model, x, strength):
    """What is left in fine converters is their rounding, which a scale wrong by a part in a thousand would exceed."""
    assert error(compiled(model, x, FINE, smooth=strength), x) < 1e-3


@pytest.mark.parametrize("strength", [0.3, 0.5])
def test_it_leaves_digits_to_small_inputs(strength):
    """Inputs of 0.01 to 100 with weights as large as the inputs are small: all matter alike to the output."""
    weights = W / np.abs(X).max(axis=0)[:, None]
    model = make("g (float[n,40] x) => (float[n,12] y) { y = MatMul(x, w) }", w=weights)
    assert error(compiled(model, X, smooth=strength), X) < error(compiled(model, X), X) / 5


def test_scales_are_those_of_the_paper():
    found = find_smoothing(np.array([4.0, 1.0, 0.25]), np.array([1.0, 4.0, 1.0]), 0.5)
    wanted = np.array([2.0, 0.5, 0.5])
    np.testing.assert_allclose(found, wanted / np.prod(wanted) ** (1 / 3), rtol=1e-12)
    np.testing.assert_allclose(find_smoothing(np.array([3.0, 5.0]), np.array([2.0, 8.0]), 0.0), (2.0, 0.5), rtol=1e-12)


def test_inputs_without_a_number_or_a_weight_stay_as_they_are():
    found = find_smoothing(np.array([0.0, 8.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0]), 1.0)
    np.testing.assert_allclose(found, (1.0, 2.0, 0.5, 1.0), rtol=1e-12)
    assert find_smoothing(np.zeros(3), np.zeros(3), 0.5) == (1.0, 1.0, 1.0)


def test_scales_stay_within_limits():
    found = find_smoothing(np.array([1e-30, 1e30]), np.ones(2), 1.0)
    np.testing.assert_allclose(found, (1 / FARTHEST, FARTHEST), rtol=1e-9)


def test_vectors_are_divided_and_weights_multiplied_by_the_same_scales():
    network = compiled(LINEAR, X, smooth=0.5)
    (layer,), (ranges,) = network.layers, network.ranges
    scales = np.array(ranges.smoothing)
    assert scales.max() / scales.min() > 10
    np.testing.assert_allclose(np.concatenate(list(layer.vectors(X))), X / scales, rtol=1e-6)
    for mapped in layer.mapped:
        np.testing.assert_allclose(
            mapped.weights, (W * scales[:, None])[mapped.rows, mapped.outputs], rtol=1e-9, atol=1e-9 * np.abs(W).max()
        )
    assert layer.node.weights is not None
    np.testing.assert_array_equal(layer.node.weights, W.T)


def test_static_scales_cover_the_largest_smoothed_input():
    network = compile_network(LINEAR, FakeCalibration(CHIP), x_calibration=X, smooth=0.5)
    (ranges,) = network.ranges
    largest = np.abs(X / np.array(ranges.smoothing)).max()
    assert ranges.input_scale == pytest.approx(largest * 128 / 127, rel=1e-6)
    assert network.run(X, IdealEngine(CHIP)).stats.layers[0].dac_clipped == 0


def test_weights_used_twice_sit_once():
    """Both uses have one tile of the same conductances, so devices of both are drawn once."""
    network = compiled(TWICE, X[:, :12], smooth=0.5)
    first, second = network.tiles()
    np.testing.assert_array_equal(first[0].g, second[0].g)
    assert first[0].place == second[0].place
    assert network.ranges[0].smoothing == network.ranges[1].smoothing != ()


def test_states_of_recurrent_networks_are_smoothed():
    x = (GENERATOR.normal(size=(30, 4, 5)) * np.array([0.1, 1, 10, 1, 0.1])).astype(np.float32)
    network = compiled(LSTM, x, FINE, smooth=0.5)
    assert all(len(own.smoothing) == layer.node.rows for own, layer in zip(network.ranges, network.layers, strict=True))
    digital = network.run_digital(x)
    np.testing.assert_allclose(network.run(x, IdealEngine(FINE)).logits, digital, atol=1e-3 * np.abs(digital).max())


def test_settings_go_to_another_network_with_their_scales():
    network, other = compiled(LINEAR, X, smooth=0.5), compiled(LINEAR, X[:5] ** 2)
    before = other.tiles()[0][0].g
    other.use_ranges(network.ranges)
    np.testing.assert_array_equal(other.tiles()[0][0].g, network.tiles()[0][0].g)
    assert np.abs(before - other.tiles()[0][0].g).max() > 1e-6
    np.testing.assert_array_equal(other.run(X, IdealEngine(CHIP)).logits, network.run(X, IdealEngine(CHIP)).logits)


def test_a_second_fit_forgets_the_first():
    network, fresh = compiled(LINEAR, X[:, ::-1] * 3, smooth=0.5), compiled(LINEAR, X, smooth=0.5)
    network.fit_ranges(X)
    assert network.ranges == fresh.ranges
    np.testing.assert_array_equal(network.tiles()[0][0].g, fresh.tiles()[0][0].g)


def test_gains_undo_what_devices_take_of_smoothed_layers():
    chip = CHIP.changed(dac={"bits": 12}, adc={"bits": 12})
    engine = DeviceEngine(IdealEngine(chip), chip, device_preset("typical"), (1e-6, 45e-6), seed=3)
    network = compiled(LINEAR, X, chip, smooth=0.5)
    before = error(network, X, engine)
    network.fit_gains(X, engine)
    assert error(network, X, engine) < before


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_beyond_its_range_is_refused(strength):
    with pytest.raises(NetworkError, match=r"smooth must lie in 0\.\.1"):
        compiled(LINEAR, X, smooth=strength)
    with pytest.raises(SpecError, match="smooth"):
        make_plan({"mapping": {"smooth": strength}})


def test_a_plan_says_it():
    plan = make_plan({"mapping": {"smooth": 0.5}})
    assert plan.mapping.options["smooth"] == 0.5
    assert plan.document()["mapping"] == {"smooth": 0.5}
