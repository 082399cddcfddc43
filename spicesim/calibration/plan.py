"""The plan of a calibration: every point it will simulate, before it does; a file that can be read, kept and run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from spicesim.behavioural.arrays import Model
from spicesim.calibration.block import BlockPlan
from spicesim.calibration.cell import CellPlan, plan_cell
from spicesim.calibration.dac import DacPlan, plan_dac
from spicesim.calibration.designs import Filling
from spicesim.calibration.hold import HoldPlan, plan_hold
from spicesim.calibration.integrator import IntegratorPlan, plan_integrator
from spicesim.calibration.rails import require_followed
from spicesim.calibration.sense_amplifier import SenseAmplifierPlan, plan_sense_amplifier
from spicesim.calibration.tiles import takes_time
from spicesim.calibration.verdict import CHARGE_ERRORS, DEFAULT_ERROR, QUICK_ERROR
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.files import write_text
from spicesim.files.documents import read_json, validate

__all__ = ["DesignSummary", "Plan", "PlanSummary", "Round", "TilePlan", "load_plan", "plan_calibration", "summarise"]


class DesignSummary(Model):
    """A block's plan in short."""

    design: str
    """Design of the fitted points, in words."""
    points: dict[str, int]
    """How many of "fit", "validation" and "test"."""
    simulations: int
    """Ngspice runs."""


class Round(Model):
    """One refinement of one block."""

    block: str
    """Which."""
    error: float
    """Largest validation error before, as a fraction of full scale."""
    error_after: float
    """The same after."""
    points: int
    """Fitted points after."""
    simulations: int
    """New ngspice runs."""


class PlanSummary(Model):
    """What was planned for the blocks and what became of it, in short."""

    error: float | None
    """Asked validation error, as a fraction of full scale."""
    budget: int
    """Simulations allowed."""
    designs: dict[str, DesignSummary]
    """By block, after all refinements."""
    validation: dict[str, float]
    """By block, the largest validation error, as a fraction of full scale."""
    rounds: tuple[Round, ...]
    """Refinements, in their order."""

    @property
    def missed(self) -> dict[str, float]:
        """Blocks that miss the asked error, with theirs."""
        if self.error is None:
            return {}
        return {name: error for name, error in self.validation.items() if error > self.error}


PARTS = {True: 6, False: 3}
"""Of the vectors of a tile whose product takes long one in so many is run, by whether a calibration is quick; climates
have others in turn."""


class TilePlan(Model):
    """Whole tiles to check."""

    sizes: tuple[int, ...]
    """Rows and columns."""
    random_vectors: int
    """Random vectors a tile, beside the structured ones."""
    part: int = Field(default=1, ge=1)
    """Of the vectors of each tile one in so many is run, where a product is a long transient and time is short."""


