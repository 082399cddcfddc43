"""The behavioural tile: codes of drivers to outputs, with wires, cells and ports solved together.

The feet of its bit lines are held by amplifiers, or open, and then hold switches sample their voltages.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.mismatch import TileInstance
from spicesim.behavioural.plane_adder import split_planes
from spicesim.behavioural.plane_sums import PlaneSums
from spicesim.behavioural.rails import Droops, TileRails
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tables import CubicTables
from spicesim.chip import Array
from spicesim.coding import rest_code
from spicesim.crossbar import Crossbar, Solution
from spicesim.crossbar.operating_point import Precision
from spicesim.errors import ConvergenceError, SpecError
from spicesim.ports import ChosenTables, PortTables

__all__ = ["Amplifiers", "BehaviouralTile", "TileState"]

_APART = 1e-4
"""Supplies of vectors that are solved together [V]: input tables of columns at their rails are wrong by half of it."""
_AT_REST = 2e-8
"""Movement of the references in a step that ends the iteration [V]."""
_LEFT = 1e-9
"""Share of a step of a table to which leakage at amplifiers' inputs is found."""
_MOST_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileState:
    """Operating points of a tile, one a code vector; voltages relative to the reference.

    Where planes are added as charge a code vector has one operating point for each of its bits; all but the outputs are
    theirs, plane by plane from the least bit: what is (batch, ..) below is (bits batch, ..) then.
    """

    v_out: Floats
    """Outputs, positive for positive products: of amplifiers below the reference, of floating lines what is held above
    it, or of its planes; shape (batch, columns) [V]."""
    v_in: Floats
    """Amplifier inputs, or feet of floating lines, above the reference, shape (batch, columns) [V]."""
    v_word_line: Floats
    """Driver outputs above the reference, shape (batch, rows) [V]."""
    solution: Solution
    """Currents, iterations, residual, and fields if asked for."""
    droops: Droops | None = None
    """What the rails have moved by; None of ideal ones."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Amplifiers:
    """The amplifiers of a tile, each with its tables, against currents of the array alone."""

    senses: PortTables
    """Inputs against currents."""
    outputs: CubicTables
    """Outputs against currents."""
    totals: CubicTables
    """What they take, with what cells leak, against currents."""
    index: Integers
    """Table of each column, (columns,)."""
    linear_currents: tuple[float, float]
    """Currents between which all of them are linear [A]."""

    @classmethod
    def of(cls, model: SenseAmplifierModel, columns: int, instance: TileInstance | None) -> Self:
        """Return all alike, or those of a drawn tile."""
        if instance is None or instance.amplifiers is None:
            largest, index = 1.0, np.zeros(columns, dtype=np.int64)
            senses, outputs = model.ports, model.output_tables
        else:
            largest, index = max(1.0, float(instance.amplifier_parameters[:, 0].max())), np.arange(columns)
            v_in, outputs = instance.amplifiers.tables(model, instance.amplifier_parameters)
            senses = v_in.ports("sense amplifier")
        low, high = (v / (model.feedback * largest) for v in model.linear_limits)
        grid = _grid(senses)
        totals = CubicTables.of(grid, np.tile(grid, (len(senses.values), 1)))
        return cls(senses=senses, outputs=outputs, totals=totals, index=index, linear_currents=(low, high))

    def leaking(self, cell: ProgrammableCell, cells: Integers) -> Self:
        """Return them with what so many cells (columns,) leak through their inputs: it is no current of the array.

        Raises
        ------
        ConvergenceError
            If cells leak more than the amplifiers can hold.
        """
        alike = len(self.senses.values) == 1 and np.ptp(cells) == 0
        index, tables = (self.index, self.index[:1]) if alike else (np.arange(len(cells)), self.index)
        inputs, counts = CubicTables.like(self.senses), cells[: len(tables)]
        grid = _grid(self.senses)
        without = np.repeat(grid[:, None], len(tables), axis=1)
        currents, before = without, without
        for _ in range(_MOST_STEPS):
            before, currents = currents, without + counts * cell.leaked(inputs.evaluate(currents, tables))
            if np.abs(currents - before).max() <= _LEFT * self.senses.step:
                break
        else:
            raise ConvergenceError(
                f"the cells of a column leak {np.abs(currents - without).max():.2g} A, more than its amplifier can "
                "hold; use fewer rows, or lower sense_amplifier.r_feedback"
            )
        senses = CubicTables.of(grid, inputs.evaluate(currents, tables).T).ports(self.senses.name)
        outputs = CubicTables.of(grid, self.outputs.evaluate(currents, tables).T)
        return replace(self, senses=senses, outputs=outputs, totals=CubicTables.of(grid, currents.T), index=index)

    @property
    def chosen(self) -> ChosenTables:
        """Tables of the inputs, column by column."""
        return self.senses.chosen(self.index)

    def moved(self, rails: TileRails, droops: Droops) -> ChosenTables:
        """Return the tables of the inputs of nominal amplifiers where the rails have moved, those of one vector."""
        grid = _grid(self.senses)
        values = self.input_moved(rails, droops, grid[None])
        # where knees have moved, what is interpolated may bend an input back by less than a microvolt
        tables = PortTables.from_samples(grid, np.maximum.accumulate(values, axis=1), name=self.senses.name)
        return tables.chosen(np.zeros_like(self.index))

    def input_moved(self, rails: TileRails, droops: Droops, currents: Floats) -> Floats:
        """Return the inputs above the reference for currents (batch, columns) of nominal amplifiers there [V]."""
        amplifier = rails.amplifier
        at = amplifier.framed(currents, droops.supply[:, None], droops.ground[:, None])
        return np.asarray(self.senses.evaluate(at)[0] + amplifier.added(at, rails.terms(droops)))

    def output_moved(self, rails: TileRails, droops: Droops, currents: Floats) -> Floats:
        """Return their outputs below the reference for currents [V].

        Output and input are apart by what falls off the feedback resistor, wherever the rails are.
        """
        amplifier = rails.amplifier
        at = amplifier.framed(currents, droops.supply[:, None], droops.ground[:, None])
        nominal = self.outputs.evaluate(at, np.zeros(at.shape[1], dtype=np.int64))
        added = amplifier.added(at, rails.terms(droops))
        return np.asarray(nominal + amplifier.feedback * (currents - at) - added)

    def output(self, currents: Floats, threads: int = 1) -> Floats:
        """Return the outputs below the reference for currents (batch, columns) [V]."""
        return self.outputs.evaluate(currents, self.index, threads)

    def input(self, currents: Floats, threads: int = 1) -> Floats:
        """Return the inputs above the reference for currents (batch, columns) [V]."""
        return CubicTables.like(self.senses).evaluate(currents, self.index, threads)


def _grid(ports: PortTables) -> Floats:
    """Return the currents at which tables are known, (points,) [A]."""
    return np.asarray(ports.start + ports.step * np.arange(ports.values.shape[1]), dtype=float)


class BehaviouralTile:
    """One tile of calibrated blocks.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances of the devices [S]; 0 is an open cell.
    array : Array
        Gives the wires' resistances.
    cell, dac, readout : ProgrammableCell, DacModel, SenseAmplifierModel or HoldModel
        The calibrated blocks.
    instance : TileInstance, optional
        What each block of this tile is beyond the calibrated one.
    paired : bool
        Whether columns 2k and 2k + 1 share their word-line nodes, as cells of two bit lines do.
    gated : bool
        Whether codes turn rows on and off by their gates; all word lines are then at the voltage of code 1.

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
        readout: SenseAmplifierModel | HoldModel,
        instance: TileInstance | None = None,
        paired: bool = False,
        gated: bool = False,
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
        self.dac, self.readout = dac, readout
        self.rails: TileRails | None = None
        """Impedances of supply, ground and references, which its blocks share; None of ideal ones."""
        self._effective = self.g if instance is None else instance.conductances(self.g)
        self._holds = None if instance is None else instance.holds
        self._buffers = None if instance is None else instance.buffers
        self.array, self._paired = array, paired
        """The wires."""
        self.gated = gated
        """Whether codes turn rows on and off."""
        self.cell = cell
        """The calibrated cell."""
        self.amplifiers: Amplifiers | None = None
        """What stands at the feet; None if they are open."""
        if isinstance(readout, SenseAmplifierModel):
            amplifiers = Amplifiers.of(readout, self.g.shape[-1], instance)
            self.amplifiers = amplifiers.leaking(cell, np.count_nonzero(self.g, axis=0))
        _ = self.crossbar  # refuses what is no array
        self.drivers = dac.ports if instance is None else instance.drivers.droop(dac.ports, instance.driver_parameters)
        """Droop of the drivers, a table a code; row by row if each has its own."""
        codes, tables = len(dac.v_open), len(self.drivers.values)
        self.first_table = np.arange(len(self.g)) * codes if tables > codes else np.zeros(len(self.g), dtype=np.int64)
        """Table of each driver at code 0, (rows,)."""
        v_open = dac.v_open[None]
        if instance is not None:
            v_open = dac.v_open + instance.drivers.v_open(instance.driver_parameters)
        self.v_open = np.broadcast_to(v_open, (len(self.g), v_open.shape[1]))
        """Unloaded voltage of each driver at each code, shape (rows, codes) [V]."""

    def on(self, rails: TileRails) -> Self:
        """Put the tile, of nominal drivers and amplifiers, on rails with impedances; return it."""
        self.rails = rails
        return self

    @cached_property
    def crossbar(self) -> Crossbar:
        """The cells with their wires."""
        r_sense = np.inf if self.amplifiers is None else 0.0
        r_word_line = self.array.word_line_segments(*self.g.shape, paired=self._paired)
        return Crossbar(self._effective, r_word_line, self.array.r_bit_line, r_sense=r_sense, cell=self.cell.cell)

    def leaked(self, v_in: Floats) -> Floats:
        """Return what cells leak into amplifiers with inputs (.., columns), besides :attr:`crossbar`'s currents [A]."""
        return np.asarray(self.cell.leaked(v_in) * np.count_nonzero(self.g, axis=0))

    @property
    def setting(self) -> float:
        """Feedback resistance of the amplifiers [ohm]; 1 of floating lines."""
        return 1.0 if isinstance(self.readout, HoldModel) else self.readout.r_feedback

    @property
    def senseamp(self) -> SenseAmplifierModel:
        """The amplifiers.

        Raises
        ------
        SpecError
            If the bit lines float.
        """
        if isinstance(self.readout, HoldModel):
            raise SpecError("the bit lines of this tile float, so it has no amplifiers; set sense_amplifier.kind = tia")
        return self.readout

    def forget(self) -> None:
        """Drop what the solver keeps, many times the conductances; it is found again when a solution is asked for."""
        self.__dict__.pop("crossbar", None)

    def open_voltages(self, codes: Integers) -> Floats:
        """Return the unloaded voltages of the word lines for codes (batch, rows) [V]."""
        if self.gated:
            return np.broadcast_to(self.v_open[:, -1], codes.shape)
        return np.asarray(self.v_open[np.arange(len(self.g)), codes])

    @property
    def code_bits(self) -> int:
        """Bits of the codes that it takes: of its drivers, or of the planes that it adds."""
        adder = self.readout.adder if isinstance(self.readout, HoldModel) else None
        return (self.v_open.shape[1] - 1).bit_length() if adder is None else adder.bits

    @property
    def planes(self) -> int:
        """Operating points of a code."""
        return 1 if not isinstance(self.readout, HoldModel) or self.readout.adder is None else self.readout.adder.bits

    def driven(self, codes: Codes) -> Codes:
        """Return what drivers are given of codes (batch, rows): these, or their bits, (bits batch, rows)."""
        return codes if self.planes == 1 else split_planes(codes, self.planes)

    def held(self, feet: Floats) -> Floats:
        """Return what is put out of what hold switches keep of feet (planes batch, columns) [V], (batch, columns).

        Before the first plane all inputs were at their code of rest.
        """
        assert isinstance(self.readout, HoldModel)
        if self.readout.adder is not None:
            sums = self._sums.of(feet.reshape(self.planes, len(feet) // self.planes, feet.shape[1]))
            return self.readout.output(sums, self._drawn_buffers)
        total, rows = self._effective.sum(axis=0), len(self.g)
        left = self.readout.unsettled(total, rows)
        lines = feet + left * (self.rest_voltage - feet)
        held = self.readout.held(lines, total, rows)
        held = held if self._holds is None else held + self._holds.added(lines, total, rows)
        return self.readout.output(held, self._drawn_buffers)

    @cached_property
    def _drawn_buffers(self) -> Floats | None:
        """What buffers add to the nominal ones, (orders, columns) [V]."""
        assert isinstance(self.readout, HoldModel)
        nominal = self.readout.buffer
        return None if self._buffers is None or nominal is None else self._buffers.added(nominal.v_limit)

    @cached_property
    def _sums(self) -> PlaneSums:
        assert isinstance(self.readout, HoldModel)
        return self.readout.sums(self.rest_voltage, self._effective.sum(axis=0), len(self.g), self._holds)

    @property
    def rest_code(self) -> int:
        """Code of drivers at rest, whatever a tile makes of it."""
        return rest_code(self.dac.polarity, (self.v_open.shape[1] - 1).bit_length())

    @property
    def rest_voltage(self) -> float:
        """What drivers put out then, on average [V]."""
        return float(self.v_open[:, self.rest_code].mean())

    def driver_index(self, codes: Integers) -> Integers:
        """Return the tables of :attr:`drivers` that drivers take with codes (batch, rows)."""
        return np.asarray(codes + self.first_table)

    def checked(self, codes: Codes) -> Codes:
        """Return codes (batch, rows) as integers.

        Raises
        ------
        SpecError
            If they have another shape, or are beyond :attr:`code_bits`.
        """
        index, last = np.ascontiguousarray(codes, dtype=np.int64), 2**self.code_bits - 1
        if index.ndim != 2 or index.shape[1] != self.g.shape[0]:
            raise SpecError(f"codes must have shape (batch, {self.g.shape[0]}), got {index.shape}")
        if index.size and index.view(np.uint64).max() > last:  # negative ones are the largest of all
            raise SpecError(f"DAC codes must lie in 0..{last}, got {index.min()}..{index.max()}")
        return index

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
        index = self.driven(self.checked(codes))
        v_open, driver_index = self.open_voltages(index), self.driver_index(index)
        if self.rails is not None:
            return self._solve_on_rails(
                index, self.rails, fields=fields, tolerance=tolerance, precision=precision, threads=threads
            )
        amplifiers = self.amplifiers
        drivers, mask = (None, index) if self.gated else (self.drivers.chosen(driver_index), None)
        solution = self.crossbar.solve(
            v_open, drivers=drivers, mask=mask,
            senses=None if amplifiers is None else amplifiers.chosen,
            fields=fields, tolerance=tolerance, precision=precision, threads=threads,
        )  # fmt: skip
        if amplifiers is None:
            assert solution.foot_voltages is not None
            v_in, v_out = solution.foot_voltages, self.held(solution.foot_voltages)
        else:
            v_in = amplifiers.input(solution.currents, threads)
            v_out = amplifiers.output(solution.currents, threads)
        return TileState(
            v_out=v_out,
            v_in=v_in,
            v_word_line=v_open - (0.0 if self.gated else self.drivers.evaluate(solution.row_currents, driver_index)[0]),
            solution=solution,
        )

    def _solve_on_rails(
        self, index: Codes, rails: TileRails, *, fields: bool, threads: int, **options: Any
    ) -> TileState:
        """Find the operating points where blocks share rails that move by what they draw: by iteration.

        What blocks draw depends little on where the rails are, so each step leaves a hundredth of the error.

        Raises
        ------
        ConvergenceError
            If the rails do not come to rest.
        ValidityError
            If they move further than was calibrated.
        """
        amplifiers, batch = self.amplifiers, len(index)
        assert amplifiers is not None
        v_open, driver_index = self.open_voltages(index), self.driver_index(index)
        row_currents, currents = np.zeros((batch, self.g.shape[0])), np.zeros((batch, self.g.shape[1]))
        droops = rails.droops(index, row_currents, currents, rails.at_rest(batch))
        for _ in range(_MOST_STEPS):
            raised = v_open + rails.raised(index, row_currents, droops)
            currents, row_currents = np.empty_like(currents), np.empty_like(row_currents)
            iterations, residual = np.empty(batch, dtype=np.int64), np.empty(batch)
            for group in droops.groups(_APART):
                part = self.crossbar.solve(
                    raised[group], drivers=self.drivers.chosen(driver_index[group]),
                    senses=amplifiers.moved(rails, droops.mean(group)), threads=threads, **options,
                )  # fmt: skip
                currents[group], row_currents[group] = part.currents, part.row_currents
                iterations[group], residual[group] = part.iterations, part.residual
            before, droops = droops, rails.droops(index, row_currents, currents, droops)
            if batch == 0 or droops.far(before) < _AT_REST:
                break
        else:
            raise ConvergenceError(
                f"the rails of a tile still move by {droops.far(before):.2g} V after {_MOST_STEPS} steps; lower the "
                "resistances in rails"
            )
        solution = Solution(
            currents=currents, row_currents=row_currents, iterations=iterations, residual=residual
        )  # fmt: skip
        if fields:  # of all vectors with the mean supplies, which differ by less than what fields are asked for
            solution = self.crossbar.solve(
                raised, drivers=self.drivers.chosen(driver_index),
                senses=amplifiers.moved(rails, droops.mean(np.arange(batch))), fields=True, threads=threads, **options,
            )  # fmt: skip
        return TileState(
            v_out=amplifiers.output_moved(rails, droops, currents),
            v_in=amplifiers.input_moved(rails, droops, currents),
            v_word_line=raised - self.drivers.evaluate(row_currents, driver_index)[0],
            solution=solution,
            droops=droops,
        )
