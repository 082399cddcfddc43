"""ONNX networks that were edited or damaged: compiled for an uncalibrated chip, and two inputs run on ideal arrays."""

import math
import random
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fuzz.files import FileCase, judge_file
from fuzz.mutations import spoil
from fuzz.verdict import Verdict
from spicesim.chip import Chip, preset
from spicesim.network import compile_network

USE = (
    "import numpy as np, spicesim\nfrom spicesim.chip import preset\n"
    "network = spicesim.compile_network('model.onnx', preset('generic-1t1r'))\n"
    "specs = network._compiled._inputs\n"
    "inputs = {spec.name: np.ones([size or 2 for size in spec.shape], spec.dtype) for spec in specs}\n"
    "print(network.run(inputs, 'ideal').outputs)\n"
)
OPSET = [helper.make_opsetid("", 17)]
ATTRIBUTES = ("strides", "pads", "dilations", "group", "kernel_shape", "auto_pad", "alpha", "beta", "transA", "transB",
              "equation", "direction", "hidden_size", "axis", "perm", "layout", "linear_before_reset", "x")  # fmt: skip
OPERATORS = ("Gemm", "MatMul", "Conv", "Einsum", "LSTM", "GRU", "RNN", "Relu", "Loop", "Nope", "", "ConstantOfShape",
             "Expand", "Tile", "Reshape", "Div", "Range", "Identity")  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 7, 64, 10**6, 2**31, 2**40, 2**62, -(2**63))
WORDS = (b"", b"x", b"SAME_UPPER", b"VALID", b"ij,jk->ik", b"...i,ij->...j", b"->", b"ii,ij->j", b"reverse", b"\xff")


def _model(nodes: list, inputs: dict, outputs: list[str], **constants: np.ndarray) -> bytes:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=OPSET, ir_version=8).SerializeToString()


@cache
def models() -> tuple[bytes, ...]:
    rng, node = np.random.default_rng(0), helper.make_node

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return (
        _model(
            [
                node("Gemm", ["x", "w", "b"], ["h"], transB=1), node("Relu", ["h"], ["r"]),
                node("MatMul", ["r", "v"], ["y"]),
            ],
            {"x": ["n", 6]}, ["y"], w=draw(5, 6), b=draw(5), v=draw(5, 3),
        ),
        _model(
            [
                node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
                node("Relu", ["c"], ["r"]), node("Flatten", ["r"], ["f"]), node("Gemm", ["f", "v"], ["y"]),
            ],
            {"x": ["n", 1, 6, 6]}, ["y"], w=draw(2, 1, 3, 3), b=draw(2), v=draw(18, 4),
        ),
        _model(
            [
                node("Conv", ["x", "w"], ["c"], group=2, dilations=[2]), node("Mul", ["c", "s"], ["m"]),
                node("Einsum", ["m", "e"], ["y"], equation="ncl,cd->ndl"),
            ],
            {"x": ["n", 4, 8]}, ["y"], w=draw(4, 2, 3), s=draw(1), e=draw(4, 3),
        ),
        _model(
            [
                node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
                node("LSTM", ["t", "w", "r", "b"], ["o"], hidden_size=3),
                node("Squeeze", ["o", "one"], ["s"]), node("Transpose", ["s"], ["u"], perm=[1, 0, 2]),
                node("MatMul", ["u", "v"], ["y"]),
            ],
            {"x": ["n", 2, 4]}, ["y"],
            w=draw(1, 12, 4), r=draw(1, 12, 3), b=draw(1, 24), one=np.array([1]), v=draw(3, 2),
        ),
        _model(
            [
                node("Constant", [], ["k"], value=numpy_helper.from_array(draw(4, 4))), node("Shape", ["k"], ["d"]),
                node("ConstantOfShape", ["d"], ["z"], value=helper.make_tensor("o", TensorProto.FLOAT, [1], [0.5])),
                node("Add", ["k", "z"], ["w"]), node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"]),
            ],
            {"x": ["n", 4]}, ["y"],
        ),
    )  # fmt: skip


