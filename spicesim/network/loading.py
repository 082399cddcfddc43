"""An ONNX model loaded: its tensors beside it, all of it checked before anything is read out of it or run.

The checker of ONNX knows operators, attributes and the order of nodes; it does not look whether a tensor holds as many
numbers as its shape says, nor where tensors in files of their own lie, nor what names may do to a page.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner

from spicesim.errors import NetworkError, SpecError, quote
from spicesim.gate import require_line
from spicesim.network.layout import put_time_first

__all__ = ["FEW", "first_line", "load_model", "without_weights"]

FEW = 1024
"""Numbers of a constant that may say shapes or axes, at most; of larger ones shape and type say enough."""

_TENSOR = onnx.TensorProto
_BITS: dict[int, int] = {
    _TENSOR.FLOAT: 32, _TENSOR.DOUBLE: 64, _TENSOR.FLOAT16: 16, _TENSOR.BFLOAT16: 16, _TENSOR.BOOL: 8,
    _TENSOR.INT8: 8, _TENSOR.INT16: 16, _TENSOR.INT32: 32, _TENSOR.INT64: 64,
    _TENSOR.UINT8: 8, _TENSOR.UINT16: 16, _TENSOR.UINT32: 32, _TENSOR.UINT64: 64, _TENSOR.STRING: 0,
}  # fmt: skip
"""Bits of a number, by the types of tensors that networks may hold."""
_FIELDS: dict[int, str] = {
    _TENSOR.FLOAT: "float_data", _TENSOR.DOUBLE: "double_data", _TENSOR.INT64: "int64_data",
    _TENSOR.UINT32: "uint64_data", _TENSOR.UINT64: "uint64_data", _TENSOR.STRING: "string_data",
}  # fmt: skip
"""Where the numbers of a tensor are, if not raw; int32_data for all other types."""


def load_model(model: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """Load a model, its local functions inlined, its recurrent nodes time first; one already in memory is copied.

    Raises
    ------
    NetworkError
        If there is no such file, or it is no ONNX model.
    """
    if isinstance(model, onnx.ModelProto):
        loaded = onnx.ModelProto()
        loaded.CopyFrom(model)
        _load_tensors(loaded, None)
    else:
        path = Path(model)
        if not path.is_file():
            raise NetworkError(f"no network {path}; give the path of an ONNX file")
        try:
            loaded = onnx.load(path, load_external_data=False)
            _load_tensors(loaded, path.parent)
        except NetworkError:
            raise
        except Exception as error:  # protobuf's and onnx's errors have no common base
            raise NetworkError(f"{path} is no ONNX model: {first_line(error)}; export it again") from None
    source = "the model" if isinstance(model, onnx.ModelProto) else str(model)
    if not loaded.graph.node:
        raise NetworkError(f"{source} is no ONNX model with nodes; export it again")
    _require_sound(loaded, source)
    if loaded.functions:
        loaded = onnx.inliner.inline_local_functions(loaded)
    _require_names(loaded.graph)
    put_time_first(loaded.graph)
    return loaded


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened, on one line whatever it quotes."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    return line if line.isprintable() else quote(line)


def _load_tensors(model: onnx.ModelProto, folder: Path | None) -> None:
    """Load the tensors that lie in other files than the model's own.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed in place.
    folder : Path or None
        Where the model's file lies; None for a model in memory, beside which no file can lie.

    Raises
    ------
    NetworkError
        If one lies outside of the folder, links followed, or cannot be loaded.
    """
    outside = [tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    for tensor in outside:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if folder is None:
            raise NetworkError(f"tensor {tensor.name[:80]!a} lies in another file; load the model by its path")
        place = (folder / location).resolve()
        if Path(location).is_absolute() or not place.is_relative_to(folder.resolve()) or not place.is_file():
            raise NetworkError(
                f"tensor {tensor.name[:80]!a} lies in {location[:200]!a}, no file in the folder of the model or below; "
                "export the network with its weights inside"
            )
    if outside and folder is not None:
        onnx.load_external_data_for_model(model, str(folder))
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in outside):
        raise NetworkError("a tensor lies in another file where ONNX has none; export the network with weights inside")


def _require_names(graph: onnx.GraphProto) -> None:
    """Refuse names that are no line of printable text: they go into tables, pages and files.

    Raises
    ------
    NetworkError
        At the first.
    """
    words = [graph.name, *(value.name for value in (*graph.input, *graph.output, *graph.initializer))]
    for node in graph.node:
        words += [node.name, node.op_type, node.domain, *node.input, *node.output]
    try:
        for word in words:
            if not isinstance(word, str):  # protobuf gives bytes where a name is no UTF-8
                raise SpecError(f"a name in the network is no text but {word[:40]!r}")
            require_line(word, "a name in the network")
    except SpecError as error:
        raise NetworkError(f"{error}; export it again") from None
    for body in _bodies(graph):
        _require_names(body)


def _bodies(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    return [body for node in graph.node for own in node.attribute for body in (own.g, *own.graphs) if body.node]


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield all tensors in a message of protobuf, wherever they stand."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]:
                if hasattr(part, "ListFields"):
                    yield from _tensors(part)


def _require_sound(model: onnx.ModelProto, source: str) -> None:
    """Refuse a model that is no valid ONNX, or whose constants are not of their shapes.

    Parameters
    ----------
    model : ModelProto
        The model, its tensors loaded.
    source : str
        Where it came from, for messages.

    Raises
    ------
    NetworkError
        Says what is wrong, and where.
    """
    graph = model.graph
    if _is_sparse(graph):
        raise NetworkError(f"{source} holds sparse weights, which are not supported; export it with dense ones")
    for tensor in _constants(graph):
        _check_tensor(tensor, source)
    light = without_weights(model)  # they are checked above; ONNX's checker would copy each twice
    values = (*light.graph.input, *light.graph.output)
    for value in light.graph.output:  # onnxruntime infers types and shapes that it is not told; the checker wants some
        if not value.HasField("type"):
            value.type.tensor_type.elem_type = _TENSOR.FLOAT
    for kind in [value.type.tensor_type for value in values if value.type.HasField("tensor_type")]:
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(light)
    except Exception as error:  # the checker's errors have no common base
        raise NetworkError(f"{source} is no valid ONNX model: {first_line(error)}; export it again") from None
    for position, node in enumerate(graph.node):
        if not any(node.output):
            raise NetworkError(f"{source}: node {position}, {quote(node.op_type)}, makes nothing; export it again")


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which inputs stand for the constants of more than :data:`FEW` numbers."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph, copy = model.graph, light.graph
    copy.name = graph.name
    for name in ("node", "input", "output", "value_info"):
        getattr(copy, name).extend(getattr(graph, name))
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= FEW:
            copy.initializer.append(tensor)
        elif tensor.name not in given:
            copy.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def _is_sparse(graph: onnx.GraphProto) -> bool:
    return bool(graph.sparse_initializer) or any(map(_is_sparse, _bodies(graph)))


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for body in _bodies(graph):
        yield from _constants(body)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: onnx.TensorProto, source: str) -> None:
    where, shape = f"{source}: constant {quote(tensor.name)}", tuple(tensor.dims)
    if tensor.data_type not in _BITS:
        raise NetworkError(f"{where} is of type {tensor.data_type}, no type of numbers; export the network again")
    if min(shape, default=0) < 0:
        raise NetworkError(f"{where} has shape {quote(shape)}; export the network again")
    wanted = math.prod(shape)
    if tensor.HasField("raw_data"):
        held, unit = 8 * len(tensor.raw_data), _BITS[tensor.data_type]
        fits = unit > 0 and held == wanted * unit
        found = f"{len(tensor.raw_data)} bytes"
    else:
        count = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
        fits, found = count == wanted, f"{count} numbers"
    if not fits:
        raise NetworkError(f"{where} of shape {quote(shape)} holds {found}; the file is damaged, export it again")
