"""The crossbar array, solved exactly: cells on resistive wires."""

from spicesim.crossbar.array import Crossbar
from spicesim.crossbar.solution import Power, Solution

__all__ = ["Crossbar", "Power", "Solution"]
