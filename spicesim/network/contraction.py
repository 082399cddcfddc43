"""Products over any axes as matrix-vector products: stacks of matrices, weights on the left, sums by Einstein."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array

__all__ = ["Contraction", "contract_matmul", "parse_einsum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """Which axes of a value and of constant weights are multiplied and summed, one letter an axis.

    Axes that only the value has go through; those that it shares with the weights are summed, or, where the result has
    them, too, take weights of their own: they are groups, as a convolution's.
    """

    value: str
    """Axes of the value; "..." stands for any others."""
    result: str
    """Axes of the result."""
    groups: str
    """Axes that value, weights and result share."""
    inputs: str
    """Axes over which products are summed."""
    outputs: str
    """Axes that the weights give the result."""
    sizes: Mapping[str, int]
    """Sizes of the axes of the weights."""

    def arrange_weights(self, weights: Array, axes: str) -> Array:
        """Return weights, whose axes are named, as (groups * outputs, inputs); axes of no group have length one."""
        kept = self.groups + self.outputs + self.inputs
        order = [axes.index(axis) for axis in (*kept, *(axis for axis in axes if axis not in kept))]
        return weights.transpose(order).reshape(-1, self._size(self.inputs))

    @property
    def group_count(self) -> int:
        """Number of groups."""
        return self._size(self.groups)

    @property
    def description(self) -> str:
        """The axes of the value, and the sizes that the weights give them."""
        sizes = ", ".join(f"{axis} = {self.sizes[axis]}" for axis in self.groups + self.inputs)
        return f"axes {self.value} with {sizes}"

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of vectors that a value of this shape makes."""
        axes = _spread(self.value, len(shape)) or ""
        sizes = dict(zip(axes[len(axes) - len(shape) :], shape, strict=True))
        return math.prod(size for axis, size in sizes.items() if axis not in self.groups + self.inputs)

    def arrange(self, x: Array) -> Array | None:
        """Return a value as vectors (batch, groups * inputs); None if it does not fit the weights."""
        axes = _spread(self.value, x.ndim)
        if axes is None:
            return None
        x = x.reshape((1,) * (len(axes) - x.ndim) + x.shape)
        wanted = tuple(
            self.sizes[axis] if axis in self.groups and size == 1 else size
            for axis, size in zip(axes, x.shape, strict=True)
        )
        if any(size != self.sizes.get(axis, size) for axis, size in zip(axes, wanted, strict=True)):
            return None
        through = [axis for axis in axes if axis not in self.groups + self.inputs]
        order = [axes.index(axis) for axis in (*through, *self.groups, *self.inputs)]
        return np.broadcast_to(x, wanted).transpose(order).reshape(-1, self.group_count * self._size(self.inputs))

    def restore(self, y: Array, shape: tuple[int, ...]) -> Array:
        """Return products (batch, groups * outputs) in the axes of the result, for a value of this shape."""
        axes = _spread(self.value, len(shape))
        assert axes is not None  # it has been arranged
        sizes = dict(zip(axes, (1,) * (len(axes) - len(shape)) + shape, strict=True)) | dict(self.sizes)
        through = [axis for axis in axes if axis not in self.groups + self.inputs]
        made = [*through, *self.groups, *self.outputs]
        result = _spread(self.result, len(made)) or ""
        return y.reshape([sizes[axis] for axis in made]).transpose([made.index(axis) for axis in result])

    def _size(self, axes: str) -> int:
        return math.prod(self.sizes[axis] for axis in axes)


def contract_matmul(shape: tuple[int, ...], *, left: bool) -> tuple[Contraction, str]:
    """Describe a MatMul with weights of this shape, and name their axes: a stack of matrices, or weights on the left.

    Axes of length one before the matrix are those of no stack.
    """
    stack = "".join(chr(ord("a") + k) for k in range(len(shape) - 2))
    value, matrix, result = ("ky", "xk", "xy") if left else ("xk", "ky", "xy")
    groups = "".join(axis for axis, size in zip(stack, shape, strict=False) if size > 1)
    before = "..." + stack
    contraction = Contraction(
        value=before + value, result=before + result, groups=groups, inputs="k", outputs="x" if left else "y",
        sizes={axis: size for axis, size in zip(stack + matrix, shape, strict=True) if axis in groups + matrix},
    )  # fmt: skip
    return contraction, stack + matrix


def parse_einsum(equation: str, position: int, shape: tuple[int, ...]) -> tuple[Contraction, str] | None:
    """Describe an Einsum of two operands, and name the axes of its weights.

    Parameters
    ----------
    equation : str
        As ONNX and NumPy write it.
    position : int
        Which operand is the weights, 0 or 1.
    shape : tuple of int
        Their shape.

    Returns
    -------
    tuple of Contraction and str, or None
        None if it is no product of vectors by a matrix: an axis is repeated, belongs to one operand and not to the
        result, or the weights have axes that are not named.
    """
    operands, _, result = equation.replace(" ", "").partition("->")
    terms = operands.split(",")
    if len(terms) != 2 or "->" not in equation:
        return None
    weights, value = terms[position], terms[1 - position]
    own = value.replace("...", "")
    kept = result.replace("...", "")
    repeated = any(len(set(term)) != len(term) for term in (weights, own, kept))
    if repeated or "." in weights or len(weights) != len(shape) or ("..." in value) != ("..." in result):
        return None
    if any(axis not in kept for axis in set(weights) ^ set(own)):  # it is summed before the product
        return None
    shared = [axis for axis in weights if axis in own]
    inputs = "".join(axis for axis in shared if axis not in kept)
    if not inputs:
        return None
    contraction = Contraction(
        value=value, result=result, inputs=inputs,
        groups="".join(axis for axis in shared if axis in kept),
        outputs="".join(axis for axis in weights if axis not in own),
        sizes=dict(zip(weights, shape, strict=True)),
    )  # fmt: skip
    return contraction, weights


def _spread(axes: str, count: int) -> str | None:
    """Return names of `count` axes, at least those in `axes`; None if "..." is missing and they are not as many."""
    named = len(axes.replace("...", ""))
    if "..." not in axes:
        return axes if named == count else None
    others = "".join(chr(0x3B1 + k) for k in range(max(0, count - named)))  # alpha, beta, ..
    return axes.replace("...", others)
