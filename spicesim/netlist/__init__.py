"""From a chip description to netlists.

Every builder returns a :class:`Netlist`: text that ngspice runs as it stands, or, by :meth:`Netlist.circuit`, a PySpice
circuit to go on with.
"""

from spicesim.netlist.arrangement import ARRANGEMENTS, Arrangement, arrange_weights
from spicesim.netlist.cell import build_cell
from spicesim.netlist.dac import LadderDac, build_dac
from spicesim.netlist.deck import Deck, Setting, read_deck
from spicesim.netlist.dialects import DIALECTS, format_netlist, run_command
from spicesim.netlist.embedded import Embedded, embed
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.parasitics import Parasitics, read_parasitics
from spicesim.netlist.reader import read_conductances
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.tile import build_column, build_crossbar, build_tile
from spicesim.netlist.trace import format_trace, write_trace

__all__ = [
    "ARRANGEMENTS",
    "DIALECTS",
    "Arrangement",
    "Deck",
    "Embedded",
    "LadderDac",
    "Netlist",
    "Parasitics",
    "Setting",
    "arrange_weights",
    "build_cell",
    "build_column",
    "build_crossbar",
    "build_dac",
    "build_sense_amplifier",
    "build_tile",
    "embed",
    "format_netlist",
    "format_trace",
    "read_conductances",
    "read_deck",
    "read_parasitics",
    "run_command",
    "write_trace",
]
