"""The ONNX model as a program: constants, parts, and sessions of onnxruntime."""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.loading import FEW, first_line

__all__ = [
    "constant_roots",
    "detach_tensors",
    "element_types",
    "find_constants",
    "hash_model",
    "make_model",
    "node_attributes",
    "open_session",
    "run_session",
    "subgraphs",
    "taken_values",
]


_ELEMENT_TYPES = {
    "tensor(float)": onnx.TensorProto.FLOAT, "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(float16)": onnx.TensorProto.FLOAT16, "tensor(bool)": onnx.TensorProto.BOOL,
    "tensor(string)": onnx.TensorProto.STRING,
    "tensor(int8)": onnx.TensorProto.INT8, "tensor(int16)": onnx.TensorProto.INT16,
    "tensor(int32)": onnx.TensorProto.INT32, "tensor(int64)": onnx.TensorProto.INT64,
    "tensor(uint8)": onnx.TensorProto.UINT8, "tensor(uint16)": onnx.TensorProto.UINT16,
    "tensor(uint32)": onnx.TensorProto.UINT32, "tensor(uint64)": onnx.TensorProto.UINT64,
}  # fmt: skip


def open_session(
    model: onnx.ModelProto, constants: Mapping[str, Array] = MappingProxyType({})
) -> onnxruntime.InferenceSession:
    """Open a deterministic, single-threaded onnxruntime session of a model.

    Parameters
    ----------
    model : ModelProto
        The model.
    constants : mapping of str to ndarray
        Its tensors that :func:`detach_tensors` left out, and maybe more.

    Raises
    ------
    NetworkError
        If onnxruntime rejects the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # errors are raised, not printed
    options.add_session_config_entry("session.use_env_allocators", "1")
    _bound_memory()
    detached = [tensor.name for tensor in model.graph.initializer if _is_detached(tensor)]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(constants[name]) for name in detached]
    options.add_external_initializers(detached, values)  # which onnxruntime copies
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise NetworkError(f"onnxruntime cannot load the network: {first_line(error)}; export it again") from None


def detach_tensors(graph: onnx.GraphProto, constants: Mapping[str, Array]) -> None:
    """Empty a graph's large tensors, whose numbers are among the constants: nothing needs them in the model, too.

    They would be copied and written out with every model that is made of it. :func:`open_session` hands them to
    onnxruntime as they are, which does not know those that no node takes.
    """
    taken = {name for node in graph.node for name in taken_values(node)}
    for tensor in graph.initializer:
        if tensor.name in taken and not _is_detached(tensor) and _is_large(constants[tensor.name]):
            tensor.CopyFrom(_detached(tensor.name, constants[tensor.name]))


def hash_model(model: onnx.ModelProto, constants: Mapping[str, Array]) -> str:
    """Hash a model, with the tensors that were detached from it."""
    total = hashlib.sha256(model.SerializeToString())
    for tensor in model.graph.initializer:
        if _is_detached(tensor):
            total.update(np.ascontiguousarray(constants[tensor.name]).data)
    return total.hexdigest()[:16]


_DETACHED = "memory"
"""Where numbers are said to lie that are in no file."""


def _is_large(array: Array) -> bool:
    """Whether an array is worth to be kept apart, and of a kind that onnxruntime takes from numpy."""
    return array.size > FEW and array.dtype.isnative and array.dtype.char in "fdebBhHiIlLqQ"


def _detached(name: str, array: Array) -> onnx.TensorProto:
    """Return a tensor that names an array and does not hold it."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=_DETACHED)
    return tensor


