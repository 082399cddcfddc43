"""Least squares with named unknowns: estimates with intervals, and the names of what the data do not determine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares
from scipy.special import stdtrit

from spicesim.arrays import Floats
from spicesim.behavioural.parameter import Parameter
from spicesim.calibration.bounded import bounded_interval
from spicesim.calibration.fit import Fit, Loss
from spicesim.errors import CalibrationError, SpecError

__all__ = ["CONFIDENCE", "Judge", "Unknown", "differentiate", "find_values", "fit_parameters", "robust_weights"]

CONFIDENCE = 0.95
"""Of all intervals."""

Residuals = Callable[[Any], Any]
"""Of the values of the unknowns, shape (unknowns,), the model less the data, shape (data,)."""

Judge = Callable[[Floats], tuple[Floats, Floats]]
"""Of the influence of data on estimates, shape (unknowns, data), the covariance of the estimates, shape (unknowns,
unknowns), and the degrees of freedom of their variances, shape (unknowns,)."""

_CORRELATED = 0.95
"""Correlation of two estimates that is worth a warning."""
_NULL = {"analytic": 1e-9, "complex-step": 1e-9, "3-point": 1e-6}
"""Singular value, relative to the largest, below which a direction is not seen in the data; differences are noisy."""
_BLIND = 1e-10
"""Effect of an unknown, relative to the strongest one's, that counts as none."""
_TAKES_PART = 1e-3
"""Share in an unseen direction that makes an unknown undetermined."""
_LEAST_INDEPENDENT = 3.0
"""Independent residuals that any misfit has at least."""
_TUNING = 1.345
"""Residual, in standard deviations, where the robust losses begin to bend: 95 % efficiency for Huber's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A parameter to fit."""

    name: str
    """Its name."""
    unit: str
    """SI unit."""
    start: float
    """First guess."""
    low: float = -math.inf
    """Least possible value."""
    high: float = math.inf
    """Greatest possible value."""
    scale: float
    """A change that matters. An estimate less certain than that, and than its own size, is not reported."""

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.isfinite(self.scale) and self.low <= self.start <= self.high):
            raise SpecError(
                f"unknown {self.name}: wanted scale > 0 and low <= start <= high, got scale {self.scale:g}, "
                f"{self.low:g} <= {self.start:g} <= {self.high:g} {self.unit}"
            )


def fit_parameters(
    residuals: Residuals,
    unknowns: Sequence[Unknown],
    *,
    unit: str,
    jacobian: Callable[[Floats], Floats] | Literal["complex-step", "3-point"] = "complex-step",
    loss: Loss = "linear",
    ordered: bool = False,
    judge: Judge | None = None,
) -> Fit:
    """Fit named parameters by least squares, and say how far they can be trusted.

    Parameters
    ----------
    residuals : callable
        Values of the unknowns, shape (unknowns,), to the model less the data, shape (data,). All data weigh the same,
        so divide by their standard deviations if these differ.
    unknowns : sequence of Unknown
        What to find.
    unit : str
        Of the residuals.
    jacobian : callable or {"complex-step", "3-point"}
        Derivatives of the residuals, shape (data, unknowns), as a function of the same values; or how to take them. The
        complex step is exact to rounding and needs `residuals` to be analytic and free of abs, max and comparisons.
    loss : {"linear", "soft_l1", "huber"}
        What to minimise. The robust losses bend at 1.345 standard deviations, found from the median residual.
    ordered : bool
        Whether the residuals come in the order of a sweep, so that neighbours can be compared. Correlated ones are then
        counted as fewer.
    judge : callable, optional
        What is known of the errors of the data, if they are not independent and alike.

    Returns
    -------
    Fit
        Estimates with 95 % intervals of Student's t, from the variance of the residuals; near a bound of
        :func:`~spicesim.calibration.bounded.bounded_interval`.

    Raises
    ------
    CalibrationError
        If there are no more data than unknowns, residuals are not finite, or the fit does not end.

    Notes
    -----
    The covariance is s^2 (J^T J)^-1 with the residual variance s^2, for robust losses Huber's
    sum psi^2 / dof / mean(psi')^2 (P. J. Huber, Robust Statistics, 1981, section 7.6). J is scaled to unit columns; its
    singular vectors with vanishing singular values are the combinations that no data see.
    """
    problem = _Problem(residuals, tuple(unknowns), jacobian)
    z, message, bend = problem.solve(loss)
    return _judge(problem, z, message, unit=unit, loss=loss, bend=bend, ordered=ordered, judge=judge)


