"""Designs: where in a box to measure, by Chebyshev nodes or by points that fill the space evenly."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spicesim.arrays import Floats

__all__ = ["Filling", "chebyshev_nodes", "fill", "near"]

Filling = Literal["sobol", "latin hypercube"]
"""Ways to fill a box evenly."""


def chebyshev_nodes(low: float, high: float, count: int) -> Floats:
    """Chebyshev nodes of an interval, stretched so that the outermost ones are its ends."""
    angles = np.pi * (np.arange(count) + 0.5) / count
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.cos(angles) / np.cos(angles[0]))


def fill(kind: Filling, points: int, axes: int, seed: Sequence[int]) -> Floats:
    """Fill the unit cube evenly, shape (points, axes).

    Parameters
    ----------
    kind : {"sobol", "latin hypercube"}
        The sequence, scrambled. A Sobol sequence is most even at powers of two.
    points, axes : int
        How many points in how many dimensions.
    seed : sequence of int
        Of the scrambling.
    """
    from scipy.stats import qmc  # takes long to import

    rng = np.random.default_rng(list(seed))
    if kind == "latin hypercube":
        return np.asarray(qmc.LatinHypercube(axes, rng=rng).random(points))
    return np.asarray(qmc.Sobol(axes, rng=rng).random_base2(int(np.ceil(np.log2(points))))[:points])


def near(centres: Floats, points: int, width: float, seed: Sequence[int]) -> Floats:
    """Fill small boxes around points of the unit cube.

    Parameters
    ----------
    centres : ndarray of shape (boxes, axes)
        Middles of the boxes.
    points : int
        Points a box.
    width : float
        Width of a box; at the cube's faces it is cut off.
    seed : sequence of int
        Of the scrambling.

    Returns
    -------
    ndarray of shape (boxes * points, axes)
        The points, box by box.
    """
    boxes = [
        np.clip(centre + width * (fill("sobol", points, len(centre), [*seed, k]) - 0.5), 0.0, 1.0)
        for k, centre in enumerate(centres)
    ]
    return np.concatenate(boxes)
