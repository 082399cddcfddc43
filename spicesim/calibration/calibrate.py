"""Calibrate a chip: plan, simulate, fit, check."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spicesim.calibration.aspects import NOT_QUICK, possible_aspects
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign, Cost
from spicesim.calibration.carried import carry_blocks, plan_carried
from spicesim.calibration.cell import HELD_CURRENT
from spicesim.calibration.climate import calibrate_climate
from spicesim.calibration.converters import calibrate_converters
from spicesim.calibration.dac import read_supply
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.kept_checks import recall_checks
from spicesim.calibration.ledger import write_ledger
from spicesim.calibration.mismatch import calibrate_mismatch
from spicesim.calibration.noise import calibrate_noise
from spicesim.calibration.parameters import fit_sheet
from spicesim.calibration.parts import Parts, content_hash
from spicesim.calibration.plan import Plan, PlanSummary, plan_calibration, summarise
from spicesim.calibration.rails import calibrate_rails, require_followed
from spicesim.calibration.settling import calibrate_settling
from spicesim.calibration.statics import fit_blocks
from spicesim.calibration.tiles import TileCase, build_adversarial_cases, build_cases, random_matrices
from spicesim.calibration.verdict import Verdict, judge
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.process import model_files
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.provenance import now, versions
from spicesim.sampling import model_hash

__all__ = [
    "ASPECTS",
    "calibrate",
    "calibrate_blocks",
    "calibrate_from",
    "find_verdict",
    "plan_cases",
    "run_plan",
    "wanted_aspects",
]

ASPECTS: dict[str, Callable[[Calibration, Campaign], Any]] = {
    "parameters": fit_sheet,
    "converter": calibrate_converters,
    "energy": calibrate_energy,
    "settling": calibrate_settling,
    "noise": calibrate_noise,
    "mismatch": calibrate_mismatch,
    "climate": calibrate_climate,
}
"""What can be calibrated beyond operating points, in this order: the field of :class:`Calibration` it fills, and how
its model is found from what there is so far."""
CHECKS, LAST = "checks", "climate"
"""Fields of :class:`Calibration`: checks of whole tiles, and the aspect that looks at all others elsewhere."""
NEEDED = {"settling": "energy", "mismatch": "converter"}
"""What an aspect takes of another, if that is wanted: checks of settling are of energies, too, and hand-overs of drawn
amplifiers are told beside nominal ones."""


def calibrate(
    chip: Chip,
    *,
    aspects: Sequence[str] | None = None,
    quick: bool = False,
    seed: int = 0,
    error: float | None = None,
    jobs: int | None = None,
    progress: bool = False,
    accept: str | None = None,
) -> Calibration:
    """Calibrate the behavioural model of a chip against ngspice.

    Blocks are simulated alone, fitted, and judged on held-out points; then whole tiles at transistor level are
    compared with the model that the blocks make together. Each block, tile and aspect is kept, with the keys of the
    chip that it depends on, and made again only where one of these has changed; :attr:`Calibration.reuse` says what was
    taken. This plans and runs in one go; for another budget, design or
    time-out, and to look at the plan first, see :func:`plan_calibration` and :func:`run_plan`.

    Parameters
    ----------
    chip : Chip
        The chip.
    aspects : sequence of str, optional
        Of :data:`ASPECTS`, what to calibrate beyond operating points; by default all, but, if quick, for climate.
    quick : bool
        Fewer points and smaller tiles.
    seed : int
        Of held-out points and checks.
    error : float, optional
        Wanted largest error of an output, as a fraction of full scale; blocks are refined until their validation
        errors meet it. By default 1e-4, or 2e-4 if quick, and more where charges are held.
    jobs : int, optional
        Simulations at a time; by default one a processor.
    progress : bool
        Whether to show progress on stderr.
    accept : str, optional
        Why to take a calibration that misses the wanted error; it stands in the file and on every page.

    Raises
    ------
    CalibrationError
        If whole tiles or cells miss the wanted error, and nothing was accepted.
    SimulationError, MissingDependencyError, StorageError
        If a simulation cannot be done; what was finished is kept, and the next call goes on from there.
    """
    plan = plan_calibration(chip, aspects=aspects, quick=quick, seed=seed, error=error)
    calibration = run_plan(plan, jobs=jobs, progress=progress, accept=accept)
    calibration.require_verdict()
    return calibration


def calibrate_from(
    base: Calibration,
    chip: Chip,
    *,
    aspects: Sequence[str] | None = None,
    error: float | None = None,
    jobs: int | None = None,
    progress: bool = False,
    accept: str | None = None,
) -> Calibration:
    """Calibrate a chip with the blocks of another's calibration: no block is simulated, and whole tiles are checked.

    Of the vectors of a check one in six is run, and the larger error of both chips is claimed. Aspects are calibrated,
    or taken from before where nothing that they depend on has changed.

    Parameters
    ----------
    base : Calibration
        Of a chip that differs in nothing but its converters' bits and percentile and, below amplifiers, its wires, with
        as many rows and columns or more. It also says whether to be quick, and gives the seed.
    chip : Chip
        The chip.
    aspects : sequence of str, optional
        As of :func:`calibrate`; by default those that the base has.
    error, jobs, progress, accept
        As of :func:`calibrate`.

    Raises
    ------
    CalibrationError
        If the blocks do not hold for this chip, or as of :func:`calibrate`.
    SimulationError, MissingDependencyError, StorageError
        As :func:`calibrate`.
    """
    plan = plan_carried(base, chip, aspects=aspects, error=error)
    calibration = run_plan(plan, jobs=jobs, progress=progress, accept=accept, base=base)
    calibration.require_verdict()
    return calibration


def run_plan(
    plan: Plan,
    *,
    jobs: int | None = None,
    timeout: float = 300.0,
    progress: bool = False,
    accept: str | None = None,
    base: Calibration | None = None,
) -> Calibration:
    """Calibrate as planned, whatever the verdict.

    Parameters
    ----------
    plan : Plan
        As :func:`plan_calibration` made it, or :func:`load_plan` read it.
    timeout : float
        Longest time one simulation may take [s].
    jobs, progress, accept
        As :func:`calibrate`.
    base : Calibration, optional
        As of :func:`calibrate_from`; then the plan is that of :func:`spicesim.calibration.carried.plan_carried`.

    Raises
    ------
    SimulationError, MissingDependencyError, StorageError
        As :func:`calibrate`; whether the verdict is good enough is asked by :meth:`Calibration.require_verdict`.
    """
    start = time.monotonic()
    wanted = wanted_aspects(plan)
    campaign = Campaign(
        quick=plan.quick, seed=plan.seed, simulator=BatchSimulator(timeout=timeout), jobs=jobs, progress=progress
    )
    parts = Parts(plan.chip, campaign)
    calibration = calibrate_blocks(plan, campaign, parts) if base is None else carry_blocks(base, plan.chip)
    calibration = _with_all(wanted, plan, calibration, campaign, parts)
    costs = calibration.costs | campaign.costs
    return calibration.model_copy(
        update={
            "verdict": find_verdict(plan, calibration, base).model_copy(update={"accepted": accept}),
            "seconds": time.monotonic() - start,
            "simulations": sum(cost.simulations for cost in costs.values()), "costs": costs,
            "aids": dict(campaign.aids), "failures": tuple(campaign.failures),
            "reuse": parts.reuse(base.hash if base else ""),
        }
    )  # fmt: skip


def _with_all(
    wanted: Sequence[str], plan: Plan, calibration: Calibration, campaign: Campaign, parts: Parts
) -> Calibration:
    """Check whole tiles and calibrate aspects, beside each other where one needs nothing of another."""
    groups: dict[str, list[str]] = {CHECKS: [CHECKS]}
    for name in wanted:
        first = NEEDED.get(name, name)
        groups.setdefault(first if first in wanted else name, []).append(name)
    last = groups.pop(LAST, None)

    def find(names: Sequence[str], own: Campaign) -> tuple[dict[str, Any], dict[str, Cost], Parts]:
        found, costs, kept = dict[str, Any](), dict[str, Cost](), parts.beside(own)
        for name in names:
            before, there = own.total, calibration.model_copy(update=found)
            if name == CHECKS:
                found[name] = tuple(recall_checks(there, plan_cases(plan, there), own, kept))
            else:
                found[name] = _recall_aspect(name, there, own, kept)
                costs[name] = own.total - before
        return found, costs, kept

    for beside in (groups.values(), [last] if last else []):
        for found, costs, kept in campaign.beside([partial(find, names) for names in beside]):
            calibration = calibration.model_copy(update=found)
            parts.enter(kept)
            write_ledger(plan, costs)
    return calibration


def _recall_aspect(name: str, calibration: Calibration, campaign: Campaign, parts: Parts) -> Any:
    """Calibrate an aspect of what there is so far, or take it from an earlier calibration of the same."""
    about = {"chip", "created", "seconds", "versions", "simulations", "costs", "checks", "verdict", "aids", "failures"}
    given = calibration.model_dump_json(exclude=about, exclude_none=True)

    def make(chip: Chip) -> Any:
        return ASPECTS[name](calibration.model_copy(update={"chip": chip}), campaign)

    return parts.recall(name, content_hash(given), Calibration.model_fields[name].annotation, make)


def find_verdict(plan: Plan, calibration: Calibration, base: Calibration | None = None) -> Verdict:
    """Judge a calibration by its whole tiles, its cells and, if it has them, its climates; by its base's tiles, too."""
    chip, climate = plan.chip, calibration.climate
    held, rows = calibration.held_out[HELD_CURRENT], chip.array.rows
    setting = max(chip.settings)
    if chip.sense_amplifier.kind != "voltage":
        ohm, columns = setting, f"{rows} rows at {setting / 1e3:g} kohm"
    else:
        ohm, columns = 1 / (rows * chip.cell.g_max), f"{rows} rows of largest cells"
    tiles = {check.name: check.max_error for check in calibration.checks}
    if base is not None and base.verdict is not None:
        tiles[f"{base.verdict.tiles.where}, of {base.chip.name} {base.hash}"] = base.verdict.tiles.error
    return judge(
        asked=plan.asked,
        tiles=tiles,
        cells=rows * held.max_error * held.full_scale * ohm / calibration.readout(setting).full_scale,
        columns=columns,
        climates=None if climate is None else climate.errors,
    )