def find_values(residuals: Residuals, unknowns: Sequence[Unknown], *, loss: Loss = "linear") -> Floats:
    """Return the values for which residuals are least, whether the data determine them or not; by three points."""
    problem = _Problem(residuals, tuple(unknowns), "3-point")
    return np.asarray(problem.solve(loss)[0] * problem.scale)


def robust_weights(residuals: Floats, loss: Loss) -> Floats:
    """Return the pull of each residual relative to that of plain least squares, at most 1."""
    bend = _TUNING * _median_deviation(residuals)
    if loss == "linear" or bend == 0.0:
        return np.ones_like(residuals)
    x = np.abs(residuals) / bend
    return np.asarray(1 / np.maximum(1, x) if loss == "huber" else 1 / np.sqrt(1 + x**2))


def differentiate(residuals: Residuals, unknowns: Sequence[Unknown]) -> Floats:
    """Differentiate by three points, at the first guesses; return shape (data, unknowns)."""
    problem = _Problem(residuals, tuple(unknowns), "3-point")
    return np.asarray(problem.jacobian(problem.start) * problem.size / problem.scale)


class _Problem:
    """The same problem in scaled unknowns z = value / scale and scaled residuals."""

    def __init__(
        self,
        residuals: Residuals,
        unknowns: tuple[Unknown, ...],
        jacobian: Callable[[Floats], Floats] | Literal["complex-step", "3-point"],
    ) -> None:
        self.unknowns, self._residuals, self._jacobian = unknowns, residuals, jacobian
        self.kind = jacobian if isinstance(jacobian, str) else "analytic"
        self.scale = np.array([unknown.scale for unknown in unknowns])
        self.low = np.array([unknown.low for unknown in unknowns]) / self.scale
        self.high = np.array([unknown.high for unknown in unknowns]) / self.scale
        self.start = np.array([unknown.start for unknown in unknowns]) / self.scale
        self.size = 1.0
        first = self.residuals(self.start)
        if not np.isfinite(first).all():
            raise CalibrationError("the residuals at the first guess are not finite; look at the data and the guess")
        if len(first) <= len(unknowns):
            raise CalibrationError(
                f"{len(first)} data for {len(unknowns)} unknowns ({', '.join(u.name for u in unknowns)}); "
                "wanted more data than unknowns: measure more points"
            )
        self.size = float(np.sqrt(np.mean(first**2))) or 1.0

    def residuals(self, z: Floats) -> Floats:
        return np.asarray(self._residuals(z * self.scale), dtype=float).ravel() / self.size

    def jacobian(self, z: Floats) -> Floats:
        if callable(self._jacobian):
            return np.asarray(self._jacobian(z * self.scale) * self.scale / self.size)
        columns: list[Floats] = []
        for k in range(len(z)):
            if self._jacobian == "complex-step":
                step = z * self.scale + np.where(np.arange(len(z)) == k, 1e-30j * self.scale, 0)
                columns.append(np.imag(np.asarray(self._residuals(step)).ravel()) / 1e-30 / self.size)
            else:
                columns.append(self._difference(z, k))
        return np.stack(columns, axis=1)

    def _difference(self, z: Floats, k: int) -> Floats:
        """Differentiate by three points: central ones, or inward ones at a bound."""
        h = 1e-4 * max(1.0, abs(float(z[k])))
        room = (z[k] - h >= self.low[k], z[k] + h <= self.high[k])
        unit = np.where(np.arange(len(z)) == k, h, 0.0)
        if all(room):
            return np.asarray((self.residuals(z + unit) - self.residuals(z - unit)) / (2 * h))
        side = unit if room[1] else -unit
        near, far = self.residuals(z + side), self.residuals(z + 2 * side)
        return np.asarray((4 * near - far - 3 * self.residuals(z)) / (2 * side[k]))

    def solve(self, loss: Loss) -> tuple[Floats, str, float]:
        """Return the minimum, why the search ended, and where the loss bends."""
        z, message = self.minimise("linear", 1.0)
        bend = 1.0
        if loss != "linear":
            for _ in range(3):  # the size of the errors and the estimate depend on each other
                bend = _TUNING * _median_deviation(self.residuals(z))
                if bend == 0.0:
                    raise CalibrationError(f"half of the residuals are 0, so loss {loss} has no scale; use loss linear")
                z, message = self.minimise(loss, bend, z)
        return z, message, bend

    def minimise(self, loss: Loss, bend: float, z: Floats | None = None) -> tuple[Floats, str]:
        found = least_squares(
            self.residuals, self.start if z is None else z, self.jacobian, bounds=(self.low, self.high),
            loss=loss, f_scale=bend, xtol=1e-13, ftol=1e-13, gtol=1e-13, max_nfev=200,
        )  # fmt: skip
        if not found.success:
            raise CalibrationError(f"the fit did not end: {found.message}; give better first guesses")
        return np.asarray(found.x), str(found.message)


