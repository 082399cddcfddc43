"""Tiles without circuits: real converters around an ideal dot product."""

from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.chip import Chip
from spicesim.coding import dac_voltages
from spicesim.engine.protocol import Tile

__all__ = ["IdealEngine"]


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
