"""A calibration's simulations: how they are run, how many there were, what they cost, and which failed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from spicesim.behavioural.arrays import Model
from spicesim.calibration.turns import InTurn, Turns, all_beside
from spicesim.errors import SimulationError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.sampling import are_threads, run_all, run_each

__all__ = ["Campaign", "Cost", "Simulated"]

T = TypeVar("T")

_TOLERATED = 0.1
"""Fraction of runs that may fail where a result more or less does not matter."""


class Cost(Model):
    """What one step of a calibration took."""

    simulations: int
    """Ngspice runs."""
    seconds: float
    """Processor time of all of them, when they were done [s]."""

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(simulations=self.simulations - other.simulations, seconds=self.seconds - other.seconds)


class Simulated(Model):
    """One simulation in the accounts."""

    label: str
    """Step that it belongs to."""
    seconds: float
    """Processor time, when it was done [s]."""
    aid: str = ""
    """What it took to converge."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """How the simulations of a calibration run; it keeps the accounts."""

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
    costs: dict[str, Cost] = field(default_factory=dict)
    """By label, what was run."""
    aids: Counter[str] = field(default_factory=Counter)
    """Runs that converged only with an aid, by its name."""
    failures: list[str] = field(default_factory=list)
    """Runs that failed and were done without; each with its rerun command."""
    log: list[Simulated] = field(default_factory=list)
    """All that is in the accounts, in order."""
    fresh: int = 0
    """Runs that were not kept from before."""
    turns: Turns | None = None
    """Those of its simulations and of others beside it; None if there are no others."""

    @property
    def simulations(self) -> int:
        """Runs so far."""
        return sum(cost.simulations for cost in self.costs.values())

    @property
    def total(self) -> Cost:
        """All of `costs` together."""
        return Cost(simulations=self.simulations, seconds=sum(cost.seconds for cost in self.costs.values()))

    def run(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        """Simulate, taking from the cache what was simulated before.

        Parameters
        ----------
        netlists : sequence of Netlist
            What to simulate.
        label : str
            Of the progress bar and the accounts.

        Returns
        -------
        list of Results
            In the order of `netlists`.

        Raises
        ------
        SimulationError
            If any failed, after all others were done and kept: a fit needs every one of them.
        """
        results = self.recall(netlists, label)
        self._book(results, label)
        return results

    def recall(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        """Return results as :meth:`run`, of what is in the accounts already."""
        bar = label if self.progress else ""
        return run_all(netlists, simulator=self.simulator, jobs=self.jobs, progress=bar)

    def try_run(self, netlists: Sequence[Netlist], label: str) -> list[Results | None]:
        """Simulate as :meth:`run`, where a result more or less does not matter: checks, draws of a distribution.

        Returns
        -------
        list of Results or None
            In the order of `netlists`; None for a run that failed, which is then among the `failures`.

        Raises
        ------
        SimulationError
            If more than a tenth failed.
        """
        bar = label if self.progress else ""
        outcomes = run_each(netlists, simulator=self.simulator, jobs=self.jobs, progress=bar)
        failures = [f"{label}: {outcome}" for outcome in outcomes if isinstance(outcome, SimulationError)]
        if len(failures) > _TOLERATED * len(netlists):
            raise SimulationError(
                f"{len(failures)} of {len(netlists)} simulations failed, more than a tenth; "
                f"what was finished is kept: {'; '.join(failures[:8])}"
            )
        results = [None if isinstance(outcome, SimulationError) else outcome for outcome in outcomes]
        self._book([result for result in results if result is not None], label)
        self.failures += failures
        return results

    def beside(self, works: Sequence[Callable[["Campaign"], T]]) -> list[T]:
        """Do works that need nothing of each other beside each other, each with accounts of its own.

        These are entered here in the order of the works, whichever ends first. Where other processes or machines
        simulate, one work comes after the other.

        Parameters
        ----------
        works : sequence of callable
            Each gets the campaign that it shall use.

        Returns
        -------
        list
            What they return.

        Raises
        ------
        Exception
            What the first of them raised; the others end at their next simulation then.
        """
        if len(works) < 2 or not are_threads():
            return [work(self) for work in works]
        turns = self.turns or Turns(self.jobs)
        simulator = InTurn(timeout=self.simulator.timeout, program=self.simulator.program, turns=turns)
        own = [
            replace(
                self, simulator=simulator, turns=turns, costs={}, aids=Counter(), failures=[], log=[], fresh=0
            ) for _ in works
        ]  # fmt: skip
        found = all_beside([partial(work, campaign) for work, campaign in zip(works, own, strict=True)], turns)
        for campaign in own:
            self.book(campaign.log)
            self.failures += campaign.failures
            self.fresh += campaign.fresh
        return found

    def _book(self, results: Sequence[Results], label: str) -> None:
        self.fresh += sum(not result.kept for result in results)
        self.book([Simulated(label=label, seconds=result.seconds, aid=result.aid) for result in results])

    def book(self, runs: Sequence[Simulated]) -> None:
        """Enter simulations into the accounts."""
        self.log += runs
        for run in runs:
            before = self.costs.get(run.label, Cost(simulations=0, seconds=0.0))
            self.costs[run.label] = Cost(simulations=before.simulations + 1, seconds=before.seconds + run.seconds)
        self.aids.update(run.aid for run in runs if run.aid)
