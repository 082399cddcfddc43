"""Charges that circuits at rest take for a small alternating voltage."""

import numpy as np

from spicesim.calibration.campaign import Campaign
from spicesim.chip import Chip
from spicesim.netlist.stages import build_cell_response
from spicesim.ngspice.outcome import Results

__all__ = ["FREQUENCY", "find_charge", "find_line_capacitance"]

FREQUENCY = 1e6
"""Low enough for capacitances, high enough to see them [Hz]."""


def find_charge(results: Results, node: str) -> float:
    """Return the charge at a node for 1 V at what is shaken; the source takes the current that the circuit delivers."""
    return -float(results[0].vectors[f"i(v{node})"][0].imag) / (2 * np.pi * FREQUENCY)


def find_line_capacitance(chip: Chip, campaign: Campaign) -> float:
    """Return what a bit line takes for each of its cells, the wire's and that of a cell halfway [F]."""
    (found,) = campaign.run([build_cell_response(chip, 0.5 * chip.cell.g_max, FREQUENCY)], "calibrate line")
    return chip.array.c_bit_line + find_charge(found, "bit")
