"""Calibrate column converters elsewhere: what a condition changes, from few conversions.

The same inputs at the chip's own condition and at another tell what changes of the top plate, with the widest span. By
how much the threshold moves is told by references so close to each other that all conversions end near it.
"""

from collections.abc import Sequence

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.hand_over import shift_hand_over
from spicesim.calibration.sar import SarFit, convert_each
from spicesim.chip import Chip
from spicesim.coding import Polarity

__all__ = ["converters_elsewhere"]

SPREAD = 8
"""Inputs spread over each range."""
STEP, LEAST_SPAN = 0.1e-3, 24e-3
"""Of converters that look for the threshold: their step, and the least span, around where it is at home [V]."""


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
    own = [_fit(calibration.chip, polarity, campaign) for polarity in model.searches]
    fits = [_fit(at.chip, polarity, campaign) for at in conditions for polarity in model.searches]
    moves = _threshold_moves(calibration, conditions, campaign)
    changed = iter(_changed(own, list(model.searches.values()), fits))
    found = iter([_moved_by(next(changed), move) for move in moves for _ in model.searches])
    models = []
    for at in conditions:
        sizes = at.chip.converter
        assert sizes is not None
        sampling, comparator = converter_noise(at.chip, sizes, campaign)
        there = {polarity: next(found) for polarity in model.searches}
        update = {
            "searches": there, "checks": {}, "narrower": tuple(_moved(own, model, there) for own in model.narrower),
            "sampling_noise": sampling, "comparator_noise": comparator,
            "hand_over": shift_hand_over(
                model.hand_over, at.chip, sizes, campaign, _fit(at.chip, "bipolar", campaign).plates
            ),
        }  # fmt: skip
        models.append(model.model_copy(update=update))
    return models


def _moved(narrow: SarSpan, model: SarModel, there: dict[Polarity, SarSearch]) -> SarSpan:
    """Let a condition change a narrower span as it does the widest, in the ratio of their references.

    The threshold moves as much, whatever these are.
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


def _changed(own: Sequence[SarFit], searches: Sequence[SarSearch], fits: Sequence[SarFit]) -> list[SarSearch]:
    """Find what changes of the top plates of converters; thresholds are still those of before.

    Parameters
    ----------
    own, searches : sequence
        Converters of the chip at its own condition, and what was found of each.
    fits : sequence of SarFit
        Those elsewhere, in groups of as many.
    """
    every = [*own, *fits]
    seen = convert_each(every, [fit.spread(SPREAD) for fit in every])
    plates = [fit.fit_plate(each) for fit, each in zip(own, seen, strict=False)]
    found = []
    for k, fit in enumerate(fits):
        here, search, now = plates[k % len(own)], searches[k % len(own)], seen[len(own) + k]
        there = fit.fit_plate(now, here)
        fit.require_settled(there, now)
        update = {name: getattr(search, name) + value - here.search[name] for name, value in there.search.items()}
        found.append(_with_line(search.model_copy(update=update), search, fit))
    return found


def _threshold_moves(calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign) -> list[float]:
    """Find by how much conditions move the threshold of a chip's converters [V]."""
    model, sizes = calibration.converter, calibration.chip.converter
    assert isinstance(model, SarModel)
    assert sizes is not None
    (polarity, search), *_ = model.searches.items()
    span = max(STEP * 2**sizes.dac.bits, LEAST_SPAN)
    fits = [_fit(at.chip.over(span), polarity, campaign) for at in (calibration, *conditions)]
    # where the plate with the sampled bits, which of unipolar inputs are all, meets the threshold
    center = -search.curve[0] / search.curve[1] * model.span / span if polarity == "bipolar" else 0.0
    seen = convert_each(fits, [center + fit.spread(SPREAD) for fit in fits])
    own, *others = [fit.threshold(each) for fit, each in zip(fits, seen, strict=True)]
    return [other - own for other in others]


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
