"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, with the widest span.
These conversions go on with finer bits than the converter has, so that each ends close to the threshold: how it moves,
tilts over the input, and recovers. References closer to each other, around the middle where the array's switches
conduct less, would tell how it moves sooner, but otherwise: .6 mV off for a span of 1.6 V at ss and 85 C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import Threshold, find_threshold
from spicesim.calibration.hand_over import shift_hand_overs
from spicesim.calibration.parallel_lines import parallel_lines
from spicesim.calibration.sar import FINER, SarFit, convert_each, first_plates
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import Chip
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

FEW, NARROW = 4, 0.85
"""Inputs spread over that part of each narrow range elsewhere: few end in odd trials."""


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
    # one threshold for all codings but for what trials add to it, and for each narrower span another one
    changes = [next(iter(group.values())).change for group in groups]
    laws = [
        {polarity: change.without_bits if k else change for k, polarity in enumerate(group)}
        for group, change in zip(groups, changes, strict=True)
    ]
    laws = _wide_laws(groups, laws)
    wide = [_with_threshold(*each) for each in zip(groups, laws, strict=True)]
    narrow = _narrow_laws(calibration, conditions, campaign, groups, laws) if model.narrower else [[] for _ in groups]
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
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
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
    assert chip.converter is not None
    return SarFit(chip, chip.converter, polarity, campaign)


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """A converter elsewhere, and conversions of the same inputs at home."""

    fit: SarFit
    search: SarSearch
    """With the threshold of home."""
    home: SarSearch
    plate: Plate
    """At home."""
    moved: Plate
    """Elsewhere."""
    here: Seen
    seen: Seen

    @property
    def change(self) -> Threshold:
        """What the condition changes of the threshold."""
        here, there = (find_threshold(_over(self.plate, self.home, seen)) for seen in (self.here, self.seen))
        return there.beyond(here)


def _over(plate: Plate, search: SarSearch, seen: Seen) -> Seen:
    """Return conversions with how far the top plate was above the threshold of a search for the top plate."""
    return replace(seen, tops=seen.tops - plate.threshold(search, seen))


def _changed(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
) -> list[dict[Polarity, _There]]:
    """Find what conditions change of the converters over the widest span, by coding.

    The first coding's conversions go on, as its threshold is that of all.
    """
    model = _model(calibration)
    chips = [at.chip.over(model.span) for at in (calibration, *conditions)]
    fits = [[_fit(chip, polarity, campaign) for polarity in model.searches] for chip in chips]
    every = [fit for group in fits for fit in group]
    # at home all go on, as they did when its own converters were found: these are kept
    finer = [0 if n and k else FINER for n in range(len(chips)) for k in range(len(model.searches))]
    seen = iter(convert_each(every, [fit.along() for fit in every], finer))
    here, *others = [[next(seen) for _ in group] for group in fits]
    plates = [fit.fit_plate(own) for fit, own in zip(fits[0], here, strict=True)]
    found: list[dict[Polarity, _There]] = []
    for group, seen_there in zip(fits[1:], others, strict=True):
        own = {}
        for (polarity, home), fit, plate, was, now in zip(
            model.searches.items(), group, plates, here, seen_there, strict=True
        ):
            there = fit.fit_plate(now, plate)
            fit.require_settled(there, now)
            update = {name: getattr(home, name) + value - plate.search[name] for name, value in there.search.items()}
            moved = _with_line(home.model_copy(update=update), home, fit)
            own[polarity] = _There(fit=fit, search=moved, home=home, plate=plate, moved=there, here=was, seen=now)
        found.append(own)
    return found


def _wide_laws(
    groups: Sequence[Mapping[Polarity, _There]], laws: Sequence[Mapping[Polarity, Threshold]]
) -> list[dict[Polarity, Threshold]]:
    """Return what conditions change of thresholds, without the line that conversions with finer bits leave.

    These are of the first coding, and as its threshold their line is that of all.
    """
    found = []
    for group, law in zip(groups, laws, strict=True):
        first, there = next(iter(group.items()))
        left = there.fit.left(_with_threshold({first: there}, law)[first], there.seen, there.moved)
        tilt, (middle,) = parallel_lines([left])
        _, (late,) = parallel_lines([there.fit.left(there.home, there.here, there.plate)])
        lsb = there.fit.lsb
        found.append({polarity: _without(one, lsb * (middle - late), lsb * tilt) for polarity, one in law.items()})
    return found


def _without(law: Threshold, middle: float, tilt: float) -> Threshold:
    """Return a threshold less a line of what conversions have beyond it [V]."""
    return replace(law, middle=law.middle - middle, tilt=law.tilt - tilt)


def _narrow_laws(
    calibration: Calibration,
    conditions: Sequence[Calibration],
    campaign: Campaign,
    groups: Sequence[Mapping[Polarity, _There]],
    laws: Sequence[Mapping[Polarity, Threshold]],
) -> list[list[dict[Polarity, Threshold]]]:
    """Find what conditions change of the thresholds of each narrow span, by coding.

    It follows from the widest, but for a line that a few conversions have beyond that. In steps, its slope is one for
    all of them: their references lie where switches conduct less, so that bits take another part of the span.
    """
    model = _model(calibration)
    spans, home = range(len(model.narrower)), next(iter(groups), {})
    places = [(calibration, {polarity: (model.searches[polarity], own.plate) for polarity, own in home.items()})]
    for at, group, law in zip(conditions, groups, laws, strict=True):
        there = _with_threshold(group, law)
        places.append((at, {polarity: (there[polarity], own.moved) for polarity, own in group.items()}))
    asked = {
        (k, n, polarity): (_fit(at.chip.over(own.span), polarity, campaign), search, plate)
        for k, (at, wide) in enumerate(places)
        for n, own in enumerate(model.narrower)
        for polarity, (search, plate) in wide.items()
    }
    fits = [fit for fit, _, _ in asked.values()]
    inputs = [NARROW * fit.spread(FEW) if k else fit.along() for (k, _, _), fit in zip(asked, fits, strict=True)]
    seen = convert_each(fits, inputs, [FINER] * len(fits))
    left = {}
    for (key, (fit, search, plate)), few in zip(asked.items(), seen, strict=True):
        _, n, polarity = key
        left[key] = fit.left(_moved(model.narrower[n], polarity, model, search), few, plate)
    found: list[list[dict[Polarity, Threshold]]] = []
    for k, law in enumerate(laws, start=1):
        found.append([{} for _ in spans])
        for polarity, one in law.items():
            _, late = parallel_lines([left[0, n, polarity] for n in spans])  # what trials of finer bits have late
            slope, middles = parallel_lines([left[k, n, polarity] for n in spans])
            for n in spans:
                lsb = asked[k, n, polarity][0].lsb
                tilt = slope * lsb * model.span / model.narrower[n].span
                found[-1][n][polarity] = _without(one, lsb * (middles[n] - late[n]), tilt)
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
    own: SarRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
