"""Operators that hide a product, as a Gemm, MatMul or Conv between digital nodes; outputs that are no tensors, as such.

Products of quantised numbers are those of the numbers that they stand for, and are quantised again as before. Linear
models of scikit-learn keep their own node, of weights one, for what comes after the product. The networks make the same
numbers as before, up to the rounding of float32.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.model import node_attributes, subgraphs

__all__ = ["lower_model"]

_FLOAT, _INT32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
_LEARN, _ONNXRUNTIME = "ai.onnx.ml", "com.microsoft"
ROUNDS = 11
"""First opset that rounds."""


@dataclass(slots=True)
class _Rewriting:
    """Nodes in the place of one, under names of their own."""

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return its first output."""
        number = len(self.nodes)
        made = list(outputs) or [f"{self.name}.{op}_{number}"]
        self.nodes.append(onnx.helper.make_node(op, inputs, made, name=f"{self.name}.{op}_{number}", **attributes))
        return made[0]

    def product(self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add the node of the product, which keeps the name."""
        made = self.add(op, inputs, outputs, **attributes)
        self.nodes[-1].name = self.name
        return made

    def constant(self, value: Array) -> str:
        """Add a constant and return its name."""
        name = f"{self.name}.constant_{len(self.tensors)}"
        self.tensors.append(onnx.numpy_helper.from_array(value, name))
        return name

    def is_single(self, name: str) -> bool:
        """Whether a value is known to be one number."""
        return name in self.shapes and math.prod(self.shapes[name]) == 1

    def numbers(self, name: str, zero: str = "", scale: str = "", shape: Sequence[int] = ()) -> str:
        """Return the numbers that a quantised value stands for; zeros and scales are brought to a shape, if given."""

        def spread(value: str) -> str:
            if not shape or self.is_single(value):
                return value
            return self.add("Reshape", [value, self.constant(np.array(shape, np.int64))])

        found = self.add("Cast", [name], to=_FLOAT)
        if zero:
            found = self.add("Sub", [found, self.add("Cast", [spread(zero)], to=_FLOAT)])
        return self.add("Mul", [found, spread(scale)]) if scale else found


def lower_model(model: onnx.ModelProto) -> None:
    """Rewrite a model in place.

    Raises
    ------
    NetworkError
        If an output is a sequence whose parts are not known.
    """
    opset = next((own.version for own in model.opset_import if own.domain in ("", "ai.onnx")), 1)
    _lower_graph(model.graph, {}, opset)
    _part_sequences(model.graph)


def _lower_graph(graph: onnx.GraphProto, around: Mapping[str, tuple[int, ...]], opset: int) -> None:
    """Rewrite a graph and its bodies in place, in which the shapes of constants around it are known, too."""
    nodes, shapes = list[onnx.NodeProto](), dict(around)
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":  # its scale and zero are single numbers, though not known
            shapes |= dict.fromkeys(node.output[1:], ())
    for position, node in enumerate(graph.node):
        for body in subgraphs(node):
            _lower_graph(body, shapes, opset)
        lower = _LOWERINGS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        name = node.name or f"{node.op_type}_{position}"
        rewriting = _Rewriting(name, shapes, opset)
        if lower is not None and lower(node, rewriting):
            nodes += rewriting.nodes
            graph.initializer.extend(rewriting.tensors)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _multiply_quantised(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite QLinearMatMul."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.input
    if not (new.is_single(a_scale) and new.is_single(y_scale)):
        return False
    product = new.product("MatMul", [new.numbers(a, a_zero, a_scale), new.numbers(b, b_zero, b_scale)])
    new.add("QuantizeLinear", [product, y_scale, y_zero], node.output)
    return True


def _convolve_quantised(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite QLinearConv, whose bias counts in products of the scales."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.input
    if not (new.is_single(x_scale) and new.is_single(y_scale)) or w not in new.shapes:
        return False
    shape = (-1,) + (1,) * (len(new.shapes[w]) - 1)
    inputs = [new.numbers(x, x_zero, x_scale), new.numbers(w, w_zero, w_scale, shape)]
    if bias and bias[0]:
        inputs.append(new.numbers(bias[0], scale=new.add("Mul", [x_scale, w_scale])))
    product = new.product("Conv", inputs, **node_attributes(node))
    new.add("QuantizeLinear", [product, y_scale, y_zero], node.output)
    return True


def _multiply_integers(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite MatMulInteger or ConvInteger: products of codes less their zeros."""
    a, b, a_zero, b_zero = [*node.input, "", ""][:4]
    convolves = node.op_type == "ConvInteger"
    if (a_zero and not new.is_single(a_zero)) or b not in new.shapes or new.opset < ROUNDS:
        return False
    shape = (-1,) + (1,) * (len(new.shapes[b]) - 1) if convolves else ()
    inputs = [new.numbers(a, a_zero), new.numbers(b, b_zero, shape=shape)]
    product = new.product("Conv" if convolves else "MatMul", inputs, **node_attributes(node))
    new.add("Cast", [new.add("Round", [product])], node.output, to=_INT32)
    return True


def _multiply_quantised_gemm(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite onnxruntime's QGemm, whose bias counts in products of the scales."""
    a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero = [*node.input, "", "", ""][:9]
    options = node_attributes(node)
    if not new.is_single(a_scale) or options.get("alpha", 1.0) != 1.0 or b not in new.shapes:
        return False
    shape = (-1, 1) if options.get("transB", 0) else ()
    inputs = [new.numbers(a, a_zero, a_scale), new.numbers(b, b_zero, b_scale, shape)]
    if c:
        inputs.append(new.numbers(c, scale=new.add("Mul", [a_scale, b_scale])))
    made = () if y_scale else node.output
    product = new.product("Gemm", inputs, made, **{key: options[key] for key in ("transA", "transB") if key in options})
    if y_scale:
        new.add("QuantizeLinear", [product, y_scale, y_zero], node.output)
    return True


def _multiply_by_quantised(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite onnxruntime's DynamicQuantizeMatMul or MatMulIntegerToFloat."""
    if node.op_type == "DynamicQuantizeMatMul":
        a, b, b_scale, b_zero, bias = [*node.input, "", ""][:5]
        quantised = [f"{new.name}.{part}" for part in ("codes", "scale", "zero")]
        new.add("DynamicQuantizeLinear", [a], quantised)
        a, a_scale, a_zero = quantised
    else:
        a, b, a_scale, b_scale, a_zero, b_zero, bias = [*node.input, "", "", ""][:7]
        if not all(new.is_single(own) for own in (a_scale, a_zero) if own):
            return False
    inputs = [new.numbers(a, a_zero, a_scale), new.numbers(b, b_zero, b_scale)]
    product = new.product("MatMul", inputs, () if bias else node.output)
    if bias:
        new.add("Add", [product, bias], node.output)
    return True


def _multiply_linear_model(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite scikit-learn's linear models: the product, then the same model with weights of one."""
    options = node_attributes(node)
    labels = options.get("classlabels_ints") or options.get("classlabels_strings") or ()
    intercepts = options.get("intercepts", [])
    count = len(intercepts) or len(labels) or options.get("targets", 1)
    weights = np.array(options.get("coefficients", []), np.float32)
    if not weights.size or weights.size % count:
        return False
    inputs = [new.add("Cast", [node.input[0]], to=_FLOAT), new.constant(weights.reshape(count, -1))]
    if intercepts:
        inputs.append(new.constant(np.array(intercepts, np.float32)))
    scores = new.product("Gemm", inputs, transB=1)
    rest = options | {"coefficients": np.eye(count).ravel().tolist(), "intercepts": [0.0] * count}
    new.add(node.op_type, [scores], node.output, domain=_LEARN, **rest)
    return True


def _drop_names(node: onnx.NodeProto, new: _Rewriting) -> bool:
    """Rewrite ZipMap, which gives every row of scores the names of the classes."""
    new.add("Identity", node.input, node.output)
    return True


_LOWERINGS: dict[tuple[str, str], Callable[[onnx.NodeProto, _Rewriting], bool]] = {
    ("", "QLinearMatMul"): _multiply_quantised, ("", "QLinearConv"): _convolve_quantised,
    ("", "MatMulInteger"): _multiply_integers, ("", "ConvInteger"): _multiply_integers,
    (_ONNXRUNTIME, "QGemm"): _multiply_quantised_gemm,
    (_ONNXRUNTIME, "DynamicQuantizeMatMul"): _multiply_by_quantised,
    (_ONNXRUNTIME, "MatMulIntegerToFloat"): _multiply_by_quantised,
    (_LEARN, "LinearClassifier"): _multiply_linear_model, (_LEARN, "LinearRegressor"): _multiply_linear_model,
    (_LEARN, "ZipMap"): _drop_names,
}  # fmt: skip


def _part_sequences(graph: onnx.GraphProto) -> None:
    """Put the parts of sequences among the outputs, in the place of the sequences; forget the types of others."""
    makers = {name: node for node in graph.node for name in node.output}
    outputs = list[onnx.ValueInfoProto]()
    for value in graph.output:
        maker, kind = makers.get(value.name), value.type.WhichOneof("value")
        if maker is not None and maker.op_type == "SequenceConstruct":
            for k, part in enumerate(maker.input):
                name = f"{value.name}.{k}"
                graph.node.append(onnx.helper.make_node("Identity", [part], [name], name=name))
                outputs.append(onnx.ValueInfoProto(name=name))
        elif maker is not None and maker.op_type == "Identity" and kind == "sequence_type":  # it was a ZipMap
            outputs.append(onnx.ValueInfoProto(name=value.name))
        elif kind not in (None, "tensor_type"):
            raise NetworkError(
                f"output {value.name!r} is no tensor but a {(kind or '').removesuffix('_type')}; export the network "
                "with tensors as outputs, each of its own"
            )
        else:
            outputs.append(value)
    del graph.output[:]
    graph.output.extend(outputs)
