"""Calibrate what an integrator draws: steady currents into one, and its switches in a product without current."""

from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.energy import AmplifierEnergy
from spicesim.behavioural.integration import IntegratorModel
from spicesim.calibration.integrator import AT, steady_window
from spicesim.chip import Chip
from spicesim.netlist.integrator import build_integrators
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pulses import PULSE_OPTIONS
from spicesim.ngspice.outcome import Results

__all__ = ["fit_integrator_energy", "integrator_energy_netlists", "integrator_switching"]

SHARES = np.linspace(-1.0, 1.0, 7)
"""Currents, of the largest that is calibrated."""


def integrator_energy_netlists(chip: Chip, model: IntegratorModel) -> dict[str, Netlist]:
    """Build the simulations by name: one integrator each."""
    limit = model.port.i_limit
    window, more = steady_window(chip, limit), ("i(vref)", "i(vrst)", "i(vrun)", "v(rst)", "v(run)")
    built = [build_integrators(chip, [share * limit], window=window) for share in SHARES]
    return {
        f"integrator {k}": replace(netlist, options=PULSE_OPTIONS, probes=(*netlist.probes, *more))
        for k, netlist in enumerate(built)
    }


def _drawn(chip: Chip, model: IntegratorModel, results: Results) -> tuple[Floats, Floats, float]:
    """Return times, what the supply delivers then, and what it does at a steady current [W]."""
    vectors, window = results[0].vectors, steady_window(chip, model.port.i_limit)
    time, power = vectors["time"].real, -chip.process.supply * vectors["i(vdd)"].real
    return time, power, float(np.interp(window.start + AT * window.length, time, power))


def fit_integrator_energy(chip: Chip, model: IntegratorModel, results: dict[str, Results]) -> AmplifierEnergy:
    """Make the table of the power at steady currents."""
    steady = [_drawn(chip, model, results[f"integrator {k}"])[2] for k in range(len(SHARES))]
    return AmplifierEnergy(
        r_feedback=model.r_feedback, i_limit=model.port.i_limit, power=np.array(steady), charge=0.0
    )  # fmt: skip


def integrator_switching(chip: Chip, model: IntegratorModel, results: dict[str, Results]) -> float:
    """Return what the switches of an integrator take in a product [J]."""
    found = results[f"integrator {len(SHARES) // 2}"]
    time, power, steady = _drawn(chip, model, found)
    vectors, reference = found[0].vectors, chip.sense_amplifier.v_reference
    power = power - reference * vectors["i(vref)"].real
    for control in ("rst", "run"):
        power = power - vectors[f"v({control})"].real * vectors[f"i(v{control})"].real
    return float(np.trapezoid(power - steady, time))
