"""Arrays solved by marching down their rows: what the compiled march needs, prepared once for many vectors.

With the slope of each cell fixed, an array is linear in the voltages at the tops of its bit lines, the unknowns. One
march for each unknown and one for each source tells all: the transfer matrix, and the matrices by which a Newton step
for nonlinear cells is one more march.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from spicesim._cext import marching
from spicesim.arrays import Bools, Floats, Integers, Singles
from spicesim.crossbar.blas import one_blas_thread
from spicesim.crossbar.chords import Chords
from spicesim.crossbar.wiring import Wiring
from spicesim.ports import PortTables

__all__ = ["ChordMarch", "LinearMarch", "MarchPorts", "Marched"]

Parts = tuple[Any, ...]

SCALE = 1e3
"""A unit of the unknown where a bit line is sensed at both ends: 1 V behind this resistance [ohm]."""
GROWTH_LIMIT = 1e10
"""Beyond this growth from top to foot, rounding leaves too few digits."""
STEP_LIMIT = 40
CELLS_AT_ONCE = 1 << 23
"""Cells of all vectors between two looks for an interrupt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearMarch:
    """An array whose cells have given slopes; responses are per volt at a source or per unit of an unknown."""

    wiring: Wiring
    slope: Floats
    """Of the cells, (rows, columns) [S]."""
    share: Floats
    """Voltage of a word-line node as a share of its left neighbour's, (rows, columns)."""
    head: Floats
    """Admittance seen from the left of the first node, (rows,) [S]."""
    tail: Floats | None
    """Conductance from the last node to the source, (rows,) [S]."""
    top_u: Floats
    """Voltage at the top, a unit of the unknown, (columns,) [V]."""
    top_i: Floats
    """Current out of the top, a unit of the unknown, (columns,) [A]."""
    ends: Floats
    """What foot j misses a volt at it, 1, or 0 if it is open; (columns,)."""
    r_ends: Floats
    """What it misses an ampere through it, its resistance or, if it is open, that of its cells; (columns,) [ohm]."""
    feet: Floats
    """Voltage of foot j, a unit of unknown k, (k, j) [V]."""
    response: Floats
    """Current of foot j, of an open one its voltage, a unit of unknown k, (k, j) [A; V]."""
    row_response: Floats
    """Current of driver i, a unit of unknown k, (k, i) [A]."""
    correction: Floats
    """Change of unknown k, a volt of misfit at foot j, (j, k)."""
    guess: Floats
    """Unknown k, a volt at source i, (rows, columns)."""
    matrix: Floats
    """Current of foot j, of an open one its voltage, a volt at source i, (rows, columns) [S; 1]."""
    input_matrix: Floats
    """Current of driver i', a volt at source i, (rows, rows) [S]."""
    error: float
    """Error of the matrix from rounding, of the largest number of its column."""

    @classmethod
    def prepare(cls, wiring: Wiring, slope: Floats) -> Self | None:
        """March for each unknown and each source; None if the numbers grow too much."""
        rows, columns = wiring.shape
        second = (wiring.right, wiring.top)
        if not wiring.drops_little(slope) or any(end is not None and (end <= 0).any() for end in second):
            return None
        tail = None if wiring.right is None else 1 / wiring.right
        share = np.empty((rows, columns))
        head = np.zeros(rows) if tail is None else tail.copy()
        with np.errstate(all="ignore"):
            for j in reversed(range(columns)):
                head = head + slope[:, j]
                share[:, j] = 1 / (1 + wiring.word[:, j] * head)
                head = head * share[:, j]
        if wiring.top is None:
            top_u, top_i = np.ones(columns), np.zeros(columns)
        else:
            top_u, top_i = wiring.top / (wiring.top + SCALE), 1 / (wiring.top + SCALE)
        parts = (slope, share, wiring.word, wiring.bit, wiring.driver, head, tail, top_u, top_i)
        floats, total = wiring.open_feet, slope.sum(axis=0)
        ends = np.where(floats, 0.0, 1.0)
        r_ends = np.where(floats, -1 / np.where(total > 0, total, 1.0), wiring.sense)

        def march(v: Floats, top: Floats | None) -> tuple[Floats, Floats, Floats, Floats]:
            """Return misfit and voltage of the feet, what they give, and the currents of drivers."""
            feet, currents, inputs = np.empty((len(v), columns)), np.empty((len(v), columns)), np.empty((len(v), rows))
            marching.march_linear(*parts, v, top, feet, currents, inputs)
            return ends * feet - r_ends * currents, feet, np.where(floats, feet, currents), inputs

        with np.errstate(all="ignore"), one_blas_thread():
            misfit, feet, response, row_response = march(np.zeros((columns, rows)), np.eye(columns))
            if not np.abs(feet).max() <= GROWTH_LIMIT:
                return None
            try:
                correction = np.asarray(-np.linalg.inv(misfit), dtype=float)
            except np.linalg.LinAlgError:
                return None
            each = np.eye(rows)
            guess = march(each, None)[0] @ correction
            misfit, _, matrix, inputs = march(each, guess)  # again, against rounding
            change = misfit @ correction
            late = change @ response
            matrix = matrix + late
            largest = np.abs(matrix).max(axis=0)
            lost = np.abs(late).max(axis=0) / np.where(largest > 0, largest, 1.0)
        if not (np.isfinite(largest).all() and np.isfinite(inputs).all()):
            return None
        return cls(
            wiring=wiring, slope=slope, share=share, head=head, tail=tail, top_u=top_u, top_i=top_i,
            ends=ends, r_ends=r_ends, feet=feet,
            response=response, row_response=row_response, correction=correction, guess=guess + change, matrix=matrix,
            input_matrix=inputs + change @ row_response, error=float(lost.max()),
        )  # fmt: skip

    def fill_voltages(self, v: Floats, across: Singles, bit: Singles | None, threads: int) -> None:
        """Fill in voltages across the cells and of bit-line nodes (rows, columns, batch) for sources v [V]."""
        wiring, sources = self.wiring, np.ascontiguousarray(v)
        marching.march_fields(
            self.slope, self.share, wiring.word, wiring.bit, wiring.driver, self.head, self.tail, self.top_u,
            self.top_i, sources, sources @ self.guess, threads, across, bit,
        )  # fmt: skip

    def stepping_as(self, other: Self) -> Self:
        """Return this array with the steps of the unknowns of one with other slopes."""
        names = "feet", "response", "row_response", "correction", "guess", "matrix", "input_matrix"
        return replace(self, **{name: getattr(other, name) for name in names})

    @property
    def spread(self) -> float:
        """Bound of the change of any voltage, for a change of all unknowns by up to one unit."""
        return max(1.0, float(np.abs(self.feet).sum(axis=0).max()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marched:
    """What a march found for each input vector; names as in cext/march_model.h."""

    currents: Floats
    """Of open feet their voltages."""
    top_currents: Floats
    row_currents: Floats
    residual: Floats
    extents: Floats
    steps: Integers
    word: Floats | None
    bit: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarchPorts:
    """What ends the lines beyond resistances, and the chord resistances that stand for it in the wiring [ohm]."""

    drivers: PortTables | None = None
    driver_chord: float = 0.0
    senses: PortTables | None = None
    sense_chord: float = 0.0
    sense_index: Integers | None = None
    """Table of each column, (columns,)."""

    @classmethod
    def choose(
        cls, drivers: PortTables | None, i_max: float, senses: PortTables | None, sense_index: Integers | None
    ) -> Self:
        """Choose chords: for drivers the middle up to a current, for senses that of the flat part of the tables."""
        droop = 0.0
        if drivers is not None:
            grid = drivers.start + drivers.step * np.arange(drivers.slopes.shape[1])
            near = drivers.slopes[:, np.abs(grid) <= max(i_max, drivers.step)]
            droop = float((near.min() + near.max()) / 2) if near.size else float(np.median(drivers.slopes))
        flat = 0.0 if senses is None else float(np.quantile(senses.slopes, 0.2))
        return cls(
            drivers=drivers, driver_chord=droop, senses=senses, sense_chord=flat,
            sense_index=sense_index,
        )  # fmt: skip

    def add_to(self, wiring: Wiring) -> Wiring:
        """Return a wiring with the chords in it."""
        return replace(wiring, driver=wiring.driver + self.driver_chord, sense=wiring.sense + self.sense_chord)


class ChordMarch:
    """Newton with chord slopes, each step one march; see cext/march.h.

    Parameters
    ----------
    linear : LinearMarch
        The array with the cells' chord slopes and the ports' chord resistances.
    chords : Chords
        The cells.
    ports : MarchPorts
        The ports.
    single : bool
        Whether to calculate in float32, 16 vectors at a time, instead of float64, 8 at a time.
    steps : LinearMarch, optional
        Gives the matrices of the unknowns' steps in place of `linear`, where rows are off by their gates: with the
        slopes that cells have on average.
    """

    def __init__(
        self, linear: LinearMarch, chords: Chords, ports: MarchPorts, single: bool, steps: LinearMarch | None = None
    ) -> None:
        self.chords = chords
        ones = np.ones((1, linear.slope.shape[0]))
        none = MarchPorts()
        parts = _parts(linear, linear.slope[:, :, None, None], np.ones(linear.slope.shape), none, np.float64)
        start = _Kernel(parts=parts, ports=none, bounds=(0.0, 0.0, 1.0, 1.0), folds=0, step_limit=1)
        calm = start.march(ones, None, None, 1.0, threads=1, fields=True)  # linear cells, sources at 1 V
        assert calm.word is not None
        own = linear if steps is None else linear.stepping_as(steps)
        parts = _parts(own, chords.coefficients, calm.word[0], ports, np.float32 if single else np.float64)
        bounds = chords.defect, chords.defect_u, linear.spread, chords.largest
        self._kernel = _Kernel(parts=parts, ports=ports, bounds=bounds, folds=chords.folds, step_limit=STEP_LIMIT)

    def solve(
        self, v: Floats, driver_index: Integers | None, tolerance: float, threads: int, fields: bool,
        mask: Floats | None = None,
    ) -> Marched:  # fmt: skip
        """Solve vectors; `steps` is negative, or `extents` outside the chords' box, where that failed.

        `mask` (batch, rows) is 0 where the cells of a row are off; their word lines are left out of the fields.
        """
        return self._kernel.march(
            v, driver_index, mask, tolerance * self.chords.largest, threads=threads, fields=fields
        )

    def is_solved(self, marched: Marched) -> Bools:
        """Tell which vectors arrived within the box in which the chords hold, (batch,)."""
        low = [self.chords.v_limits[0], self.chords.u_limits[0]]
        high = [self.chords.v_limits[1], self.chords.u_limits[1]]
        inside = (marched.extents[:, ::2] >= low) & (marched.extents[:, 1::2] <= high)
        return np.asarray((marched.steps > 0) & inside.all(axis=1))


def _parts(linear: LinearMarch, coefficients: Floats, profile: Floats, ports: MarchPorts, dtype: type) -> Parts:
    """Return the arrays of the kernel in one precision."""
    wiring = linear.wiring
    parts = (
        coefficients, linear.slope, linear.share, wiring.word, wiring.bit, wiring.driver, linear.head, linear.tail,
        linear.top_u, linear.top_i, linear.r_ends, linear.ends, linear.correction, linear.response, linear.row_response,
        linear.guess, profile, linear.correction @ linear.response, linear.input_matrix,
        *_tables(ports.drivers), *_tables(ports.senses),
    )  # fmt: skip
    return tuple(None if part is None else np.ascontiguousarray(part, dtype=dtype) for part in parts)


def _tables(port: PortTables | None) -> tuple[Floats | None, Floats | None]:
    return (None, None) if port is None else (port.values, port.slopes)


def _grid(port: PortTables | None) -> tuple[float, float]:
    return (0.0, 1.0) if port is None else (port.start, port.step)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kernel:
    """The compiled march with what it needs of one array."""

    parts: Parts
    """Arrays in one precision, see :func:`_parts`."""
    ports: MarchPorts
    bounds: tuple[float, float, float, float]
    """Defects of the chords, the spread of the linear march, and the largest current of a cell; see cext/march.h."""
    folds: int
    step_limit: int

    def march(
        self, v: Floats, driver_index: Integers | None, mask: Floats | None, tolerance: float, *, threads: int,
        fields: bool,
    ) -> Marched:  # fmt: skip
        """Solve vectors to a tolerance [A]."""
        count = len(v)
        rows, columns = self.parts[1].shape
        out = Marched(
            currents=np.empty((count, columns)),
            top_currents=np.empty((count, columns)),
            row_currents=np.empty((count, rows)),
            residual=np.empty(count),
            extents=np.empty((count, 4)),
            steps=np.empty(count, np.int64),
            word=np.empty((count, rows, columns)) if fields else None,
            bit=np.empty((count, rows, columns)) if fields else None,
        )
        grids = (*_grid(self.ports.drivers), self.ports.driver_chord, *_grid(self.ports.senses), self.ports.sense_chord)
        at_once = max(16 * threads, CELLS_AT_ONCE // (rows * columns) // 16 * 16)
        for first in range(0, count, at_once):  # in parts, so that an interrupt ends it
            part = slice(first, first + at_once)
            rest: Parts = (
                grids, self.bounds, None if driver_index is None else driver_index[part], self.ports.sense_index,
                None if mask is None else mask[part], tolerance, self.folds, self.step_limit, threads,
                v[part], out.currents[part], out.top_currents[part], out.row_currents[part], out.residual[part],
                out.extents[part], out.steps[part],
                None if out.word is None else out.word[part], None if out.bit is None else out.bit[part],
            )  # fmt: skip
            marching.march(*self.parts, *rest)
        return out
