"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, with the widest span;
then some that are aimed tell how the threshold moves, tilts over the input, and recovers. References closer to each
other, around the middle where the array's switches conduct less, would tell how it moves sooner, but otherwise: .6 mV
off for a span of 1.6 V at ss and 85 C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import Threshold, bracket, find_move, find_threshold
from spicesim.calibration.hand_over import shift_hand_overs
from spicesim.calibration.sar import SarFit, convert_each, first_plates
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import Chip
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

SPREAD = 8
"""Inputs spread over each range; of six the top plate of arrays that remember the input before is not found."""
ROUNDS, ENOUGH = 3, 1 / 30
"""Of conversions that are aimed at the threshold, at most; so many steps are near enough."""
ON_EITHER_SIDE, IN_ALL = 3, 5
"""Conversions in a round: of inputs on either side of the middle, as a condition tilts thresholds over the input; or
where the middle alone is asked for. A fourth, or a sixth, of what was is left."""
LAST = 4
"""Bits in whose trials they end, the last ones."""
OFF_MIDDLE = 0.2
"""From where on inputs are on a side, in halves of the span."""
APART, CODINGS_APART = 0.15e-3, 35e-6
"""How far from the move of the widest span's threshold that of narrow ones is looked for at first, and how far from
that of another coding [V]."""


def converters_elsewhere(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
) -> list[SarModel]:
    """Find the converters of a chip at other conditions.

    Parameters
    ----------
    calibration : Calibration
        Of the chip at its own condition, with its converters.
    conditions : sequence of Calibration
        The chip elsewhere.
    campaign : Campaign
        Runs the simulations.

    Raises
    ------
    CalibrationError
        If a converter has no threshold there, or does not settle.
    """
    model = _model(calibration)
    codings = list(model.searches)
    changed = _changed(calibration, conditions, campaign, codings)
    # one threshold for all codings but for what trials add to it, and middles for all narrower spans together
    moves = [one.change for one in _aimed(changed[:: len(codings)])]
    groups = [
        {coding: one.search for coding, one in zip(codings, changed[k * len(codings) :], strict=False)}
        for k in range(len(conditions))
    ]
    wide = [_with_threshold(group, move) for group, move in zip(groups, moves, strict=True)]
    narrow = wide
    if model.narrower:
        small = _narrow_moves(calibration, conditions, campaign, groups, moves)
        narrow = [_with_threshold(*each) for each in zip(groups, moves, small, strict=True)]
    chips = [at.chip for at in conditions]
    hand_overs = shift_hand_overs(
        calibration.chip,
        model.hand_over,
        chips,
        campaign,
        first_plates([_fit(chip, "bipolar", campaign) for chip in chips]),
    )
    models = []
    for at, searches, below, hand_over in zip(conditions, wide, narrow, hand_overs, strict=True):
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        update = {
            "searches": searches, "checks": {}, "narrower": tuple(_moved(own, model, below) for own in model.narrower),
            "sampling_noise": sampling, "comparator_noise": comparator,
            "hand_over": hand_over,
        }  # fmt: skip
        models.append(model.model_copy(update=update))
    return models


def _moved(narrow: SarSpan, model: SarModel, there: dict[Polarity, SarSearch]) -> SarSpan:
    """Let a condition change a narrower span as it does the widest, in the ratio of their references.

    `there` are the searches of the widest with the threshold that narrow ones have.
    """
    ratio, searches = narrow.span / model.span, {}
    for polarity, own in narrow.searches.items():
        now, was = there[polarity], model.searches[polarity]
        shares = dict.fromkeys(("weights", "trials", "rejected"), ratio) | {"curve": ratio ** np.arange(len(own.curve))}
        slope = (now.high - now.low) / (was.high - was.low)  # of outputs to those that had the same code
        ends = {name: now.low + slope * (getattr(own, name) - was.low) for name in ("low", "high")}
        numbers = {
            name: getattr(own, name) + share * (getattr(now, name) - getattr(was, name))
            for name, share in shares.items()
        }
        searches[polarity] = SarSearch.model_validate(own.model_copy(update=numbers | ends).model_dump())
    return SarSpan(span=narrow.span, searches=searches, checks={})


