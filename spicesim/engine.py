"""Engines: one protocol for everything that can multiply a vector by a tile.

``prepare`` once a tile, ``mvm`` many times. An engine is the analog part of a macro, from DAC codes to the output
of the sense amplifiers; the ADC that follows is the same for all (:class:`spicesim.behavioural.converter.AdcRange`).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.converter import AdcRange, Polarity, dac_voltages
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tiles import tile_netlist, tile_outputs
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["Engine", "ExactEngine", "IdealEngine", "NgspiceEngine", "PreparedTile", "Tile", "build_engine"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """What one array is programmed to do."""

    name: str
    """Name, unique within a network."""
    g: Floats
    """Conductances wanted of the cells, access transistor included, at the read voltage; (rows, columns) [S]."""
    polarity: Polarity
    """Coding of the inputs."""
    r_feedback: float
    """Feedback resistance of the sense amplifiers [ohm]."""
    adc: AdcRange | None = None
    """Range of the converters that read it, if they are known; engines may err where these cannot see it."""


class Engine(Protocol):
    """Anything that multiplies a vector by a tile."""

    name: str
    """Word by which users ask for it."""

    def prepare(self, tile: Tile) -> Any:
        """Do all the work that does not depend on the inputs."""
        ...

    def mvm(self, prepared: Any, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply.

        Parameters
        ----------
        prepared : object
            What :meth:`prepare` returned.
        codes : ndarray of int, shape (batch, rows)
            DAC codes.

        Returns
        -------
        ndarray of shape (batch, columns)
            Amplifier outputs below the reference, ``v_reference - v_out`` [V]: positive for current into the
            virtual ground.
        """
        ...


class IdealEngine:
    """Ideal converters around an ideal dot product: no wires, no transistors, no rails."""

    name = "ideal"

    def __init__(self, chip: Chip) -> None:
        self._dac = chip.dac

    def prepare(self, tile: Tile) -> Tile:
        """Return the tile; there is nothing to prepare."""
        return tile

    def mvm(self, prepared: Tile, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        v = dac_voltages(codes, self._dac.bits, self._dac.v_span, prepared.polarity)
        return np.asarray(prepared.r_feedback * (v @ prepared.g))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedTile:
    """A tile programmed on the calibrated chip."""

    tile: Tile
    """What was wanted."""
    model: BehaviouralTile
    """The behavioural tile with its programmed devices."""


class ExactEngine:
    """The calibrated chip: wires, nonlinear cells, drivers and amplifiers solved together.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    wires : bool
        Whether lines have resistance; without, what wires cost can be told.
    threads : int
        Threads to spread a batch over.
    mismatch_seed : int, optional
        Of the chip whose blocks to draw, those of a tile by its name; by default all blocks are nominal.

    Raises
    ------
    CalibrationError
        If mismatch is asked for and was not calibrated.
    """

    def __init__(
        self, calibration: Calibration, *, wires: bool = True, threads: int = 1, mismatch_seed: int | None = None
    ) -> None:
        self.name = "exact" if wires else "exact without wires"
        self._calibration, self._wires, self._threads = calibration, wires, threads
        self._mismatch = None if mismatch_seed is None else calibration.require_mismatch()
        self._seed = mismatch_seed

    def prepare(self, tile: Tile) -> PreparedTile:
        """Program the devices by write-verify and build the behavioural tile.

        Write-verify reads whole cells, so it makes up for what their transistors differ by, as far as devices go.
        """
        g, instance = self._calibration.cell.program(tile.g), None
        if self._mismatch is not None and self._seed is not None:
            rows, columns = tile.g.shape
            instance = self._mismatch.draw(
                rows, columns, polarity=tile.polarity, r_feedback=tile.r_feedback, seed=self._seed, name=tile.name
            )
            g = instance.compensated(g, self._calibration.cell.g_limits)
        model = self._calibration.tile(g, tile.polarity, tile.r_feedback, wires=self._wires, instance=instance)
        return PreparedTile(tile=tile, model=model)

    def mvm(self, prepared: PreparedTile, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        return prepared.model.solve(codes, threads=self._threads).v_out


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
        self._exact = ExactEngine(calibration)

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
        found = run_all(
            self.netlists(prepared, codes),
            simulator=self._simulator,
            jobs=self._jobs,
            progress=self._progress,
        )
        chip, columns = self._calibration.chip, prepared.tile.g.shape[1]
        return np.stack([tile_outputs(chip, results, columns) for results in found])


def build_engine(
    name: str,
    calibration: Calibration,
    *,
    wires: bool = True,
    threads: int = 1,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    tolerance: float | None = None,
    mismatch_seed: int | None = None,
) -> Engine:
    """Build the engine that users ask for by a word.

    Parameters
    ----------
    name : {"ideal", "fast", "exact", "ngspice"}
        The word.
    calibration : Calibration
        Of the chip.
    wires : bool
        Whether lines have resistance; only "exact" can leave it out.
    threads : int
        Threads of "fast" and "exact".
    simulator, jobs
        Time-out and parallelism of "ngspice".
    tolerance : float, optional
        Of "fast": largest error of an output as a fraction of its converter's range.
    mismatch_seed : int, optional
        Of the chip whose blocks "exact" and "fast" draw; by default all are nominal.

    Raises
    ------
    SpecError
        If there is no such engine, or it cannot do what is asked.
    """
    if mismatch_seed is not None and name not in ("exact", "fast"):
        raise SpecError(f"only the engines 'exact' and 'fast' draw mismatch, not {name!r}; leave the seed out")
    if not wires and name != "exact":
        raise SpecError(f"only the engine 'exact' can leave out the wires, not {name!r}")
    if tolerance is not None and name != "fast":
        raise SpecError(f"only the engine 'fast' takes a tolerance, not {name!r}; leave it out")
    if name == "ideal":
        return IdealEngine(calibration.chip)
    if name == "exact":
        return ExactEngine(calibration, wires=wires, threads=threads, mismatch_seed=mismatch_seed)
    if name == "ngspice":
        return NgspiceEngine(calibration, simulator=simulator, jobs=jobs)
    if name == "fast":
        from spicesim.fast_engine import FastEngine  # it builds on the engines here

        return FastEngine(calibration, tolerance=tolerance, threads=threads, mismatch_seed=mismatch_seed)
    raise SpecError(f"no engine {name!r}; there are: ideal, fast, exact, ngspice")
