"""Check whole tiles: the behavioural model against transistor level, on matrices and vectors no fit has seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.converter import Polarity
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.behavioural.tile import BehaviouralTile, TileState
from spicesim.calibration.calibration import TileCheck
from spicesim.calibration.patterns import Codes, code_vectors, random_conductances
from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.tile import build_tile
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.sampling import run_all

__all__ = ["TileCase", "check_tiles", "predicted_nodesets", "random_cases", "tile_netlist", "tile_outputs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileCase:
    """One programmed tile and the vectors to run on it."""

    name: str
    """For the table."""
    tile: BehaviouralTile
    """The behavioural tile; it knows its devices, wires and blocks."""
    codes: dict[str, Codes]
    """Code vectors by kind, each of shape (rows,)."""


def random_cases(
    chip: Chip,
    build: Callable[[Floats, Polarity, float], BehaviouralTile],
    *,
    sizes: Sequence[int],
    random_vectors: int,
    seed: int,
) -> list[TileCase]:
    """Draw tiles that cover both polarities, small and large currents.

    Parameters
    ----------
    chip : Chip
        The chip.
    build : callable
        ``build(g, polarity, r_feedback)`` gives a behavioural tile, as :meth:`Calibration.tile`.
    sizes : sequence of int
        Rows and columns of the square tiles.
    random_vectors : int
        Uniform vectors a tile, beside the structured ones.
    seed : int
        Seed.

    Returns
    -------
    list of TileCase
        For each size and polarity one tile whose columns stay linear, and one where about half of them saturate.
    """
    cases = []
    choices = sorted(chip.sense_amplifier.r_feedback)
    swing = min(chip.sense_amplifier.v_reference, chip.process.supply - chip.sense_amplifier.v_reference)
    for size in sizes:
        for p, polarity in enumerate(("unipolar", "bipolar")):
            for k, region in enumerate(("linear", "saturating")):
                rng = np.random.default_rng([seed, size, p, k])
                g = random_conductances((size, size), chip.cell.g_min, chip.cell.g_max, rng, 0.25 * chip.cell.g_max)
                if region == "saturating":  # half of the columns carry far more than the others
                    g[:, ::2] = random_conductances((size, (size + 1) // 2), chip.cell.g_min, chip.cell.g_max, rng)
                full = chip.dac.v_span * float(g.sum(axis=0).max())  # all-on current of the worst column
                fitting = [r for r in choices if full * r < 0.85 * swing]
                r_feedback = (fitting or choices)[-1 if fitting else 0]
                if region == "saturating":
                    over = [r for r in choices if 0.3 * full * r > swing]
                    r_feedback = (over or choices)[0 if over else -1]
                tile = build(g, polarity, r_feedback)  # type: ignore[arg-type]
                codes = code_vectors(size, chip.dac.bits, random_vectors, rng)
                cases.append(TileCase(name=f"{size}x{size} {polarity} {region}", tile=tile, codes=codes))
    return cases


def predicted_nodesets(state: TileState, vector: int, reference: float) -> dict[str, float]:
    """Return first guesses for a tile's netlist from the behavioural model.

    They decide everything: with the outputs guessed right ngspice converges at once, with the reference voltage in
    their place it steps for seconds or fails. Guesses on cell nodes would cost more than they save.
    """
    guesses = {f"dac_{i}": reference + v for i, v in enumerate(state.v_word_line[vector])}
    guesses |= {f"sense_{j}": reference + v for j, v in enumerate(state.v_in[vector])}
    guesses |= {f"out_{j}": reference - v for j, v in enumerate(state.v_out[vector])}
    return {node: float(v) for node, v in guesses.items()}


def tile_netlist(chip: Chip, tile: BehaviouralTile, codes: Codes, state: TileState, vector: int) -> Netlist:
    """Build the transistor-level netlist of a behavioural tile for one code vector, with predicted first guesses."""
    return build_tile(
        chip,
        tile.g,
        codes,
        polarity=tile.dac.polarity,
        r_feedback=tile.senseamp.r_feedback,
        nodesets=predicted_nodesets(state, vector, chip.sense_amplifier.v_reference),
    )


def tile_outputs(chip: Chip, results: Results, columns: int) -> Floats:
    """Return the amplifier outputs below the reference, shape (columns,) [V]."""
    vectors = results[0].vectors
    v_out = np.array([float(vectors[f"v(out_{j})"][0].real) for j in range(columns)])
    return np.asarray(chip.sense_amplifier.v_reference - v_out)


def _saturated(amplifier: SenseAmplifierModel, v_out: Floats) -> Floats:
    low, high = amplifier.linear_limits
    return np.asarray((v_out < low) | (v_out > high))


def check_tiles(
    chip: Chip,
    cases: Sequence[TileCase],
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
) -> list[TileCheck]:
    """Run every vector of every case in ngspice and beside it in the behavioural tile.

    Raises
    ------
    SimulationError
        If a run fails.
    """
    states = [case.tile.solve(np.stack(list(case.codes.values()))) for case in cases]
    netlists = [
        tile_netlist(chip, case.tile, codes, state, k)
        for case, state in zip(cases, states, strict=True)
        for k, codes in enumerate(case.codes.values())
    ]
    results = iter(run_all(netlists, simulator=simulator, jobs=jobs, progress=progress))
    checks = []
    for case, state in zip(cases, states, strict=True):
        rows, columns = case.tile.g.shape
        measured = np.stack([tile_outputs(chip, next(results), columns) for _ in case.codes])
        saturated = _saturated(case.tile.senseamp, measured)
        checks.append(
            TileCheck(
                name=case.name,
                rows=rows,
                columns=columns,
                polarity=case.tile.dac.polarity,
                r_feedback=case.tile.senseamp.r_feedback,
                full_scale=case.tile.senseamp.full_scale,
                pattern=tuple(case.codes),
                saturated=tuple(tuple(bool(flag) for flag in row) for row in saturated),
                measured=measured,
                predicted=state.v_out,
            )
        )
    return checks
