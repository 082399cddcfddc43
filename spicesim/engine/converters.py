"""Column converters of a drawn chip around any engine: each tile's have offsets and weights of their own."""

from dataclasses import dataclass

import numpy as np

from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.calibration import Calibration
from spicesim.draws import ChipDraw
from spicesim.engine.protocol import Engine, PreparedTile, Tile, TileAround

__all__ = ["ConvertedTile", "ConverterEngine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvertedTile(TileAround):
    """A tile that is read by converters of its own."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    converters: ConverterRange
    """The converters."""

    @property
    def adc(self) -> ConverterRange:
        """The tile's own converters."""
        return self.converters


class ConverterEngine(Engine):
    """An engine whose tiles are read by the converters of a drawn chip, those of a tile by its name.

    Parameters
    ----------
    engine : Engine
        What multiplies.
    calibration : Calibration
        Of the chip.
    seed : int
        Of the chip.
    columns_per_adc : int, optional
        Columns that share a converter; by default as many as the chip's multiplexers have.

    Raises
    ------
    CalibrationError
        If the mismatch of its converters was not calibrated.
    """

    def __init__(
        self, engine: Engine, calibration: Calibration, *, seed: int, columns_per_adc: int | None = None
    ) -> None:
        self.name = engine.name
        self._engine, self._calibration, self._seed = engine, calibration, seed
        self._shared = columns_per_adc or calibration.chip.adc.columns

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the engine beneath."""
        return self._engine.notes

    def prepare(self, tile: Tile) -> PreparedTile:
        """Prepare a tile beneath, and draw its converters, unless it is read by ideal ones."""
        under, model = self._engine.prepare(tile), self._calibration.converter
        if not isinstance(tile.adc, ConverterRange) or model is None:
            return under
        which = np.arange(tile.g.shape[1]) // self._shared
        drawn = model.over(tile.adc.span).on_chip(
            self._calibration.require_mismatch(), self._calibration.chip, tile.polarity, which,
            ChipDraw(self._seed, tile.place),
        )  # fmt: skip
        return ConvertedTile(tile=tile, under=under, converters=drawn)
