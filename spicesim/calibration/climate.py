"""Calibrate climate: the blocks again at other temperatures and corners, as changes of the nominal ones."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval

from spicesim.arrays import Floats, Integers
from spicesim.behavioural.arrays import mix_models
from spicesim.behavioural.climate import ClimateModel, Condition, DacChange
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.tables import CubicTables
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import fit_changes, plan_cell
from spicesim.calibration.cell_points import leakage_of
from spicesim.calibration.conditions import choose_temperatures, other_corners
from spicesim.calibration.elsewhere import aspects_elsewhere
from spicesim.calibration.hand_over import check_hand_overs
from spicesim.calibration.hold_elsewhere import holds_elsewhere
from spicesim.calibration.integrator_elsewhere import integrators_elsewhere
from spicesim.calibration.knees import is_tight, kept_points, swept_points
from spicesim.calibration.patterns import adversarial_vectors, random_conductances
from spicesim.calibration.tile_check import TileCheck
from spicesim.calibration.tiles import (
    KIND_WORDS,
    MOST_ROWS,
    TileCase,
    build_cases,
    check_chips,
    check_tiles,
    takes_time,
    tile_shape,
)
from spicesim.chip import Chip
from spicesim.metrics import largest
from spicesim.netlist.dac import build_dac
from spicesim.netlist.ensemble import build_sense_amplifiers
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results
from spicesim.ngspice.rawfile import Plot

__all__ = ["NODES", "calibrate_climate", "check_climate"]

LOAD_POINTS = 65
"""Load currents of a driver; what changes with temperature is smooth in them."""

NODES, FEWER_NODES = 8, 6
"""Temperatures through which polynomials go: an amplifier's knees move with them, and five leave .01 % there. Without
amplifiers six leave less than .01 ppm of a cell's current and 1 nV of a driver's level; leakage may grow steeply."""

HELD_OUT, QUICK_HELD_OUT = 4, 2
"""Temperatures at which whole tiles are checked, and in a quick calibration."""

PARTS = 12
"""Where a product is a long transient vectors are checked in so many parts, one a climate in turn: the eight climates
of a calibration check two of three vectors together."""

RANDOM_PARTS = 3
"""The same elsewhere of random tiles, and of full columns of the feedback in turn; those of the highest feedback, which
err most, are checked with all vectors."""

ADDED_ROWS = 32
"""Rows of a column in a climate at most, where a product is a transient of all bits; all of 128 took as long as all
other tiles together, and err less than 16, as those of pulses do not."""

CHECK_CLIMATE = "check climate"
"""Label of the simulations of whole tiles in the accounts."""


def _hardest(nodes: Sequence[float], count: int) -> tuple[float, ...]:
    """Return temperatures midway between neighbours, those where a polynomial through the nodes errs most."""
    ordered = np.sort(nodes)
    middles = (ordered[1:] + ordered[:-1]) / 2
    remainder = np.abs(np.prod(middles[:, None] - ordered, axis=1))  # of the interpolation, but for a derivative
    return tuple(float(t) for t in np.sort(middles[np.argsort(-remainder)[:count]]))


class _Blocks:
    """The simulations that tell what a condition changes, and what follows from their results."""

    def __init__(self, calibration: Calibration, quick: bool, *, everywhere: bool = False) -> None:
        self._calibration, chip = calibration, calibration.chip
        self._points = plan_cell(chip, quick=quick, seed=calibration.seed).fits[0]
        self._driven = () if chip.cell.is_gated else chip.polarities  # the supply of gated rows is ideal everywhere
        self._step = max(1, (2**chip.dac.level_bits - 1) // 5)
        self.swept = [
            np.arange(len(amplifier.v_in)) if everywhere else swept_points(amplifier, chip)
            for amplifier in calibration.senseamps
        ]
        """Points of each amplifier's tables that are simulated."""

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build them for this chip at a condition."""
        found = [self._points.netlist(chip)]
        for polarity in self._driven:
            limit = self._calibration.dacs[polarity].i_limit
            found.append(build_dac(chip, polarity))
            found.append(build_dac(chip, polarity, i_limit=limit, load_points=LOAD_POINTS, code_step=self._step))
        for model, points in zip(self._calibration.senseamps, self.swept, strict=True):
            currents = model.currents[points]
            found.append(build_sense_amplifiers(chip, model.r_feedback, range(1), [1.0], currents))
        return found

    def conditions(self, results: Sequence[Sequence[Results]]) -> list[Condition]:
        """Find what each condition adds, to amplifiers at the currents that were swept."""
        cells = self._cell_changes([found[0] for found in results])
        return [self._condition(*cell, [found[0] for found in own]) for cell, own in zip(cells, results, strict=True)]

    def _cell_changes(self, results: Sequence[Results]) -> list[tuple[Floats, Floats]]:
        """Fit what each condition adds to the coefficients of a cell, in the form that it has, and to its leakage."""
        cell, points = self._calibration.cell, self._points
        currents = np.array([
            [float(found[0].vectors[f"i(vsense_{k})"][0].real) for k in range(len(points))] for found in results
        ])  # fmt: skip
        leakages = np.array([leakage_of(points, own) for own in currents])
        changes = fit_changes(cell, points, currents - polyval(points.u, leakages.T))
        return list(zip(changes, leakages - cell.leakage, strict=True))

    def _condition(self, cell: Floats, leakage: Floats, results: Sequence[Plot]) -> Condition:
        calibration, reference = self._calibration, self._calibration.chip.sense_amplifier.v_reference
        vectors = [plot.vectors for plot in results]
        senseamps, feedbacks = [], []
        amplifiers = zip(calibration.senseamps, self.swept, vectors[1 + 2 * len(self._driven) :], strict=True)
        for model, points, found in amplifiers:
            own = np.stack([model.v_in, model.v_out])[:, points]
            there = np.stack([found["v(sense_0)"].real - reference, reference - found["v(out_0)"].real])
            change = 0.0
            if calibration.chip.process.resistor is not None:
                change = _across(there) / _across(own) - 1
                scaled = CubicTables.of(model.currents * (1 + change), there)
                there = scaled.evaluate(np.stack([model.currents] * 2, axis=1), np.arange(2)).T
            senseamps.append(there - own)
            feedbacks.append(change)
        return Condition(
            cell=cell,
            leakage=leakage,
            dacs={polarity: _no_change(dac) for polarity, dac in calibration.dacs.items()} | {
                polarity: self._dac_change(
                    calibration.dacs[polarity], vectors[1 + 2 * k]["v(out)"].real - reference,
                    vectors[2 + 2 * k]["v(out)"].real - reference,
                )
                for k, polarity in enumerate(self._driven)
            },
            feedbacks=tuple(feedbacks),
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


def _across(tables: Floats) -> float:
    """Return what falls off the feedback of an amplifier over the middle fifth of its currents, (2, points) [V]."""
    across, points = tables.sum(axis=0), tables.shape[1]
    middle, tenth = points // 2, points // 10
    return float(across[middle + tenth] - across[middle - tenth])


def _no_change(dac: DacModel) -> DacChange:
    """Return what a condition adds to what stands for drivers where these drive gates."""
    return DacChange(v_open=np.zeros_like(dac.v_open), knots=dac.knots, droop=np.zeros((len(dac.knots), 2)))


def _thinned(conditions: Sequence[Condition], points: Sequence[Integers]) -> tuple[Condition, ...]:
    """Keep some points of the amplifiers' changes."""
    return tuple(
        condition.model_copy(
            update={
                "senseamps": tuple(change[:, kept] for change, kept in zip(condition.senseamps, points, strict=True))
            }
        )
        for condition in conditions
    )


