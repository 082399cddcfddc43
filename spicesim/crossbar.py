"""The crossbar array: currents, operating points, transfer matrix and netlist of cells and their wires."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from spicesim._cext import array_solver, transfer_matrix
from spicesim.cells import Cell, CellKernel, Linear
from spicesim.errors import ConvergenceError, SpecError, ValidityError
from spicesim.netlist.crossbar import ArrayNetlist, format_array
from spicesim.ports import PortTables

__all__ = ["Crossbar", "Solution"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NEWTON_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Operating points of an array, one for each input vector."""

    currents: Floats
    """Into the virtual grounds, (batch, columns) [A]."""
    row_currents: Floats
    """Delivered by the drivers, (batch, rows) [A]."""
    iterations: Integers
    """Newton steps, (batch,)."""
    residual: Floats
    """Worst error of Kirchhoff's current law at any cell, (batch,) [A]."""
    cell_voltages: Floats | None = None
    """Word line minus bit line at each cell, (batch, rows, columns) [V]; with ``fields=True``."""
    bit_line_voltages: Floats | None = None
    """Bit-line nodes above the reference, (batch, rows, columns) [V]; with ``fields=True``."""

    @property
    def word_line_voltages(self) -> Floats | None:
        """Word-line nodes, (batch, rows, columns) [V]; with ``fields=True``."""
        if self.cell_voltages is None or self.bit_line_voltages is None:
            return None
        return self.cell_voltages + self.bit_line_voltages


