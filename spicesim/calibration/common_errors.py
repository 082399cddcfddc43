"""Errors that many readings of an array share: found in the residuals, named, and made part of the intervals.

A column current is read with noise. But a conductance that is known to 3 % is wrong in every vector, and an offset of
an ammeter in every reading of its column. Least squares takes them for as many independent errors, and its intervals
come out too narrow. Here the variance of each kind of error is estimated from the residuals by restricted maximum
likelihood (H. D. Patterson and R. Thompson, Biometrika 58 (1971) 545); readings are weighed accordingly, and intervals
have the degrees of freedom that the variances are known with (F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from spicesim.arrays import Floats
from spicesim.behavioural.parameter import Parameter
from spicesim.calibration.readings import ALONE, COMMON, LINES, ProgrammedArray, Readings

__all__ = ["LOOKED_FOR", "ArrayErrors", "describe", "estimate_errors", "quantity_text"]

LOOKED_FOR = ("relative noise", *COMMON)
"""Kinds of errors that are added if they are worth it, besides noise."""
_WORTH = 2.0
"""Gain in twice the log likelihood from which on a kind of error takes part: Akaike's for one variance."""
_NAMED = 6.0
"""The same from which on it is named; chance gives it in 1 of 140 tables."""
_SCORE = 4.0
"""Standard deviations beyond chance from which on errors that columns share are named and take part."""
_FLOOR = 1e-9
"""Least variance of a reading, relative to that of all residuals: keeps the covariance invertible."""
_RIDGE = 1e-6
"""Added to the scaled information, so that kinds of error that the data cannot tell apart share what they explain."""
_STEPS, _CONVERGED = 60, 1e-2
"""Steps, and the change of the log likelihood that ends them."""
_MOST = (64, 128)
"""Most columns and vectors that variances are estimated from; more say little more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayErrors:
    """Variances of the errors of an array's readings, and what follows from them for a fit."""

    readings: Readings
    """What the errors were found in."""
    variances: dict[str, float]
    """Of each kind of error that takes part in the intervals, the others being 0."""
    sizes: dict[str, Parameter]
    """Standard deviations of the kinds of errors that explain the residuals, as few kinds as do."""
    uncertainty: Floats
    """Covariance of the variances, in their order."""
    named: tuple[str, ...]
    """Kinds of errors common to several readings that chance does not explain."""
    scale: Floats
    """Standard deviations of the errors of one reading [A], shape (columns, vectors)."""
    basis: Floats
    """Orthonormal directions of common errors, relative to `scale`, shape (columns, vectors, directions)."""
    shrink: Floats
    """What whitening takes from each direction, shape (columns, directions)."""

    @classmethod
    def of(
        cls,
        readings: Readings,
        variances: Mapping[str, float],
        uncertainty: Floats,
        named: Sequence[str],
        sizes: Mapping[str, Parameter],
    ) -> "ArrayErrors":
        """Prepare to whiten; the errors that columns share are left out of that."""
        floor = _FLOOR * float(np.mean(readings.residuals**2))
        variance = sum((variances.get(name, 0.0) * d for name, d in readings.alone().items()), np.zeros(()))
        scale = np.where(readings.valid > 0, np.sqrt(variance + floor), 1.0)
        parts = [np.sqrt(variances.get(name, 0.0)) * u for name, u in readings.common().items() if name in variances]
        spans = np.concatenate([*parts, np.zeros((*scale.shape, 1))], axis=2) / scale[..., None]
        basis, lengths, _ = np.linalg.svd(spans, full_matrices=False)
        return cls(
            readings=readings, variances=dict(variances), sizes=dict(sizes), uncertainty=uncertainty,
            named=tuple(named), scale=scale, basis=basis, shrink=1 - 1 / np.sqrt(1 + lengths**2),
        )  # fmt: skip

    def whiten(self, values: Floats) -> Floats:
        """Make the errors of data independent and of size one; (columns, vectors) in and out."""
        return self._smooth(values / self.scale)

    def judge(self, influence: Floats, made: ProgrammedArray, v: Floats) -> tuple[Floats, Floats]:
        """Find how wrong estimates are.

        Parameters
        ----------
        influence : ndarray of shape (unknowns, columns, vectors)
            Of whitened data on each estimate.
        made : ProgrammedArray
            At the fit; conductances act on all columns here.
        v : ndarray of shape (vectors, rows)
            Source voltages [V].

        Returns
        -------
        covariance : ndarray of shape (unknowns, unknowns)
            Of the estimates.
        freedom : ndarray of shape (unknowns,)
            Degrees of freedom of their variances.
        """
        pulls = np.stack([self._smooth(one) / self.scale for one in influence])
        factors = {**self.readings.common(), **self.readings.lines()}
        shares = []
        for name in self.variances:
            if name in ALONE:
                parts = (pulls * np.sqrt(self.readings.alone()[name])).reshape(len(pulls), -1)
            elif name.startswith("conductances"):
                weight = made.lift * (made.g if name == "conductances" else 1.0)
                parts = np.stack([(made.array.vjp(v, np.ascontiguousarray(a.T))[1] * weight).ravel() for a in pulls])
            else:
                form = "pcb,cbk->pck" if name in COMMON else "pcb,cbk->pk"
                parts = np.einsum(form, pulls, factors[name]).reshape(len(pulls), -1)
            shares.append(parts @ parts.T)
        covariance = np.einsum("s,spq->pq", np.array(list(self.variances.values())), np.array(shares))
        own = np.einsum("spp->ps", np.array(shares))
        spread = np.einsum("ps,st,pt->p", own, self.uncertainty, own)
        variances = np.diag(covariance)
        freedom = np.divide(2 * variances**2, spread, out=np.full(len(variances), np.inf), where=spread > 0)
        return covariance, np.maximum(freedom, 1.0)

    def guess(self, name: str) -> Floats:
        """Return the likeliest error of each column [the unit of its kind], for kinds that a column has one of."""
        weighed = self._smooth(self.whiten(self.readings.residuals)) / self.scale
        return np.asarray(self.sizes[name].value ** 2 * np.einsum("cb,cbk->c", weighed, self.readings.common()[name]))

    def _smooth(self, values: Floats) -> Floats:
        inner = self.shrink * np.einsum("cbk,cb->ck", self.basis, values)
        return np.asarray(values - np.einsum("cbk,ck->cb", self.basis, inner))


