"""Check whole tiles: the behavioural model against transistor level, on matrices and vectors no fit has seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import IntegratorModel, PulseState, PulseTile
from spicesim.behavioural.rails import Droops
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tile import BehaviouralTile, TileState
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.hold import read_held
from spicesim.calibration.integrator import read_integrated
from spicesim.calibration.patterns import (
    adversarial_conductances,
    adversarial_vectors,
    code_vectors,
    plane_vectors,
    random_conductances,
)
from spicesim.calibration.selector import described_law
from spicesim.calibration.tile_check import TileCheck
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SimulationError
from spicesim.netlist.hold import held_after
from spicesim.netlist.impedance import GROUND
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.plane_adder import GAP, PlaneSteps
from spicesim.netlist.step import CodeStep
from spicesim.netlist.tile import build_tile
from spicesim.netlist.together import with_logic_together
from spicesim.ngspice.outcome import Results

__all__ = [
    "CHECK_TILES",
    "COLUMNS_IN_TIME",
    "TileCase",
    "adversarial_feedbacks",
    "adversarial_matrices",
    "build_adversarial_cases",
    "build_cases",
    "case_netlists",
    "check_chips",
    "check_tiles",
    "choose_feedback",
    "floating_course",
    "predicted_nodesets",
    "random_matrices",
    "readout_netlist",
    "solve_cases",
    "takes_time",
    "tile_netlist",
    "tile_outputs",
    "tile_shape",
]

CHECK_TILES = "check whole tiles"
"""Label of the simulations of whole tiles in the accounts of a calibration."""

KIND_WORDS = {"voltage": "floating", "integrator": "pulses"}
"""What is said of tiles whose read-out has one setting."""
MOST_ROWS = 256
"""Rows of a tile that is simulated whole, at most."""

AnyTile = BehaviouralTile | PulseTile
"""A behavioural tile, with its inputs and outputs at rest or in time."""
COLUMNS_IN_TIME = 4
"""Columns of a tile whose product is a transient of all bits or of the longest pulse, unless others are asked for."""

TileBuilder = Callable[[Floats, Polarity, float], AnyTile]
"""Conductances of the devices (rows, columns) [S], polarity, feedback resistance [ohm]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileCase:
    """One programmed tile and the vectors to run on it."""

    name: str
    """For the table."""
    tile: AnyTile
    """The behavioural tile; it knows its devices, wires and blocks."""
    codes: dict[str, Codes]
    """Code vectors by kind, each of shape (rows,)."""

    def thinned(self, part: int, first: int = 0) -> Self:
        """Return the same with one vector in so many, beginning with the first one, or another."""
        return replace(self, codes=dict(list(self.codes.items())[first % part :: part]))


def choose_feedback(chip: Chip, g: Floats, *, saturating: bool) -> float:
    """Choose a feedback resistance by the currents of a tile with all inputs at full scale.

    Parameters
    ----------
    chip : Chip
        Gives the choices.
    g : ndarray of shape (rows, columns)
        Conductances of the devices [S].
    saturating : bool
        If false, the largest that keeps every column off the rails; if true, the smallest with which half of the
        columns are past them at half of full scale. Where none does, the nearest choice; floating lines have one.
    """
    choices = chip.settings
    reference = chip.sense_amplifier.v_reference
    swing = min(reference, chip.process.supply - reference)
    v = chip.dac.v_span
    currents = described_law(chip).current(g, v).sum(axis=0) if chip.cell.kind == "1s1r" else v * g.sum(axis=0)
    if saturating:
        return next((r for r in choices if 0.5 * float(np.median(currents)) * r > swing), choices[-1])
    return next((r for r in reversed(choices) if float(currents.max()) * r < 0.85 * swing), choices[0])


