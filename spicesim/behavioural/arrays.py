"""Arrays of floats as fields of validated models: finite, read-only, written to JSON as lists."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from spicesim.arrays import Floats
from spicesim.errors import quote
from spicesim.gate import require_line

__all__ = ["FloatArray", "Model", "mix_models", "require_positive", "require_rising", "require_shape"]

LARGEST = 1e60
"""No quantity of a circuit in SI units is larger, and the products of some smaller ones are still numbers."""


def _to_array(value: Any) -> Floats:
    try:
        array = np.array(value)
    except (ValueError, TypeError, OverflowError):  # ragged, or too deep
        array = np.array(None)
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise ValueError("must be an array of numbers, all of its lists of one length")
    array = array.astype(float)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"must hold numbers up to {LARGEST:g} only")
    array.flags.writeable = False
    return array


FloatArray = Annotated[
    np.ndarray[Any, np.dtype[np.float64]], BeforeValidator(_to_array), PlainSerializer(np.ndarray.tolist)
]
"""Type of an array field."""


def require_shape(name: str, array: Floats, *shape: int | None) -> None:
    """Refuse an array of another shape; None stands for any length of one or more."""
    fits = array.ndim == len(shape) and all(
        got >= 1 if wanted is None else got == wanted for got, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")


def require_rising(name: str, values: npt.ArrayLike, least: int = 2) -> None:
    """Refuse what is no list of at least some rising numbers."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < least or not (np.diff(array) > 0).all():
        raise ValueError(f"{name} must be a list of {least} or more rising numbers")


def require_positive(**values: float) -> None:
    """Refuse numbers that are not positive."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value:g}")


class Model(BaseModel):
    """Base of the calibrated block models: frozen, strict, JSON both ways without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        """Refuse text that would take control of a terminal or a page."""
        for name, value in self.__dict__.items():
            _require_lines(value, name)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; what was found from the fields of this one is found anew from its own."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields:
            del copy.__dict__[name]
        return copy


def _require_lines(value: Any, what: str) -> None:
    if isinstance(value, str):
        require_line(value.replace("\n", " ").replace("\t", " "), what, longest=100_000)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _require_lines(key, what)
            _require_lines(entry, what)
    elif isinstance(value, tuple) and value and isinstance(value[0], str | tuple):
        for entry in value:
            _require_lines(entry, what)


M = TypeVar("M", bound=Model)


def mix_models(weights: npt.ArrayLike, models: Sequence[M]) -> M:
    """Return a sum of models alike, each with its weight: of all their numbers with a point, however deep.

    What is no such number is that of the first.

    Raises
    ------
    ValueError
        If they are not alike, or their sum is no model.
    """
    mixed: M = _mix(np.asarray(weights, dtype=float), models)
    return mixed


def _mix(weights: Floats, values: Sequence[Any]) -> Any:
    first = values[0]
    if any(type(value) is not type(first) for value in values):
        raise ValueError(f"a {type(first).__name__} and other things cannot be mixed")
    if isinstance(first, np.ndarray):
        return np.tensordot(weights, np.stack(values), 1)
    if isinstance(first, float):
        return float(np.dot(weights, values))
    if isinstance(first, tuple):
        return tuple(_mix(weights, parts) for parts in zip(*values, strict=True))
    if isinstance(first, dict):
        if any(value.keys() != first.keys() for value in values):
            raise ValueError(f"only models of the same things can be mixed, got {quote(', '.join(map(str, first)))}")
        return {key: _mix(weights, [value[key] for value in values]) for key in first}
    if isinstance(first, Model):
        names = type(first).model_fields
        return type(first)(**{name: _mix(weights, [getattr(value, name) for value in values]) for name in names})
    return first
