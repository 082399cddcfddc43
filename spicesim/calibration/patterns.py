"""Code vectors and conductance matrices for checks: random ones, and structured ones that hurt more."""

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats

__all__ = ["code_vectors", "random_conductances"]

Codes = npt.NDArray[np.int64]


def code_vectors(rows: int, bits: int, random: int, rng: np.random.Generator) -> dict[str, Codes]:
    """Draw code vectors by kind: all-on, half-on, ramps, sparse, and `random` uniform ones.

    Structured vectors err several times more than random ones, so a check needs both.

    Parameters
    ----------
    rows : int
        Word lines.
    bits : int
        Resolution of the DAC.
    random : int
        How many uniform vectors.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of ndarray of int64, shape (rows,)
        By name.
    """
    top = 2**bits - 1
    row = np.arange(rows)
    sparse = np.where(rng.random(rows) < 0.15, rng.integers(0, top + 1, rows), 0)
    vectors = {
        "all on": np.full(rows, top),
        "near half on": np.where(row < rows // 2, top, 0),
        "far half on": np.where(row >= rows // 2, top, 0),
        "ramp up": np.rint(row / max(1, rows - 1) * top).astype(int),
        "ramp down": np.rint((1 - row / max(1, rows - 1)) * top).astype(int),
        "sparse": sparse,
    }
    vectors.update({f"random {k}": rng.integers(0, top + 1, rows) for k in range(random)})
    return {name: vector.astype(np.int64) for name, vector in vectors.items()}


def random_conductances(
    shape: tuple[int, int], g_min: float, g_max: float, rng: np.random.Generator, mean: float | None = None
) -> Floats:
    """Draw device conductances.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    g_min, g_max : float
        Range [S].
    rng : numpy.random.Generator
        Source of randomness.
    mean : float, optional
        Mean conductance [S]: powers of uniform numbers crowd towards `g_min` as in trained arrays. Uniform if absent.
    """
    uniform = rng.random(shape)
    if mean is not None:
        share = (mean - g_min) / (g_max - g_min)
        uniform = uniform ** ((1 - share) / share)
    return np.asarray(g_min + (g_max - g_min) * uniform)
