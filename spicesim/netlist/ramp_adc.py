"""The single-slope ADC: one staircase for all columns, and in each a sampled input, a comparator and a counter.

A column samples its input on a capacitor whose other plate is the staircase. Then the staircase rises, and takes the
input up with it until it passes the reference: so comparators decide at one common mode, whatever the input. They are
clocked once a step, and a counter counts the steps before. Switches and comparators are transistors. The staircase is
ideal, a source without impedance: behind a ladder and its buffer, what the comparators of columns that have passed
throw into it moves the thresholds of all others. The control is behavioural, too, and the counters are in the reader of
the results (:func:`spicesim.calibration.ramp.read_counts`).
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import RampAdc
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import step_source
from spicesim.netlist.comparator import comparator_blocks, comparator_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.passives import capacitor_line
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = ["build_ramp_adc", "sampled_step"]

_EDGE, _RISE = 0.1e-9, 1e-9
"""Of strobes and of the staircase [s]."""


def sampled_step(bits: int, polarity: Polarity) -> int:
    """Return the step at which the staircase stands while columns sample.

    At the middle, the range of inputs lies around the reference; at the beginning, it lies below.
    """
    return int(2 ** (bits - 1)) if polarity == "bipolar" else 0


def _control(chip: Chip, sizes: RampAdc, bits: int, polarity: Polarity) -> list[str]:
    """Format the sources that say when: sampling, strobes, and the staircase."""
    supply, step, count = chip.process.supply, sizes.step, 2**bits
    begin = sizes.sample + sizes.settle  # the staircase has been at its beginning for some time
    levels = [sampled_step(bits, polarity), *range(count)]
    # the sampling switch has opened, then the first step
    times = [0.0, sizes.sample + 2 * _RISE, *(begin + np.arange(1, count) * step + _RISE / 2)]
    heights = [sizes.span * (level / count - 0.5) for level in levels]
    strobe = (0.0, supply, begin + step * 2 / 3, _EDGE, _EDGE, step / 3 - 2 * _EDGE, step)
    return [
        "* control, behavioural: when to sample, strobes",
        step_source("sample", "sample", [0.0, sizes.sample], [supply, 0.0], _EDGE),
        # the strobe before the first step does not count: it gives the first one the same past as all others
        f"vclk clk 0 pulse({' '.join(map(spice_number, strobe))})",
        "* the staircase above the reference, ideal",
        step_source("ramp", "ramp", times, heights, _RISE).replace("ramp 0 pwl", "ramp vref pwl"),
    ]


def _column(chip: Chip, sizes: RampAdc, k: int) -> list[str]:
    """Format one column: switch, capacitor, comparator."""
    length = spice_number(chip.process.min_length)
    return [
        f"xsample_{k} idle_{k} in_{k} top_{k} sample vdd 0 switch w={spice_number(sizes.switch_width)} l={length}",
        f"ridle_{k} idle_{k} in_{k} 1e9",
        capacitor_line(chip.process, f"chold_{k}", f"top_{k}", "ramp", sizes.capacitor),
        f"rlevel_{k} vref level_{k} 100",
        comparator_line(
            chip, f"comparator_{k}", f"top_{k}", f"level_{k}", "clk", f"outp_{k}", f"outn_{k}", sizes.comparator
        ),
        f"coutp_{k} outp_{k} 0 5f",
        f"coutn_{k} outn_{k} 0 5f",
    ]


def build_ramp_adc(
    chip: Chip, voltages: npt.ArrayLike, sizes: RampAdc | None = None, polarity: Polarity = "bipolar",
    bits: int | None = None,
) -> Netlist:  # fmt: skip
    """Build a testbench of one conversion of several columns by one staircase.

    Parameters
    ----------
    chip : Chip
        The chip.
    voltages : array_like of shape (columns,)
        Input of each [V].
    sizes : RampAdc, optional
        Of the ADC.
    polarity : {"unipolar", "bipolar"}
        Whether the range lies around the reference or below it: outputs of amplifiers for unipolar inputs.
    bits : int, optional
        Resolution; by default the chip's.

    Returns
    -------
    Netlist
        Probes ``v(outp_K)``: at the end of each strobe, high if column K has passed the reference; ``v(top_K)`` and
        ``v(level_K)``, which are compared; ``v(ramp)``; ``i(vdd)`` and ``i(vramp)``, of the supply of
        all columns and of the staircase.
    """
    sizes, bits = sizes or chip.ramp_adc, chip.adc.bits if bits is None else bits
    values = np.asarray(voltages, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise SpecError(f"inputs of an ADC must be finite numbers, got shape {values.shape}")
    supply = chip.process.supply
    if values.min() < 0 or values.max() > supply:
        raise SpecError(f"inputs of an ADC must lie within the supply, 0..{supply:g} V")
    columns = range(len(values))
    lines = [
        *_control(chip, sizes, bits, polarity),
        "* columns: input, sampling switch, capacitor, comparator",
    ]
    for k, volts in enumerate(values):
        lines += [f"vin_{k} in_{k} 0 {spice_number(volts)}", *_column(chip, sizes, k)]
    netlist = build_netlist(
        chip,
        f"{bits}-bit single-slope ADC of {len(values)} columns",
        [
            block_text("switch", chip),
            *comparator_blocks(chip),
            supplies(chip),
            "\n".join(lines),
        ],
        [
            "time", "v(ramp)", *(f"v({node}_{k})" for k in columns for node in ("top", "level", "outp")),
            "i(vdd)", "i(vramp)",
        ],
        notes=[
            f"One conversion, {format_si(sizes.conversion(bits), 's')}. Switches and comparators are transistors; the",
            "staircase and the control are ideal, and who reads outp_K at the end of each strobe counts.",
        ],
        analyses=[f".tran 1n {spice_number(sizes.conversion(bits) - 2 * _EDGE)} 0 1n"],
    )  # fmt: skip
    return dataclasses.replace(netlist, options=PRECISE)
