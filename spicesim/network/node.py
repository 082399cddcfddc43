"""One product with constant weights: the vectors that it takes of a value, and what it makes of them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.errors import NetworkError
from spicesim.network.contraction import Contraction
from spicesim.network.convolution import ConvGeometry

__all__ = ["AnalogNode", "AnalogStep", "Multiply", "trace_run"]

Multiply = Callable[["AnalogNode", Array], Array]
"""Does a product: what a node makes of a value."""


class AnalogStep(Protocol):
    """A node of the network with products on arrays."""

    @property
    def name(self) -> str:
        """Name of the node."""
        ...

    @property
    def op(self) -> str:
        """Its operator."""
        ...

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the values that it takes."""
        ...

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the values that it makes."""
        ...

    @property
    def products(self) -> tuple["AnalogNode", ...]:
        """Products in it."""
        ...

    def run(self, values: dict[str, Array], multiply: Multiply) -> None:
        """Compute the outputs from `values` and add them to these."""
        ...

    def trace(self, values: Mapping[str, Array]) -> dict["AnalogNode", list[Array]]:
        """Return what drives each product that is reached, given the values that the node takes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalogNode:
    """A product with constant weights: a Gemm, MatMul, Einsum or Conv node, or a part of a recurrent one."""

    name: str
    """Name of the node, or operator and position where the file gives none."""
    op: str
    """Its operator."""
    input: str
    """Name of the value it multiplies; empty within a recurrent node."""
    output: str
    """Name of the value it makes; empty within a recurrent node."""
    weights: Floats
    """Weights, (outputs, inputs); (outputs, inputs of a group) where there are groups."""
    bias: Floats | None = None
    """Bias, (outputs,), added digitally."""
    geometry: ConvGeometry | None = None
    """Geometry of a convolution; None for other products."""
    contraction: Contraction | None = None
    """Axes of a product that is neither a convolution nor along the last axis."""
    groups: int = 1
    """Groups of a convolution or matrices of a stack, which share neither inputs nor outputs."""
    source: frozenset[str] = frozenset()
    """Names of the tensors in the file that the weights come from; products of the same weights share an array."""
    rank: int = 0
    """Fewest axes of what a product along the last axis makes."""

    @property
    def outputs(self) -> int:
        """Numbers that a product makes."""
        return int(self.weights.shape[0])

    @property
    def rows(self) -> int:
        """Numbers that a product takes."""
        return int(self.weights.shape[1]) * self.groups

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the values that it takes."""
        return (self.input,)

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the values that it makes."""
        return (self.output,)

    @property
    def products(self) -> tuple["AnalogNode", ...]:
        """Products in it, in the order of execution."""
        return (self,)

    def run(self, values: dict[str, Array], multiply: Multiply) -> None:
        """Compute the output from `values` and add it to them."""
        values[self.output] = multiply(self, values[self.input])

    def trace(self, values: Mapping[str, Array]) -> dict["AnalogNode", list[Array]]:
        """Return what drives the product, given the values that the node takes."""
        return {self: [values[self.input]]}

    def multiply(self, vectors: Floats) -> Floats:
        """Multiply vectors (batch, rows) by the weights, digitally: (batch, outputs)."""
        if self.groups == 1:
            return np.asarray(vectors @ self.weights.T)
        grouped = vectors.reshape(len(vectors), self.groups, -1).swapaxes(0, 1)
        matrices = self.weights.reshape(self.groups, self.outputs // self.groups, -1).swapaxes(1, 2)
        return np.asarray((grouped @ matrices).swapaxes(0, 1).reshape(len(vectors), self.outputs))

    def vectors(self, x: Array, limit: int) -> Iterator[Floats]:
        """Cut inputs into blocks of vectors (batch, rows) of about `limit` at most.

        Raises
        ------
        NetworkError
            If the inputs have another size than the weights, or are not finite.
        """
        geometry, contraction, flat = self.geometry, self.contraction, None
        if contraction is not None:
            wanted, flat = contraction.description, contraction.arrange(x)
        elif geometry is not None:
            channels = self.rows // math.prod(geometry.kernel)
            wanted = f"{channels} channels"
            flat = x if x.ndim == geometry.dimensions + 2 and x.shape[1] == channels else None
        else:
            wanted = f"{self.rows} numbers on the last axis"
            flat = x.reshape(-1, self.rows) if x.ndim and x.shape[-1] == self.rows else None
        if flat is None:
            raise NetworkError(
                f"{self.op} {self.name!r}: its input has shape {x.shape}, its weights want {wanted}; "
                "export the network again"
            )
        if not np.isfinite(x).all():
            raise NetworkError(f"the input of {self.name!r} is NaN or infinite; check weights and data")
        if geometry is not None:
            yield from geometry.patches(x, limit)
            return
        for start in range(0, len(flat), limit):
            yield flat[start : start + limit].astype(float)

    def count(self, x: Array) -> int:
        """Return the number of vectors that :meth:`vectors` makes of inputs."""
        if self.contraction is not None:
            return self.contraction.count(x.shape)
        if self.geometry is None:
            return math.prod(x.shape[:-1])
        return len(x) * math.prod(self.geometry.output_size(*x.shape[2:]))

    def apply(self, x: Array) -> Array:
        """Return what the node makes of inputs, digitally."""
        blocks = [self.multiply(v) for v in self.vectors(x, max(1, self.count(x)))]
        return self.finish(np.concatenate([np.zeros((0, self.outputs)), *blocks]), x)

    def finish(self, y: Floats, x: Array) -> Array:
        """Return products (batch, outputs) with their bias, in shape and type of the node's output for inputs `x`."""
        if self.bias is not None:
            y = y + self.bias
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(self.restore(y, x), dtype=x.dtype)
        if not np.isfinite(result).all():
            raise NetworkError(f"what {self.name!r} makes is beyond all numbers of type {x.dtype}; check its weights")
        return result

    def restore(self, y: Floats, x: Array) -> Floats:
        """Return products (batch, outputs) in the shape of the node's output, for inputs `x`."""
        if self.contraction is not None:
            return self.contraction.restore(y, x.shape)
        if self.geometry is None:
            return y.reshape((1,) * (self.rank - x.ndim) + (*x.shape[:-1], y.shape[-1]))
        size = self.geometry.output_size(*x.shape[2:])
        return np.moveaxis(y.reshape(len(x), *size, y.shape[-1]), -1, 1)


def trace_run(
    run: Callable[[dict[str, Array], Multiply], None], values: Mapping[str, Array]
) -> dict[AnalogNode, list[Array]]:
    """Run a step of several products digitally, given the values that it takes; return what drives each of them."""
    seen: dict[AnalogNode, list[Array]] = defaultdict(list)

    def multiply(node: AnalogNode, x: Array) -> Array:
        seen[node].append(x)
        return node.apply(x)

    run(dict(values), multiply)
    return dict(seen)
