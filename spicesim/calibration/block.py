"""What the plans of all blocks have in common: what to simulate, how to fit it, where to look closer."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from spicesim.behavioural.arrays import Model
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["BlockPlan", "Judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A fitted model with its errors."""

    model: Any
    """The model."""
    validation: dict[str, HeldOut]
    """Errors that decide on its form and on more points."""
    test: dict[str, HeldOut]
    """Errors that decide nothing: what a user may expect."""

    @property
    def error(self) -> float:
        """Largest error of the validation points, as a fraction of full scale."""
        return max(held_out.max_error for held_out in self.validation.values())


class BlockPlan(Model):
    """What to simulate of one block: disjoint points for the fit, for validation and for the test."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the block."""

    @property
    @abstractmethod
    def design(self) -> str:
        """The design of the fitted points, in words."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation: of the fit, one or more; of validation; of the test."""

    def points(self) -> dict[str, int]:
        """Count the points of "fit", "validation" and "test"."""
        *fit, validation, test = self.sizes
        return {"fit": sum(fit), "validation": validation, "test": test}

    @abstractmethod
    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations, in the order of `sizes`."""

    @abstractmethod
    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""

    @abstractmethod
    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""

    @abstractmethod
    def refined(self, judged: Judged) -> Self | None:
        """Return a plan with more points where the model errs most; None if there is no finer one."""
