"""The data sheet in a calibration: named parameters of every block, from the simulations its models were made of."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.fit import Fit
from spicesim.calibration.laws import (
    fit_access_cell,
    fit_amplifier,
    fit_bare_cell,
    fit_core,
    fit_driver,
    fit_rails,
    fit_selected_cell,
    inner_range,
)

__all__ = ["fit_sheet"]

_POINTS = 400
"""Points of a sweep that a law is fitted to."""
_PARTS = 4
"""Parts of the box of a cell along g and u."""
_CORE_POINTS = 40
"""The same of each amplifier, where all are fitted together."""


def fit_sheet(calibration: Calibration, _campaign: Campaign) -> dict[str, Fit]:
    """Fit the laws of :mod:`spicesim.calibration.laws` to what a calibration has simulated already.

    Parameters
    ----------
    calibration : Calibration
        With its blocks.

    Returns
    -------
    dict of Fit
        By block, such as "DAC, unipolar" or "TIA, 20 kohm".
    """
    fits = {"cell": _fit_cell(calibration)}
    drivers = {} if calibration.chip.cell.is_gated else calibration.dacs  # of gates there is nothing to be fitted
    for polarity, model in drivers.items():
        fits[f"DAC, {polarity}"] = _fit_dac(model, calibration.chip.dac.v_span)
    for amplifier in calibration.senseamps:
        step = max(1, len(amplifier.v_out) // _POINTS)
        i, v_out, v_in = amplifier.currents[::step], amplifier.v_out[::step], amplifier.v_in[::step]
        r, name = amplifier.r_feedback, f"{amplifier.r_feedback / 1e3:g} kohm"
        fits[f"TIA, {name}"] = fit_amplifier(i, v_out, v_in, r_feedback=r)
        fits[f"TIA rails, {name}"] = fit_rails(i, v_out, r_feedback=r)
    fits["TIA core"] = fit_core(_core_sweeps(calibration.senseamps))
    return fits


def _core_sweeps(amplifiers: tuple[SenseAmplifierModel, ...]) -> dict[float, tuple[Floats, Floats]]:
    """Take the currents that all amplifiers can bear in the inner half of their range: gain falls with the current."""
    common = min(float(a.currents[inner_range(a.currents, a.v_out)].max()) for a in amplifiers)
    sweeps = {}
    for amplifier in amplifiers:
        inside = np.flatnonzero(np.abs(amplifier.currents) <= common)
        some = inside[:: max(1, len(inside) // _CORE_POINTS)]
        sweeps[amplifier.r_feedback] = amplifier.currents[some], amplifier.v_in[some]
    return sweeps


def _fit_cell(calibration: Calibration) -> Fit:
    points = calibration.held_out["cell current"]
    g, v, u = (points.coordinates[name] for name in ("g [S]", "v [V]", "u [V]"))
    if calibration.chip.cell.kind == "1r":
        return fit_bare_cell(g, v, points.measured)
    if calibration.chip.cell.kind == "1s1r":
        return fit_selected_cell(g, v, points.measured)
    # the law's body effect is linear, which holds near rest
    near = np.abs(u) <= 0.5 * calibration.chip.dac.v_span
    g, v, u, measured = g[near], v[near], u[near], points.measured[near]
    # in the order of a walk through the box, so that what the law misses in a part of it is no noise to the fit
    places = [np.digitize(x, np.quantile(x, np.linspace(0, 1, _PARTS + 1)[1:-1])) for x in (g, u)]
    walk = np.lexsort((v, places[1], places[0]))
    return fit_access_cell(g[walk], v[walk], u[walk], measured[walk], ordered=True)


def _fit_dac(model: DacModel, v_span: float) -> Fit:
    """Fit all codes without load, and some with loads up to a quarter of a whole row's."""
    count, knots = len(model.v_open), np.array(model.knots)
    normal = np.flatnonzero(np.abs(model.currents) <= 0.125 * model.i_limit)
    some = normal[:: max(1, len(normal) // 32)]
    loaded = model.v_open[knots][:, None] - model.droop[:, some]
    return fit_driver(
        np.concatenate([np.arange(count), np.repeat(knots, len(some))]),
        np.concatenate([np.zeros(count), np.tile(model.currents[some], len(knots))]),
        np.concatenate([model.v_open, loaded.ravel()]),
        bits=count.bit_length() - 1,
        v_span=v_span,
    )
