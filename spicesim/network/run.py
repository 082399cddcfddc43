"""A batch run: through the steps of a compiled network, its products on tiles that an engine has made ready.

Inputs go in groups, each through one step after the other: the tiles of a step are ready once for all of a group, and
are let go where there is no room to keep them. Neither groups nor room change a result.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from spicesim.arrays import Array
from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import SampledMvm
from spicesim.network.compiled import Step
from spicesim.network.layer import AnalogLayer
from spicesim.network.node import AnalogNode
from spicesim.network.prepared import PreparedNetwork, Ready, Room, preparing
from spicesim.network.result import LayerMeter, Result, RunStats
from spicesim.network.samples import Reservoir, sample_products
from spicesim.network.workers import start_workers

__all__ = ["run_batch"]

Values = dict[str, Array]
"""Values of the network by name, of a chunk of the batch."""


def run_batch(
    prepared: PreparedNetwork, arrays: Values, *, sample: int, by_layer: bool, seed: int, chunk: int | None,
    memory: int | None, progress: bool,
) -> Result:  # fmt: skip
    """Run a batch, checked, through a prepared network; parameters as :meth:`spicesim.network.Network.run` has them."""
    compiled, layers, room = prepared.compiled, prepared.compiled.layers, Room.of(memory)
    each, more = divmod(sample, len(layers)) if by_layer else (sample, 0)
    sizes = [max(1, each + (k < more)) for k in range(len(layers))] if by_layer else [each]
    reservoirs = [Reservoir[SampledMvm](size, seed) for size in sizes]
    outputs: dict[str, list[Array]] = {name: [] for name in compiled.output_names}
    axes = dict[str, int]()
    chunks, total = list(compiled.chunks(arrays, chunk)), compiled.axes.length(arrays)
    size = len(chunks) if len(chunks) == 1 else max(1, int(room.values // compiled.live_bytes(chunks[0])))
    groups = [chunks[start : start + size] for start in range(0, len(chunks), size)]
    tiles, shown = sum(len(layer.mapped) for layer in layers), None if progress else True
    with (
        one_blas_thread(),
        start_workers() as workers,
        preparing(prepared.stock.missing(range(len(layers))), progress) as ready_bar,
        tqdm(total=total * tiles, desc="running", disable=shown, delay=1.0, bar_format=_BAR) as bar,
    ):
        course = _Course(
            prepared=prepared, room=room, reservoirs=reservoirs, meters=[LayerMeter() for _ in layers],
            workers=workers, preparing=ready_bar, running=bar,
        )  # fmt: skip
        for group in groups:
            for values, inputs in zip(course.run(group), group, strict=True):
                for name, parts in outputs.items():
                    axes[name] = compiled.axes.find(name, values[name], compiled.axes.length(inputs))
                    parts.append(values[name])
    gains = prepared.gains or (None,) * len(layers)
    stats = map(AnalogLayer.stats, layers, prepared.ranges, course.meters, gains)
    return Result(
        engine=prepared.engine.name,
        outputs={name: _join(parts, axes[name]) for name, parts in outputs.items()},
        axes=axes,
        scores=compiled.scores,
        answers=compiled.answers,
        stats=RunStats(
            layers=tuple(stats), images=total, notes=prepared.engine.notes, preparation_seconds=course.waited
        ),
        samples=tuple(item for reservoir in reservoirs for item in reservoir.items()),
    )


def _join(parts: list[Array], axis: int) -> Array:
    """Join the outputs of chunks; texts become arrays of text, which hold no objects."""
    joined = np.concatenate(parts, axis)
    return joined.astype(str) if joined.dtype.kind == "O" else joined


_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"


@dataclass(slots=True, kw_only=True, eq=False)
class _Course:
    """Takes groups of inputs through the network."""

    prepared: PreparedNetwork
    room: Room
    reservoirs: list[Reservoir[SampledMvm]]
    meters: list[LayerMeter]
    workers: Executor
    preparing: tqdm
    running: tqdm
    waited: float = 0.0
    """Time in which tiles were made ready [s]."""
    places: dict[AnalogNode, int] = field(init=False)
    numbers: list[int] = field(init=False)

    def __post_init__(self) -> None:
        layers = self.prepared.compiled.layers
        self.places = {layer.node: k for k, layer in enumerate(layers)}
        self.numbers = np.cumsum([0, *(len(layer.mapped) for layer in layers)]).tolist()

    def run(self, group: list[Values]) -> list[Values]:
        """Take chunks through all steps; return what is left of their values, the outputs."""
        compiled = self.prepared.compiled
        sizes, group = [compiled.axes.length(values) for values in group], [dict(values) for values in group]
        for step, spent, ready in self._steps():
            tiles = sum(len(ready[self.places[node]]) for node in step.products)

            def multiply(node: AnalogNode, x: Array, ready: Ready = ready) -> Array:
                return self._multiply(node, x, ready)

            for values, size in zip(group, sizes, strict=True):
                step.run(values, multiply)
                for name in spent:
                    values.pop(name, None)
                self.running.update(size * tiles)
        return group

    def _steps(self) -> Iterator[tuple[Step, tuple[str, ...], Ready]]:
        """Yield each step, names of values that no later one takes, and its tiles among those that are ready."""
        compiled, stock = self.prepared.compiled, self.prepared.stock
        wanted = [[self.places[node] for node in step.products] for step in compiled.steps]
        first = 0
        while first < len(wanted):
            last, layers = first + 1, wanted[first]
            while last < len(wanted) and stock.fits([*layers, *wanted[last]], self.room):
                layers, last = [*layers, *wanted[last]], last + 1
            start = time.monotonic()
            ready = stock.ready(self.prepared.engine, layers, self.workers, self.room, self.preparing)
            self.waited += time.monotonic() - start
            for k in range(first, last):
                yield compiled.steps[k], compiled.spent[k], ready
            stock.let_go(ready)
            first = last

    def _multiply(self, node: AnalogNode, x: Array, ready: Ready) -> Array:
        k = self.places[node]
        layer, ranges, gains = self.prepared.compiled.layers[k], self.prepared.ranges[k], self.prepared.gains
        reservoir = self.reservoirs[k if len(self.reservoirs) > 1 else 0]
        observe = sample_products(reservoir, node.name, ready[k], self.numbers[k])
        self.meters[k].see(ready[k], self.prepared.stock.size(k))
        return layer.run(
            x, ranges, ready[k], self.meters[k], observe, None if gains is None else gains[k], workers=self.workers
        )
