"""What is to be done: the products of every layer for a token, their order, and what each takes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from spicesim.arrays import Integers
from spicesim.errors import SpecError
from spicesim.experiment.footprint import Footprint
from spicesim.network import Network
from spicesim.schedule.dependencies import Dependencies
from spicesim.schedule.routing import Experts, Routing

__all__ = ["WorkLayer", "Workload", "gather_work"]

INPUT_BYTES, OUTPUT_BYTES = 1, 2
"""Memory of an input code and of an output before the next layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLayer:
    """What a layer does for one token, or one input of a network without tokens."""

    name: str
    """Name of the layer."""
    tiles: tuple[int, ...]
    """Numbers of its tiles; all of them multiply the same vectors, at a time if they can."""
    vectors: float
    """Vectors, one after the other, each a product of every tile."""
    t_product: float
    """Time of a product, conversions included [s]."""
    e_product: float
    """Energy of a product of one tile, the mean of the layer's [J]."""
    operations: float = 0.0
    """Digital operations on what its products gave."""
    bytes: float = 0.0
    """To and from the memory."""
    after: frozenset[int] = frozenset()
    """Numbers of the layers whose outputs it takes."""
    expert: tuple[int, int] | None = None
    """Block and number of the expert that it is of."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network's layers for a token, in an order in which they can be executed, and the tokens.

    Raises
    ------
    SpecError
        If a layer takes outputs of a later one, or there are negative numbers.
    """

    layers: tuple[WorkLayer, ...]
    """The layers."""
    tokens: int
    """Tokens, or inputs."""
    routing: Routing | None = None
    """What each token chose, of networks with experts."""

    def __post_init__(self) -> None:
        for number, layer in enumerate(self.layers):
            if any(not 0 <= other < number for other in layer.after):
                raise SpecError(f"layer {layer.name!r} waits for layers that are not before it: {sorted(layer.after)}")
            if min(layer.vectors, layer.t_product, layer.e_product, layer.operations, layer.bytes) < 0:
                raise SpecError(f"layer {layer.name!r} has less than no work: {layer}")
        experts = any(layer.expert is not None for layer in self.layers)
        if experts != (self.routing is not None):
            raise SpecError("a network with experts, and none else, wants what its routers chose")
        if self.tokens < 0 or (self.routing is not None and len(self.routing) != self.tokens):
            raise SpecError(f"{self.tokens} tokens, but choices of {len(self.routing or ())}")

    @cached_property
    def tiles(self) -> int:
        """Tiles of all layers."""
        return max((tile for layer in self.layers for tile in layer.tiles), default=-1) + 1

    @cached_property
    def blocks(self) -> int:
        """Blocks with experts."""
        return max((layer.expert[0] + 1 for layer in self.layers if layer.expert is not None), default=0)

    @cached_property
    def experts(self) -> int:
        """Experts of a block."""
        return max((layer.expert[1] + 1 for layer in self.layers if layer.expert is not None), default=0)

    def taken(self, token: int) -> dict[int, frozenset[int]]:
        """Return the layers that a token takes, each with those it waits for."""
        if self.routing is None:
            return {number: layer.after for number, layer in enumerate(self.layers)}
        chosen = [set(map(int, row)) for row in self.routing.choices[token]]
        found: dict[int, frozenset[int]] = {}
        instead: dict[int, frozenset[int]] = {}  # of layers left out, those they would have waited for
        for number, layer in enumerate(self.layers):
            waits = frozenset(one for other in layer.after for one in instead.get(other, {other}))
            if layer.expert is None or layer.expert[1] in chosen[layer.expert[0]]:
                found[number] = waits
            else:
                instead[number] = waits
        return found

    def some(self, tokens: Integers) -> "Workload":
        """Return the same for some of the tokens, by their numbers."""
        routing = None if self.routing is None else self.routing.some(tokens)
        return Workload(layers=self.layers, tokens=len(tokens), routing=routing)


def gather_work(
    network: Network, footprint: Footprint, outputs: Mapping[str, object], inputs: int,
    *, experts: Experts | None = None, digital: Collection[str] = (),
) -> Workload:  # fmt: skip
    """Gather what a network does, from its footprint and what it gave.

    Parameters
    ----------
    network : Network
        As it ran.
    footprint : Footprint
        What its layers take.
    outputs : mapping of str to ndarray
        What it gave, choices of routers among them.
    inputs : int
        Inputs that it ran on.
    experts : Experts, optional
        How experts are found.
    digital : collection of str
        Names of nodes kept digital.

    Raises
    ------
    SpecError
        If it has experts but no such output, or a router is missing.
    """
    words = experts or Experts()
    of_expert = [words.expert(layer.name) for layer in network.layers]
    routers = {block: k for k, layer in enumerate(network.layers) if (block := words.routed(layer.name)) is not None}
    routing, positions, tokens = None, 1, inputs
    if any(of_expert):
        if words.output not in outputs:
            raise SpecError(
                f"the network has experts, but no output {words.output!r} of its routers' choices; "
                f"there are: {', '.join(outputs)}"
            )
        choices = outputs[words.output]
        routing = Routing.of_output(choices, max(found[1] + 1 for found in of_expert if found))  # type: ignore[arg-type]
        tokens = len(routing)
        positions = max(tokens // inputs, 1)
    after = Dependencies.of(network.model, digital).layers([layer.name for layer in network.layers])
    numbers, layers, first = {}, list[WorkLayer](), 0
    for layer in network.layers:
        if layer.own_tiles:
            numbers[layer.name] = tuple(range(first, first + layer.own_tiles))
            first += layer.own_tiles
    for number, (layer, taken) in enumerate(zip(network.layers, footprint.layers, strict=True)):
        node, waits, whose = layer.node, set(after[number]), of_expert[number]
        if whose is not None:
            if whose[0] not in routers:
                raise SpecError(f"no router of block {whose[0]} found by {words.router!r}; give --router")
            waits.add(routers[whose[0]])
        products, columns = taken.macs / node.weights.size, sum(mapped.g.shape[1] for mapped in layer.mapped)
        layers.append(
            WorkLayer(
                name=layer.name, tiles=numbers[layer.array], vectors=taken.vectors / positions,
                t_product=taken.t_product, e_product=taken.total_energy / taken.products,
                operations=taken.vectors * columns / positions,
                bytes=products * (INPUT_BYTES * node.rows + OUTPUT_BYTES * node.outputs) / positions,
                after=frozenset(waits), expert=whose,
            )
        )  # fmt: skip
    return Workload(layers=tuple(layers), tokens=tokens, routing=routing)
