"""The wires of an array as netlist text: named nodes at the cells and one resistor a segment.

Word line i has the nodes ``wl_i_0``, ``wl_i_1``, .. from its driver to its far end, bit line j the nodes
``bl_0_j``, ``bl_1_j``, .. from its far end down to its foot. Segment ``rwl_i_j`` leads into node ``wl_i_j``
from the left, or from the right if that is where the driver is, ``rbl_i_j`` from node ``bl_i_j`` downwards. A
segment of 0 ohm is no element: its two ends share one name; a broken segment is no element, either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Names, Reals
from spicesim.units import spice_number

__all__ = ["WireNodes", "format_wires", "name_wires"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WireNodes:
    """Names of the nodes of an array's wires."""

    word: Names
    """Word-line node of each cell, (rows, columns)."""
    bit: Names
    """Bit-line node of each cell, (rows, columns)."""
    heads: Sequence[str]
    """Nodes that drive the word lines, (rows,)."""
    feet: Sequence[str]
    """Nodes in which the bit lines end, (columns,)."""


def name_wires(
    r_word_line: Reals,
    r_bit_line: Reals,
    heads: Sequence[str],
    feet: Sequence[str],
    labels: Sequence[int] | None = None,
) -> WireNodes:
    """Name the two nodes of every cell.

    Parameters
    ----------
    r_word_line, r_bit_line : ndarray of shape (rows, columns)
        Resistance of each segment [ohm].
    heads : sequence of str
        Node that drives each word line, (rows,).
    feet : sequence of str
        Node in which each bit line ends, (columns,).
    labels : sequence of int, optional
        Number of each column in names, counted from the drivers; 0, 1, .. by default.
    """
    rows, columns = r_word_line.shape
    labels = range(columns) if labels is None else labels
    word = np.empty((rows, columns), dtype=object)
    bit = np.empty((rows, columns), dtype=object)
    for i in range(rows):
        for j in range(columns):
            word[i, j] = f"wl_{i}_{labels[j]}" if r_word_line[i, j] > 0 else word[i, j - 1] if j else heads[i]
    for i in reversed(range(rows)):
        for j in range(columns):
            bit[i, j] = f"bl_{i}_{labels[j]}" if r_bit_line[i, j] > 0 else bit[i + 1, j] if i + 1 < rows else feet[j]
    return WireNodes(word=word.astype(str), bit=bit.astype(str), heads=heads, feet=feet)


def format_wires(
    r_word_line: Reals,
    r_bit_line: Reals,
    nodes: WireNodes,
    labels: Sequence[int] | None = None,
) -> Iterator[str]:
    """Return a resistor line for each segment neither 0 ohm nor broken; arguments as for :func:`name_wires`."""
    rows, columns = r_word_line.shape
    labels = range(columns) if labels is None else labels
    for i, j in np.argwhere((r_word_line > 0) & np.isfinite(r_word_line)):
        left = nodes.word[i, j - 1] if j else nodes.heads[i]
        yield f"rwl_{i}_{labels[j]} {left} {nodes.word[i, j]} {spice_number(r_word_line[i, j])}"
    for i, j in np.argwhere((r_bit_line > 0) & np.isfinite(r_bit_line)):
        below = nodes.bit[i + 1, j] if i + 1 < rows else nodes.feet[j]
        yield f"rbl_{i}_{labels[j]} {nodes.bit[i, j]} {below} {spice_number(r_bit_line[i, j])}"
