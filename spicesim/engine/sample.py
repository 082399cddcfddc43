"""A product that was done, kept so that it can be done again at transistor level."""

from dataclasses import dataclass
from typing import Self

from spicesim.arrays import Codes, Floats
from spicesim.coding import AdcRange
from spicesim.engine.protocol import PreparedTile, Tile
from spicesim.errors import SpecError

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
    received: Floats
    """What the converters have of them as they begin to convert, (columns,) [V]."""

    @classmethod
    def of(cls, ready: PreparedTile, codes: Codes, volts: Floats, *, layer: str) -> Self:
        """Return one product of a tile.

        Parameters
        ----------
        ready : PreparedTile
            The tile.
        codes, volts : ndarray of shape (rows,) and (columns,)
            What was driven, and what it made of that [V].
        layer : str
            Name of the layer.

        Raises
        ------
        SpecError
            If the tile does not know its converters.
        """
        if (adc := ready.adc) is None:
            raise SpecError(
                f"tile {ready.tile.name!r} knows no converters, so that its products have no codes; give adc"
            )
        (received,) = ready.received(codes[None], volts[None])
        return cls(layer=layer, tile=ready.tile, adc=adc, codes=codes.copy(), volts=volts.copy(), received=received)
