"""Quantised products and linear models of scikit-learn on arrays, outputs that are no tensors as tensors."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from spicesim.chip import preset
from spicesim.errors import NetworkError
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.network import compile_network
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
RNG = np.random.default_rng(7)
DOMAINS = [helper.make_opsetid(name, version) for name, version in (("", 17), ("com.microsoft", 1), ("ai.onnx.ml", 3))]


def make(nodes, inputs, outputs, **constants):
    """Make a model of nodes, given as (operator, inputs, outputs, attributes), and outputs of any type."""
    graph = helper.make_graph(
        [
            helper.make_node(op, taken.split(","), made.split(","), name=made.split(",")[0], **attributes)
            for op, taken, made, attributes in nodes
        ],
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [v if isinstance(v, onnx.ValueInfoProto) else onnx.ValueInfoProto(name=v) for v in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=DOMAINS, ir_version=8)


def both(model, x):
    """Return what the ideal chip and onnxruntime make."""
    network = compile_network(model, FINE)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return network, network.run(x, "ideal").outputs, session.run(None, x)


S = np.float32
# weights of seven bits: without VNNI onnxruntime lets sums of two products of eight bits overflow
CODES = {
    "xs": S(0.02), "xz": np.uint8(120), "ys": S(0.05), "yz": np.uint8(90),
    "w": RNG.integers(-63, 64, (20, 6), np.int8),
    "k": RNG.integers(-63, 64, (4, 2, 3, 3), np.int8), "bias": RNG.integers(-900, 900, 4, np.int32),
    "c": RNG.integers(-900, 900, 6, np.int32),
}  # fmt: skip
PER_TENSOR = {"ws": S(0.004), "wz": np.int8(3)}
PER_OUTPUT = {"ws": RNG.uniform(0.002, 0.006, 6).astype(S), "wz": RNG.integers(-9, 9, 6, np.int8)}
PER_CHANNEL = {"ws": RNG.uniform(0.002, 0.006, 4).astype(S), "wz": RNG.integers(-9, 9, 4, np.int8)}
FRONT = [("QuantizeLinear", "x,xs,xz", "q", {})]
BACK = [("DequantizeLinear", "p,ys,yz", "y", {})]
FLAT, IMAGE = {"x": (TensorProto.FLOAT, ["n", 20])}, {"x": (TensorProto.FLOAT, ["n", 2, 6, 6])}
QDQ = {"pads": [1, 0, 1, 0], "strides": [2, 1]}
DYNAMIC = [("DynamicQuantizeLinear", "x", "q,xs,xz", {})]
INT8 = [
    # name, nodes, inputs, constants, the step of the output's codes; None where they are not quantised
    ("QLinearMatMul", [*FRONT, ("QLinearMatMul", "q,xs,xz,w,ws,wz,ys,yz", "p", {}), *BACK], FLAT, PER_TENSOR, 0.05),
    ("QLinearMatMul an output", [*FRONT, ("QLinearMatMul", "q,xs,xz,w,ws,wz,ys,yz", "p", {}), *BACK], FLAT, PER_OUTPUT,
     0.05),
    ("QLinearConv", [*FRONT, ("QLinearConv", "q,xs,xz,k,ws,wz,ys,yz,bias", "p", QDQ), *BACK], IMAGE, PER_TENSOR, 0.05),
    ("QLinearConv a channel", [*FRONT, ("QLinearConv", "q,xs,xz,k,ws,wz,ys,yz", "p", {}), *BACK], IMAGE,
     {**PER_CHANNEL, "wz": np.zeros(4, np.int8)}, 0.05),
    ("MatMulInteger", [*DYNAMIC, ("MatMulInteger", "q,w,xz,wz", "i", {}), ("Cast", "i", "y", {"to": 1})], FLAT,
     PER_OUTPUT, 1),
    ("MatMulInteger without zeros", [("Cast", "x", "q", {"to": TensorProto.INT8}), ("MatMulInteger", "q,w", "i", {}),
     ("Cast", "i", "y", {"to": 1})], FLAT, {}, 1),
    ("ConvInteger", [*DYNAMIC, ("ConvInteger", "q,k,xz,wz", "i", QDQ), ("Cast", "i", "y", {"to": 1})], IMAGE,
     {"wz": np.int8(0)}, 1),
    ("QGemm", [*FRONT, ("QGemm", "q,xs,xz,w,ws,wz,c,ys,yz", "p", {"domain": "com.microsoft"}), *BACK], FLAT, PER_OUTPUT,
     0.05),
    ("QGemm to floats", [*FRONT, ("QGemm", "q,xs,xz,w,ws,wz,c", "y", {"domain": "com.microsoft"})], FLAT, PER_TENSOR,
     None),
    ("DynamicQuantizeMatMul", [("DynamicQuantizeMatMul", "x,w,ws,wz", "y", {"domain": "com.microsoft"})], FLAT,
     PER_TENSOR, None),
    ("MatMulIntegerToFloat", [*FRONT, ("MatMulIntegerToFloat", "q,w,xs,ws,xz,wz", "y", {"domain": "com.microsoft"})],
     FLAT, PER_OUTPUT, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "nodes", "inputs", "constants", "step"), INT8, ids=[case[0] for case in INT8])
def test_quantised_products_run_on_arrays(name, nodes, inputs, constants, step):
    scale = 60 if "without zeros" in name else 1
    x = {"x": (scale * RNG.normal(size=(9, *inputs["x"][1][1:]))).clip(-120, 120).astype(S)}
    used = {part for _, taken, _, _ in nodes for part in taken.split(",")}
    constants = {key: value for key, value in (CODES | constants).items() if key in used}
    made = {part for *_, own, _ in nodes for part in own.split(",")}
    constants = {key: value for key, value in constants.items() if key not in made}
    network, found, (wanted,) = both(make(nodes, inputs, ["y"], **constants), x)
    y = found["y"]
    assert len(network.layers) == 1
    assert network.layers[0].node.op in ("MatMul", "Conv", "Gemm")
    error = np.abs(y - wanted)
    if step == 0.05:  # a code may round the other way
        assert error.max() < 1.01 * step
        assert (error > 0.01 * step).mean() < 0.02
    else:
        assert error.max() <= 2e-3 * np.abs(wanted).max()
    # digitally the network makes the same codes, but for what float32 rounds
    digital = network.run_digital(x)
    assert (np.abs(digital - wanted) > 1e-5 * np.abs(wanted).max()).mean() < 0.005
    assert np.unique(np.round(wanted, 4)).size > 20


def test_what_has_a_scale_a_row_stays_digital_and_is_named():
    nodes = [*FRONT, ("QLinearMatMul", "q,rs,rz,w,ws,wz,ys,yz", "p", {}), *BACK, ("MatMul", "y,o", "z", {})]
    constants = (
        CODES | PER_TENSOR | {"rs": np.full(9, 0.02, S), "rz": np.full(9, 120, np.uint8), "o": np.ones((6, 1), S)}
    )
    network = compile_network(
        make(nodes, {"x": (TensorProto.FLOAT, [9, 20])}, ["z"], **{k: constants[k] for k in
             ("xs", "xz", "rs", "rz", "w", "ws", "wz", "ys", "yz", "o")}), FINE)  # fmt: skip
    assert [layer.name for layer in network.layers] == ["z"]
    assert any(note.startswith("QLinearMatMul 'p' stays digital") for note in network.notes)


LABELS = {"classlabels_ints": [3, 7, 9]}
LINEAR = {"coefficients": RNG.normal(size=60).tolist(), "intercepts": [0.1, -0.2, 0.3], "domain": "ai.onnx.ml"}
CLASSIFIER = ("LinearClassifier", "x", "label,scores", LINEAR | LABELS | {"post_transform": "SOFTMAX"})


def sequence(name, kind=TensorProto.FLOAT, key=TensorProto.INT64):
    """Return an output that is a sequence of maps."""
    entry = helper.make_map_type_proto(key, helper.make_tensor_type_proto(kind, []))
    return helper.make_value_info(name, helper.make_sequence_type_proto(entry))


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_classifier_of_scikit_learn_keeps_its_accuracy(zipped, words):
    names = ["a", "bee", "c"] if words else [3, 7, 9]
    labels = {"classlabels_strings": names} if words else LABELS
    nodes = [("LinearClassifier", "x", "label,scores", LINEAR | labels | {"post_transform": "SOFTMAX"})]
    outputs = ["label", "scores"]
    if zipped:
        key = "classlabels_strings" if words else "classlabels_int64s"
        nodes.append(("ZipMap", "scores", "zipped", {key: names, "domain": "ai.onnx.ml"}))
        outputs[1] = sequence("zipped", key=TensorProto.STRING if words else TensorProto.INT64)
    model = make(nodes, FLAT, outputs)
    x = RNG.normal(size=(50, 20)).astype(S)
    answers, scores = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    if zipped:
        scores = np.array([[row[name] for name in names] for row in scores])
    y = np.array(answers).astype(str) if words else answers.copy()
    y[:10] = names[0]
    found = run(RunPlan(engine="ideal"), model, Dataset(inputs={"x": x}, labels=y, calibration_inputs=None),
                UncalibratedChip(FINE))  # fmt: skip
    assert [layer.node.op for layer in found.network.layers] == ["Gemm"]
    np.testing.assert_allclose(found.first.result.logits, scores, atol=2e-3)
    assert found.first.result.outputs["label"].dtype.kind == ("U" if words else "i")
    assert found.first.digital_accuracy == np.mean(np.array(answers).astype(str) == y.astype(str))
    assert abs(found.first.accuracy - found.first.digital_accuracy) <= 0.02
    assert not any("no accuracy" in note for note in found.first.result.stats.notes)


def test_a_binary_classifier_and_a_regression_are_the_same_as_before():
    one = {"coefficients": LINEAR["coefficients"][:20], "intercepts": [0.1], "domain": "ai.onnx.ml"}
    x = {"x": RNG.normal(size=(9, 20)).astype(S)}
    for post in ("NONE", "LOGISTIC"):
        binary = ("LinearClassifier", "x", "label,y", one | {"classlabels_ints": [0, 1], "post_transform": post})
        _, found, (_, wanted) = both(make([binary], FLAT, ["label", "y"]), x)
        np.testing.assert_allclose(found["y"], wanted, atol=2e-3 * np.abs(wanted).max())
    regression = ("LinearRegressor", "x", "y", LINEAR | {"targets": 3})
    _, found, (wanted,) = both(make([regression], FLAT, ["y"]), x)
    np.testing.assert_allclose(found["y"], wanted, atol=2e-3 * np.abs(wanted).max())


def test_a_sequence_of_outputs_is_its_parts():
    tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [("MatMul", "x,a", "p", {}), ("Relu", "p", "r", {}), ("SequenceConstruct", "p,r", "s", {})]
    model = make(nodes, FLAT, [helper.make_value_info("s", tensors)], a=RNG.normal(size=(20, 3)).astype(S))
    _, found, (wanted,) = both(model, {"x": RNG.normal(size=(9, 20)).astype(S)})
    assert list(found) == ["s.0", "s.1"]
    for y, own in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(y, own, atol=2e-3 * np.abs(own).max())


def test_a_sequence_whose_parts_are_not_known_is_refused_in_a_line():
    tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [("MatMul", "x,a", "p", {}), ("SplitToSequence", "p", "s", {"axis": 1})]
    model = make(nodes, FLAT, [helper.make_value_info("s", tensors)], a=np.ones((20, 3), S))
    with pytest.raises(NetworkError, match="output 's' is no tensor but a sequence; export the network with tensors"):
        compile_network(model, FINE)
