"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, with the widest span.
These conversions go on with finer bits than the converter has, so that each ends close to the threshold: how it moves,
tilts over the input, and recovers. References closer to each other, around the middle where the array's switches
conduct less, would tell how it moves sooner, but otherwise: .6 mV off for a span of 1.6 V at ss and 85 C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import Threshold, find_threshold
from spicesim.calibration.hand_over import shift_hand_overs
from spicesim.calibration.sar import FINER, SarFit, convert_each, first_plates
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError

__all__ = ["converters_elsewhere"]

SPREAD = 8
"""Inputs spread over each range; of six the top plate of arrays that remember the input before is not found."""
FEW, WITHIN = 6, 0.8
"""Inputs spread over that part of a narrow range elsewhere: enough for a line where one or two end in odd trials."""
LEAST = 3
"""Of these within the range, without which there is no line."""


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
    # one threshold for all codings but for what trials add to it, and other ones for all narrower spans together
    changes = [next(iter(group.values())).change for group in groups]
    laws = [
        {polarity: change.without_bits if k else change for k, polarity in enumerate(group)}
        for group, change in zip(groups, changes, strict=True)
    ]
    wide = [_with_threshold(*each) for each in zip(groups, laws, strict=True)]
    narrow = wide
    if model.narrower:
        laws = _narrow_laws(calibration, conditions, campaign, wide, laws)
        narrow = [_with_threshold(*each) for each in zip(groups, laws, strict=True)]
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
    """A converter elsewhere, and conversions of the same inputs at home."""

    search: SarSearch
    """With the threshold of home."""
    home: SarSearch
    plate: Plate
    """At home."""
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
    finer = [0 if k else FINER for _ in chips for k in range(len(model.searches))]
    seen = iter(convert_each(every, [fit.spread(SPREAD) for fit in every], finer))
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
            own[polarity] = _There(search=moved, home=home, plate=plate, here=was, seen=now)
        found.append(own)
    return found


def _narrow_laws(
    calibration: Calibration,
    conditions: Sequence[Calibration],
    campaign: Campaign,
    wide: Sequence[dict[Polarity, SarSearch]],
    laws: Sequence[Mapping[Polarity, Threshold]],
) -> list[dict[Polarity, Threshold]]:
    """Find what conditions change of the thresholds of narrow spans, by coding.

    The narrowest stands for all. What conditions change of it follows from the widest, but for a line that a few
    conversions have beyond that: around the middle thresholds are tilted otherwise.
    """
    model = _model(calibration)
    narrowest = model.narrower[-1]
    ratio, searches = narrowest.span / model.span, [_moved(narrowest, model, group).searches for group in wide]
    chips = [at.chip.over(narrowest.span) for at in (calibration, *conditions)]
    fits = [_fit(chip, polarity, campaign) for chip in chips for polarity in model.searches]
    every = convert_each(fits, [WITHIN * fit.spread(FEW) for fit in fits], [FINER] * len(fits))
    seen = iter(zip(fits, every, strict=True))
    # what trials of finer bits have late
    late = {polarity: _left(*next(seen), home).intercept for polarity, home in narrowest.searches.items()}
    found = [dict(law) for law in laws]
    for own, search in zip(found, searches, strict=True):
        for polarity, law in own.items():
            fit, few = next(seen)
            line = _left(fit, few, search[polarity])
            middle = law.middle - fit.lsb * (line.intercept - late[polarity])
            own[polarity] = replace(law, middle=middle, tilt=law.tilt - fit.lsb * line.slope / ratio)
    return found


def _left(fit: SarFit, seen: Seen, search: SarSearch) -> Any:
    """Return the line of what conversions have beyond a search, over their inputs [steps].

    Raises
    ------
    CalibrationError
        If hardly any conversion is within the range.
    """
    from scipy.stats import theilslopes  # takes long to import

    beyond = fit.beyond(search, seen)
    kept = np.isfinite(beyond)
    if kept.sum() < LEAST:
        raise CalibrationError(
            f"a condition moves the converter's threshold out of its narrow span: {kept.sum()} of {len(kept)} "
            "conversions are within it; widen sar_adc.comparator or the last of sar_adc.spans"
        )
    return theilslopes(beyond[kept], seen.inputs[kept])


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