def _model(calibration: Calibration) -> SarModel:
    model = calibration.require_converter()
    assert isinstance(model, SarModel)
    return model


def _fit(chip: Chip, polarity: Polarity, campaign: Campaign) -> SarFit:
    assert chip.converter is not None
    return SarFit(chip, chip.converter, polarity, campaign)


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """A converter elsewhere: its top plate is found, and of its threshold as much as conversions tell."""

    fit: SarFit
    search: SarSearch
    """With the threshold of home."""
    home: SarSearch
    plate: Plate
    """At home."""
    seen: Seen

    @property
    def over(self) -> Floats:
        """How far the top plate was above the threshold of home, (conversions, bits) [V]."""
        return self.seen.tops - self.plate.threshold(self.home, self.seen)

    @property
    def sides(self) -> tuple[int, ...]:
        """Signs of the inputs at which it is looked for, 0 for all."""
        return -1, 1

    @property
    def change(self) -> Threshold:
        """What the condition changes of the threshold."""
        return find_threshold(replace(self.seen, tops=self.over))

    @property
    def known(self) -> tuple[Floats, SarSearch]:
        """How far the top plate was above the threshold by what is known of it, and the search that has that."""
        change = self.change
        return change.over, change.applied(self.search)

    def aimed(self, turn: int) -> Floats | None:
        """Return inputs between the decisions nearest to the threshold; None if these are near enough."""
        over, search = self.known
        wanted = []
        for side in self.sides:
            own = side * self.seen.inputs >= (OFF_MIDDLE if side else 0)
            ends = np.sort(bracket(self.seen[own], over[own]))
            if np.ptp(ends) > ENOUGH * self.fit.lsb:
                wanted.append(_between(self.fit, search, ends, turn, side))
        return np.concatenate(wanted) if wanted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved(_There):
    """One over a narrow span, of whose threshold the middle alone is asked for."""

    @property
    def sides(self) -> tuple[int, ...]:
        """All inputs at once."""
        return (0,)

    @property
    def move(self) -> float:
        """By how much the condition moves the threshold [V]."""
        return find_move(self.seen, self.over)

    @property
    def known(self) -> tuple[Floats, SarSearch]:
        """How far the top plate was above the threshold of before, and the search that has that."""
        return self.over, self.search


There = TypeVar("There", bound=_There)


def _between(fit: SarFit, search: SarSearch, ends: Floats, turn: int, side: int) -> Floats:
    """Return inputs that end between distances to a threshold, in the trials of the last bits, which most codes end in.

    Turns begin with other bits. A side is that of the inputs, 0 for both.
    """
    count, aims = len(search.weights), ON_EITHER_SIDE if side else IN_ALL
    bits = (np.arange(aims) + turn) % min(LAST, count - 1)
    between = np.linspace(ends[0], ends[1], aims + 2)[1:-1]
    wanted = [between[bits == k] for k in range(count)]
    return fit.near(search, wanted, lambda x: side * x >= OFF_MIDDLE) if side else fit.near(search, wanted)


def _changed(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign, codings: Sequence[Polarity]
) -> list[_There]:
    """Find what conditions change of the top plates over the widest span; thresholds are still those of home.

    Returns
    -------
    list of _There
        Of all codings at the first condition, then at the next.
    """
    model = _model(calibration)
    own = [_fit(calibration.chip.over(model.span), polarity, campaign) for polarity in codings]
    fits = [_fit(at.chip.over(model.span), polarity, campaign) for at in conditions for polarity in codings]
    every = [*own, *fits]
    seen = convert_each(every, [fit.spread(SPREAD) for fit in every])
    plates = [fit.fit_plate(each) for fit, each in zip(own, seen, strict=False)]
    found = []
    for k, fit in enumerate(fits):
        here, search, now = plates[k % len(own)], model.searches[codings[k % len(own)]], seen[len(own) + k]
        there = fit.fit_plate(now, here)
        fit.require_settled(there, now)
        update = {name: getattr(search, name) + value - here.search[name] for name, value in there.search.items()}
        moved = _with_line(search.model_copy(update=update), search, fit)
        found.append(_There(fit=fit, search=moved, home=search, plate=here, seen=now))
    return found


