"""Cells on a box of voltages: as few polynomial terms as an accuracy needs, and one slope for all of the box."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.linalg import pascal

from spicesim.arrays import Floats
from spicesim.cells import CellKernel, voltage_terms

__all__ = ["Chords"]

MOST_TERMS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chords:
    """Polynomials of an array's cells that hold on a box, and their slopes in the middle."""

    coefficients: Floats
    """As of :class:`CellKernel`, (rows, columns, A, B)."""
    folds: int
    """Rows of the coefficients that carry |V|."""
    slope: Floats
    """Middle of the slopes that occur, (rows, columns) [S]."""
    defect: float
    """Largest distance of a slope from the middle [S]."""
    defect_u: float
    """Largest slope with respect to u [S]."""
    largest: float
    """Largest slope [S]."""
    v_limits: tuple[float, float]
    """Voltages across the cell of the box [V]."""
    u_limits: tuple[float, float]
    """Bit-line voltages of the box [V]."""

    @classmethod
    def fit(
        cls,
        kernel: CellKernel,
        v_limits: tuple[float, float],
        u_limits: tuple[float, float],
        accuracy: float,
        word_limits: tuple[float, float] = (-np.inf, np.inf),
    ) -> "Chords | None":
        """Fit cells on a box to an accuracy relative to the largest current; None if the box is too wide for it.

        Slopes count where word lines, at the sum of both voltages, are within their own limits: beyond, a calibrated
        cell is what its polynomial makes of nothing.
        """
        v_limits = max(v_limits[0], kernel.v_limits[0]), min(v_limits[1], kernel.v_limits[1])
        u_limits = max(u_limits[0], kernel.u_limits[0]), min(u_limits[1], kernel.u_limits[1])
        k, folds = kernel.coefficients, kernel.folds
        if kernel.has_selector:  # whose slope changes by orders of magnitude
            return None
        if kernel.kappa:
            law = _sinh_terms(kernel.kappa, v_limits, accuracy)
            if law is None:
                return None
            k = k * law[:, None]
        else:
            k, folds = _economise(k, folds, v_limits, u_limits, accuracy)
        if not np.isfinite(k).all():
            return None
        rows, columns, v_terms, u_terms = k.shape
        flat = k.reshape(rows * columns, -1)
        v, u = (x.ravel() for x in np.meshgrid(np.linspace(*v_limits, 9), np.linspace(*u_limits, 3)))
        real = (v + u >= word_limits[0]) & (v + u <= word_limits[1])
        v, u = v[real], u[real]
        v_parts, v_slopes = voltage_terms(v, v_terms, folds)
        u_powers = u[:, None] ** np.arange(u_terms)
        slopes = flat @ (v_slopes[:, :, None] * u_powers[:, None, :]).reshape(len(v), -1).T
        least, most = slopes.min(axis=1), slopes.max(axis=1)
        if (least < 0).any() or (most > 3 * least).any():
            return None
        defect_u = 0.0
        if u_terms > 1:
            steps = np.arange(1, u_terms)
            derivative = u[:, None] ** (steps - 1) * steps
            lifted = v_parts[:, :, None] * np.hstack([np.zeros((len(u), 1)), derivative])[:, None, :]
            defect_u = float(np.abs(flat @ lifted.reshape(len(v), -1).T).max())
        return cls(
            coefficients=k,
            folds=folds,
            slope=((least + most) / 2).reshape(rows, columns),
            defect=float((most - least).max() / 2) * 1.05 + float(np.finfo(float).eps * most.max()),
            defect_u=defect_u,
            largest=float(most.max()),
            v_limits=v_limits,
            u_limits=u_limits,
        )


def _sinh_terms(kappa: float, v_limits: tuple[float, float], accuracy: float) -> Floats | None:
    """Return the terms of sinh(kappa V) / (kappa V) on a symmetric box, by even powers of V; None if too many."""
    reach = max(abs(v_limits[0]), abs(v_limits[1])) * kappa
    if reach > 4.0:
        return None
    for degree in range(0, MOST_TERMS, 2):
        fit = chebyshev.Chebyshev.interpolate(lambda s: np.sinh(reach * s) / (reach * s), degree + 1, [-1.0, 1.0])
        probe = np.linspace(0.01, 1.0, 50)
        error = np.abs(fit(probe) - np.sinh(reach * probe) / (reach * probe)).max()
        if error <= accuracy:
            terms = chebyshev.cheb2poly(fit.coef)[: degree + 1] / (reach / kappa) ** np.arange(degree + 1)
            terms[1::2] = 0.0
            return np.asarray(terms)
    return None


