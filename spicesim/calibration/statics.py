"""Calibrate blocks at rest: simulate a plan, fit, and look closer where a model errs more than was asked."""

from dataclasses import dataclass

from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.plan import Plan, Round
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


def fit_blocks(plan: Plan, campaign: Campaign) -> FittedBlocks:
    """Simulate and fit all blocks of a plan; refine those that miss the asked error.

    Every round refines all blocks whose largest *validation* error is above the plan's, the worst first, as far as the
    budget goes. A block is given up when two refinements in a row have not helped: then the error is not one of too few
    points. Test points take no part in any of this.

    Raises
    ------
    SimulationError
        If a simulation cannot be done; what was finished is kept.
    """
    chip, plans = plan.chip, dict(plan.blocks)
    known: dict[str, Results] = {}
    judged = _simulate(chip, plans, campaign, known, "calibrate blocks")
    rounds: list[Round] = []
    in_vain = dict.fromkeys(plans, 0)
    while True:
        bad = [name for name in plans if judged[name].error > plan.asked and in_vain[name] < _PATIENCE]
        finer: dict[str, BlockPlan] = {}
        added: dict[str, int] = {}
        for name in sorted(bad, key=lambda name: -judged[name].error):
            refined = plans[name].refined(judged[name])
            count = sum(netlist_hash(netlist) not in known for netlist in refined.netlists(chip)) if refined else 0
            if refined is not None and len(known) + sum(added.values()) + count <= plan.budget:
                finer[name], added[name] = refined, count
        if not finer:
            break
        found = _simulate(chip, finer, campaign, known, "refine blocks")
        for name, block in finer.items():
            before, after = judged[name].error, found[name].error
            in_vain[name] = in_vain[name] + 1 if after > _STALLED * before else 0
            rounds.append(
                Round(
                    block=name, error=before, error_after=after, points=block.points()["fit"], simulations=added[name]
                )
            )
            plans[name], judged[name] = block, found[name]
    return FittedBlocks(plans=plans, judged=judged, rounds=tuple(rounds))


def _simulate(
    chip: Chip, plans: dict[str, BlockPlan], campaign: Campaign, known: dict[str, Results], label: str
) -> dict[str, Judged]:
    """Fit blocks, after simulating what is not known of them; that is known then."""
    netlists = {name: {netlist_hash(n): n for n in block.netlists(chip)} for name, block in plans.items()}
    new = {key: netlist for group in netlists.values() for key, netlist in group.items() if key not in known}
    known.update(zip(new, campaign.run(list(new.values()), label), strict=True))
    return {name: block.fit(chip, [known[key] for key in netlists[name]]) for name, block in plans.items()}
