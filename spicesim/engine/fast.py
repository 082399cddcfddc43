"""The engine "fast": the calibrated chip at the speed of a few matrix products, with its measured error."""

from dataclasses import dataclass

from spicesim.arrays import Floats
from spicesim.behavioural.fast_pulses import FastPulseTile
from spicesim.behavioural.fast_tile import FastTile
from spicesim.behavioural.integration import PulseTile
from spicesim.calibration.calibration import Calibration
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile

__all__ = ["ApproximateTile", "FastEngine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApproximateTile(PreparedTile):
    """A tile programmed on the calibrated chip, ready for fast products."""

    tile: Tile
    """What was wanted."""
    model: FastTile | FastPulseTile
    """The behavioural tile with its form; ``model.tile`` is the exact one."""
    threads: int = 1
    """Threads to spread a batch over."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        return self.model.outputs(codes, threads=self.threads)

    @property
    def form(self) -> str:
        """Orders of the form that was taken, or "exact"."""
        return self.model.form


STEP_SHARE = 0.1
"""Default tolerance, in steps of the converters."""
TOLERANCE_LIMIT = 1e-3
"""Largest default tolerance, for converters of few bits."""


class FastEngine(Engine):
    """Wires, nonlinear cells, drivers and amplifiers within a tolerance; see :class:`FastTile`.

    A tile for which no form meets the tolerance is solved exactly; :attr:`ApproximateTile.model` tells.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    tolerance : float, optional
        Largest error of an output, as a fraction of the range of the tile's converters; of the amplifier's swing where
        a tile has none. By default a tenth of a converter's step, but at most .1 %.
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
        tolerance: float | None = None,
        seed: int = 0,
        threads: int = 1,
        mismatch_seed: int | None = None,
    ) -> None:
        self._exact = ExactEngine(calibration, threads=threads, mismatch_seed=mismatch_seed)
        if tolerance is None:
            tolerance = min(STEP_SHARE / (2**calibration.chip.adc.bits - 1), TOLERANCE_LIMIT)
        self.tolerance, self._seed, self._threads = tolerance, seed, threads

    def prepare(self, tile: Tile) -> ApproximateTile:
        """Program the devices by write-verify, expand the tile and measure its forms."""
        exact = self._exact.prepare(tile).model
        model: FastTile | FastPulseTile
        if isinstance(exact, PulseTile):
            model = FastPulseTile(exact, tolerance=self.tolerance, adc=tile.adc, seed=self._seed)
        else:
            model = FastTile(exact, tolerance=self.tolerance, adc=tile.adc, seed=self._seed)
        return ApproximateTile(tile=tile, model=model, threads=self._threads)
