"""What an ONNX file names beside itself: tensors in files of their own, which must lie with it; and names, one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from spicesim.errors import NetworkError, SpecError
from spicesim.gate import require_line

__all__ = ["load_tensors", "require_names"]


def load_tensors(model: onnx.ModelProto, folder: Path | None) -> None:
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


def require_names(model: onnx.ModelProto) -> None:
    """Refuse names that are no line of printable text: they go into tables, pages and files.

    Raises
    ------
    NetworkError
        At the first.
    """
    graph = model.graph
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
