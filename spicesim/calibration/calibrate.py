"""Calibrate a chip: plan, simulate, fit, check."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from spicesim.behavioural.converter import POLARITIES, Polarity
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import fit_cell, plan_cell
from spicesim.calibration.dac import fit_dac, plan_dac
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.parameters import fit_sheet
from spicesim.calibration.senseamp import fit_senseamp, plan_senseamp
from spicesim.calibration.settling import calibrate_settling
from spicesim.calibration.tiles import build_cases, check_tiles, random_matrices
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.provenance import now, versions

__all__ = ["ASPECTS", "calibrate"]

ASPECTS: dict[str, Callable[[Calibration, Campaign], Any]] = {
    "parameters": fit_sheet,
    "energy": calibrate_energy,
    "settling": calibrate_settling,
}
"""What can be calibrated beyond operating points, in this order: the field of :class:`Calibration` it fills, and how
its model is found from what there is so far."""


def calibrate(
    chip: Chip,
    *,
    aspects: Sequence[str] | None = None,
    quick: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    timeout: float = 300.0,
    progress: bool = False,
) -> Calibration:
    """Calibrate the behavioural model of a chip against ngspice.

    Blocks are simulated alone, fitted, and judged on held-out points; then whole tiles at transistor level are
    compared with the model that the blocks make together.

    Parameters
    ----------
    chip : Chip
        The chip.
    aspects : sequence of str, optional
        Of :data:`ASPECTS`, what to calibrate beyond operating points; by default all.
    quick : bool
        Fewer points and smaller tiles.
    seed : int
        Of held-out points and checks.
    jobs : int, optional
        Simulations at a time; by default one a processor.
    timeout : float
        Longest time one simulation may take [s].
    progress : bool
        Whether to show progress on stderr.

    Raises
    ------
    SimulationError, MissingDependencyError, StorageError
        If a simulation cannot be done; what was finished is kept, and the next call goes on from there.
    """
    start = time.monotonic()
    wanted = list(ASPECTS) if aspects is None else list(aspects)
    unknown = [name for name in wanted if name not in ASPECTS]
    if unknown:
        raise SpecError(f"no aspect {unknown[0]!r} of a calibration; there are: {', '.join(ASPECTS) or 'none'}")
    campaign = Campaign(quick=quick, seed=seed, simulator=BatchSimulator(timeout=timeout), jobs=jobs, progress=progress)
    calibration = _calibrate_statics(chip, campaign)
    for name in (name for name in ASPECTS if name in wanted):
        calibration = calibration.model_copy(update={name: ASPECTS[name](calibration, campaign)})
    return calibration.model_copy(
        update={
            "seconds": time.monotonic() - start, "simulations": campaign.simulations, "costs": campaign.costs,
            "aids": dict(campaign.aids), "failures": tuple(campaign.failures),
        }
    )  # fmt: skip


def _calibrate_statics(chip: Chip, campaign: Campaign) -> Calibration:
    """Calibrate operating points: cell, DAC and sense amplifier, checked on whole tiles."""
    quick, seed = campaign.quick, campaign.seed
    cell_plan = plan_cell(chip, quick=quick, seed=seed)
    dac_plans = {polarity: plan_dac(chip, polarity, quick=quick) for polarity in POLARITIES}
    sense_plans = [plan_senseamp(chip, r, quick=quick) for r in sorted(chip.sense_amplifier.r_feedback)]
    groups = [cell_plan.netlists(chip)]
    groups += [plan.netlists(chip) for plan in dac_plans.values()]
    groups += [plan.netlists(chip) for plan in sense_plans]
    results = iter(campaign.run([netlist for group in groups for netlist in group], "calibrate blocks"))
    by_block = [[next(results) for _ in group] for group in groups]

    held_out: dict[str, HeldOut] = {}
    cell, held_out["cell current"] = fit_cell(chip, cell_plan, by_block[0])
    dacs: dict[Polarity, DacModel] = {}
    for (polarity, dac_plan), found in zip(dac_plans.items(), by_block[1:3], strict=True):
        dacs[polarity], held_out[f"DAC output, {polarity}"] = fit_dac(chip, dac_plan, found)
    senseamps: list[SenseAmplifierModel] = []
    for sense_plan, found in zip(sense_plans, by_block[3:], strict=True):
        model, errors = fit_senseamp(chip, sense_plan, found)
        senseamps.append(model)
        for side, error in errors.items():
            held_out[f"TIA {side}, {sense_plan.r_feedback / 1e3:g} kohm"] = error

    calibration = Calibration(
        chip=chip, quick=quick, seed=seed, created=now(), seconds=0.0, simulations=0,
        versions=versions(ngspice_version()), cell=cell, dacs=dacs, senseamps=tuple(senseamps), held_out=held_out,
        errors={name: points.summary() for name, points in held_out.items()},
        checks=(),
    )  # fmt: skip
    cases = build_cases(
        chip,
        calibration.tile,
        random_matrices(chip, (16,) if quick else (16, 32), seed),
        random_vectors=2 if quick else 6,
        seed=seed,
    )
    checks = check_tiles(chip, cases, campaign)
    return calibration.model_copy(update={"checks": tuple(checks)})
