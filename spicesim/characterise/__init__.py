"""Data sheets of circuit blocks, measured in ngspice."""

from collections.abc import Callable

from spicesim.characterise.bench import Bench, Conditions, run_bench
from spicesim.characterise.cell import cell_bench
from spicesim.characterise.charge_dac import charge_dac_bench
from spicesim.characterise.comparator import comparator_bench
from spicesim.characterise.current_dac import current_dac_bench
from spicesim.characterise.dac import dac_bench
from spicesim.characterise.devices import differential_bench, pcm_bench, selector_bench
from spicesim.characterise.integrator import integrator_bench
from spicesim.characterise.mirror import mirror_bench
from spicesim.characterise.plot import plot_sheet, write_plot
from spicesim.characterise.sar_adc import sar_adc_bench
from spicesim.characterise.senseamp import senseamp_bench
from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread, write_sheet
from spicesim.characterise.wldriver import wldriver_bench
from spicesim.characterise.writes import ecram_bench, pcm_state_bench, rram_gap_bench
from spicesim.chip import Chip

__all__ = [
    "BLOCKS",
    "Bench",
    "Conditions",
    "DataSheet",
    "Entry",
    "Panel",
    "Spread",
    "plot_sheet",
    "run_bench",
    "write_plot",
    "write_sheet",
]

BLOCKS: dict[str, Callable[[Chip], Bench]] = {
    "dac": dac_bench,
    "senseamp": senseamp_bench,
    "cell": cell_bench,
    "comparator": comparator_bench,
    "integrator": integrator_bench,
    "mirror": mirror_bench,
    "wldriver": wldriver_bench,
    "chargedac": charge_dac_bench,
    "currentdac": current_dac_bench,
    "adc": sar_adc_bench,
    "1s1r": selector_bench,
    "2t2r": differential_bench,
    "pcm": pcm_bench,
    "pcm_state": pcm_state_bench,
    "ecram": ecram_bench,
    "rram_gap": rram_gap_bench,
}
"""Testbenches by the name of their block."""
