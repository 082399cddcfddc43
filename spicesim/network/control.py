"""If, Loop and Scan: their bodies as networks of their own, whose products are on arrays, run as the node says."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.model import node_attributes
from spicesim.network.node import AnalogNode, AnalogStep, Multiply, trace_run
from spicesim.network.segments import Segment

__all__ = ["CONTROLS", "Body", "Control"]

CONTROLS = ("If", "Loop", "Scan")
"""Operators whose bodies are read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """A body of a control node."""

    steps: tuple[Segment | AnalogStep, ...]
    """What it does, digital segments and analog nodes."""
    inputs: tuple[str, ...]
    """Names of what the node gives it."""
    outputs: tuple[str, ...]
    """Names of what it makes."""
    captured: tuple[str, ...]
    """Names of values around the node that it uses."""
    constants: Mapping[str, Array]
    """Those of its outputs that are constant."""

    @property
    def products(self) -> tuple[AnalogNode, ...]:
        """Products in it, in the order of execution."""
        return tuple(node for step in self.steps for node in step.products)

    def run(self, given: list[Array], around: Mapping[str, Array], multiply: Multiply) -> list[Array]:
        """Return what it makes of its inputs and the values around."""
        values = {name: around[name] for name in self.captured}
        values.update(zip(self.inputs, given, strict=True))
        for step in self.steps:
            step.run(values, multiply)
        return [self.constants[name] if name in self.constants else values[name] for name in self.outputs]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Control:
    """An If, Loop or Scan node with products in its bodies."""

    name: str
    """Name of the node."""
    node: onnx.NodeProto
    """The node."""
    bodies: Mapping[str, Body]
    """Its bodies, by the name of their attribute; of an If that is decided only one."""
    constants: Mapping[str, Array]
    """Those of its inputs that are constant."""

    @property
    def op(self) -> str:
        """Its operator."""
        return str(self.node.op_type)

    @property
    def products(self) -> tuple[AnalogNode, ...]:
        """Products in it; those of both branches of an If."""
        return tuple(product for body in self.bodies.values() for product in body.products)

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the values that it takes."""
        own = [name for name in self.node.input if name and name not in self.constants]
        return tuple(dict.fromkeys([*own, *(name for body in self.bodies.values() for name in body.captured)]))

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the values that it makes."""
        return tuple(name for name in self.node.output if name)

    def run(self, values: dict[str, Array], multiply: Multiply) -> None:
        """Compute the outputs from `values` and add them to these."""
        given = [{**values, **self.constants}[name] if name else None for name in self.node.input]
        run = {"If": self._decide, "Loop": self._repeat, "Scan": self._scan}[self.op]
        made = run(given, values, multiply)
        values.update((name, value) for name, value in zip(self.node.output, made, strict=False) if name)

    def trace(self, values: Mapping[str, Array]) -> dict[AnalogNode, list[Array]]:
        """Return what drives each product that is reached, given the values that the node takes: it runs digitally."""
        return trace_run(self.run, values)

    def _decide(self, given: list[Array | None], values: Mapping[str, Array], multiply: Multiply) -> list[Array]:
        """Run the branch that the condition says."""
        (condition,) = given
        assert condition is not None  # it has one
        return self.bodies["then_branch" if condition.all() else "else_branch"].run([], values, multiply)

    def _repeat(self, given: list[Array | None], values: Mapping[str, Array], multiply: Multiply) -> list[Array]:
        """Run a loop: iterations at most, a condition, and what is carried from one to the next."""
        limit, condition, *first = [*given, None, None][: max(2, len(given))]
        body, state, count = self.bodies["body"], [part for part in first if part is not None], 0
        scans: list[list[Array]] = [[] for _ in body.outputs[1 + len(state) :]]
        goes_on = condition is None or bool(condition.all())
        while goes_on and (limit is None or count < int(limit.reshape(()))):
            made = body.run([np.array(count, np.int64), np.array(True), *state], values, multiply)
            goes_on, state, own = bool(made[0].all()), made[1 : 1 + len(state)], made[1 + len(state) :]
            for scan, value in zip(scans, own, strict=True):
                scan.append(value)
            count += 1
        return [*state, *(self._stack(scan, 0) for scan in scans)]

    def _scan(self, given: list[Array | None], values: Mapping[str, Array], multiply: Multiply) -> list[Array]:
        """Run a scan: over slices of its last inputs, with what is carried from one to the next."""
        options, body, parts = node_attributes(self.node), self.bodies["body"], [p for p in given if p is not None]
        count = options["num_scan_inputs"]
        state, inputs = parts[: len(parts) - count], parts[len(parts) - count :]
        axes, backward = (options.get(f"scan_input_{key}", [0] * count) for key in ("axes", "directions"))
        many = len(body.outputs) - len(state)
        axes_out, backward_out = (options.get(f"scan_output_{key}", [0] * many) for key in ("axes", "directions"))
        scans: list[list[Array]] = [[] for _ in range(many)]
        steps = inputs[0].shape[axes[0]]
        for k in range(steps):
            places = [steps - 1 - k if back else k for back in backward]
            slices = [np.take(own, place, axis) for own, place, axis in zip(inputs, places, axes, strict=True)]
            made = body.run([*state, *slices], values, multiply)
            state = made[: len(state)]
            for scan, value in zip(scans, made[len(state) :], strict=True):
                scan.append(value)
        ordered = [scan[::-1] if back else scan for scan, back in zip(scans, backward_out, strict=True)]
        return [*state, *(self._stack(scan, axis) for scan, axis in zip(ordered, axes_out, strict=True))]

    def _stack(self, parts: list[Array], axis: int) -> Array:
        if not parts:
            raise NetworkError(
                f"{self.op} {self.name!r} runs no step, so that nothing says which shape its outputs have; keep the "
                f"products in it digital, with digital={[node.name for node in self.products]}"
            )
        return np.stack(parts, axis)
