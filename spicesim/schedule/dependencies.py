"""Which products of a network take what other ones made."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from spicesim.network.graph import find_analog_nodes
from spicesim.network.loading import load_model
from spicesim.network.lowering import lower_model
from spicesim.network.model import find_constants, taken_values

__all__ = ["Dependencies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Of each product, by name, the products whose outputs it takes, as they are or after digital work."""

    sources: dict[str, frozenset[str]]
    """By name of the product, in the order of the file."""

    @classmethod
    def of(cls, model: str | Path | onnx.ModelProto, digital: Collection[str] = ()) -> "Dependencies":
        """Find them; products within one node, such as those of an LSTM, run one after the other."""
        loaded = load_model(model)
        lower_model(loaded)
        constants = find_constants(loaded)
        steps, _ = find_analog_nodes(loaded, constants, digital)
        by_output = {name: step for step in steps for name in step.makes}
        made: dict[str, frozenset[str]] = {}  # of a value, the products it comes from
        sources: dict[str, frozenset[str]] = {}
        for node in loaded.graph.node:
            step = next((by_output[name] for name in node.output if name in by_output), None)
            taken = taken_values(node) if step is None else step.takes
            origin = frozenset(one for name in taken for one in made.get(name, ()))
            for product in () if step is None else step.products:
                sources[product.name] = origin
                origin = frozenset({product.name})
            made.update((name, origin) for name in node.output if name)
        return cls(sources=sources)

    def layers(self, names: Sequence[str]) -> list[frozenset[int]]:
        """Return of each layer the numbers of those before it in the order of execution that it waits for."""
        numbers = {name: k for k, name in enumerate(names)}
        return [
            frozenset(numbers[other] for other in self.sources.get(name, ()) if numbers.get(other, k) < k)
            for k, name in enumerate(names)
        ]