def _judge(
    problem: _Problem,
    z: Floats,
    message: str,
    *,
    unit: str,
    loss: Loss,
    bend: float,
    ordered: bool,
    judge: Judge | None,
) -> Fit:
    """Work out what the solution is worth."""
    names = [unknown.name for unknown in problem.unknowns]
    residuals, jacobian = problem.residuals(z), problem.jacobian(z)
    rank, inverse, reasons = _invert(jacobian, names, _NULL[problem.kind])
    freedom = len(residuals) - rank
    variance = _variance(residuals, freedom, loss, bend)
    correlation = _serial_correlation(residuals) if ordered else 0.0
    fewer = min((1 + correlation) / (1 - correlation), max(1.0, freedom / _LEAST_INDEPENDENT))
    certain = np.full(len(names), max(1.0, freedom / fewer))
    if judge is None:
        covariance = inverse * (variance * fewer)
    else:
        covariance, certain = judge(problem.scale[:, None] * (inverse @ jacobian.T) / problem.size)
        covariance = covariance / np.outer(problem.scale, problem.scale)
    reaches = stdtrit(certain, 0.5 + CONFIDENCE / 2)
    pull, slope = _bend(residuals, loss, bend)
    beyond = z - inverse @ (jacobian.T @ pull) / slope.mean()  # where a bound holds an estimate, it would lie
    told = [k for k, name in enumerate(names) if name not in reasons]
    apart = np.ix_(told, told)
    values = z * problem.scale
    sigmas = np.sqrt(np.diag(covariance)) * problem.scale
    warnings, parameters = [], {}
    for k, unknown in enumerate(problem.unknowns):
        value, sigma, reach = float(values[k]), float(sigmas[k]), float(reaches[k])
        if unknown.name in reasons:
            continue
        ends = bounded_interval(
            told.index(k), beyond[told], covariance[apart], problem.low[told], reach=reach, confidence=CONFIDENCE
        )
        low, high = (end * unknown.scale for end in ends)
        low, high = max(min(low, value), unknown.low), max(high, value)
        sigma = min(sigma, (high - low) / (2 * reach))  # less near a bound
        if sigma > max(abs(value), unknown.scale):
            reasons[unknown.name] = (
                f"its standard error, {sigma:.2g} {unit_text(unknown)}, is larger than itself "
                f"and than {unknown.scale:.2g} {unit_text(unknown)}"
            )
            continue
        interval = low, min(high, unknown.high)
        if min(value - unknown.low, unknown.high - value) <= 1e-6 * unknown.scale:
            warnings.append(f"{unknown.name} lies on its bound, {value:.3g} {unit_text(unknown)}")
        parameters[unknown.name] = Parameter(value=value, standard_error=sigma, unit=unknown.unit, interval=interval)
    kept = [k for k, name in enumerate(names) if name in parameters]
    covariance = (covariance * np.outer(problem.scale, problem.scale))[np.ix_(kept, kept)]
    if correlation:
        warnings.append(
            f"neighbouring residuals are correlated by {correlation:.3f}: misfit, not noise; intervals are widened"
        )
    fit = Fit(
        unit=unit, parameters=parameters, unidentifiable={n: reasons[n] for n in names if n in reasons},
        covariance=covariance, residuals=residuals * problem.size, degrees_of_freedom=freedom, loss=loss,
        jacobian=problem.kind, serial_correlation=correlation, message=message,
    )  # fmt: skip
    return fit.model_copy(update={"warnings": (*warnings, *_correlation_warnings(fit))})


