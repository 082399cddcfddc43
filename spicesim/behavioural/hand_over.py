"""The hand-over from amplifiers to converters: what an array has other than a settled output as its switch opens.

An array holds an output from before. Put on an amplifier, it takes charge; the amplifier is disturbed, and settles
again as fast as its feedback lets it: the slower, the more cells load its input. What is lacking then depends on the
feedback resistance, that times the conductance of the column, and the output.

An integrator holds its charge whatever its output drives. But it is no ideal source, on which converters are
calibrated: the switch that opens parts its charge otherwise.

Amplifiers whose devices differ ring otherwise, and so do nominal ones behind such switches. What is lacking of the
outputs that they have follows linearly from few sums of these devices' numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import CubicSpline, PchipInterpolator

from spicesim._cext import hand_over as kernel
from spicesim.arrays import Codes, Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.coding import Polarity
from spicesim.draws import CONVERTER, ChipDraw

__all__ = ["HandOverCurves", "HandOverGrid", "HandOverMismatch", "HandOverModel"]

PIECES = 96
"""Even pieces of a curve whose outputs are not even, each shorter than the rail's influence reaches."""
LEAST_LOAD = 1e-6
"""Of an open column, whose logarithm is taken [1]."""


class HandOverGrid(Model):
    """Where hand-overs of amplifiers are known, and how they are told between."""

    sample: float
    """Sampling time [s]."""
    rows: FloatArray | None = None
    """Rows of a tile, which make the capacitance of its lines, rising; None where that does not matter."""
    r_feedback: FloatArray
    """Feedback resistances, rising [ohm]."""
    loads: FloatArray
    """Feedback resistance times conductance of a column, rising [1]; one alone stands for all."""
    outputs: FloatArray
    """Outputs below the reference, rising; even where arrays have settled [V]."""

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        require_positive(sample=self.sample)
        for name, least in (("r_feedback", 1), ("loads", 1), ("outputs", 2)):
            require_rising(name, getattr(self, name), least)
        if self.r_feedback[0] <= 0 or self.loads[0] <= 0:
            raise ValueError("feedback resistances and loads must be positive")
        if self.rows is not None:
            require_rising("rows", self.rows, 1)
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a table: (rows, r_feedback, loads, outputs), without rows where they do not matter."""
        lines = () if self.rows is None else (len(self.rows),)
        return *lines, len(self.r_feedback), len(self.loads), len(self.outputs)

    def by_column(self, table: Floats, r_feedback: float, g: Floats, rows: int) -> Floats:
        """Return what tables tell of each column.

        Parameters
        ----------
        table : ndarray of shape (..., rows, r_feedback, loads, outputs)
            Without rows where they do not matter.
        r_feedback, g, rows
            As of :meth:`HandOverModel.curves`.

        Returns
        -------
        ndarray of shape (..., columns, outputs)
        """
        found, places = self._mixed(self._in_rows(table, rows), r_feedback), self._places(r_feedback, g)
        if len(self.loads) > 1:
            return np.asarray(CubicSpline(np.log(self.loads), found, axis=-2)(places))
        return np.broadcast_to(found, (*found.shape[:-2], len(places), len(self.outputs)))

    def _places(self, r_feedback: float, g: Floats) -> Floats:
        loads = np.log(np.maximum(r_feedback * np.asarray(g, dtype=float), LEAST_LOAD))
        return np.asarray(loads.clip(np.log(self.loads[0]), np.log(self.loads[-1])))

    def _in_rows(self, table: Floats, rows: int) -> Floats:
        """Return a table of a tile of so many rows, by a polynomial through those that are known."""
        if self.rows is None:
            return table
        known = self.rows
        place = min(float(rows), known[-1])
        weights = [np.prod([(place - x) / (own - x) for x in known if x != own]) for own in known]
        return np.asarray(np.tensordot(table, weights, axes=(-4, 0)))

    def _mixed(self, table: Floats, r_feedback: float) -> Floats:
        """Return a table (..., r_feedback, loads, outputs) at a feedback resistance, linear in its logarithm."""
        if len(self.r_feedback) == 1:
            return np.asarray(table[..., 0, :, :])
        along = np.log(self.r_feedback)
        place = float(np.interp(np.log(r_feedback), along, np.arange(len(along))))
        k = min(int(place), len(along) - 2)
        low, high = table[..., k, :, :], table[..., k + 1, :, :]
        return np.asarray(low + (place - k) * (high - low))


class HandOverMismatch(HandOverGrid):
    """How hand-overs of amplifiers whose devices differ are other than those of nominal ones with the same outputs."""

    devices: tuple[str, ...]
    """Those of an amplifier and of the sampling switch of its converter, each as its block and its path within that."""
    directions: FloatArray
    """Sums of their numbers, two of each device in turn, by which hand-overs follow, (directions, 2 devices)."""
    slopes: FloatArray
    """What arrays have more for a unit of each sum, shape (directions, rows, r_feedback, loads, outputs), without rows
    where there are none [V]."""
    simulated: int
    """Amplifiers from which the sums were chosen."""
    residuals: FloatArray
    """By how much hand-overs of other amplifiers, loads, rows and outputs differ from what is told of them beyond what
    those of nominal ones do, (hand-overs,) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("directions", self.directions, None, 2 * len(self.devices))
        require_shape("slopes", self.slopes, len(self.directions), *self.shape)
        return self

    @property
    def sigma(self) -> float:
        """Standard deviation of what arrays have more, the median of all places [V]."""
        return float(np.median(np.linalg.norm(self.slopes, axis=0)))

    @property
    def residual(self) -> float:
        """Largest of :attr:`residuals` [V]."""
        return float(np.abs(self.residuals).max())

    def errors(self, numbers: Floats, outputs: Floats, r_feedback: float, g: Floats, rows: int) -> Floats:
        """Return what arrays have more than those on nominal amplifiers, (columns, outputs) [V].

        Parameters
        ----------
        numbers : ndarray of shape (columns, 2 devices)
            Of the devices of amplifiers and switches.
        outputs : ndarray of shape (outputs,)
            Of the amplifiers, below the reference [V].
        r_feedback, g, rows
            As of :meth:`HandOverModel.curves`.
        """
        of_unit = self.by_column(self.slopes, r_feedback, g, rows)
        more = np.einsum("jd,djv->jv", numbers @ self.directions.T, of_unit)
        within = outputs.clip(self.outputs[0], self.outputs[-1])
        return np.asarray(PchipInterpolator(self.outputs, more, axis=1)(within))

    def draw(self, draw: ChipDraw, converters: Codes) -> Floats:
        """Draw the numbers of a tile's columns, (columns, 2 devices), each of which the converter of a number reads."""
        columns, numbers = np.arange(len(converters)), []
        for path in self.devices:
            block, _, device = path.partition(".")
            which = converters if block == CONVERTER else columns
            numbers.append(draw.numbers(block, device, int(which.max()) + 1)[which])
        return np.concatenate(numbers, axis=1)


