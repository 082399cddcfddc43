"""Calibrate the hand-over to converters: arrays put on amplifiers or buffers at rest, or on integrators that hold."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.calibration.campaign import Campaign
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.errors import CalibrationError
from spicesim.netlist.hand_over import BufferedOver, HandOver, build_hand_overs
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["find_hand_over", "require_handed_over", "shift_hand_over"]

Plate = Callable[[Floats], Floats]
"""Inputs to top plates."""

LOADS = (0.1, 1.0, 3.0, 7.0, 16.0, 28.0, 45.0, 70.0, 110.0)
"""Feedback resistance times conductance of a column [1]: from an amplifier that follows at once to one that takes a
microsecond; dense where sampling ends before an amplifier has settled."""
SLOW = 0.5
"""Part of the sampling time; amplifiers that take longer are looked at again at other conditions, load by load."""
OUTPUTS = 11
"""Outputs, from the least to the largest that converters take; every second one tells how long it takes."""
WATCHED = 0.8e-6
"""How long to watch at least, and beyond the sampling time [s]."""
EVERY = {True: 2, False: 1}
"""Of how many loads one is watched, by whether a calibration is quick."""
BAND = 0.25
"""How near an array must be, in steps of the converter."""
BEFORE = 0.2e-9
"""Before the end of sampling, when an array is looked at [s]."""
STROBE = 0.05e-9
"""Before a strobe, when the top plate is looked at [s]."""
HELD_CODES = 5
"""Outputs of integrators, from the least to the largest."""
SMALL = 0.2
"""Part of the reference to which an amplifier's output is moved to find its feedback resistance."""
NEAR_RAIL = 0.95
"""Part of an amplifier's swing up to which outputs are handed over."""


def find_hand_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate) -> HandOverModel | None:
    """Find what converters get from the read-outs before them; None where ideal buffers give all.

    Parameters
    ----------
    chip, sizes, campaign
        The chip, its converters, and what runs the simulations.
    plate : callable
        Gives the top plate of a converter of signed outputs before each strobe, (conversions, bits) [V], of voltages of
        an ideal source above the reference, (conversions,) [V].

    Raises
    ------
    CalibrationError
        If buffers do not charge an array in the time for sampling.
    """
    kind = chip.sense_amplifier.kind
    if kind == "tia":
        return _amplifiers_over(chip, sizes, campaign, plate)
    if kind == "integrator":
        return _held_over(chip, sizes, campaign, plate)
    return _buffered_over(chip, sizes, campaign, plate) if chip.hold.is_buffered else None


def shift_hand_over(
    own: HandOverModel | None, chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate
) -> HandOverModel | None:
    """Find what converters get at another condition, from what they get at the chip's own.

    The charge of the switch changes alike for all amplifiers that have settled, so the one with the least load stands
    for them; those that hardly settle are slower or faster there, each by itself. How long arrays take stays as it is
    at the chip's own condition.

    Parameters
    ----------
    own : HandOverModel or None
        Of the chip's own condition.
    chip, sizes, campaign, plate
        As of :func:`find_hand_over`, at the other condition.
    """
    if own is None:
        return None
    kind, outputs = chip.sense_amplifier.kind, own.outputs
    if kind != "tia":
        errors = (_held_errors if kind == "integrator" else _buffer_errors)(chip, sizes, campaign, plate, outputs)
        return own.model_copy(update={"errors": np.broadcast_to(errors, own.errors.shape).copy()})
    few = np.flatnonzero((own.needed > SLOW * own.sample).any(axis=0) | (own.loads == own.loads[0]))
    r_feedback = float(own.r_feedback[-1])
    there = _amplifier_errors(
        chip, sizes, campaign, plate, [(r_feedback, load) for load in own.loads[few].tolist()], outputs
    )
    changes, along = there - own.errors[-1, few], np.log(own.loads)
    change = np.stack([np.interp(along, along[few], changes[:, k]) for k in range(len(outputs))], axis=-1)
    return own.model_copy(update={"errors": own.errors + change})


