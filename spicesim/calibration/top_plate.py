"""The top plate of a successive-approximation ADC before its strobes: what conversions show, and their law."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.arrays import Bools, Codes, Floats
from spicesim.behavioural.sar import SarSearch
from spicesim.calibration.delays import DelayLaw

__all__ = ["BEFORE_STROBE", "Plate", "Seen", "fit_plate"]

BEFORE_STROBE = 0.05e-9
"""When the top plate is read [s]."""

ORDER, CHANGE_ORDER = 5, 3
"""Of the curve; with 3 the worst residual of GF180 is half as large again. And of what a condition changes of it."""
BENT_ORDER = 9
"""Of both where sources do not charge arrays whole: after 20 ns at ss and 85 C, of 24 inputs, top plates of others are
.03 and .05 mV off in unipolar and signed ranges, with 7 .07 and .05, with 5 .12 and .3."""

ROUNDS, SCATTER = 3, 5e-6
"""Of reweighting, and what the simulator's time steps leave of any trial [V]. What the first trials leave late is told
worst by a law, .1 mV at ss and 85 C; as much as any, they would move what the last ones follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Conversions; before each the array held the reference, or has forgotten what it held."""

    inputs: Floats
    """From the middle of the range, in halves of the span, (conversions,)."""
    codes: Codes
    """As the comparator said, rising with the input."""
    tops: Floats
    """Top plate above its level before each strobe, by bit, (conversions, bits) [V]."""
    delays: Floats
    """From each strobe to the decision, (conversions, bits); infinite where there is none [s]."""

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            inputs=np.concatenate([self.inputs, other.inputs]), codes=np.concatenate([self.codes, other.codes]),
            tops=np.concatenate([self.tops, other.tops]), delays=np.concatenate([self.delays, other.delays]),
        )  # fmt: skip

    def __getitem__(self, part: slice | Bools) -> "Seen":
        return Seen(
            inputs=self.inputs[part], codes=self.codes[part], tops=self.tops[part], delays=self.delays[part],
        )  # fmt: skip

    @property
    def bits(self) -> int:
        """Resolution."""
        return int(self.tops.shape[1])

    @property
    def decided(self) -> Codes:
        """Which bits were kept, (conversions, bits)."""
        return np.asarray(self.codes[:, None] >> np.arange(self.bits) & 1)

    @property
    def tried(self) -> Codes:
        """Codes that inputs were compared with: the bits above as decided, and the bit, (conversions, bits)."""
        each = np.arange(self.bits)
        return np.asarray((self.codes[:, None] >> (each + 1) << (each + 1)) | 1 << each)

    def places(self, delays: DelayLaw) -> Floats:
        """Return codes and how much of a step inputs are above them, by delays of the decisions on either side.

        NaN for the first and the last code.
        """
        rows, decided = np.arange(len(self.codes)), self.decided
        inner = decided.any(axis=1) & ~decided.all(axis=1)
        below, above = (
            delays.distances(self.delays[rows, np.argmax(decided == side, axis=1)], np.full(len(rows), side == 1))
            for side in (1, 0)
        )
        return np.where(inner, self.codes + below / (below + above), np.nan)

    @property
    def rejected(self) -> Codes:
        """Whether the bit before, and the one before that, was not, (conversions, bits, 2)."""
        above = np.pad(1 - self.decided[:, 1:], ((0, 0), (0, 1)))
        return np.stack([above, np.pad(above[:, 1:], ((0, 0), (0, 1)))], axis=-1)


@dataclass(frozen=True, slots=True)
class Plate:
    """What the top plate is before a strobe, as in :class:`spicesim.behavioural.sar.SarSearch`, but no threshold."""

    curve: Floats
    weights: Floats
    trials: Floats
    rejected: Floats

    @property
    def numbers(self) -> Floats:
        """All of it, one after the other."""
        return np.concatenate([self.curve, self.weights, self.trials, self.rejected])

    @property
    def search(self) -> dict[str, Any]:
        """Numbers of a search."""
        return {"curve": self.curve, "weights": self.weights, "trials": self.trials, "rejected": self.rejected}

    def threshold(self, search: SarSearch, seen: Seen) -> Floats:
        """Return the threshold of a search for this plate, at the top plate of conversions, (conversions, bits) [V]."""
        law = np.concatenate([search.curve, search.weights, search.trials, search.rejected])
        steady = _columns(seen, search.sampled, len(self.curve) - 1) @ (self.numbers - law)
        return np.asarray(steady - search.earlier * seen.rejected[..., 1])


def fit_plate(seen: Seen, sampled: int, before: Plate | None = None, *, bent: bool = False) -> Plate:
    """Fit the top plate by least squares, or what it changed by from another, whose curve is then less bent.

    Trials of bits that follow the law less well count less.

    Parameters
    ----------
    seen : Seen
        Conversions.
    sampled : int
        Bits that are set while it samples.
    before : Plate, optional
        The other one.
    bent : bool
        Whether sources do not charge arrays whole, so that curves bend more, as does what they change by.
    """
    order, change_order = (BENT_ORDER, BENT_ORDER) if bent else (ORDER, CHANGE_ORDER)
    columns, bits = _columns(seen, sampled, order), seen.bits
    # the first bit is not late, and what the last one is late by is in its weight
    first, last = order + 1 + bits, order + 1 + 2 * bits
    fitted = np.ones(columns.shape[-1], dtype=bool)
    fitted[[first, last - 1, last, last + bits - 1]] = False
    start, wanted = np.zeros(len(fitted)), seen.tops
    if before is not None:
        fitted[change_order + 1 : order + 1] = False
        start, wanted = before.numbers, seen.tops - columns @ before.numbers
    rows, solution, weights = columns[..., fitted], start.copy(), np.ones(bits)
    for _ in range(ROUNDS):
        system = (weights[:, None] * rows).reshape(-1, rows.shape[-1])
        found = np.linalg.lstsq(system, (weights * wanted).ravel(), rcond=None)[0]
        weights = 1 / np.hypot(SCATTER, np.sqrt(np.mean((wanted - rows @ found) ** 2, axis=0)))
    solution[fitted] += found
    return Plate(*np.split(solution, np.cumsum([order + 1, bits, bits])))


def _columns(seen: Seen, sampled: int, order: int = ORDER) -> Floats:
    """Return what each number of a plate adds to the top plate, (conversions, bits, numbers)."""
    bits, each, shape = seen.bits, np.arange(seen.bits), seen.tops.shape
    moved = (seen.tried[..., None] >> each & 1) - (sampled >> each & 1)
    powers = np.broadcast_to((seen.inputs[:, None] ** np.arange(order + 1))[:, None, :], (*shape, order + 1))
    own = np.broadcast_to(np.eye(bits), (*shape, bits))
    return np.concatenate([powers, -moved, own, own * seen.rejected[..., :1]], axis=-1)
