"""A mixture of experts too large to run: one of its blocks scheduled by chance, all else by counting.

Products are those of a network that ran: time and energy of one on a full tile, and the columns of an output. Routers
choose evenly and at random. Digital units and memory channels are as many by stack as described for the network that
ran, and share each layer's work evenly. Attention reads keys and values of the whole context from the memory before the
projection; its arithmetic, embeddings, the head, buses and control are not counted. A stack takes the area of its
arrays or of what is below them, whichever is larger.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from spicesim.chip.section import Section
from spicesim.errors import SpecError
from spicesim.experiment.footprint import Footprint
from spicesim.files.documents import validate
from spicesim.network import Network
from spicesim.schedule.placement import place
from spicesim.schedule.routing import Routing
from spicesim.schedule.simulation import simulate
from spicesim.schedule.stack import Stacks, read_table
from spicesim.schedule.study import divisors
from spicesim.schedule.work import INPUT_BYTES, OUTPUT_BYTES, WorkLayer, Workload

__all__ = ["Extrapolated", "Scale", "TileCost", "extrapolate", "find_tile_cost", "load_scale"]

Size = Annotated[int, Field(ge=1, le=10**6)]
TOKENS = 4
"""Tokens of the schedule of a block."""
MOST_TILES = 10**5
"""Tiles of a token's block at most: more are not scheduled in a minute."""


