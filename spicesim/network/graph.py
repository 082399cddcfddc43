"""Which nodes of a network are matrix-vector products that arrays can do."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
import onnx

from spicesim.arrays import Array, Floats
from spicesim.errors import NetworkError, quote
from spicesim.network.contraction import Contraction, contract_matmul, parse_einsum
from spicesim.network.control import CONTROLS, Body, Control
from spicesim.network.convolution import ConvGeometry
from spicesim.network.model import (
    constant_roots,
    detach_tensors,
    element_types,
    find_constants,
    node_attributes,
    subgraphs,
    taken_values,
)
from spicesim.network.node import AnalogNode, AnalogStep
from spicesim.network.recurrence import Recurrence, parse_recurrence
from spicesim.network.segments import cut_network, open_reference

__all__ = ["find_analog_nodes"]

Constants = dict[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What a body of a control node may know of the network around it."""

    digital: Collection[str] = ()
    """Names of nodes that shall stay digital."""
    names: set[str] = field(default_factory=set)
    """Names of nodes so far."""
    roots: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of constants, the names of the tensors they come from."""


def find_analog_nodes(
    model: onnx.ModelProto, constants: Constants, digital: Collection[str] = ()
) -> tuple[list[AnalogStep], list[str]]:
    """Find the nodes that arrays can do.

    Parameters
    ----------
    model : ModelProto
        The network.
    constants : dict of str to ndarray
        Values that do not depend on the inputs.
    digital : collection of str
        Names of nodes that shall stay digital although arrays could do them.

    Returns
    -------
    nodes : list of AnalogStep
        In topological order.
    notes : list of str
        A sentence on every matrix product that stays digital.

    Raises
    ------
    NetworkError
        If a Gemm or Conv is of a kind that arrays cannot do, or `digital` names a node that is not there.
    """
    around = _Around(digital=digital)
    nodes, notes = _find_nodes(model, constants, around)
    unknown = sorted(set(digital) - around.names)
    if unknown:
        raise NetworkError(f"no node {unknown[0]!r} to keep digital; there are: {', '.join(sorted(around.names))}")
    return nodes, notes


def _find_nodes(
    model: onnx.ModelProto, constants: Constants, around: _Around, prefix: str = ""
) -> tuple[list[AnalogStep], list[str]]:
    """Find the nodes of a network or of a body; what has no name of its own gets one with the prefix."""
    nodes, notes, names = list[AnalogStep](), list[str](), around.names
    roots = constant_roots(model, constants) | dict(around.roots)
    for position, node in enumerate(model.graph.node):
        name = node.name or f"{prefix}{node.op_type}_{position}"
        if name in names:
            name = f"{prefix}{name}_{position}"
        names.add(name)
        if not any(node.output) or any(output in constants for output in node.output if output):
            continue
        if subgraphs(node):
            inside = _Around(digital=around.digital, names=names, roots=roots)
            control, own = _find_bodies(name, node, model, constants, inside)
            nodes += [] if control is None else [control]
            notes += own
            continue
        parse = _PARSERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if parse is None:
            if node.op_type in _ALWAYS_DIGITAL:
                notes.append(f"{node.op_type} {name!r} stays digital: arrays do {', '.join(_PARSERS)} only")
            continue
        if name in around.digital:
            notes.append(f"{node.op_type} {name!r} stays digital, as asked")
            continue
        found = parse(name, node, constants)
        if isinstance(found, str):
            notes.append(found)
        else:
            nodes.append(_with_sources(found, node, roots))
    return nodes, notes


def _find_bodies(
    name: str, node: onnx.NodeProto, model: onnx.ModelProto, constants: Constants, around: _Around
) -> tuple[Control | None, list[str]]:
    """Read a node with bodies; None if it has no products, or has to stay digital."""
    multiplies = {*_PARSERS, *_ALWAYS_DIGITAL}
    inside = [
        f"{own.op_type} {(own.name or own.output[0])!r}" for own in _nodes_within(node) if own.op_type in multiplies
    ]
    if not inside:
        return None, []
    what = f"{node.op_type} {name!r} stays digital with the products in it ({', '.join(inside[:3])})"
    if name in around.digital:
        return None, [f"{what}, as asked"]
    is_old = node.op_type == "Scan" and any(own.domain == "" and own.version < 9 for own in model.opset_import)
    if node.op_type not in CONTROLS or node.domain not in ("", "ai.onnx") or is_old:
        return None, [f"{what}: arrays do those in {', '.join(CONTROLS)} only"]
    bodies, notes = dict[str, Body](), list[str]()
    decided = constants.get(node.input[0]) if node.op_type == "If" else None
    untaken = None if decided is None else "else_branch" if decided.all() else "then_branch"
    names = set(around.names)
    try:
        types = element_types(open_reference(model, constants, {*taken_values(node)} - set(constants)))
        for own in node.attribute:
            if own.HasField("g") and own.name != untaken:
                bodies[own.name], found = _read_body(f"{name}.", node, own.g, model, constants, types, around)
                notes += found
    except NetworkError as error:
        around.names.clear()
        around.names.update(names)
        return None, [f"{what}: {error}"]
    control = Control(
        name=name, node=node, bodies=bodies,
        constants={value: constants[value] for value in node.input if value in constants},
    )  # fmt: skip
    return (control, notes) if control.products else (None, [*notes, what])


def _read_body(
    prefix: str, node: onnx.NodeProto, graph: onnx.GraphProto, model: onnx.ModelProto, constants: Constants,
    types: Mapping[str, onnx.TypeProto], around: _Around,
) -> tuple[Body, list[str]]:  # fmt: skip
    """Read a body as a network of its own, which takes the values around it as inputs, too."""
    inner = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    inner.graph.CopyFrom(graph)
    own = inner.graph
    taken = [value for value in taken_values(onnx.helper.make_node("If", [], [], then_branch=graph)) if value]
    captured = [value for value in taken if value not in constants]
    own.initializer.extend(
        onnx.numpy_helper.from_array(constants[value], value) for value in taken if value in constants
    )
    for value, source in zip(graph.input, _sources(node, len(graph.input)), strict=True):
        kind = types.get(source) or _tensor_of(value, constants.get(source))
        if kind is None:
            raise NetworkError(f"{value.name!r} in it is no tensor and no sequence of tensors")
        next(one for one in own.input if one.name == value.name).type.CopyFrom(kind)
    for value in captured:
        if value not in types:
            raise NetworkError(f"{value!r}, which it uses, is no tensor and no sequence of tensors")
        own.input.append(onnx.helper.make_value_info(value, types[value]))
    made = {name for one in graph.node for name in one.output}
    for value in own.output:  # what passes through
        if value.name not in made:
            passed = f"{prefix}{value.name}.passed"
            own.node.append(onnx.helper.make_node("Identity", [value.name], [passed]))
            value.name = passed
    for value in own.output:
        value.ClearField("type")
    known = find_constants(inner)
    detach_tensors(inner.graph, known)
    nodes, notes = _find_nodes(inner, known, around, prefix)
    program = cut_network(inner, known, nodes)
    outputs = tuple(value.name for value in own.output)
    body = Body(
        steps=program.steps, inputs=tuple(value.name for value in graph.input), outputs=outputs,
        captured=tuple(captured), constants={name: known[name] for name in outputs if name in known},
    )  # fmt: skip
    return body, notes


def _tensor_of(value: onnx.ValueInfoProto, first: Array | None) -> onnx.TypeProto | None:
    """Return the type of a tensor that a body declares or that is constant at first, its shape left out."""
    kind = value.type.tensor_type.elem_type
    if not kind and first is not None:
        kind = onnx.helper.np_dtype_to_tensor_dtype(first.dtype)
    return onnx.helper.make_tensor_type_proto(kind, None) if kind else None


def _sources(node: onnx.NodeProto, count: int) -> list[str]:
    """Return which values around a node its body's inputs are of; a loop's count and condition are of none."""
    carried = list(node.input[2:]) if node.op_type == "Loop" else list(node.input)
    return [*[""] * (count - len(carried)), *carried] if count >= len(carried) else [""] * count


def _nodes_within(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for graph in subgraphs(node):
        for own in graph.node:
            yield own
            yield from _nodes_within(own)


def _with_sources(
    step: AnalogNode | Recurrence, node: onnx.NodeProto, roots: Mapping[str, frozenset[str]]
) -> AnalogStep:
    """Return what was found in a node with the names of the tensors that its weights come from."""
    if isinstance(step, AnalogNode):
        return replace(step, source=next(roots[name] for name in (node.input[1], node.input[0]) if name in roots))
    of_inputs, of_states = (roots.get(name, frozenset()) for name in node.input[1:3])
    first, *others = step.products
    products = (replace(first, source=of_inputs), *(replace(other, source=of_states) for other in others))
    return replace(step, products=products)


def _parse_gemm(name: str, node: onnx.NodeProto, constants: Constants) -> AnalogNode | str:
    """Read ``Y = alpha A B + beta C``."""
    options = node_attributes(node)
    if node.input[1] not in constants:
        return f"Gemm {name!r} multiplies computed values and stays digital"
    weights = _numbers(name, node, constants, 1)
    if weights.ndim != 2:
        _reject(name, node, f"weights of shape {weights.shape} are no matrix", "export it again")
    weights = weights if options.get("transB", 0) else weights.T
    contraction = None
    if options.get("transA", 0):
        sizes = {"x": weights.shape[1], "y": weights.shape[0]}
        contraction = Contraction(value="xb", result="by", groups="", inputs="x", outputs="y", sizes=sizes)
    bias = None
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in constants:
            _reject(name, node, "the bias is computed, not constant", "add it in a node of its own")
        c = _numbers(name, node, constants, 2) * options.get("beta", 1.0)
        if c.size not in (1, len(weights)) or (c.ndim == 2 and c.shape[0] != 1):
            _reject(name, node, f"a bias of shape {c.shape} differs from input to input", "use one a column")
        bias = np.broadcast_to(c.reshape(-1), len(weights)).copy()
    return AnalogNode(
        name=name, op=node.op_type, input=node.input[0], output=node.output[0],
        weights=weights * options.get("alpha", 1.0), bias=bias, contraction=contraction,
    )  # fmt: skip


def _parse_matmul(name: str, node: onnx.NodeProto, constants: Constants) -> AnalogNode | str:
    """Read ``Y = A B``, of which one is constant: a matrix, or a stack of them."""
    position = next((k for k in (1, 0) if node.input[k] in constants), None)
    if position is None:
        return f"MatMul {name!r} multiplies two computed values and stays digital"
    weights = _numbers(name, node, constants, position)
    if weights.ndim < 2:
        return f"MatMul {name!r} has weights of shape {weights.shape}, no matrix, and stays digital"
    if position == 1 and weights.size == weights.shape[-2] * weights.shape[-1]:
        return AnalogNode(
            name=name, op=node.op_type, input=node.input[0], output=node.output[0],
            weights=weights.reshape(weights.shape[-2:]).T, rank=weights.ndim if weights.ndim > 2 else 0,
        )  # fmt: skip
    return _contract(name, node, position, weights, *contract_matmul(weights.shape, left=position == 0))


def _parse_einsum(name: str, node: onnx.NodeProto, constants: Constants) -> AnalogNode | str:
    """Read a sum of products of two operands, one of them constant."""
    equation = node_attributes(node)["equation"].decode(errors="replace")
    position = next((k for k, operand in enumerate(node.input) if operand in constants), None)
    if position is None:
        return f"Einsum {name!r} multiplies computed values and stays digital"
    weights = _numbers(name, node, constants, position)
    found = parse_einsum(equation, position, weights.shape)
    if found is None:
        return f"Einsum {name!r}, {equation!r}, is no product of vectors by a matrix and stays digital"
    return _contract(name, node, position, weights, *found)


def _contract(
    name: str, node: onnx.NodeProto, position: int, weights: Floats, contraction: Contraction, axes: str
) -> AnalogNode:
    """Make the node of a contraction with weights whose axes are named."""
    return AnalogNode(
        name=name, op=node.op_type, input=node.input[1 - position], output=node.output[0],
        weights=contraction.arrange_weights(weights, axes), contraction=contraction, groups=contraction.group_count,
    )  # fmt: skip


def _parse_conv(name: str, node: onnx.NodeProto, constants: Constants) -> AnalogNode | str:
    """Read a convolution along any number of dimensions."""
    if node.input[1] not in constants:
        return f"Conv {name!r} multiplies computed values and stays digital"
    weights = _numbers(name, node, constants, 1)
    dimensions = weights.ndim - 2
    if dimensions < 1:
        _reject(name, node, f"weights of shape {weights.shape} have no kernel", "export it again")
    options = node_attributes(node)
    bias = None
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in constants:
            _reject(name, node, "the bias is computed, not constant", "add it in a node of its own")
        bias = _numbers(name, node, constants, 2)
        if bias.shape != weights.shape[:1]:
            _reject(name, node, f"its bias has shape {bias.shape}, its weights {weights.shape}", "export it again")
    _check_geometry(name, node, weights.shape, options)
    pads = tuple(options.get("pads", (0, 0) * dimensions))
    if min(pads) < 0:
        _reject(name, node, f"pads {pads} are negative", "crop its input in a node of its own")
    ones = (1,) * dimensions
    return AnalogNode(
        name=name, op=node.op_type, input=node.input[0], output=node.output[0],
        weights=weights.reshape(len(weights), -1), bias=bias, groups=options.get("group", 1),
        geometry=ConvGeometry(
            kernel=weights.shape[2:], strides=tuple(options.get("strides", ones)),
            dilations=tuple(options.get("dilations", ones)), pads=pads,
            auto_pad=options.get("auto_pad", b"NOTSET").decode(),
        ),
    )  # fmt: skip


def _check_geometry(name: str, node: onnx.NodeProto, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Refuse attributes of a convolution that do not fit its weights or each other."""
    dimensions, groups = len(shape) - 2, options.get("group", 1)
    lengths = {"strides": dimensions, "dilations": dimensions, "kernel_shape": dimensions, "pads": 2 * dimensions}
    for key, length in lengths.items():
        values, least = options.get(key, [1] * length), None if key == "pads" else 1
        if len(values) != length or (least is not None and min(values) < least) or max(values) > _FARTHEST:
            _reject(name, node, f"{key} {quote(values)} are not {length} numbers of its kind", "export it again")
    if tuple(options.get("kernel_shape", shape[2:])) != shape[2:]:
        _reject(name, node, f"its kernel_shape {options['kernel_shape']} is not that of its weights {shape}")
    if groups < 1 or shape[0] % groups or 0 in shape:
        _reject(name, node, f"weights of shape {shape} are not {groups} groups", "export it again")
    if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", b"SAME_UPPER", b"SAME_LOWER"):
        _reject(name, node, f"auto_pad {quote(options['auto_pad'])} is unknown", "export it again")


