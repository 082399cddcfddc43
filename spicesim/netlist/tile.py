"""Arrays of the chip's cells: a column, a crossbar between ideal sources, and a whole tile at transistor level."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.converter import Polarity
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.cell import cell_blocks, cell_line, gate_supply
from spicesim.netlist.dac import code_bits, dac_blocks, dac_line, dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.senseamp import senseamp_blocks, senseamp_line, supplies
from spicesim.netlist.wires import WireNodes, format_wires, name_wires
from spicesim.units import spice_number

__all__ = ["build_column", "build_crossbar", "build_tile"]

Floats = npt.NDArray[np.float64]

_SENSE = "* foot of each bit line; i(vsense_J) is the current into the virtual ground"


def _matrix(g: npt.ArrayLike) -> Floats:
    array = np.asarray(g, dtype=float)
    if array.ndim != 2 or array.size == 0:
        raise SpecError(f"conductances must be a matrix (rows, columns), got shape {array.shape}")
    return array


def _vector(values: npt.ArrayLike, rows: int, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (rows,):
        raise SpecError(f"{what} must have one value a word line, shape ({rows},), got {array.shape}")
    return array


def _wires(chip: Chip, rows: int, columns: int, head: str, foot: str) -> tuple[WireNodes, str]:
    """Name the nodes of an array and format its wires; `head` and `foot` are patterns of the ends' names."""
    word, bit = (np.full((rows, columns), r) for r in (chip.array.r_word_line, chip.array.r_bit_line))
    heads, feet = [head.format(i) for i in range(rows)], [foot.format(j) for j in range(columns)]
    nodes = name_wires(word, bit, heads, feet)
    return nodes, "\n".join(
        [
            "* wire segments: rwl into a cell from the left, rbl from a cell downwards",
            *format_wires(word, bit, nodes),
        ]
    )


def _cells(chip: Chip, g: Floats, wires: WireNodes) -> str:
    lines = [f"* cells ({g.shape[0]} x {g.shape[1]}), xc_ROW_COLUMN"]
    for i, row in enumerate(g):
        lines += [
            cell_line(chip, f"c_{i}_{j}", wires.word[i, j], wires.bit[i, j], float(value))
            for j, value in enumerate(row)
        ]
    return "\n".join(lines)


def _sources(v: npt.NDArray[Any], wires: WireNodes) -> str:
    lines = ["* word lines, driven by ideal sources above the reference"]
    lines += [f"vin_{i} {wires.heads[i]} vref {spice_number(float(volts))}" for i, volts in enumerate(v)]
    return "\n".join(lines)


def build_crossbar(chip: Chip, g: npt.ArrayLike, v: npt.ArrayLike) -> Netlist:
    """Build an array of the chip's cells between ideal sources and ideal virtual grounds.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns)
        Conductances of the devices [S]; 0 is an open cell.
    v : array_like of shape (rows,)
        Word-line voltages above the reference [V].

    Returns
    -------
    Netlist
        Probes ``i(vsense_J)``: bit-line currents, positive into the virtual ground.

    Raises
    ------
    SpecError
        If the shapes do not fit or a conductance is impossible.
    """
    array = _matrix(g)
    rows, columns = array.shape
    wires, wire_lines = _wires(chip, rows, columns, "in_{}", "foot_{}")
    feet = [_SENSE, *(f"vsense_{j} {wires.feet[j]} vref 0" for j in range(columns))]
    return build_netlist(
        chip,
        f"{rows}x{columns} crossbar of {chip.cell.kind} cells",
        [
            *cell_blocks(chip),
            supplies(chip),
            gate_supply(chip),
            _sources(_vector(v, rows, "voltages"), wires),
            wire_lines,
            _cells(chip, array, wires),
            "\n".join(feet),
        ],
        [f"i(vsense_{j})" for j in range(columns)],
        notes=["Bit-line currents of an array with wire resistance, ideal drivers and ideal virtual grounds."],
    )