class Crossbar:
    """An array of cells on resistive word and bit lines.

    Word line i is driven at its left: source, `r_driver`, one segment, cell 0, one segment, cell 1, ... Bit
    line j runs down past the cells of rows 0, 1, ..; below the last row follow one segment, `r_sense` and the
    virtual ground, 0 V.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances [S]; 0 is an open cell.
    r_word_line : float or array_like of shape (rows, columns)
        Resistance of the segment that leads into node (i, j) from the left [ohm]; may be 0.
    r_bit_line : float or array_like of shape (rows, columns)
        Resistance of the segment that leads from node (i, j) downwards [ohm]; may be 0.
    r_driver : float or array_like of shape (rows,)
        Output resistance of the drivers [ohm].
    r_sense : float or array_like of shape (columns,)
        Resistance between the foot of a bit line and its virtual ground [ohm].
    cell : Cell
        Law of the cells; see :mod:`spicesim.cells`.

    Raises
    ------
    SpecError
        If a shape is wrong, or a conductance or resistance is negative or not finite.
    """

    def __init__(
        self,
        g: npt.ArrayLike,
        r_word_line: npt.ArrayLike = 0.0,
        r_bit_line: npt.ArrayLike = 0.0,
        r_driver: npt.ArrayLike = 0.0,
        r_sense: npt.ArrayLike = 0.0,
        cell: Cell | None = None,
    ) -> None:
        conductances = _numbers("g", g)
        if conductances.ndim != 2 or 0 in conductances.shape:
            raise SpecError(f"g must have shape (rows, columns), at least 1x1, got {conductances.shape}")
        rows, columns = conductances.shape
        self.g = _not_negative("g", conductances, (rows, columns), "S")
        self.r_word_line = _not_negative("r_word_line", r_word_line, (rows, columns), "ohm")
        self.r_bit_line = _not_negative("r_bit_line", r_bit_line, (rows, columns), "ohm")
        self.r_driver = _not_negative("r_driver", r_driver, (rows,), "ohm")
        self.r_sense = _not_negative("r_sense", r_sense, (columns,), "ohm")
        self.cell: Cell = Linear() if cell is None else cell
        kernel = self.cell.kernel(self.g)
        self._kernel: CellKernel = kernel._replace(coefficients=np.ascontiguousarray(kernel.coefficients, dtype=float))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of word lines and bit lines."""
        rows, columns = self.g.shape
        return rows, columns

    def currents(self, v: npt.ArrayLike, threads: int = 1) -> Floats:
        """Solve the currents into the virtual grounds.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages [V].
        threads : int
            Threads of the solver; the result is the same for any number.

        Returns
        -------
        ndarray of shape (batch, columns) or (columns,)
            Currents, positive into the virtual ground [A].

        Raises
        ------
        SpecError, ConvergenceError, ValidityError
            As :meth:`solve`.
        """
        batch, single = self._inputs(v)
        if isinstance(self.cell, Linear):
            i = batch @ self.transfer_matrix().T
        else:
            i = self.solve(batch, threads=threads).currents
        return i[0] if single else i

    def transfer_matrix(self) -> Floats:
        """Return the linear map from source voltages to output currents.

        Returns
        -------
        ndarray of shape (columns, rows)
            T with ``currents = T @ v`` [S], exact to about 1e-13 relative; computed once, not writeable.

        Raises
        ------
        SpecError
            If the cells are not linear.
        """
        if not isinstance(self.cell, Linear):
            raise SpecError(f"a transfer matrix needs linear cells, these are {type(self.cell).__name__}; use solve()")
        return self._transfer_matrix

    @functools.cached_property
    def _transfer_matrix(self) -> Floats:
        matrix = _eliminate(self.g, self.r_word_line, self.r_bit_line, self.r_driver, self.r_sense)
        matrix.flags.writeable = False
        return matrix

    def solve(
        self,
        v: npt.ArrayLike,
        *,
        drivers: PortTables | None = None,
        driver_index: npt.ArrayLike | None = None,
        senses: PortTables | None = None,
        sense_index: npt.ArrayLike | None = None,
        fields: bool = False,
        tolerance: float = 1e-11,
        threads: int = 1,
    ) -> Solution:
        """Find the operating point for each input vector.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages [V]; with driver tables the open-circuit voltages.
        drivers : PortTables, optional
            Droop of the drivers against the current they deliver, in series with `r_driver`.
        driver_index : array_like of int, shape (batch, rows), optional
            Table of each driver for each input vector (it may depend on the DAC code).
        senses : PortTables, optional
            Terminal voltages of the sense amplifiers against the current into them, in series with `r_sense`.
        sense_index : array_like of int, shape (columns,), optional
            Table of each column.
        fields : bool
            Return the voltages of all cells, too.
        tolerance : float
            Largest residual, as a fraction of the largest cell slope times the largest applied voltage.
        threads : int
            Threads; the result is the same for any number.

        Returns
        -------
        Solution
            With a batch of one if v has shape (rows,).

        Raises
        ------
        SpecError
            If a shape or a value makes no sense.
        ConvergenceError
            If the tolerance is not reached; the message names the worst cell.
        ValidityError
            If a solved current leaves the table of its port, or a voltage the limits of its cell.
        """
        batch, _ = self._inputs(v)
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        if threads < 1:
            raise SpecError(f"threads must be at least 1, got {threads}")
        rows, columns = self.shape
        count = len(batch)
        driver_tables = None if drivers is None else drivers.index(_one_row(driver_index), (count, rows))
        sense_tables = np.zeros(columns, np.int64)
        if senses is not None:
            sense_tables = senses.index(sense_index, (columns,))
        kernel = self._kernel
        currents, row_currents = np.empty((count, columns)), np.empty((count, rows))
        residual, extents = np.empty(count), np.empty((count, 4))
        steps, worst = np.empty(count, np.int64), np.empty((count, 3), np.int64)
        cell_voltages = np.empty((count, rows, columns)) if fields else None
        bit_line_voltages = np.empty((count, rows, columns)) if fields else None
        if count:
            array_solver.solve_batch(
                batch, self.r_word_line, self.r_bit_line, self.r_driver, self.r_sense,
                kernel.coefficients, kernel.kappa, (*kernel.v_limits, *kernel.u_limits),
                _raw(drivers), driver_tables, _raw(senses), sense_tables,
                tolerance, NEWTON_LIMIT, threads,
                currents, row_currents, residual, extents, steps, worst, cell_voltages, bit_line_voltages,
            )  # fmt: skip
        self._check_convergence(worst[:, 0], residual, steps, tolerance)
        if drivers is not None:
            drivers.check(row_currents, "driver of row")
        if senses is not None:
            senses.check(currents, "sense amplifier of column")
        self._check_limits("voltage across", kernel.v_limits, extents[:, :2], worst[:, 1])
        self._check_limits("bit-line voltage at", kernel.u_limits, extents[:, 2:], worst[:, 2])
        return Solution(
            currents=currents,
            row_currents=row_currents,
            iterations=steps,
            residual=residual,
            cell_voltages=cell_voltages,
            bit_line_voltages=bit_line_voltages,
        )

    def netlist(self, v: npt.ArrayLike) -> str:
        """Return a complete ngspice netlist with ``.op``; it runs as it stands by ``ngspice -b``.

        Parameters
        ----------
        v : array_like of shape (rows,)
            Source voltages [V].

        Returns
        -------
        str
            The netlist; the current into virtual ground j is ``i(vsense_j)``.

        Raises
        ------
        SpecError
            If v is not one finite vector.
        """
        batch, single = self._inputs(v)
        if not single:
            raise SpecError(f"a netlist holds one input vector: wanted shape ({self.shape[0]},), got {batch.shape}")
        return format_array(
            ArrayNetlist(
                g=self.g,
                coefficients=self._kernel.coefficients,
                cell=self.cell,
                r_word_line=self.r_word_line,
                r_bit_line=self.r_bit_line,
                r_driver=self.r_driver,
                r_sense=self.r_sense,
            ),
            batch[0],
        )

    def _inputs(self, v: npt.ArrayLike) -> tuple[Floats, bool]:
        """Check input voltages; return them as (batch, rows), and whether they were one vector."""
        array = _numbers("v", v)
        if array.ndim not in (1, 2) or array.shape[-1] != self.shape[0]:
            raise SpecError(f"v must have shape (batch, {self.shape[0]}) or ({self.shape[0]},), got {array.shape}")
        if not np.isfinite(array).all():
            raise SpecError("v must hold finite voltages; look for the NaN or infinity in the input")
        return np.ascontiguousarray(np.atleast_2d(array)), array.ndim == 1

    def _check_convergence(self, worst: Integers, residual: Floats, steps: Integers, tolerance: float) -> None:
        """Refuse results that did not converge; worst: cell of the worst residual, -1 where all is well."""
        if (worst >= 0).any():
            item = int(np.argmax(worst >= 0))
            row, column = divmod(int(worst[item]), self.shape[1])
            raise ConvergenceError(
                f"no operating point within tolerance {tolerance:g} for batch item {item} "
                f"after {steps[item]} Newton steps: residual {residual[item]:.3g} A, "
                f"worst at the cell of row {row}, column {column} (wl_{row}_{column}, bl_{row}_{column}); "
                "ask for a larger tolerance, or check port tables and inputs"
            )

    def _check_limits(self, word: str, limits: tuple[float, float], reached: Floats, cells: Integers) -> None:
        """Refuse voltages outside the limits of the cells; cells: where, -1 if inside."""
        if (cells >= 0).any():
            item = int(np.argmax(cells >= 0))
            row, column = divmod(int(cells[item]), self.shape[1])
            raise ValidityError(
                f"{word} the cell of row {row}, column {column} is outside the calibrated {limits[0]:.6g}.."
                f"{limits[1]:.6g} V: batch item {item} reaches {reached[item, 0]:.6g}..{reached[item, 1]:.6g} V; "
                "calibrate the cell over a wider box, or lower inputs or conductances"
            )


def _numbers(name: str, value: npt.ArrayLike) -> Floats:
    """Convert to floats, or say clearly that it cannot be done."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" and array.dtype != object:
            raise TypeError(f"of type {array.dtype}")
        return np.asarray(array, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name} must be an array of real numbers ({error})") from None


