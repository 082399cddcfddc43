"""How long a comparator takes to decide tells how far its input was from the threshold.

A latch regenerates: a distance grows by e in each time constant, so that the delay falls with its logarithm (Pelgrom,
Analog-to-Digital Conversion, ch. 8). Large ones are faster than that, as they begin before the latch does.
"""

from dataclasses import dataclass, replace

import numpy as np

from spicesim.arrays import Bools, Floats

__all__ = ["DelayLaw", "fit_delays"]

TERMS = 4
"""Of a law: over distances of 20 uV to 6 mV of GF180MCU it errs by 1 %, or by what the simulator's time steps leave."""
FACTORS = (0.75, 0.9, 1.05, 1.2, 1.4)
"""Of the rate at which delays fall with the logarithm of distances on average; the best of them is taken."""
SCATTER, PART = 5e-6, 0.01
"""Of single distances, by the simulator's time steps [V], and what part of them counts as little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLaw:
    """Distances from the threshold that belong to delays: an exponential times a polynomial."""

    rate: float
    """Inverse of the time constant [1/s]."""
    middle: float
    """Delay from which it is counted [s]."""
    terms: Floats
    """Of the polynomial, (:data:`TERMS`,) [V]."""
    lopsided: float
    """Of the square of the exponential, added above the threshold and taken off below: there the pair is slower [V]."""
    shortest: float
    """Delays that are shorter tell nothing [s]."""

    def distances(self, delays: Floats, above: Bools) -> Floats:
        """Return how far above the threshold, or below, comparators were that took so long; NaN if not told [V]."""
        told = (delays >= self.shortest) & np.isfinite(delays)
        columns = self.columns(np.where(told, delays, self.middle))
        distances = columns @ self.terms + np.where(above, self.lopsided, -self.lopsided) * columns[..., 0] ** 2
        return np.where(told, np.maximum(0.0, distances), np.nan)

    def columns(self, delays: Floats) -> Floats:
        """Return what each term adds to distances, (..., :data:`TERMS`)."""
        passed = self.rate * (delays - self.middle)
        return np.asarray(np.exp(-passed)[..., None] * passed[..., None] ** np.arange(TERMS))


def fit_delays(tops: Floats, above: Bools, delays: Floats) -> DelayLaw:
    """Fit the law of a comparator.

    Parameters
    ----------
    tops : ndarray of shape (trials,)
        Inputs, above any reference [V].
    above : ndarray of shape (trials,)
        Whether it had each above its threshold; both must be there.
    delays : ndarray of shape (trials,)
        How long it took to decide [s].
    """
    about = np.abs(tops - 0.5 * (tops[~above].max() + tops[above].min()))
    greater, middle = about >= np.median(about), float(np.median(delays))
    slope, _ = np.polyfit(delays[greater], np.log(about[greater]), 1)
    side, scale, best, found = np.where(above, 1.0, -1.0), np.hypot(SCATTER, PART * about), np.inf, None
    for factor in FACTORS:
        law = DelayLaw(
            rate=-slope * factor, middle=middle, terms=np.zeros(TERMS), lopsided=0.0, shortest=float(np.min(delays))
        )  # fmt: skip
        columns = law.columns(delays)
        # distances, what they have more above than below, and where the threshold is
        rows = np.column_stack([columns, side * columns[:, 0] ** 2, side]) / scale[:, None]
        unknown = np.linalg.lstsq(rows, side * tops / scale, rcond=None)[0]
        off = float(np.sum((rows @ unknown - side * tops / scale) ** 2))
        if off < best:
            best, found = off, replace(law, terms=unknown[:TERMS], lopsided=float(unknown[TERMS]))
    assert found is not None
    return found
