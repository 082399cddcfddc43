"""Calibrate the hand-over to converters: arrays put on amplifiers or buffers at rest, or on integrators that hold."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.threshold import plate_switches
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.errors import CalibrationError
from spicesim.netlist.hand_over import BufferedOver, HandOver, SourceOver, build_hand_overs
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import longest_step
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["find_hand_over", "require_handed_over", "shift_hand_overs"]

Plates = Callable[[Sequence[Floats]], list[Floats]]
"""Inputs of the converters of some chips, above the reference, to their top plates at the first strobe [V]."""

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
HELD_CODES, HELD_ELSEWHERE = 4, 3
"""Outputs of integrators, from the least to the largest, and as many at other conditions as a parabola has numbers."""
HELD_ROWS = 8
"""Cells of the column that brings an integrator there, together of the conductance of a full one: once it holds, they
are cut off."""
SMALL = 0.2
"""Part of the reference to which an amplifier's output is moved to find its feedback resistance."""
NEAR_RAIL = 0.95
"""Part of an amplifier's swing up to which outputs are handed over."""


def find_hand_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plates: Plates) -> HandOverModel | None:
    """Find what converters get from the read-outs before them; None where ideal buffers give all.

    Parameters
    ----------
    chip, sizes, campaign
        The chip, its converters, and what runs the simulations.
    plates : callable
        Gives, of voltages of an ideal source above the reference, (conversions,) [V], the top plate of a converter of
        signed outputs before its first strobe, (conversions,) [V], for a sequence of chips, here this one alone; asked
        for integrators alone, whose arrays are seen in whole macros.

    Raises
    ------
    CalibrationError
        If buffers do not charge an array in the time for sampling.
    """
    kind = chip.sense_amplifier.kind
    if kind == "tia":
        return _amplifiers_over(chip, sizes, campaign)
    if kind == "integrator":
        return _held_over(chip, sizes, campaign, plates)
    return _buffered_over(chip, sizes, campaign) if chip.hold.is_buffered else None


def shift_hand_overs(
    home: Chip,
    own: HandOverModel | None,
    conditions: Sequence[Chip],
    campaign: Campaign,
    plates: Plates,
) -> list[HandOverModel | None]:
    """Find what converters get at other conditions, from what they get at the chip's own.

    The charge of the switch changes alike for all amplifiers that have settled, so the one with the least load stands
    for them; those that hardly settle are slower or faster there, each by itself. What changes is seen with resistances
    for the switches of arrays, there as at the chip's own condition. How long arrays take stays as it is there.

    Parameters
    ----------
    home : Chip
        The chip at its own condition.
    own : HandOverModel or None
        What converters get there.
    conditions : sequence of Chip
        The chip elsewhere.
    campaign : Campaign
        Runs the simulations.
    plates : callable
        As of :func:`find_hand_over`, of the chip at all conditions.
    """
    if own is None:
        return [None] * len(conditions)
    kind, outputs = home.sense_amplifier.kind, own.outputs
    if kind == "tia":
        return _amplifiers_elsewhere(own, [home, *conditions], campaign)
    if kind == "integrator":
        errors = _held_errors(conditions, campaign, plates, outputs, HELD_ELSEWHERE)
    else:
        errors = [_buffer_errors(chip, _sizes(chip), campaign, outputs) for chip in conditions]
    return [own.model_copy(update={"errors": np.broadcast_to(one, own.errors.shape).copy()}) for one in errors]


def _amplifiers_elsewhere(own: HandOverModel, chips: Sequence[Chip], campaign: Campaign) -> list[HandOverModel | None]:
    """Find what arrays on amplifiers get on all chips but the first, which is at its own condition."""
    few = np.flatnonzero((own.needed > SLOW * own.sample).any(axis=0) | (own.loads == own.loads[0]))
    columns = [(float(own.r_feedback[-1]), load) for load in own.loads[few].tolist()]
    switches = plate_switches([(chip, _sizes(chip)) for chip in chips], campaign)
    here, *there = _amplifier_errors(chips, campaign, columns, own.outputs, switches)
    along = np.log(own.loads)
    models: list[HandOverModel | None] = []
    for found in there:
        changes = found - here
        change = np.stack([np.interp(along, along[few], one) for one in changes.T], axis=-1)
        models.append(own.model_copy(update={"errors": own.errors + change}))
    return models


def _sizes(chip: Chip) -> SarAdc:
    assert chip.converter is not None
    return chip.converter


