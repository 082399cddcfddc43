"""Calibrate how hold switches differ: drawn ones, one kind at a time, at the feet of columns of nominal cells.

Those that add planes are drawn between ideal sources as well, whose voltages they join.
"""

from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hold_mismatch import HOLD, HoldMismatch
from spicesim.behavioural.plane_adder import PlaneAdder
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.hold import BEYOND, HoldPoints, read_held
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response, with_chip_mismatch
from spicesim.calibration.plane_adder import read_sums
from spicesim.netlist.mismatch import Draw
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.plane_adder import build_plane_sums
from spicesim.ngspice.outcome import Results

__all__ = ["find_hold_mismatch"]

VOLTS, CONDUCTANCES, COUNTS = 3, 2, 3
"""Voltages, conductances, and numbers of cells of the columns: what differs is small, and smooth in them."""
JOINS, REACH = 3, 0.8
"""Voltages of either capacitor of an adder, and the largest over that of inputs: what differs is hardly more than
linear in them."""
COMPONENTS, OF_SUMS = 3, 1
"""Components of what switches add to lines, and to sums: a switch that ends as it began leaves its capacitors only."""
HELD_OUT_COLUMNS = 8
"""Columns below which each of the held-out switches is looked at, and sums of each held-out adder."""


def find_hold_mismatch(bench: MismatchBench, held_out: int) -> HoldMismatch:
    """Find how what hold switches keep, and the sums of those that add planes, follow from their devices' numbers.

    Parameters
    ----------
    bench : MismatchBench
        Of the chip.
    held_out : int
        Further switches with numbers at random, by which the response is judged, on columns drawn at random.
    """
    chip, adder = bench.calibration.chip, _adder(bench)
    most, v_limit, g_cell = chip.array.rows, BEYOND * chip.dac.v_span, chip.cell.g_max
    counts = np.unique(np.rint(np.geomspace(1, most, COUNTS)).astype(int))
    volts = chebyshev_nodes(-v_limit, v_limit, VOLTS)
    siemens = chebyshev_nodes(chip.cell.g_min, g_cell, CONDUCTANCES)
    grid = _points(*(part.ravel() for part in np.meshgrid(counts, volts, siemens, indexing="ij")))
    design, others = bench.plan(bench.devices(grid.netlist(chip), f"{HOLD}_0"), held_out)
    components, sizes = _components(_added(bench, grid, design), COMPONENTS)
    # through all points of the grid
    of_volts = np.linalg.inv(np.vander(volts / v_limit, increasing=True))
    of_siemens = np.linalg.inv(np.vander(siemens / g_cell, increasing=True))
    tables = components.reshape(len(components), len(counts), VOLTS, CONDUCTANCES)
    of_lines = np.einsum("av,krvs,bs->krab", of_volts, tables, of_siemens)
    of_sums = None
    if adder is not None:
        axis = REACH * chip.dac.v_span * np.linspace(-1, 1, JOINS)
        held, stored, added = _summed(bench, adder, np.repeat(axis, JOINS), np.tile(axis, JOINS), design)
        components, more = _components(added, OF_SUMS)
        powers = [np.vander(side / v_limit, JOINS, increasing=True) for side in (held, stored)]
        fit = np.linalg.inv(np.einsum("pa,pb->pab", *powers).reshape(len(held), -1))
        of_sums = (components @ fit.T).reshape(-1, JOINS, JOINS)
        # sizes of the one kind do nothing to the other
        of_lines, of_sums = _beside(of_lines, of_sums)
        sizes = np.concatenate([sizes, more], axis=1)
    names = tuple(f"component {k + 1} [1]" for k in range(len(of_lines)))
    response = fit_response(HOLD, names, design, sizes)
    found = HoldMismatch(
        v_limit=v_limit, rows=tuple(int(count) for count in counts), g_cell=g_cell, components=of_lines, joins=of_sums,
        response=response, residual=0.0,
    )  # fmt: skip
    rng = np.random.default_rng([bench.campaign.seed, 37])
    points = _points(
        np.rint(np.exp(rng.uniform(0, np.log(most), HELD_OUT_COLUMNS))).astype(int),
        rng.uniform(-1, 1, HELD_OUT_COLUMNS) * chip.dac.v_span,
        rng.uniform(chip.cell.g_min, g_cell, HELD_OUT_COLUMNS),
    )
    sizes = response.parameters(others.numbers)
    predicted = [
        found.added(sizes, np.full(len(sizes), v), np.full(len(sizes), rows * g), rows)
        for rows, v, g in zip(points.rows, points.v, points.g, strict=True)
    ]
    rest = _added(bench, points, others) - np.array(predicted).T
    residual = float(np.abs(rest).max())
    if adder is not None:
        before, sampled = rng.uniform(-REACH, REACH, (2, HELD_OUT_COLUMNS)) * chip.dac.v_span
        held, stored, added = _summed(bench, adder, before, sampled, others)
        joined = found.joined(sizes, *(np.tile(side[:, None], len(sizes)) for side in (held, stored)))
        residual = max(residual, float(np.abs(added - joined.T).max()))
    return found.model_copy(update={"residual": residual})


