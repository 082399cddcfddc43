"""Rows of a tile that do the same, put together: one stands for many, the more the farther it is from the feet.

What leads from a control to the gates of word-line drivers' output switches, or from a code to a DAC's buffer, is there
once for all rows that share it.
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
_KINDS = {
    "word_line_driver": ({"out", "vhi", "vlo"}, "word_line_logic", "word_line_switches"),
    "dac": ({"out"}, "dac_ladder", "dac_buffer"),
}
"""Subcircuits of drivers: the nodes that a row's own part is at, names of what rows have together and of that part."""
_BUFFER = re.compile(r"^x\w+ \S+ out out \S+ \S+ opamp( |$)")
"""All that a row with a ladder may have of its own, so that no current flows into it from what is shared."""
_NODES = {"m": 4, "r": 2, "c": 2}
"""Of devices that may stand side by side in so many."""
_SIDE_BY_SIDE = re.compile(r"^(?:[mrc]|xm)\w* |^x\w+ (?:\S+ )+switch(?: |$)")
"""These, transistors that are subcircuits, and switches; not a process's resistors: with those of GF180MCU side by side
an output was 24 uV other."""


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
    """Return a tile whose drivers have in common what leads from their inputs to the gates that drive the rows.

    Rows with one control, or one code, do the same there but for what drains and outputs do to these gates. They have
    one of it with as many devices side by side: the inverters of drivers of two levels, which are six of a row's ten
    transistors, and ladders with their switches, which are 70 of the 95 devices of a DAC. Outputs are the same at rest;
    in transients, where time steps differ, to 2 uV behind drivers of two levels and to 25 uV behind ladders. Drivers of
    one's own stay as they are, and so do netlists whose devices are drawn, where each has a subcircuit of its own.
    """
    for name in _KINDS:
        netlist = replace(netlist, body=_together(netlist.body, name))
    return netlist


def _together(body: str, name: str) -> str:
    """Return a body whose drivers of one kind have in common what they can."""
    own_nodes, shared_name, own_name = _KINDS[name]
    found = re.search(rf"^\.subckt {name} (.*)\n((?:.*\n)*?)\.ends {name}$", body, re.MULTILINE)
    if found is None:
        return body
    ports = [word for word in found[1].split() if "=" not in word]
    defaults = [word for word in found[1].split() if "=" in word]
    shared, own, assigned = _parts(found[2], own_nodes)
    if not shared or (name == "dac" and not (len(own) == 1 and _BUFFER.match(own[0]))):
        return body
    of_shared, of_own = ({node for line in lines for node in _nodes(line)} for lines in (shared, own))
    gates = sorted((of_shared & of_own) - set(ports))
    shared_ports, own_ports = ([port for port in ports if port in nodes] for nodes in (of_shared, of_own))
    text = "\n".join([
        " ".join([".subckt", shared_name, *gates, *shared_ports, *defaults, "count=1"]), *assigned,
        *(f"{line} m={{count}}" for line in shared), f".ends {shared_name}",
        "",
        " ".join([".subckt", own_name, *gates, *own_ports, *defaults]), *assigned, *own, f".ends {own_name}",
    ])  # fmt: skip
    first: dict[tuple[str, ...], str] = {}
    counts: dict[str, int] = {}
    call = re.compile(rf"^xdac_(\d+) ((?:\S+ ){{{len(ports)}}}){name}\b *([^$\n]*?)( \$.*)?$", re.MULTILINE)

    def nodes_of(driver: re.Match[str]) -> dict[str, str]:
        return dict(zip(ports, driver[2].split(), strict=True))

    def leader(driver: re.Match[str]) -> str:
        nodes = nodes_of(driver)
        return first.setdefault((*(nodes[port] for port in shared_ports), driver[3]), driver[1])

    for driver in call.finditer(body):
        row = leader(driver)
        counts[row] = counts.get(row, 0) + 1

    def parted(driver: re.Match[str]) -> str:
        row, nodes, sizes, comment = leader(driver), nodes_of(driver), driver[3], driver[4] or ""
        between = [f"{gate}_{row}" for gate in gates]
        line = _call(f"xdac_{driver[1]}", [*between, *(nodes[port] for port in own_ports)], own_name, sizes) + comment
        if driver[1] != row:
            return line
        ends = [*between, *(nodes[port] for port in shared_ports)]
        return f"{_call(f'xlogic_{row}', ends, shared_name, f'{sizes} count={counts[row]}')}\n{line}"

    return call.sub(parted, body.replace(found[0], text))


def _call(name: str, nodes: Sequence[str], subcircuit: str, sizes: str) -> str:
    return " ".join([name, *nodes, subcircuit, *sizes.split()])


def _parts(lines: str, own_nodes: set[str]) -> tuple[list[str], list[str], list[str]]:
    """Divide a driver's lines into those that rows may share, those that are a row's own, and values with a name.

    None may be shared where there is anything else than devices that may stand side by side.
    """
    shared: list[str] = []
    own: list[str] = []
    assigned: list[str] = []
    for line in lines.splitlines():
        if line.startswith("*") or not line.strip():
            continue
        if line.startswith(".param"):
            assigned.append(line)
        elif own_nodes & set(_nodes(line)):
            own.append(line)
        elif _SIDE_BY_SIDE.match(line) and " m=" not in line:
            shared.append(line)
        else:
            return [], [], []
    return shared, own, assigned


def _nodes(line: str) -> list[str]:
    """Return the nodes of a device, or of a call, whose subcircuit stands before the first parameter."""
    words = [word for word in line.split() if "=" not in word]
    return words[1 : 1 + _NODES[line[0]]] if line[0] in _NODES else words[1:-1]