def _damage_tensor(tensor: onnx.TensorProto, rng: random.Random) -> str:
    match rng.randrange(6):
        case 0 if tensor.dims:
            k = rng.randrange(len(tensor.dims))
            tensor.dims[k] = rng.choice(NUMBERS)
        case 1:
            tensor.raw_data = tensor.raw_data[: rng.randrange(1 + len(tensor.raw_data))]
        case 2:
            tensor.data_type = rng.choice([*range(25), 99])
        case 3:
            tensor.ClearField(rng.choice(["raw_data", "dims", "data_type", "name"]))
        case 4:
            shape, name = list(tensor.dims), tensor.name
            size = int(np.prod([max(0, min(k, 100)) for k in shape]))
            tensor.CopyFrom(helper.make_tensor(name, TensorProto.STRING, [size], [b"x"] * size))
            tensor.ClearField("dims")
            tensor.dims.extend(shape)
        case _:
            values = rng.choice([np.inf, np.nan, 0.0, 1e38, -1.0])
            tensor.raw_data = np.full(max(1, len(tensor.raw_data) // 4), values, np.float32).tobytes()
    return f"tensor {tensor.name} damaged"


def _damage_node(graph: onnx.GraphProto, rng: random.Random) -> str:
    node = rng.choice(graph.node)
    names = [name for own in graph.node for name in (*own.input, *own.output)] + ["", "nothing", "x" * 2000]
    match rng.randrange(9):
        case 0 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        case 1 if node.output:
            node.output[rng.randrange(len(node.output))] = rng.choice(names)
        case 2 if node.input:
            del node.input[rng.randrange(len(node.input)) :]
        case 3 if node.output:
            del node.output[:]
        case 4:
            node.input.append(rng.choice(names))
        case 5:
            node.op_type = rng.choice(OPERATORS)
        case 6 if node.attribute:
            del node.attribute[rng.randrange(len(node.attribute))]
        case 7:
            node.domain, node.name = rng.choice(["", "x", "ai.onnx", "com.microsoft"]), rng.choice(names)
        case _:
            name = rng.choice([*ATTRIBUTES, *(own.name for own in node.attribute)])
            for own in [own for own in node.attribute if own.name == name]:
                node.attribute.remove(own)
            value = rng.choice([rng.choice(NUMBERS), [rng.choice(NUMBERS) for _ in range(rng.randrange(1, 5))],
                                rng.choice(WORDS), rng.choice([0.0, 1e38, float("nan")]), ["x", "y"]])  # fmt: skip
            node.attribute.append(helper.make_attribute(name, value))
    return f"node {node.op_type} damaged"


def _damage_graph(model: onnx.ModelProto, rng: random.Random) -> str:
    graph = model.graph
    match rng.randrange(9):
        case 0:
            graph.node.reverse()
        case 1:
            graph.node.append(rng.choice(graph.node))
        case 2:
            graph.node.pop(rng.randrange(len(graph.node)))
        case 3 if graph.initializer:
            graph.initializer.append(rng.choice(graph.initializer))
        case 4 if graph.initializer:
            graph.initializer.pop(rng.randrange(len(graph.initializer)))
        case 5:
            graph.ClearField(rng.choice(["input", "output", "node", "name"]))
        case 6:
            value = rng.choice([*graph.input, *graph.output])
            value.type.tensor_type.elem_type = rng.choice([0, 1, 6, 7, 8, 9, 11, 14, 77])
        case 7:
            shape = graph.input[0].type.tensor_type.shape
            if shape.dim:
                rng.choice(shape.dim).dim_value = rng.choice(NUMBERS)
        case _:
            model.ir_version = rng.choice([0, 3, 8, 99, 2**31 - 1])
            if model.opset_import:
                model.opset_import[0].version = rng.choice([0, 1, 7, 13, 17, 99, 2**31])
    return "graph damaged"


def case(seed: int) -> FileCase:
    rng = random.Random(seed)
    data = rng.choice(models())
    if rng.random() < 0.35:
        return FileCase(*spoil(data, rng), "model.onnx", USE)
    model, done = onnx.load_from_string(data), []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if a.HasField("t"))]
        kind = rng.randrange(3)
        if kind == 0 and tensors:
            done.append(_damage_tensor(rng.choice(tensors), rng))
        elif kind == 1 and model.graph.node:
            done.append(_damage_node(model.graph, rng))
        elif model.graph.node and model.graph.input:
            done.append(_damage_graph(model, rng))
    return FileCase(model.SerializePartialToString(), "; ".join(done), "model.onnx", USE)


@cache
def chip() -> Chip:
    return preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})


def use(path: Path) -> None:
    network = compile_network(path, chip())
    wanted = network._compiled._inputs
    shapes = {spec.name: [size or 2 for size in spec.shape] for spec in wanted}
    if sum(map(math.prod, shapes.values())) > 10_000:
        return  # what such a network wants is beyond this campaign
    two = {spec.name: np.ones(shapes[spec.name], spec.dtype) for spec in wanted}
    result = network.run(two, "ideal")
    assert all(len(output) for output in result.outputs.values())


def judge(case: FileCase) -> Verdict:
    return judge_file(case, use)


def two_layers() -> onnx.ModelProto:
    """Return a network of eight inputs, four hidden units and two outputs."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 4), (4, 2))]
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w0"], ["h"]), onnx.helper.make_node("Relu", ["h"], ["r"]),
        onnx.helper.make_node("MatMul", ["r", "w1"], ["y"]),
    ]  # fmt: skip
    graph = onnx.helper.make_graph(
        nodes, "two layers", [value("x", onnx.TensorProto.FLOAT, ["n", 8])],
        [value("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
