"""Data sheets of circuit blocks, measured in ngspice."""

from spicesim.characterise.bench import Bench, Conditions, run_bench
from spicesim.characterise.catalogue import BLOCKS, WORDS, Block, find_block
from spicesim.characterise.limits import Limit, Limits, Verdict, judge, load_limits
from spicesim.characterise.matrix import Place, measure_matrix, places
from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread, write_sheet

__all__ = [
    "BLOCKS",
    "WORDS",
    "Bench",
    "Block",
    "Conditions",
    "DataSheet",
    "Entry",
    "Limit",
    "Limits",
    "Panel",
    "Place",
    "Spread",
    "Verdict",
    "find_block",
    "judge",
    "load_limits",
    "measure_matrix",
    "places",
    "run_bench",
    "write_sheet",
]
