"""Tiles at transistor level in ngspice."""

import threading
from dataclasses import dataclass

import numpy as np

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tiles import predicted_nodesets, tile_outputs
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile
from spicesim.engine.write_verify import WriteVerify
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.tile import build_tile
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["CircuitTile", "NgspiceEngine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CircuitTile(PreparedTile):
    """A tile programmed in the circuit itself."""

    tile: Tile
    """What was wanted."""
    devices: Floats
    """Conductances of the devices with which the circuit's cells are what was wanted, (rows, columns) [S]."""
    model: BehaviouralTile
    """The behavioural tile, programmed by its own cell; it gives first guesses and no more."""
    engine: "NgspiceEngine"
    """What simulates."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        return self.engine.simulate(self, codes)

    @property
    def form(self) -> str:
        """The circuit itself."""
        return "ngspice"


class NgspiceEngine(Engine):
    """The tile itself at transistor level in ngspice, one operating point a vector.

    Its cells are programmed in ngspice, too: of the calibration come first guesses only, so that an error of it is not
    on both sides of a comparison.

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
        self._write = WriteVerify(calibration.chip, calibration.cell.g_limits, simulator=simulator)

    def prepare(self, tile: Tile) -> CircuitTile:
        """Program the devices by write-verify on the circuit of the cell; see :class:`WriteVerify`."""
        model = self._exact.prepare(tile).model
        return CircuitTile(tile=tile, devices=self._write.program(tile.g), model=model, engine=self)

    def netlists(self, prepared: CircuitTile, codes: Codes) -> list[Netlist]:
        """Build the netlists of the vectors, with their first guesses."""
        state = prepared.model.solve(codes)
        chip, tile = self._calibration.chip, prepared.tile
        reference = chip.sense_amplifier.v_reference
        return [
            build_tile(
                chip, prepared.devices, vector, polarity=tile.polarity, r_feedback=tile.r_feedback,
                nodesets=predicted_nodesets(state, k, reference),
            )
            for k, vector in enumerate(np.asarray(codes))
        ]  # fmt: skip

    def simulate(self, prepared: CircuitTile, codes: Codes) -> Floats:
        """Return the outputs of code vectors (batch, rows), (batch, columns) [V]."""
        netlists = self.netlists(prepared, codes)
        with self._lock:  # one product takes all jobs
            found = run_all(netlists, simulator=self._simulator, jobs=self._jobs, progress=self._progress)
        chip, columns = self._calibration.chip, prepared.tile.g.shape[1]
        return np.stack([tile_outputs(chip, results, columns) for results in found])
