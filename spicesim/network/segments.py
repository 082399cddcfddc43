"""The network cut into as few digital segments as possible, with analog nodes between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import onnxruntime

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.model import element_types, hash_model, make_model, open_session, run_session, taken_values
from spicesim.network.node import AnalogNode, AnalogStep, Multiply

__all__ = ["Program", "Segment", "cut_network", "open_reference"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A part of the network that onnxruntime computes at once."""

    session: onnxruntime.InferenceSession
    """The part, ready to run."""
    inputs: tuple[str, ...]
    """Values it takes."""
    outputs: tuple[str, ...]
    """Values it makes."""

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the values that it takes."""
        return self.inputs

    @property
    def products(self) -> tuple[AnalogNode, ...]:
        """None of its products is on arrays."""
        return ()

    def run(self, values: dict[str, Array], multiply: Multiply) -> None:
        """Compute the outputs from `values` and add them to it."""
        values.update(run_session(self.session, self.outputs, {name: values[name] for name in self.inputs}))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A network in steps, and the same network whole."""

    steps: tuple[Segment | AnalogStep, ...]
    """Digital segments and analog nodes, each to be run after the last."""
    reference: onnxruntime.InferenceSession
    """The network as onnxruntime runs it; the values that pass between steps are extra outputs."""
    hash: str
    """Of the network, weights and all."""


def cut_network(model: onnx.ModelProto, constants: dict[str, Array], analog: Sequence[AnalogStep]) -> Program:
    """Cut a network into steps.

    Raises
    ------
    NetworkError
        If onnxruntime rejects the network, or a value between steps is no tensor.

    Notes
    -----
    The level of a node counts the turns from analog to digital on the way to it, at their most. Level by
    level, first the digital nodes in one segment, then the analog ones: no cut has fewer segments.
    """
    parts = _sort_by_level(model, constants, analog)
    wanted = {value.name for value in model.graph.output}
    for part in parts:
        wanted.update(_outer_inputs(part, constants))
    whole = _with_outputs(model, wanted)
    reference = open_session(whole, constants)
    types = element_types(reference)
    steps: list[Segment | AnalogStep] = []
    for part in parts:
        if not isinstance(part, list):
            steps.append(part)
            continue
        inputs = _outer_inputs(part, constants)
        outputs = [name for node in part for name in node.output if name in wanted]
        for name in [*inputs, *outputs]:
            if name not in types:
                raise NetworkError(f"value {name!r} is no tensor and cannot pass between analog nodes; export it again")
        segment = make_model(
            model, part, inputs={name: types[name] for name in inputs}, outputs=outputs, constants=constants
        )
        steps.append(Segment(session=open_session(segment, constants), inputs=tuple(inputs), outputs=tuple(outputs)))
    return Program(steps=tuple(steps), reference=reference, hash=hash_model(whole, constants))


def _sort_by_level(
    model: onnx.ModelProto, constants: dict[str, Array], analog: Sequence[AnalogStep]
) -> list[list[onnx.NodeProto] | AnalogStep]:
    """Sort the nodes that are not constant into digital parts and analog nodes, in the order they run."""
    by_output = {name: node for node in analog for name in node.makes}
    levels: dict[str, int] = {}
    digital: dict[int, list[onnx.NodeProto]] = {}
    products: dict[int, list[AnalogStep]] = {}
    for node in model.graph.node:
        if node.output[0] in constants:
            continue
        product = next((by_output[name] for name in node.output if name in by_output), None)
        sources = [name for name in taken_values(node) if name in levels]
        turns = [levels[name] + (product is None and name in by_output) for name in sources]
        level = max(turns, default=0)
        levels.update((name, level) for name in node.output if name)
        if product is None:
            digital.setdefault(level, []).append(node)
        else:
            products.setdefault(level, []).append(product)
    parts: list[list[onnx.NodeProto] | AnalogStep] = []
    for level in sorted({*digital, *products}):
        if level in digital:
            parts.append(digital[level])
        parts.extend(products.get(level, []))
    return parts


def _outer_inputs(part: list[onnx.NodeProto] | AnalogStep, constants: dict[str, Array]) -> list[str]:
    """Return the values that a part takes from others, in order of first use."""
    if not isinstance(part, list):
        return list(part.takes)
    made = {name for node in part for name in node.output}
    taken = dict.fromkeys(name for node in part for name in taken_values(node))
    return [name for name in taken if name not in made and name not in constants]


def open_reference(
    model: onnx.ModelProto, constants: dict[str, Array], wanted: set[str]
) -> onnxruntime.InferenceSession:
    """Open the whole network, with some of its inner values as extra outputs."""
    return open_session(_with_outputs(model, wanted), constants)


def _with_outputs(model: onnx.ModelProto, wanted: set[str]) -> onnx.ModelProto:
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    for value in extended.graph.output:
        value.ClearField("type")  # whose names of axes may be others than those of the inputs
    present = {value.name for value in [*model.graph.output, *model.graph.input]}
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - present))
    return extended
