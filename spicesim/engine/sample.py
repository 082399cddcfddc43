"""A product that was done, kept so that it can be done again at transistor level."""

from dataclasses import dataclass

from spicesim.arrays import Codes, Floats
from spicesim.coding import AdcRange
from spicesim.engine.protocol import Tile

__all__ = ["SampledMvm"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledMvm:
    """One matrix-vector product that a tile did."""

    layer: str
    """Name of the layer."""
    tile: Tile
    """The tile."""
    adc: AdcRange
    """The range of its converters."""
    codes: Codes
    """DAC codes, (rows,)."""
    volts: Floats
    """Amplifier outputs below the reference, as the engine gave them, (columns,) [V]."""