def _changes(
    blocks: _Blocks, pairs: Sequence[tuple[str | None, float]], calibration: Calibration, campaign: Campaign
) -> tuple[list[Condition], list[Integers]]:
    """Return what conditions add, corners to their temperatures, and the points of amplifiers that are kept of it."""
    chip = calibration.chip
    groups = [blocks.netlists(chip.at(corner=corner, temperature_c=t)) for corner, t in pairs]
    results = iter(campaign.run([netlist for group in groups for netlist in group], "climate"))
    found = dict(zip(pairs, blocks.conditions([[next(results) for _ in group] for group in groups]), strict=True))
    changes = [
        one if corner is None or t == chip.process.temperature_c else _less(one, found[None, t])
        for (corner, t), one in found.items()
    ]
    kept = [
        kept_points(
            amplifier,
            swept,
            np.stack([condition.senseamps[k] for condition in changes]),
            1 + chip.array.rows * chip.cell.g_max * amplifier.r_feedback,
        )
        for k, (amplifier, swept) in enumerate(zip(calibration.senseamps, blocks.swept, strict=True))
    ]
    return changes, kept


def calibrate_climate(calibration: Calibration, campaign: Campaign) -> ClimateModel:
    """Calibrate a chip's blocks at some temperatures, its own among them, and at the corners of its process.

    Whole tiles tell how good that is: at temperatures between these, where it is interpolated, and at the corners.
    """
    chip, blocks = calibration.chip, _Blocks(calibration, campaign.quick)
    own = chip.process.temperature_c
    nodes = NODES if calibration.senseamps else FEWER_NODES
    temperatures, corners = choose_temperatures(own, nodes), other_corners(chip)
    ends = (temperatures[0], temperatures[-1])
    corner_temperatures = (own, *(ends if campaign.quick else temperatures))
    pairs = [(None, t) for t in temperatures] + [(corner, t) for corner in corners for t in corner_temperatures]
    changes, kept = _changes(blocks, pairs, calibration, campaign)
    if any(is_tight(swept, points) for swept, points in zip(blocks.swept, kept, strict=True)):
        blocks = _Blocks(calibration, campaign.quick, everywhere=True)
        changes, kept = _changes(blocks, pairs, calibration, campaign)
    conditions = iter(_thinned(changes, kept))
    held_out = _hardest((own, *temperatures), QUICK_HELD_OUT if campaign.quick else HELD_OUT)
    model = ClimateModel(
        temperature_c=own,
        temperatures_c=temperatures,
        temperatures=tuple(next(conditions) for _ in temperatures),
        corner_temperatures_c=corner_temperatures if corners else (),
        corners={corner: tuple(next(conditions) for _ in corner_temperatures) for corner in corners},
        sense_currents=tuple(
            amplifier.currents[swept[points]]
            for amplifier, swept, points in zip(calibration.senseamps, blocks.swept, kept, strict=True)
        ),
        held_out_c=(),
        held_out_errors=(),
    )
    if calibration.hold is not None:
        model = model.model_copy(update={"hold": holds_elsewhere(chip, calibration.hold, campaign)})
    if calibration.integrator is not None:
        model = model.model_copy(update={"integrator": integrators_elsewhere(chip, calibration.integrator, campaign)})
    complete = calibration.model_copy(update={"climate": model})
    # corners at temperatures in no fit, each at another
    elsewhere = list(zip(corners, cycle(held_out[::-1])))
    places = [*((None, t) for t in held_out), *elsewhere]
    climates = [complete.at(corner=corner, temperature_c=t) for corner, t in places]

    def check(own: Campaign) -> list[float]:
        size = 8 if own.quick else 16
        tiles = [(at.chip, climate_cases(at, size=size, random=1, turn=turn)) for turn, at in enumerate(climates)]
        return [max(check.max_error for check in checks) for checks in check_chips(tiles, own, CHECK_CLIMATE)]

    works: list[Callable[[Campaign], Any]] = [partial(aspects_elsewhere, complete), check]
    aspects, errors = campaign.beside(works)
    names = [f"{corner}, {t:g} C" for corner, t in elsewhere]
    model = model.model_copy(update=aspects)
    hand_overs = check_hand_overs(calibration.model_copy(update={"climate": model}), places, campaign)
    return model.model_copy(
        update={
            "hand_over_errors": None if hand_overs is None else tuple(map(largest, hand_overs)),
            "held_out_c": held_out,
            "held_out_errors": tuple(errors[: len(held_out)]),
            "corner_errors": dict(zip(names, errors[len(held_out) :], strict=True)),
            "corner_held_out_c": tuple(t for _, t in elsewhere),
        }
    )


