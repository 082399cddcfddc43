"""Ports: what drives a word line or senses a bit line, as a table of its voltage against its current."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats, Integers
from spicesim.errors import SpecError, ValidityError

__all__ = ["ChosenTables", "PortTables"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PortTables:
    """Tables of a port's voltage against its current, on a common uniform grid.

    A *sense* port ends a bit line: the voltage of its terminal, relative to the reference, for the current
    into the virtual ground. A *driver* port feeds a word line: its droop, the open-circuit voltage minus the
    voltage under load, for the current it delivers. Both rise with the current. Pieces are cubic and
    monotone; beyond its ends a table goes on linearly, so that a solver may pass there, but a solution there
    is a :class:`~spicesim.errors.ValidityError`.

    Raises
    ------
    SpecError
        If shapes disagree, a number is not finite, the grid does not rise, or a voltage falls with the
        current.
    """

    name: str
    """Name of the port in messages."""
    start: float
    """First current of the grid [A]."""
    step: float
    """Step of the grid [A]."""
    values: Floats
    """Voltages, shape (tables, points) [V]."""
    slopes: Floats
    """Their derivatives with respect to the current, shape (tables, points) [ohm]."""

    def __post_init__(self) -> None:
        for word in ("values", "slopes"):
            array = np.ascontiguousarray(getattr(self, word), dtype=float)
            if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
                raise SpecError(f"{self.name}: {word} must have shape (tables, points >= 2), got {array.shape}")
            if not np.isfinite(array).all():
                raise SpecError(f"{self.name}: {word} must be finite numbers")
            object.__setattr__(self, word, array)
        if self.values.shape != self.slopes.shape:
            raise SpecError(f"{self.name}: values {self.values.shape} and slopes {self.slopes.shape} differ in shape")
        if not (np.isfinite(self.start) and np.isfinite(self.step) and self.step > 0):
            raise SpecError(
                f"{self.name}: the grid needs a finite start and a step > 0 A, got {self.start}, {self.step}"
            )
        rise = np.diff(self.values, axis=1)
        if (rise < 0).any() or (self.slopes < 0).any():
            table = int(np.argmax((rise < 0).any(axis=1) | (self.slopes < 0).any(axis=1)))
            raise SpecError(
                f"{self.name}: the voltage of table {table} falls with rising current; a port must be passive"
            )

    @classmethod
    def from_samples(cls, current: npt.ArrayLike, voltage: npt.ArrayLike, *, name: str = "port") -> Self:
        """Make tables from samples, with the monotone slopes of PCHIP.

        Parameters
        ----------
        current : array_like of shape (points,)
            Uniform, rising grid of currents [A].
        voltage : array_like of shape (points,) or (tables, points)
            Voltages [V], not falling with the current.
        name : str
            Name in messages.

        Raises
        ------
        SpecError
            If the grid is not uniform, or as the class says.
        """
        grid = np.asarray(current, dtype=float)
        values = np.atleast_2d(np.asarray(voltage, dtype=float))
        if grid.ndim != 1 or grid.size < 2 or values.ndim != 2 or values.shape[1] != grid.size:
            raise SpecError(
                f"{name}: wanted current (points >= 2,) and voltage (tables, points), "
                f"got {grid.shape} and {values.shape}"
            )
        if not (np.isfinite(grid).all() and np.isfinite(values).all()):
            raise SpecError(f"{name}: samples must be finite numbers")
        step = (grid[-1] - grid[0]) / (grid.size - 1)
        uniform = grid[0] + step * np.arange(grid.size)
        if step <= 0 or np.abs(grid - uniform).max() > 1e-6 * step:
            raise SpecError(f"{name}: the currents must be a uniform, rising grid; resample them")
        slopes = (
            PchipInterpolator(uniform, values, axis=1).derivative()(uniform)
            if grid.size > 2
            else (np.repeat(np.diff(values, axis=1) / step, 2, axis=1))
        )
        return cls(name=name, start=float(grid[0]), step=float(step), values=values, slopes=np.maximum(slopes, 0.0))

    @property
    def limits(self) -> tuple[float, float]:
        """Currents between which the tables hold [A]."""
        return self.start, self.start + self.step * (self.values.shape[1] - 1)

    def evaluate(self, current: npt.ArrayLike, table: npt.ArrayLike = 0) -> tuple[Floats, Floats]:
        """Return voltage [V] and slope [ohm] at a current.

        Parameters
        ----------
        current : array_like
            Currents [A], any shape.
        table : array_like of int
            Which table; broadcast against `current`.
        """
        x, row = np.broadcast_arrays(np.asarray(current, dtype=float), np.asarray(table))
        low, high = self.limits
        inside = np.clip(x, low, high)
        position = (inside - self.start) / self.step
        k = np.clip(position.astype(int), 0, self.values.shape[1] - 2)
        t = position - k
        y, m = self.values[row, k], self.slopes[row, k]
        rise, m_next = self.values[row, k + 1] - y, self.slopes[row, k + 1]
        c2 = 3 * rise - self.step * (2 * m + m_next)
        c3 = self.step * (m + m_next) - 2 * rise
        slope = m + t * (2 * c2 + 3 * t * c3) / self.step
        voltage = y + t * (self.step * m + t * (c2 + t * c3))
        return voltage + slope * (x - inside), slope

    def chosen(self, index: npt.ArrayLike) -> "ChosenTables":
        """Say which table each port takes: ``tables.chosen([0, 0, 1])``.

        Parameters
        ----------
        index : array_like of int
            Numbers of tables, one a port; of drivers one for each vector, too, shape (batch, rows).
        """
        return ChosenTables(self, index)

    def index(self, wanted: npt.ArrayLike | None, shape: Sequence[int]) -> Integers:
        """Check which table each port takes; None means the only one.

        Raises
        ------
        SpecError
            If there is a choice and none is made, or a number names no table.
        """
        tables = self.values.shape[0]
        if wanted is None:
            if tables > 1:
                raise SpecError(f"{self.name} has {tables} tables: say which each port takes, shape {tuple(shape)}")
            return np.zeros(shape, dtype=np.int64)
        array = np.asarray(wanted)
        if array.dtype.kind not in "iu" or array.shape != tuple(shape):
            raise SpecError(
                f"{self.name}: table numbers must be integers of shape {tuple(shape)}, got {array.dtype} {array.shape}"
            )
        if array.size and (array.min() < 0 or array.max() >= tables):
            raise SpecError(f"{self.name}: table numbers must lie in 0..{tables - 1}, got {array.min()}..{array.max()}")
        return np.ascontiguousarray(array, dtype=np.int64)

    def check(self, current: Floats, place: str) -> None:
        """Refuse currents outside the tables.

        Parameters
        ----------
        current : ndarray of shape (batch, ports)
            Solved currents [A].
        place : str
            What the ports are, for the message.

        Raises
        ------
        ValidityError
            If a current is outside; names the first such port.
        """
        low, high = self.limits
        outside = ~((current >= low) & (current <= high))
        if outside.any():
            item, port = (int(x) for x in np.argwhere(outside)[0])
            raise ValidityError(
                f"{self.name}, {place} {port}: batch item {item} needs {current[item, port]:.6g} A, "
                f"outside the calibrated {low:.6g}..{high:.6g} A; "
                "calibrate over a wider range, or lower inputs or conductances"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ChosenTables:
    """Tables of the ports on one side of an array, and which of them each port takes."""

    tables: PortTables
    """The tables."""
    index: npt.ArrayLike
    """Number of each port's table; checked where it meets its array."""
