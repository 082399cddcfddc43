"""Noise of circuits around any engine: what a converter samples has the noise that was calibrated for its tile.

The noise of a driver is common to all columns of its word line. What is slower than a product, 1/f noise above all, is
kept from one product to the next and fades as long as it takes: it is a sum of processes, one for each decade of
frequency, each with the variance that the spectrum has there and the correlation of a single pole in its middle.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.behavioural.noise import NoiseModel
from spicesim.devices import tile_generator
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile, TileAround

__all__ = ["T_PRODUCT", "NoisyEngine", "NoisyTile"]

T_PRODUCT = 1e-6
"""Time from one product of a tile to the next, if nobody says: some hundred ns to settle, and a conversion [s]."""


class _Process:
    """Standard normal numbers, each of which keeps some of the one before.

    Parameters
    ----------
    size : int
        Numbers at a time.
    keeps : float
        Correlation from one time to the next; 0 for white noise.
    generator : numpy.random.Generator
        Of the numbers.
    """

    def __init__(self, size: int, keeps: float, generator: np.random.Generator) -> None:
        self._size, self._keeps, self._generator = size, keeps, generator
        self._last = generator.standard_normal(size) if keeps else np.zeros(size)

    def draw(self, count: int) -> Floats:
        """Return the numbers of the next times, (count, size)."""
        fresh = self._generator.standard_normal((count, self._size))
        if not self._keeps or not count:
            return fresh
        from scipy.signal import lfilter  # takes as long to import as all of spicesim

        new = np.sqrt(1 - self._keeps**2)
        found = np.asarray(lfilter([new], [1, -self._keeps], fresh, axis=0, zi=self._keeps * self._last[None])[0])
        self._last = found[-1]
        return found

    @property
    def history(self) -> Any:
        """Where the numbers stand."""
        return self._generator.bit_generator.state, self._last

    def resume(self, history: Any) -> None:
        """Go on from where such numbers stood."""
        self._generator.bit_generator.state, self._last = history


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Band:
    """Noise of a range of frequencies."""

    own: Floats
    """Sigma by the column's own circuits, (columns,) [V]."""
    drivers: Floats
    """What one sigma of each driver adds, (rows, columns) [V]."""
    columns: _Process
    """Of the columns."""
    rows: _Process
    """Of the drivers."""

    def draw(self, count: int) -> Floats:
        """Return the noise of the next products, (count, columns) [V]."""
        return np.asarray(self.own * self.columns.draw(count) + self.rows.draw(count) @ self.drivers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoisyTile(TileAround):
    """A tile whose reads are noisy, and whose products are not."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    bands: tuple[_Band, ...]
    """Noise by frequency, white noise first."""

    def read(self, codes: Codes, volts: Floats) -> Floats:
        """Return amplifier outputs as one sample of each finds them, one product after the other [V]."""
        volts = self.under.read(codes, volts)
        return np.asarray(sum((band.draw(len(volts)) for band in self.bands), volts))

    @property
    def history(self) -> Any:
        """Where the noise of every band stands, and the history of what is beneath."""
        return [(band.columns.history, band.rows.history) for band in self.bands], self.under.history

    def resume(self, history: Any) -> None:
        """Go on with the noise."""
        bands, under = history
        for band, (columns, rows) in zip(self.bands, bands, strict=True):
            band.columns.resume(columns)
            band.rows.resume(rows)
        self.under.resume(under)


class NoisyEngine(Engine):
    """An engine whose outputs have the noise of amplifiers, feedback resistors, cells, drivers and converters.

    Products themselves stay free of it, so that an audit compares the model with ngspice and not with a draw. It goes
    beneath a :class:`spicesim.engine.device.DeviceEngine`, whose devices it then sees.

    Parameters
    ----------
    engine : Engine
        What multiplies.
    noise : NoiseModel or None
        Of the chip; see :meth:`spicesim.calibration.calibration.Calibration.require_noise`. None where bit lines float.
    seed : int
        The same seed gives the same noise.
    t_product : float
        Time from one product of a tile to the next [s].
    converter : float
        Sigma of a conversion by calibrated converters [V]; see
        :attr:`spicesim.behavioural.converter.ConverterModel.noise`.
    held : float
        Sigma of what hold switches keep of floating lines [V]; see :meth:`spicesim.behavioural.hold.HoldModel.noise`.
    """

    def __init__(
        self,
        engine: Engine,
        noise: NoiseModel | None,
        *,
        seed: int = 0,
        t_product: float = T_PRODUCT,
        converter: float = 0.0,
        held: float = 0.0,
    ) -> None:
        self.name = f"{engine.name} with noise"
        self._engine, self._seed, self._converter, self._held = engine, seed, converter, held
        self._parts = [] if noise is None else _split(noise, t_product)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the engine beneath."""
        return self._engine.notes

    def prepare(self, tile: Tile) -> NoisyTile:
        """Prepare a tile beneath, and find the noise of its outputs.

        Raises
        ------
        ValidityError
            If a column has more conductance than its noise was calibrated for.
        CalibrationError
            If the noise of its feedback resistance was not calibrated.
        """
        bands = []
        for k, (noise, keeps) in enumerate(self._parts):
            own, drivers = noise.tile_parts(tile.g, tile.r_feedback)
            rows, columns = (
                _Process(size, keeps, tile_generator(self._seed, tile.name, f"circuit noise {k} of {what}"))
                for size, what in zip(drivers.shape, ("drivers", "columns"), strict=True)
            )
            bands.append(_Band(own=own, drivers=drivers, columns=columns, rows=rows))
        if self._held:
            bands.append(self._white(tile, self._held, "noise of what is held"))
        if self._converter and isinstance(tile.adc, ConverterRange):
            bands.append(self._white(tile, self._converter, "noise of converters"))
        return NoisyTile(tile=tile, under=self._engine.prepare(tile), bands=tuple(bands))

    def _white(self, tile: Tile, sigma: float, what: str) -> _Band:
        """Return noise of a tile's columns, white and each for itself [V]."""
        count = tile.g.shape[1]
        generator = tile_generator(self._seed, tile.name, what)
        return _Band(
            own=np.full(count, sigma), drivers=np.zeros((0, count)), columns=_Process(count, 0.0, generator),
            rows=_Process(0, 0.0, generator),
        )  # fmt: skip


def _split(noise: NoiseModel, t_product: float) -> list[tuple[NoiseModel, float]]:
    """Return white noise, and slow noise by decades, each with its correlation from one product to the next."""
    fastest = 0.5 / t_product
    known = all(model.frequencies.size for model in noise.amplifiers)
    if not known or fastest <= noise.f_low:
        return [(noise, 0.0)]
    fastest = min(fastest, 0.999 * float(noise.amplifiers[0].frequencies[-1]))
    count = max(1, int(np.ceil(np.log10(fastest / noise.f_low) - 1e-9)))
    edges = np.geomspace(noise.f_low, fastest, count + 1)
    slow = [
        (noise.within(float(low), float(high)), float(np.exp(-2 * np.pi * np.sqrt(low * high) * t_product)))
        for low, high in pairwise(edges)
    ]
    return [(noise.above(fastest), 0.0), *slow]
