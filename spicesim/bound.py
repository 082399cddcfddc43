"""What a random sample says about all: bounds with a confidence, whatever the distribution."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, betaincinv

from spicesim.errors import SpecError

__all__ = ["CONFIDENCE", "SampleBound", "exceeding_share", "share_interval", "strata_share"]

CONFIDENCE = 0.95
"""Of all bounds, unless another is asked for."""


def exceeding_share(count: int, confidence: float = CONFIDENCE) -> float:
    """Return the largest share of a population that lies above the largest of `count` random members.

    Parameters
    ----------
    count : int
        Members drawn.
    confidence : float
        Probability with which the bound holds.

    Returns
    -------
    float
        p with ``1 - (1 - p)**count = confidence``.

    Raises
    ------
    SpecError
        If nothing was drawn, or the confidence is not within 0..1.

    Notes
    -----
    Were more than p above, a sample would have missed them all with probability below ``(1 - p)**count``. Nothing is
    assumed of the distribution (S. S. Wilks, Ann. Math. Statist. 12 (1941) 91).
    """
    _check(count, confidence)
    return float(-np.expm1(np.log1p(-confidence) / count))


def strata_share(weights: npt.ArrayLike, counts: npt.ArrayLike, confidence: float = CONFIDENCE) -> float:
    """Return the largest share of a population in strata that lies above the largest of random members of each.

    Parameters
    ----------
    weights : array_like of shape (strata,)
        Shares of the population; they add up to 1.
    counts : array_like of shape (strata,)
        Members drawn of each.
    confidence : float
        Probability with which the bound holds.

    Raises
    ------
    SpecError
        If nothing was drawn of a stratum, weights are no shares, or the confidence is not within 0..1.

    Notes
    -----
    Were shares p_l of the strata above, the sample would have missed them all with the product of ``(1 - p_l)**n_l``.
    Of all p_l for which that is more than one less the confidence, the bound takes the largest ``sum(w_l p_l)``; there
    ``n_l / (w_l (1 - p_l))`` is the same for all p_l > 0 (Lagrange). One stratum, or counts that go with the weights,
    give :func:`exceeding_share`.
    """
    w, n = np.asarray(weights, dtype=float), np.asarray(counts, dtype=float)
    _check(int(n.min(initial=np.inf)) if n.size else 0, confidence)
    if w.shape != n.shape or (w < 0).any() or abs(w.sum() - 1) > 1e-9:
        raise SpecError(f"strata want weights that add up to 1, one each, got {w.tolist()} for {n.tolist()} members")
    missed = -np.log1p(-confidence)
    order = np.argsort(-w / n)  # where a share above costs least chance, first
    w, n = w[order], n[order]
    logs, members = np.cumsum(n * np.log(np.maximum(w, np.finfo(float).tiny) / n)), np.cumsum(n)
    levels = np.exp((logs - missed) / members)  # w_l (1 - p_l) / n_l, were the first strata alone above
    last = int(np.flatnonzero(levels < w / n)[-1])
    return float(np.sum(np.maximum(w - levels[last] * n, 0.0)[: last + 1]))


def share_interval(hits: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of a share of which `hits` out of `count` were seen (Clopper and Pearson, 1934).

    Parameters
    ----------
    hits, count : int
        Members with the property, and all drawn.
    confidence : float
        Least probability with which the interval holds the share; half of the rest on either side, all of it on one
        side where the interval touches 0 or 1.

    Raises
    ------
    SpecError
        If nothing was drawn, more hit than were drawn, or the confidence is not within 0..1.
    """
    _check(count, confidence)
    if not 0 <= hits <= count:
        raise SpecError(f"hits must lie in 0..{count}, got {hits}")
    if hits == 0:
        return 0.0, exceeding_share(count, confidence)
    if hits == count:
        return 1 - exceeding_share(count, confidence), 1.0
    tail = (1 - confidence) / 2
    low, high = betaincinv([hits, hits + 1], [count - hits + 1, count - hits], [tail, 1 - tail])
    return float(low), float(high)


def _check(count: int, confidence: float) -> None:
    if count < 1:
        raise SpecError(f"a bound needs a sample of 1 at least, got {count}")
    if not 0 < confidence < 1:
        raise SpecError(f"confidence must lie between 0 and 1, got {confidence:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBound:
    """With `confidence`, at most `share` of all members of a population lie above `limit`."""

    limit: float
    """The largest value of the sample."""
    share: float
    """Largest share of the population above it."""
    confidence: float
    """Probability that a sample gives a bound that holds."""
    count: int
    """Members in the sample."""

    @classmethod
    def of(cls, values: npt.ArrayLike, confidence: float = CONFIDENCE) -> "SampleBound":
        """Return the bound that random members of a population give.

        Parameters
        ----------
        values : array_like of shape (count,)
            Values of the members.
        confidence : float
            Probability with which the bound shall hold.
        """
        array = np.asarray(values, dtype=float).ravel()
        share = exceeding_share(array.size, confidence)
        return cls(limit=float(array.max()), share=share, confidence=confidence, count=array.size)

    def probability(self, values: npt.ArrayLike) -> float:
        """Return how likely it is that a second sample has as many members above the limit, were the bound just true.

        A probability near 0 speaks against the bound; one of 1, when none is above, says that it held.
        """
        array = np.asarray(values, dtype=float).ravel()
        above = int(np.count_nonzero(array > self.limit))
        return float(bdtrc(above - 1, array.size, self.share))
