"""Tiles at transistor level in ngspice."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.mismatch import with_chip_mismatch
from spicesim.calibration.tiles import predicted_nodesets, tile_outputs
from spicesim.draws import ChipDraw
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Tile
from spicesim.engine.write_verify import WriteVerify
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.tile import build_tile
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["NgspiceEngine", "PreparedCircuit"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedCircuit:
    """A tile programmed in the circuit itself."""

    tile: Tile
    """What was wanted."""
    devices: Floats
    """Conductances of the devices with which the circuit's cells are what was wanted, (rows, columns) [S]."""
    model: BehaviouralTile
    """The behavioural tile, programmed by its own cell; it gives first guesses and no more."""


class NgspiceEngine:
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
    mismatch_seed : int, optional
        Of the chip whose transistors and resistors to draw, those of a tile by its name, as :class:`ExactEngine` draws
        the blocks of the same chip; by default all are nominal.
    """

    name = "ngspice"

    def __init__(
        self,
        calibration: Calibration,
        *,
        simulator: BatchSimulator | None = None,
        jobs: int | None = None,
        progress: str = "",
        mismatch_seed: int | None = None,
    ) -> None:
        self._calibration, self._simulator, self._jobs, self._progress = (
            calibration,
            simulator,
            jobs,
            progress,
        )
        self._exact, self._lock = ExactEngine(calibration, mismatch_seed=mismatch_seed), threading.Lock()
        self._seed = mismatch_seed
        self._write = WriteVerify(calibration.chip, calibration.cell.g_limits, simulator=simulator)

    def prepare(self, tile: Tile) -> PreparedCircuit:
        """Program the devices by write-verify on the circuit of the cell; see :class:`WriteVerify`."""
        if self._seed is None:
            devices = self._write.program(tile.g)
        else:
            devices = self._write.program_drawn(tile.g, lambda netlist: self._drawn(netlist, tile))
        return PreparedCircuit(tile=tile, devices=devices, model=self._exact.prepare(tile).model)

    def _drawn(self, netlist: Netlist, tile: Tile) -> Netlist:
        """Give the devices of a netlist of the tile's blocks the numbers that the seed draws."""
        if self._seed is None:
            return netlist
        return with_chip_mismatch(netlist, self._calibration, ChipDraw(self._seed, tile.name))

    def netlists(self, prepared: PreparedCircuit, codes: npt.NDArray[np.integer[Any]]) -> list[Netlist]:
        """Build the netlists of the vectors, with their first guesses."""
        state = prepared.model.solve(codes)
        chip, tile = self._calibration.chip, prepared.tile
        reference = chip.sense_amplifier.v_reference
        return [
            self._drawn(
                build_tile(
                    chip, prepared.devices, vector, polarity=tile.polarity, r_feedback=tile.r_feedback,
                    nodesets=predicted_nodesets(state, k, reference),
                ),
                tile,
            )
            for k, vector in enumerate(np.asarray(codes))
        ]  # fmt: skip

    def mvm(self, prepared: PreparedCircuit, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        netlists = self.netlists(prepared, codes)
        with self._lock:  # one product takes all jobs
            found = run_all(netlists, simulator=self._simulator, jobs=self._jobs, progress=self._progress)
        chip, columns = self._calibration.chip, prepared.tile.g.shape[1]
        return np.stack([tile_outputs(chip, results, columns) for results in found])
