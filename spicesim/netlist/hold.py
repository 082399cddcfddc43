"""The hold switch of a floating bit line, and a testbench of columns with their switches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.buffer import buffer_blocks, buffer_line
from spicesim.netlist.cell import alike_lines, cell_blocks, gate_supply
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.plane_adder import GAP, adder_blocks, adder_line, read_after
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.netlist.step import STEP_TIME
from spicesim.units import format_si, spice_number

__all__ = [
    "HELD_AFTER",
    "build_hold_cycle",
    "build_holds",
    "build_line_steps",
    "held_after",
    "hold_blocks",
    "hold_line",
    "rest_controls",
    "track_source",
]

EDGE = 0.1e-9
"""Fall time of the control [s]."""
NEAR = 4
"""A group of cells is as large as all cells between it and the foot, by this: to .6 uV of what is held of 128 cells."""
HELD_AFTER = 5e-9
"""From the fall of the control until an output is read: the switch is off, and nothing has leaked away [s]."""


def hold_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`hold_line` calls."""
    return adder_blocks(chip) if chip.hold.adds_planes else [block_text("hold", chip), *buffer_blocks(chip)]


def hold_line(chip: Chip, name: str, node_in: str, node_out: str) -> str:
    """Format one hold switch, whose control is ``track``, and its buffer if that is a circuit.

    A switch that adds planes has a control ``share``, too. The name begins with hold; the buffer's does with buffer.
    """
    if not chip.hold.is_buffered:
        return _switch_line(chip, name, node_in, node_out)
    switch, buffer = _switch_line(chip, name, node_in, f"kept_{name}"), name.replace("hold", "buffer", 1)
    return f"{switch}\n{buffer_line(chip, buffer, f'kept_{name}', node_out)}"


def _switch_line(chip: Chip, name: str, node_in: str, node_out: str) -> str:
    sizes = chip.hold
    if sizes.adds_planes:
        return adder_line(chip, name, node_in, f"held_{name}", node_out)
    return (
        f"x{name} {node_in} {node_out} track vdd 0 hold c={spice_number(sizes.capacitor)}"
        f" w={spice_number(sizes.switch_width)} l={spice_number(chip.process.min_length)}"
    )


def held_after(chip: Chip) -> float:
    """Return how long after the fall of the control an output is read [s]."""
    return read_after(chip, HELD_AFTER)


def track_source(chip: Chip, falls: float | None) -> str:
    """Format the control of all switches: high, and low from a time on [s] if there is one."""
    return (
        f"* hold switches follow their lines{'' if falls is None else ', then hold'}\n{_control(chip, 'track', falls)}"
    )


def rest_controls(chip: Chip) -> str:
    """Format the controls of switches that follow their lines for good, those that share planes among them."""
    shared = f"\n{_control(chip, 'share', None)}" if chip.hold.adds_planes else ""
    return track_source(chip, None) + shared


def _control(chip: Chip, name: str, falls: float | None) -> str:
    high = spice_number(chip.process.supply)
    if falls is None:
        return f"v{name} {name} 0 {high}"
    first, last = spice_number(falls - EDGE / 2), spice_number(falls + EDGE / 2)
    return f"v{name} {name} 0 pwl(0 {high} {first} {high} {last} 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Controls:
    """Controls of columns' switches."""

    text: str
    """Their sources."""
    sums: bool = False
    """Whether outputs are sums of planes instead of what the first capacitors hold."""

    @classmethod
    def of_lines(cls, chip: Chip, falls: float | None) -> Self:
        """Return those of switches that sample lines; where planes are added, the sum is cut off all the time."""
        cut = "\nvshare share 0 0" if chip.hold.adds_planes else ""
        return cls(text=track_source(chip, falls) + cut)

    @classmethod
    def of_sums(cls, chip: Chip, falls: float) -> Self:
        """Return those that cut off the sum, while lines rest."""
        return cls(text=f"{track_source(chip, None)}\n{_control(chip, 'share', falls)}", sums=True)