def _amplifiers_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate) -> HandOverModel:
    """Find what arrays have other than settled outputs, and how long they would take to lack nothing of them.

    A resistor stands for the cells of a column. Only the least and the largest feedback resistance are taken: it
    matters little beside its product with the conductance. What the opening of the switch does is in what arrays have
    at their first strobe: a loaded amplifier gives way to its charge otherwise than one that follows at once.

    Parameters
    ----------
    chip, sizes, campaign, plate
        As of :func:`find_hand_over`.
    """
    half, reference, span = sizes.dac.span / 2, chip.sense_amplifier.v_reference, sizes.dac.span
    low = -min(half, NEAR_RAIL * (chip.process.supply - reference))
    high = min(span, NEAR_RAIL * reference)
    outputs = np.linspace(low, high, OUTPUTS)
    settings = np.unique([chip.settings[0], chip.settings[-1]])
    columns = list(product(settings.tolist(), LOADS))
    # whatever an array held before: the other end of a range, around the reference or below it
    pairs = [(v, 0.0) for v in outputs[::2]] + [(low, half), (min(half, high), low), (0.0, high)]
    stop = max(WATCHED, 1.25 * sizes.sample)

    seen = LOADS[:: EVERY[campaign.quick]]
    watched = _cases(chip, campaign, list(product(settings.tolist(), seen)), pairs)
    built = [build_hand_overs(chip, sizes, "bipolar", cases, stop) for cases in watched]
    found = campaign.run(built, "calibrate hand-over", coarse=True)
    needed = np.reshape([_time_needed(one, len(pairs), sizes, stop) for one in found], (len(settings), len(seen)))
    # between two loads that were watched an array takes no longer than at the worse one
    after = np.searchsorted(seen, LOADS)
    needed = np.maximum(needed[:, after], needed[:, np.searchsorted(seen, LOADS, side="right") - 1])
    errors = _amplifier_errors(chip, sizes, campaign, plate, columns, outputs)
    return HandOverModel(
        sample=sizes.sample, r_feedback=settings, loads=np.array(LOADS), outputs=outputs,
        errors=np.reshape(errors, (len(settings), len(LOADS), -1)), needed=needed, watched=stop,
    )  # fmt: skip


def _amplifier_errors(
    chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate, columns: Sequence[tuple[float, float]], outputs: Floats
) -> Floats:
    """Return what arrays that held the reference have other than outputs, (columns, outputs) [V].

    Columns are feedback resistances, and these times conductances.
    """
    stop, opens, reference = sizes.sample + sizes.bit, sizes.sample, chip.sense_amplifier.v_reference
    netlists = [
        build_hand_overs(chip, sizes, "bipolar", cases, stop, opens=opens)
        for cases in _cases(chip, campaign, columns, [(v, 0.0) for v in outputs.tolist()])
    ]
    errors, near = [], -outputs
    ideal = plate(near)[:, -1]  # the highest bit is tried first
    for results in campaign.run(netlists, "calibrate hand-over"):
        held, first = _at_strobe(results, sizes, len(outputs), reference)
        errors.append(-_parted(held, first, near, ideal))  # outputs count below the reference
    return np.array(errors)


def _cases(
    chip: Chip, campaign: Campaign, columns: Sequence[tuple[float, float]], pairs: Sequence[tuple[float, float]]
) -> list[list[HandOver]]:
    """Return, by column, hand-overs of outputs to arrays that held others; cells drive what resistors have become."""
    become: dict[float, float] = {}
    if chip.process.resistor is not None:
        wanted = sorted({r for r, _ in columns})
        limit = SMALL * chip.sense_amplifier.v_reference
        found = campaign.run([build_sense_amplifier(chip, r, limit / r, 3) for r in wanted], "calibrate hand-over")
        for r, (plot, *_) in zip(wanted, found, strict=True):
            across = plot.vectors["v(sense)"].real - plot.vectors["v(out)"].real
            become[r] = r * float(across[-1] - across[0]) / (2 * limit)
    return [
        [
            HandOver(r_feedback=r, g=load / r, v_out=float(v), held=float(held), r_process=become.get(r))
            for v, held in pairs
        ]
        for r, load in columns
    ]


def _at_strobe(results: Results, sizes: SarAdc, count: int, reference: float) -> tuple[Floats, Floats]:
    """Return outputs before sampling, and top plates at the first strobe, above the reference, (count,) [V]."""
    time, apart = _apart(results, count)
    held = np.array([results[0].vectors[f"v(out_{j})"].real[0] for j in range(count)]) - reference
    strobe = sizes.sample + 2 / 3 * sizes.bit - STROBE
    return held, held - [np.interp(strobe, time, one) for one in apart]


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
        converters={0: sizes.with_ideal_logic}, polarity="bipolar", held=reference + half,
        t_read=sampling_start(chip, sizes, "bipolar"),
    )  # fmt: skip
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


