"""Terminals of the fast tier: sense amplifiers and drivers that are not linear, coupled with the array."""

from typing import Any, Self

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Floats, Singles
from spicesim.errors import ConvergenceError, ValidityError
from spicesim.fast.expansion import ArrayExpansion
from spicesim.fast.fields import shapes
from spicesim.fast.numbers import Numbers, take
from spicesim.ports import PortTables

__all__ = ["SenseCoupling", "evaluate_tables", "linear_port"]

SWEEPS_LIMIT = 200
"""Turns of all columns; each shrinks what is left by the share of a column's port that other columns make up."""
SWEEP_TOLERANCE = 1e-6
"""Largest change in a turn, as a fraction of the largest current of the terminals' tables."""
LARGE_EXCESS = 3e-4
"""Excess from which it matters at which inputs cells answer it, where inputs are voltages [V]."""
EXCESS_NODES, INPUT_NODES = 6, 4
"""Rises of bit lines and inputs at which cells are evaluated."""


def evaluate_tables(
    values: Floats, slopes: Floats, start: float, step: float, x: Floats, index: Any = None, threads: int = 1
) -> Floats:
    """Evaluate cubic pieces on a uniform grid, as :class:`PortTables` has them, also where they fall.

    Parameters
    ----------
    values, slopes : ndarray of shape (tables, points)
        At the grid.
    start, step : float
        The grid.
    x : ndarray of shape (batch, ports)
        Where.
    index : ndarray of int64, shape (batch, ports), optional
        Table of each; the first if absent.
    threads : int
        Threads.
    """
    out = np.empty(x.shape)
    if len(x):
        fast.interpolate(values, slopes, start, step, index, np.ascontiguousarray(x), threads, out)
    return out


def linear_port(tables: PortTables, low: float, high: float) -> PortTables:
    """Return the straight lines through a port's tables at two currents [A], as tables that reach far."""
    currents = np.array([low, high])
    voltages = tables.evaluate(currents, np.arange(len(tables.values))[:, None])[0]
    slope = np.maximum(np.diff(voltages) / (high - low), 0.0)
    ends = np.array([-1.0, 1.0]) * 100.0 * max(map(abs, tables.limits))
    line = voltages.mean(axis=1, keepdims=True) + slope * (ends - currents.mean())
    return PortTables(
        name=tables.name,
        start=ends[0],
        step=ends[1] - ends[0],
        values=line,
        slopes=np.repeat(slope, 2, axis=1),
    )