def unit_text(unknown: Unknown) -> str:
    """Return the unit as it stands behind a number."""
    return "" if unknown.unit == "1" else unknown.unit


def _invert(jacobian: Floats, names: list[str], null: float) -> tuple[int, Floats, dict[str, str]]:
    """Return the rank of J, the pseudo-inverse of J^T J, and why some unknowns cannot be told."""
    norms = np.linalg.norm(jacobian, axis=0)
    seen = norms > _BLIND * norms.max(initial=0.0)
    reasons = {name: "the data do not depend on it" for name, flag in zip(names, seen, strict=True) if not flag}
    inverse = np.zeros((len(names), len(names)))
    if not seen.any():
        return 0, inverse, reasons
    _, singular, directions = np.linalg.svd(jacobian[:, seen] / norms[seen], full_matrices=False)
    good = singular > null * singular[0]
    places = np.flatnonzero(seen)
    for direction in directions[~good]:
        together = [names[k] for k, share in zip(places, direction, strict=True) if abs(share) > _TAKES_PART]
        for name in together:
            others = ", ".join(other for other in together if other != name)
            reasons.setdefault(name, f"the data determine only a combination of it and {others}")
    root = directions[good] / singular[good, None] / norms[seen]
    inverse[np.ix_(places, places)] = root.T @ root
    return int(good.sum()), inverse, reasons


def _variance(residuals: Floats, freedom: int, loss: Loss, bend: float) -> float:
    pull, slope = _bend(residuals, loss, bend)
    return float(pull @ pull) / freedom / float(slope.mean()) ** 2


def _bend(residuals: Floats, loss: Loss, bend: float) -> tuple[Floats, Floats]:
    """Return Huber's psi of the residuals, which is what pulls at estimates, and its derivative."""
    x = residuals / bend
    if loss == "linear":
        return residuals, np.ones_like(residuals)
    if loss == "huber":
        inside = np.abs(x) <= 1
        return bend * np.where(inside, x, np.sign(x)), inside.astype(float)
    return residuals / np.sqrt(1 + x**2), (1 + x**2) ** -1.5


def _median_deviation(residuals: Floats) -> float:
    """Return the standard deviation of Gaussian residuals with this median size."""
    return 1.4826 * float(np.median(np.abs(residuals)))


def _serial_correlation(residuals: Floats) -> float:
    """Return the correlation of neighbours, 0 if chance explains it."""
    centred = residuals - residuals.mean()
    power = float(centred @ centred)
    correlation = float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0
    return min(correlation, 1 - 1e-9) if correlation > 3 / math.sqrt(len(residuals)) else 0.0


def _correlation_warnings(fit: Fit) -> list[str]:
    names, correlation = list(fit.parameters), fit.correlation
    return [
        f"{names[a]} and {names[b]} are correlated by {correlation[a, b]:.3f}: "
        f"their {'sum' if correlation[a, b] < 0 else 'difference'} is better known than either"
        for a in range(len(names))
        for b in range(a + 1, len(names))
        if abs(correlation[a, b]) > _CORRELATED
    ]
