"""Errors in numbers: largest, percentile, root mean square, and codes that differ."""

import numpy as np
import numpy.typing as npt

__all__ = ["compare_codes", "largest", "percentile", "rms"]


def largest(errors: npt.ArrayLike) -> float:
    """Return the largest magnitude."""
    return float(np.abs(np.asarray(errors)).max())


def percentile(errors: npt.ArrayLike, percent: float) -> float:
    """Return a percentile of the magnitudes, `percent` of 0..100."""
    return float(np.percentile(np.abs(np.asarray(errors)), percent))


def rms(errors: npt.ArrayLike) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.asarray(errors) ** 2)))


def compare_codes(differences: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the fractions of code differences that are zero, one in size, and larger."""
    size = np.abs(np.asarray(differences))
    return float((size == 0).mean()), float((size == 1).mean()), float((size > 1).mean())
