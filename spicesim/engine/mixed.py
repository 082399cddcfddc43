"""Several engines in one run: each tile on the one chosen for it."""

from collections.abc import Mapping

from spicesim.engine.protocol import Engine, PreparedTile, Tile

__all__ = ["MixedEngine"]


class MixedEngine(Engine):
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

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of all engines."""
        engines = dict.fromkeys([self._engine, *self._chosen.values()])
        return tuple(dict.fromkeys(note for engine in engines for note in engine.notes))

    def prepare(self, tile: Tile) -> PreparedTile:
        """Prepare a tile on its engine."""
        return self._chosen.get(tile.name, self._engine).prepare(tile)
