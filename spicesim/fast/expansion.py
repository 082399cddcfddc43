"""Expansion of an array about the middle of its inputs: from exact fields to the numbers of a form."""

from abc import ABC, abstractmethod
from functools import cache
from typing import ClassVar

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Floats, Reals, Singles
from spicesim.cells import CellKernel
from spicesim.crossbar import Crossbar
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import SpecError
from spicesim.fast.fields import find_fields, shapes
from spicesim.fast.form import Form, FormOrders
from spicesim.ports import PortTables

__all__ = ["ArrayExpansion", "Expansion", "Modes", "can_expand", "corners"]

U_STEP = 1e-4
"""Step of bit-line voltages for slopes [V]."""
TURNS = 2
"""Turns in which the currents beyond the slopes find the voltages that they change themselves."""
INPUT_NODES = 7
"""Inputs at which cells are evaluated, enough for sixth order."""


class ArrayExpansion(ABC):
    """An array about an operating point: its linear fields there, and what forms are made of.

    Output j, the current of a foot or, if all feet are open, its voltage, moves by ``sum_cells K_j n`` beyond what is
    linear: n is the current of a cell beyond its slope and K_j its way to the output, exact. Only the voltages at which
    n is taken are approximate: those that an input gives to the cells of its own row, and a few features of each column
    that stand for all other rows.

    Parameters
    ----------
    array : Crossbar
        The array.
    sources : ndarray of shape (rows,)
        Source voltages at the operating point [V].
    centre, half : float
        Middle and half of the range of the inputs.
    senses : PortTables, optional
        Linear terminations of the columns, of one table or one a column.
    threads : int
        Threads of the exact solver.
    """

    reach: ClassVar[float]
    """Features at which their products with the first one are found."""

    def __init__(
        self, array: Crossbar, sources: Floats, *, centre: float, half: float, senses: PortTables | None, threads: int
    ) -> None:
        self.array, self.centre, self.half = array, centre, half
        self._kernel = _require_kernel(array)
        self._coefficients = np.ascontiguousarray(np.moveaxis(self._kernel.coefficients, 1, 3))
        single = senses is None or len(senses.values) == 1
        index = np.zeros(array.shape[1], np.int64) if single else np.arange(array.shape[1])
        chosen = None if senses is None else senses.chosen(index)
        middle = array.solve(sources, senses=chosen, fields=True, tolerance=1e-8, threads=threads)
        assert middle.cell_voltages is not None  # asked for
        assert middle.bit_line_voltages is not None
        self.outputs, self.row_currents = middle.outputs[0], middle.row_currents[0]
        self.v, self.u = middle.cell_voltages[0], middle.bit_line_voltages[0]
        self.slope = np.maximum(array.cell.slope(array.g, self.v, self.u), 0.0)
        port = 0.0 if senses is None else senses.evaluate(middle.currents[0], index)[1]
        self._r_sense, self._origin = array.r_sense + port, self._cells(self.v, self.u)
        self.fields = find_fields(array, self.slope, self._r_sense, threads=threads)
        if middle.foot_voltages is not None:  # what a current lifts a floating line by, its cells alone hold
            self._r_sense = 1 / self.slope.sum(axis=0)

    def _cells(self, v: Floats, u: Floats) -> Floats:
        """Return the currents of the cells, held at their limits beyond these; v, u (rows, columns) [A]."""
        kernel, current = self._kernel, np.empty(v.shape)
        v, u = np.clip(v, *kernel.v_limits), np.clip(u, *kernel.u_limits)
        fast.cells(self._coefficients, kernel.folds, kernel.kappa, v, u, current)
        return current

    @property
    def u_limits(self) -> tuple[float, float]:
        """Bit-line voltages for which the cells hold [V]."""
        return self._kernel.u_limits

    @property
    def port_resistance(self) -> Floats:
        """Resistance at the foot of each column, linear terminal included, (columns,) [ohm]."""
        return self._r_sense

    @property
    @abstractmethod
    def nodes(self) -> Floats:
        """Inputs at which cells are evaluated, in halves of their range, (nodes,)."""

    @property
    @abstractmethod
    def linear(self) -> Floats | float:
        """What a half-range step of input i does to output j apart from :meth:`_remainder`, (rows, columns) [A]."""

    @abstractmethod
    def answers(self, rises: Floats, x: float) -> Floats:
        """Return by how much the currents of cells fall when their bit lines rise, (rises, rows, columns) [A].

        Parameters
        ----------
        rises : ndarray of shape (rises,)
            Rises [V].
        x : float
            Inputs, in halves of their range.
        """

    @abstractmethod
    def _features(self, rank: int) -> Floats:
        """Return the features of inputs in half ranges, (rank, columns, rows)."""

    @abstractmethod
    def _remainder(self, rank: int) -> list[Singles]:
        """Evaluate the cells beyond their slopes at nodes of the inputs, for each corner of the features.

        Returns
        -------
        list of ndarray, shape (nodes, rows, columns)
            Remaining currents at :attr:`nodes` [A], one for each of :func:`corners`.
        """

    def build(self, shape: FormOrders) -> Form:
        """Compute the numbers of a form."""
        rows, columns = self.array.shape
        terms = shape.terms
        orders = [shape.orders[sum(term)] for term in terms]
        at, inputs = corners(shape.rank, self.reach), self.nodes[:, None]
        basis = np.concatenate(
            [
                np.kron(np.prod(at ** np.array(term), axis=1)[:, None], inputs ** np.arange(order + 1))
                for term, order in zip(terms, orders, strict=True)
            ],
            axis=1,
        )
        fit = np.linalg.pinv(basis).astype(np.float32).reshape(-1, len(at), len(inputs))
        cells = np.zeros((len(fit), rows * columns), np.float32)
        with one_blas_thread():
            for k, rest in enumerate(self._remainder(shape.rank)):
                cells += fit[:, k] @ rest.reshape(len(inputs), -1)
            by_row = cells.reshape(-1, rows, columns).transpose(1, 0, 2)
            outputs = np.matmul(by_row, self.fields.adjoint.transpose(1, 0, 2)).transpose(1, 0, 2)  # (.., i, j)
        constants, weights, first = np.empty((len(terms), columns)), [], 0
        for t, order in enumerate(orders):
            constants[t] = outputs[first].sum(axis=0, dtype=float)
            weights.append(outputs[first + 1 : first + 1 + order].astype(float))
            first += 1 + order
        constants[0] += self.outputs
        weights[0][0] += self.linear
        features = self._features(shape.rank)
        return Form(
            shape=shape,
            centre=self.centre,
            half=self.half,
            features=np.ascontiguousarray(features.transpose(2, 0, 1), np.float32),
            exponents=np.array([(*term, 0) for term in terms], np.int32),
            orders=np.array(orders, np.int32),
            constants=constants.astype(np.float32),
            weights=np.concatenate([w.reshape(-1) for w in weights]).astype(np.float32),
        )


