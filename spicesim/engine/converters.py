"""Column converters of a drawn chip around any engine: each tile's have offsets and weights of their own."""

from dataclasses import dataclass, replace

import numpy as np

from spicesim.behavioural.sar import SarRange
from spicesim.calibration.calibration import Calibration
from spicesim.engine.protocol import Engine, PreparedTile, Tile, TileAround

__all__ = ["ConvertedTile", "ConverterEngine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvertedTile(TileAround):
    """A tile that is read by converters of its own."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    converters: SarRange
    """The converters."""

    @property
    def adc(self) -> SarRange:
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
    columns_per_adc : int
        Columns that share a converter.

    Raises
    ------
    CalibrationError
        If the mismatch of its converters was not calibrated.
    """

    def __init__(self, engine: Engine, calibration: Calibration, *, seed: int, columns_per_adc: int = 1) -> None:
        self.name = engine.name
        self._engine, self._calibration, self._seed, self._shared = engine, calibration, seed, columns_per_adc

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the engine beneath."""
        return self._engine.notes

    def prepare(self, tile: Tile) -> PreparedTile:
        """Prepare a tile beneath, and draw its converters, unless it is read by ideal ones."""
        under, sizes, model = self._engine.prepare(tile), self._calibration.chip.converter, self._calibration.converter
        if not isinstance(tile.adc, SarRange) or sizes is None or model is None:
            return under
        which = np.arange(tile.g.shape[1]) // self._shared
        offsets, errors = self._calibration.require_mismatch().draw_converters(
            sizes.dac, int(which[-1]) + 1, seed=self._seed, name=tile.place
        )
        converters = model.drawn(tile.polarity, offsets, errors, which)
        if isinstance(under.adc, SarRange):
            converters = replace(converters, hand_over=under.adc.hand_over)
        return ConvertedTile(tile=tile, under=under, converters=converters)
