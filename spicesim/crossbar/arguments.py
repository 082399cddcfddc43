"""Arguments of arrays: numbers checked by name, and spread over rows and columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Array, Floats
from spicesim.errors import SpecError

__all__ = ["as_batch", "as_mask", "as_numbers", "as_options", "as_positive"]

HIGHEST = 1e15
"""Largest voltage of an input [V]; its square, and its current in single precision, are numbers yet."""


def as_numbers(name: str, value: npt.ArrayLike) -> Floats:
    """Convert to floats, or say clearly that it cannot be done."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" and array.dtype != object:
            raise TypeError(f"of type {array.dtype}")
        return np.asarray(array, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name} must be an array of real numbers ({error})") from None


def as_positive(
    name: str, value: npt.ArrayLike, shape: tuple[int, ...], unit: str, *, infinite: bool = False
) -> Floats:
    """Check conductances or resistances >= 0 and spread a scalar over a shape; the result is not writeable."""
    array = as_numbers(name, value)
    if array.ndim and array.shape != shape:
        raise SpecError(f"{name} must be a scalar or have shape {shape}, got {array.shape}")
    right = (array >= 0) & (np.isfinite(array) | infinite)
    if not right.all():
        bad = array[~right].flat[0]
        raise SpecError(f"{name} must be {'' if infinite else 'finite and '}>= 0 {unit}, got {bad:g}")
    result = np.array(np.broadcast_to(array, shape), dtype=float, order="C")
    result.flags.writeable = False
    return result


def as_batch(v: npt.ArrayLike, rows: int, precision: str = "double") -> tuple[Floats, bool]:
    """Check input voltages; return them as (batch, rows), and whether they were one vector."""
    is_single = isinstance(v, np.ndarray) and v.dtype == np.float32 and precision == "single"
    array: Array = np.asarray(v) if is_single else as_numbers("v", v)
    if precision == "single":
        with np.errstate(over="ignore"):  # refused below
            array = array.astype(np.float32, copy=False)
    if array.ndim not in (1, 2) or array.shape[-1] != rows:
        raise SpecError(f"v must have shape (batch, {rows}) or ({rows},), got {array.shape}")
    if not (np.abs(array) <= HIGHEST).all():
        raise SpecError(
            f"v must hold finite voltages of at most {HIGHEST:g} V; look for the NaN or infinity in the input"
        )
    return np.ascontiguousarray(np.atleast_2d(array)), array.ndim == 1


def as_mask(mask: npt.ArrayLike | None, shape: tuple[int, int]) -> Floats | None:
    """Check a mask of 0 and 1, (batch, rows) or (rows,); return it as (batch, rows)."""
    if mask is None:
        return None
    array = as_numbers("mask", mask)
    if array.shape not in (shape, shape[1:]):
        raise SpecError(f"mask must have shape {shape} or {shape[1:]}, got {array.shape}")
    if not np.isin(array, (0.0, 1.0)).all():
        raise SpecError("mask must hold 0 or 1: the gates of a word line's cells are off or on")
    return np.ascontiguousarray(np.broadcast_to(array, shape))


def as_options(**options: tuple[Any, tuple[str, ...]]) -> None:
    """Check words against what is allowed: name=(value, (allowed, ..))."""
    for name, (value, allowed) in options.items():
        if value not in allowed:
            raise SpecError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")