def _economise(
    k: Floats, folds: int, v_limits: tuple[float, float], u_limits: tuple[float, float], accuracy: float
) -> tuple[Floats, int]:
    """Drop the last Chebyshev terms that stay below an accuracy; returns the coefficients and how many carry |V|."""
    if not folds:
        return _economised(k, v_limits, u_limits, accuracy, float(np.abs(k[:, :, 0, 0]).max())), 0
    smooth = k.shape[2] - folds
    largest, reach = float(np.abs(k[:, :, 0, 0]).max()), max(abs(v_limits[0]), abs(v_limits[1]), 1e-12)
    if v_limits[0] >= 0 or v_limits[1] <= 0:  # |V| is V or -V: one polynomial
        whole = np.zeros((*k.shape[:2], max(smooth, folds + 1), k.shape[3]))
        whole[:, :, :smooth] = k[:, :, :smooth]
        whole[:, :, 1 : folds + 1] += k[:, :, smooth:] * (1.0 if v_limits[0] >= 0 else -1.0)
        return _economised(whole, v_limits, u_limits, accuracy, largest), 0
    parts = (
        _economised(k[:, :, :smooth], v_limits, u_limits, 0.5 * accuracy, largest),
        _economised(k[:, :, smooth:], v_limits, u_limits, 0.5 * accuracy, largest / reach),
    )
    u_terms = max(part.shape[3] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, 0), (0, 0), (0, u_terms - part.shape[3]))) for part in parts]
    return np.concatenate(padded, axis=2), parts[1].shape[2]


def _economised(
    k: Floats, v_limits: tuple[float, float], u_limits: tuple[float, float], accuracy: float, largest: float
) -> Floats:
    """Drop the last Chebyshev terms whose sum is below accuracy x largest; none, if that does not save much."""
    rows, columns, v_terms, u_terms = k.shape
    flat = k.reshape(rows * columns, -1)
    to_v, from_v = _bases(v_limits, v_terms)
    to_u, from_u = _bases(u_limits, u_terms)
    terms = np.abs(flat @ np.kron(to_v, to_u).T).max(axis=0).reshape(v_terms, u_terms)
    allowed = accuracy * largest
    best = (v_terms, u_terms)
    for p in range(1, v_terms + 1):
        for q in range(1, u_terms + 1):
            dropped = terms[p:].sum() + terms[:p, q:].sum()
            if dropped <= allowed and p * (q + 1) < best[0] * (best[1] + 1):
                best = (p, q)
    p, q = best
    if p * (q + 1) > 0.8 * v_terms * (u_terms + 1):
        return k
    economy = np.kron(from_v[:p, :p] @ to_v[:p], from_u[:q, :q] @ to_u[:q])
    return np.asarray((flat @ economy.T).reshape(rows, columns, p, q))


def _bases(limits: tuple[float, float], terms: int) -> tuple[Floats, Floats]:
    """Return powers to Chebyshev terms on an interval, and back; columns are what a power or a term becomes."""
    middle, half = (limits[0] + limits[1]) / 2, max((limits[1] - limits[0]) / 2, 1e-12)
    to, back = _chebyshev(terms)
    return to @ _powers(middle, half, terms), _powers(-middle / half, 1 / half, terms) @ back


@functools.cache
def _chebyshev(terms: int) -> tuple[Floats, Floats]:
    """Return the same on -1..1."""
    to, back = np.zeros((terms, terms)), np.zeros((terms, terms))
    for n in range(terms):
        one = np.eye(n + 1)[n]
        to[: n + 1, n], back[: n + 1, n] = chebyshev.poly2cheb(one), chebyshev.cheb2poly(one)
    return to, back


def _powers(offset: float, factor: float, terms: int) -> Floats:
    """Return the powers of offset + factor x in powers of x, a column each."""
    n, k = np.meshgrid(np.arange(terms), np.arange(terms))
    return np.asarray(pascal(terms, kind="upper") * offset ** np.maximum(n - k, 0) * factor**k)
