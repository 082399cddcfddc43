"""Bias points of single cells: where the unit cube puts them, and what those of closed cells tell of leakage."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.polynomial.polynomial import polyfit
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model
from spicesim.calibration.designs import fill
from spicesim.chip import Chip
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.netlist import Netlist

__all__ = ["HELD", "BiasPoints", "bias_points", "closed_points", "held_points", "joined", "leakage_of", "spread"]

HELD = 0.02
"""Share of the bit line's range within which its amplifier holds it."""
_ORDERS, _CLOSED = 5, 9
"""Orders of the leakage in the bit line's voltage, and voltages at which it is taken."""


class BiasPoints(Model):
    """Bias points of single cells. Points with nothing across the cell, v = 0, tell the leakage into the substrate."""

    g: FloatArray
    """Conductances of the devices, shape (points,) [S]."""
    v: FloatArray
    """Voltages across the cells [V]."""
    u: FloatArray
    """Bit-line voltages off the reference [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.g.shape == self.v.shape == self.u.shape or self.g.ndim != 1:
            raise ValueError("g, v and u must be three equally long lists")
        return self

    def __len__(self) -> int:
        return len(self.g)

    def rows(self) -> set[tuple[float, float, float]]:
        """Return the points as a set."""
        return set(zip(self.g.tolist(), self.v.tolist(), self.u.tolist(), strict=True))

    def netlist(self, chip: Chip) -> Netlist:
        """Build the simulation of all points."""
        return build_cell_samples(chip, self.g, self.v, self.u)


def spread(points: int, seed: Sequence[int]) -> Floats:
    """Fill the unit cube, denser to its faces as Chebyshev nodes are: a polynomial errs most near these."""
    return np.asarray((1 - np.cos(np.pi * fill("sobol", points, 3, seed))) / 2)


def bias_points(unit: Floats, g_limits: tuple[float, float], u_limit: float) -> BiasPoints:
    """Place points of the unit cube: the conductance by its logarithm, word line and bit line within +-u_limit."""
    low, high = np.log(g_limits[0]), np.log(g_limits[1])
    word, bit = u_limit * (2 * unit[:, 1] - 1), u_limit * (2 * unit[:, 2] - 1)
    return BiasPoints(g=np.clip(np.exp(low + (high - low) * unit[:, 0]), *g_limits), v=word - bit, u=bit)


def joined(*parts: BiasPoints) -> BiasPoints:
    """Return the points of all."""
    return BiasPoints(**{axis: np.concatenate([getattr(part, axis) for part in parts]) for axis in ("g", "v", "u")})


def held_points(chip: Chip, u_limit: float, points: int, seed: Sequence[int]) -> BiasPoints:
    """Draw points where an amplifier holds the bit line, a fifth of them with the largest device that is programmed."""
    unit = fill("sobol", points, 3, seed)
    unit[:, 2] = 0.5 + HELD * (unit[:, 2] - 0.5)
    held = bias_points(unit, (chip.cell.g_min, chip.cell.g_max), u_limit)
    return held.model_copy(update={"g": np.where(np.arange(points) % 5 == 0, chip.cell.g_max, held.g)})


def closed_points(g_limits: tuple[float, float], u_limit: float) -> BiasPoints:
    """Place the points of closed cells, least and largest, that tell the leakage over all voltages of a bit line."""
    u = np.repeat(u_limit * np.sin(np.linspace(-np.pi / 2, np.pi / 2, _CLOSED)), 2)
    return BiasPoints(g=np.tile(g_limits, _CLOSED), v=np.zeros_like(u), u=u)


def leakage_of(points: BiasPoints, current: Floats) -> Floats:
    """Return what flows into the amplifiers of closed cells, which their gates and the substrate give or take.

    It falls by the exponential of the bit line's voltage where gates are thin, whatever the device.

    Parameters
    ----------
    points : BiasPoints
        Those of :func:`closed_points` among them.
    current : ndarray of shape (points,)
        Into the amplifier [A].

    Returns
    -------
    ndarray of shape (orders,)
        Coefficients of the powers of the bit line's volts; fewer where fewer voltages tell.
    """
    closed = points.v == 0
    u, reach = points.u[closed], np.abs(points.u).max()
    orders = min(_ORDERS, len(np.unique(u)))
    coefficients = polyfit(u / reach, current[closed], orders - 1)
    return np.asarray(coefficients / reach ** np.arange(orders))
