"""The only code that starts a simulator; two engines with one face, ``run(netlist) -> Results``."""

from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.ngspice.rawfile import Plot
from spicesim.ngspice.shared import SharedSimulator

__all__ = ["BatchSimulator", "Plot", "Results", "SharedSimulator"]
