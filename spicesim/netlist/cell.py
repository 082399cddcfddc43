"""The memory cell: its subcircuits, and testbenches that trace or sample its current."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.units import spice_number

__all__ = [
    "alike_lines",
    "build_cell",
    "build_cell_samples",
    "cell_blocks",
    "cell_form",
    "cell_line",
    "gate_supply",
    "half_line",
    "pair_line",
]


_DEVICES = ("resistor", "rram", "pcm", "ecram", "selector")
"""Blocks that a cell's subcircuit may call."""

_ALTERNATE = ("Of the two bit lines of a cell, points with even numbers look at that of gp, the others at that of gn.",)

_PLACE = re.compile(r"^(x[dpn]\s+\S+\s+\S+)\s+rram\s+g=(\{g[pn]?\})\s+kappa=\{kappa\}", re.MULTILINE)
"""Where the library's cells call their devices."""


def _device_call(chip: Chip, g: str, kappa: str = "") -> str:
    """Format what stands behind the two nodes of the chip's device; its nonlinearity is a default unless given."""
    cell = chip.cell
    if cell.device == "ecram":
        return f"0 ecram g={g}"
    if not cell.kappa:
        return f"resistor g={g}"
    own = {"rram": f" kappa={{{kappa}}}", "pcm": f" v0={{1/{kappa}}}"}[cell.device] if kappa else ""
    return f"{cell.device} g={g}{own}"


def cell_blocks(chip: Chip, kind: str | None = None) -> list[str]:
    """Return the subcircuits that :func:`cell_line` calls, with the chip's cell as their defaults.

    `kind` asks for cells of another kind, made of the chip's devices and transistors.

    Raises
    ------
    SpecError
        If the chip's own version of the cell has no place for the device that the chip wants.
    """
    cell = chip.cell
    kind = kind or cell.kind
    name = f"cell_{kind}"
    text = f"xd p n {_device_call(chip, '{g}')}"
    if kind != "1r":
        sizes = {"w": cell.access_width, "l": cell.access_length}
        if kind == "1s1r":
            sizes = {"i0": cell.selector_current, "v0": cell.selector_voltage}
        text = block_text(name, chip, kappa=cell.kappa, **sizes)
        if cell.device != "rram" or not cell.kappa:
            text, count = _PLACE.subn(lambda found: f"{found[1]}  {_device_call(chip, found[2], 'kappa')}", text)
            if not count:
                raise SpecError(
                    f"{name}.cir in the chip's library has no line 'xd .. rram g={{g}} kappa={{kappa}}' for the "
                    f"device {cell.device!r}; write it, or set cell.device = 'rram' and a positive kappa"
                )
    called = [device for device in _DEVICES if re.search(rf"^x.*\s{device}\b", text, re.MULTILINE)]
    defaults = {"rram": {"kappa": cell.kappa}, "pcm": {"v0": 1 / cell.kappa}} if cell.kappa else {}
    blocks = [block_text(device, chip, **defaults.get(device, {})) for device in called]
    return blocks if kind == "1r" else [*blocks, text]


def cell_form(chip: Chip) -> str:
    """Return the form of the instance of one cell, for :meth:`str.format`, as :func:`cell_line` fills it."""
    if chip.cell.kind == "1r":
        return f"x{{name}} {{word_line}} {{bit_line}} {_device_call(chip, '{g}')}"
    if chip.cell.kind == "1s1r":
        return "x{name} {word_line} {bit_line} cell_1s1r g={g}"
    return "x{name} {word_line} {bit_line} {gate} 0 cell_1t1r g={g}"


def cell_line(form: str, name: str, word_line: str, bit_line: str, g: float, gate: str = "gate") -> str:
    """Format the instance of one cell between two nodes; its device has conductance `g` [S].

    All else is the same for all cells and stands in the form of :func:`cell_form` and in their subcircuit's defaults,
    see :func:`cell_blocks`. `gate` is the node of the access transistor's gate, if there is one.

    Raises
    ------
    SpecError
        If `g` is negative or not finite. A cell with ``g = 0`` is open and gives no line.
    """
    _require_possible(name, g)
    if g == 0:
        return f"* x{name} is open"
    return form.format(name=name, word_line=word_line, bit_line=bit_line, gate=gate, g=spice_number(g))


def alike_lines(chip: Chip, name: str, word_line: str, bit_line: str, g: float, count: int) -> list[str]:
    """Format so many cells between two nodes, by one and the drop of its current at an ohm.

    The ohm is a ten-thousandth of a cell. Every simulator has such a source, and any cell can be multiplied by it.
    """
    form = cell_form(chip)
    if count == 1 or not g:
        return [cell_line(form, f"c_{name}", word_line, bit_line, g)]
    return [
        cell_line(form, f"c_{name}", word_line, f"cell_{name}", g),
        f"rcell_{name} cell_{name} {bit_line} 1",
        f"gcell_{name} 0 {bit_line} cell_{name} {bit_line} {count - 1}",
    ]


def _require_possible(name: str, g: float) -> None:
    if not (np.isfinite(g) and g >= 0):
        raise SpecError(f"cell {name}: the conductance must be finite and not negative, got {g} S")


