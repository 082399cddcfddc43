"""Arrays of 1T1R cells as layouts: drawn, checked against rules and netlist, their wires measured.

Importing this package needs klayout, an optional extra, which it calls and does not copy from. Coordinates are whole
nanometres, the database unit of all layouts here; row 0 is the upper one, word lines are driven from the left, and bit
lines end below.
"""

from importlib.util import find_spec

from spicesim.errors import MissingDependencyError

if find_spec("klayout") is None:
    raise MissingDependencyError("array layouts need klayout, which is not installed; run: pip install klayout")

from spicesim.layout.array import ArrayLayout, draw_array
from spicesim.layout.cell import CellPlan, CellWishes, plan_cell
from spicesim.layout.files import read_layout, write_layout
from spicesim.layout.lvs import Comparison, compare_layout
from spicesim.layout.rules import Violation, check_rules
from spicesim.layout.technology import GF180MCU, Technology
from spicesim.layout.wires import LineWires, WireTable, measure_wires

__all__ = [
    "GF180MCU",
    "ArrayLayout",
    "CellPlan",
    "CellWishes",
    "Comparison",
    "LineWires",
    "Technology",
    "Violation",
    "WireTable",
    "check_rules",
    "compare_layout",
    "draw_array",
    "measure_wires",
    "plan_cell",
    "read_layout",
    "write_layout",
]
