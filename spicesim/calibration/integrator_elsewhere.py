"""Calibrate integrators elsewhere: some of the same columns again at other conditions."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.integration import ChargeLaw, IntegratorModel
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.integrator import plan_integrator
from spicesim.chip import Chip

__all__ = ["integrators_elsewhere"]

NODES, QUICK_NODES = 4, 3
"""Temperatures through which the polynomials of an integrator go, the chip's own among them; and of a quick
calibration, which takes what corners change for linear in temperature."""


def integrators_elsewhere(chip: Chip, own: IntegratorModel, campaign: Campaign) -> Elsewhere[IntegratorModel]:
    """Find the integrators of a chip at other conditions.

    Pedestals are found on lines of the fewest, some, and the most cells, and between these follow as they do at the
    chip's own condition, with a change that is smooth.

    Parameters
    ----------
    chip : Chip
        The chip at its own condition.
    own : IntegratorModel
        Its integrators.
    campaign : Campaign
        Runs the simulations.

    Raises
    ------
    SimulationError
        If a simulation cannot be done; what was finished is kept.
    """
    nodes: int = QUICK_NODES if campaign.quick else NODES
    conditions = Conditions.of(chip, nodes, "ends" if campaign.quick else "own and ends")
    kept = sorted({0, len(own.rows) // 2, len(own.rows) - 1})
    rows = [own.rows[k] for k in kept]
    plan = plan_integrator(chip, quick=True, seed=campaign.seed, counts=rows)
    places = [chip.at(corner=corner, temperature_c=t) for corner, t in conditions.pairs]
    netlists = [plan.fitted_netlists(place) for place in places]
    results = iter(campaign.run([netlist for group in netlists for netlist in group], "integrators elsewhere"))
    found = [
        plan.fit_model(place, [next(results) for _ in group]) for place, group in zip(places, netlists, strict=True)
    ]
    return conditions.elsewhere(Elsewhere[IntegratorModel], [_completed(model, own, kept) for model in found])


def _completed(model: IntegratorModel, own: IntegratorModel, kept: list[int]) -> IntegratorModel:
    """Return a model of some numbers of cells with all that the chip's own has."""
    x = np.log(own.rows)

    def law(there: ChargeLaw, here: ChargeLaw) -> ChargeLaw:
        change = there.pedestals - here.pedestals[kept]
        if len(kept) > 1:
            change = PchipInterpolator(x[kept], change, axis=0)(x)
        return there.model_copy(update={"pedestals": here.pedestals + change})

    laws = {polarity: law(there, own.laws[polarity]) for polarity, there in model.laws.items()}
    return model.model_copy(update={"rows": own.rows, "laws": laws})
