"""A network compiled: its products on arrays, digital segments between them, and the same network whole."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import onnx

from spicesim.arrays import Array
from spicesim.coding import AdcRange
from spicesim.errors import MappingError, NetworkError
from spicesim.mapping import DEFAULT_OPTIONS, Mapper, MappingOptions, map_weights
from spicesim.network.batch import find_batch_axes
from spicesim.network.graph import find_analog_nodes
from spicesim.network.inputs import check_inputs, input_specs
from spicesim.network.layer import BLOCK, AnalogLayer, Calibration
from spicesim.network.loading import load_model
from spicesim.network.lowering import lower_model
from spicesim.network.model import detach_tensors, find_constants, run_session
from spicesim.network.node import AnalogNode, AnalogStep
from spicesim.network.ranges import AdcFit, InputScale
from spicesim.network.segments import Segment, cut_network

__all__ = ["CHUNK", "CompileOptions", "CompiledNetwork", "Inputs", "Step"]

Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]
Step = Segment | AnalogStep
"""A part of the network that runs after others."""

CHUNK = 64
"""Most inputs run at once, unless network or caller say otherwise; and those that fit ranges by default."""


class CompileOptions(TypedDict, total=False):
    """How a network is put on a chip: words for :func:`spicesim.network.compile_network`; all have defaults."""

    digital: Collection[str]
    """Names of nodes that shall stay digital."""
    input_scale: InputScale
    """Whether one number of a layer stands for the DACs' full span ("static"), or the largest magnitude of each vector
    ("vector")."""
    adc_range: AdcFit
    """Whether the converters' ranges cover the chip's percentile of typical outputs ("percentile"), or make the least
    squared error on them ("mse")."""
    input_digit: int | None
    """Bits of an input's magnitude that are driven at a time, 1 for bit-serial inputs; by default as many as the
    drivers take."""
    smooth: float | None
    """Strength, 0..1, by which large inputs are made small and their weights large before mapping, see
    :mod:`spicesim.network.smoothing`; by default both are as they are."""
    mapping: MappingOptions
    """How weights become conductances."""
    batch_axes: Mapping[str, int | None]
    """Which axis of an input or output counts the batch, by its name; None for inputs that all of a batch share, and
    outputs to leave out. By default they are found, see :mod:`spicesim.network.batch`."""
    max_tiles: int | None
    """Tiles that the chip has; by default as many as it takes."""
    mapper: Mapper
    """What makes tiles of weights; by default :func:`spicesim.mapping.map_weights`."""
    converter: type[AdcRange]
    """What quantises outputs: a subclass of :class:`spicesim.coding.AdcRange`, made of its ends and bits."""


_REAL = ("tensor(float)", "tensor(double)", "tensor(float16)")
"""Types of outputs that are scores: others are answers."""


class CompiledNetwork:
    """An ONNX network with its products on arrays; knows nothing of settings and engines.

    Parameters
    ----------
    model : str, Path or ModelProto
        The network.
    calibration : Calibration
        The chip.
    digital : collection of str
        Names of nodes that shall stay digital.
    mapping : MappingOptions
        How weights become conductances.
    batch_axes : mapping of str to int or None, optional
        Axes that count the batch, see :class:`CompileOptions`.
    max_tiles : int, optional
        Tiles that the chip has.
    mapper : callable
        Makes tiles of weights.

    Raises
    ------
    NetworkError
        If the network cannot be loaded, or has no or no possible analog nodes.
    MappingError
        If a layer's weights cannot be mapped, or take more tiles than there are.

    Attributes
    ----------
    layers : tuple of AnalogLayer
        The nodes on arrays, in the order of execution.
    steps : tuple of Segment, AnalogNode or Recurrence
        What to run, each after the last.
    spent : tuple of tuple of str
        Of each step, names of values that no later one takes.
    notes : tuple of str
        Sentences on products that stay digital.
    output_names : tuple of str
        Names of what the network makes.
    batch : int or None
        Batch size, if it is fixed in the network.
    chip : Chip
        The chip.
    hash : str
        Of the network, weights and all.
    """

    def __init__(
        self,
        model: str | Path | onnx.ModelProto,
        calibration: Calibration,
        *,
        digital: Collection[str] = (),
        mapping: MappingOptions = DEFAULT_OPTIONS,
        batch_axes: Mapping[str, int | None] | None = None,
        max_tiles: int | None = None,
        mapper: Mapper = map_weights,
    ) -> None:
        loaded = load_model(model)
        lower_model(loaded)
        constants = find_constants(loaded)
        detach_tensors(loaded.graph, constants)
        fixed = [value.name for value in loaded.graph.output if value.name in constants]
        if fixed:
            raise NetworkError(f"output {fixed[0]!r} does not depend on the inputs; remove it")
        nodes, notes = find_analog_nodes(loaded, constants, digital)
        if not nodes:
            raise NetworkError(
                "the network has no Gemm, MatMul, Einsum, Conv, LSTM, GRU or RNN with constant weights, "
                "so nothing for arrays to do; " + (notes[0] if notes else "export it with its weights")
            )
        program = cut_network(loaded, constants, nodes)
        self._reference, self.hash = program.reference, program.hash
        if not program.reference.get_inputs():
            raise NetworkError("the network has no inputs; export it with its inputs not folded in")
        shapes = {value.name: value.shape for value in program.reference.get_outputs()}
        names = [value.name for value in loaded.graph.output]
        self.axes = find_batch_axes(
            loaded, {value.name: value.shape for value in program.reference.get_inputs()},
            {name: shapes[name] for name in names}, batch_axes or {},
        )  # fmt: skip
        self._inputs = input_specs(program.reference, self.axes.inputs)
        self.steps = program.steps
        self._analog = [step for step in program.steps if not isinstance(step, Segment)]
        nodes_on_arrays = [node for step in self._analog for node in step.products]
        layers = dict[AnalogNode, AnalogLayer]()
        for node in nodes_on_arrays:
            owner = layers.get(_owner(node, nodes_on_arrays))  # itself is not there yet
            layers[node] = AnalogLayer(node, calibration, mapping, owner=owner, mapper=mapper)
        self.layers = tuple(layers.values())
        count = sum(layer.own_tiles for layer in self.layers)
        if max_tiles is not None and count > max_tiles:
            taken = {step.name: sum(layers[node].own_tiles for node in step.products) for step in self._analog}
            most, array = max(taken, key=taken.__getitem__), calibration.chip.array
            raise MappingError(
                f"the network takes {count} tiles of {array.rows}x{array.columns}, allowed are {max_tiles}; allow more "
                f"or keep layers digital: {most!r} takes {taken[most]}"
            )
        places = [(spec.shape, spec.axis) for spec in self._inputs]
        self.batch = next((size for shape, axis in places if axis is not None and (size := shape[axis])), None)
        self.chip = calibration.chip
        self.output_names = tuple(name for name in names if self.axes.outputs.get(name, 0) is not None)
        types = {value.name: value.type for value in program.reference.get_outputs()}
        numbers = [name for name in self.output_names if types[name] != "tensor(string)"]
        if not numbers:
            raise NetworkError("no output of the network holds numbers; keep one, or export it with its scores")
        self.scores = next((name for name in numbers if types[name] in _REAL), numbers[0])
        first = self.output_names[0]
        self.answers = None if types[first] in _REAL else first
        last = {name: k for k, step in enumerate(self.steps) for name in step.takes}
        self.spent = tuple(
            tuple(name for name in dict.fromkeys(step.takes) if last[name] == k and name not in self.output_names)
            for k, step in enumerate(self.steps)
        )
        self.notes = (*notes, *_shared_notes(self.layers))

    def check(self, x: Inputs) -> dict[str, Array]:
        """Bring a batch into the form that the network wants; see :func:`spicesim.network.inputs.check_inputs`."""
        return check_inputs(x, self._inputs)

    def chunks(self, arrays: dict[str, Array], chunk: int | None = None) -> Iterator[dict[str, Array]]:
        """Cut a batch into chunks; a batch size fixed in the network goes before the caller's.

        Raises
        ------
        NetworkError
            If a chunk would be empty.
        """
        if chunk is not None and chunk < 1:
            raise NetworkError(f"chunk must be at least 1 input, got {chunk}")
        total = self.axes.length(arrays)
        numbers = max(1, sum(array.size for array in arrays.values()) // total)
        step = self.batch or chunk or max(1, min(CHUNK, BLOCK // numbers))
        for start in range(0, total, step):
            yield self.axes.cut(arrays, start, start + step)

    def live_bytes(self, chunk: dict[str, Array]) -> int:
        """Return the memory of the values that pass between steps, where it is largest [byte]."""
        values = self.values({name for step in self.steps for name in step.takes}, chunk)
        alive, most = set(chunk), 0
        for step, spent in zip(self.steps, self.spent, strict=True):
            alive.update(step.takes)
            most = max(most, sum(map(_bytes, (values[name] for name in alive))))
            alive.difference_update(spent)
        return most

    def values(self, names: Collection[str], chunk: dict[str, Array]) -> dict[str, Array]:
        """Return values of the network by name, inputs among them, as onnxruntime computes them."""
        wanted = sorted(set(names) - set(chunk))
        return {**chunk, **run_session(self._reference, wanted, chunk)}

    def run_digital(self, x: Inputs, chunk: int | None = None, name: str | None = None) -> Array:
        """Return an output of the network, by default its scores, as onnxruntime computes it, the batch first."""
        name, parts = name or self.scores, list[Array]()
        for part in self.chunks(self.check(x), chunk):
            found = self.values([name], part)[name]
            parts.append(np.moveaxis(found, self.axes.find(name, found, self.axes.length(part)), 0))
        return np.concatenate(parts)

    def trace(self, chunk: dict[str, Array]) -> dict[AnalogNode, list[Array]]:
        """Return what drives each product that is reached in the digital network."""
        values = self.values({name for step in self._analog for name in step.takes}, chunk)
        return {node: found for step in self._analog for node, found in step.trace(values).items()}


def _bytes(value: Array | list[Array]) -> int:
    """Return the memory of a tensor, or of a sequence of them."""
    return sum(map(_bytes, value)) if isinstance(value, list) else value.nbytes


def _owner(node: AnalogNode, nodes: Sequence[AnalogNode]) -> AnalogNode:
    """Return the first node that multiplies by the same weights: its arrays hold them for all."""
    return next(
        other
        for other in nodes
        if other is node
        or (
            node.source
            and other.source == node.source
            and other.groups == node.groups
            and np.array_equal(other.weights, node.weights)
        )
    )


def _shared_notes(layers: Sequence[AnalogLayer]) -> list[str]:
    """Say which arrays do the products of several layers."""
    uses: dict[str, list[str]] = {}
    for layer in layers:
        uses.setdefault(layer.array, []).append(layer.name)
    return [
        f"the arrays of {array!r} hold the weights of {len(names) - 1} more: {', '.join(map(repr, names[1:4]))}"
        f"{', ..' if len(names) > 4 else ''}; they are counted once, and do these products one after the other"
        for array, names in uses.items()
        if len(names) > 1
    ]