class Expansion(ArrayExpansion):
    """An array about its operating point with all inputs, the source voltages, at mid-range.

    Output j moves by T x + sum_cells K_j n: T is the transfer matrix of the linear array that the cells' slopes make,
    exact. The voltages at which n is taken are linear in the input of the cell's own row, which is followed exactly,
    and in the features. Columns share the features' size to first order.

    Parameters
    ----------
    array : Crossbar
        The array.
    low, high : float
        Range of the inputs [V].
    senses : PortTables, optional
        Linear terminations of the columns, of one table or one a column.
    threads : int
        Threads of the exact solver.
    """

    reach = 0.7

    def __init__(
        self, array: Crossbar, low: float, high: float, *, senses: PortTables | None = None, threads: int = 1
    ) -> None:
        centre, half = 0.5 * (low + high), 0.5 * (high - low)
        sources = np.full(array.shape[0], centre)
        super().__init__(array, sources, centre=centre, half=half, senses=senses, threads=threads)
        reach = 1.5 * (max(high, 0.0) - min(low, 0.0))  # wires cannot take the voltage of a cell beyond
        self._v_limits = max(self._kernel.v_limits[0], -reach), min(self._kernel.v_limits[1], reach)
        self.bias_slope = (self._cells(self.v, self.u + U_STEP) - self._cells(self.v, self.u - U_STEP)) / (2 * U_STEP)
        plain = array.drive == "left" and array.sense == "bottom"
        self._followed = plain and all(np.isfinite(r).all() for r in (array.r_word_line, array.r_bit_line))
        """Whether what currents do to their own voltages is followed along the wires; it is of second order."""
        self._parts = np.stack(
            [self.slope, self.bias_slope, self._origin, self.v, self.u, self.fields.own_v, self.fields.own_u]
        )
        self._modes, self._threads = Modes(self.fields.other_v, self.fields.other_u), threads
        self._linear = self._linear_part()
        self._remainders: dict[tuple[float, ...], Singles] = {}

    @property
    def nodes(self) -> Floats:
        """Inputs at which cells are evaluated, in halves of their range, (nodes,)."""
        return _input_nodes()

    @property
    def linear(self) -> Floats:
        """What a half-range step of input i does to output j in the linear array, (rows, columns) [A]."""
        return self._linear

    def beyond_slope(self, v: Floats, u: Floats) -> Floats:
        """Return the currents beyond the slopes in V alone, for changes of both voltages (rows, columns) [A]."""
        return self._cells(self.v + v, self.u + u) - self._origin - self.slope * v

    def _linear_part(self) -> Floats:
        """Return what a half-range step of input i does to output j, (rows, columns) [A].

        The transfer matrix knows the slopes in V only; the currents due to the bit lines' voltage are added.
        """
        f = self.fields
        linear = f.transfer.T.copy()
        if self.bias_slope.any():
            rows = len(linear)
            own = (self.bias_slope * f.own_u).astype(np.float32)
            linear += np.matmul(own[:, None], f.adjoint.transpose(1, 0, 2))[:, 0]  # over l
            weights = (shapes(rows)[:, :, None] * self.bias_slope[:, None]).astype(np.float32)  # (i, shapes, l)
            along = np.matmul(weights.transpose(2, 1, 0), f.adjoint)  # (l, shapes, j)
            linear += f.other_u.transpose(1, 0, 2).reshape(-1, rows).T @ along.reshape(-1, linear.shape[1])
        return np.asarray(linear * self.half)

    def _features(self, rank: int) -> Floats:
        """Return the features of inputs in half ranges, (rank, columns, rows)."""
        return self._modes.features(rank, self.half)[2]

    def _remainder(self, rank: int) -> list[Singles]:
        """Evaluate the cells beyond their slopes at nodes of the inputs, for each corner of the features."""
        v_shapes, u_shapes, _ = self._modes.features(rank, self.half)
        screen, found = self._screen(v_shapes, u_shapes), []
        for corner in corners(rank, self.reach):
            key = (float(rank > 0), *(float(q) for q in np.trim_zeros(corner, "b")))
            if key not in self._remainders:
                v, u = self.v + np.tensordot(corner, v_shapes, 1), self.u + np.tensordot(corner, u_shapes, 1)
                if rank:
                    at, n = corner[:1] * self.half, self._beyond(v, u, corner[:1] * self.half, 1)
                    for _ in range(TURNS - 1):
                        lift = screen * self._along_columns(n[0])
                        n = self._beyond(v - lift, u + lift, at, 1, n[0])
                    lift = screen * self._along_columns(n[0])
                    v, u = v - lift, u + lift
                self._remainders[key] = self._beyond(v, u, _input_nodes() * self.half, TURNS)
            found.append(self._remainders[key])
        return found

    def answers(self, rises: Floats, x: float) -> Floats:
        """Return by how much the currents of cells fall when their bit lines rise, (rises, rows, columns) [A]."""
        v, u = self.v + x * self.half * self.fields.own_v, self.u + x * self.half * self.fields.own_u
        return self._cells(v, u) - np.stack([self._cells(v - rise, u + rise) for rise in rises])

    def _beyond(self, v: Floats, u: Floats, x: Floats, turns: int, start: Singles | None = None) -> Singles:
        """Return the currents beyond the slopes with the own input at x [V], given what they drop along their rows.

        Parameters
        ----------
        v, u : ndarray of shape (rows, columns)
            Voltages but for the own input [V].
        x : ndarray of shape (count,)
            Own inputs, from mid-range [V].
        turns : int
            Turns, each with the drop of the currents of the one before.
        start : ndarray of shape (rows, columns), optional
            Currents for the first turn; none if absent [A].

        Returns
        -------
        ndarray of float32, shape (count, rows, columns)
            Currents [A].
        """
        r_word = np.ascontiguousarray(self.array.r_word_line) if self._followed else None
        r_driver = self.array.r_driver if self._followed else None
        out = np.empty((len(x), *v.shape), np.float32)
        limits = (*self._v_limits, *self._kernel.u_limits)
        fast.beyond(
            self._coefficients, self._kernel.folds, self._kernel.kappa, limits, self._parts, r_word, r_driver,
            v, u, x, start, turns, self._threads, out,
        )  # fmt: skip
        return out

    def _along_columns(self, n: Reals) -> Floats:
        """Return by how much currents of cells lift bit lines [V]."""
        if not self._followed:
            return np.zeros(n.shape)
        above = np.cumsum(n, axis=0, dtype=float)
        lift = np.cumsum((self.array.r_bit_line * above)[::-1], axis=0)[::-1] + self._r_sense * above[-1:]
        return np.asarray(lift)

    def _screen(self, v_shapes: Floats, u_shapes: Floats) -> Floats:
        """Return how much of the lift by given currents is left when the cells answer it, between 0 and 1."""
        lift = self._along_columns(self.slope * self.half * self.fields.own_v)
        left = u_shapes[:1].sum(axis=0)
        return np.asarray(np.clip(np.divide(left, lift, out=np.zeros_like(lift), where=lift > 0), 0.0, 1.0))


