"""Where the weights went: a table of all cells of a netlist, from instance name to weight.

A CSV, one line a cell. ``instance, row, column, conductance`` [S] are always there; for a tile of a network also
``layer, output, input`` (the weight's index in the layer's matrix), ``sign`` (+1 or -1) and ``slice``. The reference
column of all outputs has the output ``all``. The instance of one of the two devices of a differential cell is its path,
``xc_0_3.xp`` or ``xc_0_3.xn``.
"""

import csv
import io
from pathlib import Path

import numpy as np

from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.mapping import MappedTile
from spicesim.netlist.arrangement import Arrangement
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.reader import PAIRS, find_conductances

__all__ = ["format_trace", "trace_path", "write_trace"]

_CELL = ("instance", "row", "column", "conductance")
_WEIGHT = ("layer", "output", "input", "sign", "slice")


def trace_path(netlist_path: str | Path) -> Path:
    """Return where the table of a netlist belongs: beside it, ``tile.cir`` has ``tile.cells.csv``."""
    return Path(netlist_path).with_suffix(".cells.csv")


def format_trace(netlist: Netlist, *, layer: str = "", mapped: MappedTile | Arrangement | None = None) -> str:
    """Format the table of a netlist's cells, from what the netlist says.

    Parameters
    ----------
    netlist : Netlist
        A column, crossbar or tile.
    layer : str
        Name of the network's layer.
    mapped : MappedTile or Arrangement, optional
        The part of the layer's weights that the tile holds.

    Raises
    ------
    SpecError
        If the netlist holds no array, or one of another size than `mapped`.
    """
    g = find_conductances(netlist.body, repr(netlist.title))
    if mapped is not None and mapped.g.shape != g.shape:
        raise SpecError(f"the netlist has {g.shape[0]} x {g.shape[1]} cells, the mapped tile {mapped.g.shape}")
    paired = f"){PAIRS}:" in netlist.body
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CELL if mapped is None else _CELL + _WEIGHT)
    for i, j in np.ndindex(g.shape):
        name = f"xc_{i}_{j // 2}.x{'pn'[j % 2]}" if paired else f"xc_{i}_{j}"
        line: list[object] = [name, i, j, repr(float(g[i, j]))]
        if mapped is not None:
            output, row, sign, digit = _weight(mapped, i, j)
            line += [layer, "all" if output is None else output, row, sign, digit]
        writer.writerow(line)
    return file.getvalue()


def write_trace(
    netlist_path: str | Path, netlist: Netlist, *, layer: str = "", mapped: MappedTile | Arrangement | None = None
) -> Path:
    """Write the table beside a netlist, and return where; arguments as for :func:`format_trace`."""
    path = trace_path(netlist_path)
    write_text(path, format_trace(netlist, layer=layer, mapped=mapped))
    return path


def _weight(mapped: MappedTile | Arrangement, i: int, j: int) -> tuple[int | None, int, int, int]:
    """Return output, input, sign and slice of a cell."""
    if isinstance(mapped, Arrangement):
        column = mapped.columns[j]
        return column.output, i, column.sign, column.slice
    output, sign, digit = mapped.whose(j)
    return output, mapped.rows.start + i, sign, digit