def build_column(chip: Chip, g: npt.ArrayLike, v: npt.ArrayLike, r_feedback: float) -> Netlist:
    """Build one bit line with its cells and its sense amplifier, its word lines driven by ideal sources.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows,)
        Conductances of the devices [S].
    v : array_like of shape (rows,)
        Word-line voltages above the reference [V].
    r_feedback : float
        Feedback resistance [ohm].

    Raises
    ------
    SpecError
        If the shapes do not fit or a conductance is impossible.
    """
    column = _matrix(np.asarray(g, dtype=float).reshape(-1, 1))
    rows = column.shape[0]
    wires, wire_lines = _wires(chip, rows, 1, "in_{}", "foot_{}")
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"column of {rows} {chip.cell.kind} cells with its sense amplifier",
        [
            *senseamp_blocks(chip),
            *cell_blocks(chip),
            supplies(chip),
            gate_supply(chip),
            _sources(_vector(v, rows, "voltages"), wires),
            wire_lines,
            _cells(chip, column, wires),
            f"{_SENSE}\nvsense_0 {wires.feet[0]} sense_0 0",
            f"* sense amplifier\n{senseamp_line(chip, 'senseamp_0', 'sense_0', 'out_0', r_feedback)}",
        ],
        ["v(out_0)", "v(sense_0)", "i(vsense_0)"],
        notes=["One output of a tile: word lines, bit line with wire resistance, transimpedance amplifier."],
        nodesets={"sense_0": reference, "out_0": reference},
    )


def build_tile(
    chip: Chip,
    g: npt.ArrayLike,
    codes: npt.ArrayLike,
    *,
    polarity: Polarity,
    r_feedback: float,
    nodesets: Mapping[str, float] | None = None,
) -> Netlist:
    """Build a whole tile at transistor level: a DAC a word line, wires, cells, an amplifier a bit line.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns)
        Conductances of the devices [S]; 0 is an open cell.
    codes : array_like of int, shape (rows,)
        DAC codes.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.
    r_feedback : float
        Feedback resistance of all amplifiers [ohm].
    nodesets : mapping of str to float, optional
        First guesses; without them ngspice may step for long or fail, see
        :func:`spicesim.calibration.tiles.predicted_nodesets`. Nodes: ``dac_I``, ``sense_J``, ``out_J``.

    Raises
    ------
    SpecError
        If the shapes do not fit, a code or a conductance is impossible.
    """
    array = _matrix(g)
    rows, columns = array.shape
    inputs = _vector(codes, rows, "codes")
    if inputs.dtype.kind not in "iu" or inputs.min() < 0 or inputs.max() >= 2**chip.dac.bits:
        raise SpecError(f"codes must be integers in 0..{2**chip.dac.bits - 1}")
    wires, wire_lines = _wires(chip, rows, columns, "dac_{}", "foot_{}")
    drivers = ["* word-line drivers; bits from the least significant, tied to vdd (1) or ground (0)"]
    for i, code in enumerate(inputs):
        drivers.append(f"{dac_line(f'dac_{i}', wires.heads[i], code_bits(int(code), chip.dac.bits))} $ code {code}")
    feet = [_SENSE, *(f"vsense_{j} {wires.feet[j]} sense_{j} 0" for j in range(columns))]
    amplifiers: Sequence[str] = [
        "* sense amplifiers",
        *(senseamp_line(chip, f"senseamp_{j}", f"sense_{j}", f"out_{j}", r_feedback) for j in range(columns)),
    ]
    return build_netlist(
        chip,
        f"{rows}x{columns} tile, {polarity} inputs, {r_feedback:g} ohm feedback",
        [
            *senseamp_blocks(chip),
            *dac_blocks(chip),
            *cell_blocks(chip),
            supplies(chip),
            dac_references(chip, polarity),
            gate_supply(chip),
            "\n".join(drivers),
            wire_lines,
            _cells(chip, array, wires),
            "\n".join(feet),
            "\n".join(amplifiers),
        ],
        [f"v(out_{j})" for j in range(columns)] + [f"i(vsense_{j})" for j in range(columns)],
        notes=[
            "A tile at transistor level. Word line I: DAC xdac_I -> dac_I -> wl_I_0 .. ;",
            "bit line J: bl_0_J .. -> vsense_J -> sense_J -> amplifier xsenseamp_J -> out_J.",
        ],
        nodesets=nodesets,
    )
