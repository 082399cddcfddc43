"""The operating points of an array, by the fastest solver that can find them.

1. Marching with chord slopes (cext/march.h), for many vectors, cells that do not bend much, and open feet.
2. Newton with conjugate gradients (cext/array_solver.h), for everything else driven at one end and sensed at one.
3. Nodal analysis, for broken segments, lines with two ends that marching cannot do, and cells of the user's own.
4. Star-mesh transformation, where wires and cells are so far apart that the others would lose digits.

All stop at the same bound of Kirchhoff's current law, so which one it was shows only below the tolerance.
"""

import functools
import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spicesim._cext import array_solver
from spicesim.arrays import Array, Floats, Integers
from spicesim.cells import Cell, CellKernel, KernelCell
from spicesim.crossbar.chords import Chords
from spicesim.crossbar.extreme import ExtremeArray
from spicesim.crossbar.marching import ChordMarch, LinearMarch, MarchPorts
from spicesim.crossbar.nodal import NodalArray
from spicesim.crossbar.wired_cells import WiredCells
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import ConvergenceError, ValidityError
from spicesim.ports import PortTables

__all__ = ["OperatingPointSolver", "Points", "Precision", "Request"]

Precision = Literal["single", "double"]

NEWTON_LIMIT = 100
MARCH_LEAST = 16
"""Least number of vectors for which preparing a march pays."""
MARCHES_KEPT = 8
ORDINARY_DROP = 1e3
"""Resistance times conductance up to which a tolerance of the largest cell current is one of the currents that flow."""
STEEPEST_EXPONENT = 300.0
"""Voltage times kappa beyond which the kernels continue a sinh by a straight line, cext/cell.h."""
LANES = 4
"""Vectors that conjugate gradients take together."""
CELLS_AT_ONCE = 1 << 18
"""Cells of all vectors between two looks for an interrupt."""
SMALL = 256
"""Cells of an array up to which star-mesh is tried where conjugate gradients do not arrive."""
AGREED = 1e-10
"""Difference of two voltages that does not matter, as a fraction of the largest of the inputs."""
ROUNDING = {"single": 1.2e-7, "double": 2.3e-15}
"""Rounding of a march without growth, as a fraction of the largest voltage."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """What is asked of the solver, checked; names as in :meth:`spicesim.crossbar.Crossbar.solve`."""

    v: Floats
    drivers: PortTables | None = None
    driver_index: Integers | None = None
    senses: PortTables | None = None
    sense_index: Integers | None = None
    mask: Floats | None = None
    fields: bool = False
    tolerance: float
    precision: Precision = "double"
    threads: int = 1


class Points:
    """Operating points to be filled in; names as in :class:`~spicesim.crossbar.Solution`, `steps` 0 if not found."""

    def __init__(self, count: int, rows: int, columns: int, fields: bool) -> None:
        self.currents, self.top_currents = np.empty((count, columns)), np.zeros((count, columns))
        self.row_currents, self.residual = np.empty((count, rows)), np.empty(count)
        self.steps = np.zeros(count, np.int64)
        self.word = np.empty((count, rows, columns)) if fields else None
        self.bit = np.empty((count, rows, columns)) if fields else None
        self.feet: Floats | None = None
        """Voltages of feet where some are open, (batch, columns) [V]; of the others anything."""
        self.cell_currents: Floats | None = None
        """Where the cells' voltages do not tell them, (batch, rows, columns) [A]."""


