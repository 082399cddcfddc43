"""A netlist simulated by a real ngspice, for tests."""

from spicesim.arrays import Array
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["PROCESSES", "run"]

PROCESSES = ("generic-1t1r", "gf180-1t1r")
"""A preset of each process; library blocks of the others are the same."""


def run(netlist: Netlist) -> dict[str, Array]:
    """Simulate a netlist of one analysis; return its vectors by name."""
    (plot,) = BatchSimulator().run(netlist)
    return plot.vectors
