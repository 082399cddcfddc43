"""A netlist simulated by a real ngspice, for tests."""

from spicesim.arrays import Array
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["run"]


def run(netlist: Netlist) -> dict[str, Array]:
    """Simulate a netlist of one analysis; return its vectors by name."""
    (plot,) = BatchSimulator().run(netlist)
    return plot.vectors
