"""Calibrate blocks at rest: simulate a plan, fit, and look closer where a model errs more than was asked."""

from dataclasses import dataclass, field

from spicesim.behavioural.arrays import Model
from spicesim.behavioural.cell import AnyCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import IntegratorModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.campaign import Campaign, Simulated
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.parts import Part, Parts, content_hash
from spicesim.calibration.plan import Plan, Round
from spicesim.calibration.watched import Reads
from spicesim.chip import Chip
from spicesim.ngspice.outcome import Results
from spicesim.sampling import netlist_hash

__all__ = ["FittedBlocks", "fit_blocks"]

_STALLED = 0.9
"""A refinement that leaves more of the error than this has not helped."""
_PATIENCE = 2
"""Refinements of a block in a row that may not help before it is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedBlocks:
    """Blocks with their models, after all refinements."""

    plans: dict[str, BlockPlan]
    """What was simulated of each in the end, by name."""
    judged: dict[str, Judged]
    """The models with their errors."""
    rounds: tuple[Round, ...]
    """Refinements in the order they were made."""
    simulations: dict[str, int]
    """Ngspice runs behind each."""


class _KeptBlock(Model):
    """A fitted block as a part of calibrations."""

    model: AnyCell | DacModel | SenseAmplifierModel | HoldModel | IntegratorModel
    """As of :class:`Judged`, and so the others."""
    validation: dict[str, HeldOut]
    test: dict[str, HeldOut]


@dataclass(slots=True, kw_only=True)
class _Blocks:
    """What is known of blocks so far."""

    campaign: Campaign
    parts: Parts
    known: set[str] = field(default_factory=set)
    """Hashes of the netlists in the accounts."""
    results: dict[str, Results] = field(default_factory=dict)
    """By hash, of those that were looked at."""
    judged: dict[str, Judged] = field(default_factory=dict)
    simulations: dict[str, int] = field(default_factory=dict)
    """Ngspice runs behind each block."""

    def fit(self, chip: Chip, plans: dict[str, BlockPlan], label: str) -> None:
        """Fit blocks, or take them from earlier calibrations."""
        given = {name: content_hash(type(block).__name__, block) for name, block in plans.items()}
        found = {name: self.parts.find(name, given[name], _KeptBlock) for name in plans}
        for name, part in found.items():
            if part is not None:
                new = [run for run, key in zip(part.runs, part.digests, strict=True) if key not in self.known]
                kept = self.parts.take(name, part.model_copy(update={"runs": tuple(new)}))
                self.known.update(part.digests)
                self.simulations[name] = len(part.digests)
                self.judged[name] = Judged(model=kept.model, validation=kept.validation, test=kept.test)
        self._make(chip, {name: block for name, block in plans.items() if found[name] is None}, given, label)

    def _make(self, chip: Chip, plans: dict[str, BlockPlan], given: dict[str, str], label: str) -> None:
        reads = {name: Reads(chip) for name in plans}
        netlists = {
            name: {netlist_hash(netlist): netlist for netlist in block.netlists(reads[name].watch())}
            for name, block in plans.items()
        }
        todo = {key: n for group in netlists.values() for key, n in group.items() if key not in self.results}
        again = {key: n for key, n in todo.items() if key in self.known}  # behind blocks that were taken
        new = {key: n for key, n in todo.items() if key not in self.known}
        self.results.update(zip(again, self.campaign.recall(list(again.values()), label), strict=True))
        self.results.update(zip(new, self.campaign.run(list(new.values()), label), strict=True))
        for name, block in plans.items():
            own = [self.results[key] for key in netlists[name]]
            judged = block.fit(reads[name].watch(), own)
            runs = tuple(Simulated(label=label, seconds=found.seconds, aid=found.aid) for found in own)
            part = Part(
                keys=tuple(sorted(reads[name].keys)), runs=runs, digests=tuple(netlists[name]),
                content=_KeptBlock(model=judged.model, validation=judged.validation, test=judged.test),
            )  # fmt: skip
            kept = self.parts.keep(name, given[name], part, _KeptBlock).content
            self.known.update(netlists[name])
            self.simulations[name] = len(own)
            self.judged[name] = Judged(model=kept.model, validation=kept.validation, test=kept.test)


def fit_blocks(plan: Plan, campaign: Campaign, parts: Parts | None = None) -> FittedBlocks:
    """Simulate and fit all blocks of a plan; refine those that miss the asked error.

    Every round refines all blocks whose largest *validation* error is above the plan's, the worst first, as far as the
    budget goes. A block is given up when two refinements in a row have not helped: then the error is not one of too few
    points. Test points take no part in any of this.

    Blocks that were fitted before, from the same plan on a chip with the same keys, are taken from `parts`.

    Raises
    ------
    SimulationError
        If a simulation cannot be done; what was finished is kept.
    """
    chip, plans = plan.chip, dict(plan.blocks)
    blocks = _Blocks(campaign=campaign, parts=parts or Parts(chip, campaign))
    blocks.fit(chip, plans, "calibrate blocks")
    judged: dict[str, Judged] = {name: blocks.judged[name] for name in plans}  # in this order, whichever was taken
    rounds: list[Round] = []
    in_vain = dict.fromkeys(plans, 0)
    while True:
        bad = [name for name in plans if judged[name].error > plan.asked and in_vain[name] < _PATIENCE]
        finer: dict[str, BlockPlan] = {}
        added: dict[str, int] = {}
        for name in sorted(bad, key=lambda name: -judged[name].error):
            refined = plans[name].refined(judged[name])
            count = (
                sum(netlist_hash(netlist) not in blocks.known for netlist in refined.netlists(chip)) if refined else 0
            )
            if refined is not None and len(blocks.known) + sum(added.values()) + count <= plan.budget:
                finer[name], added[name] = refined, count
        if not finer:
            break
        before = {name: judged[name].error for name in finer}
        blocks.fit(chip, finer, "refine blocks")
        for name, block in finer.items():
            judged[name] = blocks.judged[name]
            after = judged[name].error
            in_vain[name] = in_vain[name] + 1 if after > _STALLED * before[name] else 0
            rounds.append(
                Round(
                    block=name, error=before[name], error_after=after, points=block.points()["fit"],
                    simulations=added[name],
                )
            )  # fmt: skip
            plans[name] = block
    return FittedBlocks(plans=plans, judged=judged, rounds=tuple(rounds), simulations=blocks.simulations)
