"""Sums of bit planes on the lines of one tile: what its adders make of the voltages of feet in each plane.

Hold switches sample one plane after the other, without a rest between them; a line is then on its way from the plane
before, and the capacitor that samples it brings the sum along.
"""

from dataclasses import dataclass

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Floats
from spicesim.errors import ValidityError

__all__ = ["PlaneSums"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaneSums:
    """Lines with their switches and both capacitors; all voltages are above the reference."""

    left: Floats
    """What is left of the way from before as a plane is sampled, (columns,) [1]."""
    alone: Floats
    """What is left of it as the next plane begins, of a line without its capacitor, (columns,) [1]."""
    mine: float
    """Share of the capacitor in a line's capacitance [1]."""
    v_line: float
    """Unit of line voltages, and how far they were calibrated [V]."""
    v_sum: float
    """The same of both capacitors [V]."""
    law: Floats
    """What sampling adds: coefficients of the powers of the line's voltage in v_line, (orders, columns) [V]."""
    joins: Floats
    """The sum after a plane: powers of its voltage in v_sum, powers of the sum's before, (ORDERS, ORDERS, columns)
    [V]."""
    stored: Floats
    """The sum before the first plane, (columns,) [V]."""
    before: Floats
    """The lines before it, (columns,) [V]."""

    def of(self, feet: Floats, threads: int = 1) -> Floats:
        """Return the sums, shape (batch, columns) [V].

        Parameters
        ----------
        feet : ndarray of shape (planes, batch, columns)
            Voltages of the lines' feet in each plane, once settled, the first counting least [V].
        threads : int
            Threads; the result is the same for any number.

        Raises
        ------
        ValidityError
            If a voltage is beyond the calibrated ones.
        """
        out = np.empty(feet.shape[1:])
        if not out.size:
            return out
        line, capacitor = fast.add_planes(
            np.ascontiguousarray(feet, dtype=float), self.left, self.alone, self.mine, self.v_line, self.v_sum,
            self.law, self.joins, self.stored, self.before, threads, out,
        )  # fmt: skip
        if not line <= self.v_line:
            raise ValidityError(
                f"a line is {line:.4g} V off the reference, beyond the calibrated {self.v_line:.4g} V of its hold "
                "switch"
            )
        if not capacitor <= self.v_sum or not np.isfinite(out.sum()):
            raise ValidityError(
                f"a capacitor of an adder is {capacitor:.4g} V off the reference, beyond the calibrated "
                f"{self.v_sum:.4g} V; lower dac.v_span, or calibrate again"
            )
        return out
