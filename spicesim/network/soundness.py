"""Whether an ONNX model is what it says: checked whole, before anything is read out of it or run.

The checker of ONNX knows operators, attributes and the order of nodes; it does not look whether a tensor holds as many
numbers as its shape says.
"""

import math
from collections.abc import Iterator

import onnx

from spicesim.errors import NetworkError, quote

__all__ = ["first_line", "require_sound"]

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


def require_sound(model: onnx.ModelProto, source: str) -> None:
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
    if graph.sparse_initializer:
        raise NetworkError(f"{source} holds sparse weights, which are not supported; export it with dense ones")
    for tensor in _tensors(model):
        _check_tensor(tensor, source)
    # onnxruntime infers types and shapes that it is not told; the checker wants some
    typeless = [value for value in graph.output if not value.HasField("type")]
    for value in typeless:
        value.type.tensor_type.elem_type = _TENSOR.FLOAT
    tensors = [value.type.tensor_type for value in (*graph.input, *graph.output) if value.type.HasField("tensor_type")]
    shapeless = [kind for kind in tensors if not kind.HasField("shape")]
    for kind in shapeless:
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors have no common base
        raise NetworkError(f"{source} is no valid ONNX model: {first_line(error)}; export it again") from None
    finally:
        for kind in shapeless:
            kind.ClearField("shape")
        for value in typeless:
            value.ClearField("type")
    for position, node in enumerate(graph.node):
        if not any(node.output):
            raise NetworkError(f"{source}: node {position}, {quote(node.op_type)}, makes nothing; export it again")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
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


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened, on one line whatever it quotes."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    return line if line.isprintable() else quote(line)
