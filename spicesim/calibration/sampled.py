"""What arrays have of outputs in benches of hand-overs: at the first strobe, and how long until they are near."""

import numpy as np
from scipy.interpolate import CubicSpline

from spicesim.arrays import Floats
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip.blocks import SarAdc
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results

__all__ = ["BAND", "OUTPUTS", "WATCHED", "at_strobe", "parted", "source_outputs", "time_needed"]

OUTPUTS = 11
"""Outputs, from the least to the largest that converters take."""
WATCHED = 0.8e-6
"""How long to watch at least, and beyond the sampling time [s]."""
BAND = 0.25
"""How near an array must be, in steps of the converter."""
SOURCES, BEYOND = 33, 0.1
"""Ideal sources, and how far beyond outputs they reach, as arrays that ring have more than these [V]."""


def source_outputs(outputs: Floats, supply: float, reference: float) -> Floats:
    """Return outputs of ideal sources between which arrays on some lie, below the reference, (sources,) [V]."""
    low, high = max(outputs.min() - BEYOND, reference - supply), min(outputs.max() + BEYOND, reference)
    return np.linspace(low, high, SOURCES)


def at_strobe(results: Results, sizes: SarAdc, count: int, reference: float) -> tuple[Floats, Floats]:
    """Return outputs before sampling, and top plates at the first strobe, above the reference, (count,) [V]."""
    time, apart = _apart(results, count)
    held = np.array([results[0].vectors[f"v(out_{j})"].real[0] for j in range(count)]) - reference
    strobe = sizes.sample + 2 / 3 * sizes.bit - BEFORE_STROBE
    return held, held - [np.interp(strobe, time, one) for one in apart]


def parted(held: Floats, first: Floats, inputs: Floats, plates: Floats) -> Floats:
    """Return what arrays at their first strobe have beyond outputs, as inputs of converters [V].

    That is what ideal sources, with which converters are calibrated, must have for the same top plate: it bends, at ss
    and 85 C by up to 6 mV after 20 ns, and rises by 1.00 to .967 for 1 V of input.

    Parameters
    ----------
    held, first : ndarray of shape (conversions,)
        Outputs before sampling, and top plates at the first strobe, above the reference [V].
    inputs, plates : ndarray of shape (sources,)
        Voltages of ideal sources, all over the range, and top plates that they charged [V].
    """
    order = np.argsort(plates)
    return np.asarray(CubicSpline(plates[order], inputs[order])(first) - held)


def time_needed(results: Results, count: int, sizes: SarAdc, stop: float) -> float:
    """Return from when on no array is farther than the band from its output; `stop` where that was not seen [s]."""
    time, apart = _apart(results, count)
    outside = np.flatnonzero((np.abs(apart) > BAND * sizes.lsb).any(axis=0))
    return stop if outside[-1] + 1 >= len(time) else float(time[outside[-1] + 1])


def _apart(results: Results, count: int) -> tuple[Floats, Floats]:
    """Return times from the closing of the switches on, and what each array has beyond the output before it [V]."""
    vectors = results[0].vectors
    time = np.asarray(vectors["time"].real, dtype=float) - STEP_TIME
    after = time >= 0
    tops = np.array([vectors[f"v(top_{k})"].real[after] - vectors[f"v(out_{k})"].real[0] for k in range(count)])
    return time[after], -tops
