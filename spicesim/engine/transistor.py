"""Tiles at transistor level in ngspice."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.integration import PulseTile
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.mismatch_bench import with_chip_mismatch
from spicesim.calibration.tiles import floating_course, predicted_nodesets, readout_netlist, tile_outputs
from spicesim.calibration.transients import step_outputs
from spicesim.coding import rest_code
from spicesim.draws import ChipDraw
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile
from spicesim.engine.write_verify import WriteVerify
from spicesim.errors import SpecError
from spicesim.netlist.macro import MacroRead, build_macro
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.step import CodeStep
from spicesim.netlist.tile import build_tile
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.sampling import run_all

__all__ = ["CircuitTile", "NgspiceEngine"]

_RESOLUTION, _SHARE = 4e-9, 0.02
"""Longest step of a transient [s], and as a share of the time to the sample."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CircuitTile(PreparedTile):
    """A tile programmed in the circuit itself."""

    tile: Tile
    """What was wanted."""
    devices: Floats
    """Conductances of the devices with which the circuit's cells are what was wanted, (rows, columns) [S]."""
    model: BehaviouralTile | PulseTile
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
    t_read : float, optional
        Sample so long after drivers leave 0 V, by a transient [s]; by default the operating point.
    mismatch_seed : int, optional
        Of the chip whose transistors and resistors to draw, those of a tile by its name, as :class:`ExactEngine` draws
        the blocks of the same chip; by default all are nominal.

    Raises
    ------
    SpecError
        If `t_read` is given for floating bit lines, whose hold switches have their own time.
    """

    name = "ngspice"

    def __init__(
        self,
        calibration: Calibration,
        *,
        simulator: BatchSimulator | None = None,
        jobs: int | None = None,
        progress: str = "",
        t_read: float | None = None,
        mismatch_seed: int | None = None,
    ) -> None:
        self._calibration, self._simulator, self._jobs, self._progress = (
            calibration,
            simulator,
            jobs,
            progress,
        )
        if t_read is not None and calibration.hold is not None:
            raise SpecError(
                "floating bit lines are sampled as their hold switches open, hold.settle after the inputs; change that "
                "key of the chip and calibrate again, and leave t_read out"
            )
        self._t_read, self._seed = t_read, mismatch_seed
        self._exact, self._lock = ExactEngine(calibration, mismatch_seed=mismatch_seed), threading.Lock()
        self._write = WriteVerify(calibration.chip, calibration.cell.g_limits, simulator=simulator)

    def prepare(self, tile: Tile) -> CircuitTile:
        """Program the devices by write-verify on the circuit of the cell; see :class:`WriteVerify`."""
        if self._seed is None:
            devices = self._write.program(tile.g)
        else:
            devices = self._write.program_drawn(tile.g, lambda netlist: self._drawn(netlist, tile))
        return CircuitTile(tile=tile, devices=devices, model=self._exact.prepare(tile).model, engine=self)

    def _drawn(self, netlist: Netlist, tile: Tile, rename: Callable[[str], str] = str) -> Netlist:
        """Give the devices of a netlist of the tile's blocks the numbers that the seed draws, by their renamed path."""
        if self._seed is None:
            return netlist
        draw = ChipDraw(self._seed, tile.place)
        return with_chip_mismatch(netlist, self._calibration, lambda path: draw(rename(path)))

    def macros(
        self, prepared: CircuitTile, codes: Codes, read: MacroRead, rename: Callable[[str], str] = str
    ) -> list[Netlist]:
        """Build whole macros, which multiply the vectors and convert the products; as :meth:`netlists`.

        Parameters
        ----------
        prepared : CircuitTile
            The tile.
        codes : ndarray of int, shape (batch, rows)
            DAC codes.
        read : MacroRead
            What is converted, and when.
        rename : callable
            Paths of devices to those that their numbers are drawn by.
        """
        tile, after, chip = prepared.tile, np.asarray(codes), self._calibration.chip
        if chip.sense_amplifier.kind == "voltage":
            return [self._drawn(self._floating_macro(prepared, vector, read), tile, rename) for vector in after]
        before = after if self._t_read is None else np.full_like(after, self._rest(tile))
        state = prepared.model.solve(before)
        built = [
            build_macro(
                chip, prepared.devices,
                vector if self._t_read is None else self._step(vector, after[k], self._t_read), read,
                polarity=tile.polarity, r_feedback=tile.r_feedback,
                nodesets=predicted_nodesets(state, k, chip),
            )
            for k, vector in enumerate(before)
        ]  # fmt: skip
        return [self._drawn(netlist, tile, rename) for netlist in built]

    def _floating_macro(self, prepared: CircuitTile, vector: Codes, read: MacroRead) -> Netlist:
        chip, tile = self._calibration.chip, prepared.tile
        guesses = predicted_nodesets(prepared.model.solve(vector[None]), 0, chip)
        course, at_rest = floating_course(chip, prepared.model, vector, guesses)
        return build_macro(
            chip, prepared.devices, course, read, polarity=tile.polarity, r_feedback=tile.r_feedback, nodesets=at_rest
        )

    def _rest(self, tile: Tile) -> int:
        return rest_code(tile.polarity, self._calibration.chip.dac.code_bits)

    def netlists(self, prepared: CircuitTile, codes: Codes) -> list[Netlist]:
        """Build the netlists of the vectors, with their first guesses."""
        chip, tile, after = self._calibration.chip, prepared.tile, np.asarray(codes)
        if self._t_read is None:
            state = prepared.model.solve(after)
            built = [
                readout_netlist(chip, prepared.model, prepared.devices, vector, predicted_nodesets(state, k, chip))
                for k, vector in enumerate(after)
            ]
        else:
            start = np.full_like(after, self._rest(tile))
            state = prepared.model.solve(start)
            built = [
                build_tile(
                    chip, prepared.devices, self._step(vector, after[k], self._t_read), polarity=tile.polarity,
                    r_feedback=tile.r_feedback, nodesets=predicted_nodesets(state, k, chip),
                )
                for k, vector in enumerate(start)
            ]  # fmt: skip
        return [self._drawn(netlist, tile) for netlist in built]

    @staticmethod
    def _step(start: Codes, codes: Codes, t_read: float) -> CodeStep:
        """Return the step to codes from those at the start, watched until outputs are sampled."""
        resolution = min(_RESOLUTION, _SHARE * t_read)
        return CodeStep(
            before=start.tolist(), after=codes.tolist(), stop=t_read + 2 * resolution, resolution=resolution
        )

    def outputs(self, results: Results, columns: int) -> Floats:
        """Return the outputs that a netlist's simulation gave, (columns,) [V]."""
        if self._t_read is None:
            return tile_outputs(self._calibration.chip, results, columns)
        sampled: Floats = step_outputs(self._calibration.chip, results, np.array([self._t_read]), columns)[0]
        return sampled

    def simulate(self, prepared: CircuitTile, codes: Codes) -> Floats:
        """Return the outputs of code vectors (batch, rows), (batch, columns) [V]."""
        netlists = self.netlists(prepared, codes)
        with self._lock:  # one product takes all jobs
            found = run_all(netlists, simulator=self._simulator, jobs=self._jobs, progress=self._progress)
        columns = prepared.tile.g.shape[1]
        return np.stack([self.outputs(results, columns) for results in found])
