"""The hand-over from amplifiers to converters: what an array has other than a settled output as its switch opens.

An array holds an output from before. Put on an amplifier, it takes charge; the amplifier is disturbed, and settles
again as fast as its feedback lets it: the slower, the more cells load its input. What is lacking then depends on the
feedback resistance, that times the conductance of the column, and the output.

An integrator holds its charge whatever its output drives. But it is no ideal source, on which converters are
calibrated: the switch that opens parts its charge otherwise.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import CubicSpline, PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape

__all__ = ["HandOverCurves", "HandOverModel"]

LEAST_LOAD = 1e-6
"""Of an open column, whose logarithm is taken [1]."""


class HandOverModel(Model):
    """Hand-overs of a chip's amplifiers to its converters, at the converters' own sampling time."""

    sample: float
    """Sampling time [s]."""
    rows: FloatArray | None = None
    """Rows of a tile, which make the capacitance of its lines, rising; None where that does not matter."""
    r_feedback: FloatArray
    """Feedback resistances, rising [ohm]."""
    loads: FloatArray
    """Feedback resistance times conductance of a column, rising [1]; one alone stands for all."""
    outputs: FloatArray
    """Even outputs below the reference, rising [V]."""
    errors: FloatArray
    """By how much arrays that held the reference before are above settled outputs, shape (rows, r_feedback, loads,
    outputs), without rows where there are none [V]."""
    needed: FloatArray
    """Sampling time from which on no array is a quarter of a step away, whatever it held before, shape
    (r_feedback, loads) [s]; :attr:`watched` where that was not seen."""
    watched: float
    """How long hand-overs were watched [s]."""
    held_out: FloatArray | None = None
    """By how much hand-overs of other loads, rows and outputs than those above differ from what is told of them,
    (hand-overs,) [V]; None where only outputs matter."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(sample=self.sample, watched=self.watched)
        for name, least in (("r_feedback", 1), ("loads", 1), ("outputs", 2)):
            require_rising(name, getattr(self, name), least)
        if self.r_feedback[0] <= 0 or self.loads[0] <= 0:
            raise ValueError("feedback resistances and loads must be positive")
        rows: tuple[int, ...] = ()
        if self.rows is not None:
            require_rising("rows", self.rows, 1)
            rows = (len(self.rows),)
        shape = len(self.r_feedback), len(self.loads)
        require_shape("errors", self.errors, *rows, *shape, len(self.outputs))
        require_shape("needed", self.needed, *shape)
        return self

    @property
    def rings(self) -> bool:
        """Whether arrays are cut off as their amplifiers still ring, so that it matters what a line holds."""
        return self.rows is not None

    @property
    def largest_errors(self) -> Floats:
        """Largest errors at each load, (loads,) [V]."""
        by_load = np.moveaxis(np.abs(self.errors), -2, 0)
        return np.asarray(by_load.reshape(len(self.loads), -1).max(axis=1))

    def curves(self, r_feedback: float, g: Floats, rows: int) -> "HandOverCurves":
        """Return the hand-over of each column.

        Parameters
        ----------
        r_feedback : float
            Of the amplifiers [ohm].
        g : ndarray of shape (columns,)
            Conductance of each column [S].
        rows : int
            Of the tile.
        """
        errors, places = self._mixed(self._in_rows(rows), r_feedback), self._places(r_feedback, g)
        if len(self.loads) > 1:
            errors = CubicSpline(np.log(self.loads), errors)(places)
        by_column = np.broadcast_to(errors, (len(places), len(self.outputs)))
        pieces = PchipInterpolator(self.outputs, by_column, axis=1)
        return HandOverCurves(
            start=float(self.outputs[0]), step=float(self.outputs[1] - self.outputs[0]),
            end=float(self.outputs[-1]), pieces=np.ascontiguousarray(pieces.c),
        )  # fmt: skip

    def needed_for(self, r_feedback: float, g: Floats) -> Floats:
        """Return how long each column must be sampled, (columns,) [s]; arguments as of :meth:`curves`."""
        if len(self.loads) == 1:
            return np.full(np.shape(g), self.needed.max())
        # between loads it is the longer one: a ringing output leaves its band at once
        along = np.log(self.loads)
        index = np.searchsorted(along, self._places(r_feedback, g) - 1e-9).clip(0, len(along) - 1)
        longer = np.maximum(self.needed, np.roll(self.needed, 1, axis=1))
        longer[:, 0] = self.needed[:, 0]
        found = longer.max(axis=0)[index]
        return np.asarray(np.where(r_feedback * np.asarray(g) > self.loads[-1] * (1 + 1e-9), self.watched, found))

    def _places(self, r_feedback: float, g: Floats) -> Floats:
        loads = np.log(np.maximum(r_feedback * np.asarray(g, dtype=float), LEAST_LOAD))
        return np.asarray(loads.clip(np.log(self.loads[0]), np.log(self.loads[-1])))

    def _in_rows(self, rows: int) -> Floats:
        """Return the errors in a tile of so many rows, by a polynomial through those that are known."""
        if self.rows is None:
            return self.errors
        known = self.rows
        place = min(float(rows), known[-1])
        weights = [np.prod([(place - x) / (own - x) for x in known if x != own]) for own in known]
        return np.tensordot(weights, self.errors, axes=1)

    def _mixed(self, table: Floats, r_feedback: float) -> Floats:
        """Return a table at a feedback resistance, linear in its logarithm."""
        if len(self.r_feedback) == 1:
            return np.asarray(table[0])
        along = np.log(self.r_feedback)
        place = float(np.interp(np.log(r_feedback), along, np.arange(len(along))))
        k = min(int(place), len(along) - 2)
        return np.asarray(table[k] + (place - k) * (table[k + 1] - table[k]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandOverCurves:
    """What arrays have of the outputs of their columns."""

    start: float
    """Least output that the curves know; below it, and above :attr:`end`, the error is that of the end [V]."""
    step: float
    """From one piece to the next [V]."""
    end: float
    """Largest output [V]."""
    pieces: Floats
    """Cubics of the distance from each piece's beginning, highest power first, shape (4, pieces, columns) [V]."""

    @property
    def largest(self) -> float:
        """Largest error of an output at the beginning and end of the pieces [V]."""
        columns = self.pieces.shape[2]
        outputs = np.repeat(self.start + self.step * np.arange(self.pieces.shape[1] + 1)[:, None], columns, axis=1)
        return float(np.abs(self.received(outputs) - outputs).max())

    def received(self, volts: Floats) -> Floats:
        """Return what arrays have of settled outputs (..., columns) [V]."""
        inside = np.clip(volts, self.start, self.end) - self.start
        k = np.minimum((inside / self.step).astype(np.int64), self.pieces.shape[1] - 1)
        x, columns = inside - k * self.step, np.arange(self.pieces.shape[2])
        error = self.pieces[0][k, columns]
        for power in self.pieces[1:]:
            error = error * x + power[k, columns]
        return np.asarray(volts + error)