def _less(condition: Condition, other: Condition) -> Condition:
    """Return what a condition adds to another."""
    return mix_models([1.0, -1.0], (condition, other))


def check_climate(
    calibration: Calibration, campaign: Campaign, *, size: int = 16, random: int = 4, seed: int = 0, turn: int = 0
) -> list[TileCheck]:
    """Compare whole tiles with ngspice in the climate of a calibration, as :meth:`Calibration.at` returns it.

    Parameters
    ----------
    calibration : Calibration
        In its climate.
    campaign : Campaign
        Runs the simulations.
    size, random, seed, turn
        As of :func:`climate_cases`.
    """
    cases = climate_cases(calibration, size=size, random=random, seed=seed, turn=turn)
    return check_tiles(calibration.chip, cases, campaign, CHECK_CLIMATE)


def climate_cases(
    calibration: Calibration, *, size: int = 16, random: int = 4, seed: int = 0, turn: int = 0
) -> list[TileCase]:
    """Build the whole tiles that are checked in a climate.

    Random tiles have all polarities, linear and saturating columns. Full columns of all rows have the highest
    feedback, where cells add up most, and another one that is in turn: an amplifier has knees of its own with each,
    and all of them in every climate would take too long.

    Parameters
    ----------
    calibration : Calibration
        In its climate.
    size : int
        Rows and columns of the random tiles, as :func:`~spicesim.calibration.tiles.tile_shape` has them.
    random : int
        Uniform vectors a random tile, beside the structured ones.
    seed : int
        Of conductances and vectors.
    turn : int
        Which of the feedbacks is in turn, counted from the lowest and round, and which part of the vectors.
    """
    chip, cell = calibration.chip, calibration.chip.cell
    g = random_conductances(
        tile_shape(chip, size), cell.g_min, cell.g_max, np.random.default_rng(seed), 0.25 * cell.g_max
    )
    cases = build_cases(chip, calibration.tile, {"random": g}, random_vectors=random, seed=seed)
    if not takes_time(chip):
        cases = [case.thinned(RANDOM_PARTS, turn) for case in cases]
    choices, kind = sorted(chip.settings), chip.sense_amplifier.kind
    rows = min(chip.array.rows, ADDED_ROWS if chip.hold.adds_planes else MOST_ROWS)
    full = np.full((rows, min(chip.array.columns, 2)), cell.g_max)
    polarity = chip.polarities[-1]
    vectors = adversarial_vectors(len(full), chip.code_bits, polarity, np.random.default_rng(seed))
    for r_feedback in sorted({choices[-1], choices[turn % len(choices)]}):
        tile = calibration.tile(full, polarity, r_feedback)
        name = f"all highest {KIND_WORDS.get(kind, f'{r_feedback / 1e3:g}k')}"
        case = TileCase(name=name, tile=tile, codes=vectors)
        cases.append(case if r_feedback == choices[-1] else case.thinned(RANDOM_PARTS, turn))
    return [case.thinned(PARTS, turn) for case in cases] if takes_time(chip) else cases
