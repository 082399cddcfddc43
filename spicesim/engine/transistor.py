"""Tiles at transistor level in ngspice."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tiles import tile_netlist, tile_outputs
from spicesim.engine.exact import ExactEngine, PreparedTile
from spicesim.engine.protocol import Tile
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["NgspiceEngine"]


class NgspiceEngine:
    """The tile itself at transistor level in ngspice, one operating point a vector.

    Parameters
    ----------
    calibration : Calibration
        Of the chip; the behavioural tile predicts the first guesses without which ngspice would not converge.
    simulator : BatchSimulator, optional
        Gives the time-out.
    jobs : int, optional
        Simulations at a time; by default one a processor.
    progress : str
        Label of a progress bar; none if empty.
    """

    name = "ngspice"

    def __init__(
        self,
        calibration: Calibration,
        *,
        simulator: BatchSimulator | None = None,
        jobs: int | None = None,
        progress: str = "",
    ) -> None:
        self._calibration, self._simulator, self._jobs, self._progress = (
            calibration,
            simulator,
            jobs,
            progress,
        )
        self._exact, self._lock = ExactEngine(calibration), threading.Lock()

    def prepare(self, tile: Tile) -> PreparedTile:
        """Program the devices; see :meth:`ExactEngine.prepare`."""
        return self._exact.prepare(tile)

    def netlists(self, prepared: PreparedTile, codes: npt.NDArray[np.integer[Any]]) -> list[Netlist]:
        """Build the netlists of the vectors, with their first guesses."""
        state = prepared.model.solve(codes)
        chip = self._calibration.chip
        return [tile_netlist(chip, prepared.model, vector, state, k) for k, vector in enumerate(np.asarray(codes))]

    def mvm(self, prepared: PreparedTile, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        netlists = self.netlists(prepared, codes)
        with self._lock:  # one product takes all jobs
            found = run_all(netlists, simulator=self._simulator, jobs=self._jobs, progress=self._progress)
        chip, columns = self._calibration.chip, prepared.tile.g.shape[1]
        return np.stack([tile_outputs(chip, results, columns) for results in found])
