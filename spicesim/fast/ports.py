"""Terminals of the fast tier: sense amplifiers and drivers that are not linear, coupled with the array."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Bools, Floats, Integers, Singles
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import ConvergenceError, ValidityError
from spicesim.fast.expansion import ArrayExpansion
from spicesim.fast.fields import shapes
from spicesim.fast.numbers import Numbers, take
from spicesim.ports import PortTables

__all__ = ["SenseCoupling", "evaluate_tables", "linear_port"]

SWEEPS_LIMIT = 200
"""Turns of all columns; each shrinks what is left by the share of a column's port that other columns make up."""
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
        self,
        currents: Floats,
        v: Floats,
        tolerance: float,
        threads: int = 1,
        *,
        near: tuple[Floats, Floats] | None = None,
    ) -> tuple[Floats, Floats, Floats]:
        """Couple the columns with their terminals.

        Parameters
        ----------
        currents : ndarray of shape (batch, columns)
            With linear terminals [A].
        v : ndarray of shape (batch, rows)
            Source voltages [V].
        tolerance : float
            Largest change in a turn, as a fraction of the largest current of the terminals' tables.
        threads : int
            Threads; the result is the same for any number.
        near : tuple of ndarray of shape (batch, columns), optional
            What is found below, about: currents [A] and excess [V].

        Returns
        -------
        ndarray of shape (batch, columns)
            Currents into the terminals [A].
        ndarray of shape (batch, columns)
            Effective excess of the terminals' voltages [V].
        ndarray of shape (batch,)
            The largest of a vector, either way [V].

        Raises
        ------
        ConvergenceError
            If the turns do not settle.
        """
        if not currents.size:
            return currents.copy(), np.zeros_like(currents), np.zeros(len(currents))
        bound = tolerance * max(map(abs, self._senses.limits))
        tilts = felt = None
        if self._gated:
            inputs = self._inputs(v)
            tilts = self._answers.tilts(inputs)
            all_on = np.maximum(1 + inputs.mean(axis=1, keepdims=True), 1 / v.shape[1])
            felt = (self._answers.polynomials[0] + tilts[0]) / all_on
        elif near is not None:
            tilts = self._answers.tilts(self._inputs(v))
        found, taken = (currents, 0.0) if near is None else (near[0], near[1] @ self._others)
        turn = _Turn(linear=currents, wanted=currents - taken, found=found.copy())
        self._turn(turn, tilts, felt, threads)
        found, excess, largest = turn.found, turn.rise, turn.changes[:, 1].copy()
        moving = turn.changes[:, 0] > bound
        if tilts is None and (large := largest > LARGE_EXCESS).any():
            moving |= large
            tilts = np.zeros((2, *currents.shape), dtype=np.float32)
            tilts[:, large] = self._answers.tilts(self._inputs(v[large]))
        active = np.arange(len(currents))
        for turns in range(SWEEPS_LIMIT):
            if not moving.any():
                return found, excess, largest
            which = slice(None) if moving.all() else moving  # views, as long as all move
            active, turn = active[which], turn.of(which)
            tilts = None if tilts is None else np.ascontiguousarray(tilts[:, which])
            felt = None if felt is None else felt[which]
            self._turn(turn, tilts, felt, threads, known=turns > 0)
            if len(active) == len(found):
                found, excess, largest = turn.found, turn.rise, turn.changes[:, 1].copy()
            else:
                found[active], excess[active], largest[active] = turn.found, turn.rise, turn.changes[:, 1]
            moving = turn.changes[:, 0] > bound
        left = float(turn.changes[:, 0].max())
        raise ConvergenceError(
            f"the sense amplifiers do not settle in {SWEEPS_LIMIT} turns: {left:.3g} A are left; solve exactly"
        )

    def _inputs(self, v: Floats) -> Floats:
        """Return inputs in halves of their range, from its middle."""
        return (v - self._centre) / self._half

    def _turn(
        self, turn: "_Turn", tilts: Singles | None, felt: Floats | None, threads: int, known: bool = False
    ) -> None:
        """Solve each column by itself, all others as they are, and tell what that makes of them."""
        s, answers = self._senses, self._answers
        with one_blas_thread():
            fast.turn(
                s.values, s.slopes, s.start, s.step, self._offsets, self._slopes, *answers.bounds, answers.polynomials,
                tilts, self._own, self._inverse, self._others, felt, turn.linear, known, threads, turn.past,
                turn.wanted, turn.found, turn.rise, turn.changes,
            )  # fmt: skip

    def read_out(self, currents: Floats, outputs: Any, index: Integers, threads: int) -> tuple[Floats, bool]:
        """Return the outputs for currents (batch, columns) [V], and whether all are within what :meth:`check` bears.

        Parameters
        ----------
        currents : ndarray of shape (batch, columns)
            Into the terminals [A].
        outputs : CubicTables
            Of the amplifiers.
        index : ndarray of int64, shape (columns,)
            Table of each column, of the terminals and the outputs.
        threads : int
            Threads.
        """
        out = np.empty_like(currents)
        if not out.size:
            return out, True
        s = self._senses
        outside = fast.read_out(
            s.values, s.slopes, s.start, s.step, outputs.values, outputs.slopes, outputs.start, outputs.step,
            index, self._lift, *self._u_limits, currents, threads, out,
        )  # fmt: skip
        return out, not outside

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Turn:
    """Where columns are after a turn of all, or before the first."""

    linear: Floats
    """Currents with linear terminals, (batch, columns) [A]."""
    wanted: Floats
    """What each column is solved for [A]."""
    found: Floats
    """Currents into the terminals [A]."""
    past: Floats | None = None
    """What the next turn is steered by, (batch, 2, columns) [A]; None before the second."""
    rise: Floats = field(init=False)
    """Effective excess of their voltages [V]."""
    changes: Floats = field(init=False)
    """Largest change of what is wanted [A], largest rise [V], (batch, 2)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rise", np.empty_like(self.linear))
        object.__setattr__(self, "changes", np.empty((len(self.linear), 2)))

    def of(self, which: Bools | slice) -> "_Turn":
        """Return those of some vectors, for the next turn; of a slice as views, which that turn changes."""
        linear = self.linear[which]
        past = np.empty((len(linear), 2, linear.shape[1])) if self.past is None else self.past[which]
        return _Turn(linear=linear, wanted=self.wanted[which], found=self.found[which], past=past)


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
