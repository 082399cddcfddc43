"""Calibrate the memory cell: plan its bias points, fit the polynomial, take the simplest form that is good enough."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
from numpy.polynomial import chebyshev
from numpy.polynomial.polynomial import polyval
from pydantic import ValidationError, model_validator
from scipy import linalg

from spicesim.arrays import Floats
from spicesim.behavioural.cell import CellModel, ProgrammableCell, SelectorCellModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.cell_points import (
    HELD,
    BiasPoints,
    bias_points,
    closed_points,
    held_points,
    joined,
    leakage_of,
    spread,
)  # fmt: skip
from spicesim.calibration.designs import Filling, fill, near
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.selector import fit_selector, require_open
from spicesim.calibration.verdict import DEFAULT_ERROR
from spicesim.cells import voltage_terms
from spicesim.chip import Chip
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import CalibrationError
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = [
    "HELD_CURRENT", "CellPlan", "Form", "fit_cell", "fit_changes", "fit_coefficients", "form_of", "plan_cell",
]  # fmt: skip

HELD_CURRENT = "cell current, bit line held"
"""Held-out points where an amplifier holds the bit line."""


@dataclass(frozen=True, slots=True)
class Form:
    """Orders of a cell's polynomial."""

    smooth: int
    """Orders of V."""
    folds: int
    """Orders of V that carry |V|: a transistor that changes source and drain has a bend at V = 0."""
    bias: int
    """Orders of u."""
    device: int
    """Orders of x."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the coefficients."""
        return self.smooth + self.folds, self.bias, self.device

    @property
    def size(self) -> int:
        """Coefficients."""
        return int(np.prod(self.shape))


_ALONE = tuple(Form(smooth, 0, 1, 1) for smooth in (1, 3, 5, 7, 9, 11, 13))
"""Forms of a device without a transistor, from simple to rich: odd laws."""
_FORMS = tuple(
    Form(*orders)
    for orders in (
        (4, 3, 4, 3),
        (5, 4, 4, 3),
        (5, 4, 5, 4),
        (6, 5, 5, 4),
        (6, 5, 6, 5),
        (8, 7, 6, 5),
        (8, 7, 7, 6),
        (10, 8, 7, 6),
        (10, 9, 8, 7),
    )
)
"""Forms of a cell with a transistor, from simple to rich."""

BELOW, ABOVE = 1 / 3, 1.2
"""How far devices are calibrated beyond the conductances that are programmed: write-verify, noise and drift miss them,
and a box no wider would cut off one side of their errors only."""

_TARGET = 1e-5
"""Validation error at which a simpler form is preferred, as a fraction of the largest cell's full scale."""
_SHARE = 0.5
"""Share that the cells of a column, all with their largest error of one sign, may take of the error asked for."""


_OTHER_SCALES = (0.01, 0.1, 1.0)
"""Scales of devices that nothing is in series with, over the largest; from currents that rise with devices from some
offset on to those in proportion to them."""
_BOXES, _POINTS, _WIDTH = 8, 32, 0.15
"""A refinement: boxes around the worst points, points a box, and its width as a fraction of the ranges."""
_SPREAD = 1024
"""Points that a refinement adds in the whole box: richer forms would swing between the old ones."""


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
    held_target: float
    """The same where the amplifier holds the bit line: there the errors of a column's cells add up in its output."""
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
        held_out = judged.validation["cell current"]
        worst = np.argsort(-np.abs(held_out.errors))[:_BOXES]
        low, high = np.log(self.g_limits[0]), np.log(self.g_limits[1])
        centres = np.stack(
            [
                (np.log(self.validation.g[worst]) - low) / (high - low),
                (self.validation.v[worst] + self.validation.u[worst]) / (2 * self.u_limit) + 0.5,
                self.validation.u[worst] / (2 * self.u_limit) + 0.5,
            ],
            axis=1,
        )
        seed = [self.seed, len(self.fits)]
        unit = np.concatenate([near(centres, _POINTS, _WIDTH, seed), spread(_SPREAD, [*seed, _BOXES])])
        added = bias_points(unit, self.g_limits, self.u_limit)
        return self.model_copy(update={"fits": (*self.fits, added)})


