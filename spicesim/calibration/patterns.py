"""Code vectors and conductance matrices for checks: random ones, and structured ones that hurt more."""

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.coding import Polarity, rest_code

__all__ = ["adversarial_conductances", "adversarial_vectors", "code_vectors", "plane_vectors", "random_conductances"]


def code_vectors(rows: int, bits: int, random: int, rng: np.random.Generator) -> dict[str, Codes]:
    """Draw code vectors by kind: all-on, half-on, ramps, sparse, and `random` uniform ones.

    Structured vectors err several times more than random ones, so a check needs both.

    Parameters
    ----------
    rows : int
        Word lines.
    bits : int
        Of the codes.
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


def adversarial_vectors(
    rows: int, bits: int, polarity: Polarity, rng: np.random.Generator | None = None
) -> dict[str, Codes]:
    """Build the code vectors that hurt most, by kind.

    One row alone, where a small output shows the errors of all the others' rest; every second row, rail to rail; and
    for both signs halves and thirds whose currents cancel, so that the even part of every error adds up.

    Parameters
    ----------
    rows : int
        Word lines.
    bits : int
        Of the codes; one alone has no code of 0 V with both signs, and rows are off at its lower level.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.
    rng : numpy.random.Generator, optional
        Adds one row alone, rows rail to rail, and both signs in equal number, all three drawn.

    Returns
    -------
    dict of ndarray of int64, shape (rows,)
        By name.
    """
    top, row = 2**bits - 1, np.arange(rows)
    off = rest_code(polarity, bits)
    vectors = {
        "first row alone": np.where(row == 0, top, off),
        "last row alone": np.where(row == rows - 1, top, off),
        "every second row": np.where(row % 2 == 1, top, 0),
    }
    if polarity == "bipolar":
        vectors |= {
            "all lowest": np.zeros(rows),
            "last row lowest": np.where(row == rows - 1, 0, off or top),
            "first half up, second down": np.where(row < rows // 2, top, 0),
            "thirds that cancel": np.where(row % 3 == 0, top, off // 2),
        }
    if rng is not None:
        vectors |= {
            "any row alone": np.where(row == rng.integers(rows), rng.choice([0, top]), off),
            "rail to rail": rng.choice([0, top], rows),
            "equal signs": rng.permutation(np.where(row < rows // 2, top, 0)),
        }
    return {name: vector.astype(np.int64) for name, vector in vectors.items()}


def plane_vectors(rows: int, bits: int) -> dict[str, Codes]:
    """Build the code vectors that hurt most where the bits of codes are added: planes that are far apart, by kind.

    Returns
    -------
    dict of ndarray of int64, shape (rows,)
        All rows alternate from bit to bit; every second row does so the other way; the highest bit alone, the lowest
        alone, and all but the highest: neighbours of its step.
    """
    odd, even = (sum(1 << k for k in range(first, bits, 2)) for first in (1, 0))
    top = 1 << bits - 1
    whole = {"bits alternate": odd, "other bits alternate": even, "highest bit alone": top, "lowest bit alone": 1}
    vectors = {name: np.full(rows, code) for name, code in (whole | {"all but the highest bit": top - 1}).items()}
    vectors["bits and rows alternate"] = np.where(np.arange(rows) % 2 == 0, odd, even)
    return {name: vector.astype(np.int64) for name, vector in vectors.items()}


def adversarial_conductances(rows: int, shape: tuple[int, int], g_min: float, g_max: float) -> dict[str, Floats]:
    """Build the conductance matrices that hurt most, by name: two full columns, a checkerboard, the far corner alone.

    Parameters
    ----------
    rows : int
        Word lines of the full columns: with all of an array's, errors of cells add up most.
    shape : tuple of int
        Rows and columns of the others.
    g_min, g_max : float
        Range [S].
    """
    squares = np.indices(shape).sum(axis=0) % 2
    corner, size = np.full(shape, g_min), f"{shape[0]}x{shape[1]}"
    corner[0, -1] = g_max  # far from its driver and from its amplifier
    return {
        f"{rows}x2 all highest": np.full((rows, 2), g_max),
        f"{size} checkerboard": np.where(squares == 0, g_max, g_min),
        f"{size} far corner": corner,
    }


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
        Mean conductance [S]: powers of uniform numbers crowd towards `g_min` as in trained arrays. Uniform if absent or
        not within the range.
    """
    uniform = rng.random(shape)
    if mean is not None and g_min < mean < g_max:
        share = (mean - g_min) / (g_max - g_min)
        uniform = uniform ** ((1 - share) / share)
    return np.asarray(g_min + (g_max - g_min) * uniform)
