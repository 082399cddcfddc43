"""Calibrate the hold switches of floating bit lines elsewhere: the same columns again at other conditions."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import mix_models
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.hold import HoldModel
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.hold import HoldPlan, plan_hold
from spicesim.chip import Chip

__all__ = ["holds_elsewhere"]

NODES, QUICK_NODES = 4, 3
"""Temperatures through which the polynomials of a switch's charge go, the chip's own among them; and in a quick
calibration, for 4 uV."""


ALL = 4
"""Numbers of cells, from one on, below which a quick calibration looks; of larger ones it takes every second one, which
costs 14 uV."""


def holds_elsewhere(chip: Chip, own: HoldModel, campaign: Campaign) -> Elsewhere[HoldModel]:
    """Find the hold switches of a chip at other conditions, each as at the chip's own.

    What the switch adds to time constants stays what it is there: it is a hundredth of them, is hardly told from the
    capacitances, and may not be negative, as polynomials through small numbers can be. What a corner and a temperature
    change of an adder is taken for a sum, which is right to .3 uV. A quick calibration looks below fewer
    columns.

    Parameters
    ----------
    chip : Chip
        The chip at its own condition.
    own : HoldModel
        Its hold switches.
    campaign : Campaign
        Runs the simulations.

    Raises
    ------
    SimulationError
        If a simulation cannot be done; what was finished is kept.
    """
    conditions = Conditions.of(chip, QUICK_NODES if campaign.quick else NODES)
    pairs, last = conditions.pairs, len(own.rows) - 1
    kept = sorted({*range(min(ALL, last)), *range(ALL + 1, last, 2), last}) if campaign.quick else list(range(last + 1))
    places = [chip.at(corner=corner, temperature_c=t) for corner, t in pairs]
    plans = [_thinned(plan_hold(place, quick=True, seed=campaign.seed), kept) for place in places]
    summed = [corner is not None and t != conditions.own for corner, t in pairs]
    plans = [
        plan.model_copy(update={"joins": None}) if alone else plan for plan, alone in zip(plans, summed, strict=True)
    ]
    netlists = [plan.fitted_netlists(place) for plan, place in zip(plans, places, strict=True)]
    results = iter(campaign.run([netlist for group in netlists for netlist in group], "hold switches elsewhere"))
    models = [
        _completed(_alike(plan.fit_model(place, [next(results) for _ in group]), own), own, kept)
        for plan, place, group in zip(plans, places, netlists, strict=True)
    ]
    if own.adder is not None:
        adders = {pair: model.adder for pair, model in zip(pairs, models, strict=True) if model.adder is not None}
        for k, (corner, t) in enumerate(pairs):
            if summed[k]:
                each = (adders[None, t], adders[corner, conditions.own], own.adder)
                models[k] = models[k].model_copy(update={"adder": mix_models([1.0, 1.0, -1.0], each)})
    return conditions.elsewhere(Elsewhere[HoldModel], models)


def _thinned(plan: HoldPlan, kept: list[int]) -> HoldPlan:
    """Keep of the fit the columns of some numbers of cells."""
    return plan.model_copy(update={"fits": tuple(plan.fits[k] for k in kept)})


def _completed(model: HoldModel, own: HoldModel, kept: list[int]) -> HoldModel:
    """Return a model of some numbers of cells with all that the chip's own has; what changes is smooth in these."""
    if len(kept) == len(own.rows):
        return model
    x = np.log(own.rows)

    def all_of(there: Floats, here: Floats) -> Floats:
        return np.asarray(here + PchipInterpolator(x[kept], there - here[kept], axis=0)(x))

    adder = model.adder
    if adder is not None and own.adder is not None:
        adder = adder.model_copy(update={"resets": all_of(adder.resets, own.adder.resets)})
    pedestals = all_of(model.pedestals, own.pedestals)
    return model.model_copy(update={"rows": own.rows, "pedestals": pedestals, "adder": adder})


def _alike(model: HoldModel, own: HoldModel) -> HoldModel:
    """Return a model at another condition with the delay and the units of the chip's own, so that both mix."""
    adder = None if model.adder is None or own.adder is None else model.adder.in_units(own.adder.v_limit)
    return model.model_copy(update={"delay": own.delay, "adder": adder})
