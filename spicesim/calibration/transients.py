"""Hold the settling model out against whole tiles in ngspice's ``.tran``."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.settling import SettlingCheck, SettlingModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import step_sources, supply_power, tile_sources
from spicesim.calibration.patterns import code_vectors, random_conductances
from spicesim.calibration.tiles import choose_feedback, predicted_nodesets
from spicesim.chip import Chip
from spicesim.coding import POLARITIES, Polarity, rest_code
from spicesim.metrics import largest, rms
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.step import STEP_TIME, CodeStep
from spicesim.netlist.tile import build_tile
from spicesim.netlist.together import with_logic_together
from spicesim.ngspice.outcome import Results

__all__ = [
    "StepCase",
    "build_step_cases",
    "check_steps",
    "compare_step",
    "step_energy",
    "step_netlists",
    "step_outputs",
]

BAND = 2e-3
"""What counts as settled, as a fraction of full scale."""
_RESOLUTION = 4e-9
"""Longest step of a transient [s]; 1 ns changes .003 % of full scale and takes half as long again."""
_WATCHED = 1.5
"""How long to watch, in settling times."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepCase:
    """One programmed tile and changes of its codes."""

    name: str
    """For the table."""
    tile: BehaviouralTile
    """The tile."""
    changes: dict[str, tuple[Codes, Codes]]
    """Codes before and after, each of shape (rows,), by name."""


def build_step_cases(calibration: Calibration, size: int, seed: int, changes: int | None = None) -> list[StepCase]:
    """Build cases of both polarities: columns that stay linear, columns that saturate, a cell alone among open ones.

    Each holds adversarial changes, too: the row farthest from the amplifiers alone, from rail to rail, and halves of
    the rows at opposite rails that change sides.

    Parameters
    ----------
    calibration : Calibration
        Gives the tiles.
    size : int
        Rows and columns; more than the chip has are cut to it.
    seed : int
        Of conductances and codes.
    changes : int, optional
        Structured and random changes of codes a case, beside the adversarial ones; by default all six.
    """
    chip = calibration.chip
    rows, columns = min(size, chip.array.rows), min(size, chip.array.columns)
    cases = []
    for polarity in POLARITIES:
        for saturating in (False, True):
            rng = np.random.default_rng([seed, polarity == "bipolar", saturating])
            g = random_conductances((rows, columns), chip.cell.g_min, chip.cell.g_max, rng, 0.25 * chip.cell.g_max)
            tile = calibration.static_tile(g, polarity, choose_feedback(chip, g, saturating=saturating))
            codes = code_vectors(rows, chip.dac.code_bits, 2, rng)
            codes["zero"] = np.full(rows, rest_code(polarity, chip.dac.code_bits))
            pairs = [
                ("random 0", "random 1"), ("all on", "zero"), ("zero", "all on"), ("ramp up", "ramp down"),
                ("near half on", "far half on"), ("sparse", "random 0"),
            ]  # fmt: skip
            name = f"{rows}x{columns} {polarity} {'saturating' if saturating else 'linear'}"
            chosen = {f"{b} after {a}": (codes[a], codes[b]) for a, b in pairs[:changes]}
            chosen |= _adversarial_changes(rows, chip.dac.code_bits, codes["zero"])
            cases.append(StepCase(name=name, tile=tile, changes=chosen))
        alone = np.zeros((rows, columns))
        alone[0, -1] = chip.cell.g_max  # open cells load no line, so nothing hides what drivers and amplifiers do
        if chip.cell.is_paired:
            alone[0, -2] = chip.cell.g_min  # neither half of a pair can be open alone
        tile = calibration.static_tile(alone, polarity, choose_feedback(chip, alone, saturating=False))
        changes_alone = _adversarial_changes(rows, chip.dac.code_bits, codes["zero"])
        cases.append(StepCase(name=f"{rows}x{columns} {polarity} far corner alone", tile=tile, changes=changes_alone))
    return cases


