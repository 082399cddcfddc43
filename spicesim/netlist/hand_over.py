"""Testbench of the hand-over: amplifiers at rest, on whose outputs the arrays of converters are put."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import charge_dac_blocks, charge_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sar_adc import PRECISE
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.netlist.step import STEP_TIME
from spicesim.units import format_si, spice_number

__all__ = ["HandOver", "build_hand_overs"]

EDGE = 0.1e-9
"""Rise and fall of the switches' gates, as in converters [s]."""
_RESET = 1e-3
"""Conductance that puts an array where it was left before [S]."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """One amplifier whose output is sampled."""

    r_feedback: float
    """Of the amplifier [ohm]."""
    g: float
    """Of all cells at its input together [S]."""
    v_out: float
    """Its output below the reference [V]."""
    held: float
    """What the array holds from before, below the reference [V]."""


def build_hand_overs(
    chip: Chip, sizes: SarAdc, polarity: Polarity, cases: Sequence[HandOver], stop: float, *, opens: float | None = None
) -> Netlist:
    """Build amplifiers at rest; at :data:`~spicesim.netlist.step.STEP_TIME` each gets the array of a converter.

    A resistor stands for the cells of a column, and a source behind it for what drives them. Bits stay as they are set
    while sampling.

    Parameters
    ----------
    chip : Chip
        The chip.
    sizes : SarAdc
        Of the converters.
    polarity : {"unipolar", "bipolar"}
        Where their range lies: which bits are set while sampling.
    cases : sequence of HandOver
        What to build.
    stop : float
        How long to watch [s].
    opens : float, optional
        From the closing of the sampling switches until they open again [s]; by default they stay closed.

    Returns
    -------
    Netlist
        Probes ``time``, ``v(out_K)``, ``v(top_K)``.
    """
    if not cases or not 0 < stop < np.inf:
        raise SpecError(f"a testbench of hand-overs needs cases and a time to watch, got {len(cases)} and {stop:g} s")
    supply, bits, reference = chip.process.supply, sizes.dac.bits, chip.sense_amplifier.v_reference
    first, last = spice_number(0.5 * STEP_TIME), spice_number(0.6 * STEP_TIME)
    high = spice_number(supply)
    switch = f"{spice_number(STEP_TIME - EDGE / 2)} 0 {spice_number(STEP_TIME + EDGE / 2)} {high}"
    if opens is not None:
        switch += f" {spice_number(STEP_TIME + opens)} {high} {spice_number(STEP_TIME + opens + EDGE)} 0"
    tied = " ".join("vdd" if sizes.sampled(polarity) >> k & 1 else "0" for k in range(bits))
    length = spice_number(chip.process.min_length)
    lines = [
        "* sampling switches are open at first, and arrays are put where they were left before",
        f"vsample sample 0 pwl(0 0 {switch})",
        f"vreset reset 0 pwl(0 1 {first} 1 {last} 0)",
        "* amplifiers, the cells at their inputs, and arrays",
    ]
    for k, case in enumerate(cases):
        held = spice_number(reference - case.held)
        lines += [
            f"vcells_{k} cells_{k} vref {spice_number(case.v_out / case.r_feedback / case.g)}",
            f"rcells_{k} cells_{k} sense_{k} {spice_number(1 / case.g)}",
            amplifier_line(chip, f"senseamp_{k}", f"sense_{k}", f"out_{k}", case.r_feedback),
            f"xsample_{k} out_{k} idle_{k} top_{k} sample vdd 0 switch w={spice_number(sizes.switch_width)} l={length}",
            f"ridle_{k} idle_{k} out_{k} 1e9",
            f"xdac_{k} top_{k} {tied} v0 v1 vdd 0 charge_dac",
            f"breset_{k} 0 top_{k} i={spice_number(_RESET)}*v(reset)*({held}-v(top_{k}))",
        ]
    netlist = build_netlist(
        chip,
        f"{len(cases)} hand-overs of outputs to converters",
        [
            *amplifier_blocks(chip),
            *charge_dac_blocks(chip, sizes.dac),
            supplies(chip),
            charge_references(chip, sizes.dac, falling=True),
            "\n".join(lines),
        ],
        ["time", *(f"v({node}_{k})" for k in range(len(cases)) for node in ("out", "top"))],
        notes=[f"Arrays of {format_si(sizes.dac.total, 'F')} on outputs of amplifiers that had settled."],
        analyses=[f".tran 0.5n {spice_number(STEP_TIME + stop)} 0 {spice_number(max(0.5e-9, stop / 400))}"],
        nodesets={f"out_{k}": reference - case.v_out for k, case in enumerate(cases)}
        | {f"sense_{k}": reference for k in range(len(cases))},
    )
    return dataclasses.replace(netlist, options=PRECISE)