def _adder(bench: MismatchBench) -> PlaneAdder | None:
    return None if bench.calibration.hold is None else bench.calibration.hold.adder


def _components(added: Floats, count: int) -> tuple[Floats, Floats]:
    """Find the most telling directions of what switches add, (switches, points), and each switch's sizes in them.

    A component of unit size is one of them, as large as it is in these switches on average.
    """
    _, spread, directions = np.linalg.svd(added, full_matrices=False)
    scale = spread[:count, None] / np.sqrt(len(added))
    components = directions[:count] * scale
    return components, np.asarray(np.linalg.lstsq(components.T, added.T, rcond=None)[0].T)


def _beside(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return both for the components of both, those of the first before those of the second."""
    none, nothing = (np.zeros((len(b), *a.shape[1:])) for a, b in ((first, second), (second, first)))
    return np.concatenate([first, none]), np.concatenate([nothing, second])


def _points(rows: Floats, v: Floats, g: Floats) -> HoldPoints:
    return HoldPoints(rows=tuple(int(count) for count in rows), g=g, v=v)


def _added(bench: MismatchBench, points: HoldPoints, switches: Planned) -> Floats:
    """Simulate the columns with each switch; return what it adds to the nominal one's, (switches, columns) [V]."""
    chip, columns = bench.calibration.chip, len(points.v)
    own, *found = _each(bench, points.netlist(chip), switches)
    held = np.stack([read_held(chip, results, columns) for results in found])
    return np.asarray(held - read_held(chip, own, columns))


def _summed(
    bench: MismatchBench, adder: PlaneAdder, stored: Floats, sampled: Floats, switches: Planned
) -> tuple[Floats, Floats, Floats]:
    """Simulate the joining of voltages (pairs,) by each adder.

    Returns
    -------
    held, stored : ndarray of shape (pairs,)
        What the nominal one had of both before [V].
    added : ndarray of shape (adders, pairs)
        What each adds to the nominal sum of what it had itself [V].
    """
    chip = bench.calibration.chip
    own, *found = (
        read_sums(chip, results, len(stored))
        for results in _each(bench, replace(build_plane_sums(chip, stored, sampled), options=PRECISE), switches)
    )
    beyond = [summed - adder.joined(held, before) for held, before, summed in (own, *found)]
    return own[0], own[1], np.stack(beyond[1:]) - beyond[0]


def _each(bench: MismatchBench, netlist: Netlist, switches: Planned) -> list[Results]:
    """Simulate a netlist with nominal switches, and then with all its switches alike, each of these in turn."""

    def drawn(k: int) -> Draw:
        """All switches are this one; cells stay nominal."""
        return lambda path: switches(f"{HOLD}_{k}.{path.partition('.')[2]}") if path.startswith(HOLD) else (0.0, 0.0)

    draws: list[Draw] = [lambda path: (0.0, 0.0), *(drawn(k) for k in range(len(switches)))]
    netlists = [with_chip_mismatch(netlist, bench.calibration, draw) for draw in draws]
    return bench.campaign.run(netlists, "hold mismatch")
