"""What drives each analog layer on typical inputs: vectors to fit settings on, drawn at random."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.network.layer import AnalogLayer
from spicesim.network.node import AnalogNode

__all__ = ["Activations", "collect_activations"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activations:
    """Inputs of one layer."""

    vectors: Floats
    """A random sample, (batch, rows)."""
    limits: tuple[float, float]
    """Smallest and largest number among all inputs."""


def collect_activations(
    layers: Sequence[AnalogLayer],
    chunks: Iterable[tuple[int, Mapping[AnalogNode, Array]]],
    total: int,
    count: int,
    *,
    seed: int = 0,
) -> list[Activations]:
    """Collect about `count` vectors a layer.

    Parameters
    ----------
    layers : sequence of AnalogLayer
        The layers.
    chunks : iterable of (int, mapping of AnalogNode to ndarray)
        Chunks of inputs: how many, and the values that drive the layers, by node.
    total : int
        Inputs in all chunks.
    count : int
        Vectors to keep a layer, about; all if there are fewer.
    seed : int
        Of the draw.
    """
    kept: list[list[Floats]] = [[] for _ in layers]
    limits = [(np.inf, -np.inf) for _ in layers]
    generator = np.random.default_rng(seed)
    for size, values in chunks:
        for k, layer in enumerate(layers):
            value = values[layer.node]
            low, high = limits[k]
            limits[k] = min(low, float(value.min())), max(high, float(value.max()))
            for vectors in layer.vectors(value):
                share = count / (layer.count(value) * total / size)
                picked = generator.random(len(vectors)) < share
                picked[0] |= not kept[k]  # a fit needs one vector at least
                kept[k].append(vectors[picked])
    return [
        Activations(vectors=np.concatenate(vectors), limits=limit) for vectors, limit in zip(kept, limits, strict=True)
    ]
