"""Expansion of an array whose inputs turn rows on and off: from exact fields to the numbers of a form.

A row that is on feeds the bit lines with currents that only these lines' own voltages change; one that is off does not.
So what bit lines see of rows that are all on for a share is an array again: its cells pass that share of the current,
and its word lines have so much more resistance that their drops are those of rows that are on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats, Singles
from spicesim.cells import CellKernel, KernelCell, bias_slope
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError
from spicesim.fast.expansion import ArrayExpansion, corners
from spicesim.fast.fields import shapes
from spicesim.fast.form import FormOrders
from spicesim.ports import PortTables

__all__ = ["GATE_FORMS", "GateExpansion"]

GATE_FORMS = (
    FormOrders(0, (1,)),
    FormOrders(1, (1, 1)),
    FormOrders(1, (1, 1, 1)),
    FormOrders(2, (1, 1, 1)),
    FormOrders(3, (1, 1, 1)),
    FormOrders(4, (1, 1, 1)),
    FormOrders(4, (1, 1, 1, 1)),
)
"""Those that are tried, by their cost; of the first order in the inputs, which have two values."""
TURNS, SETTLED = 40, 1e-7
"""Turns in which a row's currents and the drop that they make along it find each other, and the change at which they
have, as a fraction of the largest."""


class GateExpansion(ArrayExpansion):
    """An array about its operating point with all rows on for half.

    Inputs are 1 for a row that is on and 0 for one that is off. The currents of a row that is on are found with its
    word line, exact, for bit lines at the voltages that features give them. With all rows on for a share these are
    exact, whatever the share; what other rows do beyond that is of the first order, and smooth along a line.

    Parameters
    ----------
    array : Crossbar
        The array, driven at the left and sensed below.
    v_on : ndarray of shape (rows,)
        Voltages of the word lines [V].
    senses : PortTables
        Linear terminations of the columns, of one table or one a column.
    threads : int
        Threads of the exact solver.
    """

    reach = 0.5

    def __init__(self, array: Crossbar, v_on: Floats, *, senses: PortTables, threads: int = 1) -> None:
        if array.drive != "left" or array.sense != "bottom":
            raise SpecError("forms of gates are of arrays driven at the left and sensed below; solve exactly")
        self._all_on, self._v_on, self._senses, self._threads = array, v_on[:, None], senses, threads
        super().__init__(_shared(array, 0.5), v_on, centre=0.5, half=0.5, senses=senses, threads=threads)
        rows = len(v_on)
        self._lifts: dict[float, Floats] = {0.0: self.u}
        f, basis = self.fields, shapes(rows)
        # a source's step drives through the cells of its row what a gate's does, but for this factor
        driven = _settle(lambda drop: self.slope * (1 - 2 * drop), array)
        lift = np.divide(self._origin, driven, out=np.zeros_like(driven), where=driven > 0)
        self._own_u = f.own_u * lift
        self._others = f.other_u * lift.T + basis.T[:, None, :] * self._own_u.T  # of all rows: smooth enough
        self._basis = basis

    @property
    def nodes(self) -> Floats:
        """Inputs at which cells are evaluated: off and on."""
        return np.array([-1.0, 1.0])

    @property
    def linear(self) -> Literal[0]:
        """Nothing: all that a gate does is beyond the array with all rows on for half."""
        return 0

    def answers(self, rises: Floats, x: float) -> Floats:
        """Return by how much the currents of cells fall when their bit lines rise, (rises, rows, columns) [A]."""
        v = self._v_on - _drop(self._all_on, self._row_currents(self.u)) - self.u
        return (1 + x) * (self._cells(v, self.u) - np.stack([self._cells(v - e, self.u + e) for e in rises]))

    def _row_currents(self, u: Floats) -> Floats:
        """Return the currents of the cells of rows that are on, for bit lines at u (rows, columns) [A]."""
        return _settle(lambda drop: 2 * self._cells(self._v_on - drop - u, u), self._all_on)

    def _lift(self, q: float) -> Floats:
        """Return the bit-line voltages with all rows on for a share, q from -1 for none to 1 for all of it [V]."""
        if q not in self._lifts:
            array = _shared(self._all_on, 0.5 * (1 + q))
            index = np.arange(array.shape[1]) if len(self._senses.values) > 1 else np.zeros(array.shape[1], np.int64)
            found = array.solve(
                self._v_on[:, 0], senses=self._senses.chosen(index), fields=True, tolerance=1e-8, threads=self._threads
            )
            assert found.bit_line_voltages is not None  # asked for
            self._lifts[q] = found.bit_line_voltages[0]
        return self._lifts[q]

    def _split(self, rank: int) -> tuple[Floats, Floats]:
        """Split lifts into shapes (rank, columns, smooth functions) [V] and features (rank, columns, rows).

        Shapes are the lifts by polynomials of the rows, so all rows alike have the first feature alone.
        """
        rows = len(self._v_on)
        place = np.linspace(-1.0, 1.0, rows)
        profiles = np.polynomial.legendre.legvander(place, max(rank, 1) - 1)[:, :rank]
        lifts = self._others.transpose(1, 0, 2)  # (columns, smooth functions, rows)
        along = lifts @ profiles
        return along.transpose(2, 0, 1), (np.linalg.pinv(along) @ lifts).transpose(1, 0, 2)

    def _features(self, rank: int) -> Floats:
        """Return the features of inputs in half ranges, (rank, columns, rows)."""
        return self._split(rank)[1]

    def _remainder(self, rank: int) -> list[Singles]:
        """Evaluate the rows beyond the half of them at rest, for each corner of the features."""
        along, features = self._split(rank)
        u_shapes = np.einsum("ip,rjp->rij", self._basis, along)
        own = self._own_u - np.einsum("rij,rji->ij", u_shapes, features)
        found = []
        for corner in corners(rank, self.reach):
            u = self.u
            if rank:
                u = self._lift(float(corner[0])) - corner[0] * own + np.tensordot(corner[1:], u_shapes[1:], 1)
            off, on = u - own, u + own
            found.append(np.stack([self._beyond(np.zeros_like(off), off), self._beyond(self._row_currents(on), on)]))
        return found

    def _beyond(self, current: Floats, u: Floats) -> Singles:
        """Return what currents of cells are beyond the slopes of the array with all rows on for half [A]."""
        v = self._v_on - 2 * _drop(self._all_on, current) - u
        return np.asarray(current - self._origin - self.slope * (v - self.v), dtype=np.float32)


def _drop(array: Crossbar, current: Floats) -> Floats:
    """Return what currents of cells (rows, columns) drop from the sources to the nodes of word lines [V]."""
    passed = np.cumsum(current[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(array.r_driver[:, None] * passed[:, :1] + np.cumsum(array.r_word_line * passed, axis=1))


def _settle(current: Callable[[Floats], Floats], array: Crossbar) -> Floats:
    """Return the currents of cells that fit the drop which they make along their rows; `current` tells them of it."""
    found = current(np.zeros(array.shape))
    for _ in range(TURNS):
        before, found = found, current(_drop(array, found))
        if np.abs(found - before).max() <= SETTLED * np.abs(found).max():
            break
    return found


@dataclass(frozen=True, slots=True)
class _Share:
    """Cells of another law that pass a share of its current."""

    cell: KernelCell
    share: float

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]."""
        return self.share * self.cell.current(g, v, u)

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]."""
        return self.share * self.cell.slope(g, v, u)

    def bias_slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/du [S]."""
        return self.share * bias_slope(self.cell, g, v, u)

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist line of one cell with these coefficients."""
        return self.cell.element(name, plus, minus, k, bias)

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        kernel = self.cell.kernel(g)
        return kernel._replace(coefficients=self.share * kernel.coefficients)


def _shared(array: Crossbar, share: float) -> Crossbar:
    """Return what bit lines see of an array whose rows are all on for a share."""
    assert isinstance(array.cell, KernelCell)  # what has no kernel is not expanded
    return array.changed(
        cell=_Share(array.cell, share), r_word_line=array.r_word_line / share, r_driver=array.r_driver / share
    )
