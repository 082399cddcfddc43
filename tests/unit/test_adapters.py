"""Low-rank adapters beside products: in a graph, and trained through a chip."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, TransferEngine
from spicesim.errors import NetworkError
from spicesim.network import compile_network
from spicesim.network.adapters import adapter_names, adapter_shapes, add_adapters

ROWS, HIDDEN, OUTPUTS, RANK = 48, 40, 24, 3


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    return {
        "first": generator.normal(size=(ROWS, HIDDEN)).astype(np.float32) / ROWS**0.5,
        "second": generator.normal(size=(HIDDEN, OUTPUTS)).astype(np.float32) / HIDDEN**0.5,
    }


@pytest.fixture(scope="module")
def model(weights):
    """Two products with a ReLU between, states (batch, tokens, ROWS)."""
    nodes = [
        helper.make_node("MatMul", ["x", "first.w"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "second.w"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", OUTPUTS])],
        [numpy_helper.from_array(w, f"{name}.w") for name, w in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 64, ROWS)).astype(np.float32)


@pytest.fixture(scope="module")
def adapters(model):
    generator = np.random.default_rng(2)
    return {
        name: generator.normal(size=shape).astype(np.float32) / 8 for name, shape in adapter_shapes(model, RANK).items()
    }


def test_an_adapter_is_added_to_what_the_product_makes(model, weights, x, adapters):
    session = onnxruntime.InferenceSession(add_adapters(model, RANK).SerializeToString())
    (found,) = session.run(None, {"x": x, **adapters})

    def product(values, name):
        down, up = (adapters[own] for own in adapter_names(name))
        return values @ (weights[name] + down @ up)

    wanted = product(np.maximum(product(x, "first"), 0), "second")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_the_graph_itself_is_left_alone_and_only_products_asked_for_change(model):
    before = model.SerializeToString()
    changed = add_adapters(model, RANK, ["second"])
    assert model.SerializeToString() == before
    assert [own.name for own in changed.graph.input] == ["x", *adapter_names("second")]
    onnx.checker.check_model(changed)


@pytest.mark.parametrize(("rank", "products", "words"), [(0, None, "at least 1"), (2, ["third"], "no product 'third'")])
def test_what_cannot_be_is_refused(model, rank, products, words):
    with pytest.raises(NetworkError, match=words):
        add_adapters(model, rank, products)


def test_one_chip_serves_all_adapters(model, x, adapters, generic_calibration):
    """Zeros give what the chip gives without, devices, ranges and gains and all; others are exact beside it."""
    plain = compile_network(model, generic_calibration, x_calibration=x)
    zeros = {name: np.zeros_like(own) for name, own in adapters.items()}
    axes = dict.fromkeys(adapters)
    network = compile_network(
        add_adapters(model, RANK), generic_calibration, x_calibration={"x": x, **zeros}, batch_axes=axes
    )
    assert [layer.name for layer in network.layers] == ["first", "second"]

    def chip():
        return DeviceEngine(
            TransferEngine(generic_calibration), generic_calibration.chip, device_preset("typical"),
            generic_calibration.conductance_range, seed=3,
        )  # fmt: skip

    engine = chip()
    plain.fit_gains(x, one := chip())
    network.fit_gains({"x": x, **zeros}, engine)
    np.testing.assert_array_equal(network.run({"x": x, **zeros}, engine).logits, plain.run(x, one).logits)
    last = {name: own if name.startswith("second") else zeros[name] for name, own in adapters.items()}
    wanted = network.run_digital({"x": x, **last})
    error = network.run({"x": x, **last}, engine).logits - wanted
    assert 0 < np.sqrt(np.mean(error**2)) < 0.1 * wanted.std()


@pytest.mark.torch
def test_the_linear_chip_is_the_chip_of_the_network(model, x, generic_calibration):
    """Its matrix and offset leave what converters round and reads add, and its noise says how much that is."""
    torch = pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    from spicesim.torch.adapted import AdaptedLinear, linearise

    network = compile_network(model, generic_calibration, x_calibration=x, input_scale="vector", smooth=0.5)
    engine = DeviceEngine(
        TransferEngine(generic_calibration), generic_calibration.chip, device_preset("typical"),
        generic_calibration.conductance_range, seed=3,
    )  # fmt: skip
    network.fit_gains(x, engine)
    layer, ranges, gains = network.layers[0], network.ranges[0], network.gains[0]
    prepared = network.prepare(engine)[0]
    chip = linearise(layer, ranges, prepared, gains, x.reshape(-1, ROWS).astype(float), generic_calibration)
    made = AdaptedLinear(chip, np.zeros((ROWS, RANK)), np.zeros((RANK, HIDDEN)))
    fresh = np.random.default_rng(5).normal(size=(400, ROWS))
    from spicesim.network.result import LayerMeter
    from spicesim.network.workers import start_workers

    with start_workers(1) as workers:
        real = layer.run(fresh, ranges, prepared, LayerMeter(), lambda *_: None, gains, workers=workers)
    torch.manual_seed(0)
    with torch.no_grad():
        noisy = made(torch.tensor(fresh, dtype=torch.float32)).numpy()
        made.noise.zero_()
        straight = made(torch.tensor(fresh, dtype=torch.float32)).numpy()
    digital = fresh @ layer.node.weights.T
    rest, drawn, devices = (np.std(a - straight) for a in (real, noisy, digital))
    assert drawn == pytest.approx(rest, rel=0.25)
    assert rest < 0.8 * devices  # what is left is smaller than what the devices do, which the matrix has


@pytest.mark.torch
def test_the_fitted_adapter_is_the_best_of_its_rank(model):
    pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    from spicesim.torch.adapted import fit_adapter

    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(300, 20)) * np.geomspace(10, 0.1, 20)
    thin = generator.normal(size=(12, 2)) @ generator.normal(size=(2, 20))
    down, up = fit_adapter(thin, vectors, 2)
    np.testing.assert_allclose((down @ up).T, -thin, atol=1e-9 * np.abs(thin).max())
    error = generator.normal(size=(12, 20))
    down, up = fit_adapter(error, vectors, 3, ridge=1e-9)
    left = np.linalg.svd(vectors @ error.T, compute_uv=False)
    found = np.linalg.norm(vectors @ (error + (down @ up).T).T)
    assert found == pytest.approx(np.sqrt(np.sum(left[3:] ** 2)), rel=1e-4)


@pytest.mark.torch
def test_an_adapter_learns_what_its_chip_gets_wrong(model, x, generic_calibration):
    torch = pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    from spicesim.torch.adapted import AdaptedLinear, LinearChip

    generator = np.random.default_rng(0)
    weights = generator.normal(size=(12, 20))
    wrong = generator.normal(size=(12, 1)) @ generator.normal(size=(1, 20))
    chip = LinearChip(
        matrix=weights + wrong, smoothing=np.ones(20), input_scale=1.0, is_by_vector=True, offset=np.zeros(12),
        noise=np.full(12, 1e-3),
    )  # fmt: skip
    torch.manual_seed(0)
    layer = AdaptedLinear(chip, generator.normal(size=(20, 1)), np.zeros((1, 12)))
    inputs = torch.randn(200, 20)
    wanted = inputs @ torch.tensor(weights, dtype=torch.float32).T
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        optimiser.zero_grad()
        loss = (layer(inputs) - wanted).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
    assert {name for name, _ in layer.named_parameters()} == {"down", "up"}
