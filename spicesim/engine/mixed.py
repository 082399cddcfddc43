"""Several engines in one run: each tile on the one chosen for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.engine.protocol import Engine, Tile

__all__ = ["MixedEngine", "PreparedMixed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedMixed:
    """A tile, and what it runs on."""

    tile: Tile
    """What was wanted."""
    engine: Engine
    """What multiplies."""
    ready: Any
    """What that engine prepared."""


class MixedEngine:
    """One engine for most tiles, others for some.

    Parameters
    ----------
    engine : Engine
        For every tile that is not chosen.
    chosen : mapping of str to Engine
        Engines by the name of a tile; see :meth:`spicesim.network.Network.select`.
    """

    def __init__(self, engine: Engine, chosen: Mapping[str, Engine]) -> None:
        self._engine, self._chosen = engine, dict(chosen)
        counts: dict[str, int] = {}
        for other in self._chosen.values():
            counts[other.name] = counts.get(other.name, 0) + 1
        self.name = ", ".join([engine.name, *(f"{name} for {n} of the tiles" for name, n in counts.items())])

    def prepare(self, tile: Tile) -> PreparedMixed:
        """Prepare a tile on its engine; see :meth:`spicesim.engine.Engine.prepare`."""
        engine = self._chosen.get(tile.name, self._engine)
        return PreparedMixed(tile=tile, engine=engine, ready=engine.prepare(tile))

    def mvm(self, prepared: PreparedMixed, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`spicesim.engine.Engine.mvm`."""
        return prepared.engine.mvm(prepared.ready, codes)
