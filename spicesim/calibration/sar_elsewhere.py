"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate; some more, aimed at the
threshold, tell by how much it moves. What a bit and the memory add to that is the comparator's own and stays.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.sar import Plate, SarFit, converter_noise
from spicesim.coding import POLARITIES, Polarity
from spicesim.errors import CalibrationError

__all__ = ["converters_elsewhere"]

SPREAD, AIMED = 16, 8
"""Inputs spread over the range, and aimed at the threshold."""
REACH, MARGIN = 50e-3, 0.2e-3
"""A threshold is looked for so far from the chip's own; decisions are wanted on their side by so much [V]."""


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
        If a converter has no threshold there.
    """
    own = calibration.require_converter()
    assert own is not None
    plates: dict[Polarity, Plate] = {}
    for polarity in POLARITIES:
        fit = _fit(calibration, polarity, campaign)
        plates[polarity] = fit.fit_plate(fit.convert(fit.spread(SPREAD)))
    found = []
    for at in conditions:
        searches = {
            polarity: _search_at(_fit(at, polarity, campaign), own.searches[polarity], plates[polarity])
            for polarity in POLARITIES
        }
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        update = {"searches": searches, "checks": {}, "sampling_noise": sampling, "comparator_noise": comparator}
        found.append(own.model_copy(update=update))
    return found


def _fit(at: Calibration, polarity: Polarity, campaign: Campaign) -> SarFit:
    sizes = at.chip.converter
    assert sizes is not None
    return SarFit(at.chip, sizes, polarity, campaign)


def _search_at(fit: SarFit, own: SarSearch, plate: Plate) -> SarSearch:
    """Find a search at a condition from that of the chip's own and its plate there."""
    seen = fit.convert(fit.spread(SPREAD))
    there = fit.fit_plate(seen)
    changed = own.model_copy(
        update={name: getattr(own, name) + getattr(there, name) - getattr(plate, name) for name in Plate.__slots__}
    )
    over = fit.over(changed, there, seen)
    moved = _threshold(over, seen.codes)
    changed = _lower(changed, moved)
    seen = seen + fit.convert(fit.aim(changed, seen, over - moved)[:AIMED])
    changed = _lower(changed, _threshold(fit.over(changed, there, seen), seen.codes))
    # codes mean the volts that a straight line through all of them says
    shift = _line(changed, fit) - _line(own, fit)
    return SarSearch.model_validate(
        changed.model_copy(update={"low": own.low + shift[0], "high": own.high + shift[1]}).model_dump()
    )


def _lower(search: SarSearch, volts: float) -> SarSearch:
    curve = search.curve.copy()
    curve[0] -= volts
    return search.model_copy(update={"curve": curve})


def _threshold(over: Floats, codes: Codes) -> float:
    """Return by how much the threshold lies higher than was thought [V]."""
    side = 2.0 * (codes[:, None] >> np.arange(over.shape[1]) & 1) - 1

    def short(x: float) -> float:
        return float(np.sum(np.maximum(0.0, 1 - side * (over - x) / MARGIN) ** 2))

    found = minimize_scalar(short, bounds=(-REACH, REACH), method="bounded", options={"xatol": 1e-7})
    if abs(found.x) > 0.9 * REACH:
        raise CalibrationError("no threshold of the converter's comparator found; check sar_adc and its times")
    return float(found.x)


def _line(search: SarSearch, fit: SarFit) -> Floats:
    """Return the outputs of the first and the last code, by a straight line through conversions [V]."""
    own: SarRange = fit.range(search)
    volts = -search.middle + np.linspace(-1, 1, 2001) * own.span / 2
    codes = own.codes(volts)
    kept = (codes > 0) & (codes < 2**own.bits - 1)
    slope, start = np.polyfit(codes[kept], volts[kept], 1)
    return np.array([start, start + slope * (2**own.bits - 1)])
