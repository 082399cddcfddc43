"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate; some more, aimed at the
threshold, tell by how much it moves.
"""

from collections.abc import Sequence

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.hand_over import shift_hand_over
from spicesim.calibration.sar import Plate, SarFit, Seen, convert_each, converter_noise
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

SPREAD, AIMED = {True: 8, False: 16}, {True: 1, False: 2}
"""Inputs spread over the range, and aimed at the threshold of each bit; by whether a calibration is quick."""


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
    own = calibration.require_converter()
    assert isinstance(own, SarModel)
    quick = campaign.quick
    count = len(own.searches)
    pairs = [(at, polarity) for at in (calibration, *conditions) for polarity in own.searches]
    fits = [_fit(at, polarity, campaign) for at, polarity in pairs]
    seen = convert_each(fits, [fit.spread(SPREAD[quick]) for fit in fits])
    plates = [fit.fit_plate(each) for fit, each in zip(fits, seen, strict=True)]
    nominal = plates[:count] * len(conditions)
    fits, plates, seen = fits[count:], plates[count:], seen[count:]
    before = [own.searches[polarity] for _, polarity in pairs[count:]]
    found = [_change(*each) for each in zip(fits, before, nominal, plates, seen, strict=True)]
    found = _aimed(fits, found, plates, seen, AIMED[quick])
    searches = iter([_with_line(*each) for each in zip(found, before, fits, strict=True)])
    models = []
    for at in conditions:
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        update = {
            "searches": {polarity: next(searches) for polarity in own.searches}, "checks": {},
            "sampling_noise": sampling, "comparator_noise": comparator,
            "hand_over": shift_hand_over(own.hand_over, at.chip, sizes, campaign, _fit(at, "bipolar", campaign).plates),
        }  # fmt: skip
        models.append(own.model_copy(update=update))
    return models


def _fit(at: Calibration, polarity: Polarity, campaign: Campaign) -> SarFit:
    sizes = at.chip.converter
    assert sizes is not None
    return SarFit(at.chip, sizes, polarity, campaign)


def _change(fit: SarFit, own: SarSearch, plate: Plate, there: Plate, seen: Seen) -> SarSearch:
    """Find a search at a condition from that of the chip's own and its plate there; the threshold is still its own."""
    fit.require_settled(there, seen)
    return own.model_copy(
        update={name: getattr(own, name) + getattr(there, name) - getattr(plate, name) for name in Plate.__slots__}
    )


def _aimed(
    fits: Sequence[SarFit],
    searches: Sequence[SarSearch],
    plates: Sequence[Plate],
    seen: Sequence[Seen],
    each_bit: int,
) -> list[SarSearch]:
    """Find the thresholds at conditions, first where conversions tell of them, then by more that end close to these."""
    thresholds = [
        fit.find_threshold(fit.over(search, plate, each), each)
        for fit, search, plate, each in zip(fits, searches, plates, seen, strict=True)
    ]
    found = [threshold.applied(search) for threshold, search in zip(thresholds, searches, strict=True)]
    aimed = [
        fit.aim(search, each, threshold.over, each_bit)
        for fit, search, each, threshold in zip(fits, found, seen, thresholds, strict=True)
    ]
    more = [each + new for each, new in zip(seen, convert_each(fits, aimed), strict=True)]
    return [
        fit.find_threshold(fit.over(search, plate, each), each).applied(search)
        for fit, search, plate, each in zip(fits, found, plates, more, strict=True)
    ]


def _with_line(search: SarSearch, own: SarSearch, fit: SarFit) -> SarSearch:
    """Let codes mean the volts that a straight line through all of them says."""
    shift = _line(search, fit) - _line(own, fit)
    return SarSearch.model_validate(
        search.model_copy(update={"low": own.low + shift[0], "high": own.high + shift[1]}).model_dump()
    )


def _line(search: SarSearch, fit: SarFit) -> Floats:
    """Return the outputs of the first and the last code, by a straight line through conversions [V]."""
    own: SarRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
