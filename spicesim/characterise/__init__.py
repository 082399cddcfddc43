"""Data sheets of circuit blocks, measured in ngspice."""

from spicesim.characterise.bench import Bench, Conditions, run_bench
from spicesim.characterise.catalogue import BLOCKS, WORDS, Block, find_block
from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread, write_sheet

__all__ = [
    "BLOCKS",
    "WORDS",
    "Bench",
    "Block",
    "Conditions",
    "DataSheet",
    "Entry",
    "Panel",
    "Spread",
    "find_block",
    "run_bench",
    "write_sheet",
]
