"""Real memory devices: what write-verify leaves, how conductances change with time, what reads add, which are stuck.

Published numbers are fractions of the largest conductance of the devices measured; here they are fractions of the
largest conductance of the chip's cells. Every cell draws for itself, from generators of its tile and of the seed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.errors import SpecError

__all__ = ["DeviceModel", "PowerDrift", "PulsedWrite", "ReadNoise", "Relaxation", "TileDevices", "tile_generator"]

ReadNoise = Callable[[Floats, Floats, float], Floats]
"""A standard deviation over g_max, of three: the wanted g/g_max, g/g_max as it is, the time since programming [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulsedWrite:
    """Write-verify by pulses of about equal effect: bursts of half the way, verified after each."""

    step: float
    """Mean effect of a pulse, over g_max."""
    step_spread: float
    """Spread of it from pulse to pulse, over the mean."""
    device_spread: float
    """Spread of its mean from device to device, over the mean."""
    most_verifies: int = 60
    """Verifications after which the writer gives up."""

    def write(self, target: Floats, generator: np.random.Generator) -> Floats:
        """Write conductances over g_max, from 0; done within half a step, or as near as the writer got."""
        own = self.step * np.maximum(1 + self.device_spread * generator.standard_normal(target.shape), 0.1)
        x = np.zeros_like(target)
        for _ in range(self.most_verifies):
            error = target - x
            if not (open_ := np.abs(error) > self.step / 2).any():
                break
            pulses = np.maximum(np.floor(np.abs(error) / (2 * self.step)), 1.0) * open_
            noise = self.step_spread * np.sqrt(pulses) * generator.standard_normal(target.shape)
            x = np.maximum(x + own * (np.sign(error) * pulses + noise), 0.0)
        return x


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerDrift:
    """``g(t) = g(0) ((t + t_0)/t_0)^-nu``, nu normal, by device; mean and spread fall with ln(g/g_max)."""

    t_0: float
    """First read after programming [s]."""
    mean: tuple[float, float, float, float]
    """Slope with ln(g/g_max), value at g_max, lower and upper limit of the mean of nu."""
    spread: tuple[float, float, float, float]
    """The same of its standard deviation."""

    def exponents(self, x: Floats, normal: Floats) -> Floats:
        """Return nu of devices programmed to `x` = g/g_max, from standard normal numbers."""
        logarithm = np.log(np.maximum(x, 1e-7))
        mean, spread = (
            np.clip(slope * logarithm + end, low, high) for slope, end, low, high in (self.mean, self.spread)
        )
        return np.asarray(np.abs(mean + spread * normal))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Deviations from the target that widen with time: polynomials in g/g_max at some times.

    Between the times the variance is interpolated over the logarithm of time; before the first it is the first.
    """

    times: tuple[float, ...]
    """When deviations were measured [s]."""
    coefficients: tuple[tuple[float, ...], ...]
    """Of the standard deviation over g_max, ascending powers of g/g_max, one polynomial a time."""

    def sigma(self, x: Floats, time: float) -> Floats:
        """Return the standard deviation over g_max of devices of target `x` = g/g_max.

        Raises
        ------
        SpecError
            If nobody measured that late.
        """
        if time > self.times[-1]:
            raise SpecError(
                f"relaxation was measured up to {self.times[-1]:g} s after programming, got {time:g} s; ask for less"
            )
        variances = [_polynomial(c, x) ** 2 for c in self.coefficients]
        place = float(np.interp(np.log(max(time, self.times[0])), np.log(self.times), np.arange(len(self.times))))
        before = min(int(place), len(variances) - 2)
        share = place - before
        return np.asarray(np.sqrt((1 - share) * variances[before] + share * variances[before + 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """Statistics of a kind of device."""

    name: str
    """Word by which users ask for it."""
    programming: tuple[float, ...] = ()
    """Standard deviation after write-verify over g_max, ascending powers of g/g_max; empty if pulses or relaxation
    tell it."""
    pulses: PulsedWrite | None = None
    """Write-verify pulse by pulse."""
    relaxation: Relaxation | None = None
    """Deviation by time."""
    drift: PowerDrift | None = None
    """Drift by time."""
    read: ReadNoise | None = None
    """Standard deviation of one read of a cell."""
    stuck_low: float = 0.0
    """Fraction of cells stuck at the lowest conductance."""
    stuck_high: float = 0.0
    """Fraction of cells stuck at the highest conductance."""
    sources: tuple[str, ...] = ()
    """Where the numbers come from."""

    def __post_init__(self) -> None:
        if not (self.stuck_low >= 0 and self.stuck_high >= 0 and self.stuck_low + self.stuck_high <= 1):
            raise SpecError(
                f"stuck_low and stuck_high must be fractions of at most 1 in all, got {self.stuck_low:g} and "
                f"{self.stuck_high:g}"
            )


class TileDevices:
    """The devices of one tile, programmed once; the same arguments give the same devices.

    Parameters
    ----------
    model : DeviceModel
        Their statistics.
    g : array_like of shape (rows, columns)
        Conductances wanted [S].
    limits : tuple of float
        Lowest and highest conductance wanted of a cell [S], at which stuck ones are.
    seed : int
        Seed of the chip.
    name : str
        Name of the tile; each has devices of its own.
    box : tuple of float, optional
        Lowest and highest conductance that a cell may have [S]; beyond them cells take the nearest, see
        :attr:`outside`. By default the limits.
    """

    def __init__(
        self,
        model: DeviceModel,
        g: npt.ArrayLike,
        limits: tuple[float, float],
        *,
        seed: int,
        name: str,
        box: tuple[float, float] | None = None,
    ) -> None:
        self.model, self.limits, self.box = model, limits, limits if box is None else box
        self._target = np.asarray(g, dtype=float) / limits[1]
        generate, shape = partial(tile_generator, seed, name), self._target.shape
        self._relaxed = generate("relaxation").standard_normal(shape)
        self._programmed = self._program(generate("programming"))
        self._drifting = generate("drift").standard_normal(shape)
        draw = generate("stuck").random(shape)
        self._stuck_low, self._stuck_high = draw < model.stuck_low, draw >= 1 - model.stuck_high
        self.outside = np.zeros(shape)
        """How far beyond the box cells would be, as of the last :meth:`conductances` [S]."""

    def _program(self, generator: np.random.Generator) -> Floats:
        x, model = self._target, self.model
        if model.pulses is not None:
            x = model.pulses.write(x, generator)
        if model.programming:
            x = x + _polynomial(model.programming, x) * generator.standard_normal(x.shape)
        if model.relaxation is not None:
            first = model.relaxation.sigma(self._target, 0.0)
            x = x + first * generator.standard_normal(x.shape)
        return np.maximum(x, 0.0)

    def conductances(self, time: float = 0.0) -> Floats:
        """Return the conductances some time after programming, reads apart, (rows, columns) [S].

        Parameters
        ----------
        time : float
            Time since programming [s].

        Raises
        ------
        SpecError
            If the time is negative, or later than the model knows.
        """
        if not 0 <= time < np.inf:
            raise SpecError(f"the time since programming must be finite and >= 0, got {time:g} s")
        x, model = self._programmed, self.model
        if model.relaxation is not None:
            more = model.relaxation.sigma(self._target, time) ** 2 - model.relaxation.sigma(self._target, 0.0) ** 2
            x = x + np.sqrt(np.maximum(more, 0.0)) * self._relaxed
        if model.drift is not None:
            nu = model.drift.exponents(self._target, self._drifting)
            x = x * ((time + model.drift.t_0) / model.drift.t_0) ** -nu
        low, high = self.limits
        g = np.clip(x * high, *self.box)
        self.outside = np.abs(g - x * high)
        g[self._stuck_low], g[self._stuck_high] = low, high
        return np.asarray(g)

    def read_noise(self, time: float = 0.0) -> Floats | None:
        """Return the standard deviation of one read of each cell, (rows, columns) [S]; None without noise."""
        if self.model.read is None:
            return None
        high = self.limits[1]
        return self.model.read(self._target, self.conductances(time) / high, time) * high


def tile_generator(seed: int, tile: str, purpose: str) -> np.random.Generator:
    """Return a generator of its own for a seed, a tile and a purpose."""
    digest = hashlib.sha256(f"{seed}/{tile}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """Return a standard deviation, which is never negative."""
    return np.asarray(np.maximum(np.polynomial.polynomial.polyval(x, coefficients), 0.0))
