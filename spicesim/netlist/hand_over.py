"""Testbench of the hand-over: amplifiers, buffers or sources at rest, on which the arrays of converters are put."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.buffer import buffer_blocks, buffer_line
from spicesim.netlist.charge_dac import charge_dac_blocks, charge_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.pace import converting
from spicesim.netlist.sar_adc import array_lines, longest_step, multiplexer_line
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.netlist.step import RESET, STEP_TIME, reset_source
from spicesim.units import format_si, spice_number

__all__ = ["BufferedOver", "HandOver", "SourceOver", "build_hand_overs"]

EDGE = 0.1e-9
"""Rise and fall of the switches' gates, which begin as in converters [s]: 50 ps are .5 mV after 20 ns."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """One amplifier whose output is sampled."""

    r_feedback: float
    """Of the amplifier [ohm]."""
    g: float
    """Of all cells at its input together [S]."""
    line: float = 0.0
    """Capacitance of the line with its cells [F]."""
    v_out: float
    """Its output below the reference [V]."""
    held: float
    """What the array holds from before, below the reference [V]."""
    r_process: float | None = None
    """What r_feedback has become in a process with resistors of its own; None if it is as wanted [ohm]."""

    def lines(self, chip: Chip, k: int) -> list[str]:
        """Format what stands before the switch.

        A resistor is the cells, a source behind it what drives them, a capacitor the line.
        """
        ohm = self.r_feedback if self.r_process is None else self.r_process
        return [
            f"vcells_{k} cells_{k} vref {spice_number(self.v_out / ohm / self.g)}",
            f"rcells_{k} cells_{k} sense_{k} {spice_number(1 / self.g)}",
            *([f"cline_{k} sense_{k} 0 {spice_number(self.line)}"] if self.line else []),
            amplifier_line(chip, f"senseamp_{k}", f"sense_{k}", f"out_{k}", self.r_feedback),
        ]

    def guesses(self, k: int, reference: float) -> dict[str, float]:
        """Return where nodes are at first, about [V]."""
        return {f"out_{k}": reference - self.v_out, f"sense_{k}": reference}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BufferedOver:
    """One buffer whose output is sampled, and its hold capacitor, which is cut off as an array is put on it."""

    v: float
    """What is held, below the reference [V]."""
    held: float
    """What the array holds from before, below the reference [V]."""

    def lines(self, chip: Chip, k: int) -> list[str]:
        """Format what stands before the switch."""
        volts = spice_number(chip.sense_amplifier.v_reference - self.v)
        return [
            f"ckept_{k} kept_{k} 0 {spice_number(chip.hold.capacitor)}",
            f"rkept_{k} kept_{k} vref 1e12",  # for the operating point
            f"bkept_{k} 0 kept_{k} i={spice_number(RESET)}*v(reset)*({volts}-v(kept_{k}))",
            buffer_line(chip, f"buffer_{k}", f"kept_{k}", f"out_{k}"),
        ]

    def guesses(self, k: int, reference: float) -> dict[str, float]:
        """Return where nodes are at first, about [V]."""
        return {f"out_{k}": reference - self.v, f"kept_{k}": reference - self.v}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceOver:
    """An ideal source that is sampled, as converters alone are calibrated with."""

    v: float
    """Its voltage below the reference [V]."""
    held: float
    """What the array holds from before, below the reference [V]."""

    def lines(self, chip: Chip, k: int) -> list[str]:
        """Format what stands before the switch."""
        return [f"vout_{k} out_{k} 0 {spice_number(chip.sense_amplifier.v_reference - self.v)}"]

    def guesses(self, k: int, reference: float) -> dict[str, float]:
        """Return where nodes are at first, about [V]."""
        return {f"out_{k}": reference - self.v}


