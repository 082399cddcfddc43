"""The behavioural tile: DAC codes to amplifier outputs, with wires, cells and ports solved together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.mismatch import TileInstance
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.chip import Array
from spicesim.crossbar import Crossbar, Solution
from spicesim.crossbar.operating_point import Precision
from spicesim.errors import SpecError
from spicesim.fast.ports import evaluate_tables

__all__ = ["BehaviouralTile", "TileState"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileState:
    """Operating points of a tile, one a code vector; voltages relative to the reference."""

    v_out: Floats
    """Amplifier outputs below the reference, shape (batch, columns) [V]."""
    v_in: Floats
    """Amplifier inputs above the reference, shape (batch, columns) [V]."""
    v_word_line: Floats
    """Driver outputs above the reference, shape (batch, rows) [V]."""
    solution: Solution
    """Currents, iterations, residual, and fields if asked for."""


class BehaviouralTile:
    """One tile of calibrated blocks.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances of the devices [S]; 0 is an open cell.
    array : Array
        Gives the wires' resistances.
    cell, dac, senseamp : ProgrammableCell, DacModel, SenseAmplifierModel
        The calibrated blocks.
    instance : TileInstance, optional
        What each block of this tile is beyond the calibrated one.
    paired : bool
        Whether columns 2k and 2k + 1 share their word-line nodes, as cells of two bit lines do.

    Raises
    ------
    SpecError
        If a conductance is not finite or outside the calibrated range.
    """

    def __init__(
        self,
        g: npt.ArrayLike,
        *,
        array: Array,
        cell: ProgrammableCell,
        dac: DacModel,
        senseamp: SenseAmplifierModel,
        instance: TileInstance | None = None,
        paired: bool = False,
    ) -> None:
        self.g = np.asarray(g, dtype=float)
        low, high = cell.g_limits
        closed = self.g[self.g != 0]
        if not np.isfinite(self.g).all() or (
            closed.size and (closed.min() < low * (1 - 1e-9) or closed.max() > high * (1 + 1e-9))
        ):
            raise SpecError(
                f"device conductances must lie in the calibrated {low:g}..{high:g} S, or be 0 for an open cell; "
                f"got {self.g.min():g}..{self.g.max():g} S"
            )
        self.dac, self.senseamp = dac, senseamp
        self.leakage = cell.leakage * (self.g != 0).sum(axis=0)
        """What the cells of each column leak into its amplifier, besides the currents of :attr:`crossbar` [A]."""
        self._effective = self.g if instance is None else instance.conductances(self.g)
        self.array, self._paired = array, paired
        """The wires."""
        self.cell = cell
        """The calibrated cell."""
        _ = self.crossbar  # refuses what is no array
        self.drivers = dac.ports
        """Droop of the drivers, a table a code."""
        columns = self.g.shape[1]
        largest = 1.0 if instance is None else max(1.0, float(instance.amplifier_parameters[:, 0].max()))
        self.linear_currents = tuple(v / (senseamp.r_feedback * largest) for v in senseamp.linear_limits)
        """Currents between which all amplifiers are linear [A]."""
        if instance is None:
            v_open = dac.v_open[None]
            self.senses, self.outputs = senseamp.ports, senseamp.output_tables
        else:
            v_open = dac.v_open + instance.drivers.v_open(instance.driver_parameters)
            v_in, self.outputs = instance.amplifiers.tables(senseamp, instance.amplifier_parameters)
            self.senses = v_in.ports("sense amplifier")
        self.v_open = np.broadcast_to(v_open, (len(self.g), v_open.shape[1]))
        """Unloaded voltage of each driver at each code, shape (rows, codes) [V]."""
        self.sense_index = np.arange(columns) if instance else np.zeros(columns, dtype=np.int64)
        """Table of :attr:`senses` and :attr:`outputs` that each column takes."""

    @cached_property
    def crossbar(self) -> Crossbar:
        """The cells with their wires."""
        r_word_line = self.array.word_line_segments(*self.g.shape, paired=self._paired)
        return Crossbar(self._effective, r_word_line, self.array.r_bit_line, cell=self.cell.cell)

    def forget(self) -> None:
        """Drop what the solver keeps, many times the conductances; it is found again when a solution is asked for."""
        self.__dict__.pop("crossbar", None)

    def open_voltages(self, codes: Integers) -> Floats:
        """Return the unloaded voltages of the drivers for codes (batch, rows) [V]."""
        return np.asarray(self.v_open[np.arange(len(self.g)), codes])

    def output(self, currents: Floats, threads: int = 1) -> Floats:
        """Return the outputs below the reference for currents (batch, columns) into the amplifiers [V]."""
        return self.outputs.evaluate(currents + self.leakage, self.sense_index, threads)

    def input(self, currents: Floats, threads: int = 1) -> Floats:
        """Return the inputs above the reference for currents (batch, columns) into the amplifiers [V]."""
        s = self.senses
        index = np.ascontiguousarray(np.broadcast_to(self.sense_index, currents.shape), dtype=np.int64)
        return evaluate_tables(s.values, s.slopes, s.start, s.step, currents, index, threads)

    def solve(
        self,
        codes: Codes,
        *,
        fields: bool = False,
        tolerance: float | None = None,
        precision: Precision = "double",
        threads: int = 1,
    ) -> TileState:
        """Find the operating points.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            DAC codes.
        fields : bool
            Whether the solution shall hold the voltage of every cell.
        tolerance, precision
            As of :meth:`spicesim.crossbar.Crossbar.solve`.
        threads : int
            Threads to spread the batch over.

        Raises
        ------
        ValidityError
            If a solved current or voltage lies outside the calibrated box of a block.
        ConvergenceError
            If the solver does not reach its tolerance.
        """
        index = np.asarray(codes, dtype=np.int64)
        if index.ndim != 2 or index.shape[1] != self.g.shape[0]:
            raise SpecError(f"codes must have shape (batch, {self.g.shape[0]}), got {index.shape}")
        if index.size and (index.min() < 0 or index.max() >= len(self.dac.v_open)):
            raise SpecError(f"DAC codes must lie in 0..{len(self.dac.v_open) - 1}, got {index.min()}..{index.max()}")
        v_open = self.open_voltages(index)
        solution = self.crossbar.solve(
            v_open, drivers=self.drivers.chosen(index), senses=self.senses.chosen(self.sense_index),
            fields=fields, tolerance=tolerance, precision=precision, threads=threads,
        )  # fmt: skip
        return TileState(
            v_out=self.output(solution.currents, threads),
            v_in=self.input(solution.currents, threads),
            v_word_line=v_open - self.drivers.evaluate(solution.row_currents, index)[0],
            solution=solution,
        )
