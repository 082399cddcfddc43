"""Layers of PyTorch on a calibrated chip: forward is the chip's, backward its adjoint."""

import numpy as np
import pytest

from spicesim.devices.presets import device_preset
from spicesim.engine import ExactEngine, FastEngine, Tile, TransferEngine
from spicesim.errors import SpecError
from spicesim.experiment.ablation import ablate_calibration


def test_transfer_engine_is_the_chip_within_a_quarter_per_cent_of_the_swing(gf180_calibration):
    generator = np.random.default_rng(0)
    g = generator.uniform(*gf180_calibration.conductance_range, (32, 32)) * 0.5 + 0.5e-6
    for polarity in ("unipolar", "bipolar"):
        tile = Tile(name="t", g=g, polarity=polarity, r_feedback=10e3)
        codes = generator.integers(0, 256, (20, 32))
        engines = TransferEngine(gf180_calibration), ExactEngine(gf180_calibration)
        volts = [engine.prepare(tile).mvm(codes) for engine in engines]
        assert np.abs(volts[0] - volts[1]).max() < 2.5e-3 * gf180_calibration.senseamp(10e3).full_scale


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")


@pytest.fixture
def layers(torch):
    import spicesim.torch

    return spicesim.torch


@pytest.fixture
def convolution(torch, layers):
    torch.manual_seed(0)
    return layers.AnalogConv2d(4, 6, 3, stride=2, padding=1, groups=2), torch.rand(5, 4, 7, 7)


@pytest.fixture
def linear(torch, layers):
    torch.manual_seed(0)
    return layers.AnalogLinear(40, 12), torch.rand(50, 40)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_forward_is_that_of_the_network_on_the_same_chip(kind, torch, layers, generic_calibration, request, tmp_path):
    """The same devices, ranges and gains as `compile_network` gives an exported layer, by the fast engine."""
    from spicesim.network import compile_network

    layer, x = request.getfixturevalue(kind)
    layer.eval()
    path = str(tmp_path / "layer.onnx")
    torch.onnx.export(layer, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    network = compile_network(path, generic_calibration, x_calibration=x.numpy())
    layer.chip = layers.TrainingChip(calibration=generic_calibration)
    with torch.no_grad():
        approximate = layer(x).numpy()
        layer.chip.engine = FastEngine(generic_calibration)
        same = layer(x).numpy()
    network.fit_gains(x.numpy(), "fast")
    chip = network.run(x.numpy(), "fast").logits
    scale = np.abs(chip).max()
    np.testing.assert_allclose(same, chip, atol=1e-5 * scale)
    assert np.sqrt(np.mean((approximate - chip) ** 2)) < 5e-3 * scale


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_backward_is_the_adjoint_of_the_chip(kind, torch, layers, generic_calibration, request):
    """Directional derivatives by differences of the chip with converters too fine to see."""
    layer, x = request.getfixturevalue(kind)
    chip = generic_calibration.chip.changed(array={"r_word_line": 20.0, "r_bit_line": 20.0}, adc={"bits": 16})
    fine = ablate_calibration(generic_calibration.model_copy(update={"chip": chip}), ["wires", "cells", "amplifiers"])
    layer.chip = layers.TrainingChip(calibration=fine, gains=False)
    layer.eval()
    inputs = (0.25 + 0.5 * x).requires_grad_()
    layer(torch.cat([torch.zeros_like(x[:1]), torch.ones_like(x[:1])]))  # fits the ranges
    direction = torch.randn(layer(inputs).shape, generator=torch.Generator().manual_seed(1))
    loss = (layer(inputs) * direction).sum()
    loss.backward()
    step = 0.2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ends = [(layer(inputs + s * step) * direction).sum() for s in (-1, 1)]
    assert float((inputs.grad * step).sum()) == pytest.approx(float(ends[1] - ends[0]) / 2, rel=0.02)
    weight, gradient = layer.weight.detach().clone(), layer.weight.grad
    change = 0.01 * weight * torch.rand(weight.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ends = []
        for s in (-1, 1):
            layer.weight.copy_(weight + s * change)
            ends.append((layer(inputs) * direction).sum())
    assert float((gradient * change).sum()) == pytest.approx(float(ends[1] - ends[0]) / 2, rel=0.1)


@pytest.mark.torch
def test_training_meets_another_chip_each_time_and_evaluation_the_same(torch, layers, generic_calibration, linear):
    layer, x = linear
    layer.chip = layers.TrainingChip(calibration=generic_calibration, device=device_preset("typical"))
    with torch.no_grad():
        assert not torch.equal(layer(x), layer(x))
        layer.eval()
        again = layer(x)
        assert torch.equal(layer(x), again)
        layer.chip = None
        assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.torch
def test_modules_go_on_the_chip_and_off_again_with_their_parameters(torch, layers, generic_calibration):
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    )
    x, parameters = torch.rand(2, 1, 4, 4), list(module.parameters())
    digital = module(x)
    layers.make_analog(module, layers.TrainingChip(calibration=generic_calibration))
    assert isinstance(module[2][1], layers.AnalogLinear)
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    loss = (module(x) - digital.detach()).square().mean()
    assert 0 < loss.item() < 0.05 * digital.square().mean().item()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    assert torch.equal(layers.make_digital(module)(x), digital)


@pytest.mark.torch
def test_training_on_noisy_chips_learns(torch, layers, generic_calibration):
    torch.manual_seed(0)
    layer = layers.AnalogLinear(
        10, 2, chip=layers.TrainingChip(calibration=generic_calibration, device=device_preset("typical"))
    )
    wanted, x = torch.randn(2, 10), torch.rand(64, 10)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (layer(x) - x @ wanted.T).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.torch
def test_padding_that_no_chip_knows_is_refused(layers):
    with pytest.raises(SpecError, match="give padding as numbers"):
        layers.AnalogConv2d(1, 1, 3, padding="same")


@pytest.mark.torch
def test_a_module_is_compiled_as_it_is(torch, generic_calibration):
    """Several inputs, one of doubles, an example of one, dropout that must not act, and any batch afterwards."""
    from spicesim.errors import NetworkError
    from spicesim.network import compile_network

    pytest.importorskip("onnxscript", reason="needs onnxscript; pip install 'spicesim[train]'")

    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(9, 7), torch.nn.Linear(5, 7)
            self.dropout = torch.nn.Dropout(0.9)

        def forward(self, a, b):
            return self.dropout(self.first(a) + self.second(b))

    torch.manual_seed(0)
    module = Sum()
    example = {"a": np.ones((1, 9), np.float32), "b": np.ones((1, 5))}
    network = compile_network(module, generic_calibration, example=example)
    assert len(network.layers) == 2
    assert module.training
    assert module.dropout.training
    inputs = {"a": torch.rand(6, 9), "b": torch.rand(6, 5)}
    wanted = module.eval()(**inputs).detach().numpy()
    found = network.run_digital({name: values.numpy() for name, values in inputs.items()})
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    with pytest.raises(NetworkError, match="give example="):
        compile_network(module, generic_calibration)


@pytest.mark.torch
def test_a_module_that_cannot_be_exported_says_so(torch, generic_calibration):
    from spicesim.errors import NetworkError
    from spicesim.network import compile_network

    pytest.importorskip("onnxscript", reason="needs onnxscript; pip install 'spicesim[train]'")

    class Choosing(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x  # a choice that no graph can make

    with pytest.raises(NetworkError, match=r"cannot export Choosing.*torch\.onnx\.export"):
        compile_network(Choosing(), generic_calibration, example=np.ones((2, 3), np.float32))