def _require_kernel(array: Crossbar) -> CellKernel:
    kernel = _kernel_of(array)
    if kernel is None or kernel.has_selector:
        raise SpecError(
            f"the fast tier needs cells with a kernel and no selector, these are {type(array.cell).__name__}; "
            "solve exactly"
        )
    return kernel


def _kernel_of(array: Crossbar) -> CellKernel | None:
    law = getattr(array.cell, "kernel", None)
    return None if law is None else law(array.g)


def can_expand(array: Crossbar) -> bool:
    """Tell whether forms can follow an array's cells: not those of the user's own, nor selectors, which close."""
    kernel = _kernel_of(array)
    return kernel is not None and not kernel.has_selector


class Modes:
    """What other rows do to the cells of a column, split into a few shapes times features of the inputs."""

    def __init__(self, other_v: Floats, other_u: Floats) -> None:
        rows = other_v.shape[2]
        both = np.concatenate([other_v, other_u]).transpose(1, 0, 2)  # (columns, 2 shapes, rows)
        left = np.linalg.eigh(both @ both.transpose(0, 2, 1))[1][:, :, ::-1]  # singular vectors, largest first
        count = other_v.shape[0]
        sign = np.sign((left[:, count:] * shapes(rows).sum(axis=0)[:, None]).sum(axis=1) + 1e-300)
        self._along = (left * sign[:, None, :]).transpose(2, 1, 0)  # (mode, 2 shapes, columns)
        right = left.transpose(0, 2, 1) @ both
        self._inputs = (right * sign[:, :, None]).transpose(1, 0, 2)  # (mode, columns, rows)
        self._basis = shapes(rows)

    def features(self, rank: int, half: float) -> tuple[Floats, Floats, Floats]:
        """Return shapes of V and u (rank, rows, columns) [V], and features of inputs in half ranges.

        A feature is scaled to reach 1 where all inputs pull it the same way: (rank, columns, rows).
        """
        inputs = self._inputs[:rank]
        if len(inputs) < rank:  # fewer rows than features: the rest is nothing
            inputs = np.concatenate([inputs, np.zeros((rank - len(inputs), *inputs.shape[1:]))])
        along = np.zeros((rank, *self._along.shape[1:]))
        along[: len(self._along[:rank])] = self._along[:rank]
        size = np.abs(inputs).sum(axis=2)
        features = np.divide(inputs, size[:, :, None], out=np.zeros_like(inputs), where=size[:, :, None] > 0)
        count = self._basis.shape[1]
        scaled = along * (size * half)[:, None, :]
        v_shapes = np.einsum("ip,rpj->rij", self._basis, scaled[:, :count])
        u_shapes = np.einsum("ip,rpj->rij", self._basis, scaled[:, count:])
        return v_shapes, u_shapes, features


@cache
def _input_nodes() -> Floats:
    """Return Chebyshev's nodes in [-1, 1], (INPUT_NODES,)."""
    return np.asarray(np.cos((np.arange(INPUT_NODES) + 0.5) * np.pi / INPUT_NODES))


@cache
def corners(rank: int, reach: float) -> Floats:
    """Choose features (count, rank) in [-1, 1]: Chebyshev's nodes in the first, corners with it for each other."""
    if not rank:
        return np.zeros((1, 0))
    unit, ends = np.eye(rank), (-reach, reach)
    found = [q * unit[0] for q in np.cos((np.arange(5) + 0.5) * np.pi / 5)]
    found += [first * unit[0] + second * unit[r] for r in range(1, rank) for first in ends for second in ends]
    return np.array(found)