def build_cases(
    chip: Chip, build: TileBuilder, matrices: Mapping[str, Floats], *, random_vectors: int, seed: int
) -> list[TileCase]:
    """Build cases of both polarities, with columns that stay linear and with columns that saturate.

    Parameters
    ----------
    chip : Chip
        The chip.
    build : callable
        ``build(g, polarity, r_feedback)`` gives a behavioural tile, as :meth:`Calibration.tile`.
    matrices : mapping of str to ndarray of shape (rows, columns)
        Conductances of the devices by name [S].
    random_vectors : int
        Uniform vectors a tile, beside the structured ones.
    seed : int
        Seed of the vectors.
    """
    cases, kind = [], chip.sense_amplifier.kind
    for m, (name, g) in enumerate(matrices.items()):
        for p, polarity in enumerate(chip.polarities):
            for saturating in (False, True) if kind == "tia" else (False,):
                rng = np.random.default_rng([seed, m, p, saturating])
                tile = build(g, polarity, choose_feedback(chip, g, saturating=saturating))
                codes = code_vectors(g.shape[0], chip.code_bits, random_vectors, rng)
                codes |= adversarial_vectors(g.shape[0], chip.code_bits, polarity, rng)
                if chip.hold.adds_planes:
                    codes |= plane_vectors(g.shape[0], chip.code_bits)
                word = KIND_WORDS.get(kind, "saturating" if saturating else "linear")
                label = f"{name} {polarity} {word}"
                cases.append(TileCase(name=label, tile=tile, codes=codes))
    return cases


def build_adversarial_cases(
    chip: Chip, build: TileBuilder, sizes: Sequence[int], *, seed: int, every_feedback: bool = False
) -> list[TileCase]:
    """Build cases where errors add up most: all of an array's rows, cancelling inputs, the highest feedback.

    Parameters
    ----------
    chip : Chip
        The chip.
    build : callable
        As of :func:`build_cases`.
    sizes : sequence of int
        Rows and columns of tiles; the greatest that the array has is taken.
    seed : int
        Of those vectors that are drawn.
    every_feedback : bool
        Whether to take all feedback resistances instead of two.
    """
    choices, kind, polarity = chip.settings, chip.sense_amplifier.kind, chip.polarities[-1]
    return [
        TileCase(
            name=f"{name} {polarity} {KIND_WORDS.get(kind, f'{r_feedback / 1e3:g}k')}",
            tile=build(g, polarity, r_feedback),
            codes=adversarial_vectors(len(g), chip.code_bits, polarity, np.random.default_rng([seed, len(g)]))
            | (plane_vectors(len(g), chip.code_bits) if chip.hold.adds_planes else {}),
        )
        for name, g in adversarial_matrices(chip, sizes).items()
        for r_feedback in (sorted(choices) if every_feedback else adversarial_feedbacks(chip, g))
    ]


def adversarial_matrices(chip: Chip, sizes: Sequence[int]) -> dict[str, Floats]:
    """Return the matrices of :func:`build_adversarial_cases` by name, shape (rows, columns) [S]."""
    cell, array, shape = chip.cell, chip.array, tile_shape(chip, max(sizes))
    matrices = adversarial_conductances(min(array.rows, MOST_ROWS), shape, cell.g_min, cell.g_max)
    return {name: g[:, : array.columns] for name, g in matrices.items()}


def adversarial_feedbacks(chip: Chip, g: Floats) -> list[float]:
    """Return the feedback resistances they are run with: the highest, and that which keeps columns linear [ohm]."""
    return sorted({max(chip.settings), choose_feedback(chip, g, saturating=False)})


def random_matrices(chip: Chip, sizes: Sequence[int], seed: int, columns: int = COLUMNS_IN_TIME) -> dict[str, Floats]:
    """Draw conductance matrices of so many rows by name; sizes beyond the chip's array are cut to it.

    They are square, but for chips whose product is a long transient: of so many columns at most.
    """
    matrices = {}
    for shape in dict.fromkeys(tile_shape(chip, size, columns) for size in sizes):
        rng = np.random.default_rng([seed, shape[0]])
        matrices[f"{shape[0]}x{shape[1]} random"] = random_conductances(
            shape, chip.cell.g_min, chip.cell.g_max, rng, 0.25 * chip.cell.g_max
        )
    return matrices


def takes_time(chip: Chip) -> bool:
    """Return whether a product is a long transient, of all bits or of the longest pulse."""
    return chip.hold.adds_planes or chip.dac.kind == "pulse"


def tile_shape(chip: Chip, size: int, columns: int = COLUMNS_IN_TIME) -> tuple[int, int]:
    """Return rows and columns of a tile of so many rows, or of as many as the chip has: square, if that takes no time.

    Where a product is a long transient it has so many columns at most.
    """
    array = chip.array
    if takes_time(chip):
        return min(size, array.rows), min(size, array.columns, columns)
    size = min(size, array.rows, array.columns)
    size -= size % (1 + chip.cell.is_paired)
    return size, size