def build_holds(
    chip: Chip,
    g: npt.ArrayLike,
    rows: Sequence[int],
    v: npt.ArrayLike,
    *,
    resolution: float = 0.2e-9,
    cut: bool = False,
) -> Netlist:
    """Build a testbench of single columns with their bit lines, all word lines at one voltage, each with its switch.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (columns,)
        Conductance of the devices of each column, all alike [S].
    rows : sequence of int, length columns
        Cells of each.
    v : array_like of shape (columns,)
        Word-line voltage of each above the reference [V].
    resolution : float
        Longest time step [s].
    cut : bool
        Of a chip whose planes are added as charge: whether it is the second switch that opens, which cuts off the sum
        while lines rest, instead of the first.

    Returns
    -------
    Netlist
        Probes ``time`` and ``v(out_K)``, which is the sum if that is cut off; switches open at
        :data:`~spicesim.netlist.step.STEP_TIME`.
    """
    at = np.asarray(v, dtype=float)
    controls = _Controls.of_sums(chip, STEP_TIME) if cut else _Controls.of_lines(chip, STEP_TIME)
    stop = STEP_TIME + held_after(chip) + 2 * resolution
    return _build_columns(
        chip, g, rows, [spice_number(float(volts)) for volts in at.ravel()], at, controls,
        ("with their hold switches",
         f"What hold switches of {format_si(chip.hold.capacitor, 'F')} keep of their columns' voltages."),
        f".tran {spice_number(resolution)} {spice_number(stop)} 0 {spice_number(resolution)}",
    )  # fmt: skip


def build_hold_cycle(chip: Chip) -> Netlist:
    """Build a testbench of one switch that opens and closes once, its line at the reference; probes its sources.

    Where planes are added as charge it is the cycle of a plane: both capacitors are joined once, too.
    """
    high, times = spice_number(chip.process.supply), [spice_number(t) for t in (STEP_TIME, EDGE, 10e-9)]
    lines = [
        "* the control: low for 10 ns",
        f"vtrack track 0 pulse({high} 0 {times[0]} {times[1]} {times[1]} {times[2]} 1)",
        _switch_line(chip, "hold", "vref", "out"),
    ]
    if adds := chip.hold.adds_planes:
        starts, length = spice_number(STEP_TIME + GAP), spice_number(10e-9 - 2 * GAP)
        lines.append(f"vshare share 0 pulse(0 {high} {starts} {times[1]} {times[1]} {length} 1)")
    return build_netlist(
        chip,
        "hold switch, opened and closed",
        [*hold_blocks(chip), supplies(chip), "\n".join(lines)],
        ["time", "v(track)", "i(vdd)", "i(vref)", "i(vtrack)", *(("v(share)", "i(vshare)") if adds else ())],
        notes=["What a hold switch takes from its supply and its control."],
        analyses=[".tran 0.1n 25n 0 0.1n"],
        nodesets={"out": chip.sense_amplifier.v_reference},
    )


def build_line_steps(chip: Chip, g: npt.ArrayLike, rows: Sequence[int], v: npt.ArrayLike, *, stop: float) -> Netlist:
    """Build a testbench of columns as :func:`build_holds`, whose word lines step from -v to v while switches follow.

    Parameters
    ----------
    stop : float
        How long to watch after the step [s].

    Returns
    -------
    Netlist
        Probes ``time`` and ``v(out_K)``; word lines step at :data:`~spicesim.netlist.step.STEP_TIME`.
    """
    at = np.asarray(v, dtype=float)
    first, last = spice_number(STEP_TIME - EDGE / 2), spice_number(STEP_TIME + EDGE / 2)
    ends = [(spice_number(-float(volts)), spice_number(float(volts))) for volts in at.ravel()]
    return _build_columns(
        chip, g, rows, [f"pwl(0 {low} {first} {low} {last} {high})" for low, high in ends], -at,
        _Controls.of_lines(chip, None),
        ("whose inputs step", "How floating lines with their hold capacitors settle."),
        f".tran {spice_number(stop / 100)} {spice_number(STEP_TIME + stop)} 0 {spice_number(stop / 100)}",
    )  # fmt: skip


