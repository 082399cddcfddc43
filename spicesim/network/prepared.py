"""Tiles as an engine makes them ready: several at a time, kept while there is room, made anew where there is none."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import Engine, PreparedTile, Tile
from spicesim.memory import Census, free_memory
from spicesim.network.compiled import CompiledNetwork
from spicesim.network.ranges import LayerRanges
from spicesim.network.tuning import AllGains
from spicesim.network.workers import start_workers

__all__ = ["PreparedNetwork", "Ready", "Room", "TileStock", "preparing"]

Ready = Mapping[int, tuple[PreparedTile, ...]]
"""Tiles that are ready, by the number of their layer."""

FIRST_TILES = 8
"""Tiles that are made ready before anything is known of the memory they take."""
MARGIN = 1.25
"""Memory that tiles are expected to take, over the mean of those before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much memory a run may take, and for what [byte]."""

    tiles: int
    """Tiles that are kept."""
    passing: int
    """Tiles that are made ready and let go."""
    values: int
    """What passes between layers."""

    @classmethod
    def of(cls, memory: int | None) -> "Room":
        """Share out so many bytes, by default half of what is free."""
        memory = free_memory() // 2 if memory is None else memory
        return cls(tiles=memory // 2, passing=memory // 4, values=memory // 4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedNetwork:
    """A compiled network with an engine and the tiles that it makes ready: what a batch runs through."""

    compiled: CompiledNetwork
    """Its layers and segments."""
    engine: Engine
    """What multiplies."""
    stock: "TileStock"
    """What the engine made of every layer's tiles, as far as they are kept."""
    ranges: Sequence[LayerRanges]
    """Settings of every layer's converters and amplifiers."""
    gains: AllGains | None
    """Digital corrections of every layer's tiles, if there are any."""


class TileStock:
    """The tiles of a network as one engine makes them ready.

    A tile that is let go and made ready again goes on where it was: its noise is that of a tile that was kept.

    Parameters
    ----------
    engine : Engine
        The engine, which the stock does not keep alive; its ``prepare`` is called from several threads.
    tiles : sequence of sequences of Tile
        Tiles, layer by layer.

    Attributes
    ----------
    held : int
        Memory of the tiles that are kept [byte].
    """

    def __init__(self, engine: Engine, tiles: Sequence[Sequence[Tile]]) -> None:
        self._tiles = tiles
        self._kept: dict[int, tuple[PreparedTile, ...]] = {}
        self._sizes: dict[int, int] = {}
        self._histories: dict[int, tuple[Any, ...]] = {}
        self._census = Census(engine)
        self.held = 0

    def __len__(self) -> int:
        return len(self._tiles)

    def size(self, layer: int) -> int:
        """Return what the tiles of a layer that was made ready take [byte]."""
        return self._sizes[layer]

    def missing(self, layers: Sequence[int]) -> int:
        """Return the number of tiles of some layers that are not kept."""
        return sum(len(self._tiles[k]) for k in layers if k not in self._kept)

    def fits(self, layers: Sequence[int], room: Room) -> bool:
        """Return whether the tiles of some layers are expected to be ready at once within the room."""
        wanted = [k for k in layers if k not in self._kept]
        counts = sum(len(self._tiles[k]) for k in self._sizes)
        if not counts:
            return self.missing(wanted) <= FIRST_TILES
        mean = MARGIN * sum(self._sizes.values()) / counts
        total = sum(self._sizes.get(k, mean * len(self._tiles[k])) for k in wanted)
        return total <= room.passing + max(0, room.tiles - self.held)

    def ready(self, engine: Engine, layers: Sequence[int], workers: Executor, room: Room | None, bar: tqdm) -> Ready:
        """Return tiles of some layers, ready; kept from then on where there is room, which None is without end."""
        missing = [k for k in layers if k not in self._kept]

        def begin(tile: Tile) -> Future[PreparedTile]:
            future = workers.submit(engine.prepare, tile)
            future.add_done_callback(lambda _: bar.update())
            return future

        begun = {k: [begin(tile) for tile in self._tiles[k]] for k in missing}
        found = {k: self._kept[k] for k in layers if k in self._kept}
        for k, futures in begun.items():
            tiles = [future.result() for future in futures]
            for tile, history in zip(tiles, self._histories.pop(k, ()), strict=False):
                tile.resume(history)
            found[k] = tuple(tiles)
            self._sizes[k], is_kept = self._census.count(tiles, math.inf if room is None else room.tiles - self.held)
            if is_kept:
                self._kept[k] = found[k]
                self.held += self._sizes[k]
        return found

    def let_go(self, ready: Ready) -> None:
        """Remember what tiles that are not kept have seen."""
        for k, tiles in ready.items():
            if k not in self._kept:
                self._histories[k] = tuple(tile.history for tile in tiles)

    def each(
        self, engine: Engine, *, room: Room | None, jobs: int | None = None, progress: bool = False
    ) -> Iterator[tuple[PreparedTile, ...]]:
        """Yield the tiles of every layer, ready, as many layers at a time as there is room for.

        Parameters
        ----------
        engine : Engine
            The engine.
        room : Room or None
            The room; None is without end.
        jobs : int, optional
            Tiles at a time; by default one a processor. A tile's work space is the only memory beyond the results.
        progress : bool
            Show progress on standard error, if the work takes over a second.
        """
        first, total = 0, self.missing(range(len(self)))
        with one_blas_thread(), start_workers(jobs) as workers, preparing(total, progress) as bar:
            while first < len(self):
                last = first + 1
                while last < len(self) and (room is None or self.fits(range(first, last + 1), room)):
                    last += 1
                found = self.ready(engine, range(first, last), workers, room, bar)
                for k in range(first, last):
                    yield found[k]
                self.let_go(found)
                first = last


def preparing(total: int, progress: bool) -> tqdm:
    """Return the bar that counts tiles made ready."""
    return tqdm(total=total, unit="tile", desc="preparing", disable=None if progress else True, delay=1.0)
