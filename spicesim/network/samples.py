"""A uniform random sample of the products that tiles do, for an audit."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.engine import PreparedTile, SampledMvm
from spicesim.network.layer import Observer

__all__ = ["Reservoir", "sample_products"]

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Keep `size` items of several streams, each item with the same chance, none twice.

    Every item draws a random key, and those with the smallest keys stay. Each stream has a generator of its
    own, so the sample does not depend on how streams are cut into blocks or interleaved.

    Parameters
    ----------
    size : int
        Number of items to keep; all, if there are fewer.
    seed : int
        Seed; the same seed keeps the same items.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._kept: list[tuple[float, int, int, T]] = []
        self._streams: dict[int, tuple[np.random.Generator, int]] = {}

    def offer(self, stream: int, count: int, make: Callable[[int], T]) -> None:
        """Offer the next `count` items of a stream; ``make(k)`` makes the k-th of them if it is kept."""
        if self._size == 0:
            return
        generator, start = self._streams.get(stream) or (np.random.default_rng([self._seed, stream]), 0)
        self._streams[stream] = generator, start + count
        keys = generator.random(count)
        threshold = self._kept[-1][0] if len(self._kept) == self._size else np.inf
        below = np.flatnonzero(keys < threshold)
        for k in below[np.argsort(keys[below], kind="stable")[: self._size]]:
            self._kept.append((float(keys[k]), stream, start + int(k), make(int(k))))
        self._kept.sort(key=lambda item: item[:3])
        del self._kept[self._size :]

    def items(self) -> tuple[T, ...]:
        """Return what was kept, stream by stream, in the order of arrival."""
        return tuple(item[3] for item in sorted(self._kept, key=lambda item: item[1:3]))


def sample_products(
    reservoir: Reservoir[SampledMvm], layer: str, tiles: Sequence[PreparedTile], number: int
) -> Observer:
    """Return a function that offers a layer's products, of tiles counted from `number`, to the reservoir."""

    def observe(k: int, codes: Codes, volts: Floats) -> None:
        def keep(i: int) -> SampledMvm:
            return SampledMvm.of(tiles[k], codes[i], volts[i], layer=layer)

        reservoir.offer(number + k, len(codes), keep)

    return observe
