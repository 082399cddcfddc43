"""Recover the resistances of an array's wires, drivers, senses and contacts from its column currents alone."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.calibration.common_errors import LOOKED_FOR, ArrayErrors, describe, estimate_errors, quantity_text
from spicesim.calibration.fit import Fit, Loss
from spicesim.calibration.least_squares import Unknown, differentiate, find_values, fit_parameters, robust_weights
from spicesim.calibration.mistakes import Table, refuse_mistakes
from spicesim.calibration.readings import COMMON, ProgrammedArray, Readings
from spicesim.cells import Cell, Linear
from spicesim.crossbar import Crossbar
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import CalibrationError, SpecError, SpiceSimError
from spicesim.metrics import rms

__all__ = ["WIRES", "ContactedCell", "fit_wires"]

WIRES = {
    "r_word_line": "a segment of the word lines [ohm]",
    "r_bit_line": "a segment of the bit lines [ohm]",
    "r_driver": "between source and word line [ohm]",
    "r_sense": "between bit line and virtual ground [ohm]",
    "r_contact": "in series with every cell [ohm]",
    "g_scale": "common factor of the conductances given [1]",
}
"""What :func:`fit_wires` can find."""

_START = 1.0
"""First guess of the resistances, and the change of them that matters [ohm]."""
_OFFSET = "offset"
"""Name of what all currents share."""
_SHIFTED = 2.5
"""Standard errors from which on an offset of all currents is fitted, too."""
_LACKING = 4.0
"""Standard errors from which on a parameter that was held is named."""
_EXACT = 1e-9
"""Residuals, relative to the currents, below which data are without errors."""
_LEAST_FREEDOM = 4
"""Fewest data beyond the unknowns in which errors are looked for."""
_STRANGE = 0.25
"""Errors of conductances and gains, and of voltages relative to theirs, beyond which nothing is believed."""
_ROUNDS = 2
"""Times that errors are estimated; these depend little on the resistances."""


@dataclass(frozen=True, slots=True, eq=False)
class ContactedCell:
    """Any cell with a resistance in series."""

    cell: Cell
    """The cell without it."""
    resistance: float
    """Of both contacts together [ohm]."""

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]; g, v, u broadcast."""
        return self.cell.current(g, self._inner(g, v, u), u)

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]; g, v, u broadcast."""
        bare = self.cell.slope(g, self._inner(g, v, u), u)
        return np.asarray(bare / (1 + self.resistance * bare))

    def _inner(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> Floats:
        """Find the voltage across the bare cell."""
        across = np.asarray(v, dtype=float)
        inner = across + np.zeros(np.broadcast_shapes(np.shape(g), np.shape(v), np.shape(u)))
        for _ in range(30):  # the drop is small, so three steps do
            excess = inner + self.resistance * self.cell.current(g, inner, u) - across
            step = excess / (1 + self.resistance * self.cell.slope(g, inner, u))
            inner = inner - step
            if float(np.abs(step).max(initial=0.0)) <= 1e-15:
                break
        return inner


def fit_wires(
    g: npt.ArrayLike,
    v: npt.ArrayLike,
    currents: npt.ArrayLike,
    *,
    cell: Cell | None = None,
    wanted: Sequence[str] = ("r_word_line", "r_bit_line"),
    known: Mapping[str, float] | None = None,
    loss: Loss = "linear",
    g_error: float | None = None,
) -> Fit:
    """Fit resistances of an array to its column currents, with the exact crossbar as the model.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances of the devices [S].
    v : array_like of shape (batch, rows)
        Source voltages [V].
    currents : array_like of shape (batch, columns)
        Currents into the virtual grounds, measured or simulated [A]; NaN where there is none.
    cell : Cell, optional
        Law of the cells; linear by default. A calibrated cell is ``CellModel.cell``.
    wanted : sequence of str
        Of :data:`WIRES`, what to find.
    known : mapping of str to float, optional
        Values of the others; by default resistances are 0 and g_scale is 1.
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.
    g_error : float, optional
        Standard deviation of the relative errors of the conductances, each cell its own, if it is known; by default it
        is found from the residuals.

    Returns
    -------
    Fit
        Parameters with intervals, of which errors that many currents share are a part: those of conductances, gains
        and offsets of columns, rows and vectors. What was found of them is in ``errors``, with one warning for each
        that chance does not explain. What the currents do not tell apart is named in ``unidentifiable``: a contact acts
        like a lower conductance, so with g_scale free it takes cells of several conductances to see it, and a driver
        acts like the first segment of its line.

    Raises
    ------
    SpecError
        If shapes or names are wrong, or units or the order of the data are evidently mistaken.
    CalibrationError
        If there are too few data, or the fit does not end, or it explains too little of the currents.
    """
    conductances, volts = np.asarray(g, dtype=float), np.atleast_2d(np.asarray(v, dtype=float))
    measured = np.atleast_2d(np.asarray(currents, dtype=float))
    if conductances.ndim != 2 or volts.shape[1] != len(conductances):
        raise SpecError(f"g {conductances.shape} and v {volts.shape} do not fit; wanted (rows, columns), (batch, rows)")
    if measured.shape != (len(volts), conductances.shape[1]):
        raise SpecError(
            f"currents must have shape {(len(volts), conductances.shape[1])} for {len(volts)} vectors, "
            f"got {measured.shape}"
        )
    if not (np.isfinite(conductances).all() and (conductances >= 0).all()):
        raise SpecError("the conductances must be finite and >= 0 S; give 0 to cells that are missing")
    if not np.isfinite(volts).all():
        raise SpecError("the voltages must be finite; leave out vectors that were not applied")
    given = dict.fromkeys(WIRES, 0.0) | {"g_scale": 1.0} | dict(known or {})
    for name in [*wanted, *given]:
        if name not in WIRES:
            raise SpecError(f"no parameter {name!r} of an array; there are: {', '.join(WIRES)}")
    valid = np.isfinite(measured)
    if not valid.any():
        raise CalibrationError("there is no current to fit to; measure some columns")
    if g_error is not None and not 0 <= g_error < 1:
        raise SpecError(f"the error of the conductances must lie in 0..1, such as 0.03 for 3 %, got {g_error:g}")
    problem = _Problem(
        g=conductances, v=volts, currents=measured, cell=Linear() if cell is None else cell, given=given,
        wanted=tuple(wanted),
    )  # fmt: skip
    if np.count_nonzero(valid) > len(wanted):  # fewer data are refused below
        refuse_mistakes(Table(conductances, volts, measured), lambda t: problem.of(t).plain_residuals())
    values = problem.solve(loss)
    residuals = problem.residuals([values[name] for name in problem.wanted])
    if rms(residuals) <= _EXACT * problem.signal or len(residuals) < len(problem.wanted) + _LEAST_FREEDOM:
        unknowns = problem.unknowns(values)
        return fit_parameters(problem.residuals, unknowns, unit="A", jacobian="3-point", loss=loss)
    noise = robust_weights(residuals, loss) ** -2
    with one_blas_thread():  # matrices are small: threads would wait for each other
        return _refine(problem, values, noise, loss, {} if g_error is None else {"conductances": g_error**2})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Problem:
    """What :func:`fit_wires` was asked."""

    g: Floats
    v: Floats
    currents: Floats
    cell: Cell
    given: Mapping[str, float]
    wanted: tuple[str, ...]

    def of(self, table: Table) -> "_Problem":
        """Return the same question about other data."""
        return replace(self, g=table.g, v=table.v, currents=table.currents)

    @property
    def signal(self) -> float:
        """RMS of the currents [A]."""
        return rms(self.currents[np.isfinite(self.currents)])

    def unknowns(self, at: Mapping[str, float] | None = None) -> list[Unknown]:
        """Return the unknowns, with first guesses if there are some."""
        kinds = {
            "g_scale": Unknown(name="g_scale", unit="1", start=1.0, low=0.0, scale=1.0),
            _OFFSET: Unknown(name=_OFFSET, unit="A", start=0.0, scale=self.signal),
        }
        listed = [
            kinds.get(name) or Unknown(name=name, unit="ohm", start=_START, low=0.0, scale=_START)
            for name in self.wanted
        ]
        return [replace(unknown, start=(at or {}).get(unknown.name, unknown.start)) for unknown in listed]

    def values(self, numbers: Any) -> dict[str, float]:
        return {**self.given, **dict(zip(self.wanted, map(float, numbers), strict=True))}

    def build(self, values: Mapping[str, float]) -> ProgrammedArray:
        """Make the array."""
        scale, contact = values["g_scale"], values["r_contact"]
        scaled, lift, cell = self.g * scale, np.full_like(self.g, scale), self.cell
        if contact and isinstance(cell, Linear):
            lift = lift / (1 + scaled * contact) ** 2
            scaled = scaled / (1 + scaled * contact)
        elif contact:
            cell = ContactedCell(cell, contact)
        array = Crossbar(
            scaled, values["r_word_line"], values["r_bit_line"], values["r_driver"], values["r_sense"], cell=cell
        )
        return ProgrammedArray(array=array, g=self.g, lift=lift)

    def residuals(self, numbers: Any) -> Floats:
        """Return model less data, of what was measured [A]."""
        values = self.values(numbers)
        difference = self.build(values).array.currents(self.v) + values.get(_OFFSET, 0.0) - self.currents
        return np.asarray(difference[np.isfinite(self.currents)])

    def solve(self, loss: Loss = "linear") -> dict[str, float]:
        """Find the values for which plain residuals are least, determined or not."""
        return self.values(find_values(self.residuals, self.unknowns(), loss=loss))

    def plain_residuals(self) -> Floats | None:
        """Return the residuals of the plain fit, of the shape of the currents [A]; None if there is no fit."""
        try:
            values = self.solve()
        except SpiceSimError:
            return None
        full = np.full(self.currents.shape, np.nan)
        full[np.isfinite(self.currents)] = self.residuals([values[name] for name in self.wanted])
        return full

    def linearise(self, values: Mapping[str, float], noise: Floats) -> Readings:
        """Return what errors do to the readings."""
        slopes = differentiate(self.residuals, self.unknowns(values))
        made = self.build(values)
        return Readings.of(made, self.v, self.currents - values.get(_OFFSET, 0.0), slopes, noise)


def _refine(
    problem: _Problem, values: Mapping[str, float], noise: Floats, loss: Loss, known: Mapping[str, float]
) -> Fit:
    """Weigh the readings by the errors that they share."""
    shifted, start = replace(problem, wanted=(*problem.wanted, _OFFSET)), {**values, _OFFSET: 0.0}
    if abs(_lacking(shifted.linearise(start, noise), known, LOOKED_FOR, choose=True)[1]) > _SHIFTED:
        problem, values = shifted, start
    valid = np.isfinite(problem.currents)

    def whitened(errors: ArrayErrors) -> Callable[[Any], Floats]:
        def residuals(numbers: Any) -> Floats:
            full = np.zeros(valid.shape)
            full[valid] = problem.residuals(numbers)
            return np.asarray(errors.whiten(full.T).T[valid])

        return residuals

    among: Collection[str] = LOOKED_FOR
    for _ in range(_ROUNDS):
        errors = estimate_errors(problem.linearise(values, noise), known, among)
        common = any(name in COMMON for name in errors.variances)
        among = LOOKED_FOR if common else errors.variances
        values = problem.values(find_values(whitened(errors), problem.unknowns(values)))
    _refuse_strangers(problem, errors)
    made = problem.build(values)

    def judge(influence: Floats) -> tuple[Floats, Floats]:
        full = np.zeros((len(influence), *valid.shape))
        full[:, valid] = influence
        return errors.judge(full.swapaxes(1, 2), made, problem.v)

    unknowns = problem.unknowns(values)
    fit = fit_parameters(whitened(errors), unknowns, unit="A", jacobian="3-point", judge=judge)
    residuals = problem.residuals([values[name] for name in problem.wanted])
    warnings = [f"{describe(name, errors)}; the intervals allow for it" for name in errors.named]
    if errors.named:
        warnings += _name_lacking(problem, values, noise, known, among)
    kept = [k for k, name in enumerate(fit.parameters) if name != _OFFSET]
    found = {**errors.sizes, **{name: p for name, p in fit.parameters.items() if name == _OFFSET}}
    if _OFFSET in found:
        size = quantity_text(found[_OFFSET].value, "A")
        warnings.insert(0, f"all currents share an offset of {size}; it was fitted, too")
    return fit.model_copy(
        update={
            "parameters": {name: p for name, p in fit.parameters.items() if name != _OFFSET},
            "unidentifiable": {name: why for name, why in fit.unidentifiable.items() if name != _OFFSET},
            "covariance": fit.covariance[np.ix_(kept, kept)], "residuals": residuals, "loss": loss, "errors": found,
            "warnings": (*(w for w in fit.warnings if _OFFSET not in w), *warnings),
        }
    )  # fmt: skip


def _refuse_strangers(problem: _Problem, errors: ArrayErrors) -> None:
    """Refuse data whose errors are so large that they belong to another array."""
    sizes = {"A": math.inf, "S": rms(problem.g), "V": rms(problem.v), "1": 1.0}
    for name in errors.named:
        found = errors.sizes[name]
        if found.value > _STRANGE * sizes[found.unit]:
            raise CalibrationError(
                f"{describe(name, errors)}: these voltages and currents are hardly those of this array; "
                "look at the order of rows, columns and vectors, and at the law of the cells"
            )


def _lacking(
    readings: Readings, known: Mapping[str, float], among: Collection[str], *, choose: bool
) -> tuple[float, float]:
    """Estimate the last unknown by one linear step; return its change, and that in standard errors."""
    errors = estimate_errors(readings, known, among, choose=choose)
    slopes = np.stack([errors.whiten(column).ravel() for column in np.moveaxis(readings.slopes, 2, 0)], axis=1)
    norms = np.linalg.norm(slopes, axis=0)
    norms[norms == 0] = 1.0
    inverse = np.linalg.pinv(slopes / norms, rcond=1e-6)
    step = inverse @ errors.whiten(readings.residuals).ravel()
    deviation = float(np.linalg.norm(inverse[-1])) or 1.0
    return float(step[-1] / norms[-1]), float(step[-1] / deviation)


def _name_lacking(
    problem: _Problem,
    values: Mapping[str, float],
    noise: Floats,
    known: Mapping[str, float],
    among: Collection[str],
) -> list[str]:
    """Name the parameter that was held and whose change would explain most of what was found."""
    scores = {}
    for name in WIRES:
        if name in problem.wanted:
            continue
        richer = replace(problem, wanted=(*problem.wanted, name))
        change, score = _lacking(richer.linearise(values, noise), known, among, choose=False)
        if values[name] + change > 0:
            scores[name] = abs(score), values[name] + change
    if not scores:
        return []
    name = max(scores, key=lambda one: scores[one][0])
    if scores[name][0] < _LACKING:
        return []
    return [
        f"{name} was held at {values[name]:g}, but about {scores[name][1]:.3g} fits better by {scores[name][0]:.0f} "
        f"standard errors, and would be in these errors; add it to --find, or give it by --given {name}=.."
    ]