class Scale(Section):
    """A language model whose blocks are attention and a mixture of experts."""

    blocks: Size = 46
    """Blocks."""
    width: Size = 4096
    """Numbers of a token's state."""
    hidden: Size = 4096
    """Numbers between the two layers of an expert."""
    experts: Size = 64
    """Experts of a block."""
    chosen: Size = 2
    """Experts that a token takes."""
    kv_width: Size = 512
    """Numbers of a key, and of a value: grouped heads share them."""
    context: Size = 4096
    """Tokens whose keys and values attention reads."""

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each product of a block outside its experts."""
        return {
            "qkv": (self.width, self.width + 2 * self.kv_width),
            "project": (self.width, self.width),
            "router": (self.width, self.experts),
        }

    @property
    def weights(self) -> int:
        """Weights on tiles."""
        dense = sum(inputs * outputs for inputs, outputs in self.matrices.values())
        return self.blocks * (dense + 2 * self.experts * self.width * self.hidden)


def load_scale(path: str | Path) -> Scale:
    """Read a TOML file with one table, [scale].

    Raises
    ------
    SpecError
        If the file is not there, is no TOML, has no such table, or does not describe a possible model.
    """
    return validate(Scale, read_table(path, "scale"), f"{path}, [scale]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCost:
    """A full tile of a network that ran."""

    rows: int
    """Inputs."""
    outputs: int
    """Outputs."""
    columns: int
    """Converted columns."""
    pulses: float
    """Products in which an input vector is driven."""
    t_product: float
    """Time of a product [s]."""
    e_product: float
    """Energy of a product [J]."""
    area_array: float
    """Of the cells [m^2]."""
    area_below: float
    """Of drivers, amplifiers and converters [m^2]."""
    tiles: int
    """Tiles of that network, for which digital units and memory channels are described."""


def find_tile_cost(network: Network, footprint: Footprint) -> TileCost:
    """Return what the fullest tiles of a network take."""

    def fullness(number: int) -> float:
        return float(np.mean([mapped.g.size for mapped in network.layers[number].mapped]))

    most = max(range(len(network.layers)), key=fullness)
    layer, taken = network.layers[most], footprint.layers[most]
    array = network.calibration.chip.array
    columns = sum(mapped.g.shape[1] for mapped in layer.mapped)
    splits = sum(mapped.rows.start == 0 for mapped in layer.mapped) / len(layer.mapped)
    area = {block: value / max(one.tiles, 1) for one in footprint.layers for block, value in one.area.items() if value}
    return TileCost(
        rows=array.rows, outputs=max(1, int(array.columns * layer.node.outputs / (columns * splits))),
        columns=array.columns, pulses=taken.vectors / (taken.macs / layer.node.weights.size),
        t_product=taken.t_product, e_product=taken.total_energy / taken.products, area_array=area["array"],
        area_below=sum(value for block, value in area.items() if block != "array"),
        tiles=sum(one.own_tiles for one in network.layers),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolated:
    """What such a model takes with stacks of one height."""

    scale: Scale
    """The model."""
    tiers: int
    """Arrays of a stack of experts."""
    tiles: int
    """Arrays."""
    stacks: int
    """Stacks."""
    area: float
    """Of all stacks [m^2]."""
    products: float
    """Products of a vector with a tile, a token."""
    energy: dict[str, float]
    """Of a token, by what takes it [J]."""
    latency: float
    """Of a token, mean [s]."""
    interval: float
    """Between tokens, if each block has one: the mean latency of a block [s]."""
    bytes: float
    """To and from the memory, a token."""
    conflicts: float
    """Share of (token, block) of which two chosen experts share their stacks."""

    def document(self) -> dict[str, Any]:
        """Return its numbers as plain data, ready for JSON; SI units."""
        names = ("tiers", "tiles", "stacks", "area", "products", "energy", "latency", "interval", "bytes", "conflicts")
        return {name: getattr(self, name) for name in names}


def extrapolate(scale: Scale, cost: TileCost, stacks: Stacks, *, seed: int = 0) -> list[Extrapolated]:
    """Tell what a model takes, for all heights of stacks that divide its experts; the module says how.

    Raises
    ------
    SpecError
        If more experts are chosen than there are, or a block has too many products to be scheduled.
    """
    if scale.chosen > scale.experts:
        raise SpecError(f"{scale.chosen} of {scale.experts} experts cannot be chosen; lower chosen")
    generator = np.random.default_rng(seed)
    chosen = generator.permuted(np.tile(np.arange(scale.experts), (TOKENS, 1, 1)), axis=2)[..., : scale.chosen]
    routing = Routing(choices=chosen, experts=scale.experts)
    layers = _layers(scale, cost)
    busy = sum(len(one.tiles) for one in layers if one.expert is None or one.expert[1] < scale.chosen)
    if busy > MOST_TILES:
        raise SpecError(f"a token does {busy:,} products in a block, scheduled are at most {MOST_TILES:,}; lower width")
    found = []
    for tiers in divisors(scale.experts):
        work = Workload(layers=layers, tokens=TOKENS, routing=routing)
        placement = place(work, tiers)
        share = placement.count / cost.tiles
        own = stacks.changed(
            tiers=tiers, in_flight=1, converters=None, digital_units=1, memory_channels=1,
            digital_rate=min(stacks.digital_rate * stacks.digital_units * share, 1e30),
            memory_rate=min(stacks.memory_rate * stacks.memory_channels * share, 1e30),
        )  # fmt: skip
        alone = simulate(work, placement, own)
        found.append(
            Extrapolated(
                scale=scale, tiers=tiers, tiles=scale.blocks * work.tiles, stacks=scale.blocks * placement.count,
                area=scale.blocks * _area(work, placement.count, tiers, cost),
                products=scale.blocks * alone.products / TOKENS,
                energy={name: scale.blocks * joules / TOKENS for name, joules in alone.energy.items()},
                latency=scale.blocks * alone.latency, interval=alone.latency,
                bytes=scale.blocks * alone.bytes / TOKENS, conflicts=alone.conflicts,
            )
        )  # fmt: skip
    return found


def _area(work: Workload, count: int, tiers: int, cost: TileCost) -> float:
    """Return the area of a block [m^2]."""
    tall = sum(len(layer.tiles) for layer in work.layers if layer.expert is not None) // tiers
    return count * max(cost.area_array, cost.area_below) if tall else count * (cost.area_array + cost.area_below)


def _layers(scale: Scale, cost: TileCost) -> tuple[WorkLayer, ...]:
    """Return the layers of a block."""
    layers: list[WorkLayer] = []
    first = 0

    def add(name: str, shape: tuple[int, int], after: frozenset[int], expert: int | None = None) -> None:
        nonlocal first
        inputs, outputs = shape
        tiles = math.ceil(inputs / cost.rows) * math.ceil(outputs / cost.outputs)
        read = 2 * scale.kv_width * scale.context * INPUT_BYTES if name == "project" else 0
        layers.append(
            WorkLayer(
                name=name, tiles=tuple(range(first, first + tiles)), vectors=cost.pulses, t_product=cost.t_product,
                e_product=cost.e_product, operations=tiles * cost.columns * cost.pulses,
                bytes=INPUT_BYTES * inputs + OUTPUT_BYTES * outputs + read, after=after,
                expert=None if expert is None else (0, expert),
            )
        )  # fmt: skip
        first += tiles

    for name, shape in scale.matrices.items():
        add(name, shape, frozenset({len(layers) - 1} if layers else ()))
    router = len(layers) - 1
    for expert in range(scale.experts):
        add("up", (scale.width, scale.hidden), frozenset({router}), expert)
        add("down", (scale.hidden, scale.width), frozenset({len(layers) - 1}), expert)
    return tuple(layers)
