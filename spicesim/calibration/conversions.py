"""Conversions of the successive-approximation ADC, at transistor level: their testbenches, and what is read of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.draws import CAPACITOR
from spicesim.errors import ValidityError
from spicesim.netlist.macro import AT_REST, MacroRead
from spicesim.netlist.mismatch import Draw, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import converting
from spicesim.netlist.sar_adc import OPENED, build_sar_adc
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results

__all__ = [
    "build_conversions",
    "charges",
    "conversions",
    "decision_delays",
    "first_start",
    "forgets",
    "parted_inputs",
    "read_codes",
    "read_delays",
    "read_macro",
    "read_outputs",
    "real_vector",
    "starts_of",
    "strobes_of",
]

AT_A_TIME = 4
"""Inputs converted in one transient by arrays that forget; others have one for each, from rest on."""
REST = STEP_TIME + AT_REST
"""When these begin to sample, as in macros whose amplifiers have settled [s]."""
DECISIONS = ("v(outp)", "v(outn)")
"""Outputs of the comparator, one of which rises when it has decided."""
LAST_BIT = 0.2e-9
"""From the last bit to the end of a conversion, when bits are read [s]."""
TIME_CONSTANT = 4e-9 * 5e-6 / 5.12e-12
"""Of sampling, times the width of its switch, for each farad of an array: 4 ns for 5.12 pF and 5 um of GF180MCU at ss
and 85 C [s m/F]."""
FORGOTTEN, CHARGED = 30.0, 8.0
"""Time constants after which nothing is left of the input before, and after which top plates follow inputs in a smooth
curve: after five they bend by 6 mV."""


def read_codes(results: Results, sizes: SarAdc, starts: Floats | None = None) -> Codes:
    """Return codes of conversions of a testbench by :func:`spicesim.netlist.sar_adc.build_sar_adc`.

    Parameters
    ----------
    results : Results
        Of the testbench.
    sizes : SarAdc
        Of the converter.
    starts : ndarray of shape (conversions,), optional
        When they began [s]; by default every conversion is read, the first at 0.

    Raises
    ------
    ValidityError
        If a bit is neither 0 nor 1: the comparator had not decided.
    """
    time = real_vector(results, "time")
    if starts is None:
        starts = np.arange(round(time[-1] / sizes.conversion)) * sizes.conversion
    ends = starts + sizes.conversion - LAST_BIT
    bits = np.array([np.interp(ends, time, real_vector(results, f"v(q_{k})")) for k in range(sizes.dac.bits)])
    _require_decided(bits)
    return np.asarray((np.rint(bits).astype(np.int64) << np.arange(sizes.dac.bits)[:, None]).sum(axis=0))


def starts_of(results: Results, sizes: SarAdc, *, rests: bool = True) -> Floats:
    """Return when conversions that count began in a transient of :func:`build_conversions`, (conversions,) [s]."""
    first, end = first_start(sizes, rests=rests), float(real_vector(results, "time")[-1])
    return np.asarray(first + np.arange(round((end - first) / sizes.conversion)) * sizes.conversion)


def strobes_of(starts: Floats, sizes: SarAdc) -> Floats:
    """Return when strobes of conversions begin, by bit, least significant first, (conversions, bits) [s]."""
    bits = sizes.dac.bits
    return np.asarray(starts[:, None] + sizes.sample + (bits - 1 - np.arange(bits) + 2 / 3) * sizes.bit)


def read_delays(results: Results, strobes: Floats, sizes: SarAdc, supply: float) -> Floats:
    """Return how long after strobes of a testbench its comparator decided, as :func:`decision_delays`."""
    risen = np.maximum(*(real_vector(results, probe) for probe in DECISIONS))
    return decision_delays(real_vector(results, "time"), risen, strobes, sizes, supply)


def decision_delays(time: Floats, risen: Floats, strobes: Floats, sizes: SarAdc, supply: float) -> Floats:
    """Return how long after strobes a comparator decided, of any shape, infinite where it did not in a strobe [s].

    It has decided when the output that rises, the greater one, is at half of the supply.
    """
    half = supply / 2
    last = np.flatnonzero((risen[:-1] < half) & (risen[1:] >= half))
    part = (half - risen[last]) / (risen[last + 1] - risen[last])
    decided = np.append(time[last] + part * (time[last + 1] - time[last]), np.inf)
    delays = decided[np.searchsorted(decided, strobes)] - strobes
    return np.where(delays <= sizes.bit / 3, delays, np.inf)


def first_start(sizes: SarAdc, *, rests: bool = True) -> float:
    """Return when the first conversion that counts begins in a transient of :func:`build_conversions` [s]."""
    if forgets(sizes):
        return sizes.bit
    return REST if rests else sizes.conversion


def forgets(sizes: SarAdc) -> bool:
    """Whether sampling is so long that nothing is left of the input before."""
    return _time_constants(sizes) >= FORGOTTEN


def charges(sizes: SarAdc) -> bool:
    """Whether sampling is so long that ideal sources charge arrays all but whole."""
    return _time_constants(sizes) >= CHARGED


def _time_constants(sizes: SarAdc) -> float:
    return sizes.sample * sizes.switch_width / (TIME_CONSTANT * sizes.dac.unit * 2.0**sizes.dac.bits)


def parted_inputs(inputs: Floats, sizes: SarAdc) -> list[Floats]:
    """Return inputs, (conversions,), by the transients of :func:`build_conversions` that convert them."""
    count = AT_A_TIME if forgets(sizes) else 1
    return [inputs[k : k + count] for k in range(0, len(inputs), count)]


def conversions(chip: Chip, polarity: Polarity, volts: Floats, draw: Draw | None = None) -> list[Netlist]:
    """Build the conversions of outputs; before each the array held the reference, as in macros.

    Parameters
    ----------
    chip : Chip
        With converters.
    polarity : {"unipolar", "bipolar"}
        Coding of the tile's inputs.
    volts : ndarray of shape (outputs,)
        Outputs, positive for positive products [V].
    draw : callable, optional
        Standard normal numbers of the devices of the one converter that does it, by their path; of its transistors and,
        as ``xdac.cK``, of bit K's capacitor. By default all are nominal.
    """
    inputs = np.clip(chip.sense_amplifier.nodes(volts), 0.0, chip.process.supply)
    polarity = chip.sense_amplifier.output_range(polarity)
    sizes = chip.converter
    assert sizes is not None
    if draw is not None:
        errors = sizes.dac.spreads * [draw(f"{CAPACITOR}{k}")[0] for k in range(sizes.dac.bits)]
        sizes = sizes.model_copy(update={"dac": sizes.dac.varied(errors)})
    netlists = [build_conversions(chip, part, sizes, polarity) for part in parted_inputs(inputs, sizes)]
    return netlists if draw is None else [with_mismatch(netlist, chip.process, draw) for netlist in netlists]


def build_conversions(chip: Chip, inputs: Floats, sizes: SarAdc, polarity: Polarity, *, rests: bool = True) -> Netlist:
    """Build conversions with ideal logic, also of chips that have it of cells.

    Cells take ten times the simulation for the same codes. In their place ideal logic lets the sampling switch open
    before bits move, as they do. Where nothing is kept of the input before, a strobe stands for what comes before;
    other arrays are at the reference, with bits as while sampling: bits that move as it begins would be in what they
    hold as it ends.

    Parameters
    ----------
    chip : Chip
        With converters.
    inputs : ndarray of shape (conversions,)
        Voltages, one a conversion [V]: as many as :func:`parted_inputs` says.
    sizes : SarAdc
        Of the converter.
    polarity : {"unipolar", "bipolar"}
        Where the range lies.
    rests : bool
        Without, inputs that the array does not forget come right after each other, and the first does not count.
    """
    opened, own = OPENED if sizes.logic == "cells" else 0.0, sizes.with_ideal_logic
    from_rest = rests and not forgets(own)
    start = first_start(own) if rests or forgets(own) else 0.0
    netlist = build_sar_adc(chip, inputs, own, polarity, opened=opened, start=start, rests=from_rest)
    return replace(netlist, options=converting(chip, sizes), probes=(*netlist.probes, *DECISIONS))


def read_outputs(results: Sequence[Results], chip: Chip) -> Codes:
    """Return the codes of :func:`conversions`, rising with outputs."""
    sizes = chip.converter
    assert sizes is not None
    codes = np.concatenate([read_codes(one, sizes, starts_of(one, sizes)) for one in results])
    return codes if chip.sense_amplifier.kind == "voltage" else np.asarray(2**sizes.dac.bits - 1 - codes)


def read_macro(results: Results, chip: Chip, read: MacroRead, columns: int, at: float) -> tuple[Floats, Codes]:
    """Return outputs of all columns at a time, and the codes of those with a converter, of a whole macro.

    Parameters
    ----------
    results : Results
        Of a netlist by :func:`spicesim.netlist.macro.build_macro`.
    chip : Chip
        The chip.
    read : MacroRead
        What was converted.
    columns : int
        Of the tile.
    at : float
        When to take the outputs [s].

    Raises
    ------
    ValidityError
        If a bit is neither 0 nor 1: a comparator had not decided.
    """
    time, bits = real_vector(results, "time"), read.sizes.dac.bits
    nodes = [float(np.interp(at - BEFORE_STROBE, time, real_vector(results, f"v(out_{j})"))) for j in range(columns)]
    ends = {j: read.end(j) - LAST_BIT for j in read.converters}
    found = np.array(
        [[np.interp(at, time, real_vector(results, f"v({q})")) for q in read.bit_nodes(j)] for j, at in ends.items()]
    )
    _require_decided(found)
    codes = (np.rint(found).astype(np.int64) << np.arange(bits)).sum(axis=1)
    rising = chip.sense_amplifier.kind == "voltage"
    return chip.sense_amplifier.volts(nodes), np.asarray(codes if rising else 2**bits - 1 - codes)


def _require_decided(bits: Floats) -> None:
    if np.abs(bits - np.rint(bits)).max() > 0.1:
        raise ValidityError("a comparator did not decide within its time; give each bit of the ADC more")


def real_vector(results: Results, probe: str) -> Floats:
    """Return what a transient shows at a probe, (times,) in its unit."""
    return np.asarray(results[0].vectors[probe].real, dtype=float)
