"""Intervals of estimates that are near a bound, from the likelihood ratio and what chance makes of it there.

A resistance is not negative. That says more than where its own interval ends: where only the sum of two resistances is
well known, neither is larger than the sum. Intervals of so many standard errors know nothing of this and are too wide.
Here a value belongs to the interval if its likelihood ratio, the other parameters being the likeliest, is no rarer than
the confidence allows, by simulation (G. J. Feldman and R. D. Cousins, Physical Review D 57 (1998) 3873).
"""

from itertools import combinations

import numpy as np
from scipy.special import ndtri

from spicesim.arrays import Floats

__all__ = ["bounded_interval"]

_NEAR = 6.0
"""Standard errors within which a bound has an effect."""
_FAR = 20.0
"""Standard errors beyond which it has none."""
_DRAWS = 2000
"""Simulations of each value that is judged."""
_HALVINGS = 8
"""Of the range in which the end of an interval lies."""


def bounded_interval(
    k: int, estimates: Floats, covariance: Floats, low: Floats, *, reach: float, confidence: float
) -> tuple[float, float]:
    """Find where a parameter lies.

    Parameters
    ----------
    k : int
        Which parameter.
    estimates : ndarray of shape (parameters,)
        As they would be without bounds; normal errors.
    covariance : ndarray of shape (parameters, parameters)
        Of these.
    low : ndarray of shape (parameters,)
        Least possible values.
    reach : float
        Half the width of the interval far from bounds, in standard errors.
    confidence : float
        Probability that the interval covers the truth.

    Returns
    -------
    tuple of float
        Both ends.
    """
    size = np.sqrt(np.diag(covariance))
    near = [j for j in range(len(size)) if j != k and size[j] > 0 and estimates[j] - low[j] < _NEAR * size[j]]
    room = np.maximum(low, estimates - _FAR * size)
    if size[k] == 0 or not (near or estimates[k] - room[k] < _NEAR * size[k]):
        return float(estimates[k] - reach * size[k]), float(estimates[k] + reach * size[k])
    chosen = [k, *near]
    judged = _Judged(
        (estimates - room)[chosen] / size[chosen], (covariance / np.outer(size, size))[np.ix_(chosen, chosen)],
        confidence, (reach / ndtri(0.5 + confidence / 2)) ** 2,
    )  # fmt: skip
    ends = judged.find(-1.0), judged.find(1.0)
    return float(room[k] + ends[0] * size[k]), float(room[k] + ends[1] * size[k])


class _Judged:
    """Estimates in standard errors above their bounds; the first one's values are judged."""

    def __init__(self, estimates: Floats, correlation: Floats, confidence: float, wider: float) -> None:
        powers, directions = np.linalg.eigh(correlation)
        root = np.sqrt(np.maximum(powers, 1e-12))
        self.whole = (directions / root).T
        """To independent errors of size one."""
        self.data, self.confidence, self.wider = self.whole @ estimates, confidence, wider
        self.draws = np.random.default_rng(0).standard_normal((_DRAWS, len(estimates)))

    def ratio(self, value: float, data: Floats) -> tuple[Floats, Floats]:
        """Return twice the logarithm of the likelihood ratio, and the others where they are likeliest."""
        fixed, others = _minimise(self.whole[:, 1:], data - self.whole[:, 0] * value)
        return fixed - _minimise(self.whole, data)[0], others

    def accept(self, value: float) -> bool:
        """Judge a value by what chance makes of it."""
        found, others = self.ratio(value, self.data[None])
        truth = self.whole @ np.concatenate([[value], others[0]])
        rarest = np.quantile(self.ratio(value, truth + self.draws)[0], self.confidence)
        return bool(found[0] <= self.wider * rarest)

    def find(self, side: float) -> float:
        """Find the lower end (-1) or the upper one (1)."""
        inside = float(_minimise(self.whole, self.data[None])[1][0, 0])
        step = 1.0
        while side > 0 and self.accept(inside + step):
            inside, step = inside + step, 2 * step
        outside = inside + step if side > 0 else 0.0
        if side < 0 and self.accept(outside):
            return outside
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if self.accept(middle) else (inside, middle)
        return inside


def _minimise(matrix: Floats, data: Floats) -> tuple[Floats, Floats]:
    """Minimise |A x - b|^2 over x >= 0 for many b, shape (draws, data); return the least values and where.

    The unknowns are few: every set of those that are not 0 is tried.
    """
    least, where = np.sum(data**2, axis=1), np.zeros((len(data), matrix.shape[1]))
    for count in range(1, matrix.shape[1] + 1):
        for chosen in map(list, combinations(range(matrix.shape[1]), count)):
            solved = data @ np.linalg.pinv(matrix[:, chosen]).T
            left = np.sum((data - solved @ matrix[:, chosen].T) ** 2, axis=1)
            better = (solved >= 0).all(axis=1) & (left < least)
            least = np.where(better, left, least)
            where[better] = 0.0
            where[np.ix_(better, chosen)] = solved[better]
    return least, where
