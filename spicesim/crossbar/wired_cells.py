"""What all solvers of single operating points have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from spicesim.arrays import Floats
from spicesim.cells import Cell
from spicesim.crossbar.wiring import Wiring

__all__ = ["WiredCells", "WiredPoint"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WiredPoint:
    """One operating point; all of shape (rows, columns)."""

    word: Floats
    """Word-line nodes [V]."""
    bit: Floats
    """Bit-line nodes [V]."""
    current: Floats
    """Through the cells [A]."""
    defect: Floats
    """What the solution misses at the cells [A]."""
    steps: int
    """Newton steps."""
    is_solved: bool
    """Whether the defect is within the tolerance."""


class WiredCells(ABC):
    """Cells on wires.

    Parameters
    ----------
    wiring : Wiring
        The wires; segments may be 0 or infinite.
    g : ndarray of shape (rows, columns)
        Conductances [S].
    cell : Cell
        Law of the cells.
    """

    def __init__(self, wiring: Wiring, g: Floats, cell: Cell) -> None:
        self.wiring, self.g, self.cell = wiring, g, cell

    @abstractmethod
    def solve(self, v: Floats, tolerance: float, mask: Floats | None = None) -> WiredPoint:
        """Find the operating point for sources v (rows,) [V].

        `tolerance` bounds the defect, as each solver says; `mask` (rows,) is 0 where the cells of a word line are
        switched off.
        """

    @abstractmethod
    def pull_back(
        self, across: Floats, bit: Floats, grad_currents: Floats, mask: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return gradients with respect to v (rows,) and g (rows, columns) of grad_currents @ currents.

        `across` and `bit` are the voltages of the operating point, (rows, columns) [V].
        """
