"""Trials: inputs held out from the making of a form, and what a form errs on them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Trial", "held_out_inputs", "measure"]

Floats = npt.NDArray[np.float64]

RANDOM = 24
"""Random inputs of a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Errors of one form against the exact solution, as fractions of full scale."""

    form: str
    """Which."""
    cost: int
    """Products of a (batch, rows) by a (rows, columns) matrix."""
    max_error: float
    """Largest."""
    rms_error: float
    """Root of the mean square."""


def held_out_inputs(rows: int, low: float, high: float, seed: int, random: int = RANDOM) -> Floats:
    """Draw inputs: structured ones, which err most, and random ones.

    All on, half on near and far from the sense amplifiers, every second on, ramps, sparse, random bits, nothing, each
    with 0 V for off if the range has it; for a range of both signs also all and half at the lowest and the full ramp.

    Parameters
    ----------
    rows : int
        Word lines.
    low, high : float
        Range [V].
    seed : int
        Of the random ones.

    Returns
    -------
    ndarray of shape (inputs, rows)
        Source voltages [V].
    """
    rng = np.random.default_rng([seed, rows])
    row = np.arange(rows)
    ramp = row / max(1, rows - 1)
    off = min(max(0.0, low), high)
    patterns = [
        np.full(rows, high),
        np.where(row < rows // 2, high, off),
        np.where(row >= rows // 2, high, off),
        np.where(row % 2 == 1, high, off),
        off + (high - off) * ramp,
        off + (high - off) * ramp[::-1],
        *(np.where(rng.random(rows) < share, rng.uniform(low, high, rows), off) for share in (0.15, 0.15, 0.4)),
        *(np.where(rng.random(rows) < share, high, low) for share in (0.3, 0.5, 0.7)),
        np.full(rows, off),
    ]
    if low < off:
        patterns += [
            np.full(rows, low),
            np.where(row < rows // 2, high, low),
            np.where(row < rows // 2, off, low),
            low + (high - low) * ramp,
        ]
    return np.concatenate([patterns, rng.uniform(low, high, (random, rows))])


def measure(values: npt.NDArray[np.floating], exact: Floats, full_scale: float) -> tuple[float, float]:
    """Return the largest and the root-mean-square error as fractions of full scale; infinite if one is no number."""
    if full_scale == 0:
        return 0.0, 0.0
    error = (values - exact) / full_scale
    if not np.isfinite(error).all():
        return np.inf, np.inf
    return float(np.abs(error).max(initial=0.0)), float(np.sqrt(np.mean(error**2)))
