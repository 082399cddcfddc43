"""Operating points of an array, and where their power goes."""

from dataclasses import dataclass, field

import numpy as np

from spicesim.arrays import Floats, Integers
from spicesim.crossbar.operating_point import OperatingPointSolver, Points, Request

__all__ = ["Details", "Power", "Solution"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Power:
    """Power of an array by block, one number an input vector, (batch,) [W]."""

    sources: Floats
    """Delivered by the sources, before the drivers' resistance."""
    cells: Floats
    """Lost in the cells."""
    word_lines: Floats
    """Lost in the segments of the word lines."""
    bit_lines: Floats
    """Lost in the segments of the bit lines."""
    drivers: Floats
    """Lost in the resistance, and the droop, of the drivers."""
    senses: Floats
    """Lost in the resistance, and taken in by the terminals, of the sense amplifiers."""

    @property
    def lost(self) -> Floats:
        """What all blocks lose; equal to :attr:`sources`."""
        return self.cells + self.word_lines + self.bit_lines + self.drivers + self.senses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Operating points of an array, one for each input vector."""

    currents: Floats
    """Into the virtual grounds, (batch, columns) [A]; with two ends a bit line, their sum."""
    row_currents: Floats
    """Delivered by the drivers, (batch, rows) [A]; with two ends a word line, their sum."""
    iterations: Integers
    """Newton steps, (batch,)."""
    residual: Floats
    """Bound of the error of Kirchhoff's current law at any cell, (batch,) [A]."""
    foot_voltages: Floats | None = None
    """Of the bit lines' ends, (batch, columns) [V]; of an array with open feet."""
    top_currents: Floats | None = None
    """Into the virtual grounds at the tops of the bit lines, (batch, columns) [A]; with ``sense="both"``."""
    cell_voltages: Floats | None = None
    """Word line minus bit line at each cell, (batch, rows, columns) [V]; with ``fields=True``."""
    bit_line_voltages: Floats | None = None
    """Bit-line nodes above the reference, (batch, rows, columns) [V]; with ``fields=True``."""
    details: "Details | None" = field(default=None, repr=False)
    """What :attr:`cell_currents` and :attr:`power` are made of; with ``fields=True``."""

    @property
    def outputs(self) -> Floats:
        """Currents of the feet, or their voltages if there are open ones, (batch, columns) [A; V]."""
        return self.currents if self.foot_voltages is None else self.foot_voltages

    @property
    def cell_currents(self) -> Floats | None:
        """From word line to bit line, (batch, rows, columns) [A]; with ``fields=True``; calculated at each call."""
        return None if self.details is None else np.ascontiguousarray(self.details.current[..., self.details.flip])

    @property
    def power(self) -> Power | None:
        """Power of the blocks; with ``fields=True``; calculated at each call."""
        return None if self.details is None else find_power(self.details)

    @property
    def word_line_voltages(self) -> Floats | None:
        """Word-line nodes, (batch, rows, columns) [V]; with ``fields=True``."""
        if self.cell_voltages is None or self.bit_line_voltages is None:
            return None
        return self.cell_voltages + self.bit_line_voltages

    @property
    def bottom_currents(self) -> Floats:
        """Into the virtual grounds below the bit lines, (batch, columns) [A]."""
        return self.currents if self.top_currents is None else self.currents - self.top_currents


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Details:
    """The array, the question and the raw answer, columns in the solver's order."""

    solver: OperatingPointSolver
    request: Request
    points: Points
    flip: slice
    """Order of the user's columns."""

    @property
    def current(self) -> Floats:
        """Currents of the cells, (batch, rows, columns) [A]."""
        points, mask = self.points, self.request.mask
        if points.cell_currents is not None:
            return points.cell_currents
        assert points.word is not None
        assert points.bit is not None
        current = np.asarray(self.solver.cell.current(self.solver.g, points.word - points.bit, points.bit))
        return current if mask is None else np.where(mask[:, :, None] > 0, current, 0.0)


def find_power(details: Details) -> Power:
    """Return the power of all blocks, from the currents of the cells."""
    wiring, request, points, current = details.solver.wiring, details.request, details.points, details.current
    word, bit = points.word, points.bit
    assert word is not None
    assert bit is not None
    total, row_total = wiring.sum_columns(current), wiring.sum_rows(current)
    right = np.zeros_like(row_total) if wiring.right is None else wiring.share_word_lines(current)
    top = np.zeros_like(total) if wiring.top is None else wiring.share_bit_lines(current)
    left, bottom = row_total - right, total - top
    drivers: Floats = wiring.driver * (left**2 + right**2)
    senses = (np.where(wiring.open_feet, 0.0, wiring.sense) * (bottom**2 + top**2)).sum(axis=1)
    # what passes each segment is what enters its line at one end less the cells on the way
    along = left[:, :, None] - np.cumsum(current, axis=2) + current
    down = np.cumsum(current, axis=1) - top[:, None, :]
    words, bits = _lost(along, wiring.word), _lost(down, wiring.bit)
    if wiring.right is not None:
        words = words + _lost(right, wiring.right - wiring.driver)
    if wiring.top is not None:
        bits = bits + _lost(top, wiring.top - wiring.sense)
    if request.drivers is not None:
        drivers = drivers + request.drivers.evaluate(points.row_currents, _tables(request.driver_index))[0] * left
    if request.senses is not None:
        terminal = request.senses.evaluate(points.currents, _tables(request.sense_index))[0]
        senses = senses + (terminal * bottom).sum(axis=1)
    return Power(
        sources=(request.v * points.row_currents).sum(axis=1),
        cells=((word - bit) * current).sum(axis=(1, 2)),
        word_lines=words,
        bit_lines=bits,
        drivers=drivers.sum(axis=1),
        senses=senses,
    )


def _tables(index: Integers | None) -> Integers:
    return np.zeros(1, np.int64) if index is None else index


def _lost(current: Floats, ohm: Floats) -> Floats:
    """Return the power of segments by their current, (batch,) [W]; broken ones carry none."""
    return np.asarray((np.where(np.isfinite(ohm), ohm, 0.0) * current**2).reshape(len(current), -1).sum(axis=1))
