"""Rows of a tile that do the same, put together: one stands for many, the more the farther it is from the feet.

What leads from a control to the gates of word-line drivers' output switches is there once for all rows that share it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Integers
from spicesim.netlist.netlist import Netlist

__all__ = ["row_groups", "with_logic_together", "with_rows_together"]

NEAR = 2
"""A group is as large as all rows between it and the feet, by this: outputs of full columns of 128 cells are 6 uV other
than with sixteen, with four 2 uV, and a quarter of the time goes."""
_CELL = re.compile(r"^xc_(\d+)_(\d+) (\S+) (\S+) (.*)$", re.MULTILINE)
"""A cell: row, column, word line, bit line, all else."""
_DRIVERS = re.compile(
    r"^\.subckt (word_line_driver) ctrl out vhi vlo vdd vss(.*)\n((?:.*\n)*?)\.ends word_line_driver$", re.MULTILINE
)
"""The subcircuit of drivers of two levels: name, parameters, lines."""
_DRIVER = re.compile(r"^xdac_(\d+) (\S+) (\S+ \S+ \S+) (\S+ \S+) word_line_driver ([^$\n]*?)( \$.*)?$", re.MULTILINE)
"""One of them: row, control, output and levels, supply and ground, sizes, comment."""


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


def with_logic_together(netlist: Netlist) -> Netlist:
    """Return a tile whose drivers of two levels have the inverters before their output switches in common.

    Rows with one control, whose inverters do the same but for what their switches' drains do to the gates, have one
    with as many transistors side by side: outputs are the same to 2 uV, which other time steps make, in half the time,
    as six of a row's ten transistors are inverters. Other drivers stay as they are, and so do netlists whose devices
    are drawn, where each has a subcircuit of its own.
    """
    found = _DRIVERS.search(netlist.body)
    if found is None:
        return netlist
    outside, logic, switches = {"out", "vhi", "vlo"}, [], []
    inner: set[str] = set()
    for line in found[3].splitlines():
        nodes = set(line.split()[1:5])
        if line[:1] not in "mx":  # what sizes are called is for both
            logic += [line] if line.startswith(".") else []
            switches.append(line)
        elif outside & nodes:
            switches.append(line)
            inner |= nodes - outside - {"vdd", "vss"}
        else:
            logic.append(f"{line} m={{count}}")
    gates = sorted(inner)
    text = "\n".join([
        f".subckt word_line_logic ctrl {' '.join(gates)} vdd vss{found[2]} count=1", *logic, ".ends word_line_logic",
        "",
        f".subckt word_line_switches {' '.join(gates)} out vhi vlo vdd vss{found[2]}", *switches,
        ".ends word_line_switches",
    ])  # fmt: skip
    body = netlist.body.replace(found[0], text)
    groups: dict[tuple[str, ...], list[str]] = {}
    for row, control, _, supply, sizes, _ in _DRIVER.findall(body):
        groups.setdefault((control, supply, sizes), []).append(row)

    def switched(driver: re.Match[str]) -> str:
        row, control, ends, supply, sizes, comment = driver.groups()
        rows = groups[control, supply, sizes]
        nodes = " ".join(f"{gate}_{rows[0]}" for gate in gates)
        line = f"xdac_{row} {nodes} {ends} {supply} word_line_switches {sizes}{comment or ''}"
        if row != rows[0]:
            return line
        return f"xlogic_{row} {control} {nodes} {supply} word_line_logic {sizes} count={len(rows)}\n{line}"

    return replace(netlist, body=_DRIVER.sub(switched, body))
