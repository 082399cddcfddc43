"""Where the batch is: which axis of every input and output of a network counts it.

Axes are what the user says, or else what operators say (a recurrent node has time first and the batch second), or else
what the names of free axes say, or else the one axis whose size can be the batch's; without a sign it is the first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.loading import without_weights

__all__ = ["BatchAxes", "find_batch_axes", "parse_batch_axes"]

Shape = Sequence[int | str | None]
"""Sizes of axes, those that are free by their names, or None."""

_RECURRENT = ("LSTM", "GRU", "RNN")
_BATCH = "free batch"
"""Name of the axis of a batch that is fixed, were it not."""
_WORDS = (re.compile(r"batch", re.IGNORECASE), re.compile(r"bsz?|b|n", re.IGNORECASE))
"""Names of a free axis that counts the batch: with the first in it, or else the second as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAxes:
    """Which axis of every input and output counts the batch."""

    inputs: Mapping[str, int | None]
    """By name; None for what all inputs of a batch share."""
    outputs: Mapping[str, int | None]
    """By name, those that are known before a run; None for what is left out of the results."""
    states: Mapping[tuple[int | str | None, ...], int]
    """Axes of inputs that do not have the batch first, by shape for one of the batch."""

    def length(self, arrays: Mapping[str, Array]) -> int:
        """Return the number of inputs in a batch."""
        name, axis = next((name, axis) for name, axis in self.inputs.items() if axis is not None)
        return int(arrays[name].shape[axis])

    def cut(self, arrays: Mapping[str, Array], start: int, stop: int) -> dict[str, Array]:
        """Return the inputs from `start` to `stop` of a batch."""
        return {
            name: array if (axis := self.inputs[name]) is None else array[(slice(None),) * axis + (slice(start, stop),)]
            for name, array in arrays.items()
        }

    def find(self, name: str, array: Array, size: int) -> int:
        """Return which axis of an output for `size` inputs counts the batch.

        Raises
        ------
        NetworkError
            If that is not known, and none or several could.
        """
        axis = self.outputs.get(name)
        fitting = [k for k, length in enumerate(array.shape) if length == size]
        if axis is None and len(fitting) > 1:
            twins = [own for shape, own in self.states.items() if shape == array.shape[:own] + array.shape[own + 1 :]]
            axis = next((own for own in twins if own in fitting), None)
        if axis is None and len(fitting) > 1 and self.states:
            raise NetworkError(
                f"output {name!r} has shape {array.shape} for {size} inputs, and any of the axes "
                f"{', '.join(map(str, fitting))} could count the batch; say which: --batch-axis {name}={fitting[-1]}, "
                f"in Python batch_axes={{{name!r}: {fitting[-1]}}}"
            )
        if axis is None and fitting:
            axis = fitting[0]
        if axis is None or axis not in fitting:
            other = fitting[0] if fitting else 1
            raise NetworkError(
                f"output {name!r} has shape {array.shape} for {size} inputs; export the network so that an axis of "
                f"every output counts the batch, name that axis (--batch-axis {name}={other}, in Python batch_axes="
                f"{{{name!r}: {other}}}), or leave the output out ({name}=none)"
            )
        return axis


def parse_batch_axes(words: Sequence[str]) -> dict[str, int | None]:
    """Read axes from words such as "h0=1", or "rate=none" for what has none.

    Raises
    ------
    ValueError
        If a word is none.
    """
    found = dict[str, int | None]()
    for word in words:
        name, equals, axis = word.rpartition("=")
        if not equals or not name or not (axis == "none" or axis.isdecimal()):
            raise ValueError(f"the axis of the batch is told as NAME=AXIS, such as h0=1 or rate=none, got {word!r}")
        found[name] = None if axis == "none" else int(axis)
    return found


