"""Data sheets of circuit blocks, measured in ngspice."""

from spicesim.characterise.bench import Bench, Conditions, run_bench, sample_draw
from spicesim.characterise.catalogue import BLOCKS, WORDS, Block, find_block
from spicesim.characterise.deck import deck_bench, deck_options, measure_deck, settings
from spicesim.characterise.limits import Limit, Limits, Verdict, judge, load_limits
from spicesim.characterise.matrix import Place, matrix_rows, measure_matrix, places
from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread, write_sheet
from spicesim.characterise.yields import LimitYield, Yield, find_yields, least_yield, least_yields

__all__ = [
    "BLOCKS",
    "WORDS",
    "Bench",
    "Block",
    "Conditions",
    "DataSheet",
    "Entry",
    "Limit",
    "LimitYield",
    "Limits",
    "Panel",
    "Place",
    "Spread",
    "Verdict",
    "Yield",
    "deck_bench",
    "deck_options",
    "find_block",
    "find_yields",
    "judge",
    "least_yield",
    "least_yields",
    "load_limits",
    "matrix_rows",
    "measure_deck",
    "measure_matrix",
    "places",
    "run_bench",
    "sample_draw",
    "settings",
    "write_sheet",
]
