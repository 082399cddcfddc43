"""Calibrate how hold switches differ: drawn ones, one kind at a time, at the feet of columns of nominal cells."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hold_mismatch import HOLD, HoldMismatch
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.hold import BEYOND, HoldPoints, read_held
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response, with_chip_mismatch
from spicesim.netlist.mismatch import Draw

__all__ = ["find_hold_mismatch"]

VOLTS, CONDUCTANCES, COUNTS = 3, 2, 3
"""Voltages, conductances, and numbers of cells of the columns: what differs is small, and smooth in them."""
COMPONENTS = 3
"""Components of what switches add."""
HELD_OUT_COLUMNS = 8
"""Columns below which each of the held-out switches is looked at."""


def find_hold_mismatch(bench: MismatchBench, held_out: int) -> HoldMismatch:
    """Find how what hold switches keep follows from the numbers of their devices.

    Parameters
    ----------
    bench : MismatchBench
        Of the chip.
    held_out : int
        Further switches with numbers at random, by which the response is judged, on columns drawn at random.
    """
    chip = bench.calibration.chip
    most, v_limit, g_cell = chip.array.rows, BEYOND * chip.dac.v_span, chip.cell.g_max
    counts = np.unique(np.rint(np.geomspace(1, most, COUNTS)).astype(int))
    volts = chebyshev_nodes(-v_limit, v_limit, VOLTS)
    siemens = chebyshev_nodes(chip.cell.g_min, g_cell, CONDUCTANCES)
    grid = _points(*(part.ravel() for part in np.meshgrid(counts, volts, siemens, indexing="ij")))
    design, others = bench.plan(bench.devices(grid.netlist(chip), f"{HOLD}_0"), held_out)
    added = _added(bench, grid, design)
    # a component of unit size is one of the most telling directions in which switches differ
    _, spread, directions = np.linalg.svd(added, full_matrices=False)
    scale = spread[:COMPONENTS, None] / np.sqrt(len(design))
    components = directions[:COMPONENTS] * scale
    names = tuple(f"component {k + 1} [1]" for k in range(len(components)))
    response = fit_response(HOLD, names, design, np.linalg.lstsq(components.T, added.T, rcond=None)[0].T)
    # through all points of the grid
    of_volts = np.linalg.inv(np.vander(volts / v_limit, increasing=True))
    of_siemens = np.linalg.inv(np.vander(siemens / g_cell, increasing=True))
    tables = components.reshape(len(components), len(counts), VOLTS, CONDUCTANCES)
    found = HoldMismatch(
        v_limit=v_limit, rows=tuple(int(count) for count in counts), g_cell=g_cell,
        components=np.einsum("av,krvs,bs->krab", of_volts, tables, of_siemens), response=response, residual=0.0,
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
    return found.model_copy(update={"residual": float(np.abs(rest).max())})


def _points(rows: Floats, v: Floats, g: Floats) -> HoldPoints:
    return HoldPoints(rows=tuple(int(count) for count in rows), g=g, v=v)


def _added(bench: MismatchBench, points: HoldPoints, switches: Planned) -> Floats:
    """Simulate the columns with each switch; return what it adds to the nominal one's, (switches, columns) [V]."""
    chip, netlist = bench.calibration.chip, points.netlist(bench.calibration.chip)

    def drawn(k: int) -> Draw:
        """All switches are this one; cells stay nominal."""
        return lambda path: switches(f"{HOLD}_{k}.{path.partition('.')[2]}") if path.startswith(HOLD) else (0.0, 0.0)

    nominal = with_chip_mismatch(netlist, bench.calibration, lambda path: (0.0, 0.0))
    netlists = [with_chip_mismatch(netlist, bench.calibration, drawn(k)) for k in range(len(switches))]
    own, *found = bench.campaign.run([nominal, *netlists], "hold mismatch")
    columns = len(points.v)
    held = np.stack([read_held(chip, results, columns) for results in found])
    return np.asarray(held - read_held(chip, own, columns))