def build_hand_overs(
    chip: Chip, sizes: SarAdc, cases: Sequence[HandOver | BufferedOver | SourceOver], stop: float, *,
    opens: float | None = None, switches: npt.ArrayLike | None = None, polarity: Polarity = "bipolar",
) -> Netlist:  # fmt: skip
    """Build amplifiers, buffers or sources at rest, each of which gets the array of a converter at a time.

    That is :data:`~spicesim.netlist.step.STEP_TIME`. Bits stay as they are set while sampling.

    Parameters
    ----------
    chip : Chip
        The chip.
    sizes : SarAdc
        Of the converters.
    cases : sequence of HandOver, BufferedOver or SourceOver
        What to build, all of one kind.
    stop : float
        How long to watch [s].
    opens : float, optional
        From the closing of the sampling switches until they open again [s]; by default they stay closed.
    switches : array_like of shape (bits,), optional
        Resistances that stand for the switches of the arrays, as found by
        :func:`~spicesim.netlist.sar_adc.build_plate_switches` [ohm]: a third of the time, but what arrays have beyond
        those on sources is up to 40 uV other where they settle, and .6 mV after 20 ns at ss and 85 C.
    polarity : {"bipolar", "unipolar"}
        Where the range lies, which says what bits are set.

    Returns
    -------
    Netlist
        Probes ``time``, ``v(out_K)``, ``v(top_K)``.
    """
    if not cases or not 0 < stop < np.inf:
        raise SpecError(f"a testbench of hand-overs needs cases and a time to watch, got {len(cases)} and {stop:g} s")
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    high = spice_number(supply)
    switch = f"{spice_number(STEP_TIME)} 0 {spice_number(STEP_TIME + EDGE)} {high}"
    if opens is not None:
        switch += f" {spice_number(STEP_TIME + opens)} {high} {spice_number(STEP_TIME + opens + EDGE)} 0"
    length = spice_number(chip.process.min_length)
    lines = [
        "* sampling switches are open at first, and arrays are put where they were left before",
        f"vsample sample 0 pwl(0 0 {switch})",
        reset_source(),
        "* what is sampled, and arrays",
    ]
    shared = chip.adc.columns > 1 and not isinstance(cases[0], SourceOver)
    for k, case in enumerate(cases):
        held = spice_number(reference - case.held)
        lines += [
            *case.lines(chip, k),
            *(multiplexer_line(chip, sizes, f"mux_{k}", f"out_{k}", f"common_{k}", "vdd") if shared else ()),
            f"xsample_{k} {'common' if shared else 'out'}_{k} idle_{k} top_{k} sample vdd 0 switch"
            f" w={spice_number(sizes.switch_width)} l={length}",
            f"ridle_{k} idle_{k} out_{k} 1e9",
            *array_lines(sizes, k, switches, polarity),
            f"breset_{k} 0 top_{k} i={spice_number(RESET)}*v(reset)*({held}-v(top_{k}))",
        ]
    longest = max(2e-9, stop / 100) if opens is None else longest_step(sizes)
    netlist = build_netlist(
        chip,
        f"{len(cases)} hand-overs of outputs to converters",
        [
            *_blocks(chip, cases[0]),
            *charge_dac_blocks(chip, sizes.dac),
            supplies(chip),
            charge_references(chip, sizes.dac, falling=True),
            "\n".join(lines),
        ],
        ["time", *(f"v({node}_{k})" for k in range(len(cases)) for node in ("out", "top"))],
        notes=[f"Arrays of {format_si(sizes.dac.total, 'F')} on outputs that had settled."],
        analyses=[f".tran 0.5n {spice_number(STEP_TIME + stop)} 0 {spice_number(longest)}"],
        nodesets={node: v for k, case in enumerate(cases) for node, v in case.guesses(k, reference).items()},
    )
    return dataclasses.replace(netlist, options=converting(chip, sizes))


def _blocks(chip: Chip, case: HandOver | BufferedOver | SourceOver) -> list[str]:
    if isinstance(case, SourceOver):
        return []
    return buffer_blocks(chip) if isinstance(case, BufferedOver) else amplifier_blocks(chip)
