"""Operating points of products by pulses: which of them to solve, and how long each counts.

All pulses start at one time, so rows go off in the order of their lengths, and a product passes through the operating
points with the n rows of the longest pulses on. What these differ by from superposed rows is 0 with no row or one, and
known with all. Between, it is smooth in n but for what depends on which rows are on: a polynomial of low order through
all points that are solved, and straight lines from one to the next for what is left, are integrated over the time that
each n lasts. So points are solved where a product spends its time, and none counts negatively for long. That is exact
where no more points are asked for than there are different lengths.
"""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats, Integers

__all__ = ["Pulses", "superpose"]


ORDERS = 2
"""Orders of the polynomial, n (n - 1) and n^2 (n - 1)."""
ALL_ON = 0.3
"""Weight of the point with all rows on in the fit of the polynomial, beside those that are solved for the product."""
CAPPED = 3
"""Times that what lasts longer than its share is cut to it, when points are shared out over a product."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pulses:
    """Operating points of products; in the last of each all rows are on."""

    on: Integers
    """Which rows are on, (batch, points + 1, rows)."""
    weights: Floats
    """How long each counts [units], (batch, points + 1)."""


def superpose(lengths: Floats, points: int) -> Pulses:
    """Choose operating points of products.

    Parameters
    ----------
    lengths : ndarray of shape (batch, rows)
        Lengths of the pulses [units].
    points : int
        Operating points of a product, at most, beside that with all rows on.
    """
    batch, rows = lengths.shape
    order = np.argsort(-lengths, axis=1, kind="stable")
    falling = np.take_along_axis(lengths, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(rows), lengths.shape), axis=1)
    # how long exactly n = 1, 2, .. rows are on
    lasts = falling - np.concatenate([falling[:, 1:], np.zeros((batch, 1))], axis=1)
    points = max(1, min(points, rows))
    between = lasts.copy()
    between[:, -1] = 0.0
    counts, weights = np.full((batch, points + 1), rows), np.zeros((batch, points + 1))
    weights[:, -1] = lasts[:, -1]
    few = (between > 0).sum(axis=1) <= points
    if few.any():
        place = np.argsort(between[few] == 0, axis=1, kind="stable")[:, :points]
        counts[few, :-1], weights[few, :-1] = place + 1, np.take_along_axis(between[few], place, axis=1)
    if not few.all():
        between[:, 0] = 0.0
        counts[~few, :-1] = _shared_out(between[~few], points)
        weights[~few] = _integrated(lasts[~few], counts[~few])
    return Pulses(on=(rank[:, None, :] < counts[:, :, None]).astype(np.int64), weights=weights)


def _shared_out(lasts: Floats, points: int) -> Integers:
    """Return where to solve, (batch, points), rising: of equal shares of the time the n that lasts longest.

    Of what lasts longer than its share the rest does not count; a share that is empty then is solved at n = 1.
    """
    shares = lasts
    for _ in range(CAPPED):
        shares = np.minimum(lasts, shares.sum(axis=1, keepdims=True) / points)
    middles = np.cumsum(shares, axis=1) - shares / 2
    cells = np.minimum((middles * (points / shares.sum(axis=1, keepdims=True))).astype(np.int64), points - 1)
    counts = np.ones((len(lasts), points), dtype=np.int64)
    for k in range(points):
        near = np.where(cells == k, lasts, 0.0)
        counts[:, k] = near.argmax(axis=1) + 1
    return np.sort(counts, axis=1)


def _integrated(lasts: Floats, counts: Integers) -> Floats:
    """Return the weights of what is known at some n, rising, the last of them all rows; see the module."""
    batch, rows = lasts.shape
    n = np.arange(1, rows + 1)
    nodes = np.concatenate([np.ones((batch, 1), dtype=np.int64), counts], axis=1)
    # straight lines: each n gives its time to the nodes on either side of it
    each = np.arange(batch)[:, None]
    begins = np.zeros((batch, rows + 2), dtype=np.int64)
    np.add.at(begins, (each, nodes), 1)
    before = np.cumsum(begins, axis=1)[:, 1:-1] - 1
    after = np.minimum(before + 1, nodes.shape[1] - 1)
    low, high = (np.take_along_axis(nodes, index, axis=1) for index in (before, after))
    share = (n - low) / np.maximum(high - low, 1)
    weights = np.zeros(nodes.shape)
    np.add.at(weights, (each, before), lasts * (1 - share))
    np.add.at(weights, (each, after), lasts * share)
    weights = np.where(nodes > 1, weights, 0.0)[:, 1:]  # there is nothing beyond superposition at 1
    # a polynomial by least squares, for what straight lines leave of it
    shape, known = _powers(n / rows, rows), _powers(counts / rows, rows)
    trust = np.where(counts == rows, ALL_ON**2, 1.0)[..., None]
    left = lasts @ shape - np.einsum("bp,bpo->bo", weights, known)
    matrix = np.einsum("bpo,bpq->boq", known, trust * known)
    matrix += 1e-13 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(ORDERS)
    moments = np.linalg.solve(matrix, left[..., None])
    return np.asarray(weights + (trust * known @ moments)[..., 0])


def _powers(x: Floats, rows: int) -> Floats:
    """Return the orders of the polynomial at n / rows, (.., orders)."""
    return np.asarray((x * (x - 1 / rows))[..., None] * x[..., None] ** np.arange(ORDERS))
