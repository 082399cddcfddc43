"""Calibrate the hand-over from amplifiers to converters: arrays that are put on amplifiers at rest."""

from itertools import product

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.calibration.campaign import Campaign
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.errors import CalibrationError
from spicesim.netlist.hand_over import HandOver, build_hand_overs
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["calibrate_hand_over", "require_handed_over"]

LOADS = (0.1, 0.4, 1.2, 3.0, 7.0, 16.0, 40.0, 100.0)
"""Feedback resistance times conductance of a column [1]: from an amplifier that follows at once to one that takes a
microsecond."""
OUTPUTS = 7
"""Outputs, from the least to the largest that converters take."""
WATCHED = 0.8e-6
"""How long to watch at least, and beyond the sampling time [s]."""
BAND = 0.25
"""How near an array must be, in steps of the converter."""
BEFORE = 0.2e-9
"""Before the end of sampling, when an array is looked at [s]."""
NEAR_RAIL = 0.95
"""Part of an amplifier's swing up to which outputs are handed over."""


def calibrate_hand_over(chip: Chip, sizes: SarAdc, campaign: Campaign) -> HandOverModel:
    """Find what arrays lack of settled outputs at the end of sampling, and how long they would take to have them.

    A resistor stands for the cells of a column. Only the least and the largest feedback resistance are taken: it
    matters little beside its product with the conductance.
    """
    half, reference, span = sizes.dac.span / 2, chip.sense_amplifier.v_reference, sizes.dac.span
    low = -min(half, NEAR_RAIL * (chip.process.supply - reference))
    high = min(span, NEAR_RAIL * reference)
    outputs = np.linspace(low, high, OUTPUTS)
    settings = np.unique([chip.settings[0], chip.settings[-1]])
    # whatever an array held before: the other end of a range, around the reference or below it
    pairs = [(v, 0.0) for v in outputs] + [(low, half), (min(half, high), low), (0.0, high)]
    stop = max(WATCHED, 1.25 * sizes.sample)
    netlists = [
        build_hand_overs(
            chip, sizes, "bipolar",
            [HandOver(r_feedback=r, g=load / r, v_out=float(v), held=float(before)) for v, before in pairs],
            stop,
        )
        for r, load in product(settings.tolist(), LOADS)
    ]  # fmt: skip
    found = campaign.run(netlists, "calibrate hand-over")
    errors, needed = [], []
    for results in found:
        time, apart = _apart(results, len(pairs))
        errors.append([float(np.interp(sizes.sample, time, one)) for one in apart[: len(outputs)]])
        outside = np.flatnonzero((np.abs(apart) > BAND * sizes.lsb).any(axis=0))
        needed.append(stop if outside[-1] + 1 >= len(time) else float(time[outside[-1] + 1]))
    shape = len(settings), len(LOADS)
    return HandOverModel(
        sample=sizes.sample, r_feedback=settings, loads=np.array(LOADS), outputs=outputs,
        errors=np.reshape(errors, (*shape, -1)), needed=np.reshape(needed, shape), watched=stop,
    )  # fmt: skip


def require_handed_over(chip: Chip, sizes: SarAdc, campaign: Campaign) -> None:
    """Refuse converters whose arrays do not have an integrator's largest output at the end of sampling.

    An integrator holds its charge whatever its output drives, so that all there is to a hand-over is time; of that the
    largest output takes most, into an array that held the other end of the range.

    Raises
    ------
    CalibrationError
        If they lack more than a quarter of a step.
    """
    half, reference = sizes.dac.span / 2, chip.sense_amplifier.v_reference
    top = 2**chip.dac.bits - 1
    read = MacroRead(
        converters={0: sizes}, polarity="bipolar", t_read=sampling_start(chip, sizes, "bipolar"), held=reference + half
    )
    cells = np.full((chip.array.rows, 1), chip.cell.g_max)
    netlist = build_macro(chip, cells, [top] * len(cells), read, polarity="bipolar", r_feedback=chip.settings[0])
    (results,) = campaign.run([netlist], "calibrate hand-over")
    vectors = results[0].vectors
    time = vectors["time"].real
    before = float(np.interp(read.start, time, vectors["v(out_0)"].real))
    after = float(np.interp(read.start + sizes.sample - BEFORE, time, vectors["v(xconverter_0.top)"].real))
    lacks = abs(after - before) / sizes.lsb
    if not lacks <= BAND:
        raise CalibrationError(
            f"sampling for {format_si(sizes.sample, 's')} leaves the converters' arrays {lacks:.2g} steps off an "
            f"integrator's output, wanted {BAND:g}; raise sar_adc.sample or integrator.bias_current, or lower "
            "sar_adc.dac.unit"
        )


def _apart(results: Results, count: int) -> tuple[Floats, Floats]:
    """Return times from the closing of the switches on, and what each array has beyond the output before it [V]."""
    vectors = results[0].vectors
    time = np.asarray(vectors["time"].real, dtype=float) - STEP_TIME
    after = time >= 0
    tops = np.array([vectors[f"v(top_{k})"].real[after] - vectors[f"v(out_{k})"].real[0] for k in range(count)])
    return time[after], -tops
