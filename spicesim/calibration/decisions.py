"""The threshold of a successive-approximation ADC's comparator, from what it decided and the top plate before it."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import minimize

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarSearch
from spicesim.calibration.top_plate import Seen
from spicesim.errors import CalibrationError

__all__ = ["Threshold", "find_threshold"]

NEAR, MARGIN = 3e-3, 0.02e-3
"""Decisions that tell of the threshold lie so near to it, and are wanted on their side by so much [V]."""
DECAYS = (0.5, 0.2)
"""Of what one trial adds to the threshold, what is left in the next: comparators recover from sampling, some sooner
than others; how far each does of both is found."""
LITTLE = 3.0
"""Weight of what a bit adds beyond that, and the memory, beside decisions that are short of the margin."""
FREE = 0.01
"""Weight of the recovery, which nothing else holds where no decision of the first trials is near."""
LIKE_BEFORE = 1.0
"""Weight of the rest where the threshold is known about as well as the margin from another coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The comparator's threshold, at the top plate."""

    bits: Floats
    """What the trial of each bit adds to it, (bits,) [V]."""
    memory: Floats
    """What it is higher by if the bit before, and the one before that, was rejected, (2,) [V]."""
    middle: float
    """The rest [V]."""
    tilt: float
    """Its slope over the input [V]."""
    law: Floats
    """All of it: what each bit adds, their recoveries, the memory, the middle, the tilt, (bits + 6,) [V]."""
    over: Floats
    """How far the top plate was above it before each strobe, (conversions, bits) [V]."""

    def applied(self, search: SarSearch, share: float = 1.0) -> SarSearch:
        """Return a search whose comparator decides here instead of at 0 V; of all but the middle, a share.

        Of further bits that conversions had it knows nothing.
        """
        curve = search.curve.copy()
        curve[:2] -= self.middle, share * self.tilt
        return search.model_copy(
            update={
                "curve": curve,
                "trials": search.trials - share * self.bits[-len(search.trials) :],
                "rejected": search.rejected - share * self.memory[0],
                "earlier": search.earlier - share * float(self.memory[1]),
            }
        )

    def beyond(self, other: Self) -> Self:
        """Return what it has beyond another one."""
        names = ("bits", "memory", "middle", "tilt", "law")
        return replace(self, **{name: getattr(self, name) - getattr(other, name) for name in names})

    @property
    def without_bits(self) -> Self:
        """The same without what trials and the memory add, as it is with another coding."""
        return replace(self, bits=np.zeros_like(self.bits), memory=np.zeros_like(self.memory))


def find_threshold(seen: Seen, like: Threshold | None = None) -> Threshold:
    """Find the threshold of conversions.

    Decisions shall be on their side by a margin, and what is short of it counts by its square; what trials add decays
    from one to the next, beyond which a bit and the memory add as little as that allows.

    Parameters
    ----------
    seen : Seen
        The conversions.
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
    every = np.concatenate([own, seen.rejected, np.ones_like(x), x], axis=2)
    numbers, own_end = every.shape[2], count + len(DECAYS)
    start, little = np.zeros(numbers), np.full(numbers, LITTLE)
    low, high = float(np.max(tops[decided == 0])), float(np.min(tops[decided == 1]))
    if like is None:
        start[-2], little[count:own_end], little[-2:] = 0.5 * (low + high), FREE, 0.0
    else:
        start, little[[*range(count, own_end), -2, -1]] = like.law, LIKE_BEFORE
    over = tops - every @ start
    near = np.abs(over) < max(NEAR, high - low)
    side, top, rows = 2.0 * decided[near] - 1, over[near] / MARGIN, every[near]

    def short(unknown: Floats) -> tuple[float, Floats]:
        missing = np.maximum(0.0, 1 - side * (top - rows @ unknown))
        return float(missing @ missing + little @ unknown**2), 2 * (side * missing) @ rows + 2 * little * unknown

    found = start + MARGIN * np.asarray(minimize(short, np.zeros(numbers), jac=True, method="BFGS").x)
    return Threshold(
        bits=found[:count] + recovery @ found[count:own_end], memory=found[own_end : own_end + 2],
        middle=float(found[-2]), tilt=float(found[-1]), law=found, over=tops - every @ found,
    )  # fmt: skip