def _amplifiers_over(chip: Chip, sizes: SarAdc, campaign: Campaign) -> HandOverModel:
    """Find what arrays have other than settled outputs, and how long they would take to lack nothing of them.

    A resistor stands for the cells of a column. Only the least and the largest feedback resistance are taken: it
    matters little beside its product with the conductance. What the opening of the switch does is in what arrays have
    at their first strobe: a loaded amplifier gives way to its charge otherwise than one that follows at once.

    Parameters
    ----------
    chip, sizes, campaign
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
    (switches,) = plate_switches([(chip, sizes)], campaign)
    built = [build_hand_overs(chip, sizes, cases, stop, switches=switches) for cases in watched]
    found = campaign.run(built, "calibrate hand-over")
    needed = np.reshape([_time_needed(one, len(pairs), sizes, stop) for one in found], (len(settings), len(seen)))
    # between two loads that were watched an array takes no longer than at the worse one
    after = np.searchsorted(seen, LOADS)
    needed = np.maximum(needed[:, after], needed[:, np.searchsorted(seen, LOADS, side="right") - 1])
    (errors,) = _amplifier_errors([chip], campaign, columns, outputs, [switches])
    # what resistances in place of switches change is nearly the same whatever the load
    light = columns.index((float(settings[-1]), LOADS[0]))
    ((own,),) = _amplifier_errors([chip], campaign, [columns[light]], outputs)
    errors += own - errors[light]
    return HandOverModel(
        sample=sizes.sample, r_feedback=settings, loads=np.array(LOADS), outputs=outputs,
        errors=np.reshape(errors, (len(settings), len(LOADS), -1)), needed=needed, watched=stop,
    )  # fmt: skip


def _amplifier_errors(
    chips: Sequence[Chip],
    campaign: Campaign,
    columns: Sequence[tuple[float, float]],
    outputs: Floats,
    switches: Sequence[Floats] | None = None,
) -> list[Floats]:
    """Return what arrays that held the reference have other than outputs, of each chip, (columns, outputs) [V].

    Columns are feedback resistances, and these times conductances. Resistances may stand for the switches of each
    chip's arrays, (bits,) [ohm].
    """
    pairs = [(v, 0.0) for v in outputs.tolist()]
    sources = [SourceOver(v=v, held=held) for v, held in pairs]
    netlists = []
    for k, chip in enumerate(chips):
        own, sizes = None if switches is None else switches[k], _sizes(chip)
        groups: list[Sequence[HandOver | SourceOver]] = [sources, *_cases(chip, campaign, columns, pairs)]
        netlists += [
            build_hand_overs(chip, sizes, cases, sizes.sample + sizes.bit, opens=sizes.sample, switches=own)
            for cases in groups
        ]
    found = iter(campaign.run(netlists, "calibrate hand-over"))
    errors = []
    for chip in chips:
        seen = [
            _at_strobe(next(found), _sizes(chip), len(outputs), chip.sense_amplifier.v_reference)
            for _ in range(1 + len(columns))
        ]
        near, ideal = seen[0]
        # outputs count below the reference
        errors.append(np.array([-_parted(held, first, near, ideal) for held, first in seen[1:]]))
    return errors


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
    strobe = sizes.sample + 2 / 3 * sizes.bit - BEFORE_STROBE
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
    cells = _full_column(chip)
    netlist = build_macro(chip, cells, [top] * len(cells), read, polarity="bipolar", r_feedback=chip.settings[0])
    (results,) = campaign.run([_until(netlist, read.start + sizes.sample, sizes)], "calibrate hand-over")
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


def _full_column(chip: Chip) -> Floats:
    """Return few cells with the conductance of a full column, (cells, 1) [S]."""
    rows = min(chip.array.rows, HELD_ROWS)
    return np.full((rows, 1), chip.cell.g_max * chip.array.rows / rows)


def _buffered_over(chip: Chip, sizes: SarAdc, campaign: Campaign) -> HandOverModel:
    """Find what arrays have other than what buffers put out, behind hold capacitors that are cut off.

    Through the gate of the buffer an array disturbs what is held for as long as it takes charge, and what is held comes
    back with it: one bench has all of it, as no cell is connected any more.
    """
    half = sizes.dac.span / 2
    outputs = np.linspace(-half, half, OUTPUTS)
    # whatever an array held before: the other end of the range
    pairs = [(v, 0.0) for v in outputs] + [(-half, half), (half, -half), (0.0, half), (0.0, -half)]
    stop = max(WATCHED, 1.25 * sizes.sample)
    watched = build_hand_overs(chip, sizes, [BufferedOver(v=-float(v), held=-before) for v, before in pairs], stop)
    (whole,) = campaign.run([watched], "calibrate hand-over")
    needed = _time_needed(whole, len(pairs), sizes, stop)
    if not needed <= sizes.sample:
        raise CalibrationError(
            f"sampling for {format_si(sizes.sample, 's')} leaves the converters' arrays more than {BAND:g} steps off "
            f"what buffers hold, which takes {format_si(needed, 's', 3)}; raise sar_adc.sample, hold.buffer_current or "
            "hold.buffer_drive, or lower sar_adc.dac.unit"
        )
    return HandOverModel(
        sample=sizes.sample, r_feedback=np.array(chip.settings[:1]), loads=np.ones(1), outputs=outputs,
        errors=_buffer_errors(chip, sizes, campaign, outputs)[None, None], needed=np.full((1, 1), needed),
        watched=stop,
    )  # fmt: skip


def _buffer_errors(chip: Chip, sizes: SarAdc, campaign: Campaign, outputs: Floats) -> Floats:
    """Return what arrays that held the reference have other than what buffers put out, (outputs,) [V]."""
    below = (-outputs).tolist()
    sources, buffers = [SourceOver(v=v, held=0.0) for v in below], [BufferedOver(v=v, held=0.0) for v in below]
    netlists = [
        build_hand_overs(chip, sizes, cases, sizes.sample + sizes.bit, opens=sizes.sample)
        for cases in (sources, buffers)
    ]
    (near, ideal), (held, first) = (
        _at_strobe(results, sizes, len(outputs), chip.sense_amplifier.v_reference)
        for results in campaign.run(netlists, "calibrate hand-over")
    )
    curve = np.polynomial.Polynomial.fit(held, _parted(held, first, near, ideal), 3)
    return np.asarray(curve(outputs))


def _held_over(chip: Chip, sizes: SarAdc, campaign: Campaign, plates: Plates) -> HandOverModel:
    """Find what arrays have other than what integrators held, in whole macros of one column.

    As the switch opens it parts its charge between the array and what is before it, and an integrator moves where a
    source does not.

    Parameters
    ----------
    chip, sizes, campaign, plates
        As of :func:`find_hand_over`.
    """
    outputs = np.linspace(-sizes.dac.span / 2, sizes.dac.span, OUTPUTS)
    (errors,) = _held_errors([chip], campaign, plates, outputs, HELD_CODES)
    return HandOverModel(
        sample=sizes.sample, r_feedback=np.array(chip.settings[:1]), loads=np.ones(1), outputs=outputs,
        errors=errors[None, None],
        needed=np.full((1, 1), sizes.sample), watched=sizes.sample,
    )  # fmt: skip


def _held_errors(
    chips: Sequence[Chip], campaign: Campaign, plates: Plates, outputs: Floats, count: int
) -> list[Floats]:
    """Return what arrays that held the reference have other than what integrators hold, each (outputs,) [V].

    So many outputs are looked at.
    """
    codes = np.linspace(0, 2 ** chips[0].dac.bits - 1, count).round().astype(np.int64).tolist()
    netlists, times = [], []
    for chip in chips:
        own, cells = _sizes(chip).with_ideal_logic, _full_column(chip)
        read = MacroRead(converters={0: own}, polarity="bipolar", t_read=sampling_start(chip, own, "bipolar"))
        strobe = read.start + own.sample + 2 / 3 * own.bit - BEFORE_STROBE
        times.append((read.start, strobe))
        for code in codes:
            whole = build_macro(
                chip, cells, [code] * len(cells), read, polarity="bipolar", r_feedback=chip.settings[0]
            )  # fmt: skip
            netlists.append(_until(whole, strobe + BEFORE_STROBE, own))
    found = iter(campaign.run(netlists, "calibrate hand-over"))
    every_held, every_first = [], []
    for chip, (start, strobe) in zip(chips, times, strict=True):
        vectors = [next(found)[0].vectors for _ in codes]
        held, first = (
            np.array([np.interp(at, v["time"].real, v[f"v({node})"].real) for v in vectors])
            - chip.sense_amplifier.v_reference
            for at, node in ((start, "out_0"), (strobe, "xconverter_0.top"))
        )
        every_held.append(held)
        every_first.append(first)
    errors = []
    for chip, held, first, ideal in zip(chips, every_held, every_first, plates(every_held), strict=True):
        amplifier, reference = chip.sense_amplifier, chip.sense_amplifier.v_reference
        before = amplifier.volts(reference + held)
        more = amplifier.volts(reference + held + _parted(held, first, held, ideal)) - before
        curve = np.polynomial.Polynomial.fit(before, more, 2)
        errors.append(np.asarray(curve(outputs.clip(before.min(), before.max()))))
    return errors


def _until(macro: Netlist, stop: float, sizes: SarAdc) -> Netlist:
    """Return a whole macro that is simulated until then, as its bits do not matter [s]."""
    longest = spice_number(longest_step(sizes))
    return replace(macro, analyses=(f".tran 0.5n {spice_number(stop)} 0 {longest}",))


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
