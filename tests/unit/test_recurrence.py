"""LSTM, GRU and RNN nodes on arrays: two or three layers each, and what stays digital."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.audit import audit_samples
from spicesim.chip import Chip, preset
from spicesim.engine import ExactEngine, IdealEngine
from spicesim.errors import MappingError, NetworkError
from spicesim.network import compile_network

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INPUTS, HIDDEN = 3, 4
X = np.random.default_rng(1).normal(size=(6, 7, INPUTS)).astype(np.float32)


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip = FINE
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def make(op, options="", inputs="x_t, w, r, b", head="float[n,s,3] x", **constants):
    """Make a recurrent node between transposes, and a product of its outputs."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> g ({head}) => (float[n,s,1,2] y) {{
        x_t = Transpose<perm=[1,0,2]>(x) h = {op}<hidden_size={HIDDEN}{options}>({inputs})
        m = MatMul(h, p) y = Transpose<perm=[2,0,1,3]>(m) }}"""
    generator, width = np.random.default_rng(0), GATES[op] * HIDDEN
    shapes = {"w": (1, width, INPUTS), "r": (1, width, HIDDEN), "b": (1, 2 * width), "p": (HIDDEN, 2)}
    arrays = {name: (generator.normal(size=shape) / 2).astype(np.float32) for name, shape in shapes.items()} | constants
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items() if name in text
    )
    return model


def assert_close_to_digital(network, x):
    y, digital = network.run(x, IdealEngine(FINE)).logits, network.run_digital(x)
    np.testing.assert_allclose(y, digital, rtol=0, atol=1e-3 * np.abs(digital).max(), strict=True)


@pytest.mark.parametrize(
    ("op", "options", "rows"),
    [
        ("LSTM", "", {"input": (16, 3), "recurrent": (16, 4)}),
        ("GRU", "", {"input": (12, 3), "recurrent": (8, 4), "candidate": (4, 4)}),
        ("GRU", ", linear_before_reset=1", {"input": (12, 3), "recurrent": (12, 4)}),
        ("RNN", "", {"input": (4, 3), "recurrent": (4, 4)}),
    ],
)
def test_each_product_is_a_layer_whose_every_step_counts(op, options, rows):
    network = compile_network(make(op, options), FakeCalibration(), x_calibration=X)
    *recurrent, last = network.layers
    assert {layer.name.removeprefix(f"{op}_1."): layer.node.weights.shape for layer in recurrent} == rows
    assert {layer.node.op for layer in recurrent} == {op}
    stats = network.run(X, IdealEngine(FINE)).stats
    assert [layer.mvms for layer in stats.layers] == [X.shape[0] * X.shape[1] * layer.tiles for layer in stats.layers]
    assert last.node.op == "MatMul"
    assert_close_to_digital(network, X)


def test_the_range_of_the_recurrent_layer_covers_the_states_and_no_more():
    chip = FINE.changed(dac={"bits": 8})  # finer ones keep headroom
    network = compile_network(make("LSTM"), FakeCalibration(chip), x_calibration=X)
    h = network._compiled.values(["h"], {"x": X})["h"][:-1]  # the last state drives nothing
    assert network.ranges[1].input_scale == pytest.approx(np.abs(h).max() * 128 / 127, rel=1e-6)


LENGTHS = np.full(6, 7, np.int32)
STEPS = "x_t, w, r, b, lengths"


@pytest.mark.parametrize(
    ("op", "options", "inputs", "constants", "reason"),
    [
        ("LSTM", "", f"{STEPS}, , , k", {"k": np.ones((1, 12), "f"), "lengths": LENGTHS}, "has peepholes"),
        ("LSTM", ", clip=1.0", "x_t, w, r", {}, "clips its gates"),
        ("LSTM", ", input_forget=1", "x_t, w, r", {}, "couples input and forget gate"),
        ("GRU", ', activations=["HardSigmoid", "Tanh"]', "x_t, w, r", {}, "has activations of its own"),
        ("RNN", ', activations=["Relu"]', "x_t, w, r", {}, "has activations of its own"),
        ("GRU", "", STEPS, {"lengths": LENGTHS - np.arange(6, dtype=np.int32)}, "runs sequences of several lengths"),
    ],
)
def test_what_arrays_cannot_do_stays_digital_and_says_why(op, options, inputs, constants, reason):
    network = compile_network(make(op, options, inputs, **constants), FakeCalibration(), x_calibration=X)
    assert network.notes == (f"{op} '{op}_1' {reason} and stays digital",)
    assert [layer.node.op for layer in network.layers] == ["MatMul"]
    assert_close_to_digital(network, X)


def test_computed_weights_and_lengths_stay_digital():
    for inputs, reason in (("x_t, w, k, b", "multiplies computed values"), ("x_t, w, r, k", "adds a computed bias")):
        head = f"float[n,s,3] x, float[{'1,16,4' if 'values' in reason else '1,32'}] k"
        network = compile_network(make("LSTM", inputs=inputs, head=head), FakeCalibration())
        assert network.notes == (f"LSTM 'LSTM_1' {reason} and stays digital",)
    network = compile_network(make("GRU", inputs=STEPS, head="float[n,s,3] x, int32[n] lengths"), FakeCalibration())
    assert network.notes == ("GRU 'GRU_1' runs sequences of several lengths and stays digital",)


def test_a_recurrent_node_asked_to_stay_digital_does():
    network = compile_network(make("LSTM"), FakeCalibration(), digital=["LSTM_1"])
    assert network.notes == ("LSTM 'LSTM_1' stays digital, as asked",)


def test_too_few_tiles_name_the_whole_node_that_can_stay_digital():
    with pytest.raises(MappingError, match="keep layers digital: 'LSTM_1' takes 2"):
        compile_network(make("LSTM"), FakeCalibration(), max_tiles=1)


def test_a_first_state_of_another_batch_is_refused():
    state = np.full((1, 6, HIDDEN), 0.5, np.float32)
    network = compile_network(make("GRU", inputs="x_t, w, r, b, , k", k=state), FakeCalibration(), x_calibration=X)
    assert_close_to_digital(network, X)
    with pytest.raises(NetworkError, match=r"first state 'k' has shape \(1, 6, 4\), its inputs want \(1, 2, 4\)"):
        network.run(X[:2], IdealEngine(FINE))


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_arrays_with_wires_run_each_step_and_ngspice_confirms_it(op, generic_calibration):
    network = compile_network(make(op), generic_calibration, x_calibration=X)
    network.fit_gains(X)
    engine = ExactEngine(generic_calibration)
    result = network.run(X, engine, sample=6, seed=2)
    digital = network.run_digital(X)
    assert np.sqrt(np.mean((result.logits - digital) ** 2) / np.mean(digital**2)) < 0.05
    parts = [layer for layer in result.stats.layers if layer.op == op]
    assert all(layer.snr_db > 20 and layer.gain is not None for layer in parts)
    assert {sample.layer for sample in result.samples} & {layer.name for layer in parts}
    assert audit_samples(result.samples, generic_calibration).max_error < 2e-3


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_exports_runs_on_arrays(kind, options, dynamo, tmp_path):
    torch = pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    if dynamo:
        pytest.importorskip("onnxscript", reason="needs onnxscript; pip install onnxscript")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = getattr(torch.nn, kind)(INPUTS, 10, batch_first=True, **options)
            self.head = torch.nn.Linear(20 if options else 10, 2)

        def forward(self, x):
            return self.head(self.recurrent(x)[0][:, -1])

    torch.manual_seed(0)
    model, x = Model().eval(), torch.from_numpy(X)
    names = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(model, (x,), tmp_path / "m.onnx", dynamo=dynamo, input_names=["x"], **names)
    network = compile_network(tmp_path / "m.onnx", FakeCalibration(), x_calibration=X)
    assert [layer.name.rpartition(".")[2] for layer in network.layers[:-1]] == ["input", "recurrent"] * (
        options.get("num_layers", 1)
    )
    y, wanted = network.run(X[:4], IdealEngine(FINE)).logits, model(x[:4]).detach().numpy()
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())
