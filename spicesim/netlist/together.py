"""Rows of a tile that do the same, put together: one stands for many, the more the farther it is from the feet."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Integers
from spicesim.netlist.netlist import Netlist

__all__ = ["row_groups", "with_rows_together"]

NEAR = 4
"""A group is as large as all rows between it and the feet, by this."""
_CELL = re.compile(r"^xc_(\d+)_(\d+) (\S+) (\S+) (.*)$", re.MULTILINE)
"""A cell: row, column, word line, bit line, all else."""


def row_groups(cells: Sequence[int]) -> Integers:
    """Divide rows so that columns of so many cells at their feet end between groups; return sizes, the farthest first.

    Parameters
    ----------
    cells : sequence of int
        Cells of each column.
    """
    sizes: list[int] = []
    for most in sorted(set(cells)):
        while (before := sum(sizes)) < most:
            sizes.append(min(most - before, max(1, before // NEAR)))
    return np.array(sizes[::-1])


def with_rows_together(netlist: Netlist, counts: npt.ArrayLike) -> Netlist:
    """Return a tile each of whose rows stands for so many, (rows,): its cells bring their bit lines so many currents.

    A current is measured by its drop at an ohm, which is a ten-thousandth of a cell, and multiplied by a source, which
    every simulator has. A row's driver bears what one row takes.
    """
    many = [int(count) for count in np.asarray(counts)]

    def times(cell: re.Match[str]) -> str:
        row, column, word, bit, rest = cell.groups()
        if (count := many[int(row)]) == 1:
            return cell[0]
        name = f"{row}_{column}"
        return (
            f"xc_{name} {word} cell_{name} {rest}\nrcell_{name} cell_{name} {bit} 1\n"
            f"gcell_{name} 0 {bit} cell_{name} {bit} {count - 1}"
        )

    return netlist if set(many) == {1} else replace(netlist, body=_CELL.sub(times, netlist.body))