def predicted_nodesets(state: TileState | PulseState, vector: int, chip: Chip) -> dict[str, float]:
    """Return first guesses for a tile's netlist from the behavioural model.

    They decide everything: with the outputs guessed right ngspice converges at once, with the reference voltage in
    their place it steps for seconds or fails. Guesses on cell nodes would cost more than they save. Products by pulses
    begin with all at rest, and need none.
    """
    if isinstance(state, PulseState):
        return {}
    reference, amplifier = chip.sense_amplifier.v_reference, chip.sense_amplifier
    # hold switches follow their lines at first
    out = reference + state.v_in if amplifier.kind == "voltage" else amplifier.nodes(state.v_out)
    driven = () if chip.cell.is_gated else state.v_word_line[vector]
    guesses = {f"dac_{i}": reference + v for i, v in enumerate(driven)}
    guesses |= {f"sense_{j}": reference + v for j, v in enumerate(state.v_in[vector])}
    guesses |= {f"out_{j}": v for j, v in enumerate(out[vector])}
    if state.droops is not None and chip.rails.r_supply:
        guesses["vdd"] = chip.process.supply - state.droops.supply[vector]
    if state.droops is not None and chip.rails.r_ground:
        guesses[GROUND] = state.droops.ground[vector]
    return {node: float(v) for node, v in guesses.items()}


def tile_netlist(chip: Chip, tile: AnyTile, codes: Codes, state: TileState | PulseState, vector: int) -> Netlist:
    """Build the transistor-level netlist of a behavioural tile for one code vector, with predicted first guesses.

    Amplifiers are at rest. Integrators go through a product, from the reset to the read. Floating bit lines are not at
    rest, either: a transient goes from the code of rest in all rows to the
    vector, until the hold switches have opened.
    """
    return readout_netlist(chip, tile, tile.g, codes, predicted_nodesets(state, vector, chip))


def readout_netlist(chip: Chip, tile: AnyTile, g: Floats, codes: Codes, nodesets: Mapping[str, float]) -> Netlist:
    """Build the netlist of one product of a tile with devices `g`, as its read-out samples it.

    Parameters
    ----------
    chip : Chip
        The chip.
    tile : BehaviouralTile
        Gives polarity and setting.
    g : ndarray of shape (rows, columns)
        Conductances of the devices [S].
    codes : ndarray of int, shape (rows,)
        Codes.
    nodesets : mapping of str to float
        First guesses at the codes; a transient begins at rest, and takes those of the word lines alone.
    """
    polarity, setting = tile.dac.polarity, tile.setting
    if chip.sense_amplifier.kind != "voltage":
        return build_tile(chip, g, codes, polarity=polarity, r_feedback=setting, nodesets=nodesets)
    course, guesses = floating_course(chip, tile, codes, nodesets)
    netlist = build_tile(chip, g, course, polarity=polarity, r_feedback=setting, nodesets=guesses)
    return replace(netlist, options=PRECISE)


def floating_course(
    chip: Chip, tile: AnyTile, codes: Codes, nodesets: Mapping[str, float]
) -> tuple[CodeStep | PlaneSteps, dict[str, float]]:
    """Return how inputs of floating lines go in time, from rest to codes (rows,), and first guesses at rest.

    `nodesets` are guesses at the codes, of which the nodes are taken.
    """
    assert isinstance(tile, BehaviouralTile)
    rest = tile.rest_code
    at_rest = chip.sense_amplifier.v_reference + float(tile.v_open[0, rest])
    guesses = dict.fromkeys(nodesets, at_rest)
    if chip.hold.adds_planes:
        return PlaneSteps.of(chip, codes, rest), guesses
    settle = chip.hold.settle
    step = CodeStep(
        before=[rest] * len(codes), after=codes.tolist(), stop=settle + held_after(chip) + 1e-9, resolution=settle / 40
    )
    return step, guesses


