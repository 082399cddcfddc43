"""A netlist simulated by a real ngspice, for tests."""

import os

import pytest

from spicesim.arrays import Array
from spicesim.errors import MissingDependencyError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.verilog_a import find_compiler

__all__ = ["PROCESSES", "needs_compiler", "run"]

PROCESSES = ("generic-1t1r", "gf180-1t1r")
"""A preset of each process; library blocks of the others are the same."""


def _has_compiler() -> bool:
    try:
        find_compiler()
    except MissingDependencyError:
        return False
    return True


needs_compiler = pytest.mark.skipif(
    os.environ.get("SPICESIM_VACASK") != "required" and not _has_compiler(),  # continuous integration has one
    reason="no Verilog-A compiler; pip install spicesim[vacask]",
)
"""Mark of what simulates transistors whose models are compiled on first use."""


def run(netlist: Netlist) -> dict[str, Array]:
    """Simulate a netlist of one analysis; return its vectors by name."""
    (plot,) = BatchSimulator().run(netlist)
    return plot.vectors
