"""A network prepared: its tiles as an engine has made them ready, several at a time, and the settings it runs by."""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import Engine, PreparedTile, Tile
from spicesim.network.compiled import CompiledNetwork
from spicesim.network.ranges import LayerRanges
from spicesim.network.tuning import AllGains
from spicesim.network.workers import start_workers

__all__ = ["PreparedNetwork", "prepare_tiles"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedNetwork:
    """A compiled network whose tiles an engine has prepared: what a batch runs through."""

    compiled: CompiledNetwork
    """Its layers and segments."""
    engine: Engine
    """What multiplies."""
    tiles: Sequence[tuple[PreparedTile, ...]]
    """What the engine made of every layer's tiles."""
    ranges: Sequence[LayerRanges]
    """Settings of every layer's converters and amplifiers."""
    gains: AllGains | None
    """Digital corrections of every layer's tiles, if there are any."""


def prepare_tiles(
    engine: Engine, tiles: Sequence[Sequence[Tile]], *, jobs: int | None = None, progress: bool = False
) -> list[tuple[PreparedTile, ...]]:
    """Prepare the tiles of every layer.

    Parameters
    ----------
    engine : Engine
        What shall multiply; its ``prepare`` is called from several threads.
    tiles : sequence of sequences of Tile
        Tiles, layer by layer.
    jobs : int, optional
        Tiles at a time; by default one a processor. A tile's work space is the only memory beyond the results.
    progress : bool
        Show progress on standard error, if the work takes over a second.

    Returns
    -------
    list of tuple
        What the engine made of them, layer by layer.
    """
    flat = [tile for layer in tiles for tile in layer]
    disable = None if progress else True
    with (
        one_blas_thread(),
        start_workers(jobs) as pool,
        tqdm(total=len(flat), unit="tile", desc="preparing", disable=disable, delay=1.0) as bar,
    ):
        found = []
        for ready in pool.map(engine.prepare, flat):
            found.append(ready)
            bar.update()
    rest = iter(found)
    return [tuple(next(rest) for _ in layer) for layer in tiles]
