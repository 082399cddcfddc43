"""A plain array as a complete ngspice netlist: sources, wires, cells and a 0 V probe at each bit line."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.cells import NetlistCell
from spicesim.netlist.wires import format_wires, name_wires
from spicesim.units import spice_number

__all__ = ["ArrayNetlist", "format_array"]

HEADER = """\
* crossbar array, {rows} word lines x {columns} bit lines
* {drive}
* {sense}
.options klu reltol=1e-9 vntol=1e-13 abstol=1e-17 itl1=500
"""

DRIVE = {
    "left": "word line i: source vin_i, rdriver_i, segment rwl_i_0, cell 0, segment rwl_i_1, cell 1, ..",
    "right": "word line i, from the right: source vin_i, rdriver_i, segment rwl_i_{last}, cell {last}, ..",
    "both": "word line i: source vin_i, rdriver_i, segment rwl_i_0, cell 0, .., segment rright_i, rdriver2_i, vin_i",
}
SENSE = {
    "bottom": "bit line j: cells 0 .. {last} down, a segment rbl_i_j below each; rsense_j, vsense_j, ground\n"
    "* i(vsense_j) is the current into the virtual ground",
    "both": "bit line j: ground, vtop_j, rsense2_j, rtop_j, cells 0 .. {last}, a segment rbl_i_j below each, rsense_j\n"
    "* i(vsense_j) is the current into the virtual ground below, i(vtop_j) above",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayNetlist:
    """What the netlist of a plain array says; resistances [ohm], g [S], v [V]."""

    g: Floats
    """Conductances (rows, columns); 0 is an open cell."""
    coefficients: Floats
    """Kernel coefficients of the cells, (rows, columns, A, B)."""
    cell: NetlistCell
    """Law of the cells."""
    r_word_line: Floats
    """Segments of the word lines (rows, columns)."""
    r_bit_line: Floats
    """Segments of the bit lines (rows, columns)."""
    r_driver: Floats
    """Driver resistances (rows,)."""
    r_sense: Floats
    """Resistances at the ends of the bit lines (columns,)."""
    drive: str = "left"
    """Driven ends of the word lines: left, right or both; both with columns + 1 segments."""
    sense: str = "bottom"
    """Sensed ends of the bit lines: bottom or both; both with rows + 1 segments."""


def format_array(array: ArrayNetlist, v: Floats) -> str:
    """Return the netlist of an array driven by the voltages v (rows,)."""
    return "\n".join(_lines(array, v)) + "\n"


def _lines(array: ArrayNetlist, v: Floats) -> Iterator[str]:
    rows, columns = array.g.shape
    labels = range(columns)[::-1] if array.drive == "right" else range(columns)
    r_word, r_bit = array.r_word_line[:, list(labels)], array.r_bit_line[-rows:, list(labels)]
    heads = [f"wl_{i}" if array.r_driver[i] > 0 else f"in_{i}" for i in range(rows)]
    feet = [f"bl_{j}" for j in labels]
    nodes = name_wires(r_word, r_bit, heads, feet, labels)
    word, bit = nodes.word[:, list(labels)], nodes.bit[:, list(labels)]
    yield HEADER.format(
        rows=rows,
        columns=columns,
        drive=DRIVE[array.drive].format(last=columns - 1),
        sense=SENSE[array.sense].format(last=rows - 1),
    )
    yield "* sources and drivers"
    for i in range(rows):
        yield f"vin_{i} in_{i} 0 dc {spice_number(v[i])}"
        if array.r_driver[i] > 0:
            yield f"rdriver_{i} in_{i} wl_{i} {spice_number(array.r_driver[i])}"
    yield "\n* wires"
    yield from format_wires(r_word, r_bit, nodes, labels)
    yield "\n* cells"
    for i, j in np.argwhere(array.g > 0):
        foot = str(bit[i, j])
        yield array.cell.element(f"cell_{i}_{j}", str(word[i, j]), foot, array.coefficients[i, j], f"v({foot})")
    if array.drive == "both":
        yield "\n* right ends of the word lines"
        for i in range(rows):
            yield from _series(
                str(word[i, -1]), f"in_{i}", f"wr_{i}", (f"right_{i}", array.r_word_line[i, -1]),
                (f"driver2_{i}", array.r_driver[i]), "",
            )  # fmt: skip
    yield "\n* feet of the bit lines"
    probes = []
    for j in range(columns):
        if np.isinf(array.r_sense[j]):
            yield f"* bit line {j} floats: v(bl_{j}) is the voltage of its open foot"
            probes.append(f"v(bl_{j})")
            continue
        sense = f"sense_{j}" if array.r_sense[j] > 0 else f"bl_{j}"
        if array.r_sense[j] > 0:
            yield f"rsense_{j} bl_{j} sense_{j} {spice_number(array.r_sense[j])}"
        yield f"vsense_{j} {sense} 0 dc 0"
        probes.append(f"i(vsense_{j})")
    if array.sense == "both":
        yield "\n* tops of the bit lines"
        for j in range(columns):
            if bit[0, j] == f"bl_{j}" and array.r_bit_line[0, j] == array.r_sense[j] == 0:
                yield f"* bit line {j} has no resistance: vsense_{j} carries the currents of both ends"
                continue
            probes.append(f"i(vtop_{j})")
            yield from _series(
                str(bit[0, j]), "0", f"bt_{j}", (f"top_{j}", array.r_bit_line[0, j]),
                (f"sense2_{j}", array.r_sense[j]), f"vtop_{j}",
            )  # fmt: skip
    yield "\n.op"
    for first in range(0, len(probes), 8):
        chosen = " ".join(probes[first : first + 8])
        yield f".save {chosen}"
        yield f".print op {chosen}"
    yield ".end"


def _series(
    start: str, end: str, middle: str, one: tuple[str, float], two: tuple[str, float], probe: str
) -> Iterator[str]:
    """Join two nodes by two resistors, of which some may be 0 ohm or broken, and a 0 V probe if it has a name."""
    if probe:
        yield f"{probe} {middle}_probe {end} dc 0"
        end = f"{middle}_probe"
    parts = [(name, ohm) for name, ohm in (one, two) if ohm > 0]
    if any(np.isinf(ohm) for _, ohm in parts):
        yield f"* {start} is not joined to {end}: broken"
        if probe:  # its node must have a path to somewhere
            yield f"r{middle} {end} 0 1"
    elif not parts:
        if start != end:
            yield f"vjoin_{middle} {start} {end} dc 0"
    elif len(parts) == 1:
        yield f"r{parts[0][0]} {start} {end} {spice_number(parts[0][1])}"
    else:
        yield f"r{parts[0][0]} {start} {middle} {spice_number(parts[0][1])}"
        yield f"r{parts[1][0]} {middle} {end} {spice_number(parts[1][1])}"
