"""Real devices around any engine: what the arrays hold is what write-verify, faults and time have made of it."""

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.devices import DeviceModel, TileDevices, tile_generator
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile, TileAround

__all__ = ["DeviceEngine", "DeviceTile", "squared_volts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceTile(TileAround):
    """A tile whose devices are real."""

    tile: Tile
    """The tile with the conductances that its cells have, reads apart."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    squares: Floats
    """What noise of reads adds up with, of every code [V^2]."""
    ohm: Floats
    """Output a unit of current, (columns,) [ohm]."""
    variance: Floats | None
    """Of one read of each cell, (rows, columns) [S^2]; None without read noise."""
    generator: np.random.Generator
    """Of the read noise."""
    factor: float
    """What undoes the mean drift."""

    def read(self, codes: Codes, volts: Floats) -> Floats:
        """Return amplifier outputs with the noise of one read, and what is beneath it [V]."""
        volts = self.under.read(codes, volts)
        if self.variance is None:
            return volts
        noise = self.generator.standard_normal(volts.shape)
        noise *= self.ohm * np.sqrt(np.take(self.squares, codes) @ self.variance)
        noise += volts
        return noise

    @property
    def history(self) -> Any:
        """State of the read noise, and the history of what is beneath."""
        return self.generator.bit_generator.state, self.under.history

    def resume(self, history: Any) -> None:
        """Go on with the read noise."""
        self.generator.bit_generator.state, under = history
        self.under.resume(under)

    @property
    def compensation(self) -> float:
        """Factor against drift."""
        return self.factor * self.under.compensation


def squared_volts(chip: Chip, polarity: Polarity) -> Floats:
    """Return the squares that noise of reads adds up with, of every code [V^2].

    Where planes are added as charge each is a read of its own.
    """
    every = np.arange(2**chip.code_bits)
    if chip.hold.adds_planes:
        bits = chip.dac.bits
        planes = ((4.0 ** (k - bits), chip.dac.volts(every >> k & 1, polarity)) for k in range(bits))
        return np.asarray(sum(weight * volts**2 for weight, volts in planes))
    return np.asarray(chip.inputs.volts(every, polarity) ** 2)


class DeviceEngine(Engine):
    """An engine on a chip with real devices.

    Read noise is drawn anew for every product: its cells add up to noise of a column's current, of variance
    ``sum over rows of (V sigma)^2`` with the voltages V of ideal drivers.

    Parameters
    ----------
    engine : Engine
        What multiplies.
    chip : Chip
        The chip.
    model : DeviceModel
        Statistics of its devices.
    limits : tuple of float
        Lowest and highest conductance wanted of a cell [S].
    seed : int
        Seed of the chip: the same seed gives the same devices, whatever the time.
    time : float
        Time from programming to use [s].
    compensate : bool
        Whether a factor for each tile, its total conductance when programmed over that in use, undoes the mean drift:
        what a chip finds by reading all rows at once (Joshi et al., Nature Commun. 11 (2020) 2473).
    box : tuple of float, optional
        Lowest and highest conductance that is calibrated [S], which a cell cannot leave; by default the limits.
    """

    def __init__(
        self,
        engine: Engine,
        chip: Chip,
        model: DeviceModel,
        limits: tuple[float, float],
        *,
        seed: int = 0,
        time: float = 0.0,
        compensate: bool = True,
        box: tuple[float, float] | None = None,
    ) -> None:
        self.name = engine.name
        self.engine, self.model, self.seed, self.time, self.compensate = engine, model, seed, time, compensate
        self._chip, self._limits, self._box = chip, limits, limits if box is None else box
        self._cells, self._outside, self._squares = 0, 0, 0.0
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on cells that would have left the calibrated conductances, if there are any."""
        if not self._outside:
            return self.engine.notes
        share, rms = self._outside / self._cells, np.sqrt(self._squares / self._outside)
        return (
            *self.engine.notes,
            f"{100 * share:.2g} % of the cells would leave the calibrated conductances, "
            f"{self._box[0]:.3g}..{self._box[1]:.3g} S, by {100 * rms / self._limits[1]:.2g} % of the highest "
            "(RMS), and took the nearest",
        )

    def prepare(self, tile: Tile) -> DeviceTile:
        """Draw the devices of a tile, programmed and aged, and prepare them beneath."""
        devices = TileDevices(self.model, tile.g, self._limits, seed=self.seed, name=tile.place, box=self._box)
        first = devices.conductances(0.0)
        g = devices.conductances(self.time)
        with self._lock:  # tiles are prepared in several threads
            self._cells += g.size
            self._outside += int(np.count_nonzero(devices.outside > 1e-6 * self._limits[1]))
            self._squares += float(np.sum(devices.outside**2))
        noise = devices.read_noise(self.time)
        aged = replace(tile, g=g)
        return DeviceTile(
            tile=aged,
            under=self.engine.prepare(aged),
            squares=squared_volts(self._chip, tile.polarity),
            ohm=self._chip.transresistance(g, tile.r_feedback),
            variance=None if noise is None else noise**2,
            generator=tile_generator(self.seed, tile.name, "read"),
            factor=float(first.sum() / g.sum()) if self.compensate else 1.0,
        )
