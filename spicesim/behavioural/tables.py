"""Tables of cubic pieces on a common uniform grid, one a port."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from spicesim.arrays import Floats, Integers
from spicesim.fast.ports import evaluate_tables
from spicesim.ports import PortTables

__all__ = ["CubicTables"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CubicTables:
    """Values at a uniform grid with the slopes of PCHIP; they may also fall, unlike those of :class:`PortTables`."""

    start: float
    """First point of the grid."""
    step: float
    """Step of the grid."""
    values: Floats
    """Shape (tables, points)."""
    slopes: Floats
    """Shape (tables, points)."""

    @classmethod
    def of(cls, grid: Floats, values: Floats) -> Self:
        """Make tables of values (tables, points >= 3) at a uniform, rising grid (points,)."""
        values = np.ascontiguousarray(values)
        step = float(grid[-1] - grid[0]) / (len(grid) - 1)
        rise = np.diff(values, axis=1) / step
        left, right = rise[:, :-1], rise[:, 1:]
        product = left * right
        slopes = np.empty_like(values)
        # PCHIP on a uniform grid: the harmonic mean of the two rises, 0 where they differ in sign
        slopes[:, 1:-1] = np.divide(2 * product, left + right, out=np.zeros_like(product), where=product > 0)
        slopes[:, 0], slopes[:, -1] = rise[:, 0], rise[:, -1]
        return cls(start=float(grid[0]), step=step, values=values, slopes=slopes)

    @classmethod
    def like(cls, ports: PortTables) -> Self:
        """Return a port's tables."""
        return cls(start=ports.start, step=ports.step, values=ports.values, slopes=ports.slopes)

    def evaluate(self, x: Floats, table: Integers | None = None, threads: int = 1) -> Floats:
        """Return the values at x, shape (batch, ports), where port p has the table `table[p]`; linear beyond.

        Without tables all ports have the first.
        """
        index = None if table is None else np.ascontiguousarray(np.broadcast_to(table, x.shape), dtype=np.int64)
        return evaluate_tables(self.values, self.slopes, self.start, self.step, x, index, threads)

    def ports(self, name: str) -> PortTables:
        """Return the tables as ports.

        Raises
        ------
        SpecError
            If a table falls.
        """
        return PortTables(name=name, start=self.start, step=self.step, values=self.values, slopes=self.slopes)
