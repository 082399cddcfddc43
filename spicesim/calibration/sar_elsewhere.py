"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, and of the threshold,
how it moves, tilts over the input, and recovers, with the widest span; a few more end close to the threshold there.
References closer to each other, around the middle where the array's switches conduct less, have it otherwise: .6 mV
off for a span of 1.6 V at ss and 85 C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.behavioural.sar import SarModel, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import Threshold
from spicesim.calibration.delays import DelayLaw
from spicesim.calibration.hand_over import shift_hand_overs
from spicesim.calibration.sar import LABEL, SarFit, convert_each, first_plates
from spicesim.calibration.threshold import find_delays
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

FEW, NARROW = 3, 0.85
"""Inputs spread over that part of each narrow range elsewhere."""
BY_BIT = (3, 2, 1)
"""Inputs that end close to the threshold in the trials of the last bits: at ss and 125 C steps are 29 to 32 uV rms off
with them, 52 to 63 and mostly to one side without, 40 to 49 with eight of them, one a bit."""


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
    groups = _changed(calibration, conditions, campaign)
    converters = [(at.chip, _sizes(at.chip)) for at in conditions]
    delays = find_delays(converters, campaign, LABEL)
    groups = _nearer(groups, delays)
    laws = [_laws(*each) for each in zip(groups, delays, strict=True)]
    wide = [_with_threshold(*each) for each in zip(groups, laws, strict=True)]
    narrow = (
        _narrow_laws(calibration, conditions, campaign, groups, laws, delays)
        if model.narrower
        else [[] for _ in groups]
    )
    chips = [at.chip for at in conditions]
    hand_overs = shift_hand_overs(
        calibration.chip,
        model.hand_over,
        chips,
        campaign,
        first_plates([_fit(chip, "bipolar", campaign) for chip in chips]),
    )
    models = []
    for at, group, searches, below, hand_over in zip(conditions, groups, wide, narrow, hand_overs, strict=True):
        sampling, comparator = converter_noise(at.chip, _sizes(at.chip), campaign)
        narrower = []
        for own, law in zip(model.narrower, below, strict=True):
            there = _with_threshold(group, law)
            moved = {polarity: _moved(own, polarity, model, there[polarity]) for polarity in own.searches}
            narrower.append(SarSpan(span=own.span, searches=moved, checks={}))
        update = {
            "searches": searches, "checks": {}, "narrower": tuple(narrower),
            "sampling_noise": sampling, "comparator_noise": comparator, "hand_over": hand_over,
        }  # fmt: skip
        models.append(model.model_copy(update=update))
    return models


def _moved(narrow: SarSpan, polarity: Polarity, model: SarModel, now: SarSearch) -> SarSearch:
    """Let a condition change a search over a narrower span as it does the widest, in the ratio of their references.

    `now` is the search over the widest with the threshold that the narrower one has.
    """
    ratio, own, was = narrow.span / model.span, narrow.searches[polarity], model.searches[polarity]
    shares = dict.fromkeys(("weights", "trials", "rejected"), ratio) | {"curve": ratio ** np.arange(len(own.curve))}
    slope = (now.high - now.low) / (was.high - was.low)  # of outputs to those that had the same code
    ends = {name: now.low + slope * (getattr(own, name) - was.low) for name in ("low", "high")}
    numbers = {
        name: getattr(own, name) + share * (getattr(now, name) - getattr(was, name)) for name, share in shares.items()
    }
    return SarSearch.model_validate(own.model_copy(update=numbers | ends).model_dump())


def _model(calibration: Calibration) -> SarModel:
    model = calibration.require_converter()
    assert isinstance(model, SarModel)
    return model


def _fit(chip: Chip, polarity: Polarity, campaign: Campaign) -> SarFit:
    return SarFit(chip, _sizes(chip), polarity, campaign)


def _sizes(chip: Chip) -> SarAdc:
    assert chip.converter is not None
    return chip.converter


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """A converter elsewhere."""

    fit: SarFit
    search: SarSearch
    """With the threshold of home."""
    home: SarSearch
    plate: Plate
    """At home."""
    seen: Seen
    """Elsewhere: conversions of the same inputs, then others that ended close to the threshold."""

    def change(self, delays: DelayLaw, like: Threshold | None) -> Threshold:
        """Return what the condition changes of the threshold, which may be about that of another coding."""
        over = self.seen.tops - self.plate.threshold(self.home, self.seen)
        return self.fit.find_threshold(replace(self.seen, tops=over), delays, like)


def _laws(group: Mapping[Polarity, _There], delays: DelayLaw) -> dict[Polarity, Threshold]:
    """Return what a condition changes of thresholds over the widest span, by coding."""
    laws: dict[Polarity, Threshold] = {}
    like = None
    for polarity, there in group.items():
        like = laws[polarity] = there.change(delays, like)
    return laws


