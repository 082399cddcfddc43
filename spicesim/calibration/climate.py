"""Calibrate climate: the blocks again at other temperatures and corners, as changes of the nominal ones."""

from collections.abc import Sequence

import numpy as np

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.climate import ClimateModel, Condition, DacChange
from spicesim.behavioural.dac import DacModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import BiasPoints, fit_coefficients, form_of, leakage_of, plan_cell
from spicesim.calibration.mismatch import table_points
from spicesim.calibration.patterns import adversarial_vectors, random_conductances
from spicesim.calibration.tiles import TileCase, build_cases, case_netlists, solve_cases, tile_outputs
from spicesim.chip import CORNERS, Chip
from spicesim.coding import POLARITIES
from spicesim.metrics import largest
from spicesim.netlist.dac import build_dac
from spicesim.netlist.ensemble import build_senseamps
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["calibrate_climate", "choose_temperatures", "tile_errors"]

LIMITS = (-40.0, 125.0)
"""Temperatures that are calibrated [degree Celsius]: the industrial and automotive range."""

LOAD_POINTS = 65
"""Load currents of a driver; what changes with temperature is smooth in them."""

KNEE = 60e-3
"""Outputs by which the rails move at most with temperature and corner [V]."""


def choose_temperatures(own: float, count: int = 5) -> tuple[float, ...]:
    """Choose temperatures to calibrate beside the chip's own: Chebyshev nodes, without the one next to it."""
    angles = np.pi * (np.arange(count) + 0.5) / count
    nodes = np.sort(sum(LIMITS) / 2 - (LIMITS[1] - LIMITS[0]) / 2 * np.cos(angles) / np.cos(angles[0]))
    return tuple(round(float(node), 1) for k, node in enumerate(nodes) if k != np.argmin(np.abs(nodes - own)))


def _between(nodes: Sequence[float]) -> tuple[float, ...]:
    """Return temperatures midway between neighbours: the hardest for a polynomial through them."""
    ordered = np.sort(nodes)
    return tuple(float(t) for t in (ordered[1:] + ordered[:-1]) / 2)