def tile_outputs(chip: Chip, results: Results, columns: int) -> Floats:
    """Return the outputs of :func:`tile_netlist`, positive for positive products, shape (columns,) [V]."""
    if chip.hold.adds_planes:
        sizes = chip.hold
        return read_held(chip, results, columns, GAP + chip.dac.bits * (sizes.settle + sizes.share))
    if chip.sense_amplifier.kind == "voltage":
        return read_held(chip, results, columns, chip.hold.settle)
    if chip.sense_amplifier.kind == "integrator":
        return read_integrated(chip, results, columns)
    vectors = results[0].vectors
    return chip.sense_amplifier.volts([float(vectors[f"v(out_{j})"][0].real) for j in range(columns)])


def _saturated(
    readout: SenseAmplifierModel | HoldModel | IntegratorModel, v_out: Floats, droops: Droops | None, found: list[int]
) -> Floats:
    """Say which outputs of the vectors `found` are beyond the linear range, which goes along with the supplies."""
    if not isinstance(readout, SenseAmplifierModel):
        return np.zeros(v_out.shape, dtype=bool)
    low, high = readout.linear_limits
    if droops is None:
        return np.asarray((v_out < low) | (v_out > high))
    up, down = (volts[found, None] for volts in (droops.supply, droops.ground))
    return np.asarray((v_out < low + up) | (v_out > high - down))


def solve_cases(cases: Sequence[TileCase]) -> list[TileState | PulseState]:
    """Solve all vectors of every case in its behavioural tile."""
    return [case.tile.solve(np.stack(list(case.codes.values()))) for case in cases]


def case_netlists(chip: Chip, cases: Sequence[TileCase], states: Sequence[TileState | PulseState]) -> list[Netlist]:
    """Build the netlists of all vectors of every case, case by case."""
    return [
        with_logic_together(tile_netlist(chip, case.tile, codes, state, k))
        for case, state in zip(cases, states, strict=True)
        for k, codes in enumerate(case.codes.values())
    ]


def check_tiles(
    chip: Chip, cases: Sequence[TileCase], campaign: Campaign | None = None, label: str = CHECK_TILES
) -> list[TileCheck]:
    """Run every vector of every case in ngspice and beside it in the behavioural tile.

    A vector whose simulation fails is left out, and listed in the campaign's failures.

    Raises
    ------
    SimulationError
        If more than a tenth of the runs fail, or all of a case.
    """
    (checks,) = check_chips([(chip, cases)], campaign or Campaign(), label)
    return checks


def check_chips(
    groups: Sequence[tuple[Chip, Sequence[TileCase]]], campaign: Campaign, label: str
) -> list[list[TileCheck]]:
    """Check the tiles of several chips as :func:`check_tiles`, all at once, so that no processor waits."""
    states = [solve_cases(cases) for _, cases in groups]
    netlists = [case_netlists(*group, own) for group, own in zip(groups, states, strict=True)]
    results = iter(campaign.try_run([one for part in netlists for one in part], label))
    return [
        [
            _compare(chip, case, state, [next(results) for _ in case.codes], campaign)
            for case, state in zip(cases, own, strict=True)
        ]
        for (chip, cases), own in zip(groups, states, strict=True)
    ]


def _compare(
    chip: Chip, case: TileCase, state: TileState | PulseState, results: Sequence[Results | None], campaign: Campaign
) -> TileCheck:
    """Hold the solution of a case against its simulations, of which None failed."""
    found = {k: result for k, result in enumerate(results) if result is not None}
    if not found:
        raise SimulationError(f"no vector of the tile {case.name!r} could be simulated: {campaign.failures[-1]}")
    measured = np.stack([tile_outputs(chip, result, case.tile.g.shape[1]) for result in found.values()])
    droops = state.droops if isinstance(state, TileState) else None
    saturated = _saturated(case.tile.readout, measured, droops, list(found))
    return TileCheck(
        name=case.name,
        rows=case.tile.g.shape[0],
        columns=case.tile.g.shape[1],
        polarity=case.tile.dac.polarity,
        r_feedback=case.tile.setting,
        full_scale=case.tile.readout.full_scale,
        pattern=tuple(kind for k, kind in enumerate(case.codes) if k in found),
        saturated=tuple(tuple(bool(flag) for flag in row) for row in saturated),
        measured=measured,
        predicted=state.v_out[list(found)],
    )
