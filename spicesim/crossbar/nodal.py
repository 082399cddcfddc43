"""Arrays by nodal analysis with sparse matrices: slower than the kernels, but for every wiring and every cell.

Unknowns are the voltages of all nodes that no source holds. Segments of 0 ohm make one node of two, broken ones leave
pieces that only cells connect; pieces that nothing connects are held at 0 V, where they carry no current anyway. What
cells alone hold, rounding in the much larger conductances of the wires moves; so at the end each such piece is lifted
until the currents of its cells add up to 0, a sum without any wire.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from spicesim.arrays import Floats
from spicesim.cells import Cell, bias_slope, conductance_slope
from spicesim.crossbar.wired_cells import WiredCells, WiredPoint
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import SpecError

__all__ = ["NodalArray"]

NEWTON_LIMIT = 100
HALVINGS_LIMIT = 30
SLOW = 0.3
"""A step with an old factorisation that leaves more than this of the defect is not taken."""
SOURCES_AT_ONCE = 64
"""Sources whose voltages are held at a time."""


class NodalArray(WiredCells):
    """Cells on wires, by nodal analysis.

    The defect is what Kirchhoff's current law misses; the tolerance is a fraction of the largest slope times the
    largest input voltage.
    """

    def __init__(self, wiring: Wiring, g: Floats, cell: Cell) -> None:
        super().__init__(wiring, g, cell)
        rows, columns = wiring.shape
        cells = rows * columns
        self._cells = cells
        one, two, ohm = wiring.branches()
        total = 2 * cells + rows + 1  # with one ground for all
        one, two = np.minimum(one, total - 1), np.minimum(two, total - 1)
        short = ohm == 0
        _, merged = csgraph.connected_components(_links(one[short], two[short], total), directed=False)
        held = merged[2 * cells :]  # nodes of the sources, then ground
        free = np.full(merged.max() + 1, -1)
        free[np.setdiff1d(np.arange(len(free)), held)] = np.arange(len(free) - len(np.unique(held)))
        number = free[merged]
        self._place = sparse.csr_array(  # voltages of cell nodes from those of free nodes
            (np.ones(np.count_nonzero(number >= 0)), (np.flatnonzero(number >= 0), number[number >= 0])),
            shape=(total, int(free.max()) + 1),
        )
        fixed = np.full(len(free), -1)
        fixed[held[:-1]] = np.arange(rows)
        column = fixed[merged]
        self._place_held = sparse.csr_array(
            (np.ones(np.count_nonzero(column >= 0)), (np.flatnonzero(column >= 0), column[column >= 0])),
            shape=(total, rows),
        )
        conducts = ~short & np.isfinite(ohm)
        one, two, siemens = one[conducts], two[conducts], 1 / ohm[conducts]
        laplace = sparse.csr_array(
            (np.concatenate([siemens, siemens, -siemens, -siemens]),
             (np.concatenate([one, two, one, two]), np.concatenate([one, two, two, one]))), shape=(total, total),
        )  # fmt: skip
        self._wires = (self._place.T @ laplace @ self._place).tocsc()
        self._sources = (self._place.T @ laplace @ self._place_held).tocsr()
        incidence = sparse.eye_array(cells, total, format="csr") - sparse.eye_array(cells, total, k=cells, format="csr")
        self._across, self._across_held = incidence @ self._place, incidence @ self._place_held
        self._bit = sparse.eye_array(cells, total, k=cells, format="csr") @ self._place
        self._merged, self._free, self._held, self._links = merged, free, held, (merged[one], merged[two])
        self._pinned = self._find_loose(1.0)
        self._floating = self._find_floating()
        self._calm: tuple[bytes, splu] | None = None

    def _find_loose(self, gate: Floats | float) -> sparse.dia_array:
        """Hold one node of each piece that neither wires nor cells that are on connect to a source or to ground."""
        merged, free = self._merged, self._free
        closed = np.flatnonzero(gate * self.g.ravel() > 0)
        one = np.concatenate([self._links[0], merged[closed]])
        two = np.concatenate([self._links[1], merged[closed + self._cells]])
        _, piece = csgraph.connected_components(_links(one, two, len(free)), directed=False)
        first = np.full(piece.max() + 1, -1)
        nodes = np.flatnonzero(free >= 0)
        first[piece[nodes[::-1]]] = nodes[::-1]
        first[piece[self._held]] = -1
        pin = np.zeros(int(free.max()) + 1)
        pin[free[first[first >= 0]]] = 1.0
        return sparse.diags_array(pin)

    def _find_floating(self) -> sparse.csr_array:
        """Return which free nodes are of which piece of wire without a source or ground, (nodes, pieces)."""
        _, piece = csgraph.connected_components(_links(*self._links, len(self._free)), directed=False)
        nodes = np.flatnonzero((self._free >= 0) & ~np.isin(piece, piece[self._held]))
        pieces, number = np.unique(piece[nodes], return_inverse=True)
        shape = self._across.shape[1], len(pieces)
        return sparse.csr_array((np.ones(len(nodes)), (self._free[nodes], number)), shape=shape)

    def _lift(self, x: Floats, current: Floats, slope: Floats, pinned: sparse.dia_array) -> Floats:
        """Return x (nodes, ..) with floating pieces where the currents (cells, ..) at their nodes add up to 0."""
        if not self._floating.shape[1]:
            return x
        ends = (self._across @ self._floating).tocsc()
        matrix = ends.T @ sparse.diags_array(slope) @ ends + self._floating.T @ pinned @ self._floating
        try:
            factor = splu(matrix.tocsc())
        except RuntimeError:  # cells without any slope hold nothing, nor does rounding move their currents
            return x
        return np.asarray(x - self._floating @ factor.solve(ends.T @ current + self._floating.T @ (pinned @ x)))

    def solve(self, v: Floats, tolerance: float, mask: Floats | None = None) -> WiredPoint:
        """Find the operating point for sources v (rows,)."""
        shape = self.g.shape
        x = np.zeros(self._across.shape[1])
        gate = np.ones(1) if mask is None else np.repeat(mask, shape[1])
        pinned = self._pinned if mask is None else self._find_loose(gate)
        drive = self._sources @ v
        v_held, top = self._across_held @ v, float(np.abs(v).max())
        # wires of small resistance lose digits: what rounding leaves is no defect of the cells
        still = np.zeros(shape)
        at_rest = float(np.abs(self.cell.current(self.g, still, still)).max())
        noise = 8 * np.finfo(float).eps * float(self._wires.diagonal().max(initial=0.0)) * top

        def evaluate(x: Floats) -> tuple[Floats, Floats, Floats]:
            across, rise = self._across @ x + v_held, self._bit @ x
            at = self.g, across.reshape(shape), rise.reshape(shape)
            current = np.where(gate > 0, np.ravel(self.cell.current(*at)), 0.0)  # an overflow of a cell that is off
            defect = self._wires @ x + drive + self._across.T @ current + pinned @ x
            return current, np.where(gate > 0, np.ravel(self.cell.slope(*at)), 0.0), defect

        with np.errstate(all="ignore"):
            current, slope, defect = evaluate(x)
            factor, is_fresh = self._calm_factor(gate, pinned), False
            for step in range(NEWTON_LIMIT + 1):
                worst = float(np.abs(defect).max(initial=0.0))
                # never by the voltages of the step: far from the solution, these would make any defect small
                scale = float(slope.max()) * top + at_rest
                is_solved = bool(worst <= max(tolerance * scale, noise) and np.isfinite(current).all())
                if is_solved or step == NEWTON_LIMIT or not np.isfinite(worst):
                    break
                change = factor.solve(-defect)
                length = 1.0
                for _ in range(HALVINGS_LIMIT):
                    trial = evaluate(x + length * change)
                    after = float(np.abs(trial[2]).max(initial=0.0))
                    if after < worst or not is_fresh:
                        break
                    length /= 2
                if is_fresh or after <= SLOW * worst:
                    x, (current, slope, defect), is_fresh = x + length * change, trial, False
                else:
                    tilt = gate * np.ravel(bias_slope(self.cell, self.g, *self._cell_voltages(x, v)))
                    factor, is_fresh = self._factor(np.maximum(slope, 0.0), tilt, pinned), True
            if is_solved:
                x = self._lift(x, current, np.maximum(slope, 0.0), pinned)
                current, _, defect = evaluate(x)
        across, bit = self._cell_voltages(x, v)
        return WiredPoint(
            word=across + bit, bit=bit, current=current.reshape(shape),
            defect=(abs(self._across) @ np.abs(defect)).reshape(shape), steps=step, is_solved=is_solved,
        )  # fmt: skip

    def _cell_voltages(self, x: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Return voltages across the cells and of their bit-line nodes, (rows, columns)."""
        across, bit = self._across @ x + self._across_held @ v, self._bit @ x
        return across.reshape(self.g.shape), bit.reshape(self.g.shape)

    def _calm_factor(self, gate: Floats | float, pinned: sparse.dia_array) -> "splu":
        """Factorise with all cells at 0 V, where u does not matter; kept for the next vector of the same gates."""
        key = np.asarray(gate).tobytes()
        if self._calm is None or self._calm[0] != key:
            slope = gate * np.ravel(self.cell.slope(self.g, np.zeros(self.g.shape), np.zeros(self.g.shape)))
            self._calm = key, self._factor(np.maximum(slope, 0.0), np.zeros_like(slope), pinned)
        return self._calm[1]

    def pull_back(
        self, across: Floats, bit: Floats, grad_currents: Floats, mask: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return gradients with respect to v and g."""
        shape = self.g.shape
        gate = 1.0 if mask is None else np.repeat(mask, shape[1])
        at = self.g, across, bit
        slope = gate * np.ravel(self.cell.slope(*at))
        tilt = gate * np.ravel(bias_slope(self.cell, *at))
        each = np.tile(grad_currents, shape[0])
        right = self._across.T @ (slope * each) + self._bit.T @ (tilt * each)
        pinned = self._pinned if mask is None else self._find_loose(gate)
        weight = self._factor(slope, tilt, pinned).solve(-right, trans="T")
        adjoint = each + self._across @ weight
        grad_v = self._across_held.T @ (slope * adjoint) + self._sources.T @ weight
        grad_g = gate * adjoint * np.ravel(conductance_slope(self.cell, *at))
        return grad_v, grad_g.reshape(shape)

    def linear_maps(self) -> tuple[Floats, Floats]:
        """Return the currents of columns and of rows a volt at source i, (rows, columns) and (rows, rows) [S]."""
        slope, (rows, columns) = self.g.ravel(), self.g.shape
        drive = (self._sources + self._across.T @ sparse.diags_array(slope) @ self._across_held).tocsc()
        factor, held = self._factor(slope, np.zeros_like(slope), self._pinned), self._across_held.tocsc()
        out, inputs = np.empty((rows, columns)), np.empty((rows, rows))
        for first in range(0, rows, SOURCES_AT_ONCE):
            part = slice(first, first + SOURCES_AT_ONCE)
            fixed = held[:, part].toarray()
            x = -factor.solve(drive[:, part].toarray())
            x = self._lift(x, slope[:, None] * (self._across @ x + fixed), slope, self._pinned)
            current = slope[:, None] * (self._across @ x + fixed)
            each = current.T.reshape(-1, rows, columns)
            out[part], inputs[part] = self.wiring.sum_columns(each), self.wiring.sum_rows(each)
        return out, inputs

    def _factor(self, slope: Floats, tilt: Floats, pinned: sparse.dia_array) -> "splu":
        change = sparse.diags_array(slope) @ self._across
        if tilt.any():
            change = change + sparse.diags_array(tilt) @ self._bit
        matrix = (self._wires + self._across.T @ change + pinned).tocsc()
        try:
            return splu(matrix, permc_spec="MMD_AT_PLUS_A")
        except RuntimeError as error:
            raise SpecError(
                f"conductances and resistances differ by too much for double precision ({error}); "
                "make extreme ones 0 or infinite"
            ) from None


def _links(one: Floats, two: Floats, total: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(one)), (one, two)), shape=(total, total))
