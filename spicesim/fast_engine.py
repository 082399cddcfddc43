"""The engine "fast": the calibrated chip at the speed of a few matrix products, with its measured error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.fast_tile import FastTile
from spicesim.calibration.calibration import Calibration
from spicesim.engine import ExactEngine, Tile

__all__ = ["FastEngine", "PreparedFastTile"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedFastTile:
    """A tile programmed on the calibrated chip, ready for fast products."""

    tile: Tile
    """What was wanted."""
    model: FastTile
    """The behavioural tile with its form; ``model.tile`` is the exact one."""


class FastEngine:
    """Wires, nonlinear cells, drivers and amplifiers within a tolerance; see :class:`FastTile`.

    A tile for which no form meets the tolerance is solved exactly; :attr:`PreparedFastTile.model` tells.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    tolerance : float
        Largest error of an output, as a fraction of the amplifier's swing.
    seed : int
        Of the codes on which forms are measured.
    threads : int
        Threads to spread a batch over.
    mismatch_seed : int, optional
        As :class:`~spicesim.engine.ExactEngine`.
    """

    name = "fast"

    def __init__(
        self,
        calibration: Calibration,
        *,
        tolerance: float = 1e-3,
        seed: int = 0,
        threads: int = 1,
        mismatch_seed: int | None = None,
    ) -> None:
        self._exact = ExactEngine(calibration, threads=threads, mismatch_seed=mismatch_seed)
        self._tolerance, self._seed, self._threads = tolerance, seed, threads

    def prepare(self, tile: Tile) -> PreparedFastTile:
        """Program the devices by write-verify, expand the tile and measure its forms."""
        exact = self._exact.prepare(tile).model
        model = FastTile(exact, tolerance=self._tolerance, seed=self._seed, threads=self._threads)
        return PreparedFastTile(tile=tile, model=model)

    def mvm(self, prepared: PreparedFastTile, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        return prepared.model.solve(codes, threads=self._threads).v_out
