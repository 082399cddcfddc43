"""A calibration's simulations: how they are run, and how many there were."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.sampling import run_all

__all__ = ["Campaign"]


@dataclass(slots=True, kw_only=True)
class Campaign:
    """How the simulations of a calibration run; it counts them."""

    quick: bool = False
    """Whether to take fewer points."""
    seed: int = 0
    """Of held-out points, checks and draws."""
    simulator: BatchSimulator = field(default_factory=BatchSimulator)
    """Gives the time-out."""
    jobs: int | None = None
    """Simulations at a time; by default one a processor."""
    progress: bool = False
    """Whether to show progress on stderr."""
    simulations: int = 0
    """Runs so far."""

    def run(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        """Simulate, taking from the cache what was simulated before.

        Parameters
        ----------
        netlists : sequence of Netlist
            What to simulate.
        label : str
            Of the progress bar.

        Returns
        -------
        list of Results
            In the order of `netlists`.
        """
        results = run_all(netlists, simulator=self.simulator, jobs=self.jobs, progress=label if self.progress else "")
        self.simulations += len(netlists)
        return results