def plan_cell(
    chip: Chip, *, quick: bool = False, seed: int = 0, error: float | None = None, filling: Filling | None = None
) -> CellPlan:
    """Plan the bias points of a chip's cell.

    The voltages are those that a tile can produce: word lines reach the DAC's span, and a saturated amplifier lets its
    bit line go as far as they drive it; a seventh is added. What a column's output depends on most is the cell on a
    bit line that is held, so there are points of its own for that, and the fit weighs by the distance from it.

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
        If the selector of a 1s1r cell stays closed at the voltages of the chip.
    """
    if chip.cell.kind == "1s1r":
        require_open(chip)
    u_limit = 1.15 * chip.dac.v_span
    g_limits = (chip.cell.g_min * BELOW, chip.cell.g_max * ABOVE)
    count = 1536 if quick else 3072
    unit = spread(count, [seed, 3]) if filling is None else fill(filling, count, 3, [seed, 3])
    around = chip.dac.v_span * np.array([-0.5, -0.3, -0.1, 0.1, 0.3, 0.5])
    around = chip.dac.v_span * np.array([-0.5, -0.3, -0.1, 0.1, 0.3, 0.5])
    largest = BiasPoints(g=np.full(len(around), g_limits[1]), v=around, u=np.zeros(len(around)))
    closed = closed_points((chip.cell.g_min, chip.cell.g_max), u_limit)
    points, held = (400, 128) if quick else (1000, 256)
    amplifier = chip.sense_amplifier
    swing = min(amplifier.v_reference, chip.process.supply - amplifier.v_reference)
    column = chip.array.rows * chip.cell.g_max * chip.dac.v_span * max(amplifier.r_feedback)
    tile_error = 0.5 * DEFAULT_ERROR if error is None else min(error, 0.5 * DEFAULT_ERROR)
    return CellPlan(
        fits=(joined(bias_points(unit, g_limits, u_limit), closed, largest),),
        validation=joined(
            bias_points(spread(points, [seed, 2]), g_limits, u_limit), held_points(chip, u_limit, held, [seed, 4])
        ),
        test=joined(
            bias_points(np.random.default_rng([seed, 1]).random((points, 3)), g_limits, u_limit),
            held_points(chip, u_limit, held, [seed, 5]),
        ),
        kind="sobol, denser to the faces," if filling is None else filling,
        g_limits=g_limits,
        v_limit=2 * u_limit,
        u_limit=u_limit,
        target=_TARGET if error is None else min(error, _TARGET),
        held_target=float(np.clip(_SHARE * tile_error * swing / column, 2e-7, _TARGET)),
        seed=seed,
    )


def _currents(results: Results) -> Floats:
    vectors = results[0].vectors
    return np.array([float(vectors[f"i(vsense_{k})"][0].real) for k in range(len(vectors))])


def _scales(points: BiasPoints, current: Floats) -> list[float]:
    """Return what may serve as the scale of devices: the conductance in series with them, if there is one [S].

    It is estimated from the largest device near rest.
    """
    near_rest = (points.g == points.g.max()) & (points.u == 0)
    v = points.v[near_rest]
    whole = float(np.linalg.lstsq(np.stack([v, np.abs(v) * v, v**3], axis=1), current[near_rest], rcond=None)[0][0])
    device = float(points.g.max())
    return [device * whole / (device - whole)] if whole < 0.999 * device else [s * device for s in _OTHER_SCALES]


def fit_changes(cell: ProgrammableCell, points: BiasPoints, currents: Floats) -> Floats:
    """Fit what conditions add to the coefficients of a cell, in the form that it has.

    Parameters
    ----------
    cell : ProgrammableCell
        The cell at the chip's own condition.
    points : BiasPoints
        Where currents are known.
    currents : ndarray of shape (conditions, points)
        Without leakage [A].

    Returns
    -------
    ndarray of shape (conditions, ...)
        In the shape of the coefficients.
    """
    if isinstance(cell, CellModel):
        return fit_coefficients(
            form_of(cell), points, currents - cell.current(points.g, points.v, points.u),
            g_reference=cell.g_reference, v_limit=cell.v_limits[1], u_limit=cell.u_limits[1],
        )  # fmt: skip
    return np.stack([fit_selector(points.g, points.v, own) for own in currents]) - cell.coefficients


def form_of(cell: CellModel) -> Form:
    """Return the orders of a model."""
    terms, bias, device = cell.coefficients.shape
    return Form(terms - cell.folds, cell.folds, bias, device)


def fit_coefficients(
    form: Form, points: BiasPoints, current: Floats, *, g_reference: float, v_limit: float, u_limit: float
) -> Floats:
    """Fit a polynomial to currents without leakage, or one to each of several cells' currents at the same points.

    Errors count between relative to the cell's own full scale and absolute. The weight falls with the distance from a
    held bit line, where errors of cells add up in an output; elsewhere the amplifier is at its rail, and errors reach
    others through the word lines alone.

    Parameters
    ----------
    form : Form
        Orders of the polynomial.
    points : BiasPoints
        Where currents are known.
    current : ndarray of shape (..., points)
        Currents [A].
    g_reference : float
        Of the axis of devices [S].
    v_limit, u_limit : float
        Largest voltages [V].

    Returns
    -------
    ndarray of shape (..., *form.shape)
        In powers of volts.
    """
    scale = np.concatenate(
        [v_limit ** np.arange(1, n + 1) * more for n, more in ((form.smooth, 1), (form.folds, v_limit))]
    )
    terms = voltage_terms(points.v / v_limit, form.shape[0], form.folds)[0]  # scaled, for well-conditioned equations
    biases = (points.u[:, None] / u_limit) ** np.arange(form.bias)
    devices = chebyshev.chebvander(2 * points.g / (points.g + g_reference) - 1, form.device - 1)
    weight = np.sqrt(points.g) / (HELD + np.abs(points.u) / u_limit)
    design = np.einsum("p,pa,pb,pc->pabc", weight, terms, biases, devices).reshape(len(points), -1)
    wanted = np.moveaxis(weight * current / points.g, -1, 0)
    solution = linalg.lstsq(design, wanted.reshape(len(points), -1), lapack_driver="gelsy", check_finite=False)[0]
    solution = solution.T.reshape(*current.shape[:-1], *form.shape) / scale[:, None, None]
    return np.asarray(solution / u_limit ** np.arange(form.bias)[:, None])