def _adversarial_changes(rows: int, bits: int, zero: Codes) -> dict[str, tuple[Codes, Codes]]:
    """Return changes that err most, by name: the far row alone up and down, rail to rail, and halves that swap."""
    row, top = np.arange(rows), 2**bits - 1
    up, down = (np.where(row == 0, code, zero) for code in (top, 0))
    near, far = (np.where(half, top, 0) for half in (row >= rows // 2, row < rows // 2))
    return {"far row up": (down, up), "far row down": (up, down), "halves swap": (near, far)}


def step_netlists(chip: Chip, case: StepCase, stop: float) -> list[Netlist]:
    """Build the transients of a case at transistor level, `stop` seconds long."""
    before = np.stack([a for a, _ in case.changes.values()])
    state = case.tile.solve(before)
    return [
        with_logic_together(build_tile(
            chip, case.tile.g,
            CodeStep(before=before[k].tolist(), after=after.tolist(), stop=stop, resolution=_RESOLUTION),
            polarity=case.tile.dac.polarity, r_feedback=case.tile.senseamp.r_feedback,
            nodesets=predicted_nodesets(state, k, chip),
        ))
        for k, (_, after) in enumerate(case.changes.values())
    ]  # fmt: skip


def step_outputs(chip: Chip, results: Results, times: Floats, columns: int) -> Floats:
    """Return the outputs of a transient at times after the step, shape (times, columns) [V]."""
    vectors = results[0].vectors
    time = vectors["time"].real - STEP_TIME
    waves = [PchipInterpolator(time, vectors[f"v(out_{j})"].real)(times) for j in range(columns)]
    return np.asarray(chip.sense_amplifier.v_reference - np.stack(waves, axis=1))


def compare_step(name: str, times: Floats, measured: Floats, predicted: Floats, full_scale: float) -> SettlingCheck:
    """Compare outputs of one change, shape (times, columns) [V], by the share of the settling time that has gone."""
    moving = (np.abs(measured - measured[-1]) > BAND * full_scale).any(axis=1)
    settled = int(np.flatnonzero(moving)[-1]) + 1 if moving.any() else 0
    t_settle = float(times[settled])
    errors = (predicted - measured) / full_scale
    early, late = (errors[np.searchsorted(times, share * t_settle) :] for share in (0.2, 0.75))
    way = measured[-1] - measured[0]
    worst = int(np.argmax(np.abs(early).max(axis=0)))
    columns = tuple(dict.fromkeys((worst, int(np.argmax(way)), int(np.argmin(way)))))
    kept = np.round(np.stack([measured[:, columns], predicted[:, columns]]), 7)
    return SettlingCheck(
        name=name, t_settle=t_settle, max_early=largest(early), rms_early=rms(early), max_late=largest(late),
        max_settled=largest(errors[settled:]), times=times, columns=columns, measured=kept[0], predicted=kept[1],
        full_scale=full_scale,
    )  # fmt: skip


def step_energy(chip: Chip, results: Results, polarity: Polarity) -> float:
    """Integrate what all sources of a tile deliver in a transient, from the change of codes on [J]."""
    time = np.asarray(results[0].vectors["time"].real, dtype=float)
    power = supply_power(results, tile_sources(chip, polarity) | step_sources(chip, time))
    return float(np.trapezoid(power, time) - power[0] * STEP_TIME)


def check_steps(
    calibration: Calibration, model: SettlingModel, campaign: Campaign, cases: list[StepCase]
) -> tuple[SettlingCheck, ...]:
    """Run every change of every case in ngspice and in the model; energies, too, if they are calibrated.

    A calibration makes some of these checks itself. For more of them, on other tiles, some minutes of a processor:
    ``check_steps(calibration, calibration.require_settling(), Campaign(), build_step_cases(calibration, 16, seed))``.
    """
    chip, netlists, parts = calibration.chip, [], []
    for case in cases:
        transient = TileTransient(case.tile, model)
        before, after = (np.stack(side) for side in zip(*case.changes.values(), strict=True))
        stop = _WATCHED * float(transient.t_settle(before, after, band=BAND).max())
        times = stop * np.arange(1, 151) / 151
        parts.append((times, transient.outputs(before, after, times), _energies(calibration, case, stop)))
        netlists += step_netlists(chip, case, stop)
    results = iter(campaign.run(netlists, "check settling"))
    checks = []
    for case, (times, predicted, energies) in zip(cases, parts, strict=True):
        for k, change in enumerate(case.changes):
            found = next(results)
            measured = step_outputs(chip, found, times, case.tile.g.shape[1])
            check = compare_step(f"{case.name}, {change}", times, measured, predicted[k], case.tile.senseamp.full_scale)
            energy = step_energy(chip, found, case.tile.dac.polarity)
            error = None if energies is None else float(energies[k] / energy - 1)
            checks.append(check.model_copy(update={"energy": energy, "energy_error": error}))
    return tuple(checks)


def _energies(calibration: Calibration, case: StepCase, stop: float) -> Floats | None:
    """Return what the blocks of a tile draw together in `stop` seconds from each change on [J]."""
    if calibration.energy is None:
        return None
    before, after = (np.stack(side) for side in zip(*case.changes.values(), strict=True))
    parts = calibration.energy.tile_energy(
        case.tile, after, case.tile.solve(after), stop, before=(before, case.tile.solve(before)), conversions=0
    )
    return np.asarray(np.sum(list(parts.values()), axis=0))
