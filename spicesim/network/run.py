"""A batch run: through the steps of a compiled network, its products on tiles that an engine has prepared."""

import numpy as np
from tqdm import tqdm

from spicesim.arrays import Array
from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import SampledMvm
from spicesim.network.layer import AnalogLayer
from spicesim.network.node import AnalogNode
from spicesim.network.prepared import PreparedNetwork
from spicesim.network.result import LayerMeter, Result, RunStats
from spicesim.network.samples import Reservoir, sample_products
from spicesim.network.segments import Segment
from spicesim.network.workers import start_workers

__all__ = ["run_batch"]


def run_batch(
    prepared: PreparedNetwork, arrays: dict[str, Array], *, sample: int, by_layer: bool, seed: int, chunk: int | None,
    progress: bool,
) -> Result:  # fmt: skip
    """Run a batch, checked, through a prepared network; parameters as :meth:`spicesim.network.Network.run` has them."""
    compiled, ranges = prepared.compiled, prepared.ranges
    layers = compiled.layers
    numbers = np.cumsum([0, *map(len, prepared.tiles)])
    meters = [LayerMeter() for _ in layers]
    gains = prepared.gains or (None,) * len(layers)
    each = max(1, sample // len(layers)) if by_layer and layers else sample
    reservoirs = [Reservoir[SampledMvm](each, seed) for _ in (layers if by_layer else range(1))]
    outputs: dict[str, list[Array]] = {name: [] for name in compiled.output_names}
    axes = dict[str, int]()
    places = {layer.node: k for k, layer in enumerate(layers)}

    def multiply(node: AnalogNode, x: Array) -> Array:
        k = places[node]
        reservoir = reservoirs[k if by_layer else 0]
        observe = sample_products(reservoir, node.name, prepared.tiles[k], ranges[k].adc, int(numbers[k]))
        return layers[k].run(x, ranges[k], prepared.tiles[k], meters[k], observe, gains[k], workers=workers)

    total, disable = compiled.axes.length(arrays), None if progress else True
    with (
        one_blas_thread(),
        start_workers() as workers,
        tqdm(total=total, unit="input", disable=disable, delay=1.0) as bar,
    ):
        for values in compiled.chunks(arrays, chunk):
            size = compiled.axes.length(values)
            for step in compiled.steps:
                if isinstance(step, Segment):
                    step.run(values)
                else:
                    step.run(values, multiply)
            for name, parts in outputs.items():
                axes[name] = compiled.axes.find(name, values[name], size)
                parts.append(values[name])
            bar.update(size)
    stats = map(AnalogLayer.stats, layers, ranges, meters, gains)
    return Result(
        engine=prepared.engine.name,
        outputs={name: _join(parts, axes[name]) for name, parts in outputs.items()},
        axes=axes,
        scores=compiled.scores,
        answers=compiled.answers,
        stats=RunStats(layers=tuple(stats), images=total, notes=prepared.engine.notes),
        samples=tuple(item for reservoir in reservoirs for item in reservoir.items()),
    )


def _join(parts: list[Array], axis: int) -> Array:
    """Join the outputs of chunks; texts become arrays of text, which hold no objects."""
    joined = np.concatenate(parts, axis)
    return joined.astype(str) if joined.dtype.kind == "O" else joined