def pair_line(
    name: str, word_line: str, bit_lines: tuple[str, str], pair: tuple[float, float], gate: str = "gate"
) -> str:
    """Format the instance of one differential cell between a word line and two bit lines.

    Raises
    ------
    SpecError
        If a conductance of the `pair` [S] is negative or not finite, or only one of them is open.
    """
    for g in pair:
        _require_possible(name, g)
    if not any(pair):
        return f"* x{name} is open"
    if not all(pair):
        raise SpecError(f"cell {name}: one device of a 2t2r cell cannot be open alone; open both, or make it g_min")
    gp, gn = (spice_number(g) for g in pair)
    return f"x{name} {word_line} {bit_lines[0]} {bit_lines[1]} {gate} 0 cell_2t2r gp={gp} gn={gn}"


def half_line(chip: Chip, name: str, word_line: str, bit_line: str, g: float, half: int = 0) -> str:
    """Format the instance of a cell of which one bit line is looked at.

    Of a cell of two bit lines, `half` 0 or 1 looks at gp or gn; the other half has the same device, and its bit line
    ends at the word line, so that it carries nothing.
    """
    if not chip.cell.is_paired:
        return cell_line(cell_form(chip), name, word_line, bit_line, g)
    lines = (bit_line, word_line)
    return pair_line(name, word_line, lines[::-1] if half else lines, (g, g))


def gate_supply(chip: Chip) -> str:
    """Format the supply of the access transistors' gates; empty for cells without one."""
    if not chip.cell.has_gate:
        return ""
    return f"* gates of the access transistors, all selected\nvgate gate 0 {spice_number(chip.process.supply)}"


def build_cell(chip: Chip, g: float, v_limit: float | None = None) -> Netlist:
    """Build a testbench that sweeps the voltage across one cell.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : float
        Conductance of the device [S]; of a differential cell that of the positive one, the other having ``g_min``.
    v_limit : float, optional
        The sweep goes from ``-v_limit`` to ``v_limit`` [V]; by default over twice the DAC's span.

    Returns
    -------
    Netlist
        Probes ``v(wl)``, ``v(bl)``, ``i(vsense_0)`` and, of a differential cell, ``i(vsense_1)``.
    """
    limit = 2 * chip.dac.v_span if v_limit is None else v_limit
    reference = chip.sense_amplifier.v_reference
    paired = chip.cell.kind == "2t2r"
    instance = (
        pair_line("cell", "wl", ("bl_cell", "bln_cell"), (g, chip.cell.g_min))
        if paired
        else cell_line(cell_form(chip), "cell", "wl", "bl_cell", g)
    )
    circuit = [
        f"* the bit line{'s rest' if paired else ' rests'} at the reference; the word line is swept across it",
        f"vref bl 0 {spice_number(reference)}",
        "vcell wl bl 0",
        instance,
        "vsense_0 bl_cell bl 0",
        *(["vsense_1 bln_cell bl 0"] if paired else []),
    ]
    return build_netlist(
        chip,
        f"{chip.cell.kind} cell",
        [*cell_blocks(chip), gate_supply(chip), "\n".join(circuit)],
        ["v(wl)", "v(bl)", "i(vsense_0)", *(["i(vsense_1)"] if paired else [])],
        notes=["Current through one memory cell against the voltage across it: i(vsense_0) against v(wl) - v(bl)."],
        analyses=[f".dc vcell {spice_number(-limit)} {spice_number(limit)} {spice_number(limit / 40)}"],
    )


def build_cell_samples(chip: Chip, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> Netlist:
    """Build one netlist that holds a cell for every bias point and finds all their currents at once.

    Parameters
    ----------
    chip : Chip
        The chip.
    g, v, u : array_like of shape (points,)
        Conductance of the device [S], voltage across the cell [V], and bit-line voltage above the reference [V].

    Returns
    -------
    Netlist
        Probe ``i(vsense_K)`` is the current of point K.
    """
    reference = chip.sense_amplifier.v_reference
    lines: list[str] = []
    conductances, voltages, bit_lines = (np.asarray(a, dtype=float).ravel() for a in (g, v, u))
    for k, (g_k, v_k, u_k) in enumerate(zip(conductances, voltages, bit_lines, strict=True)):
        lines += [
            f"vw_{k} wl_{k} 0 {spice_number(reference + u_k + v_k)}",
            half_line(chip, f"c_{k}", f"wl_{k}", f"bl_{k}", g_k, half=k % 2),
            f"vsense_{k} bl_{k} 0 {spice_number(reference + u_k)}",
        ]
    probes: Sequence[str] = [f"i(vsense_{k})" for k in range(len(conductances))]
    return build_netlist(
        chip,
        f"{len(conductances)} bias points of a {chip.cell.kind} cell",
        [*cell_blocks(chip), gate_supply(chip), "\n".join(lines)],
        probes,
        notes=[
            "Every cell stands alone between its word line and its bit line.",
            *(_ALTERNATE if chip.cell.is_paired else ()),
        ],
    )
