"""Tiles without circuits: real converters around an ideal dot product."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.chip import Chip, Dac
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile

__all__ = ["IdealEngine", "IdealTile"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdealTile(PreparedTile):
    """Conductances and nothing else."""

    tile: Tile
    dac: Dac
    """Of the chip, for whole codes where it takes these."""
    ohm: Floats | None = None
    """Output a unit of current, (columns,) [ohm]; by default that of amplifiers, their feedback resistance."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        v = self.dac.volts(codes, self.tile.polarity)
        return np.asarray((self.tile.r_feedback if self.ohm is None else self.ohm) * (v @ self.tile.g))


class IdealEngine(Engine):
    """Ideal converters around an ideal dot product: no wires, no transistors, no rails."""

    name = "ideal"

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def prepare(self, tile: Tile) -> IdealTile:
        """Take the tile as it is."""
        return IdealTile(tile=tile, dac=self._chip.inputs, ohm=self._chip.transresistance(tile.g, tile.r_feedback))