def _buffered_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate) -> HandOverModel:
    """Find what arrays have other than what buffers put out, behind hold capacitors that are cut off.

    Through the gate of the buffer an array disturbs what is held for as long as it takes charge, and what is held comes
    back with it: one bench has all of it, as no cell is connected any more.
    """
    half = sizes.dac.span / 2
    outputs = np.linspace(-half, half, OUTPUTS)
    # whatever an array held before: the other end of the range
    pairs = [(v, 0.0) for v in outputs] + [(-half, half), (half, -half), (0.0, half), (0.0, -half)]
    stop = max(WATCHED, 1.25 * sizes.sample)
    watched = build_hand_overs(
        chip, sizes, "bipolar", [BufferedOver(v=-float(v), held=-before) for v, before in pairs], stop
    )
    (whole,) = campaign.run([watched], "calibrate hand-over", coarse=True)
    needed = _time_needed(whole, len(pairs), sizes, stop)
    if not needed <= sizes.sample:
        raise CalibrationError(
            f"sampling for {format_si(sizes.sample, 's')} leaves the converters' arrays more than {BAND:g} steps off "
            f"what buffers hold, which takes {format_si(needed, 's', 3)}; raise sar_adc.sample, hold.buffer_current or "
            "hold.buffer_drive, or lower sar_adc.dac.unit"
        )
    return HandOverModel(
        sample=sizes.sample, r_feedback=np.array(chip.settings[:1]), loads=np.ones(1), outputs=outputs,
        errors=_buffer_errors(chip, sizes, campaign, plate, outputs)[None, None], needed=np.full((1, 1), needed),
        watched=stop,
    )  # fmt: skip


def _buffer_errors(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate, outputs: Floats) -> Floats:
    """Return what arrays that held the reference have other than what buffers put out, (outputs,) [V]."""
    opened = build_hand_overs(
        chip, sizes, "bipolar", [BufferedOver(v=-float(v), held=0.0) for v in outputs], sizes.sample + sizes.bit,
        opens=sizes.sample,
    )  # fmt: skip
    (results,) = campaign.run([opened], "calibrate hand-over")
    held, first = _at_strobe(results, sizes, len(outputs), chip.sense_amplifier.v_reference)
    curve = np.polynomial.Polynomial.fit(held, _parted(held, first, held, plate(held)[:, -1]), 3)
    return np.asarray(curve(outputs))


def _held_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate) -> HandOverModel:
    """Find what arrays have other than what integrators held, in whole macros of one column.

    As the switch opens it parts its charge between the array and what is before it, and an integrator moves where a
    source does not.

    Parameters
    ----------
    chip, sizes, campaign, plate
        As of :func:`find_hand_over`.
    """
    outputs = np.linspace(-sizes.dac.span / 2, sizes.dac.span, OUTPUTS)
    return HandOverModel(
        sample=sizes.sample, r_feedback=np.array(chip.settings[:1]), loads=np.ones(1), outputs=outputs,
        errors=_held_errors(chip, sizes, campaign, plate, outputs)[None, None],
        needed=np.full((1, 1), sizes.sample), watched=sizes.sample,
    )  # fmt: skip


def _held_errors(chip: Chip, sizes: SarAdc, campaign: Campaign, plate: Plate, outputs: Floats) -> Floats:
    """Return what arrays that held the reference have other than what integrators hold, (outputs,) [V]."""
    amplifier, reference = chip.sense_amplifier, chip.sense_amplifier.v_reference
    cells = np.full((chip.array.rows, 1), chip.cell.g_max)
    own = sizes.with_ideal_logic
    read = MacroRead(converters={0: own}, polarity="bipolar", t_read=sampling_start(chip, own, "bipolar"))
    codes = np.linspace(0, 2**chip.dac.bits - 1, HELD_CODES).round().astype(np.int64)
    netlists = [
        build_macro(chip, cells, [code] * len(cells), read, polarity="bipolar", r_feedback=chip.settings[0])
        for code in codes.tolist()
    ]
    found = [results[0].vectors for results in campaign.run(netlists, "calibrate hand-over")]
    strobe = read.start + sizes.sample + 2 / 3 * sizes.bit - STROBE
    held, first = (
        np.array([np.interp(at, v["time"].real, v[f"v({node})"].real) - reference for v in found])
        for at, node in ((read.start, "out_0"), (strobe, "xconverter_0.top"))
    )
    before = amplifier.volts(reference + held)
    errors = amplifier.volts(reference + held + _parted(held, first, held, plate(held)[:, -1])) - before
    curve = np.polynomial.Polynomial.fit(before, errors, 2)
    return np.asarray(curve(outputs.clip(before.min(), before.max())))


def _parted(held: Floats, first: Floats, near: Floats, ideal: Floats) -> Floats:
    """Return what arrays at their first strobe have beyond those that ideal sources charged, as inputs [V].

    Parameters
    ----------
    held, first : ndarray of shape (conversions,)
        Outputs before sampling, and top plates at the first strobe, above the reference [V].
    near, ideal : ndarray of shape (conversions,)
        Inputs as near to `held` as a straight line reaches, and top plates of those arrays [V].
    """
    gain = np.polynomial.Polynomial.fit(near, ideal, 1).convert().coef[1]
    return np.asarray((first - ideal) / gain - (held - near))


def _time_needed(results: Results, count: int, sizes: SarAdc, stop: float) -> float:
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
