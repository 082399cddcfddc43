"""Cells whose columns count from the other side: the solvers know arrays driven at their left only."""

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.cells import BiasedPolynomial, Cell, CellKernel, KernelCell, Linear, Sinh, bias_slope

__all__ = ["mirror"]


def mirror(cell: Cell) -> Cell:
    """Return a cell for arrays with their columns in reverse; numbers of its own, one a cell, are reversed, too."""
    if isinstance(cell, Linear | Sinh | BiasedPolynomial):  # alike for all columns
        return cell
    return _MirroredKernelCell(cell) if isinstance(cell, KernelCell) else _MirroredCell(cell)


class _MirroredCell:
    """A cell law; g, v and u of shape (.., rows, columns)."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        return _turned(self._cell.current(_turned(g), _turned(v), _turned(u)))

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        return _turned(self._cell.slope(_turned(g), _turned(v), _turned(u)))

    def bias_slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        return _turned(bias_slope(self._cell, _turned(g), _turned(v), _turned(u)))


class _MirroredKernelCell(_MirroredCell):
    """A cell law that the compiled solvers know."""

    _cell: KernelCell

    def kernel(self, g: Floats) -> CellKernel:
        kernel = self._cell.kernel(np.ascontiguousarray(_turned(g)))
        return kernel._replace(coefficients=kernel.coefficients[:, ::-1])

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        return self._cell.element(name, plus, minus, k, bias)


def _turned(x: npt.ArrayLike) -> Floats:
    array = np.asarray(x, dtype=float)
    return array[..., ::-1] if array.ndim else array
