"""The conductances of a netlist, read back from its text, whoever edited it since."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spicesim.arrays import Floats
from spicesim.errors import SpecError
from spicesim.netlist.expression import read_number

__all__ = ["PAIRS", "find_conductances", "read_conductances"]

PAIRS = ", two devices each"
"""What a netlist says behind the size of an array of differential cells."""

_CELLS = re.compile(rf"\* cells \((\d+) x (\d+)\)({PAIRS})?")
_CELL = re.compile(r"xc_(\d+)_(\d+)\s", re.IGNORECASE)
_OPEN = re.compile(r"\*\s*xc_(\d+)_(\d+) is open", re.IGNORECASE)


def read_conductances(path: str | Path) -> Floats:
    """Read the device conductances of a column, crossbar or tile from its netlist.

    Parameters
    ----------
    path : str or Path
        A netlist in the ngspice dialect, as :meth:`Netlist.write` wrote it or as a designer changed it since:
        ``g=20u`` is read as ngspice reads it.

    Returns
    -------
    ndarray of shape (rows, columns)
        Conductances [S]; 0 where the cell is open. Of differential cells, ``gp`` and ``gn`` lie in columns next to each
        other.

    Raises
    ------
    SpecError
        If there is no such file, it holds no array, a cell is missing or there twice, or its ``g`` is no number.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read netlist {path}: {error}") from None
    return find_conductances(text, str(path))


def find_conductances(text: str, source: str) -> Floats:
    """Find the device conductances in the text of a netlist; `source` names it in messages."""
    lines = _join(text.splitlines())
    size = _CELLS.search(text)
    if size is None:
        raise SpecError(f"{source}: no line '* cells (ROWS x COLUMNS)'; is it a column, crossbar or tile of spicesim?")
    rows, columns = int(size[1]), int(size[2])
    names = ("gp", "gn") if size[3] else ("g",)
    g = np.full((rows, columns), np.nan)
    for number, line in lines:
        cell, is_open = _CELL.match(line), _OPEN.match(line)
        found = cell or is_open
        if found is None:
            continue
        i, j = int(found[1]), int(found[2]) * len(names)
        where = f"{source}, line {number}: cell xc_{i}_{found[2]}"
        if i >= rows or j >= columns:
            raise SpecError(f"{where} lies outside of the {rows} x {columns} cells that the file announces")
        if not np.isnan(g[i, j]):
            raise SpecError(f"{where} is there twice; remove one")
        for k, name in enumerate(names):
            g[i, j + k] = 0.0 if is_open else _conductance(line, name, where)
    missing = np.argwhere(np.isnan(g))
    if len(missing):
        i, j = missing[0] // (1, len(names))
        raise SpecError(
            f"{source}: no cell xc_{i}_{j} (nor {len(missing) // len(names) - 1} more); "
            f"where one shall be open write '* xc_{i}_{j} is open'"
        )
    return g


def _conductance(line: str, name: str, where: str) -> float:
    found = re.search(rf"\s{name}\s*=\s*(\S+)", line.split("$")[0], re.IGNORECASE)
    if found is None:
        raise SpecError(f"{where} has no {name}=; write its conductance in siemens")
    try:
        value = read_number(found[1])
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    if value <= 0:
        raise SpecError(
            f"{where}: the conductance must be positive, got {found[1]}; for an open cell write '* .. is open'"
        )
    return value


def _join(lines: Iterable[str]) -> list[tuple[int, str]]:
    """Put continuation lines behind the line that they continue; every line with its number."""
    joined: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("+") and joined:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]} {line[1:].strip()}")
        else:
            joined.append((number, line))
    return joined
