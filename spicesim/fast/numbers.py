"""Numbers of forms as plain arrays by name: to be kept in a file, and taken from one that anybody wrote."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Array
from spicesim.errors import SpecError

__all__ = ["Numbers", "scoped", "take", "take_scalar", "under"]

Numbers = Mapping[str, Array]
"""Arrays by their names."""


def take(numbers: Numbers, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Array:
    """Return an array of a shape and type, its numbers finite.

    Raises
    ------
    SpecError
        If it is not there, or another: kernels trust what they are given.
    """
    found = numbers.get(name)
    if found is None or found.shape != shape or found.dtype != np.dtype(dtype) or not np.isfinite(found).all():
        raise SpecError(
            f"{name!r} is not what was kept of a tile: wanted finite {np.dtype(dtype).name} of shape {shape}"
        )
    return np.ascontiguousarray(found)


def take_scalar(numbers: Numbers, name: str, dtype: npt.DTypeLike = np.float64) -> float:
    """Return a number; as :func:`take`."""
    return float(take(numbers, name, (), dtype).item())


def under(prefix: str, numbers: Numbers) -> dict[str, Array]:
    """Return numbers with their names under a prefix."""
    return {f"{prefix}.{name}": array for name, array in numbers.items()}


def scoped(numbers: Numbers, prefix: str) -> dict[str, Array]:
    """Return the numbers whose names are under a prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in numbers.items() if name.startswith(start)}
