"""Noise of circuits around any engine: what a converter samples has the sigma that was calibrated for its column."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.noise import NoiseModel
from spicesim.devices import tile_generator
from spicesim.engine.protocol import Engine, Tile

__all__ = ["NoisyEngine", "PreparedNoise"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedNoise:
    """A tile whose outputs are noisy."""

    ready: Any
    """What the engine beneath prepared of it."""
    sigma: Floats
    """Of one sample of each output, (columns,) [V]."""
    generator: np.random.Generator
    """Of the samples."""


class NoisyEngine:
    """An engine whose outputs have the noise of amplifiers, feedback resistors, cells and drivers.

    Every sample is drawn anew. Products themselves stay free of it, so that an audit compares the model with ngspice
    and not with a draw. It goes beneath a :class:`spicesim.engine.device.DeviceEngine`, whose devices it then sees.

    Parameters
    ----------
    engine : Engine
        What multiplies.
    noise : NoiseModel
        Of the chip; see :meth:`spicesim.calibration.calibration.Calibration.require_noise`.
    seed : int
        The same seed gives the same noise. A tile that is prepared again, as on every chip of a study, gets another.
    """

    def __init__(self, engine: Engine, noise: NoiseModel, *, seed: int = 0) -> None:
        self.name = f"{engine.name} with noise"
        self._engine, self._noise, self._seed = engine, noise, seed
        self._preparations: Counter[str] = Counter()

    def prepare(self, tile: Tile) -> PreparedNoise:
        """Prepare a tile beneath, and find the noise of its outputs.

        Raises
        ------
        ValidityError
            If a column has more conductance than its noise was calibrated for.
        CalibrationError
            If the noise of its feedback resistance was not calibrated.
        """
        self._preparations[tile.name] += 1
        return PreparedNoise(
            ready=self._engine.prepare(tile),
            sigma=self._noise.tile_sigma(tile.g, tile.r_feedback),
            generator=tile_generator(self._seed, tile.name, f"circuit noise {self._preparations[tile.name]}"),
        )

    def mvm(self, prepared: PreparedNoise, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply without noise, which :meth:`read` adds; see :meth:`Engine.mvm`."""
        return self._engine.mvm(prepared.ready, codes)

    def read(self, prepared: PreparedNoise, volts: Floats) -> Floats:
        """Return amplifier outputs as one sample of them finds them, (batch, columns) [V]."""
        return np.asarray(volts + prepared.sigma * prepared.generator.standard_normal(volts.shape))
