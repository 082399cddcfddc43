"""Calibrate the memory cell: plan its bias points, fit the polynomial, take the simplest form that is good enough."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.polynomial import chebyshev
from pydantic import model_validator

from spicesim.behavioural.arrays import FloatArray, Floats, Model
from spicesim.behavioural.cell import CellModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.designs import Filling, chebyshev_grid, fill, near
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import SpecError
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["BiasPoints", "CellPlan", "fit_cell", "plan_cell"]

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

BELOW, ABOVE = 1 / 3, 1.2
"""How far devices are calibrated beyond the conductances that are programmed: write-verify, noise and drift miss them,
and a box no wider would cut off one side of their errors only."""

_TARGET = 4e-5
"""Validation error at which a simpler form is preferred, as a fraction of the largest cell's full scale. A column adds
the errors of its cells, which differ in sign."""


_BOXES, _POINTS, _WIDTH = 8, 32, 0.15
"""A refinement: boxes around the worst points, points a box, and its width as a fraction of the ranges."""
_SPREAD = 1024
"""Points that a refinement adds in the whole box: richer forms would swing between the old ones."""


class BiasPoints(Model):
    """Bias points of single cells."""

    g: FloatArray
    """Conductances of the devices, shape (points,) [S]."""
    v: FloatArray
    """Voltages across the cells [V]."""
    u: FloatArray
    """Bit-line voltages off the reference [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.g.shape == self.v.shape == self.u.shape or self.g.ndim != 1:
            raise ValueError("g, v and u must be three equally long lists")
        return self

    def __len__(self) -> int:
        return len(self.g)

    def rows(self) -> set[tuple[float, float, float]]:
        """Return the points as a set."""
        return set(zip(self.g.tolist(), self.v.tolist(), self.u.tolist(), strict=True))

    def netlist(self, chip: Chip) -> Netlist:
        """Build the simulation of all points."""
        return build_cell_samples(chip, self.g, self.v, self.u)


class CellPlan(BlockPlan):
    """Bias points to simulate."""

    fits: tuple[BiasPoints, ...]
    """Points of the fit: the first design, and what refinements added."""
    validation: BiasPoints
    """Points that decide on the polynomial's form and on refinements."""
    test: BiasPoints
    """Points that decide nothing."""
    kind: str
    """First design of the fit."""
    g_limits: tuple[float, float]
    """Conductances [S]."""
    v_limit: float
    """Largest voltage across a cell [V]."""
    u_limit: float
    """Largest bit-line voltage off the reference [V]."""
    target: float = _TARGET
    """Error at which the simplest form is taken, as a fraction of full scale."""
    seed: int = 0
    """Of the points that refinements add."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitted = set().union(*(points.rows() for points in self.fits))
        validation, test = self.validation.rows(), self.test.rows()
        if fitted & validation or fitted & test or validation & test:
            raise ValueError("the points of fit, validation and test must be disjoint")
        return self

    @property
    def name(self) -> str:
        """Name of the block."""
        return "cell"

    @property
    def design(self) -> str:
        """The design of the fitted points, in words."""
        more = f", refined {len(self.fits) - 1} times" if len(self.fits) > 1 else ""
        return f"{self.kind} in g, v, u{more}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation."""
        return tuple(map(len, (*self.fits, self.validation, self.test)))

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations: of the fit, one a refinement and one more; of validation; of the test."""
        return [points.netlist(chip) for points in (*self.fits, self.validation, self.test)]

    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""
        every = slice(None, None, max(1, len(self.test) // points))
        return build_cell_samples(chip, self.test.g[every], self.test.v[every], self.test.u[every])

    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""
        return fit_cell(chip, self, results)

    def refined(self, judged: Judged) -> Self:
        """Add points around those where the model errs most, and some everywhere."""
        (held_out,) = judged.validation.values()
        worst = np.argsort(-np.abs(held_out.errors))[:_BOXES]
        low, high = np.log(self.g_limits[0]), np.log(self.g_limits[1])
        centres = np.stack(
            [
                (np.log(self.validation.g[worst]) - low) / (high - low),
                self.validation.v[worst] / (2 * self.v_limit) + 0.5,
                self.validation.u[worst] / (2 * self.u_limit) + 0.5,
            ],
            axis=1,
        )
        seed = [self.seed, len(self.fits)]
        unit = np.concatenate([near(centres, _POINTS, _WIDTH, seed), _spread(_SPREAD, [*seed, _BOXES])])
        added = _bias_points(unit, self.g_limits, self.v_limit, self.u_limit)
        return self.model_copy(update={"fits": (*self.fits, added)})


def _spread(points: int, seed: Sequence[int]) -> Floats:
    """Fill the unit cube, denser to its faces as Chebyshev nodes are: a polynomial errs most near these."""
    return np.asarray((1 - np.cos(np.pi * fill("sobol", points, 3, seed))) / 2)


def _bias_points(unit: Floats, g_limits: tuple[float, float], v_limit: float, u_limit: float) -> BiasPoints:
    """Place points of the unit cube in the box; the conductance goes by its logarithm."""
    low, high = np.log(g_limits[0]), np.log(g_limits[1])
    return BiasPoints(
        g=np.clip(np.exp(low + (high - low) * unit[:, 0]), *g_limits),
        v=v_limit * (2 * unit[:, 1] - 1),
        u=u_limit * (2 * unit[:, 2] - 1),
    )


def plan_cell(
    chip: Chip, *, quick: bool = False, seed: int = 0, error: float | None = None, filling: Filling | None = None
) -> CellPlan:
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
        Of the points outside the fit.
    error : float, optional
        Wanted validation error, as a fraction of full scale; without, forms are richer only where that pays.
    filling : {"sobol", "latin hypercube"}, optional
        Design of the fit in place of Chebyshev nodes.

    Raises
    ------
    SpecError
        If the cell is of a kind that there are netlists of only.
    """
    if chip.cell.kind in ("1s1r", "2t2r"):
        remedy = {
            "1s1r": "its exponential needs other forms; calibrate 1r or 1t1r cells",
            "2t2r": "calibrate 1t1r cells in differential columns, the same but for a wire segment between the two",
        }[chip.cell.kind]
        raise SpecError(f"cells of kind {chip.cell.kind!r} have netlists and data sheets, but no calibration: {remedy}")
    v_limit, u_limit = 2.2 * chip.dac.v_span, 1.15 * chip.dac.v_span
    g_limits = (chip.cell.g_min * BELOW, chip.cell.g_max * ABOVE)
    counts = (6, 12, 7) if quick else (8, 16, 9)
    unit = chebyshev_grid(counts) if filling is None else fill(filling, int(np.prod(counts)), 3, [seed, 3])
    rng = np.random.default_rng([seed, 1])
    points = 400 if quick else 1000
    g_random = np.exp(rng.uniform(np.log(g_limits[0]), np.log(g_limits[1]), points))
    return CellPlan(
        fits=(_bias_points(unit, g_limits, v_limit, u_limit),),
        validation=_bias_points(_spread(points, [seed, 2]), g_limits, v_limit, u_limit),
        test=BiasPoints(g=g_random, v=rng.uniform(-v_limit, v_limit, points), u=rng.uniform(-u_limit, u_limit, points)),
        kind=f"Chebyshev grid {counts[0]} x {counts[1]} x {counts[2]}" if filling is None else filling,
        g_limits=g_limits,
        v_limit=v_limit,
        u_limit=u_limit,
        target=_TARGET if error is None else min(error, _TARGET),
        seed=seed,
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


def fit_cell(chip: Chip, plan: CellPlan, results: Sequence[Results]) -> Judged:
    """Fit the cell polynomial by linear least squares on currents relative to each cell's own full scale.

    Parameters
    ----------
    chip : Chip
        The chip.
    plan : CellPlan
        The points.
    results : sequence of Results
        Of the plan's netlists.

    Returns
    -------
    Judged
        The simplest form whose validation error meets the plan's target, or the best; full scale is the current of the
        largest cell at the DAC's span.
    """
    *fitted, expected, tested = (_currents(result) for result in results)
    g, v, u = (np.concatenate([getattr(points, axis) for points in plan.fits]) for axis in "gvu")
    measured = np.concatenate(fitted)
    reference = _series_conductance(g, v, u, measured)
    full_scale = chip.cell.g_max * chip.dac.v_span

    def attempt(orders: tuple[int, ...]) -> tuple[float, CellModel]:
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
            g_limits=plan.g_limits,
            v_limits=(-plan.v_limit, plan.v_limit),
            u_limits=(-plan.u_limit, plan.u_limit),
            v_read=chip.cell.v_read,
        )
        predicted = model.current(plan.validation.g, plan.validation.v, plan.validation.u)
        return float(np.abs(predicted - expected).max() / full_scale), model

    with one_blas_thread():
        model = _simplest(attempt, plan.target, len(g) // 2)

    def compare(points: BiasPoints, found: Floats) -> dict[str, HeldOut]:
        held_out = HeldOut(
            unit="A",
            full_scale=full_scale,
            coordinates={"g [S]": points.g, "v [V]": points.v, "u [V]": points.u},
            measured=found,
            predicted=model.current(points.g, points.v, points.u),
        )
        return {"cell current": held_out}

    return Judged(model=model, validation=compare(plan.validation, expected), test=compare(plan.test, tested))


def _simplest(attempt: Callable[[tuple[int, ...]], tuple[float, CellModel]], target: float, most: int) -> CellModel:
    """Return the simplest model that meets the target, or the best with at most so many coefficients."""
    best: tuple[float, CellModel] | None = None
    for orders in _FORMS:
        found = attempt(orders)
        if best is None or found[0] < best[0]:
            best = found
        if best[0] < target:
            return best[1]
    assert best is not None
    while target < _TARGET:  # asked for more than what pays: more orders in the axis where that helps most
        shape = best[1].coefficients.shape
        # two, too, as a nearly odd curve gains nothing from an even power
        richer = [tuple(n + more * (k == axis) for k, n in enumerate(shape)) for axis in range(3) for more in (1, 2)]
        candidates = [attempt(orders) for orders in richer if np.prod(orders) <= most]
        found = min(candidates, key=lambda candidate: candidate[0], default=best)
        if found[0] > 0.97 * best[0]:
            break
        best = found
        if best[0] < target:
            break
    return best[1]