def _is_detached(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


@cache
def _bound_memory() -> None:
    """Keep onnxruntime to half of the machine's memory: a file of some bytes may ask for any number of terabytes."""
    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kind, place = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    as_asked, default = 1, -1
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo("Cpu", kind, 0, place),
        onnxruntime.OrtArenaCfg(memory // 2, as_asked, default, default),
    )


def run_session(
    session: onnxruntime.InferenceSession, names: Collection[str], values: dict[str, Array]
) -> dict[str, Array]:
    """Run a session and return the outputs asked for, by name.

    Raises
    ------
    NetworkError
        If onnxruntime fails, for example because the inputs have a shape that the network cannot reshape.
    """
    if not names:
        return {}  # onnxruntime would take this for all outputs
    try:
        return dict(zip(names, session.run(list(names), values), strict=True))
    except Exception as error:  # onnxruntime's errors have no common base
        shapes = ", ".join(f"{name} {getattr(value, 'shape', 'of tensors')}" for name, value in values.items())
        raise NetworkError(
            f"onnxruntime failed on {shapes}: {first_line(error)}; check the shapes of the inputs"
        ) from None


def make_model(
    like: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    *,
    inputs: dict[str, onnx.TypeProto],
    outputs: Iterable[str],
    constants: dict[str, Array],
) -> onnx.ModelProto:
    """Make a model of some nodes of another.

    Parameters
    ----------
    like : ModelProto
        The model that the nodes come from, for versions.
    nodes : iterable of NodeProto
        Nodes in topological order.
    inputs : dict of str to int
        Names of inputs and their types.
    outputs : iterable of str
        Names of outputs; onnxruntime infers their types.
    constants : dict of str to ndarray
        All known constants; those that the nodes use become initialisers, detached where they are large.
    """
    nodes = list(nodes)
    used = sorted({name for node in nodes for name in taken_values(node) if name in constants})
    graph = onnx.helper.make_graph(
        nodes,
        "segment",
        [onnx.helper.make_value_info(name, kind) for name, kind in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [
            _detached(name, own) if _is_large(own := constants[name]) else onnx.numpy_helper.from_array(own, name)
            for name in used
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)


def element_types(session: onnxruntime.InferenceSession) -> dict[str, onnx.TypeProto]:
    """Return the types of a session's inputs and outputs, as far as they are tensors or sequences of tensors."""
    values = [*session.get_inputs(), *session.get_outputs()]
    found = {value.name: _type(value.type) for value in values}
    return {name: own for name, own in found.items() if own is not None}


def _type(text: str) -> onnx.TypeProto | None:
    """Return the type that onnxruntime calls so; None if it is of another kind."""
    if text.startswith("seq("):
        part = _type(text[len("seq(") : -1])
        return None if part is None else onnx.helper.make_sequence_type_proto(part)
    return onnx.helper.make_tensor_type_proto(_ELEMENT_TYPES[text], None) if text in _ELEMENT_TYPES else None


def find_constants(model: onnx.ModelProto) -> dict[str, Array]:
    """Return every value that is constant: initialisers and all that is computed from them alone."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    known = set(constants)
    folded = []
    for node in model.graph.node:
        inputs = taken_values(node)
        pure = bool(inputs) or node.op_type == "Constant"  # not a generator of random numbers
        pure = pure and not any(_is_random(graph) for graph in subgraphs(node))
        if pure and known.issuperset(inputs) and "Sequence" not in node.op_type:
            folded.append(node)
            known.update(name for name in node.output if name)
    names = [name for node in folded for name in node.output if name]
    if names:
        made = make_model(model, folded, inputs={}, outputs=names, constants=constants)
        session = open_session(made, constants)
        constants.update(run_session(session, names, {}))
    return constants


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the bodies of a node."""
    return [graph for own in node.attribute for graph in (*([own.g] if own.HasField("g") else []), *own.graphs)]


def taken_values(node: onnx.NodeProto) -> list[str]:
    """Return the names of all values that a node takes, those that its bodies use among them."""
    return list(dict.fromkeys([*filter(None, node.input), *(n for graph in subgraphs(node) for n in _free(graph))]))


def _free(graph: onnx.GraphProto) -> list[str]:
    """Return the names of values that a body takes from around it."""
    own = {value.name for value in (*graph.input, *graph.initializer)}
    own.update(name for node in graph.node for name in node.output)
    taken = [*(name for node in graph.node for name in taken_values(node)), *(value.name for value in graph.output)]
    return [name for name in taken if name not in own]


def _is_random(graph: onnx.GraphProto) -> bool:
    """Whether a body draws random numbers."""
    drawn = ("Random", "Bernoulli", "Multinomial")
    return any(
        node.op_type.startswith(drawn) or any(_is_random(body) for body in subgraphs(node)) for node in graph.node
    )


def constant_roots(model: onnx.ModelProto, constants: Collection[str]) -> dict[str, frozenset[str]]:
    """Return of every constant the names of the tensors in the file that it is computed from."""
    roots = {tensor.name: frozenset({tensor.name}) for tensor in model.graph.initializer}
    for node in model.graph.node:
        found = frozenset[str]().union(*(roots.get(name, frozenset()) for name in taken_values(node)))
        roots.update((name, found or frozenset({name})) for name in node.output if name in constants)
    return roots


def node_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as plain values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
