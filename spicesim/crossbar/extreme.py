"""Operating points of arrays whose wires and cells are too far apart for sums of conductances, by star-mesh.

Linear cells are solved at once. Others by Newton: each step solves the array with the cells' slopes, which obeys all
wires exactly; what a cell's law then misses is the defect. Where a law bends so much that its voltage would overshoot,
the cell follows the current of the step instead of its voltage.
"""

from collections.abc import Callable

import numpy as np

from spicesim.arrays import Floats
from spicesim.cells import Cell, Linear, conductance_slope
from spicesim.crossbar.star_mesh import StarMesh
from spicesim.crossbar.wired_cells import WiredCells, WiredPoint
from spicesim.crossbar.wiring import Wiring

__all__ = ["ExtremeArray"]

NEWTON_LIMIT = 60
BISECTIONS = 60
MESHES_KEPT = 4


class ExtremeArray(WiredCells):
    """Cells on wires, by star-mesh.

    The defect is what the cells' laws miss; the tolerance is a fraction of the largest current of a cell.
    """

    def __init__(self, wiring: Wiring, g: Floats, cell: Cell) -> None:
        super().__init__(wiring, g, cell)
        self._meshes: dict[bytes, StarMesh] = {}

    def solve(self, v: Floats, tolerance: float, mask: Floats | None = None) -> WiredPoint:
        """Find the operating point for sources v (rows,)."""
        gate = np.ones((len(v), 1)) if mask is None else mask[:, None]
        if isinstance(self.cell, Linear):
            slope = gate * self.g
            at = self._linear_mesh(slope).solve(v)
            return WiredPoint(
                word=at.word, bit=at.bit, current=slope * at.across, defect=np.zeros(slope.shape), steps=1,
                is_solved=True,
            )  # fmt: skip
        with np.errstate(all="ignore"):
            return self._iterate(v, tolerance, gate)

    def _linear_mesh(self, slope: Floats) -> StarMesh:
        key = slope.tobytes()
        if key not in self._meshes:
            if len(self._meshes) >= MESHES_KEPT:
                self._meshes.clear()
            self._meshes[key] = StarMesh(self.wiring, slope)
        return self._meshes[key]

    def _iterate(self, v: Floats, tolerance: float, gate: Floats) -> WiredPoint:
        def law(across: Floats, bit: Floats) -> Floats:
            return np.where(gate > 0, self.cell.current(self.g, across, bit), 0.0)

        across = word = bit = np.zeros(self.g.shape)
        current, defect, steps, is_solved = law(across, bit), np.full(across.shape, np.nan), 0, False
        while not is_solved and steps < NEWTON_LIMIT:
            slope = np.where(gate > 0, np.maximum(self.cell.slope(self.g, across, bit), 0.0), 0.0)
            if not (np.isfinite(slope).all() and np.isfinite(current).all()):
                break
            steps += 1
            at = StarMesh(self.wiring, slope).solve(v, fed=current - slope * across)
            wanted = current + slope * (at.across - across)
            found = law(at.across, at.bit)
            defect = np.abs(found - wanted)
            largest = np.abs(wanted).max()
            is_solved = bool(defect.max() <= tolerance * largest and np.isfinite(largest))
            if is_solved:
                current = wanted
            else:
                across = self._follow(law, across, at.across, at.bit, current, wanted, found)
                current = law(across, at.bit)
            word, bit = at.word, at.bit
        return WiredPoint(word=word, bit=bit, current=current, defect=defect, steps=steps, is_solved=is_solved)

    @staticmethod
    def _follow(
        law: Callable[[Floats, Floats], Floats],
        before: Floats,
        after: Floats,
        bit: Floats,
        current: Floats,
        wanted: Floats,
        found: Floats,
    ) -> Floats:
        """Return the voltages after a step, shortened where currents would overshoot."""
        beyond = ~((found - wanted) * (wanted - current) <= 0)  # also where the law overflows
        low, high = np.zeros(before.shape), np.ones(before.shape)
        for _ in range(BISECTIONS if beyond.any() else 0):
            middle = (low + high) / 2
            over = ~((law(before + middle * (after - before), bit) - wanted) * (wanted - current) <= 0)
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return np.where(beyond, before + low * (after - before), after)

    def pull_back(
        self, across: Floats, bit: Floats, grad_currents: Floats, mask: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return gradients with respect to v and g; the cells must not depend on `bit`."""
        rows, _ = self.g.shape
        gate = np.ones((rows, 1)) if mask is None else mask[:, None]
        slope = gate * np.asarray(self.cell.slope(self.g, across, bit))
        # the array is reciprocal: what the grounds do to the cells is what the cells do to the grounds
        adjoint = self._linear_mesh(slope).solve(np.zeros(rows), ground=-grad_currents).across
        grad_g = gate * adjoint * conductance_slope(self.cell, self.g, across, bit)
        return (slope * adjoint).sum(axis=1), grad_g
