"""The threshold of a successive-approximation ADC's comparator, from its decisions and the top plate before them.

Each decision that was close tells where the threshold lies: the closer, the longer it took.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Bools, Floats
from spicesim.behavioural.sar import SarSearch
from spicesim.calibration.delays import DelayLaw
from spicesim.calibration.top_plate import Seen
from spicesim.errors import CalibrationError

__all__ = ["NEAR", "Threshold", "find_threshold"]

NEAR, LEAST = 4e-3, 24
"""Decisions that tell of the threshold lie so near to it [V], and as many are taken at least."""
SCATTER, PART = 15e-6, 0.02
"""Of single decisions, by the simulator's time steps [V], and of a distance that is told by its delay."""
LOPSIDED = 0.02
"""Part by which the farthest of them may lie farther above a threshold, and nearer below, than delays tell: arrays that
move are held otherwise than the one that told. Without it steps of `gf180-voltage` are 7 uV off in the mean [1]."""
DECAYS = (0.5, 0.2)
"""Of what one trial adds to the threshold, what is left in the next: comparators recover from sampling, some sooner
than others; how far each does of both is found."""
EXPECTED = 12e-6
"""What a bit adds beyond that, and the memory [V]."""
STATE = 40e-6
"""What a bit that is set adds in the trials of others [V]: switches of either level hold the top plate against the
strobe by other resistances. Without it steps of `gf180-bits` are 43 to 47 uV rms off, with it 25."""
RECOVERY = 0.2e-3
"""What the first trial adds [V], which nothing else holds where no decision of it is near."""
LIKE_BEFORE = 20e-6
"""How far the rest is from that of another coding [V]."""
ROUNDS = 12
"""Of reweighting, so that odd decisions count little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The comparator's threshold, at the top plate."""

    bits: Floats
    """What the trial of each bit adds to it, (bits,) [V]."""
    memory: Floats
    """What it is higher by if the bit before, and the one before that, was rejected, (2,) [V]."""
    states: Floats
    """What it is higher by if a bit is set, half of it up and half of it down, (bits,) [V]."""
    middle: float
    """The rest [V]."""
    tilt: float
    """Its slope over the input [V]."""
    law: Floats
    """All of it: what each bit adds, their recoveries, the memory, the states, the middle, the tilt,
    (2 bits + 6,) [V]."""

    def applied(self, search: SarSearch) -> SarSearch:
        """Return a search whose comparator decides here instead of at 0 V."""
        curve = search.curve.copy()
        curve[0] -= self.middle + float(self.states @ _levels(search.sampled, len(self.bits)))
        curve[1] -= self.tilt
        return search.model_copy(
            update={
                "curve": curve,
                "weights": search.weights + self.states,
                "trials": search.trials - self.bits,
                "rejected": search.rejected - self.memory[0],
                "earlier": search.earlier - float(self.memory[1]),
            }
        )

    def without_line(self, middle: float, tilt: float) -> Self:
        """Return it less a line of what conversions have beyond it [V]."""
        return replace(self, middle=self.middle - middle, tilt=self.tilt - tilt)


def find_threshold(seen: Seen, delays: DelayLaw, near: float = NEAR, like: Threshold | None = None) -> Threshold:
    """Find the threshold of conversions.

    Parameters
    ----------
    seen : Seen
        The conversions.
    delays : DelayLaw
        How far from it decisions were that took so long, but for a factor, and for what they are farther above than
        below: references close to each other are held less well, and what a decision itself does to the top plate
        matters more.
    near : float
        Decisions that tell of it lie so near [V].
    like : Threshold, optional
        What it is like, as far as decisions allow.

    Raises
    ------
    CalibrationError
        If all were decided alike.
    """
    tops, decided, count = seen.tops, seen.decided, seen.bits
    if decided.all() or not decided.any():
        raise CalibrationError("no threshold of the converter's comparator found; check sar_adc and its times")
    x = np.broadcast_to(seen.inputs[:, None], tops.shape)[..., None]
    recovery = np.power.outer(DECAYS, np.arange(count)[::-1]).T
    own = np.broadcast_to(np.column_stack([np.eye(count), recovery]), (*tops.shape, count + len(DECAYS)))
    every = np.concatenate([own, seen.rejected, _levels(seen.tried, count), np.ones_like(x), x], axis=2)
    numbers, own_end = every.shape[2], count + len(DECAYS)
    law, spread, states = np.zeros(numbers), np.full(numbers, EXPECTED), slice(own_end + 2, own_end + 2 + count)
    spread[states] = STATE
    if like is None:
        law[-2] = 0.5 * (np.max(tops[decided == 0]) + np.min(tops[decided == 1]))
        spread[count:own_end], spread[-2:] = RECOVERY, np.inf
    else:
        law, spread[count:own_end], spread[own_end + 2 :] = like.law, LIKE_BEFORE, LIKE_BEFORE
    start, distances = law, delays.distances(seen.delays, decided == 1)
    for _ in range(2):  # from about where it lies, other decisions are near
        over = tops - every @ law
        kept = _nearest(over, np.isfinite(distances), near)
        side, beyond = 2.0 * decided[kept] - 1, tops[kept] - every[kept] @ start
        lopsided = distances[kept] ** 2 / near
        rows = np.column_stack([side * distances[kept], lopsided, every[kept]])
        scale = np.hypot(SCATTER, PART * over[kept])
        law = start + _fit(rows, beyond, scale, np.append([np.inf, LOPSIDED], spread))[2:]
    return Threshold(
        bits=law[:count] + recovery @ law[count:own_end], memory=law[own_end : own_end + 2], states=law[states],
        middle=float(law[-2]), tilt=float(law[-1]), law=law,
    )  # fmt: skip


def _levels(codes: npt.ArrayLike, bits: int) -> Floats:
    """Return one half for bits of codes that are set and less one half for others, (..., bits)."""
    return np.asarray((np.asarray(codes)[..., None] >> np.arange(bits) & 1) - 0.5)


def _nearest(over: Floats, known: Bools, near: float) -> Bools:
    """Return which trials are near to the threshold, :data:`LEAST` of them if so many are known."""
    distances = np.where(known, np.abs(over), np.inf)
    return np.asarray(known & (distances <= max(near, np.sort(distances, axis=None)[:LEAST][-1])))


def _fit(rows: Floats, wanted: Floats, scale: Floats, spread: Floats) -> Floats:
    """Fit numbers that are spread around 0 to what rows of them make; odd rows count little."""
    held, weights = np.diag(1 / spread), 1 / scale
    for _ in range(ROUNDS):
        system = np.concatenate([rows * weights[:, None], held])
        unknown = np.linalg.lstsq(system, np.append(wanted * weights, np.zeros(len(held))), rcond=None)[0]
        weights = (1 + ((rows @ unknown - wanted) / (2 * scale)) ** 2) ** -0.25 / scale
    return np.asarray(unknown)