def estimate_errors(
    readings: Readings, known: Mapping[str, float], among: Collection[str] = LOOKED_FOR, *, choose: bool = True
) -> ArrayErrors:
    """Find which kinds of errors there are, and how large.

    Parameters
    ----------
    readings : Readings
        About the fit.
    known : mapping of str to float
        Variances of kinds of errors that need not be found.
    among : collection of str
        Kinds of errors within columns that may take part, besides noise.
    choose : bool
        Whether to look which are there, to name them. They are added one by one, the likeliest first. All kinds take
        part in the intervals all the same, as data seldom tell for certain which there are.

    Returns
    -------
    ArrayErrors
        With the kinds that take part.
    """
    columns, vectors = (-(-count // most) for count, most in zip(readings.valid.shape, _MOST, strict=True))
    problem = _Problem(readings.part(slice(None, None, columns), slice(None, None, vectors)), known)
    left = [name for name in LOOKED_FOR if name in among and name not in known and problem.sizes[name] > 0]
    everything, chosen, named = ["noise", *known, *left], ["noise", *known], []
    best = problem.maximise(chosen if choose else everything)
    while choose and left:
        tried = {name: problem.maximise([*chosen, name]) for name in left}
        name = max(tried, key=lambda one: tried[one].likelihood)
        gain = 2 * (tried[name].likelihood - best.likelihood)
        if gain <= _WORTH:
            break
        chosen.append(name)
        left.remove(name)
        best = tried[name]
        if gain > _NAMED and name in COMMON:
            named.append(name)
    sizes = _deviations(best, known)
    if choose:
        best = problem.maximise(everything)
    shared = problem.find_shared(best)
    if shared:
        best = problem.add_shared(best, shared)
        sizes |= {name: size for name, size in _deviations(best, known).items() if name in shared}
    variances, uncertainty = _uncertainty(best, known)
    found = [name for name in (*named, *shared) if name in sizes]
    return ArrayErrors.of(readings, variances, uncertainty, found, sizes)


def _uncertainty(found: "_Estimate", known: Mapping[str, float]) -> tuple[dict[str, float], Floats]:
    """Return the variances that are not 0, and their covariance."""
    kept = [k for k, value in enumerate(found.variances.values()) if value > 0]
    variances = {name: value for name, value in found.variances.items() if value > 0}
    free = np.array([name not in known for name in variances], dtype=bool)
    covariance = np.zeros((len(kept), len(kept)))
    if free.any():
        inner = np.ix_(free, free)
        covariance[inner] = 2 * _invert(found.information[np.ix_(kept, kept)][inner])
    return variances, covariance


def _deviations(found: "_Estimate", known: Mapping[str, float]) -> dict[str, Parameter]:
    """Return the standard deviations of the errors."""
    units = {**ALONE, **COMMON, **LINES}
    variances, covariance = _uncertainty(found, known)
    return {
        name: Parameter(
            value=math.sqrt(variance), standard_error=math.sqrt(covariance[k, k] / variance) / 2, unit=units[name]
        )
        for k, (name, variance) in enumerate(variances.items())
    }


_TEXTS = {
    "conductances": "the conductances given miss by {size} rms, each cell its own",
    "conductances, absolute": "the conductances given miss by {size} rms, each cell its own, whatever its conductance",
    "gains by column": "the currents of columns have gains that differ by {size} rms",
    "offsets by column": "the currents of columns have offsets of {size} rms",
    "gains by row": "the voltages of rows have gains that differ by {size} rms",
    "offsets by row": "the voltages of rows have offsets of {size} rms",
    "gains by vector": "all currents of a vector share a gain; these differ by {size} rms",
    "offsets by vector": "all currents of a vector share an offset; these are {size} rms",
}


def describe(name: str, errors: ArrayErrors) -> str:
    """Return a sentence about a kind of error that was found."""
    size = quantity_text(errors.sizes[name].value, errors.sizes[name].unit)
    text = _TEXTS[name].format(size=size)
    if name.endswith("by column"):
        guess = errors.guess(name)
        worst = int(np.abs(guess).argmax())
        text += f", column {worst} {quantity_text(float(guess[worst]), COMMON[name])}"
    return text


def quantity_text(value: float, unit: str) -> str:
    """Format with a prefix, or in percent."""
    if unit == "1":
        return f"{100 * value:.2g} %"
    prefix = next((p for p in _PREFIXES if abs(value) >= 0.9995 * _PREFIXES[p]), "f")
    return f"{value / _PREFIXES[prefix]:.3g} {prefix}{unit}"


_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


def _invert(information: Floats) -> Floats:
    size = np.sqrt(np.diag(information))
    return np.asarray(
        np.linalg.inv(information / np.outer(size, size) + _RIDGE * np.eye(len(size))) / np.outer(size, size)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Estimate:
    """Variances at the greatest likelihood."""

    variances: dict[str, float]
    """By kind of error."""
    information: Floats
    """Twice Fisher's information of them."""
    scores: Floats
    """Quadratic forms of the residuals whose expectation is the information times the variances."""
    likelihood: float
    """Its logarithm."""
    weights: Floats
    """V^-1, shape (columns, vectors, vectors)."""
    pulls: Floats
    """V^-1 X, shape (columns, vectors, unknowns)."""
    inverse: Floats
    """(X^T V^-1 X)^-1."""
    weighed: Floats
    """P r, shape (columns, vectors): residuals without what the unknowns explain, weighed."""


class _Problem:
    """Restricted maximum likelihood of variances within columns."""

    def __init__(self, readings: Readings, known: Mapping[str, float]) -> None:
        self.readings, self.known = readings, known
        self.total = float(np.mean(readings.residuals[readings.valid > 0] ** 2))
        norms = np.linalg.norm(readings.slopes, axis=(0, 1))
        self.slopes = readings.slopes[..., norms > 0] / norms[norms > 0]
        eye, count = np.eye(readings.valid.shape[1]), readings.valid.sum()
        self.kernels = {name: d[..., None] * eye for name, d in readings.alone().items()}
        self.kernels |= {name: u @ u.swapaxes(1, 2) for name, u in readings.common().items()}
        self.sizes = {name: float(np.einsum("cbb->", k)) / count for name, k in self.kernels.items()}
        self.least = ((1 - readings.valid)[..., None] + _FLOOR) * eye * self.total

    def maximise(self, names: Sequence[str]) -> _Estimate:
        """Iterate Fisher's scoring with variances >= 0; at its end the likelihood is greatest."""
        start = self.total / len(names)
        variances = {name: self.known.get(name, start / (self.sizes[name] or 1.0)) for name in names}
        found = self._evaluate(variances)
        for _ in range(_STEPS):
            last, found = found, self._evaluate(_solve(found, self.known))
            if abs(found.likelihood - last.likelihood) < _CONVERGED:
                break
        return found

    def _evaluate(self, variances: Mapping[str, float]) -> _Estimate:
        r, x = self.readings.residuals, self.slopes
        kernels = np.stack([self.kernels[name] for name in variances])
        n, unknowns = len(kernels), x.shape[2]
        covariance = np.tensordot(np.array(list(variances.values())), kernels, 1) + self.least
        weights = np.asarray(np.linalg.inv(covariance), dtype=float)
        pulls = weights @ x
        flat = pulls.reshape(-1, unknowns)
        inner = x.reshape(-1, unknowns).T @ flat
        inverse = np.linalg.pinv(inner, hermitian=True)
        weighed = (weights @ r[..., None])[..., 0] - pulls @ (inverse @ (flat.T @ r.ravel()))
        spans, seen = weights @ kernels, kernels @ pulls
        direct = spans.reshape(n, -1) @ spans.swapaxes(2, 3).reshape(n, -1).T
        cross = (seen @ inverse).reshape(n, -1) @ (weights @ seen).reshape(n, -1).T
        taken = inverse @ (flat.T @ seen.reshape(n, -1, unknowns))
        information = direct - 2 * cross + np.einsum("apq,bqp->ab", taken, taken)
        unseen = np.diag(information) <= _FLOOR * np.diag(direct)  # the unknowns explain all of it
        information[unseen], information[:, unseen] = 0.0, 0.0
        scores = np.einsum("cb,ncb->n", weighed, (kernels @ weighed[..., None])[..., 0])
        likelihood = -0.5 * float(
            np.linalg.slogdet(covariance)[1].sum() + np.linalg.slogdet(inner)[1] + np.sum(r * weighed)
        )
        return _Estimate(
            variances=dict(variances), information=information, scores=scores, likelihood=likelihood, weights=weights,
            pulls=pulls, inverse=inverse, weighed=weighed,
        )  # fmt: skip

    def find_shared(self, found: _Estimate) -> list[str]:
        """Find kinds of errors that columns share, by their scores; of a row's or a vector's two the likelier one."""
        scores = {}
        for name in LINES:
            across = self._project(found, name)
            inner = np.einsum("cbk,cbl->kl", self.readings.lines()[name], across)
            score = float(np.sum(np.einsum("cbk,cb->k", self.readings.lines()[name], found.weighed) ** 2))
            deviation = float(np.sqrt(2 * np.sum(inner**2)))
            scores[name] = (score - float(np.trace(inner))) / deviation if deviation > 0 else 0.0
        pairs = (("gains by row", "offsets by row"), ("gains by vector", "offsets by vector"))
        return [name for pair in pairs if scores[name := max(pair, key=lambda one: scores[one])] > _SCORE]

    def add_shared(self, found: _Estimate, shared: Sequence[str]) -> _Estimate:
        """Estimate all variances together, by one step of minimum norm quadratic estimation from the weights found."""
        names = [*found.variances, *shared]
        n, m = len(found.variances), len(names)
        information, scores = np.zeros((m, m)), np.zeros(m)
        information[:n, :n], scores[:n] = found.information, found.scores
        spans = [self._project(found, name) for name in shared]
        for a, name in enumerate(shared, n):
            lines = self.readings.lines()[name]
            scores[a] = float(np.sum(np.einsum("cbk,cb->k", lines, found.weighed) ** 2))
            for b, other in enumerate(found.variances):
                kernel = self.kernels[other]
                information[a, b] = information[b, a] = float(np.sum(spans[a - n] * (kernel @ spans[a - n])))
            for b, across in enumerate(spans, n):
                information[a, b] = float(np.sum(np.einsum("cbk,cbl->kl", lines, across) ** 2))
        whole = replace(found, variances=dict.fromkeys(names, 0.0), information=information, scores=scores)
        return replace(whole, variances=_solve(whole, self.known))

    def _project(self, found: _Estimate, name: str) -> Floats:
        """Return P U of errors that columns share."""
        lines = self.readings.lines()[name]
        return np.asarray(
            found.weights @ lines - found.pulls @ (found.inverse @ np.einsum("cbp,cbk->pk", found.pulls, lines))
        )


def _solve(found: _Estimate, known: Mapping[str, float]) -> dict[str, float]:
    """Solve for the variances whose expected scores are those found, all >= 0."""
    names = list(found.variances)
    fixed = np.array([known.get(name, 0.0) for name in names])
    free = np.array([name not in known for name in names]) & (np.diag(found.information) > 0)
    wanted = found.scores - found.information @ fixed
    solved = fixed.copy()
    if free.any():
        size = np.sqrt(np.diag(found.information)[free])
        powers, directions = np.linalg.eigh(found.information[np.ix_(free, free)] / np.outer(size, size))
        roots = np.sqrt(np.maximum(powers, 0.0) + _RIDGE)
        solved[free] = nnls((directions * roots).T, directions.T @ (wanted[free] / size) / roots)[0] / size
    return dict(zip(names, map(float, solved), strict=True))
