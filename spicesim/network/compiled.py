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
from spicesim.network.graph import find_analog_nodes
from spicesim.network.inputs import check_inputs, input_specs
from spicesim.network.layer import BLOCK, AnalogLayer, Calibration
from spicesim.network.loading import load_model
from spicesim.network.model import find_constants, run_session
from spicesim.network.node import AnalogNode
from spicesim.network.ranges import AdcFit, InputScale
from spicesim.network.recurrence import Recurrence
from spicesim.network.segments import Segment, cut_network

__all__ = ["CHUNK", "CompileOptions", "CompiledNetwork", "Inputs", "batch_length", "check_output"]

Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]

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
    max_tiles: int | None
    """Tiles that the chip has; by default as many as it takes."""
    mapper: Mapper
    """What makes tiles of weights; by default :func:`spicesim.mapping.map_weights`."""
    converter: type[AdcRange]
    """What quantises outputs: a subclass of :class:`spicesim.coding.AdcRange`, made of its ends and bits."""


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
    notes : tuple of str
        Sentences on products that stay digital.
    output_names : tuple of str
        Names of what the network makes.
    batch : int or None
        Batch size, if it is fixed in the network.
    chip : Chip
        The chip.
    """

    def __init__(
        self,
        model: str | Path | onnx.ModelProto,
        calibration: Calibration,
        *,
        digital: Collection[str] = (),
        mapping: MappingOptions = DEFAULT_OPTIONS,
        max_tiles: int | None = None,
        mapper: Mapper = map_weights,
    ) -> None:
        loaded = load_model(model)
        constants = find_constants(loaded)
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
        self._reference = program.reference
        self._inputs = input_specs(program.reference)
        self.steps = program.steps
        self._analog = [step for step in program.steps if not isinstance(step, Segment)]
        free = {spec.name for spec in self._inputs if spec.shape[0] is None}
        for step in self._analog:
            if isinstance(step, Recurrence) and step.takes[0] in free:
                raise NetworkError(
                    f"{step.op} {step.name!r}: the first axis of input {step.takes[0]!r} is time, not the batch; "
                    "export the network with the batch first, or with sequences of fixed length"
                )
        nodes_on_arrays = [node for step in self._analog for node in step.products]
        layers = {
            node: AnalogLayer(node, calibration, mapping, array=_owner(node, nodes_on_arrays).name, mapper=mapper)
            for node in nodes_on_arrays
        }
        self.layers = tuple(layers.values())
        count = sum(len(layer.mapped) for layer in self.layers)
        if max_tiles is not None and count > max_tiles:
            taken = {step.name: sum(len(layers[node].mapped) for node in step.products) for step in self._analog}
            most, array = max(taken, key=taken.__getitem__), calibration.chip.array
            raise MappingError(
                f"the network takes {count} tiles of {array.rows}x{array.columns}, allowed are {max_tiles}; allow more "
                f"or keep layers digital: {most!r} takes {taken[most]}"
            )
        self.batch = next((spec.shape[0] for spec in self._inputs if spec.shape[0]), None)
        self.chip = calibration.chip
        self.output_names = tuple(value.name for value in loaded.graph.output)
        self.notes = tuple(notes)

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
        numbers = sum(array.size for array in arrays.values()) // batch_length(arrays)
        step = self.batch or chunk or max(1, min(CHUNK, BLOCK // numbers))
        for start in range(0, batch_length(arrays), step):
            yield {name: array[start : start + step] for name, array in arrays.items()}

    def values(self, names: Collection[str], chunk: dict[str, Array]) -> dict[str, Array]:
        """Return values of the network by name, inputs among them, as onnxruntime computes them."""
        wanted = sorted(set(names) - set(chunk))
        return {**chunk, **run_session(self._reference, wanted, chunk)}

    def run_digital(self, x: Inputs, chunk: int | None = None) -> Array:
        """Return the first output of the network as onnxruntime computes it."""
        name = self.output_names[0]
        chunks = self.chunks(self.check(x), chunk)
        return np.concatenate([check_output(name, self.values([name], c)[name], batch_length(c)) for c in chunks])

    def trace(self, chunk: dict[str, Array]) -> dict[AnalogNode, Array]:
        """Return what drives each product in the digital network."""
        values = self.values({name for step in self._analog for name in step.takes}, chunk)
        return {node: value for step in self._analog for node, value in step.trace(values).items()}


def _owner(node: AnalogNode, nodes: Sequence[AnalogNode]) -> AnalogNode:
    """Return the first node that multiplies by the same weights: its arrays hold them for all."""
    return next(
        other
        for other in nodes
        if other is node
        or (
            other.source == node.source != ""
            and other.groups == node.groups
            and np.array_equal(other.weights, node.weights)
        )
    )


def batch_length(arrays: Mapping[str, Array]) -> int:
    """Return the number of inputs in a batch."""
    return len(next(iter(arrays.values())))


def check_output(name: str, array: Array, size: int) -> Array:
    """Return an output if its first axis counts the batch.

    Raises
    ------
    NetworkError
        If it does not.
    """
    if array.ndim < 1 or len(array) != size:
        raise NetworkError(
            f"output {name!r} has shape {array.shape} for {size} inputs; "
            "export the network so that the first axis of every output counts the batch"
        )
    return array
