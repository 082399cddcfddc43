"""Gradients of an array's currents by the adjoint: one linear system at each operating point.

Cell currents obey dI = D dV + E du + dI/dg dg, with dV = dv - L dI and du = R dI, where L is what the wires make of
currents (as in cext/wires.h) and R its part along the bit lines. For a gradient c of the currents the adjoint
mu = c - L D mu + R E mu gives D mu, summed along rows, for v and mu dI/dg for g. D makes 1 + L D symmetric, so
conjugate gradients solve it; E is small and is iterated. Lines with two ends or breaks take nodal analysis instead.
"""

import numpy as np

from spicesim.arrays import Floats
from spicesim.cells import bias_slope, conductance_slope
from spicesim.crossbar.operating_point import OperatingPointSolver, Points, Request
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import ConvergenceError

__all__ = ["pull_back"]

CHUNK = 1 << 17
"""Cells of all vectors that are treated at a time."""
ITERATIONS = 1000
ACCURACY = 1e-12


def pull_back(solver: OperatingPointSolver, request: Request, grad_currents: Floats) -> tuple[Floats, Floats]:
    """Return gradients with respect to v (batch, rows), and to g summed over the batch, (rows, columns)."""
    wiring = solver.wiring
    points = solver.solve(request)
    if wiring.right is not None or wiring.top is not None or not wiring.is_finite or not solver.is_ordinary:
        return _pull_back_nodes(solver, request, points, grad_currents)
    grad_v, grad_g = np.empty_like(request.v), np.zeros(solver.g.shape)
    step = max(1, CHUNK // solver.g.size)
    for first in range(0, len(request.v), step):
        part = slice(first, first + step)
        gate = 1.0 if request.mask is None else request.mask[part][:, :, None]
        assert points.word is not None
        assert points.bit is not None
        at = solver.g, points.word[part] - points.bit[part], points.bit[part]
        slope = np.maximum(gate * solver.cell.slope(*at), 0.0)
        tilt = gate * bias_slope(solver.cell, *at)
        # the adjoint is linear in the gradient, whose squares may be beyond double precision
        size = np.abs(grad_currents[part]).max(axis=1, initial=0.0)[:, None, None]
        unit = np.where(size > 0, size, 1.0)
        source = np.broadcast_to(grad_currents[part][:, None, :] / unit, slope.shape)
        adjoint = unit * _solve_adjoint(wiring, slope, tilt, source)
        grad_v[part] = (slope * adjoint).sum(axis=2)
        grad_g += (gate * adjoint * conductance_slope(solver.cell, *at)).sum(axis=0)
    return grad_v, grad_g


def _pull_back_nodes(
    solver: OperatingPointSolver, request: Request, points: Points, grad_currents: Floats
) -> tuple[Floats, Floats]:
    grad_v, grad_g = np.empty_like(request.v), np.zeros(solver.g.shape)
    for item in range(len(request.v)):
        assert points.word is not None
        assert points.bit is not None
        bit, mask = points.bit[item], None if request.mask is None else request.mask[item]
        across = points.word[item] - bit
        straight = solver.is_ordinary or bias_slope(solver.cell, solver.g, across, bit).any()
        system = solver.nodal if straight else solver.extreme
        grad_v[item], one = system.pull_back(across, bit, grad_currents[item], mask)
        grad_g += one
    return grad_v, grad_g


def _drop_word(wiring: Wiring, current: Floats) -> Floats:
    """Return the voltages that the word lines lose to cell currents (batch, rows, columns)."""
    segment = np.cumsum(current[..., ::-1], axis=2)[..., ::-1]
    drop = np.cumsum(wiring.word * segment, axis=2)
    return np.asarray(drop + (wiring.driver[:, None] * segment[..., :1]))


def _rise_bit(wiring: Wiring, current: Floats) -> Floats:
    """Return the voltages to which cell currents lift the bit lines, (batch, rows, columns)."""
    segment = np.cumsum(current, axis=1)
    rise = np.cumsum((wiring.bit * segment)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(rise + wiring.sense * segment[:, -1:])


def _solve_adjoint(wiring: Wiring, slope: Floats, tilt: Floats, source: Floats) -> Floats:
    """Solve mu + L D mu - R E mu = source; all (batch, rows, columns)."""
    adjoint = np.zeros(slope.shape)
    residue = np.array(source)
    goal = ACCURACY**2 * _weighted(slope, residue, residue)
    for _ in range(ITERATIONS):
        change, rest = _solve_symmetric(wiring, slope, residue, goal)
        adjoint += change
        residue = rest + _rise_bit(wiring, tilt * change) if tilt.any() else rest
        if (_weighted(slope, residue, residue) <= goal).all():
            return np.asarray(adjoint + residue)  # where D = 0, the residue is what is missing
    raise ConvergenceError("the gradient's linear system does not converge; check the cells' slopes")


def _solve_symmetric(wiring: Wiring, slope: Floats, source: Floats, goal: Floats) -> tuple[Floats, Floats]:
    """Solve x + L D x = source by conjugate gradients; return x and the residue."""
    x, residue, direction = np.zeros_like(source), source, source
    gamma = _weighted(slope, residue, residue)
    for _ in range(ITERATIONS):
        if (gamma <= goal).all():
            break
        current = slope * direction
        image = direction + _drop_word(wiring, current) + _rise_bit(wiring, current)
        curvature = (current * image).sum(axis=(1, 2))
        alpha = np.divide(gamma, curvature, out=np.zeros_like(gamma), where=(curvature > 0) & (gamma > goal))
        x = x + alpha[:, None, None] * direction
        residue = residue - alpha[:, None, None] * image
        fresh = _weighted(slope, residue, residue)
        beta = np.divide(fresh, gamma, out=np.zeros_like(gamma), where=gamma > 0)
        direction = residue + beta[:, None, None] * direction
        gamma = fresh
    return x, residue


def _weighted(slope: Floats, x: Floats, y: Floats) -> Floats:
    return np.asarray((slope * x * y).sum(axis=(1, 2)))