def _build_columns(
    chip: Chip, g: npt.ArrayLike, rows: Sequence[int], sources: Sequence[str], start: Floats, controls: _Controls,
    words: tuple[str, str], analysis: str,
) -> Netlist:  # fmt: skip
    """Build columns, each with its source and its switch.

    Parameters
    ----------
    chip, g, rows
        As of :func:`build_holds`.
    sources : sequence of str, length columns
        What drives the word lines of each, above the reference.
    start : ndarray of shape (columns,)
        Voltage of each at first [V].
    controls : _Controls
        Of the switches.
    words : tuple of str
        End of the title, and a note.
    analysis : str
        The analysis card.

    Raises
    ------
    SpecError
        If the shapes do not fit.
    """
    each = np.asarray(g, dtype=float)
    if each.ndim != 1 or each.shape != start.shape or len(rows) != len(each) or not len(each):
        raise SpecError(
            f"columns need a conductance, rows and a voltage each, got {each.shape}, {len(rows)}, {start.shape}"
        )
    lines = ["* columns, their word lines, and their switches"]
    for k, (siemens, count, source) in enumerate(zip(each, rows, sources, strict=True)):
        lines.append(f"vin_{k} in_{k} vref {source}")
        lines += _column(chip, k, float(siemens), count)
        lines.append(_foot_line(chip, k, summed=controls.sums))
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"{len(each)} floating columns {words[0]}",
        [
            *hold_blocks(chip),
            *cell_blocks(chip),
            supplies(chip),
            gate_supply(chip),
            controls.text,
            "\n".join(lines),
        ],
        ["time", *(f"v(out_{k})" for k in range(len(each)))],
        notes=[words[1]],
        analyses=[analysis],
        nodesets={f"{node}_{k}": reference + float(volts) for k, volts in enumerate(start) for node in ("foot", "out")},
    )


def _foot_line(chip: Chip, k: int, *, summed: bool) -> str:
    """Format the switch at a column's foot, its output the sum of planes or what the first capacitor holds.

    A buffer, if there is one, loads the capacitor that it would read.
    """
    held, total = (f"held_{k}", f"out_{k}") if summed else (f"out_{k}", f"sum_{k}")
    if chip.hold.adds_planes:
        line, last = adder_line(chip, f"hold_{k}", f"foot_{k}", held, total), total
    else:
        line, last = _switch_line(chip, f"hold_{k}", f"foot_{k}", f"out_{k}"), f"out_{k}"
    if not chip.hold.is_buffered:
        return line
    return f"{line}\n{buffer_line(chip, f'buffer_{k}', last, f'buffered_{k}')}"


def _column(chip: Chip, k: int, siemens: float, cells: int) -> list[str]:
    """Format the cells of a column and its bit line, from its foot on.

    All cells are alike, so neighbours stand for each other: one carries the current of a group, which a source makes of
    its own, at the group's middle. Groups grow away from the foot, where voltages along the line are smooth.
    """
    ohm, farad, foot = chip.array.r_bit_line, chip.array.c_bit_line, f"foot_{k}"
    lines, below, done = [], foot, 0.0
    for i, (before, size) in enumerate(_groups(cells)):
        node = f"bl_{i}_{k}" if ohm else foot
        middle = before + 0.5 * (size + 1)  # in segments of the line from its foot
        if ohm:
            lines.append(f"rbl_{i}_{k} {node} {below} {spice_number(ohm * (middle - done))}")
        if farad:
            lines.append(f"cbl_{i}_{k} {node} 0 {spice_number(farad * size)}")
        lines += alike_lines(chip, f"{i}_{k}", f"in_{k}", node, siemens, size)
        below, done = node, middle
    return lines


def _groups(cells: int) -> list[tuple[int, int]]:
    """Return how many cells are before each group, from the foot of their line on, and how many in it."""
    groups, before = [], 0
    while before < cells:
        size = min(cells - before, max(1, before // NEAR))
        groups.append((before, size))
        before += size
    return groups
