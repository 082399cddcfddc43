"""What a random sample says about all: bounds with a confidence, whatever the distribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, betaincinv

from spicesim.errors import SpecError

__all__ = [
    "CONFIDENCE",
    "CodeBound",
    "SampleBound",
    "exceeding_share",
    "share_interval",
    "share_text",
    "strata_mean",
    "strata_share",
]

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
    Of all p_l for which that is more than one less the confidence, the bound takes the largest ``sum(w_l p_l)``. One
    stratum, or counts that go with the weights, give :func:`exceeding_share`.
    """
    return strata_mean(weights, counts, np.zeros(np.shape(weights)), confidence)


def strata_mean(
    weights: npt.ArrayLike, counts: npt.ArrayLike, means: npt.ArrayLike, confidence: float = CONFIDENCE
) -> float:
    """Return the largest mean that a population in strata may have, of values within 0..1 and any distribution.

    Parameters
    ----------
    weights, counts : array_like of shape (strata,)
        As of :func:`strata_share`.
    means : array_like of shape (strata,)
        Means of the members drawn of each.
    confidence : float
        Probability with which the bound holds.

    Raises
    ------
    SpecError
        As :func:`strata_share`, or if a mean is not within 0..1.

    Notes
    -----
    Chernoff's bound: were p_l the means of the strata and ``a_l = w_l / n_l``, the weighted mean of the sample would be
    m or less with at most ``exp(t m) prod((1 - p_l (1 - exp(-t a_l)))**n_l)`` for any t > 0, as of all values within
    0..1 with a mean those of 0 and 1 spread the most (Hoeffding, J. Am. Stat. Assoc. 58 (1963) 13). Of all p_l for
    which that is more than one less the confidence, the largest ``sum(w_l p_l)`` is sought, and of all t the least of
    these: for each t ``1 - p_l (1 - exp(-t a_l))`` is one number by a_l, within its ends (Lagrange), and that number is
    found by halving.
    """
    w, n, seen = (np.asarray(values, dtype=float) for values in (weights, counts, means))
    _check(int(n.min(initial=np.inf)) if n.size else 0, confidence)
    if w.shape != n.shape or (w < 0).any() or abs(w.sum() - 1) > 1e-9:
        raise SpecError(f"strata want weights that add up to 1, one each, got {w.tolist()} for {n.tolist()} members")
    if seen.shape != w.shape or not ((seen >= 0) & (seen <= 1)).all():
        raise SpecError(f"means of strata must lie within 0..1, one each, got {seen.tolist()}")
    missed, mean = -np.log1p(-confidence), float(w @ seen)
    w, n = w[w > 0], n[w > 0]
    a = w / n
    if mean >= 1:
        return 1.0
    steepest = max(60.0, 4 * missed / (1 - mean)) / a.min()
    t = np.geomspace(missed / (1 - mean), steepest, 200)[:, None]  # below the first all means may be 1
    s = -np.expm1(-t * a)
    low, high = np.full(t.shape, np.log(np.finfo(float).tiny)), np.log(np.max(a / s, axis=1, keepdims=True))
    for _ in range(80):
        level = (low + high) / 2
        logs = np.clip(level + np.log(s / a), -t * a, 0.0)
        costly = -(logs * n).sum(axis=1, keepdims=True) > missed + t * mean
        low, high = np.where(costly, level, low), np.where(costly, high, level)
    shares = -np.expm1(np.clip(high + np.log(s / a), -t * a, 0.0)) / s
    return float(min(1.0, (shares @ w).min()))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBound:
    """What the codes of random products say of those of all products; codes of one product may depend on each other."""

    identical: float
    """Share of the compared codes that are the same."""
    least_identical: float
    """With `confidence`, at least this share of the codes of all products is the same, each product counting alike."""
    largest: int
    """Largest deviation of a compared code [LSB]."""
    share: float
    """With `confidence`, at most this share of all products has a code that is further off."""
    confidence: float
    """Probability that a sample gives a bound that holds, of each of the two."""
    count: int
    """Codes compared."""

    @classmethod
    def of(
        cls,
        differences: Sequence[npt.ArrayLike],
        weights: npt.ArrayLike = (1.0,),
        counts: npt.ArrayLike | None = None,
        confidence: float = CONFIDENCE,
    ) -> "CodeBound":
        """Bound the codes of a population of products.

        Parameters
        ----------
        differences : sequence of array_like of int
            Of the codes of each product drawn, those of a stratum one after the other.
        weights, counts : array_like of shape (strata,)
            Shares of all products, and products drawn of each stratum; by default all are drawn alike.
        confidence : float
            Probability with which either bound shall hold.
        """
        sizes = [np.abs(np.asarray(own)) for own in differences]
        n = np.array([len(sizes)]) if counts is None else np.asarray(counts)
        other = np.array([np.mean(own > 0) for own in sizes])
        means = [part.mean() for part in np.split(other, np.cumsum(n)[:-1])]
        all_codes = np.concatenate(sizes)
        return cls(
            identical=float(np.mean(all_codes == 0)), least_identical=1 - strata_mean(weights, n, means, confidence),
            largest=int(all_codes.max()), share=strata_share(weights, n, confidence), confidence=confidence,
            count=all_codes.size,
        )  # fmt: skip

    def document(self) -> dict[str, float | int]:
        """Return it as plain data, ready for JSON."""
        return {
            "codes": self.count,
            "identical": self.identical,
            "least_identical": self.least_identical,
            "largest_lsb": self.largest,
            "share_of_products_beyond": self.share,
            "confidence": self.confidence,
        }


def share_text(share: float) -> str:
    """Format a share in hundredths with two digits: 99.7 of them are 100, where a plain format says 1e+02."""
    return f"{float(f'{100 * share:.2g}'):g}"