def _not_negative(name: str, value: npt.ArrayLike, shape: tuple[int, ...], unit: str) -> Floats:
    """Check an array of conductances or resistances and spread a scalar over it."""
    array = _numbers(name, value)
    if array.ndim and array.shape != shape:
        raise SpecError(f"{name} must be a scalar or have shape {shape}, got {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        bad = array[~(np.isfinite(array) & (array >= 0))].flat[0]
        raise SpecError(f"{name} must be finite and >= 0 {unit}, got {bad:g}")
    result = np.array(np.broadcast_to(array, shape), dtype=float, order="C")
    result.flags.writeable = False
    return result


def _one_row(index: npt.ArrayLike | None) -> npt.ArrayLike | None:
    """Let one vector have one row of table numbers."""
    return None if index is None else np.atleast_2d(np.asarray(index))


def _raw(port: PortTables | None) -> tuple[Floats | None, Floats | None, float, float]:
    """Return a port's tables as the kernel takes them."""
    return (None, None, 0.0, 1.0) if port is None else (port.values, port.slopes, port.start, port.step)


def _eliminate(g: Floats, r_word_line: Floats, r_bit_line: Floats, r_driver: Floats, r_sense: Floats) -> Floats:
    """Return the transfer matrix (columns, rows), eliminating along the cheaper axis.

    A resistive network is reciprocal: the array seen from its other corner, word lines for bit lines, has the
    transposed transfer matrix. The work is columns * rows**3, so the longer axis should be that of the
    columns.
    """
    if g.shape[0] > g.shape[1]:
        turned = [np.ascontiguousarray(x[::-1, ::-1].T) for x in (g, r_bit_line, r_word_line)]
        matrix = _eliminate(turned[0], turned[1], turned[2], r_sense[::-1].copy(), r_driver[::-1].copy())
        return np.ascontiguousarray(matrix[::-1, ::-1].T)
    matrix = np.empty(g.shape[::-1])
    with _blas().limit(limits=1, user_api="blas"):  # more threads make these small blocks slower
        info = transfer_matrix.transfer_matrix(g, r_word_line, r_bit_line, r_driver, r_sense, matrix)
    if info or not np.isfinite(matrix).all():
        raise SpecError("the numbers of the array overflow: conductance times resistance is beyond double precision")
    return matrix


@functools.cache
def _blas() -> ThreadpoolController:
    """Find the loaded BLAS libraries, once."""
    return ThreadpoolController()
