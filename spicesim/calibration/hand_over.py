"""Calibrate the hand-over to converters: arrays put on amplifiers or buffers at rest, or on integrators that hold."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.sar import SarModel
from spicesim.calibration.amplifier_hand_over import check_amplifiers, find_amplifiers, shift_amplifiers
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.charges import find_line_capacitance
from spicesim.calibration.sampled import BAND, OUTPUTS, WATCHED, at_strobe, parted, time_needed
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.errors import CalibrationError
from spicesim.netlist.hand_over import BufferedOver, SourceOver, build_hand_overs
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import longest_step
from spicesim.units import format_si, spice_number

__all__ = ["check_hand_overs", "find_hand_over", "known_hand_over", "require_handed_over", "shift_hand_overs"]

Plates = Callable[[Sequence[Floats]], list[Floats]]
"""Inputs of the converters of some chips, above the reference, to their top plates at the first strobe [V]."""

HELD_CODES, HELD_ELSEWHERE = 4, 3
"""Outputs of integrators, from the least to the largest, and as many at other conditions as a parabola has numbers."""
HELD_ROWS = 8
"""Cells of the column that brings an integrator there, together of the conductance of a full one: once it holds, they
are cut off."""
BEFORE = 0.2e-9
"""Before the end of sampling, when an array is looked at [s]."""


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
        return find_amplifiers(chip, sizes, campaign)
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
    for the switches of arrays, there as at the chip's own condition, and where amplifiers ring with transistors for a
    few loads, too. How long arrays take stays as it is there.

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
        return list(shift_amplifiers(own, [home, *conditions], campaign))
    if kind == "integrator":
        errors = _held_errors(conditions, campaign, plates, outputs, HELD_ELSEWHERE)
    else:
        errors = [_buffer_errors(chip, _sizes(chip), campaign, outputs) for chip in conditions]
    return [own.model_copy(update={"errors": np.broadcast_to(one, own.errors.shape).copy()}) for one in errors]


def known_hand_over(calibration: Calibration) -> HandOverModel | None:
    """Return what is known of a chip's hand-overs; None where there are none."""
    return calibration.converter.hand_over if isinstance(calibration.converter, SarModel) else None


def check_hand_overs(
    calibration: Calibration, places: Sequence[tuple[str | None, float]], campaign: Campaign
) -> list[Floats] | None:
    """Compare hand-overs that are in no table with ngspice.

    Parameters
    ----------
    calibration : Calibration
        Of a chip, with its climate.
    places : sequence of (str or None, float)
        Corner, None for the chip's own, and temperature where to compare, in no fit [degree Celsius].
    campaign : Campaign
        Runs the simulations.

    Returns
    -------
    list of ndarray of shape (hand-overs,), or None
        By how much they differ at each place [V]; None of chips whose converters are on no amplifiers.
    """
    if calibration.chip.sense_amplifier.kind != "tia" or known_hand_over(calibration) is None:
        return None
    conditions = [calibration.at(corner=corner, temperature_c=t) for corner, t in places]
    models = [own for at in conditions if (own := known_hand_over(at)) is not None]
    line = find_line_capacitance(calibration.chip, campaign)
    return check_amplifiers([at.chip for at in conditions], models, line, campaign)


def _sizes(chip: Chip) -> SarAdc:
    assert chip.converter is not None
    return chip.converter


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
    needed = time_needed(whole, len(pairs), sizes, stop)
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
        at_strobe(results, sizes, len(outputs), chip.sense_amplifier.v_reference)
        for results in campaign.run(netlists, "calibrate hand-over")
    )
    curve = np.polynomial.Polynomial.fit(held, parted(held, first, near, ideal), 3)
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
        more = amplifier.volts(reference + held + parted(held, first, held, ideal)) - before
        curve = np.polynomial.Polynomial.fit(before, more, 2)
        errors.append(np.asarray(curve(outputs.clip(before.min(), before.max()))))
    return errors


def _until(macro: Netlist, stop: float, sizes: SarAdc) -> Netlist:
    """Return a whole macro that is simulated until then, as its bits do not matter [s]."""
    longest = spice_number(longest_step(sizes))
    return replace(macro, analyses=(f".tran 0.5n {spice_number(stop)} 0 {longest}",))