class _Blocks:
    """The simulations that tell what a condition changes, and what follows from their results."""

    def __init__(self, calibration: Calibration, quick: bool) -> None:
        self._calibration, chip = calibration, calibration.chip
        self._points = plan_cell(chip, quick=quick, seed=calibration.seed).fits[0]
        self._step = max(1, (2**chip.dac.bits - 1) // 5)
        self.sense_points = [np.array(table_points(model, KNEE)) for model in calibration.senseamps]

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build them for this chip at a condition."""
        found = [self._points.netlist(chip)]
        for polarity in POLARITIES:
            limit = self._calibration.dacs[polarity].i_limit
            found.append(build_dac(chip, polarity))
            found.append(build_dac(chip, polarity, i_limit=limit, load_points=LOAD_POINTS, code_step=self._step))
        for model, points in zip(self._calibration.senseamps, self.sense_points, strict=True):
            found.append(build_senseamps(chip, model.r_feedback, [0], [1.0], model.currents[points]))
        return found

    def condition(self, results: Sequence[Results]) -> Condition:
        """Find what the condition adds."""
        calibration, reference = self._calibration, self._calibration.chip.sense_amplifier.v_reference
        vectors = [found[0].vectors for found in results]
        currents = np.array([float(vectors[0][f"i(vsense_{k})"][0].real) for k in range(len(self._points))])
        leakage = leakage_of(self._points, currents)
        senseamps = []
        for model, points, found in zip(calibration.senseamps, self.sense_points, vectors[5:], strict=True):
            v_in, v_out = found["v(sense_0)"].real - reference, reference - found["v(out_0)"].real
            senseamps.append(np.stack([v_in - model.v_in[points], v_out - model.v_out[points]]))
        return Condition(
            cell=_cell_change(calibration.cell, self._points, currents - leakage),
            leakage=leakage - calibration.cell.leakage,
            dacs={
                polarity: self._dac_change(
                    calibration.dacs[polarity], vectors[1 + 2 * k]["v(out)"].real - reference,
                    vectors[2 + 2 * k]["v(out)"].real - reference,
                )
                for k, polarity in enumerate(POLARITIES)
            },
            senseamps=tuple(senseamps),
        )  # fmt: skip

    def _dac_change(self, dac: DacModel, v_open: Floats, loaded: Floats) -> DacChange:
        knots = np.arange(0, len(v_open), self._step)
        currents = np.linspace(-dac.i_limit, dac.i_limit, LOAD_POINTS)
        codes, load = np.meshgrid(knots, currents, indexing="ij")
        added = loaded.reshape(codes.shape) - dac.volts(codes, load)
        middle = LOAD_POINTS // 2
        return DacChange(
            v_open=v_open - dac.v_open,
            knots=tuple(int(k) for k in knots),
            droop=added[:, middle : middle + 1] - added,
        )


def _cell_change(cell: CellModel, points: BiasPoints, currents: Floats) -> Floats:
    """Fit what a condition adds to the coefficients of a cell, in the form that the cell has."""
    return fit_coefficients(
        form_of(cell), points, currents - cell.current(points.g, points.v, points.u),
        g_reference=cell.g_reference, v_limit=cell.v_limits[1], u_limit=cell.u_limits[1],
    )  # fmt: skip


def calibrate_climate(calibration: Calibration, campaign: Campaign) -> ClimateModel:
    """Calibrate a chip's blocks at five temperatures, its own among them, and at the corners of its process.

    Whole tiles tell how good that is: at temperatures between these, where it is interpolated, and at the corners.
    """
    chip, blocks = calibration.chip, _Blocks(calibration, campaign.quick)
    own = chip.process.temperature_c
    temperatures = choose_temperatures(own)
    corners = _corners(chip)
    chips = [chip.at(temperature_c=t) for t in temperatures] + [chip.at(corner=corner) for corner in corners]
    groups = [blocks.netlists(at) for at in chips]
    results = iter(campaign.run([netlist for group in groups for netlist in group], "climate"))
    conditions = [blocks.condition([next(results) for _ in group]) for group in groups]
    held_out = _between((own, *temperatures))
    model = ClimateModel(
        temperature_c=own,
        temperatures_c=temperatures,
        temperatures=tuple(conditions[: len(temperatures)]),
        corners=dict(zip(corners, conditions[len(temperatures) :], strict=True)),
        sense_currents=tuple(
            amplifier.currents[points]
            for amplifier, points in zip(calibration.senseamps, blocks.sense_points, strict=True)
        ),
        held_out_c=(),
        held_out_errors=(),
    )
    whole = calibration.model_copy(update={"climate": model})
    size = min(8 if campaign.quick else 16, chip.array.rows, chip.array.columns)

    climates = [whole.at(temperature_c=t) for t in held_out] + [whole.at(corner=corner) for corner in corners]
    errors = [largest(found) for found in tile_errors(climates, campaign, size=size, random=1)]
    return model.model_copy(
        update={
            "held_out_c": held_out,
            "held_out_errors": tuple(errors[: len(held_out)]),
            "corner_errors": dict(zip(corners, errors[len(held_out) :], strict=True)),
        }
    )


def _corners(chip: Chip) -> tuple[str, ...]:
    """Return the corners other than the chip's own; none if its models have none."""
    if not any(model.has_corners for model in chip.process.models):
        return ()
    return tuple(name for name in CORNERS if chip.process.corner(name) != chip.process)


def tile_errors(
    calibrations: Sequence[Calibration], campaign: Campaign, *, size: int = 16, random: int = 4, seed: int = 0
) -> list[Floats]:
    """Compare whole tiles with ngspice: both polarities, linear and saturating, vectors of all kinds.

    Returns
    -------
    list of ndarray of shape (products, columns)
        Errors of the outputs in the climate of each calibration, as fractions of full scale.
    """
    cases = [_cases(calibration, size, random, seed) for calibration in calibrations]
    states = [solve_cases(group) for group in cases]
    netlists = [
        netlist
        for calibration, group, solved in zip(calibrations, cases, states, strict=True)
        for netlist in case_netlists(calibration.chip, group, solved)
    ]
    results = iter(campaign.run(netlists, "check climate"))
    return [
        np.concatenate(
            [
                (state.v_out - np.stack([tile_outputs(calibration.chip, next(results), size) for _ in case.codes]))
                / case.tile.senseamp.full_scale
                for case, state in zip(group, solved, strict=True)
            ]
        )
        for calibration, group, solved in zip(calibrations, cases, states, strict=True)
    ]


def _cases(calibration: Calibration, size: int, random: int, seed: int) -> list[TileCase]:
    """Build the tiles: random ones, and all cells at the highest conductance with the highest feedback."""
    chip, cell = calibration.chip, calibration.chip.cell
    g = random_conductances((size, size), cell.g_min, cell.g_max, np.random.default_rng(seed), 0.25 * cell.g_max)
    highest = calibration.tile(np.full((size, size), cell.g_max), "bipolar", max(chip.sense_amplifier.r_feedback))
    vectors = adversarial_vectors(size, chip.dac.bits, "bipolar", np.random.default_rng(seed))
    return [
        *build_cases(chip, calibration.tile, {"random": g}, random_vectors=random, seed=seed),
        TileCase(name="all highest", tile=highest, codes=vectors),
    ]
