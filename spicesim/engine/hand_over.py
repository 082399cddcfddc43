"""The hand-over from amplifiers to converters around any engine, and what is told of one that is too short."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.behavioural.sar import SarRange
from spicesim.calibration.calibration import Calibration
from spicesim.draws import ChipDraw
from spicesim.engine.protocol import Engine, PreparedTile, Tile, TileAround
from spicesim.units import format_si

__all__ = ["HandOverEngine", "HandOverTile"]

NOTHING = 0.02
"""Part of a step of the converter that an array may lack without being asked for it, output by output."""
DRIVE = np.sqrt(0.5)
"""Of inputs over their span, RMS, at which an amplifier sees its cells: between .58 of uniform inputs and 1 of those at
the rails. At .2 V cells of kappa 1 conduct 1.8 % more of small changes than as they are read at .1 V."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandOverTile(TileAround):
    """A tile whose converters sample its amplifiers' outputs for a short time."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    converters: SarRange
    """The converters, with what their arrays receive of each column."""

    @property
    def adc(self) -> SarRange:
        """The tile's converters."""
        return self.converters


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
    cells : callable, optional
        Gives what cells of a tile conduct of small changes of their bit lines, of what they conduct as they are read
        [S]; by default the same.
    """

    def __init__(
        self,
        engine: Engine,
        model: HandOverModel,
        mismatch: MismatchModel | None = None,
        seed: int | None = None,
        columns_per_adc: int = 1,
        cells: Callable[[Floats], Floats] = np.asarray,
    ) -> None:
        self.name = engine.name
        self._engine, self._model, self._seed, self._shared = engine, model, seed, columns_per_adc
        self._differ = None if mismatch is None or seed is None else mismatch.hand_over
        self._cells = cells
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
        cells: Callable[[Floats], Floats] = np.asarray
        if chip.sense_amplifier.kind == "tia":  # others are sampled with nothing across their cells
            cells = partial(calibration.cell.small_signal, drive=DRIVE * chip.dac.v_span)
        return cls(engine, model.hand_over, calibration.mismatch, seed, shared, cells)

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
        if not isinstance(adc, SarRange):
            return under
        g = self._cells(tile.g).sum(axis=0)
        needed = float(np.max(self._model.needed_for(tile.r_feedback, g)))
        if needed > self._model.sample:
            with self._lock:
                self._short[tile.name] = needed
        more = None
        if self._differ is not None and self._seed is not None:
            numbers = self._differ.draw(ChipDraw(self._seed, tile.place), np.arange(len(g)) // self._shared)
            more = self._differ.errors(numbers, self._model.even, tile.r_feedback, g, len(tile.g))
        curves = self._model.curves(tile.r_feedback, g, len(tile.g), more, tile.polarity)
        if curves.largest < NOTHING * adc.lsb:
            return under
        converters = replace(adc, hand_over=curves)
        return HandOverTile(tile=tile, under=under, converters=converters)