class SenseCoupling:
    """Sense amplifiers whose input voltage leaves a line, as at the rails.

    With linear terminals the currents are I0. What a terminal's voltage exceeds the line by, e(I), acts back on all
    columns: ``I = I0 - Y s(e(I))``. Y is the admittance between the feet of the columns, and s weighs large
    voltages by what the cells of the column, at their inputs, really answer. Each column is solved by itself, and
    turns of all columns settle the rest.

    Parameters
    ----------
    expansion : ArrayExpansion
        Of the array with linear terminals.
    senses : PortTables
        The true terminals, of one table or one a column.
    line : PortTables
        The linear ones.
    gated : bool
        Whether inputs turn rows on and off: any excess is then answered by the cells that are on, and how much one
        column's does to another goes with what both have on, as the product of the two where these are independent.
    """

    def __init__(self, expansion: ArrayExpansion, senses: PortTables, line: PortTables, *, gated: bool = False) -> None:
        admittance = expansion.fields.port_admittance
        assert admittance is not None  # feet are closed where there are terminals
        numbers = {
            "admittance": np.ascontiguousarray(admittance), "lift": _lifts(expansion),
            "range": np.array([expansion.centre, expansion.half]), "u_limits": np.array(expansion.u_limits),
            **_fit_answers(expansion, senses),
        }  # fmt: skip
        self._set(numbers, expansion.array.shape, senses, line, gated)

    @classmethod
    def of(
        cls, numbers: Numbers, shape: tuple[int, int], senses: PortTables, line: PortTables, *, gated: bool = False
    ) -> Self:
        """Make a coupling of its :attr:`numbers`, for an array of a shape (rows, columns); others as the class.

        Raises
        ------
        SpecError
            If they are not those of such an array.
        """
        found = cls.__new__(cls)
        found._set(numbers, shape, senses, line, gated)
        return found

    def _set(self, numbers: Numbers, shape: tuple[int, int], senses: PortTables, line: PortTables, gated: bool) -> None:
        columns = shape[1]
        self._senses, self._gated = senses, gated
        each = np.arange(len(senses.values))
        self._offsets, self._slopes = line.evaluate(np.zeros(len(each)), each)
        admittance = take(numbers, "admittance", (columns, columns))
        self._own = np.ascontiguousarray(np.diag(admittance))
        self._inverse = np.divide(1.0, self._own, out=np.zeros_like(self._own), where=self._own > 0)
        self._others = (admittance - np.diag(self._own)).T.copy()
        self._answers = _Answers(numbers, shape)
        self._centre, self._half = (float(x) for x in take(numbers, "range", (2,)))
        low, high = (float(x) for x in take(numbers, "u_limits", (2,)))
        self._u_limits = low, high
        self._lift = take(numbers, "lift", (columns,))

    @property
    def numbers(self) -> Numbers:
        """What :meth:`of` makes it of again."""
        return {
            "admittance": (self._others.T + np.diag(self._own)), "lift": self._lift,
            "range": np.array([self._centre, self._half]), "u_limits": np.array(self._u_limits),
            **self._answers.numbers,
        }  # fmt: skip

    def solve(
        self, currents: Floats, v: Floats, threads: int = 1, guess: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Couple the columns with their terminals.

        Parameters
        ----------
        currents : ndarray of shape (batch, columns)
            With linear terminals [A].
        v : ndarray of shape (batch, rows)
            Source voltages [V].
        threads : int
            Threads; the result is the same for any number.
        guess : ndarray of shape (batch, columns), optional
            Currents into the terminals, about; `currents` if absent [A].

        Returns
        -------
        ndarray of shape (batch, columns)
            Currents into the terminals [A].
        ndarray of shape (batch, columns)
            Effective excess of the terminals' voltages [V].

        Raises
        ------
        ConvergenceError
            If the turns do not settle.
        """
        found, excess = currents.copy(), np.zeros_like(currents)
        if not found.size:
            return found, excess
        s, answers = self._senses, self._answers
        bound = SWEEP_TOLERANCE * max(map(abs, s.limits))
        active, wanted = np.arange(len(currents)), currents
        tilts, felt = None, np.ones((len(v), 1))
        if self._gated:
            inputs = self._inputs(v)
            tilts = answers.tilts(inputs)
            all_on = np.maximum(1 + inputs.mean(axis=1, keepdims=True), 1 / v.shape[1])
            felt = (answers.polynomials[0] + tilts[0]) / all_on
        guess = (currents if guess is None else guess).copy()
        for turn in range(SWEEPS_LIMIT):
            self._couple(tilts, wanted, threads, guess)
            rise = (wanted - guess) * self._inverse
            found[active], excess[active] = guess, rise
            turned = currents[active] - (rise @ self._others) * felt[active]
            change = np.abs(turned - wanted).max(axis=1)
            moving = change > bound
            if tilts is not None:
                tilts = np.ascontiguousarray(tilts[:, moving])
            elif turn == 0 and (large := np.abs(rise).max(axis=1) > LARGE_EXCESS).any():
                moving |= large
                tilts = answers.tilts(self._inputs(v[moving])) * large[moving, None]
            if not moving.any():
                return found, excess
            active, wanted, guess = active[moving], turned[moving], guess[moving]
        raise ConvergenceError(
            f"the sense amplifiers do not settle in {SWEEPS_LIMIT} turns: {change.max():.3g} A are left; solve exactly"
        )

    def _inputs(self, v: Floats) -> Floats:
        """Return inputs in halves of their range, from its middle."""
        return (v - self._centre) / self._half

    def _couple(self, tilts: Singles | None, wanted: Floats, threads: int, guess: Floats) -> None:
        """Solve each column by itself, all others as they are; `guess` (batch, columns) is a guess, then the answer."""
        s, answers = self._senses, self._answers
        if len(s.values) == 1:
            fast.couple(
                s.values, s.slopes, s.start, s.step, self._offsets[0], self._slopes[0], *answers.bounds,
                answers.polynomials, tilts, self._own, wanted, threads, guess,
            )  # fmt: skip
            return
        batch = len(wanted)
        for j in range(wanted.shape[1]):  # a column's vectors share its table, and stand where columns stand above
            found = np.ascontiguousarray(guess[None, :, j])
            fast.couple(
                s.values[j : j + 1], s.slopes[j : j + 1], s.start, s.step, self._offsets[j], self._slopes[j],
                *answers.bounds, np.repeat(answers.polynomials[:, j : j + 1], batch, axis=1),
                None if tilts is None else np.ascontiguousarray(tilts[:, None, :, j]), np.full(batch, self._own[j]),
                np.ascontiguousarray(wanted[None, :, j]), 1, found,
            )  # fmt: skip
            guess[:, j] = found[0]

    def check(self, currents: Floats, foot: Floats) -> None:
        """Refuse currents beyond the tables, and bit-line voltages beyond the limits of the cells.

        Parameters
        ----------
        currents, foot : ndarray of shape (batch, columns)
            Into the terminals [A], and voltages there [V].

        Raises
        ------
        ValidityError
            Naming the column.
        """
        self._senses.check(currents, "sense amplifier of column")
        top = foot + self._lift * currents
        low, high = self._u_limits
        outside = (np.minimum(foot, top) < low) | (np.maximum(foot, top) > high)
        if outside.any():
            item, column = (int(k) for k in np.argwhere(outside)[0])
            raise ValidityError(
                f"the bit line of column {column} is outside the calibrated {low:.6g}..{high:.6g} V: batch item {item} "
                f"reaches {foot[item, column]:.6g}..{top[item, column]:.6g} V; calibrate the cell over a wider box, "
                "or lower inputs or conductances"
            )


class _Answers:
    """What the cells of a column answer to a voltage at its foot, as a polynomial in it and in their inputs.

    It is relative to the linear answer at mid-range: e (c0 + a x + b x^2) + e^2 (c1 + d x) + c2 e^3, the terms in the
    inputs x summed over rows.
    """

    def __init__(self, numbers: Numbers, shape: tuple[int, int]) -> None:
        rows, columns = shape
        low, high = (float(x) for x in take(numbers, "bounds", (2,)))
        self.bounds = low, high
        """Voltages between which the polynomials were fitted [V]."""
        self.polynomials = take(numbers, "polynomials", (3, columns))
        """Of each column with its inputs at mid-range, (3, columns)."""
        self._first = take(numbers, "first", (2 * rows, columns), np.float32)
        self._second = take(numbers, "second", (rows, columns), np.float32)

    @property
    def numbers(self) -> Numbers:
        """What it is made of."""
        return {
            "bounds": np.array(self.bounds), "polynomials": self.polynomials, "first": self._first,
            "second": self._second,
        }  # fmt: skip

    def tilts(self, x: Floats) -> Singles:
        """Return what inputs (batch, rows) add to the first two coefficients, (2, batch, columns)."""
        single = x.astype(np.float32)
        return np.stack([np.concatenate([single, single**2], axis=1) @ self._first, single @ self._second])


def _fit_answers(expansion: ArrayExpansion, senses: PortTables) -> Numbers:
    """Fit the polynomials of :class:`_Answers`."""
    low = max(float(senses.values.min()), expansion.u_limits[0])
    high = min(float(senses.values.max()), expansion.u_limits[1])
    low, high = min(low, -1e-3), max(high, 1e-3)
    rises = np.linspace(low, high, EXCESS_NODES)
    inputs = np.cos((np.arange(INPUT_NODES) + 0.5) * np.pi / INPUT_NODES)
    x, e = (grid.ravel() for grid in np.meshgrid(inputs, rises, indexing="ij"))
    fit = np.linalg.pinv(np.stack([e, e**2, e**3, e * x, e * x**2, e**2 * x], axis=1))
    answers = np.concatenate([expansion.answers(rises, float(at)) for at in inputs])
    weights = np.einsum("jij->ij", expansion.fields.adjoint).astype(float)
    linear = (weights * expansion.slope).sum(axis=0)
    shares = np.divide(weights, linear, out=np.zeros_like(weights), where=linear > 0)
    cells = np.tensordot(fit, answers, 1) * shares
    return {
        "bounds": np.array([low, high]), "polynomials": np.ascontiguousarray(cells[:3].sum(axis=1)),
        "first": np.concatenate([cells[3], cells[4]]).astype(np.float32), "second": cells[5].astype(np.float32),
    }  # fmt: skip


def _lifts(expansion: ArrayExpansion) -> Floats:
    """Return how far above its foot the top of a bit line is lifted a current, all inputs moving alike [ohm]."""
    f = expansion.fields
    top = f.own_u[0] + np.einsum("p,pji->j", shapes(f.own_u.shape[0])[0], f.other_u)
    total = f.transfer.sum(axis=1)
    return np.asarray(np.divide(top, total, out=np.zeros_like(top), where=total > 0) - expansion.port_resistance)