def _numbers(name: str, node: onnx.NodeProto, constants: Constants, position: int) -> Floats:
    """Return a constant operand as floats."""
    array = constants[node.input[position]]
    if array.dtype.kind not in "biufV" or array.dtype.names is not None:  # V: short floats of ml_dtypes
        _reject(name, node, f"its constant {quote(node.input[position])} is of type {array.dtype}, no numbers")
    if array.size == 0:
        _reject(name, node, f"its constant {quote(node.input[position])} of shape {array.shape} is empty")
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which the mapping refuses by name
        return array.astype(float)


_FARTHEST = 2**20
"""Strides, dilations, pads and kernels of a convolution at most; images are smaller."""

_PARSERS: dict[str, Callable[[str, onnx.NodeProto, Constants], AnalogNode | Recurrence | str]] = {
    "Gemm": _parse_gemm, "MatMul": _parse_matmul, "Einsum": _parse_einsum, "Conv": _parse_conv,
    "LSTM": parse_recurrence, "GRU": parse_recurrence, "RNN": parse_recurrence,
}  # fmt: skip
_ALWAYS_DIGITAL = frozenset({
    "ConvTranspose", "DeformConv", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul",
    "SVMClassifier", "SVMRegressor",
    "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "FusedConv", "FusedGemm", "FusedMatMul", "MatMulBnb4", "MatMulFpQ4",
    "MatMulInteger16", "MatMulIntegerToFloat", "MatMulNBits", "MoE", "NhwcConv", "QAttention", "QGemm", "QMoE",
})  # fmt: skip
"""Operators that multiply by weights or may, of ONNX, scikit-learn and onnxruntime."""


def _reject(name: str, node: onnx.NodeProto, problem: str, remedy: str = "") -> NoReturn:
    """Raise an error that names node, operator, problem and remedy."""
    alternative = f"keep it digital with digital=[{name!r}]"
    raise NetworkError(f"{node.op_type} {name!r}: {problem}; {remedy + ' or ' if remedy else ''}{alternative}")
