"""Gradients of an array's currents by the adjoint: one linear system at each operating point."""

import numpy as np
import numpy.typing as npt

from spicesim.crossbar.nodal import NodalPoint
from spicesim.crossbar.operating_point import OperatingPointSolver, Request

__all__ = ["pull_back"]

Floats = npt.NDArray[np.float64]


def pull_back(solver: OperatingPointSolver, request: Request, grad_currents: Floats) -> tuple[Floats, Floats]:
    """Return gradients with respect to v (batch, rows), and to g summed over the batch, (rows, columns)."""
    points = solver.solve(request)
    assert points.word is not None
    assert points.bit is not None
    grad_v, grad_g = np.empty_like(request.v), np.zeros(solver.g.shape)
    for item, v in enumerate(request.v):
        point = NodalPoint(
            word=points.word[item], bit=points.bit[item], current=points.word[item], defect=points.word[item],
            largest=0.0, steps=0,
        )  # fmt: skip
        mask = None if request.mask is None else request.mask[item]
        grad_v[item], one = solver.nodal.pull_back(v, point, grad_currents[item], mask)
        grad_g += one
    return grad_v, grad_g
