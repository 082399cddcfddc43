"""The crossbar array: currents, operating points, linear maps, gradients and netlist of cells and their wires."""

import functools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Array, Floats, Integers, Singles
from spicesim.cells import Cell, KernelCell, Linear, NetlistCell
from spicesim.crossbar.arguments import as_batch, as_mask, as_numbers, as_options, as_positive
from spicesim.crossbar.gradient import pull_back
from spicesim.crossbar.linear import LinearArray
from spicesim.crossbar.mirror import mirror
from spicesim.crossbar.operating_point import OperatingPointSolver, Points, Precision, Request
from spicesim.crossbar.solution import Details, Solution
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import SpecError
from spicesim.netlist.crossbar import ArrayNetlist, format_array
from spicesim.ports import ChosenTables, PortTables

__all__ = ["Crossbar"]

FIELDS_AT_ONCE = 64
"""Vectors whose voltages are held in double precision."""


class Crossbar:
    """An array of cells on resistive word and bit lines.

    Word line i is driven at its left: source, `r_driver`, one segment, cell 0, one segment, cell 1, ... Bit
    line j runs down past the cells of rows 0, 1, ..; below the last row follow one segment, `r_sense` and the
    virtual ground, 0 V. The options `drive` and `sense` change which ends are connected.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances [S]; 0 is an open cell. A cell stuck at a state has that state's conductance.
    r_word_line : float or array_like of shape (rows, columns)
        Resistance of the segment that leads into node (i, j) from its driver's side [ohm]; may be 0, or
        infinite for a broken segment. With ``drive="both"`` of shape (rows, columns + 1), from left to right.
    r_bit_line : float or array_like of shape (rows, columns)
        Resistance of the segment that leads from node (i, j) downwards [ohm]; may be 0 or infinite. With
        ``sense="both"`` of shape (rows + 1, columns), from top to bottom.
    r_driver : float or array_like of shape (rows,)
        Output resistance of the drivers, the same at both ends [ohm].
    r_sense : float or array_like of shape (columns,)
        Resistance between an end of a bit line and its virtual ground, the same at both ends [ohm]. Infinite for an
        open foot: the bit line floats at what its cells make of it, :attr:`Solution.foot_voltages`.
    cell : Cell
        Law of the cells; see :mod:`spicesim.cells`.
    drive : {"left", "right", "both"}
        Ends at which the word lines are driven; at both by the same voltage.
    sense : {"bottom", "both"}
        Ends at which the bit lines are sensed; currents are then the sums of both.

    Raises
    ------
    SpecError
        If a shape is wrong, a conductance or resistance is negative, or a number makes no sense.

    Notes
    -----
    Currents of linear cells are right to 1e-9 of the sum of the magnitudes that their inputs contribute, or of 1e-12
    of what the largest cell would carry at the largest input, if that is more. This holds for any segments, whatever
    their resistance: where they and the cells are so far apart that the fast solvers would lose digits, a slower one
    takes over, :mod:`spicesim.crossbar.star_mesh`. What :meth:`solve` finds obeys Kirchhoff's law to its tolerance.
    """

    def __init__(
        self,
        g: npt.ArrayLike,
        r_word_line: npt.ArrayLike = 0.0,
        r_bit_line: npt.ArrayLike = 0.0,
        r_driver: npt.ArrayLike = 0.0,
        r_sense: npt.ArrayLike = 0.0,
        cell: Cell | None = None,
        *,
        drive: Literal["left", "right", "both"] = "left",
        sense: Literal["bottom", "both"] = "bottom",
    ) -> None:
        as_options(drive=(drive, ("left", "right", "both")), sense=(sense, ("bottom", "both")))
        conductances = as_numbers("g", g)
        if conductances.ndim != 2 or 0 in conductances.shape:
            raise SpecError(f"g must have shape (rows, columns), at least 1x1, got {conductances.shape}")
        rows, columns = conductances.shape
        word_shape, bit_shape = (rows, columns + (drive == "both")), (rows + (sense == "both"), columns)
        self.g = as_positive("g", conductances, (rows, columns), "S")
        self.r_word_line = as_positive("r_word_line", r_word_line, word_shape, "ohm", infinite=True)
        self.r_bit_line = as_positive("r_bit_line", r_bit_line, bit_shape, "ohm", infinite=True)
        self.r_driver = as_positive("r_driver", r_driver, (rows,), "ohm")
        self.r_sense = as_positive("r_sense", r_sense, (columns,), "ohm", infinite=sense == "bottom")
        self.cell: Cell = Linear() if cell is None else cell
        if isinstance(self.cell, type):
            raise SpecError(
                f"cell must be an instance, got the class {self.cell.__name__}; write {self.cell.__name__}(..)"
            )
        if not isinstance(self.cell, Cell):
            raise SpecError(f"cell must have the methods current and slope, got {type(cell).__name__}")
        self.drive, self.sense = drive, sense
        flip = slice(None, None, -1) if drive == "right" else slice(None)
        self._flip = flip
        wiring = Wiring(
            word=np.ascontiguousarray(self.r_word_line[:, flip][:, :columns]),
            bit=np.ascontiguousarray(self.r_bit_line[-rows:, flip]),
            driver=self.r_driver,
            sense=np.ascontiguousarray(self.r_sense[flip]),
            right=self.r_word_line[:, -1] + self.r_driver if drive == "both" else None,
            top=(self.r_bit_line[0] + self.r_sense)[flip] if sense == "both" else None,
        )
        self._solver = OperatingPointSolver(
            wiring,
            np.ascontiguousarray(self.g[:, flip]),
            mirror(self.cell) if drive == "right" else self.cell,
            drive == "right",
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of word lines and bit lines."""
        rows, columns = self.g.shape
        return rows, columns

    def changed(self, **arguments: Any) -> "Crossbar":
        """Return a copy with some arguments changed, checked: ``array.changed(r_driver=20.0)``.

        Parameters
        ----------
        **arguments
            As :class:`Crossbar` has them.

        Raises
        ------
        SpecError
            As :class:`Crossbar`.
        """
        return Crossbar(**self._arguments() | arguments)

    def _arguments(self) -> dict[str, Any]:
        names = ("g", "r_word_line", "r_bit_line", "r_driver", "r_sense", "cell", "drive", "sense")
        return {name: getattr(self, name) for name in names}

    def currents(
        self,
        v: npt.ArrayLike,
        threads: int = 1,
        *,
        mask: npt.ArrayLike | None = None,
        precision: Precision = "double",
        tolerance: float | None = None,
    ) -> Array:
        """Solve the currents into the virtual grounds.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages [V].
        threads : int
            Threads of the solver; the result is the same for any number.
        mask, precision, tolerance
            As :meth:`solve`.

        Returns
        -------
        ndarray of shape (batch, columns) or (columns,)
            Currents, positive into the virtual ground [A]; of float32 if `precision` is "single".

        Raises
        ------
        SpecError, ConvergenceError, ValidityError
            As :meth:`solve`.
        """
        as_options(precision=(precision, ("single", "double")))
        if isinstance(self.cell, Linear) and mask is None:
            batch, single = as_batch(v, self.shape[0], precision)
            i = batch @ self._linear.map(precision)
        else:
            batch, single = as_batch(v, self.shape[0])
            solution = self.solve(batch, mask=mask, precision=precision, tolerance=tolerance, threads=threads)
            i = solution.currents if precision == "double" else solution.currents.astype(np.float32)
        return i[0] if single else i

    def transfer_matrix(self) -> Floats:
        """Return the linear map from source voltages to output currents.

        Returns
        -------
        ndarray of shape (columns, rows)
            T with ``currents = T @ v`` [S], exact to about 1e-12 of the largest number of its row; computed once, not
            writeable.

        Raises
        ------
        SpecError
            If the cells are not linear.
        """
        return self._linear.transfer

    def foot_matrix(self) -> Floats:
        """Return the linear map from source voltages to the voltages of the feet, (columns, rows).

        Raises
        ------
        SpecError
            If the cells are not linear, or bit lines are sensed at both ends.
        """
        self._require_one_foot()
        return self._linear.feet

    def _require_one_foot(self) -> None:
        if self.sense == "both":
            raise SpecError('this needs one foot a bit line: sense="bottom"')

    def input_admittance(self) -> Floats:
        """Return the linear map from source voltages to the currents of the drivers, (rows, rows) [S].

        Raises
        ------
        SpecError
            If the cells are not linear.
        """
        return self._linear.input_admittance

    def output_admittance(self) -> Floats:
        """Return what the virtual grounds see: current out of ground j a volt at ground k, (columns, columns) [S].

        Raises
        ------
        SpecError
            If the cells are not linear, or bit lines are sensed at both ends.
        """
        self._require_one_foot()
        return self._linear.output_admittance

    def fill_voltages(self, v: Floats, across: Singles, bit: Singles | None = None, threads: int = 1) -> Floats:
        """Fill in the voltages of an array of linear cells, in single precision and with the batch last.

        Parameters
        ----------
        v : ndarray of shape (batch, rows)
            Source voltages [V].
        across : ndarray of float32, shape (rows, columns, batch)
            Takes the voltages across the cells [V]; a view will do if its last axis is dense.
        bit : ndarray of float32, shape (rows, columns, batch), optional
            Takes the voltages of the bit-line nodes [V]; of the strides of `across`.
        threads : int
            Threads; the result is the same for any number.

        Returns
        -------
        ndarray of shape (batch, rows)
            Currents of the drivers [A].

        Raises
        ------
        SpecError
            If the cells are not linear, or what is to be filled has another shape.
        """
        shape = (*self.shape, len(v))
        for name, field in (("across", across), ("bit", bit)):
            if field is not None and (field.shape != shape or (field.strides[-1] != 4 and shape[-1] > 1)):
                raise SpecError(f"{name} must have shape {shape} with a dense last axis, got {field.shape}")
        if bit is not None and bit.strides != across.strides:
            raise SpecError("bit must have the strides of across; make both at once")
        marched = self._linear.fill_voltages(v, across, bit, threads)
        if marched is not None:
            return marched
        row_currents = np.empty(v.shape)
        for first in range(0, len(v), FIELDS_AT_ONCE):
            part = slice(first, first + FIELDS_AT_ONCE)
            solution = self.solve(v[part], fields=True, tolerance=1e-8, threads=threads)
            assert solution.cell_voltages is not None  # asked for
            assert solution.bit_line_voltages is not None
            row_currents[part] = solution.row_currents
            across[..., part] = solution.cell_voltages.transpose(1, 2, 0)
            if bit is not None:
                bit[..., part] = solution.bit_line_voltages.transpose(1, 2, 0)
        return row_currents

    @functools.cached_property
    def _linear(self) -> LinearArray:
        if not isinstance(self.cell, Linear):
            raise SpecError(f"a transfer matrix needs linear cells, these are {type(self.cell).__name__}; use solve()")
        return LinearArray(self._solver.wiring, self._solver.g, self._flip)

    def solve(
        self,
        v: npt.ArrayLike,
        *,
        drivers: PortTables | ChosenTables | None = None,
        senses: PortTables | ChosenTables | None = None,
        mask: npt.ArrayLike | None = None,
        fields: bool = False,
        tolerance: float | None = None,
        precision: Precision = "double",
        threads: int = 1,
    ) -> Solution:
        """Find the operating point for each input vector.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages [V]; with driver tables the open-circuit voltages.
        drivers : PortTables or ChosenTables, optional
            Droop of the drivers against the current they deliver, in series with `r_driver`. Of several tables, say
            which one each driver takes for each input vector (it may depend on the DAC code):
            ``drivers.chosen(index)``, index of shape (batch, rows).
        senses : PortTables or ChosenTables, optional
            Terminal voltages of the sense amplifiers against the current into them, in series with `r_sense`. Of
            several tables, say which one each column takes: ``senses.chosen(index)``, index of shape (columns,).
        mask : array_like of shape (batch, rows) or (rows,), optional
            1 where the access transistors of a word line's cells are on, 0 where they are off: those cells
            carry nothing.
        fields : bool
            Return the voltages and currents of all cells, and the power of all blocks, too.
        tolerance : float, optional
            Largest residual, as a fraction of the largest cell slope times the largest applied voltage; 1e-11,
            or 3e-6 in single precision.
        precision : {"double", "single"}
            "single" allows float32 inside where rounding stays below the tolerance: 2 to 10 times faster.
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
        as_options(precision=(precision, ("single", "double")))
        batch, _ = as_batch(v, self.shape[0])
        if tolerance is None:
            tolerance = 1e-11 if precision == "double" else 3e-6
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        if threads < 1:
            raise SpecError(f"threads must be at least 1, got {threads}")
        if (drivers is not None and not self._solver.takes_drivers) or (
            senses is not None and not self._solver.takes_ports
        ):
            raise SpecError(
                "port tables need lines with one end, no broken segment and a cell of spicesim.cells, those of sense "
                "amplifiers no open foot either"
            )
        rows, columns = self.shape
        count = len(batch)
        driver_tables, driver_index = _tables_of(drivers, (count, rows))
        sense_tables, sense_index = _tables_of(senses, (columns,))
        request = Request(
            v=batch,
            drivers=driver_tables,
            driver_index=driver_index,
            senses=sense_tables,
            sense_index=None if sense_index is None else np.ascontiguousarray(sense_index[self._flip]),
            mask=as_mask(mask, (count, rows)),
            fields=fields,
            tolerance=tolerance,
            precision=precision,
            threads=threads,
        )
        points = self._solver.solve(request)
        return self._solution(request, points)

    def _solution(self, request: Request, points: Points) -> Solution:
        flip = self._flip
        parts: dict[str, Any] = {}
        if request.fields:
            assert points.word is not None
            assert points.bit is not None
            parts = {
                "cell_voltages": np.ascontiguousarray((points.word - points.bit)[..., flip]),
                "bit_line_voltages": np.ascontiguousarray(points.bit[..., flip]),
                "details": Details(solver=self._solver, request=request, points=points, flip=flip),
            }
        if points.feet is not None:
            floats = self._solver.wiring.open_feet
            feet = np.where(floats, points.feet, np.where(floats, 0.0, self._solver.wiring.sense) * points.currents)
            parts["foot_voltages"] = np.ascontiguousarray(feet[:, flip])
        return Solution(
            currents=np.ascontiguousarray(points.currents[:, flip]),
            row_currents=points.row_currents,
            iterations=points.steps,
            residual=points.residual,
            top_currents=points.top_currents[:, flip] if self.sense == "both" else None,
            **parts,
        )

    def vjp(
        self, v: npt.ArrayLike, grad_currents: npt.ArrayLike, *, mask: npt.ArrayLike | None = None, threads: int = 1
    ) -> tuple[Floats, Floats]:
        """Pull a gradient back through the array: from its currents to its inputs and conductances.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages [V].
        grad_currents : array_like of shape (batch, columns) or (columns,)
            Gradient of a number with respect to the currents.
        mask : array_like, optional
            As :meth:`solve`.
        threads : int
            Threads of the solver.

        Returns
        -------
        grad_v : ndarray of shape (batch, rows) or (rows,)
            Gradient with respect to the source voltages.
        grad_g : ndarray of shape (rows, columns)
            Gradient with respect to the conductances, summed over the batch.

        Notes
        -----
        One linear system a vector, the transposed Jacobian at the operating point.
        """
        batch, single = as_batch(v, self.shape[0])
        grad = np.atleast_2d(as_numbers("grad_currents", grad_currents))
        if grad.shape != (len(batch), self.shape[1]) or not np.isfinite(grad).all():
            raise SpecError(
                f"grad_currents must be finite, of shape {(len(batch), self.shape[1])}, got shape {grad.shape}"
            )
        request = Request(
            v=batch, mask=as_mask(mask, (len(batch), self.shape[0])), fields=True, tolerance=1e-11, threads=threads
        )
        grad_v, grad_g = pull_back(self._solver, request, np.ascontiguousarray(grad[:, self._flip]))
        return grad_v[0] if single else grad_v, np.ascontiguousarray(grad_g[:, self._flip])

    def sensitivity(self, v: npt.ArrayLike, column: int) -> Floats:
        """Return how much each cell's conductance matters for the current of one column.

        Parameters
        ----------
        v : array_like of shape (rows,)
            Source voltages [V].
        column : int
            The column, from 0.

        Returns
        -------
        ndarray of shape (rows, columns)
            d current / d g of each cell [V].
        """
        batch, single = as_batch(v, self.shape[0])
        if not single or not 0 <= column < self.shape[1]:
            raise SpecError(f"wanted one vector v and a column in 0..{self.shape[1] - 1}, got {batch.shape}, {column}")
        return self.vjp(batch[0], np.eye(self.shape[1])[column])[1]

    def netlist(self, v: npt.ArrayLike, *, mask: npt.ArrayLike | None = None) -> str:
        """Return a complete ngspice netlist with ``.op``; it runs as it stands by ``ngspice -b``.

        Parameters
        ----------
        v : array_like of shape (rows,)
            Source voltages [V].
        mask : array_like of shape (rows,), optional
            As :meth:`solve`; cells that are off are left out.

        Returns
        -------
        str
            The netlist; the current into virtual ground j is ``i(vsense_j)``, at the top ``i(vtop_j)``.

        Raises
        ------
        SpecError
            If v is not one finite vector, or a cell of the user's own has no netlist.
        """
        batch, single = as_batch(v, self.shape[0])
        if not single:
            raise SpecError(f"a netlist holds one input vector: wanted shape ({self.shape[0]},), got {batch.shape}")
        if not isinstance(self.cell, NetlistCell):
            raise SpecError(f"cells of {type(self.cell).__name__} have no netlist; give them a method element")
        gate = as_mask(mask, (1, self.shape[0]))
        on = {} if gate is None else {"g": self.g * gate[0][:, None]}
        kernel = self.cell.kernel(self.g).coefficients if isinstance(self.cell, KernelCell) else self.g[..., None, None]
        return format_array(ArrayNetlist(**self._arguments() | on, coefficients=kernel), batch[0])


def _tables_of(
    ports: PortTables | ChosenTables | None, shape: tuple[int, ...]
) -> tuple[PortTables | None, Integers | None]:
    """Return the tables of ports, and the number of each port's; one vector may have one row of numbers."""
    if ports is None:
        return None, None
    if isinstance(ports, PortTables):
        return ports, ports.index(None, shape)
    index = np.asarray(ports.index)
    return ports.tables, ports.tables.index(index[None] if index.ndim < len(shape) else index, shape)
