"""The hand-over from amplifiers to converters around any engine, and what is told of one that is too short."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.converter import ConverterRange
from spicesim.behavioural.hand_over import HandOverCurves, HandOverModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.draws import ChipDraw
from spicesim.engine.protocol import Engine, PreparedTile, Tile, TileAround
from spicesim.units import format_si

__all__ = ["CellLoads", "HandOverEngine", "HandOverTile"]

NOTHING = 0.02
"""Part of a step of the converter that an array may lack without being asked for it, output by output."""
DRIVES = 17
"""Voltages at which it is found what cells conduct of small changes, a smooth curve."""
APART, LEAST = 1.2, 0.01
"""Between loads by inputs at which hand-overs are found, and the least one next to the largest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellLoads:
    """What the cells of a tile load its amplifiers with, by their inputs.

    Cells conduct of small changes what they conduct at their own input. Columns share inputs, and with them a factor.
    """

    columns: Floats
    """Conductance of each column with all inputs at the end of their span, (columns,) [S]."""
    shares: Floats
    """Of rows in all cells, (rows,)."""
    factors: Floats
    """Conductance with all inputs at a code over :attr:`columns`, (codes,); one where inputs do not matter."""

    @classmethod
    def of(cls, tile: Tile, cell: ProgrammableCell, chip: Chip) -> Self:
        """Return those of a tile that amplifiers hold at the reference."""
        columns = cell.small_signal(tile.g, chip.dac.v_span).sum(axis=0)
        drives = np.linspace(0.0, chip.dac.v_span, DRIVES)
        sums = np.array([cell.small_signal(tile.g, drive).sum() for drive in drives])
        volts = np.abs(chip.dac.volts(np.arange(2**chip.dac.code_bits), tile.polarity))
        factors = np.interp(volts, drives, sums) / columns.sum()
        if chip.cell.is_gated:  # a row that is off conducts nothing
            factors = np.where(volts > 0, factors, 0.0)
        return cls(columns=columns, shares=tile.g.sum(axis=1) / tile.g.sum(), factors=factors)

    @classmethod
    def as_read(cls, tile: Tile) -> Self:
        """Return those of cells that conduct the same whatever their inputs."""
        return cls(columns=tile.g.sum(axis=0), shares=np.full(len(tile.g), 1 / len(tile.g)), factors=np.ones(1))

    @property
    def nodes(self) -> Floats:
        """Factors, rising, between which hand-overs are linear; one where inputs do not matter."""
        high = float(self.factors.max())
        low = max(float(self.factors.min()), LEAST * high)
        count = int(np.ceil(np.log(high / low) / np.log(APART) - 1e-9))
        return np.geomspace(low, high, count + 1) if high > low * (1 + 1e-6) else np.array([high])

    def of_inputs(self, codes: Codes) -> Floats:
        """Return the factor of each vector of codes (batch, rows), (batch,), the same whatever comes with it."""
        # BLAS sums single vectors in another order
        return np.asarray(np.einsum("br,r->b", np.take(self.factors, codes), self.shares))

    def places(self, codes: Codes) -> Floats | None:
        """Return between which nodes each vector of codes (batch, rows) is, (batch,); None where there is but one."""
        nodes = self.nodes
        return None if len(nodes) == 1 else np.interp(self.of_inputs(codes), nodes, np.arange(len(nodes)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandOverTile(TileAround):
    """A tile whose converters sample its amplifiers' outputs for a short time."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    loads: CellLoads
    """What loads its amplifiers."""
    curves: HandOverCurves
    """What arrays have of outputs, at each of the nodes of the loads."""

    def received(self, codes: Codes, volts: Floats) -> Floats:
        """Return what arrays have of outputs as sampling ends."""
        return self.curves.received(self.under.received(codes, volts), self.loads.places(codes))


class HandOverEngine(Engine):
    """An engine whose converters receive what amplifiers bring into their arrays in the time for sampling.

    Arrays hold the reference before, as if outputs had rested since the last conversion. Where the time is too short
    for an array that holds another output from before, :attr:`notes` say which tile wants how much more.

    Parameters
    ----------
    engine : Engine
        What multiplies.
    model : HandOverModel
        Of the chip.
    mismatch : MismatchModel, optional
        How hand-overs of drawn amplifiers differ, as far as it knows; by default they are nominal.
    seed : int, optional
        Of the drawn chip.
    columns_per_adc : int
        Columns that share a converter.
    loads : callable
        Gives what the cells of a tile load its amplifiers with; by default what they conduct as they are read.
    """

    def __init__(
        self,
        engine: Engine,
        model: HandOverModel,
        mismatch: MismatchModel | None = None,
        seed: int | None = None,
        columns_per_adc: int = 1,
        loads: Callable[[Tile], CellLoads] = CellLoads.as_read,
    ) -> None:
        self.name = engine.name
        self._engine, self._model, self._seed, self._shared = engine, model, seed, columns_per_adc
        self._differ = None if mismatch is None or seed is None else mismatch.hand_over
        self._loads = loads
        self._short: dict[str, float] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls, engine: Engine, calibration: Calibration, seed: int | None = None, columns_per_adc: int | None = None
    ) -> Engine:
        """Return the hand-over of a calibrated chip around an engine; the engine itself where ideal buffers stand.

        Parameters
        ----------
        engine : Engine
            What multiplies.
        calibration : Calibration
            Of the chip.
        seed : int, optional
            Of the drawn chip; by default it is nominal.
        columns_per_adc : int, optional
            Columns that share a converter; by default as the chip says.
        """
        model, chip = calibration.converter, calibration.chip
        if model is None or model.hand_over is None:
            return engine
        shared = columns_per_adc or chip.adc.columns
        if chip.sense_amplifier.kind != "tia":  # others are sampled with nothing across their cells
            return cls(engine, model.hand_over, calibration.mismatch, seed, shared)
        loads = partial(CellLoads.of, cell=calibration.cell, chip=chip)
        return cls(engine, model.hand_over, calibration.mismatch, seed, shared, loads)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the engine beneath, and what tiles wanted more time for sampling."""
        if not self._short:
            return self._engine.notes
        model, name = self._model, max(self._short, key=lambda name: self._short[name])
        wanted = self._short[name]
        more = f"{format_si(wanted, 's', 3)}" if wanted < model.watched else f"more than {format_si(wanted, 's', 3)}"
        remedy = f"set sar_adc.sample = {more}" if wanted < model.watched else "take a smaller feedback resistance"
        return (
            *self._engine.notes,
            f"converters sample for {format_si(model.sample, 's', 3)}, and outputs of {len(self._short)} tiles need "
            f"up to {more} ({name}) until no array is a quarter of a step away, whatever it held before; codes are "
            f"those of arrays that held the reference; {remedy}",
        )

    def prepare(self, tile: Tile) -> PreparedTile:
        """Prepare a tile beneath, and what its converters receive, unless ideal ones read it."""
        under = self._engine.prepare(tile)
        adc = under.adc
        if not isinstance(adc, ConverterRange):
            return under
        loads = self._loads(tile)
        needed = float(np.max(self._model.needed_for(tile.r_feedback, loads.columns)))
        if needed > self._model.sample:
            with self._lock:
                self._short[tile.name] = needed
        curves = HandOverCurves.beside([self._curves(tile, factor * loads.columns) for factor in loads.nodes])
        if curves.largest < NOTHING * adc.lsb:
            return under
        return HandOverTile(tile=tile, under=under, loads=loads, curves=curves)

    def _curves(self, tile: Tile, g: Floats) -> HandOverCurves:
        """Return what arrays receive of columns of such conductances (columns,) [S]."""
        more = None
        if self._differ is not None and self._seed is not None:
            numbers = self._differ.draw(ChipDraw(self._seed, tile.place), np.arange(len(g)) // self._shared)
            more = self._differ.errors(numbers, self._model.even, tile.r_feedback, g, len(tile.g))
        return self._model.curves(tile.r_feedback, g, len(tile.g), more, tile.polarity)
