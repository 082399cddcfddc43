"""Calibrate the memory cell: plan its bias points, fit the polynomial, take the simplest form that is good enough."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.cell import CellModel
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["CellPlan", "fit_cell", "plan_cell"]

_FORMS = (
    (1, 1, 1),
    (3, 1, 1),
    (5, 1, 1),
    (3, 3, 2),
    (4, 3, 3),
    (5, 4, 3),
    (6, 5, 3),
    (7, 5, 4),
    (8, 6, 4),
    (9, 7, 4),
)
"""Orders in V, u and x, from simple to rich."""

_TARGET = 4e-5
"""Held-out error at which a simpler form is preferred, as a fraction of the largest cell's full scale. A column adds
the errors of its cells, which differ in sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlan:
    """Bias points to simulate: Chebyshev nodes for the fit, random ones held out."""

    fit: tuple[Floats, Floats, Floats]
    """g [S], V [V], u [V] of the fitted points."""
    held_out: tuple[Floats, Floats, Floats]
    """The same of the held-out points."""
    v_limit: float
    """Largest voltage across a cell [V]."""
    u_limit: float
    """Largest bit-line voltage off the reference [V]."""

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the two simulations."""
        return [build_cell_samples(chip, *self.fit), build_cell_samples(chip, *self.held_out)]


def _chebyshev_nodes(low: float, high: float, count: int) -> Floats:
    """Chebyshev nodes of an interval, stretched so that the outermost ones are its ends."""
    angles = np.pi * (np.arange(count) + 0.5) / count
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.cos(angles) / np.cos(angles[0]))


def plan_cell(chip: Chip, *, quick: bool = False, seed: int = 0) -> CellPlan:
    """Plan the bias points of a chip's cell.

    The voltages are those that a tile can produce: a saturated amplifier lets its bit line go as far as the word lines
    drive it, so u reaches the DAC's span and V twice that; a tenth is added.

    Parameters
    ----------
    chip : Chip
        The chip.
    quick : bool
        Fewer points.
    seed : int
        Of the held-out points.
    """
    v_limit, u_limit = 2.2 * chip.dac.v_span, 1.15 * chip.dac.v_span
    g_low, g_high = chip.cell.g_min, chip.cell.g_max
    counts = (6, 12, 7) if quick else (8, 16, 9)
    grid = np.meshgrid(
        np.exp(_chebyshev_nodes(np.log(g_low), np.log(g_high), counts[0])),
        _chebyshev_nodes(-v_limit, v_limit, counts[1]),
        _chebyshev_nodes(-u_limit, u_limit, counts[2]),
        indexing="ij",
    )
    rng = np.random.default_rng([seed, 1])
    points = 400 if quick else 1000
    return CellPlan(
        fit=(grid[0].ravel(), grid[1].ravel(), grid[2].ravel()),
        held_out=(
            np.exp(rng.uniform(np.log(g_low), np.log(g_high), points)),
            rng.uniform(-v_limit, v_limit, points),
            rng.uniform(-u_limit, u_limit, points),
        ),
        v_limit=v_limit,
        u_limit=u_limit,
    )


def _currents(results: Results) -> Floats:
    vectors = results[0].vectors
    return np.array([float(vectors[f"i(vsense_{k})"][0].real) for k in range(len(vectors))])


def _series_conductance(g: Floats, v: Floats, u: Floats, current: Floats) -> float:
    """Estimate the conductance in series with the devices, from the points near rest of the largest device."""
    largest = g > 0.999 * g.max()
    design = np.stack([v[largest], v[largest] ** 2, v[largest] ** 3, v[largest] * u[largest]], axis=1)
    whole = float(np.linalg.lstsq(design, current[largest], rcond=None)[0][0])
    device = float(g.max())
    # without a transistor there is nothing in series; any scale then serves
    return device * whole / (device - whole) if whole < 0.999 * device else 100 * device


def fit_cell(chip: Chip, plan: CellPlan, results: list[Results]) -> tuple[CellModel, HeldOut]:
    """Fit the cell polynomial by linear least squares on currents relative to each cell's own full scale.

    Parameters
    ----------
    chip : Chip
        The chip.
    plan : CellPlan
        The points.
    results : list of Results
        Of the plan's netlists.

    Returns
    -------
    model : CellModel
        The simplest form whose held-out error meets the target, or the best.
    held_out : HeldOut
        Its errors; full scale is the current of the largest cell at the DAC's span.
    """
    (g, v, u), measured = plan.fit, _currents(results[0])
    reference = _series_conductance(g, v, u, measured)
    full_scale = chip.cell.g_max * chip.dac.v_span
    expected = _currents(results[1])
    best: tuple[float, CellModel, Floats] | None = None
    for orders in _FORMS:
        # columns scaled to the box, so that the normal equations are well conditioned
        scale = plan.v_limit ** np.arange(1, orders[0] + 1)[:, None] * plan.u_limit ** np.arange(orders[1])[None, :]
        x = 2 * g / (g + reference) - 1
        powers = (
            (v[:, None] / plan.v_limit) ** np.arange(1, orders[0] + 1),
            (u[:, None] / plan.u_limit) ** np.arange(orders[1]),
            chebyshev.chebvander(x, orders[2] - 1),
        )
        design = np.einsum("pa,pb,pc->pabc", *powers).reshape(len(g), -1)
        solution = np.linalg.lstsq(design, measured / g, rcond=None)[0].reshape(orders)
        model = CellModel(
            coefficients=solution / scale[:, :, None],
            g_reference=reference,
            g_limits=(chip.cell.g_min, chip.cell.g_max),
            v_limits=(-plan.v_limit, plan.v_limit),
            u_limits=(-plan.u_limit, plan.u_limit),
            v_read=chip.cell.v_read,
        )
        predicted = model.current(*plan.held_out)
        error = float(np.abs(predicted - expected).max() / full_scale)
        if best is None or error < best[0]:
            best = (error, model, predicted)
        if error < _TARGET:
            break
    assert best is not None
    g_held, v_held, u_held = plan.held_out
    held_out = HeldOut(
        unit="A",
        full_scale=full_scale,
        coordinates={"g [S]": g_held, "v [V]": v_held, "u [V]": u_held},
        measured=expected,
        predicted=best[2],
    )
    return best[1], held_out
