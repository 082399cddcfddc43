"""A plain array as a complete ngspice netlist: sources, wires, cells and a 0 V probe at each bit line."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.cells import Cell
from spicesim.netlist.wires import format_wires, name_wires
from spicesim.units import spice_number

__all__ = ["ArrayNetlist", "format_array"]

Floats = npt.NDArray[np.float64]

HEADER = """\
* crossbar array, {rows} word lines x {columns} bit lines
* word line i: source vin_i, rdriver_i, segment rwl_i_0, cell 0, segment rwl_i_1, cell 1, ..
* bit line j: cells 0 .. {last} from the far end down, a segment rbl_i_j below each; rsense_j, vsense_j, ground
* i(vsense_j) is the current into the virtual ground
.options klu reltol=1e-9 vntol=1e-13 abstol=1e-17 itl1=500
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayNetlist:
    """What the netlist of a plain array says; resistances [ohm], g [S], v [V]."""

    g: Floats
    """Conductances (rows, columns); 0 is an open cell."""
    coefficients: Floats
    """Kernel coefficients of the cells, (rows, columns, A, B)."""
    cell: Cell
    """Law of the cells."""
    r_word_line: Floats
    """Segments of the word lines (rows, columns)."""
    r_bit_line: Floats
    """Segments of the bit lines (rows, columns)."""
    r_driver: Floats
    """Driver resistances (rows,)."""
    r_sense: Floats
    """Resistances at the feet of the bit lines (columns,)."""


def format_array(array: ArrayNetlist, v: Floats) -> str:
    """Return the netlist of an array driven by the voltages v (rows,)."""
    return "\n".join(_lines(array, v)) + "\n"


def _lines(array: ArrayNetlist, v: Floats) -> Iterator[str]:
    rows, columns = array.g.shape
    heads = [f"wl_{i}" if array.r_driver[i] > 0 else f"in_{i}" for i in range(rows)]
    feet = [f"bl_{j}" for j in range(columns)]
    senses = [f"sense_{j}" if array.r_sense[j] > 0 else feet[j] for j in range(columns)]
    nodes = name_wires(array.r_word_line, array.r_bit_line, heads, feet)
    yield HEADER.format(rows=rows, columns=columns, last=rows - 1)
    yield "* sources and drivers"
    for i in range(rows):
        yield f"vin_{i} in_{i} 0 dc {spice_number(v[i])}"
        if array.r_driver[i] > 0:
            yield f"rdriver_{i} in_{i} wl_{i} {spice_number(array.r_driver[i])}"
    yield "\n* wires"
    yield from format_wires(array.r_word_line, array.r_bit_line, nodes)
    yield "\n* cells"
    for i, j in np.argwhere(array.g > 0):
        bit = str(nodes.bit[i, j])
        yield array.cell.element(f"cell_{i}_{j}", str(nodes.word[i, j]), bit, array.coefficients[i, j], f"v({bit})")
    yield "\n* feet of the bit lines"
    for j in range(columns):
        if array.r_sense[j] > 0:
            yield f"rsense_{j} bl_{j} sense_{j} {spice_number(array.r_sense[j])}"
        yield f"vsense_{j} {senses[j]} 0 dc 0"
    probes = [f"i(vsense_{j})" for j in range(columns)]
    yield "\n.op"
    for first in range(0, columns, 8):
        chosen = " ".join(probes[first : first + 8])
        yield f".save {chosen}"
        yield f".print op {chosen}"
    yield ".end"