class Plan(Model):
    """What a calibration simulates of blocks, and how whole tiles are checked."""

    plan_version: Literal[1] = 1
    """Version of this file's format."""
    chip: Chip
    """The chip, whole."""
    quick: bool
    """Whether fewer points are taken."""
    seed: int
    """Of validation and test points and of the checks."""
    aspects: tuple[str, ...] | None = None
    """What to calibrate beyond operating points; all if None."""
    error: float | None = Field(default=None, gt=0)
    """Wanted largest error, as a fraction of full scale; blocks are refined until they meet it. See :attr:`asked`."""
    budget: int = Field(default=500, gt=0)
    """Simulations of blocks, refinements included, at most."""
    cell: CellPlan
    dacs: dict[Polarity, DacPlan]
    """Word-line drivers by polarity; none where they drive gates, which take no current at rest."""
    senseamps: tuple[SenseAmplifierPlan, ...]
    """Sense amplifiers, one a feedback resistance, ascending; none where something else reads."""
    hold: HoldPlan | None = None
    """Hold switches of floating bit lines."""
    integrator: IntegratorPlan | None = None
    """Integrators of pulses."""
    tiles: TilePlan

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = self.chip.sense_amplifier.kind
        wanted = set(self.chip.settings) if kind == "tia" else set()
        if {plan.r_feedback for plan in self.senseamps} != wanted:
            raise ValueError("senseamps must be those of the chip, one a feedback resistance")
        if (self.hold is not None) != (kind == "voltage"):
            raise ValueError("hold must be planned for a chip of floating bit lines, and for no other")
        if (self.integrator is not None) != (kind == "integrator"):
            raise ValueError("integrator must be planned for a chip of integrators, and for no other")
        if self.hold is not None and (self.hold.joins is not None) != self.chip.hold.adds_planes:
            raise ValueError("hold must have joins for a chip whose planes are added as charge, and for no other")
        if self.hold is not None and (self.hold.follows is not None) != self.chip.hold.is_buffered:
            raise ValueError("hold must have buffers to follow for a chip of hold.buffer = opamp, and for no other")
        if set(self.dacs) != set(_driven(self.chip)):
            raise ValueError("dacs must be those of the chip, one a polarity, and none where inputs drive gates")
        return self

    @property
    def asked(self) -> float:
        """The wanted error, or the usual one, as a fraction of full scale."""
        usual = QUICK_ERROR if self.quick else DEFAULT_ERROR
        return self.error or CHARGE_ERRORS.get(self.chip.sense_amplifier.kind, usual)

    @property
    def blocks(self) -> dict[str, BlockPlan]:
        """All blocks' plans by name."""
        others = [plan for plan in (self.hold, self.integrator) if plan is not None]
        return {plan.name: plan for plan in (self.cell, *self.dacs.values(), *self.senseamps, *others)}

    def save(self, path: str | Path) -> None:
        """Write the file, atomically.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        write_text(path, self.model_dump_json(indent=1) + "\n")


def _driven(chip: Chip) -> tuple[Polarity, ...]:
    """Return the polarities of the drivers that are calibrated."""
    return () if chip.cell.is_gated else chip.polarities


def summarise(
    chip: Chip, blocks: Mapping[str, BlockPlan], simulations: Mapping[str, int] | None = None
) -> dict[str, DesignSummary]:
    """Return the plans of blocks in short; `simulations` says of each how many it takes, if that is known."""
    counts = simulations or {name: len(plan.netlists(chip)) for name, plan in blocks.items()}
    return {
        name: DesignSummary(design=plan.design, points=plan.points(), simulations=counts[name])
        for name, plan in blocks.items()
    }


def plan_calibration(
    chip: Chip,
    *,
    aspects: Sequence[str] | None = None,
    quick: bool = False,
    seed: int = 0,
    error: float | None = None,
    budget: int = 500,
    filling: Filling | None = None,
) -> Plan:
    """Plan a calibration.

    Parameters
    ----------
    chip : Chip
        The chip.
    aspects : sequence of str, optional
        What to calibrate beyond operating points; by default all, but, if quick, for climate.
    quick : bool
        Fewer points and smaller tiles.
    seed : int
        Of validation and test points and of the checks.
    error : float, optional
        Wanted largest validation error, as a fraction of full scale.
    budget : int
        Simulations of blocks, refinements included, at most.
    filling : {"sobol", "latin hypercube"}, optional
        Design of the cell's bias points in place of Chebyshev nodes.

    Raises
    ------
    SpecError
        If the chip has parts that no calibration follows.
    """
    require_followed(chip)
    kind = chip.sense_amplifier.kind
    return Plan(
        chip=chip,
        quick=quick,
        seed=seed,
        aspects=None if aspects is None else tuple(aspects),
        error=error,
        budget=budget,
        cell=plan_cell(chip, quick=quick, seed=seed, error=error, filling=filling),
        dacs={polarity: plan_dac(chip, polarity, quick=quick) for polarity in _driven(chip)},
        senseamps=tuple(plan_sense_amplifier(chip, r) for r in chip.settings) if kind == "tia" else (),
        hold=plan_hold(chip, quick=quick, seed=seed) if kind == "voltage" else None,
        integrator=plan_integrator(chip, quick=quick, seed=seed) if kind == "integrator" else None,
        tiles=_plan_tiles(chip, quick),
    )


def _plan_tiles(chip: Chip, quick: bool) -> TilePlan:
    if takes_time(chip):
        return TilePlan(sizes=(16,), random_vectors=2, part=PARTS[quick])
    return TilePlan(sizes=(16,), random_vectors=2) if quick else TilePlan(sizes=(16, 32), random_vectors=6)


def load_plan(path: str | Path) -> Plan:
    """Read a plan.

    Raises
    ------
    SpecError
        If the file is not there, damaged, or no plan.
    """
    path = Path(path)
    remedy = f"make one with: spicesim calibrate CHIP.toml --dry-run --plan {path.name}"
    plan = validate(Plan, read_json(path, "plan", remedy), f"{path} is no plan", remedy)
    plan.chip.require_near(path.parent)
    return plan
