"""Mismatch of hold switches: what the devices of a drawn one make of the charge that it leaves on its line.

One that adds planes as charge joins two capacitors that are not equal by a switch of its own; both are of one block, so
what they do follows from the same few sizes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.response import Response

__all__ = ["HOLD", "DrawnHolds", "HoldMismatch"]

HOLD = "xhold"
"""Name of hold switches in a tile's netlist, without their column."""


class HoldMismatch(Model):
    """How hold switches of one design differ: each adds a few components to what the nominal one holds.

    A component is a polynomial as that of :class:`spicesim.behavioural.hold.HoldModel`, of a switch of unit size.
    """

    v_limit: float
    """Unit of voltage: calibrated line voltages reach so far on either side of the reference [V]."""
    rows: tuple[int, ...]
    """Cells a line that were calibrated, rising."""
    g_cell: float
    """Unit of conductance, of one cell: the largest [S]."""
    components: FloatArray
    """Coefficients of each for each of `rows`, powers of the voltage in v_limit, powers of the conductance in rows
    g_cell, (components, rows, orders, orders) [V]."""
    joins: FloatArray | None = None
    """Of switches that add planes: coefficients of each component in the sum of two joined planes, powers of the new
    plane's voltage in v_limit, powers of the sum's before, (components, orders, orders) [V]."""
    response: Response
    """Of the sizes of the components [1]."""
    residual: float
    """Largest error of what is held, or of a sum, by these parameters, over held-out switches [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(v_limit=self.v_limit, g_cell=self.g_cell)
        require_rising("rows", self.rows, least=1)
        if self.rows[0] < 1:
            raise ValueError(f"a line has one cell or more, got rows = {self.rows[0]}")
        require_shape("components", self.components, len(self.response.names), len(self.rows), None, None)
        if self.joins is not None:
            require_shape("joins", self.joins, len(self.response.names), None, None)
        return self

    def added(self, sizes: Floats, volts: npt.ArrayLike, total: npt.ArrayLike, rows: int) -> Floats:
        """Return what switches add to the nominal ones' held voltages [V].

        Parameters
        ----------
        sizes : ndarray of shape (columns, components)
            Of the components of each switch.
        volts : array_like of shape (..., columns)
            Voltages of the lines above the reference [V].
        total : array_like of shape (columns,) or ()
            Sum of the conductances of each line's devices [S].
        rows : int
            Cells of a line.
        """
        by_column = self.law(sizes, total, rows)
        x = np.asarray(volts, dtype=float) / self.v_limit
        return np.asarray(np.polynomial.polynomial.polyval(x, by_column, tensor=False))

    def law(self, sizes: Floats, total: npt.ArrayLike, rows: int) -> Floats:
        """Return the polynomials of :meth:`added` in the voltage in v_limit, (orders, columns) [V]."""
        c = self.components[:, 0] if len(self.rows) == 1 else self._of_rows(np.log(rows))
        share = np.broadcast_to(np.asarray(total, dtype=float) / (rows * self.g_cell), len(sizes))
        powers = share[:, None] ** np.arange(c.shape[-1])
        return np.asarray(np.einsum("jk,kab,jb->aj", sizes, c, powers))

    def joined(self, sizes: Floats, held: Floats, stored: Floats) -> Floats:
        """Return what adders add to the sums that nominal ones make of both voltages, (..., columns) [V].

        Parameters
        ----------
        sizes : ndarray of shape (columns, components)
            Of the components of each adder.
        held, stored : ndarray of shape (..., columns)
            The new plane and the sum before, above the reference [V].
        """
        x, y = held / self.v_limit, stored / self.v_limit
        found = np.zeros(np.shape(x))
        for of_stored in self.joins_of(sizes)[::-1]:
            found = found * x + np.polynomial.polynomial.polyval(y, of_stored, tensor=False)
        return found

    def joins_of(self, sizes: Floats) -> Floats:
        """Return the polynomials of :meth:`joined`, (orders, orders, columns) [V]."""
        assert self.joins is not None
        return np.asarray(np.einsum("jk,kab->abj", sizes, self.joins))

    def sigma(self, rows: int) -> float:
        """Return the standard deviation of what is added to a line of largest cells at the reference [V]."""
        each = self.added(np.eye(len(self.components)), np.zeros(len(self.components)), rows * self.g_cell, rows)
        return float(np.sqrt(each @ self.response.distribution.covariance @ each))

    @cached_property
    def _of_rows(self) -> PchipInterpolator:
        return PchipInterpolator(np.log(self.rows), self.components, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnHolds:
    """The hold switches of one tile, each with its parameters."""

    kind: HoldMismatch
    """What the parameters mean."""
    sizes: Floats
    """Shape (columns, components)."""

    def added(self, volts: npt.ArrayLike, total: npt.ArrayLike, rows: int) -> Floats:
        """Return what they add to the nominal ones' held voltages, arguments as of :meth:`HoldMismatch.added` [V]."""
        return self.kind.added(self.sizes, volts, total, rows)

    def law(self, total: npt.ArrayLike, rows: int, v_limit: float) -> Floats:
        """Return the same as polynomials in the voltage in another unit, (orders, columns) [V]."""
        found = self.kind.law(self.sizes, total, rows)
        return np.asarray(found * ((v_limit / self.kind.v_limit) ** np.arange(len(found)))[:, None])

    def joins(self, v_limit: float) -> Floats:
        """Return what they add to the sums of nominal ones, as polynomials in both voltages in a unit of one's own.

        The shape is (orders, orders, columns) [V]; see :meth:`HoldMismatch.joined`.
        """
        found = self.kind.joins_of(self.sizes)
        powers = np.add.outer(np.arange(found.shape[0]), np.arange(found.shape[1]))
        return np.asarray(found * ((v_limit / self.kind.v_limit) ** powers)[..., None])
