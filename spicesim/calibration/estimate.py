"""What a plan will cost, before it runs: how many simulations, how many of them are there already, how long."""

import os
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.calibration.block import BlockPlan
from spicesim.calibration.calibrate import calibrate_blocks, plan_cases, wanted_aspects
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.ledger import read_ledger
from spicesim.calibration.patterns import adversarial_vectors, code_vectors, plane_vectors
from spicesim.calibration.plan import Plan
from spicesim.calibration.tiles import (
    adversarial_feedbacks,
    adversarial_matrices,
    case_netlists,
    random_matrices,
    solve_cases,
)
from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.tile import build_tile
from spicesim.sampling import find_kept

__all__ = ["Estimate", "Step", "estimate"]

_PROBES = (32, 256)
"""Points of the two probes of a block, which tell what a run costs and what a point adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a calibration."""

    name: str
    """What it does."""
    simulations: int
    """Ngspice runs."""
    kept: int
    """How many of them need not run again."""
    seconds: float
    """Estimated time of the others, one after the other [s]."""
    basis: str
    """Where that comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The cost of a plan."""

    steps: tuple[Step, ...]
    """In their order."""
    unknown: tuple[str, ...]
    """Aspects that were never calibrated on this machine for such a chip: their cost is not counted."""
    jobs: int
    """Simulations at a time."""

    @property
    def seconds(self) -> float:
        """Estimated duration [s]."""
        return sum(step.seconds for step in self.steps) / self.jobs


def estimate(plan: Plan, campaign: Campaign) -> Estimate:
    """Estimate what a plan costs.

    What is not in the cache is estimated from short probes, which are run here and take seconds; refinements are not
    foreseen, as they depend on the errors.

    Raises
    ------
    SimulationError, MissingDependencyError, StorageError
        If a probe cannot be run.
    """
    chip = plan.chip
    blocks = plan.blocks
    netlists = {name: block.netlists(chip) for name, block in blocks.items()}
    kept = {name: [find_kept(netlist) is not None for netlist in group] for name, group in netlists.items()}
    rates: dict[type[BlockPlan], tuple[float, float]] = {}
    steps = []
    for name, block in blocks.items():
        todo = [size for size, there in zip(block.sizes, kept[name], strict=True) if not there]
        if todo and type(block) not in rates:
            rates[type(block)] = _measure(chip, block, campaign)
        start, slope = rates.get(type(block), (0.0, 0.0))
        steps.append(
            Step(
                name=name, simulations=len(netlists[name]), kept=sum(kept[name]),
                seconds=sum(start + slope * size for size in todo),
                basis=f"two probes of {_PROBES[0]} and {_PROBES[1]} points" if todo else "all kept",
            )
        )  # fmt: skip
    steps += _tile_steps(plan, campaign, known=all(map(all, kept.values())))
    ledger, wanted = read_ledger(plan), wanted_aspects(plan)
    steps += [
        Step(
            name=name, simulations=ledger[name].simulations, kept=0, seconds=ledger[name].seconds,
            basis="the last calibration with this process; what is kept of it is not counted",
        )
        for name in wanted if name in ledger
    ]  # fmt: skip
    return Estimate(
        steps=tuple(steps),
        unknown=tuple(name for name in wanted if name not in ledger),
        jobs=min(campaign.jobs or os.cpu_count() or 1, os.cpu_count() or 1),
    )


def _measure(chip: Chip, block: BlockPlan, campaign: Campaign) -> tuple[float, float]:
    """Measure what a simulation costs and what each of its points adds [s]."""
    few, many = (
        result.seconds for result in campaign.run([block.probe(chip, points) for points in _PROBES], "probe blocks")
    )
    slope = max(0.0, (many - few) / (_PROBES[1] - _PROBES[0]))
    return max(0.0, few - slope * _PROBES[0]), slope


def _tile_steps(plan: Plan, campaign: Campaign, *, known: bool) -> list[Step]:
    """Estimate the checks of whole tiles; exactly those that will run, if the blocks are known."""
    chip, tiles = plan.chip, plan.tiles
    matrices = random_matrices(chip, tiles.sizes, plan.seed)
    planes = len(plane_vectors(chip.array.rows, chip.code_bits)) if chip.hold.adds_planes else 0
    vectors = len(code_vectors(chip.array.rows, chip.code_bits, tiles.random_vectors, np.random.default_rng(0)))
    vectors += planes
    adversarial = {
        p: len(adversarial_vectors(chip.array.rows, chip.code_bits, p, np.random.default_rng(0)))
        for p in chip.polarities
    }
    cases_each = 2 if chip.sense_amplifier.kind == "tia" else 1  # linear and saturating
    counts = dict.fromkeys(
        matrices, cases_each * sum(-(-(vectors + count) // tiles.part) for count in adversarial.values())
    )
    for name, g in adversarial_matrices(chip, tiles.sizes).items():
        matrices[name] = g
        counts[name] = len(adversarial_feedbacks(chip, g)) * -(
            -(adversarial[chip.polarities[-1]] + planes) // tiles.part
        )
    there = dict.fromkeys(matrices, 0)
    if known:
        # without refinements, which would simulate
        cases = plan_cases(plan, calibrate_blocks(plan.model_copy(update={"error": 1.0}), campaign))
        kept = iter(find_kept(netlist) is not None for netlist in case_netlists(chip, cases, solve_cases(cases)))
        for case in cases:
            found = [next(kept) for _ in case.codes]
            there[next(name for name in matrices if case.name.startswith(name))] += sum(found)
    todo = [name for name in matrices if there[name] < counts[name]]
    probes = campaign.run([_tile_probe(chip, matrices[name]) for name in todo], "probe tiles") if todo else []
    each = {name: probe.seconds for name, probe in zip(todo, probes, strict=True)}
    return [
        Step(
            name=f"check tiles, {name}", simulations=counts[name], kept=there[name],
            seconds=(counts[name] - there[name]) * each.get(name, 0.0),
            basis="one such tile with all inputs off" if name in each else "all kept",
        )
        for name in matrices
    ]  # fmt: skip


def _tile_probe(chip: Chip, g: Floats) -> Netlist:
    """Build a tile with all inputs off, whose operating point is known: all rests at the reference."""
    rows, columns = g.shape
    nodes = [] if chip.cell.is_gated else [f"dac_{i}" for i in range(rows)]
    nodes += [f"{side}_{j}" for side in ("sense", "out") for j in range(columns)]
    return build_tile(
        chip, g, np.zeros(rows, dtype=np.int64), polarity="unipolar", r_feedback=min(chip.sense_amplifier.r_feedback),
        nodesets=dict.fromkeys(nodes, chip.sense_amplifier.v_reference),
    )  # fmt: skip