def find_batch_axes(
    model: onnx.ModelProto, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], told: Mapping[str, int | None]
) -> BatchAxes:
    """Find the axes of a network.

    Parameters
    ----------
    model : ModelProto
        The network, recurrent nodes time first.
    inputs, outputs : mapping of str to sequence of int, str or None
        Shapes.
    told : mapping of str to int or None
        What the user says, None for inputs that all of a batch share and outputs to leave out.

    Raises
    ------
    NetworkError
        If the user names what is not there, no input has the batch, or its size is fixed to several numbers.
    """
    for name, axis in told.items():
        if name not in inputs and name not in outputs:
            raise NetworkError(
                f"no input or output {name!r} whose batch axis could be told; there are: "
                f"{', '.join([*inputs, *outputs])}"
            )
        count = len({**outputs, **inputs}[name])
        if axis is not None and name in inputs and axis >= count:
            raise NetworkError(f"input {name!r} has {count} axes, 0..{count - 1}, got {axis} for that of the batch")
    known = _axes_of_operators(model) | dict(told)
    word = _word(inputs, known)
    axes: dict[str, int | None] = {}
    free_elsewhere = {
        size for shape in inputs.values() if word in shape for size in shape if isinstance(size, str) and size != word
    }
    size = _fixed_size(inputs, known) if word is None else None
    for name, shape in inputs.items():
        free = [k for k, own in enumerate(shape) if not isinstance(own, int) and own not in free_elsewhere]
        if name in known or not shape:
            axes[name] = known.get(name)
        elif word is not None and word in shape:
            axes[name] = list(shape).index(word)
        elif (named := [k for k, own in enumerate(shape) if isinstance(own, str) and _WORDS[0].search(own)]) and word:
            axes[name] = named[0]
        elif isinstance(shape[0], int) and len(free) == 1 and size is None:
            axes[name] = free[0]
        elif size is not None and shape[0] != size and list(shape).count(size) == 1:
            axes[name] = list(shape).index(size)
        else:
            axes[name] = 0
    if all(axis is None for axis in axes.values()):
        raise NetworkError(
            "no input of the network has an axis that counts the batch; export it with one, or name it (--batch-axis)"
        )
    found: dict[str, int | None] = {name: known[name] for name in outputs if name in known}
    counted = [(name, axis, inputs[name][axis]) for name, axis in axes.items() if axis is not None]
    words = [size for _, _, size in counted if isinstance(size, str)]
    if not words and any(name not in found for name in outputs):
        words, outputs = [_BATCH], _shapes_with_free_batch(model, axes)
    for name, shape in outputs.items():
        places = [list(shape).index(own) for own in words if own in shape]
        if name not in found and places:
            found[name] = places[0]
    states = {tuple(own for k, own in enumerate(inputs[name]) if k != axis): axis for name, axis, _ in counted if axis}
    fixed = {size: name for name, _, size in counted if isinstance(size, int)}
    if len(fixed) > 1:
        texts = ", ".join(f"{name!r} {own}" for own, name in fixed.items())
        raise NetworkError(
            f"the network fixes the batch to several sizes: {texts}; name the axes that count it with --batch-axis "
            "(INPUT=1, or INPUT=none for what all inputs share), in Python batch_axes="
        )
    return BatchAxes(inputs=axes, outputs=found, states=states)


def _shapes_with_free_batch(model: onnx.ModelProto, axes: Mapping[str, int | None]) -> dict[str, Shape]:
    """Return the shapes of outputs, as far as they follow, were the batch not fixed."""
    free = without_weights(model)
    del free.graph.value_info[:]  # whose batch is fixed
    for value in free.graph.input:
        axis, kind = axes.get(value.name), value.type.tensor_type
        if axis is not None and axis < len(kind.shape.dim):
            kind.shape.dim[axis].dim_param = _BATCH
    for value in free.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(free, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):  # where onnx cannot say, runs will
        return {}
    return {
        value.name: [axis.dim_param or None for axis in value.type.tensor_type.shape.dim]
        for value in inferred.graph.output
    }


def _axes_of_operators(model: onnx.ModelProto) -> dict[str, int | None]:
    """Return the axes of values that a recurrent node takes and makes as they are: time is first in all."""
    found = dict[str, int | None]()
    for node in model.graph.node:
        if node.op_type in _RECURRENT and node.domain in ("", "ai.onnx"):
            found.update((node.input[k], 1) for k in (0, 5, 6) if k < len(node.input))
            found.update((name, axis) for name, axis in zip(node.output, (2, 1, 1), strict=False))
    found.pop("", None)
    return found


def _word(inputs: Mapping[str, Shape], known: Mapping[str, int | None]) -> str | None:
    """Return the name of the free axis that counts the batch; None if none is free or has a name."""
    for name, axis in known.items():
        if name in inputs and axis is not None and isinstance(own := inputs[name][axis], str):
            return own
    others = [shape for name, shape in inputs.items() if name not in known]
    names = [size for shape in others for size in shape if isinstance(size, str)]
    if (found := next((size for size in names if _WORDS[0].search(size)), None)) is not None:
        return found
    if (found := next((size for size in names if _WORDS[1].fullmatch(size)), None)) is not None:
        return found
    return next((shape[0] for shape in others if shape and isinstance(shape[0], str)), None)


def _fixed_size(inputs: Mapping[str, Shape], known: Mapping[str, int | None]) -> int | None:
    """Return the batch of a network that fixes it: that of axes that are known, or else of the first input."""
    axes = {name: known.get(name, 0) for name in inputs}
    sizes = [inputs[name][axis] for name, axis in axes.items() if axis is not None and inputs[name]]
    return next((size for size in sizes if isinstance(size, int)), None)