def wanted_aspects(plan: Plan) -> list[str]:
    """Return the aspects that a plan asks for, in the order in which they are calibrated.

    Raises
    ------
    SpecError
        If there is no such aspect, or not for this read-out.
    """
    there, where = possible_aspects(plan.chip)
    usual = [name for name in there if not (plan.quick and name in NOT_QUICK)]
    wanted = usual if plan.aspects is None else plan.aspects
    unknown = [name for name in wanted if name not in ASPECTS]
    if unknown:
        raise SpecError(f"no aspect {unknown[0]!r} of a calibration; there are: {', '.join(ASPECTS) or 'none'}")
    if missing := [name for name in wanted if name not in there]:
        raise SpecError(f"where {where} there is no aspect {missing[0]!r} yet, only: {', '.join(there)}; leave it out")
    return [name for name in ASPECTS if name in wanted]


def calibrate_blocks(plan: Plan, campaign: Campaign, parts: Parts | None = None) -> Calibration:
    """Calibrate the operating points of cell, DAC and sense amplifier; whole tiles are not checked yet."""
    chip = plan.chip
    require_followed(chip)
    blocks = fit_blocks(plan, campaign, parts)
    dacs = {polarity: blocks.judged[dac.name].model for polarity, dac in plan.dacs.items()}
    models = {f"models in {path.name}": model_hash(path)[:16] for path in model_files(chip.process)}
    held_out = {name: points for judged in blocks.judged.values() for name, points in judged.test.items()}
    senseamps = tuple(blocks.judged[senseamp.name].model for senseamp in plan.senseamps)
    rails = None
    if not chip.rails.are_ideal:
        rails, more = calibrate_rails(chip, dacs, senseamps, campaign)
        held_out |= more
    return Calibration(
        chip=chip, quick=plan.quick, seed=plan.seed, created=now(), seconds=0.0, simulations=0,
        versions=versions(ngspice_version()) | models,
        cell=blocks.judged[plan.cell.name].model,
        dacs=dacs if dacs else {"unipolar": read_supply(chip)},
        senseamps=senseamps, rails=rails,
        hold=None if plan.hold is None else blocks.judged[plan.hold.name].model,
        integrator=None if plan.integrator is None else blocks.judged[plan.integrator.name].model,
        held_out=held_out,
        errors={name: points.summary() for name, points in held_out.items()},
        checks=(),
        plan=PlanSummary(
            error=plan.asked, budget=plan.budget,
            designs=summarise(chip, blocks.plans, blocks.simulations),
            validation={name: judged.error for name, judged in blocks.judged.items()}, rounds=blocks.rounds,
        ),
    )  # fmt: skip


def plan_cases(plan: Plan, calibration: Calibration) -> list[TileCase]:
    """Build the whole tiles that are checked."""
    matrices = random_matrices(plan.chip, plan.tiles.sizes, plan.seed)
    random = plan.tiles.random_vectors
    cases = build_cases(plan.chip, calibration.tile, matrices, random_vectors=random, seed=plan.seed)
    cases += build_adversarial_cases(plan.chip, calibration.tile, plan.tiles.sizes, seed=plan.seed)
    return [case.thinned(plan.tiles.part) for case in cases]
