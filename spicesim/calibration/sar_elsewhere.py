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
from spicesim.calibration.sar import Plate, SarFit, converter_noise
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
    plates: dict[Polarity, Plate] = {}
    for polarity in own.searches:
        fit = _fit(calibration, polarity, campaign)
        plates[polarity] = fit.fit_plate(fit.convert(fit.spread(SPREAD[campaign.quick])))
    found = []
    for at in conditions:
        searches = {
            polarity: _search_at(_fit(at, polarity, campaign), own.searches[polarity], plates[polarity], campaign.quick)
            for polarity in own.searches
        }
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        update = {
            "searches": searches, "checks": {}, "sampling_noise": sampling, "comparator_noise": comparator,
            "hand_over": shift_hand_over(own.hand_over, at.chip, sizes, campaign, _fit(at, "bipolar", campaign).plates),
        }  # fmt: skip
        found.append(own.model_copy(update=update))
    return found


def _fit(at: Calibration, polarity: Polarity, campaign: Campaign) -> SarFit:
    sizes = at.chip.converter
    assert sizes is not None
    return SarFit(at.chip, sizes, polarity, campaign)


def _search_at(fit: SarFit, own: SarSearch, plate: Plate, quick: bool) -> SarSearch:
    """Find a search at a condition from that of the chip's own and its plate there."""
    seen = fit.convert(fit.spread(SPREAD[quick]))
    there = fit.fit_plate(seen)
    fit.require_settled(there, seen)
    changed = own.model_copy(
        update={name: getattr(own, name) + getattr(there, name) - getattr(plate, name) for name in Plate.__slots__}
    )
    threshold = fit.find_threshold(fit.over(changed, there, seen), seen)
    changed = threshold.applied(changed)
    seen = seen + fit.convert(fit.aim(changed, seen, threshold.over, AIMED[quick]))
    changed = fit.find_threshold(fit.over(changed, there, seen), seen).applied(changed)
    # codes mean the volts that a straight line through all of them says
    shift = _line(changed, fit) - _line(own, fit)
    return SarSearch.model_validate(
        changed.model_copy(update={"low": own.low + shift[0], "high": own.high + shift[1]}).model_dump()
    )


def _line(search: SarSearch, fit: SarFit) -> Floats:
    """Return the outputs of the first and the last code, by a straight line through conversions [V]."""
    own: SarRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
