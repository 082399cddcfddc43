"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, with the widest span;
then some that are aimed tell by how much the threshold moves. References closer to each other, around the middle where
the array's switches conduct less, would tell it sooner, but another one: .6 mV off for a span of 1.6 V at ss and 85 C.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import bracket, find_move
from spicesim.calibration.hand_over import shift_hand_overs
from spicesim.calibration.sar import SarFit, convert_each, top_plates
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import Chip
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

SPREAD = 8
"""Inputs spread over each range."""
ROUNDS = 3
"""Of conversions that are aimed at the threshold in the trials of every second bit, others in each; of eight bits each
leaves a fifth of what was left."""


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
    model = calibration.require_converter()
    assert isinstance(model, SarModel)
    codings = list(model.searches)
    changed = _changed_over(calibration, conditions, campaign, model.span, codings)
    # one threshold for all codings, and one for all narrower spans
    moves = _threshold_moves(changed[:: len(codings)])
    small = moves
    if model.narrower:
        narrowest = _changed_over(calibration, conditions, campaign, model.spans[-1], codings[:1])
        small = _threshold_moves(narrowest)
    chips = [at.chip for at in conditions]
    hand_overs = shift_hand_overs(
        calibration.chip,
        model.hand_over,
        chips,
        campaign,
        top_plates([_fit(chip, "bipolar", campaign) for chip in chips]),
    )
    models = []
    for k, at in enumerate(conditions):
        sizes, group = at.chip.converter, changed[k * len(codings) : (k + 1) * len(codings)]
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        wide, narrow = (
            {polarity: _moved_by(one.search, by) for polarity, one in zip(codings, group, strict=True)}
            for by in (moves[k], small[k])
        )
        update = {
            "searches": wide, "checks": {}, "narrower": tuple(_moved(own, model, narrow) for own in model.narrower),
            "sampling_noise": sampling, "comparator_noise": comparator,
            "hand_over": hand_overs[k],
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


def _fit(chip: Chip, polarity: Polarity, campaign: Campaign) -> SarFit:
    assert chip.converter is not None
    return SarFit(chip, chip.converter, polarity, campaign)


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """A converter elsewhere: its top plate is found, and its threshold still that of home."""

    fit: SarFit
    search: SarSearch
    home: SarSearch
    plate: Plate
    """At home."""
    seen: Seen

    @property
    def over(self) -> Floats:
        """How far the top plate was above the threshold of home, (conversions, bits) [V]."""
        return self.seen.tops - self.plate.threshold(self.home, self.seen)

    def aim(self, first: int) -> Floats:
        """Return inputs that divide what is left between the decisions nearest to the threshold.

        They end in the trials of every second bit, from the first on.
        """
        low, high = np.sort(bracket(self.seen, self.over))
        bits = range(first % 2, self.seen.bits, 2)
        between = np.linspace(low, high, len(bits) + 2)[1:-1, None]
        distances = dict(zip(bits, between, strict=True))
        return self.fit.near(self.search, [distances.get(k, np.zeros(0)) for k in range(self.seen.bits)])


def _changed_over(
    calibration: Calibration,
    conditions: Sequence[Calibration],
    campaign: Campaign,
    span: float,
    codings: Sequence[Polarity],
) -> list[_There]:
    """Find what conditions change of the top plates of converters over a span; thresholds are still those of home.

    Returns
    -------
    list of _There
        Of all codings at the first condition, then at the next.
    """
    model = calibration.require_converter()
    assert isinstance(model, SarModel)
    searches = [model.over(span).searches[polarity] for polarity in codings]
    own = [_fit(calibration.chip.over(span), polarity, campaign) for polarity in codings]
    fits = [_fit(at.chip.over(span), polarity, campaign) for at in conditions for polarity in codings]
    every = [*own, *fits]
    seen = convert_each(every, [fit.spread(SPREAD) for fit in every])
    plates = [fit.fit_plate(each) for fit, each in zip(own, seen, strict=False)]
    found = []
    for k, fit in enumerate(fits):
        here, search, now = plates[k % len(own)], searches[k % len(own)], seen[len(own) + k]
        there = fit.fit_plate(now, here)
        fit.require_settled(there, now)
        update = {name: getattr(search, name) + value - here.search[name] for name, value in there.search.items()}
        moved = _with_line(search.model_copy(update=update), search, fit)
        found.append(_There(fit=fit, search=moved, home=search, plate=here, seen=now))
    return found


def _threshold_moves(converters: Sequence[_There]) -> list[float]:
    """Find by how much conditions move thresholds [V]."""
    for k in range(ROUNDS):
        seen = convert_each([one.fit for one in converters], [one.aim(k) for one in converters])
        converters = [replace(one, seen=one.seen + more) for one, more in zip(converters, seen, strict=True)]
    return [find_move(one.seen, one.over) for one in converters]


def _moved_by(search: SarSearch, volts: float) -> SarSearch:
    """Return a search whose threshold is higher at the top plate [V], and so lower by as much at the input."""
    curve = search.curve.copy()
    curve[0] -= volts
    ends = {"low": search.low - volts, "high": search.high - volts}
    return SarSearch.model_validate(search.model_copy(update={"curve": curve} | ends).model_dump())


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