class HandOverModel(HandOverGrid):
    """Hand-overs of a chip's amplifiers to its converters, at the converters' own sampling time."""

    errors: FloatArray
    """By how much arrays that held the reference before are above settled outputs, shape (rows, r_feedback, loads,
    outputs), without rows where there are none [V]."""
    unipolar: FloatArray | None = None
    """The same of ranges below the reference: while sampling all bits are set, and other switches charge the array.
    None where arrays have settled, or there is no such range."""
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
        require_positive(watched=self.watched)
        require_shape("errors", self.errors, *self.shape)
        if self.unipolar is not None:
            require_shape("unipolar", self.unipolar, *self.shape)
        require_shape("needed", self.needed, len(self.r_feedback), len(self.loads))
        return self

    def errors_of(self, polarity: Polarity) -> Floats:
        """Return :attr:`errors` of the range of outputs that inputs of a coding make [V]."""
        return self.unipolar if polarity == "unipolar" and self.unipolar is not None else self.errors

    @property
    def rings(self) -> bool:
        """Whether arrays are cut off as their amplifiers still ring, so that it matters what a line holds."""
        return self.rows is not None

    @property
    def even(self) -> Floats:
        """Even outputs, from and to which the pieces of a curve reach, rising [V]."""
        return np.linspace(self.outputs[0], self.outputs[-1], PIECES + 1) if self.rings else self.outputs

    @property
    def largest_errors(self) -> Floats:
        """Largest errors at each load, (loads,) [V]."""
        largest = np.maximum(np.abs(self.errors), np.abs(self.errors_of("unipolar")))
        by_load = np.moveaxis(largest, -2, 0)
        return np.asarray(by_load.reshape(len(self.loads), -1).max(axis=1))

    def curves(
        self, r_feedback: float, g: Floats, rows: int, more: Floats | None = None, polarity: Polarity = "bipolar"
    ) -> "HandOverCurves":
        """Return the hand-over of each column.

        Parameters
        ----------
        r_feedback : float
            Of the amplifiers [ohm].
        g : ndarray of shape (columns,)
            Conductance of each column [S].
        rows : int
            Of the tile.
        more : ndarray of shape (columns, outputs), optional
            What arrays on drawn amplifiers have more at :attr:`even` outputs [V].
        polarity : {"unipolar", "bipolar"}
            Of the inputs, whose coding says where the range lies.
        """
        errors, even = self.by_column(self.errors_of(polarity), r_feedback, g, rows), self.even
        if self.rings:
            errors = CubicSpline(self.outputs, errors, axis=1)(even)
        if more is not None:
            errors = errors + more
        pieces = PchipInterpolator(even, errors, axis=1)
        by_column = np.ascontiguousarray(np.moveaxis(pieces.c, (2, 1, 0), (0, 1, 2)))
        return HandOverCurves(start=float(even[0]), step=float(even[1] - even[0]), pieces=by_column[None])

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandOverCurves:
    """What arrays have of the outputs of their columns, at one load of each or more."""

    start: float
    """Least output that the curves know; below it, and above the last piece, the error is that of the end [V]."""
    step: float
    """From one piece to the next [V]."""
    pieces: Floats
    """Cubics of the distance from each piece's beginning, highest power first, (loads, columns, pieces, 4) [V]."""

    @classmethod
    def beside(cls, curves: Sequence[Self]) -> Self:
        """Return curves of the same columns and outputs at one load after the other."""
        pieces = np.concatenate([own.pieces for own in curves])
        return cls(start=curves[0].start, step=curves[0].step, pieces=pieces)

    @property
    def largest(self) -> float:
        """Largest error of an output at the beginning and end of the pieces [V]."""
        begins = np.abs(self.pieces[..., 3]).max()
        ends = np.abs(np.polyval(np.moveaxis(self.pieces[..., -1, :], -1, 0), self.step)).max()
        return float(max(begins, ends))

    def received(self, volts: Floats, places: Floats | None = None) -> Floats:
        """Return what arrays have of settled outputs [V].

        Parameters
        ----------
        volts : ndarray of shape (..., columns)
            Outputs [V].
        places : ndarray of shape (...,), optional
            Between which loads each is, 0 for the first; by default all are at the first.
        """
        columns = self.pieces.shape[1]
        settled = np.ascontiguousarray(np.broadcast_to(volts, (*np.shape(volts)[:-1], columns)), dtype=float)
        wanted = np.zeros(()) if places is None else places
        along = np.ascontiguousarray(np.broadcast_to(wanted, settled.shape[:-1]), dtype=float)
        found = np.empty(settled.shape)
        kernel.receive(
            settled.reshape(-1, columns), along.ravel(), self.pieces, self.start, self.step, found.reshape(-1, columns)
        )
        return found
