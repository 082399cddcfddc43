"""Expansion of an array about the middle of its inputs: from exact fields to the numbers of a form."""

from functools import cache

import numpy as np
import numpy.typing as npt

from spicesim.cells import CellKernel
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError
from spicesim.fast.fields import find_fields, shapes
from spicesim.fast.form import Form, FormOrders
from spicesim.ports import PortTables

__all__ = ["Expansion"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

FIELD_TOLERANCE = 1e-8
"""Of linear fields; they carry only what is left beyond the exact linear part."""
U_STEP = 1e-4
"""Step of bit-line voltages for slopes [V]."""
TURNS = 2
"""Turns in which the currents beyond the slopes find the voltages that they change themselves."""
INPUT_NODES = 9
"""Inputs at which cells are evaluated; enough for sixth order with something to average over."""


class Expansion:
    """An array about its operating point with all inputs at mid-range.

    Output j moves by T x + sum_cells K_j n: T is the transfer matrix of the linear array that the cells' slopes make,
    n(V, u) the current of a cell beyond these slopes and K_j its way to the output, both exact. Only the voltages at
    which n is taken are approximate: linear in the input of the cell's own row, which is followed exactly, and in a
    few features of its column that stand for all other rows. Columns share the features' size to first order.

    Parameters
    ----------
    array : Crossbar
        The array.
    low, high : float
        Range of the inputs [V].
    senses : PortTables, optional
        Linear terminations of the columns, of one table.
    threads : int
        Threads of the exact solver.
    """

    def __init__(
        self, array: Crossbar, low: float, high: float, *, senses: PortTables | None = None, threads: int = 1
    ) -> None:
        self.array, self.centre, self.half = array, 0.5 * (low + high), 0.5 * (high - low)
        rows = array.shape[0]
        self._kernel = _require_kernel(array)
        reach = 1.5 * (max(high, 0.0) - min(low, 0.0))  # wires cannot take the voltage of a cell beyond
        self._v_limits = max(self._kernel.v_limits[0], -reach), min(self._kernel.v_limits[1], reach)
        self._coefficients = np.ascontiguousarray(np.moveaxis(self._kernel.coefficients, (2, 3), (0, 1)))
        middle = array.solve(np.full(rows, self.centre), senses=senses, fields=True, tolerance=1e-10, threads=threads)
        assert middle.cell_voltages is not None  # asked for
        assert middle.bit_line_voltages is not None
        self.currents, self.row_currents = middle.currents[0], middle.row_currents[0]
        self.v, self.u = middle.cell_voltages[0], middle.bit_line_voltages[0]
        self.slope = np.maximum(array.cell.slope(array.g, self.v, self.u), 0.0)
        self.bias_slope = (self._cells(self.v, self.u + U_STEP) - self._cells(self.v, self.u - U_STEP)) / (2 * U_STEP)
        port = 0.0 if senses is None else senses.evaluate(middle.currents[0])[1]
        self._r_sense, self._origin = array.r_sense + port, self._cells(self.v, self.u)
        self.fields = find_fields(array, self.slope, self._r_sense, tolerance=FIELD_TOLERANCE, threads=threads)
        plain = array.drive == "left" and array.sense == "bottom"
        self._followed = plain and all(np.isfinite(r).all() for r in (array.r_word_line, array.r_bit_line))
        """Whether what currents do to their own voltages is followed along the wires; it is of second order."""
        self._modes = _Modes(self.fields.other_v, self.fields.other_u)
        self._linear = self._linear_part()
        self._remainders: dict[int, tuple[Floats, Singles]] = {}

    def _cells(self, v: Floats, u: Floats) -> Floats:
        """Return the currents of the cells, held at their limits beyond these; v, u (rows, columns) [A]."""
        kernel = self._kernel
        v, u = np.clip(v, *kernel.v_limits), np.clip(u, *kernel.u_limits)
        if kernel.kappa > 0:
            return np.asarray(self._coefficients[0, 0] * np.sinh(kernel.kappa * v) / kernel.kappa)
        current = np.zeros_like(v)
        for row in self._coefficients[::-1]:  # Horner's scheme in V, and within it in u
            value = row[-1].copy()
            for k in row[-2::-1]:
                value *= u
                value += k
            current += value
            current *= v
        return current

    def _linear_part(self) -> Floats:
        """Return what a half-range step of input i does to output j, (rows, columns) [A].

        The transfer matrix knows the slopes in V only; the currents due to the bit lines' voltage are added.
        """
        f = self.fields
        linear = f.transfer.T.copy()
        if self.bias_slope.any():
            weighted = f.adjoint * self.bias_slope[:, None, :].astype(np.float32)  # (i, j, l)
            linear += np.einsum("ijl,il->ij", weighted, f.own_u, optimize=True)
            rows, columns = self.array.shape
            along = shapes(rows).T @ weighted.reshape(rows, -1)  # (shapes, j l)
            along = along.reshape(-1, columns, columns).transpose(1, 0, 2).reshape(columns, -1)
            linear += (along @ f.other_u.reshape(-1, rows)).T
        return np.asarray(linear * self.half)

    def _remainder(self, rank: int) -> tuple[Floats, Singles]:
        """Evaluate the cells beyond their slopes at nodes of the inputs and features.

        Returns
        -------
        ndarray of shape (nodes, 1 + rank)
            Input and features at each node, both in their ranges.
        ndarray of shape (nodes, rows, columns)
            Remaining currents [A].
        """
        if rank not in self._remainders:
            nodes = _nodes(rank)
            rest = np.empty((len(nodes), *self.array.shape), np.float32)
            v_shapes, u_shapes, _ = self._modes.features(rank, self.half)
            screen = self._screen(v_shapes, u_shapes)
            for first in range(0, len(nodes), INPUT_NODES):
                q = nodes[first, 1:]
                v, u = self.v + np.tensordot(q, v_shapes, 1), self.u + np.tensordot(q, u_shapes, 1)
                if rank:
                    n = np.zeros_like(v)
                    lift = n
                    for _ in range(TURNS):
                        n = self._beyond(v, u, q[0], self._along_rows(n), lift)
                        lift = screen * self._along_columns(n)
                    v, u = v - lift, u + lift
                for k in range(first, first + INPUT_NODES):
                    n = np.zeros_like(v)
                    for _ in range(TURNS):
                        n = self._beyond(v, u, nodes[k, 0], self._along_rows(n))
                    rest[k] = n
            self._remainders[rank] = nodes, rest
        return self._remainders[rank]

    @property
    def u_limits(self) -> tuple[float, float]:
        """Bit-line voltages for which the cells hold [V]."""
        return self._kernel.u_limits

    @property
    def port_resistance(self) -> Floats:
        """Resistance at the foot of each column, linear terminal included, (columns,) [ohm]."""
        return self._r_sense

    def answer(self, excess: float, x: float) -> Floats:
        """Return by how much the currents of cells fall when their bit lines rise, (rows, columns) [A].

        Parameters
        ----------
        excess : float
            Rise [V].
        x : float
            Inputs, in halves of their range.
        """
        v, u = self.v + x * self.half * self.fields.own_v, self.u + x * self.half * self.fields.own_u
        fallen = self._cells(np.clip(v - excess, *self._kernel.v_limits), np.clip(u + excess, *self.u_limits))
        return np.asarray(self._cells(v, u) - fallen)

    def _beyond(self, v: Floats, u: Floats, x: float, drop: Floats, lift: Floats | float = 0.0) -> Floats:
        """Return the currents beyond the slopes with the own input at x, given what they do themselves [A]."""
        v = np.clip(v + x * self.half * self.fields.own_v - drop - lift, *self._v_limits)
        u = np.clip(u + x * self.half * self.fields.own_u + lift, *self._kernel.u_limits)
        linear = self.slope * (v - self.v) + self.bias_slope * (u - self.u)
        return np.asarray(self._cells(v, u) - self._origin - linear)

    def _along_rows(self, n: Floats) -> Floats:
        """Return what currents of cells make drop along word lines [V]."""
        if not self._followed:
            return np.zeros_like(n)
        beyond = np.cumsum(n[:, ::-1], axis=1)[:, ::-1]
        return np.cumsum(self.array.r_word_line * beyond, axis=1) + self.array.r_driver[:, None] * beyond[:, :1]

    def _along_columns(self, n: Floats) -> Floats:
        """Return by how much currents of cells lift bit lines [V]."""
        if not self._followed:
            return np.zeros_like(n)
        above = np.cumsum(n, axis=0)
        lift = np.cumsum((self.array.r_bit_line * above)[::-1], axis=0)[::-1] + self._r_sense * above[-1:]
        return np.asarray(lift)

    def _screen(self, v_shapes: Floats, u_shapes: Floats) -> Floats:
        """Return how much of the lift by given currents is left when the cells answer it, between 0 and 1."""
        lift = self._along_columns(self.slope * self.half * self.fields.own_v)
        left = u_shapes[:1].sum(axis=0)
        return np.asarray(np.clip(np.divide(left, lift, out=np.zeros_like(lift), where=lift > 0), 0.0, 1.0))

    def build(self, shape: FormOrders) -> Form:
        """Compute the numbers of a form."""
        rows, columns = self.array.shape
        nodes, rest = self._remainder(shape.rank)
        terms = shape.terms
        orders = [shape.orders[sum(term)] for term in terms]
        basis = np.concatenate(
            [
                np.prod(nodes[:, 1:] ** np.array(term), axis=1)[:, None] * nodes[:, :1] ** np.arange(order + 1)
                for term, order in zip(terms, orders, strict=True)
            ],
            axis=1,
        )
        fit = np.linalg.pinv(basis).astype(np.float32)
        cells = (fit @ rest.reshape(len(nodes), -1)).reshape(-1, rows, columns)  # (coefficients, i, l)
        outputs = np.matmul(self.fields.adjoint, cells.transpose(1, 2, 0)).transpose(2, 0, 1)  # (.., i, j)
        constants, weights, first = np.empty((len(terms), columns)), [], 0
        for t, order in enumerate(orders):
            constants[t] = outputs[first].sum(axis=0, dtype=float)
            weights.append(outputs[first + 1 : first + 1 + order].astype(float))
            first += 1 + order
        constants[0] += self.currents
        weights[0][0] += self._linear
        features = self._modes.features(shape.rank, self.half)[2]
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


def _require_kernel(array: Crossbar) -> CellKernel:
    law = getattr(array.cell, "kernel", None)
    if law is None:
        raise SpecError(
            f"the fast tier needs cells with a kernel, these are {type(array.cell).__name__}; solve exactly"
        )
    kernel: CellKernel = law(array.g)
    return kernel


class _Modes:
    """What other rows do to the cells of a column, split into a few shapes times features of the inputs."""

    def __init__(self, other_v: Floats, other_u: Floats) -> None:
        rows = other_v.shape[2]
        both = np.concatenate([other_v, other_u]).transpose(1, 0, 2)  # (columns, 2 shapes, rows)
        left, sizes, right = np.linalg.svd(both, full_matrices=False)
        count = other_v.shape[0]
        sign = np.sign((left[:, count:] * shapes(rows).sum(axis=0)[:, None]).sum(axis=1) + 1e-300)
        self._along = (left * sign[:, None, :]).transpose(2, 1, 0)  # (mode, 2 shapes, columns)
        self._inputs = (right * (sizes * sign)[:, :, None]).transpose(1, 0, 2)  # (mode, columns, rows)
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
def _nodes(rank: int) -> Floats:
    """Choose nodes (count, 1 + rank) in [-1, 1]: Chebyshev's in the input and the first feature, corners for others."""
    points = np.cos((np.arange(INPUT_NODES) + 0.5) * np.pi / INPUT_NODES)
    corners = [np.zeros(rank)]
    if rank:
        corners = [q * np.eye(rank)[0] for q in np.cos((np.arange(5) + 0.5) * np.pi / 5)]
    corners += [
        first * np.eye(rank)[0] + second * np.eye(rank)[r]
        for r in range(1, rank)
        for first in (-0.7, 0.7)
        for second in (-0.7, 0.7)
    ]
    return np.array([(x, *corner) for corner in corners for x in points])
