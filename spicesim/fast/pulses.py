"""Operating points of products by pulses: which of them to solve, and how long each counts.

All pulses start at one time, so rows go off in the order of their lengths, and a product passes through the operating
points with the n rows of the longest pulses on. What these differ by from superposed rows is smooth in n, and 0 with no
row or one: a polynomial through these and a few others, whatever the lengths, is integrated over the time that each n
lasts. That is exact where no more points are asked for than there are different lengths.
"""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats, Integers

__all__ = ["Pulses", "superpose"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pulses:
    """Operating points of products."""

    on: Integers
    """Which rows are on, (batch, points, rows)."""
    weights: Floats
    """How long each counts [units], (batch, points)."""


def superpose(lengths: Floats, points: int) -> Pulses:
    """Choose operating points of products.

    Parameters
    ----------
    lengths : ndarray of shape (batch, rows)
        Lengths of the pulses [units].
    points : int
        Operating points of a product, at most.
    """
    batch, rows = lengths.shape
    order = np.argsort(-lengths, axis=1, kind="stable")
    falling = np.take_along_axis(lengths, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(rows), lengths.shape), axis=1)
    # how long exactly n = 1, 2, .. rows are on
    lasts = falling - np.concatenate([falling[:, 1:], np.zeros((batch, 1))], axis=1)
    points = max(1, min(points, rows))
    different = (lasts > 0).sum(axis=1)
    counts, weights = np.zeros((batch, points), dtype=np.int64), np.zeros((batch, points))
    few = different <= points
    if few.any():
        place = np.argsort(lasts[few] == 0, axis=1, kind="stable")[:, :points]
        counts[few], weights[few] = place + 1, np.take_along_axis(lasts[few], place, axis=1)
    if not few.all():
        counts[~few], weights[~few] = _smooth(lasts[~few], (falling[~few] > 0).sum(axis=1), points)
    return Pulses(on=(rank[:, None, :] < counts[:, :, None]).astype(np.int64), weights=weights)


def _smooth(lasts: Floats, most: Integers, points: int) -> tuple[Integers, Floats]:
    """Choose n and weights of polynomials that are 0 at n = 0 and 1; of products whose last row goes on at `most`."""
    share = (1 - np.cos(np.pi * np.arange(1, points + 1) / points)) / 2
    counts = np.rint(share * most[:, None]).astype(np.int64)
    counts = np.maximum(counts, np.arange(2, points + 2))  # there are more rows on than points, so all differ
    counts = np.minimum(counts, most[:, None] - np.arange(points - 1, -1, -1))
    nodes = np.concatenate([np.tile([0, 1], (len(counts), 1)), counts], axis=1)

    def chebyshev(n: Integers) -> Floats:
        return np.asarray(np.polynomial.chebyshev.chebvander(2 * n / most[:, None] - 1, points + 1))

    n = np.broadcast_to(np.arange(1, lasts.shape[1] + 1), lasts.shape)
    moments = np.einsum("bn,bnp->bp", lasts, chebyshev(np.minimum(n, most[:, None])))
    weights = np.linalg.solve(np.swapaxes(chebyshev(nodes), 1, 2), moments[:, :, None])[:, :, 0]
    return counts, weights[:, 2:]
