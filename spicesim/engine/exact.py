"""Tiles of the calibrated chip, each product solved exactly."""

from dataclasses import dataclass

from spicesim.arrays import Floats
from spicesim.behavioural.integration import PulseTile
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile

__all__ = ["ExactEngine", "ExactTile"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactTile(PreparedTile):
    """A tile programmed on the calibrated chip."""

    tile: Tile
    """What was wanted."""
    model: BehaviouralTile | PulseTile
    """The behavioural tile with its programmed devices."""
    threads: int = 1
    """Threads to spread a batch over."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        return self.model.solve(codes, threads=self.threads).v_out

    @property
    def form(self) -> str:
        """Exact, by name."""
        return "exact"


class ExactEngine(Engine):
    """The calibrated chip: wires, nonlinear cells, drivers and amplifiers solved together.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    threads : int
        Threads to spread a batch over.
    mismatch_seed : int, optional
        Of the chip whose blocks to draw, those of a tile by its name; by default all blocks are nominal.

    Raises
    ------
    CalibrationError
        If mismatch is asked for and was not calibrated.
    """

    name = "exact"

    def __init__(self, calibration: Calibration, *, threads: int = 1, mismatch_seed: int | None = None) -> None:
        self.calibration, self._threads = calibration, threads
        self._mismatch = None if mismatch_seed is None else calibration.require_mismatch()
        self._seed = mismatch_seed

    def prepare(self, tile: Tile) -> ExactTile:
        """Program the devices by write-verify and build the behavioural tile.

        Write-verify reads whole cells, so it makes up for what their transistors differ by, as far as devices go.
        """
        g, instance = self.calibration.cell.program(tile.g), None
        if self._mismatch is not None and self._seed is not None:
            rows, columns = tile.g.shape
            instance = self._mismatch.draw(
                rows, columns, polarity=tile.polarity, r_feedback=tile.r_feedback, seed=self._seed, name=tile.place
            )
            g = instance.compensated(g, self.calibration.cell.g_limits)
        model = self.calibration.tile(g, tile.polarity, tile.r_feedback, instance=instance)
        return ExactTile(tile=tile, model=model, threads=self._threads)