def fit_cell(chip: Chip, plan: CellPlan, results: Sequence[Results]) -> Judged:
    """Fit the cell polynomial by linear least squares.

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
        The simplest form whose validation errors meet the plan's targets, or the best; full scale is the current of
        the largest cell at the DAC's span.
    """
    *fitted, expected, tested = (_currents(result) for result in results)
    points, measured = joined(*plan.fits), np.concatenate(fitted)
    leakage = leakage_of(points, measured)
    conducted = measured - polyval(points.u, leakage)
    v_limits, u_limits = (-plan.v_limit, plan.v_limit), (-plan.u_limit, plan.u_limit)
    limits = {"g_limits": plan.g_limits, "v_limits": v_limits, "u_limits": u_limits}
    full_scale = chip.cell.g_max * chip.dac.v_span

    def compare(model: ProgrammableCell, points: BiasPoints, found: Floats) -> dict[str, HeldOut]:
        predicted = model.current(points.g, points.v, points.u) + model.leaked(points.u)
        held = np.abs(points.u) <= HELD * plan.u_limit
        return {
            name: HeldOut(
                unit="A",
                full_scale=full_scale,
                measured=found[part],
                predicted=predicted[part],
                coordinates={"g [S]": points.g[part], "v [V]": points.v[part], "u [V]": points.u[part]},
            )
            for name, part in (("cell current", np.full(len(points), True)), (HELD_CURRENT, held))
        }

    def attempt(form: Form, reference: float) -> tuple[float, CellModel]:
        try:
            coefficients = fit_coefficients(
                form, points, conducted, g_reference=reference, v_limit=plan.v_limit, u_limit=plan.u_limit
            )
            model = CellModel(
                coefficients=coefficients, folds=form.folds, leakage=leakage, g_reference=reference,
                v_read=chip.cell.v_read, **limits,
            )  # fmt: skip
        except ValidationError as error:
            raise CalibrationError(
                f"cells from {plan.g_limits[0]:g} to {plan.g_limits[1]:g} S, up to {plan.v_limit:g} V across them, are "
                f"no conductances that can be programmed ({error.errors()[0]['msg']}); raise cell.g_min, or lower "
                "dac.v_span"
            ) from None
        errors = compare(model, plan.validation, expected)
        missed = errors["cell current"].max_error / plan.target, errors[HELD_CURRENT].max_error / plan.held_target
        return max(missed), model

    model: ProgrammableCell
    if chip.cell.kind == "1s1r":
        own = fit_selector(points.g, points.v, conducted)
        model = SelectorCellModel(coefficients=own, leakage=leakage, v_read=chip.cell.v_read, **limits)
    else:
        scales = _scales(points, conducted)
        forms = _FORMS if chip.cell.has_gate else _ALONE
        with one_blas_thread():
            scale = min(scales, key=lambda scale: attempt(forms[0], scale)[0]) if len(scales) > 1 else scales[0]
            model = _simplest(lambda form: attempt(form, scale), forms, plan.target < _TARGET, len(points) // 2)
    return Judged(
        model=model,
        validation=compare(model, plan.validation, expected),
        test=compare(model, plan.test, tested),
    )


def _simplest(
    attempt: Callable[[Form], tuple[float, CellModel]], forms: Sequence[Form], is_strict: bool, most: int
) -> CellModel:
    """Return the simplest model whose errors are within their targets, or the best.

    Parameters
    ----------
    attempt : callable
        Fits a form; returns its largest error, in units of the target, and the model.
    forms : sequence of Form
        From simple to rich.
    is_strict : bool
        Whether to go on beyond these forms, because more was asked for than what pays.
    most : int
        Coefficients at most.
    """
    best: tuple[float, CellModel] | None = None
    for form in forms:
        if best is not None and form.size > most:
            break
        found = attempt(form)
        if best is None or found[0] < best[0]:
            best = found
        if best[0] <= 1:
            return best[1]
    assert best is not None
    while is_strict:  # more orders in the axis where that helps most
        orders = astuple(form_of(best[1]))
        # two, too, as a nearly odd curve gains nothing from an even power
        richer = [Form(*(n + more * (k == axis) for k, n in enumerate(orders))) for axis in range(4) for more in (1, 2)]
        candidates = [attempt(form) for form in richer if form.size <= most]
        found = min(candidates, key=lambda candidate: candidate[0], default=best)
        if found[0] > 0.97 * best[0]:
            break
        best = found
        if best[0] <= 1:
            break
    return best[1]
