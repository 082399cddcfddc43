"""The work of a benchmark: an array, inputs for the time and inputs for the error."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.cells import Cell, Linear
from spicesim.crossbar import Crossbar
from spicesim.fast.trial import held_out_inputs

__all__ = ["Work", "make_work"]

G_MIN, G_MAX = 1e-6, 5e-5
"""Conductances [S]."""
V_SPAN = 0.2
"""Largest input [V]."""
R_WIRE = 1.0
"""Resistance of a segment [ohm]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """An array and its inputs."""

    array: Crossbar
    """Random conductances, uniform from 1 to 50 uS, segments of 1 ohm."""
    v_range: tuple[float, float]
    """Range of the inputs [V]."""
    batch: Floats
    """Random inputs for the time, (1000, rows) [V]."""
    checks: Floats
    """Random and structured inputs for the error, (inputs, rows) [V]."""

    @property
    def inputs(self) -> str:
        """The range in words."""
        return f"{self.v_range[0]:g}..{self.v_range[1]:g} V"

    def reference(self, count: int | None = None) -> Floats:
        """Solve the first `count` checks, by default all, to 1e-11; (count, columns) [A]."""
        return self.array.solve(self.checks[:count]).currents


def make_work(size: int, cell: Cell | None, *, bipolar: bool = False) -> Work:
    """Make the work of one size.

    Parameters
    ----------
    size : int
        Rows and columns.
    cell : Cell, optional
        Law of the cells; linear if absent.
    bipolar : bool
        Inputs of both signs.
    """
    rng = np.random.default_rng([size, bipolar])
    array = Crossbar(rng.uniform(G_MIN, G_MAX, (size, size)), R_WIRE, R_WIRE, cell=Linear() if cell is None else cell)
    low = -V_SPAN if bipolar else 0.0
    return Work(
        array=array,
        v_range=(low, V_SPAN),
        batch=rng.uniform(low, V_SPAN, (1000, size)),
        checks=held_out_inputs(size, low, V_SPAN, seed=12345, random=20),
    )