class OperatingPointSolver:
    """Finds operating points of one array.

    Parameters
    ----------
    wiring : Wiring
        Its wires.
    g : ndarray of shape (rows, columns)
        Conductances [S].
    cell : Cell
        Law of the cells.
    is_flipped : bool
        Whether column 0 is the last of the user's, for messages.
    """

    def __init__(self, wiring: Wiring, g: Floats, cell: Cell, is_flipped: bool = False) -> None:
        self.wiring, self.g, self.cell = wiring, g, cell
        self._is_flipped, self._is_finite, self._is_whole = is_flipped, wiring.is_finite, wiring.is_whole
        self._kernel: CellKernel | None = None
        if isinstance(cell, KernelCell):
            kernel = cell.kernel(g)
            self._kernel = kernel._replace(coefficients=np.ascontiguousarray(kernel.coefficients, dtype=float))
        self._marches: dict[tuple[object, ...], tuple[ChordMarch | None, object, object]] = {}
        self._nodal: NodalArray | None = None
        self.extreme = ExtremeArray(wiring, g, cell)
        self._lock = threading.Lock()  # several threads may solve, and what is prepared once is kept

    @property
    def kernel(self) -> CellKernel | None:
        """The cells as the kernels see them; None for a cell of the user's own."""
        return self._kernel

    @property
    def nodal(self) -> NodalArray:
        """The array for nodal analysis."""
        with self._lock:
            if self._nodal is None:
                self._nodal = NodalArray(self.wiring, self.g, self.cell)
            return self._nodal

    @property
    def takes_drivers(self) -> bool:
        """Whether tables of drivers are possible: one end a line, no broken segment, a cell that the kernels know."""
        return self.wiring.has_one_end and self._is_whole and self._kernel is not None

    @property
    def takes_ports(self) -> bool:
        """Whether all port tables are possible: those of drivers are, and no foot is open."""
        return self.takes_drivers and self._is_finite

    @property
    def is_small(self) -> bool:
        """Whether star-mesh takes no time to speak of."""
        return self.g.size <= SMALL

    @functools.cached_property
    def is_ordinary(self) -> bool:
        """Whether all solvers keep the digits of currents."""
        if self._kernel is not None:
            slope = self._kernel.coefficients[:, :, 0, 0]
        else:
            slope = np.asarray(self.cell.slope(self.g, np.zeros(self.g.shape), np.zeros(self.g.shape)))
        wiring = self.wiring
        return wiring.drops_little(slope, ORDINARY_DROP) and (self.takes_drivers or wiring.keeps_digits(slope))

    def solve(self, request: Request) -> Points:
        """Find all operating points.

        Raises
        ------
        ConvergenceError, ValidityError
            As :meth:`spicesim.crossbar.Crossbar.solve`.
        """
        count = len(request.v)
        rows, columns = self.g.shape
        points = Points(count, rows, columns, request.fields)
        if self.wiring.open_feet.any():
            points.feet = np.empty((count, columns))
        if not self.is_ordinary and request.drivers is None and request.senses is None:
            self._analyse(request, points, np.arange(count))
            return points
        # nodal analysis, where nothing else is left, costs more than preparing a march
        marches = request.mask is None or (request.drivers is None and not self.wiring.open_feet.any())
        if marches and (count >= MARCH_LEAST or not self.takes_ports):
            self._march(request, points)
        left = np.flatnonzero(points.steps == 0)
        if left.size and self.takes_ports:
            try:
                self._iterate(request, points, left)
            except ConvergenceError:
                # between the knees of saturated ports Newton may go round in circles; marching fits these exactly
                if request.mask is not None or count >= MARCH_LEAST:
                    raise
                self._march(request, points)
                left = np.flatnonzero(points.steps == 0)
                if left.size:
                    self._iterate(request, points, left)
        elif left.size and request.drivers is not None:
            raise ConvergenceError(
                f"no operating point with floating bit lines and these drivers for batch item {left[0]}: it lies "
                "outside the calibrated voltages of the cells, or they bend too much; lower inputs, or give the "
                "drivers a resistance instead of tables"
            )
        elif left.size:
            self._analyse(request, points, left)
        if request.drivers is not None:
            request.drivers.check(points.row_currents, "driver of row")
        if request.senses is not None:
            request.senses.check(points.currents, "sense amplifier of column")
        return points

    def _march(self, request: Request, points: Points) -> None:
        """Solve what marching can, vectors of about the same range together."""
        if self._kernel is None or not self._is_whole:
            return
        floats = self.wiring.open_feet
        for chosen, v_max, negative in _groups(request.v):
            march = self._prepare_march(v_max, negative, request)
            if march is None:
                continue
            whole = chosen.size == len(request.v)
            index = request.driver_index
            if index is not None and not whole:
                index = index[chosen]
            v = request.v if whole else request.v[chosen]
            mask = request.mask if whole or request.mask is None else request.mask[chosen]
            marched = march.solve(v, index, request.tolerance, request.threads, request.fields, mask)
            if mask is not None and marched.word is not None:
                np.copyto(marched.word, v[:, :, None], where=mask[:, :, None] == 0)
            good = march.is_solved(marched)
            if self.wiring.top is not None:
                marched.currents[:] += marched.top_currents
            if points.feet is not None:
                points.feet[chosen[good]] = marched.currents[good]
                marched.currents[:, floats] = 0.0
            if whole and good.all():  # copies would cost as much as a tenth of a second thread's work
                points.currents, points.top_currents = marched.currents, marched.top_currents
                points.row_currents, points.residual = marched.row_currents, marched.residual
                points.steps, points.word, points.bit = marched.steps, marched.word, marched.bit
                return
            where = chosen[good]
            points.currents[where], points.top_currents[where] = marched.currents[good], marched.top_currents[good]
            points.row_currents[where], points.residual[where] = marched.row_currents[good], marched.residual[good]
            points.steps[where] = marched.steps[good]
            if request.fields:
                assert points.word is not None
                assert points.bit is not None
                assert marched.word is not None
                assert marched.bit is not None
                points.word[where], points.bit[where] = marched.word[good], marched.bit[good]

    def _prepare_march(self, v_max: float, negative: bool, request: Request) -> ChordMarch | None:
        index = None if request.sense_index is None else request.sense_index.tobytes()
        ports = id(request.drivers), id(request.senses), index
        key = (v_max, negative, request.tolerance, request.precision, request.mask is None, ports)
        with self._lock:
            if key not in self._marches:
                while len(self._marches) >= MARCHES_KEPT:
                    del self._marches[next(iter(self._marches))]
                # with the ports, so that their ids are not given to others
                self._marches[key] = self._make_march(v_max, negative, request), request.drivers, request.senses
            return self._marches[key][0]

    def _make_march(self, v_max: float, negative: bool, request: Request) -> ChordMarch | None:
        """Prepare a march for inputs up to `v_max`; None where its chords or its rounding are not good enough."""
        assert self._kernel is not None
        slopes = self._kernel.coefficients[:, :, 0, 0]
        i_max = v_max * float(slopes.sum(axis=1).max())
        ports = MarchPorts.choose(request.drivers, i_max, request.senses, request.sense_index)
        wiring = ports.add_to(self.wiring)
        rise = v_max
        if not wiring.open_feet.any():
            drop = (wiring.bit * np.cumsum(slopes, axis=0)).sum(axis=0) + wiring.sense * slopes.sum(axis=0)
            rise = min(v_max, 1.1 * v_max * float(drop.max()))
        low, high = (-rise if negative else 0.0), rise
        reach = v_max
        if request.senses is not None:
            values = request.senses.values
            if not negative:  # nor are the currents
                values = values[:, min(max(0, int(-request.senses.start / request.senses.step)), values.shape[1] - 1) :]
            low += max(-v_max, min(0.0, float(values.min())))
            high += min(v_max, max(0.0, float(values.max())))
        if request.drivers is not None:
            reach *= 1.05
        v_limits = (-reach if negative else 0.0) - high, reach - low
        # what is passive is nowhere beyond what drives it; amplifiers have offsets within these limits
        words = -reach if negative else min(0.0, low), reach
        chords = Chords.fit(self._kernel, v_limits, (low, high), 0.05 * request.tolerance, words)
        linear = None if chords is None else LinearMarch.prepare(wiring, chords.slope)
        if chords is None or linear is None or ROUNDING["double"] * linear.spread > request.tolerance:
            return None
        single = request.precision == "single" and ROUNDING["single"] * linear.spread <= request.tolerance
        if request.mask is None:
            return ChordMarch(linear, chords, ports, single)
        half = LinearMarch.prepare(wiring, 0.5 * chords.slope)
        return None if half is None else ChordMarch(linear, chords, ports, single, half)

    def _iterate(self, request: Request, points: Points, left: Integers) -> None:
        """Solve vectors `left` by Newton with conjugate gradients."""
        kernel, (rows, columns) = self._kernel, self.g.shape
        assert kernel is not None
        count = left.size
        whole = count == len(request.v)
        driver_index, mask = request.driver_index, request.mask
        if not whole:
            driver_index = None if driver_index is None else driver_index[left]
            mask = None if mask is None else mask[left]
        currents, row_currents = np.empty((count, columns)), np.empty((count, rows))
        residual, extents = np.empty(count), np.empty((count, 4))
        steps, worst = np.empty(count, np.int64), np.empty((count, 3), np.int64)
        across = np.empty((count, rows, columns)) if request.fields else None
        bit = np.empty((count, rows, columns)) if request.fields else None
        sense_index = np.zeros(columns, np.int64) if request.sense_index is None else request.sense_index
        v = request.v if whole else request.v[left]
        at_once = max(LANES * request.threads, CELLS_AT_ONCE // (rows * columns) // LANES * LANES)
        for first in range(0, count, at_once):  # in parts, so that an interrupt or a failure ends it
            part = slice(first, first + at_once)
            array_solver.solve_batch(
                v[part], self.wiring.word, self.wiring.bit, self.wiring.driver, self.wiring.sense,
                kernel.coefficients, kernel.folds, kernel.kappa, kernel.selector, (*kernel.v_limits, *kernel.u_limits),
                _raw(request.drivers), _part(driver_index, part), _raw(request.senses), sense_index, _part(mask, part),
                request.tolerance, NEWTON_LIMIT, request.threads,
                currents[part], row_currents[part], residual[part], extents[part], steps[part], worst[part],
                _part(across, part), _part(bit, part),
            )  # fmt: skip
            if kernel.kappa:  # beyond, the kernel's law is no sinh
                beyond = (
                    np.flatnonzero(kernel.kappa * np.abs(extents[part, :2]).max(axis=1) > STEEPEST_EXPONENT) + first
                )
                worst[beyond, 0], residual[beyond] = np.maximum(worst[beyond, 0], 0), np.inf
            failed = worst[part, 0] >= 0
            if failed.any():
                break
        failed = worst[: first + at_once, 0] >= 0
        if failed.any():
            if self.is_small and request.drivers is None and request.senses is None:
                self._analyse(request, points, left, self.extreme)
                return
            item = int(np.argmax(failed))
            self._refuse(request, int(left[item]), int(worst[item, 0]), residual[item], int(steps[item]))
        self._check_limits("voltage across", kernel.v_limits, extents[:, :2], worst[:, 1], left)
        self._check_limits("bit-line voltage at", kernel.u_limits, extents[:, 2:], worst[:, 2], left)
        points.currents[left], points.row_currents[left] = currents, row_currents
        points.residual[left], points.steps[left] = residual, steps
        if request.fields:
            assert points.word is not None
            assert points.bit is not None
            assert across is not None
            assert bit is not None
            points.word[left], points.bit[left] = self._word_lines(request, left, across, bit), bit

    def _word_lines(self, request: Request, left: Integers, across: Floats, bit: Floats) -> Floats:
        """Return the voltages of word-line nodes: by the cells or by the wires, whichever is nearer.

        Where Kirchhoff's law misses a current, the voltage across a cell is off by it over the cell's slope, what the
        wires say by it times their resistance.
        """
        at = self.g, across, bit
        current, slope = np.asarray(self.cell.current(*at)), np.asarray(self.cell.slope(*at))
        if request.mask is not None:
            is_on = request.mask[left][:, :, None] > 0
            current, slope = np.where(is_on, current, 0.0), np.where(is_on, slope, 0.0)
        segment = np.cumsum(current[..., ::-1], axis=2)[..., ::-1]
        head = request.v[left] - self.wiring.driver * segment[..., 0]
        if request.drivers is not None:
            assert request.driver_index is not None
            head -= request.drivers.evaluate(segment[..., 0], request.driver_index[left])[0]
        wired = head[..., None] - np.cumsum(self.wiring.word * segment, axis=2)
        agreed = AGREED * np.abs(request.v[left]).max(axis=1)[:, None, None]
        by_cells = (slope * self.wiring.reach > 1) | (np.abs(wired - bit - across) <= agreed)
        return np.where(by_cells, across + bit, wired)

    def _analyse(self, request: Request, points: Points, left: Integers, solver: WiredCells | None = None) -> None:
        """Solve vectors `left` one by one, by nodal analysis or, for arrays that are not ordinary, by star-mesh."""
        if solver is None:
            solver = self.nodal if self.is_ordinary else self.extreme
        if request.fields and solver is self.extreme:
            points.cell_currents = np.empty((len(request.v), *self.g.shape))
        for item in left.tolist():
            mask = None if request.mask is None else request.mask[item]
            v = request.v[item]
            point = solver.solve(v, request.tolerance, mask)
            if not point.is_solved and solver is not self.extreme and self.is_small:
                point = self.extreme.solve(v, request.tolerance, mask)
            if not point.is_solved:
                cell = int(point.defect.argmax())  # the first that is no number, if there is one
                self._refuse(request, item, cell, float(point.defect.flat[cell]), point.steps)
            self._require_digits(item, v, float(np.abs(point.current).max()))
            kernel = self._kernel
            for word, (low, high), reached in () if kernel is None else (
                ("voltage across", kernel.v_limits, point.word - point.bit),
                ("bit-line voltage at", kernel.u_limits, point.bit),
            ):  # fmt: skip
                beyond = np.maximum(low - reached, reached - high)
                if beyond.max() > 0:
                    extent = np.array([[reached.min(), reached.max()]])
                    worst = np.array([int(beyond.argmax())])
                    self._check_limits(word, (low, high), extent, worst, np.array([item]))
            points.currents[item] = np.where(self.wiring.open_feet, 0.0, self.wiring.sum_columns(point.current))
            if points.feet is not None:
                points.feet[item] = point.bit[-1]
            points.row_currents[item] = self.wiring.sum_rows(point.current)
            points.residual[item], points.steps[item] = point.defect.max(), point.steps
            if self.wiring.top is not None:
                points.top_currents[item] = self.wiring.share_bit_lines(point.current)
            if points.cell_currents is not None:
                points.cell_currents[item] = point.current
            if request.fields:
                assert points.word is not None
                assert points.bit is not None
                points.word[item], points.bit[item] = point.word, point.bit

    def _require_digits(self, item: int, v: Floats, largest: float) -> None:
        """Refuse a largest current of a cell [A] that rounds to more than the voltages drive through a segment."""
        spill = float(np.finfo(float).eps) * largest * self.wiring.largest_segment
        if spill > np.abs(v).max():
            raise ValidityError(
                f"batch item {item}: a cell carries {largest:.3g} A, whose last digit makes {spill:.3g} V along a "
                f"segment of {self.wiring.largest_segment:.3g} ohm; lower inputs, conductances or the bend of the cells"
            )

    def _refuse(self, request: Request, item: int, cell: int, residual: float, steps: int) -> None:
        row, column = self._place(cell)
        missed = f"residual {residual:.3g} A" if np.isfinite(residual) else "the cells' currents overflow"
        raise ConvergenceError(
            f"no operating point within tolerance {request.tolerance:g} for batch item {item} after {steps} Newton "
            f"steps: {missed}, worst at the cell of row {row}, column {column} "
            f"(wl_{row}_{column}, bl_{row}_{column}); ask for a larger tolerance, or check port tables and inputs"
        )

    def _place(self, cell: int) -> tuple[int, int]:
        row, column = divmod(cell, self.g.shape[1])
        return row, self.g.shape[1] - 1 - column if self._is_flipped else column

    def _check_limits(
        self, word: str, limits: tuple[float, float], reached: Floats, cells: Integers, items: Integers
    ) -> None:
        """Refuse voltages outside the limits of the cells; cells: where, -1 if inside."""
        if (cells >= 0).any():
            k = int(np.argmax(cells >= 0))
            row, column = self._place(int(cells[k]))
            raise ValidityError(
                f"{word} the cell of row {row}, column {column} is outside the calibrated {limits[0]:.6g}.."
                f"{limits[1]:.6g} V: batch item {items[k]} reaches {reached[k, 0]:.6g}..{reached[k, 1]:.6g} V; "
                "calibrate the cell over a wider box, or lower inputs or conductances"
            )


def _groups(v: Floats) -> list[tuple[Integers, float, bool]]:
    """Group vectors (batch, rows) by their range: which ones, their largest voltage at most, whether any is negative.

    One preparation serves a group. The half octaves with few vectors go with the largest, whose range holds theirs.
    """
    greatest, least = v.max(axis=1), v.min(axis=1)
    top = np.maximum(greatest, -least)
    half_octave = np.ceil(2 * np.log2(np.maximum(top, 1e-6)) - 1e-9).astype(int)
    kind = 2 * half_octave + (least < 0)
    numbers, index, counts = np.unique(kind, return_inverse=True, return_counts=True)
    groups = [(np.flatnonzero(index == k), int(numbers[k])) for k in np.flatnonzero(counts >= MARCH_LEAST)]
    few = np.flatnonzero(counts[index] < MARCH_LEAST)
    if few.size:
        needed = 2 * int(half_octave[few].max()) + int((least[few] < 0).any())
        home = [k for k, (_, n) in enumerate(groups) if n // 2 >= needed // 2 and n % 2 >= needed % 2]
        if home:
            groups[home[0]] = np.sort(np.concatenate([groups[home[0]][0], few])), groups[home[0]][1]
        else:
            groups.append((few, needed))
    return [(chosen, 2.0 ** (number // 2 / 2), bool(number % 2)) for chosen, number in groups]


def _part(array: Array | None, part: slice) -> Array | None:
    return None if array is None else array[part]


def _raw(port: PortTables | None) -> tuple[Floats | None, Floats | None, float, float]:
    """Return a port's tables as the kernel takes them."""
    return (None, None, 0.0, 1.0) if port is None else (port.values, port.slopes, port.start, port.step)