def _changed(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
) -> list[dict[Polarity, _There]]:
    """Find what conditions change of the converters over the widest span, by coding."""
    model = _model(calibration)
    chips = [at.chip.over(model.span) for at in (calibration, *conditions)]
    fits = [[_fit(chip, polarity, campaign) for polarity in model.searches] for chip in chips]
    every = [fit for group in fits for fit in group]
    seen = iter(convert_each(every, [fit.spread() for fit in every]))
    here, *others = [[next(seen) for _ in group] for group in fits]
    plates = [fit.fit_plate(own) for fit, own in zip(fits[0], here, strict=True)]
    found: list[dict[Polarity, _There]] = []
    for group, seen_there in zip(fits[1:], others, strict=True):
        own = {}
        for (polarity, home), fit, plate, now in zip(model.searches.items(), group, plates, seen_there, strict=True):
            there = fit.fit_plate(now, plate)
            update = {name: getattr(home, name) + value - plate.search[name] for name, value in there.search.items()}
            moved = _with_line(home.model_copy(update=update), home, fit)
            own[polarity] = _There(fit=fit, search=moved, home=home, plate=plate, seen=now)
        found.append(own)
    return found


def _nearer(groups: Sequence[Mapping[Polarity, _There]], delays: Sequence[DelayLaw]) -> list[dict[Polarity, _There]]:
    """Add conversions that end close to the thresholds of converters, as far as these are known."""
    inputs = []
    for group, law in zip(groups, delays, strict=True):
        searches = _with_threshold(group, _laws(group, law))
        inputs += [there.fit.near(searches[polarity], there.fit.aims(BY_BIT)) for polarity, there in group.items()]
    more = iter(convert_each([there.fit for group in groups for there in group.values()], inputs))
    return [
        {polarity: replace(there, seen=there.seen + next(more)) for polarity, there in group.items()}
        for group in groups
    ]


def _narrow_laws(
    calibration: Calibration,
    conditions: Sequence[Calibration],
    campaign: Campaign,
    groups: Sequence[Mapping[Polarity, _There]],
    laws: Sequence[Mapping[Polarity, Threshold]],
    delays: Sequence[DelayLaw],
) -> list[list[dict[Polarity, Threshold]]]:
    """Find what conditions change of the thresholds of each narrow span, by coding.

    It follows from the widest, but for what a few conversions have beyond that: references lie where switches conduct
    less, so that bits take another part of the span.
    """
    model = _model(calibration)
    spans = range(len(model.narrower))
    there = [_with_threshold(group, law) for group, law in zip(groups, laws, strict=True)]
    asked = {
        (k, n, polarity): _fit(at.chip.over(own.span), polarity, campaign)
        for k, at in enumerate(conditions)
        for n, own in enumerate(model.narrower)
        for polarity in laws[k]
    }
    searches = {
        (k, n, polarity): _moved(model.narrower[n], polarity, model, there[k][polarity]) for k, n, polarity in asked
    }
    inputs = [fit.calm(searches[key], fit.spread(FEW, NARROW)) for key, fit in asked.items()]
    seen = convert_each(list(asked.values()), inputs)
    found: list[list[dict[Polarity, Threshold]]] = [[{} for _ in spans] for _ in laws]
    for ((k, n, polarity), fit), own in zip(asked.items(), seen, strict=True):
        left = fit.left(searches[k, n, polarity], own, delays[k])
        tilt, middle = fit.lsb * np.polyfit(*left, 1)
        ratio = model.span / model.narrower[n].span
        found[k][n][polarity] = laws[k][polarity].without_line(middle, tilt * ratio)
    return found


def _with_threshold(group: Mapping[Polarity, _There], laws: Mapping[Polarity, Threshold]) -> dict[Polarity, SarSearch]:
    """Return searches whose threshold at the top plate changes, and so the input the other way."""
    found: dict[Polarity, SarSearch] = {}
    for polarity, there in group.items():
        search, law = there.search, laws[polarity]
        ends = {"low": search.low - law.middle, "high": search.high - law.middle}
        found[polarity] = SarSearch.model_validate(law.applied(search).model_copy(update=ends).model_dump())
    return found


def _with_line(search: SarSearch, own: SarSearch, fit: SarFit) -> SarSearch:
    """Move the line of codes by as much as that of a search before moves."""
    low, high = np.array([own.low, own.high]) + _line(search, fit) - _line(own, fit)
    return search.model_copy(update={"low": float(low), "high": float(high)})


def _line(search: SarSearch, fit: SarFit) -> Floats:
    """Return the outputs of the first and the last code, by a straight line through conversions [V]."""
    own: ConverterRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