def _aimed(converters: Sequence[There]) -> list[There]:
    """Aim at thresholds until decisions on either side are near enough."""
    every = list(converters)
    for k in range(ROUNDS):
        aims = {n: inputs for n, one in enumerate(every) if (inputs := one.aimed(k)) is not None}
        if not aims:
            break
        seen = convert_each([every[n].fit for n in aims], list(aims.values()))
        for n, more in zip(aims, seen, strict=True):
            every[n] = replace(every[n], seen=every[n].seen + more)
    return every


def _narrow_moves(
    calibration: Calibration,
    conditions: Sequence[Calibration],
    campaign: Campaign,
    wide: Sequence[dict[Polarity, SarSearch]],
    changes: Sequence[Threshold],
) -> list[dict[Polarity, float]]:
    """Find by how much conditions move thresholds of narrow spans, by coding; the widest tell where to look [V].

    The narrowest stands for all. All else that conditions change of it follows from the searches of the widest, with
    the threshold of home, and from what changes of that.
    """
    model = _model(calibration)
    narrowest = model.narrower[-1]
    there = [_with_threshold(group, change.moved(0.0)) for group, change in zip(wide, changes, strict=True)]
    searches = [_moved(narrowest, model, group).searches for group in there]
    ratio, reach, around = narrowest.span / model.span, APART, [change.middle for change in changes]
    found: list[dict[Polarity, float]] = [{} for _ in conditions]
    for polarity, home in narrowest.searches.items():
        own = _fit(calibration.chip.over(narrowest.span), polarity, campaign)
        fits = [_fit(at.chip.over(narrowest.span), polarity, campaign) for at in conditions]
        aims = [
            _between(fit, search[polarity], middle + np.array([-reach, reach]), 1, 0)
            for fit, search, middle in zip(fits, searches, around, strict=True)
        ]
        here, *seen = convert_each([own, *fits], [own.spread(SPREAD), *aims])
        plate = own.fit_plate(here)
        laws = [(change if polarity == next(iter(model.searches)) else change.without_bits) for change in changes]
        converters = [
            _Moved(fit=fit, search=search[polarity], home=law.moved(0.0).applied(home, ratio), plate=plate, seen=now)
            for fit, search, law, now in zip(fits, searches, laws, seen, strict=True)
        ]
        around, reach = [one.move for one in _aimed(converters)], CODINGS_APART
        for moves, middle in zip(found, around, strict=True):
            moves[polarity] = middle
    return found


def _with_threshold(
    searches: Mapping[Polarity, SarSearch], change: Threshold, middles: Mapping[Polarity, float] | None = None
) -> dict[Polarity, SarSearch]:
    """Return searches whose threshold at the top plate changes, and so the input the other way.

    Codings have one middle, or each its own.
    """
    found: dict[Polarity, SarSearch] = {}
    for polarity, search in searches.items():
        own = change if not found else change.without_bits
        own = own if middles is None else own.moved(middles[polarity])
        ends = {"low": search.low - own.middle, "high": search.high - own.middle}
        moved = own.applied(search).model_copy(update=ends)
        found[polarity] = SarSearch.model_validate(moved.model_dump())
    return found


def _with_line(search: SarSearch, own: SarSearch, fit: SarFit) -> SarSearch:
    """Move the line of codes by as much as that of a search before moves."""
    low, high = np.array([own.low, own.high]) + _line(search, fit) - _line(own, fit)
    return search.model_copy(update={"low": float(low), "high": float(high)})


def _line(search: SarSearch, fit: SarFit) -> Floats:
    """Return the outputs of the first and the last code, by a straight line through conversions [V]."""
    own: SarRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
