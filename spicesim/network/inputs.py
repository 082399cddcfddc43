"""What goes into a network, checked before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from spicesim.arrays import Array
from spicesim.errors import NetworkError

__all__ = ["InputSpec", "check_inputs", "input_specs"]

DATA_SET_KEYS = frozenset({"x", "y", "x_calibration"})
"""Names that a data set may hold beside the inputs of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a network wants of one input."""

    name: str
    """Its name."""
    dtype: np.dtype[Any]
    """Its element type."""
    shape: tuple[int | None, ...]
    """Its shape, None where any size will do."""
    axis: int | None = 0
    """Axis that counts the batch; None if all inputs share it."""


_DTYPES = {"float": "float32", "double": "float64"}


def input_specs(session: onnxruntime.InferenceSession, axes: Mapping[str, int | None]) -> tuple[InputSpec, ...]:
    """Return what a session wants, of inputs whose axes of the batch are known.

    Raises
    ------
    NetworkError
        If an input is no tensor of numbers.
    """
    specs = []
    for value in session.get_inputs():
        kind = value.type.removeprefix("tensor(").removesuffix(")")
        if not value.type.startswith("tensor(") or kind == "string":
            raise NetworkError(
                f"input {value.name!r} is {value.type} of shape {value.shape}; only tensors of numbers are supported, "
                "so export the network with such inputs"
            )
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        dtype = np.dtype(_DTYPES.get(kind, kind))
        specs.append(InputSpec(name=value.name, dtype=dtype, shape=shape, axis=axes[value.name]))
    return tuple(specs)


def check_inputs(x: npt.ArrayLike | Mapping[str, npt.ArrayLike], specs: tuple[InputSpec, ...]) -> dict[str, Array]:
    """Bring a batch into the form that the network wants.

    Parameters
    ----------
    x : array_like or mapping of str to array_like
        The one input, or all inputs by name; a sole input may also go by the name "x". "y" and
        "x_calibration" are passed over.
    specs : tuple of InputSpec
        What the network wants.

    Returns
    -------
    dict of str to ndarray
        Inputs by name.

    Raises
    ------
    NetworkError
        If a name, a shape or an element type is wrong, a value is NaN or infinite, or nothing is given.
    """
    wanted = ", ".join(repr(spec.name) for spec in specs)
    if isinstance(x, Mapping):
        given = dict(x)
    elif len(specs) == 1:
        given = {specs[0].name: x}
    else:
        raise NetworkError(f"got one array, but the network has the inputs {wanted}; give each by its name")
    if len(specs) == 1 and specs[0].name not in given and "x" in given:
        given[specs[0].name] = given["x"]
    names = {spec.name for spec in specs}
    for spec in specs:
        if spec.name not in given:
            got = ", ".join(repr(name) for name in sorted(given)) or "nothing"
            also = " or 'x'" if len(specs) == 1 and spec.name != "x" else ""
            raise NetworkError(f"no array for input {spec.name!r}, got {got}; name it {spec.name!r}{also}")
    unknown = sorted(set(given) - names - DATA_SET_KEYS)
    if unknown:
        raise NetworkError(f"unknown input {unknown[0]!r}; the network has the inputs {wanted}")
    arrays = {spec.name: _check_array(given[spec.name], spec) for spec in specs}
    places = {spec.name: spec.axis for spec in specs if spec.axis is not None}
    lengths = {name: arrays[name].shape[axis] for name, axis in places.items()}
    if len(set(lengths.values())) > 1:
        where = ", ".join(f"{lengths[name]} of {name!r} (axis {axis})" for name, axis in places.items())
        found = list(lengths.values())
        usual = max(found, key=found.count)
        odd = next(name for name in lengths if lengths[name] != usual)
        axis = next((k for k, size in enumerate(arrays[odd].shape) if size == usual), "none")
        raise NetworkError(
            f"inputs differ in length: {where}; give as many of each, or name the axis that counts the batch: "
            f"--batch-axis {odd}={axis}, in Python batch_axes={{{odd!r}: {None if axis == 'none' else axis}}}"
        )
    return arrays


def _check_array(given: npt.ArrayLike, spec: InputSpec) -> Array:
    """Check one input."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise NetworkError(f"input {spec.name!r} is no array: {error}; give rows of equal length") from None
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in spec.shape) + ")"
    fits = array.ndim == len(spec.shape) and all(
        size in (None, got) or k == spec.axis for k, (size, got) in enumerate(zip(spec.shape, array.shape, strict=True))
    )
    where = "no axis counts the batch" if spec.axis is None else f"the {_ordinal(spec.axis)} axis counts the batch"
    if not fits:
        raise NetworkError(
            f"input {spec.name!r} has shape {array.shape}, the network wants {wanted}; reshape the data, {where}"
        )
    batch = None if spec.axis is None else spec.shape[spec.axis]
    if array.size == 0 or (batch and array.shape[spec.axis or 0] % batch):
        some = f"a multiple of {batch}" if batch else "at least one"
        raise NetworkError(f"input {spec.name!r} has shape {array.shape}, wanted {some}, and {where}")
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, spec.dtype, casting="same_kind"):
        raise NetworkError(
            f"input {spec.name!r} is of type {array.dtype}, the network wants {spec.dtype}; convert the data"
        )
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise NetworkError(f"input {spec.name!r}: {bad} of {array.size} values are NaN or infinite; clean the data")
    return array.astype(spec.dtype, copy=False)


def _ordinal(axis: int) -> str:
    words = ("first", "second", "third", "fourth")
    return words[axis] if axis < len(words) else f"{axis + 1}th"
