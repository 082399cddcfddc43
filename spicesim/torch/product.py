"""A layer's product on a chip drawn anew, and what its derivative is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.calibration.calibration import Calibration
from spicesim.crossbar.blas import one_blas_thread
from spicesim.devices import DeviceModel
from spicesim.engine import DeviceEngine, Engine, PreparedTile, TransferEngine
from spicesim.network.gains import Gains
from spicesim.network.layer import AnalogLayer
from spicesim.network.node import AnalogNode
from spicesim.network.ranges import AdcFit, InputScale, LayerRanges
from spicesim.network.result import LayerMeter
from spicesim.network.workers import start_workers

__all__ = ["Product", "TrainingChip", "chip_matrix", "fit_product", "multiply"]

FIT_VECTORS = 1024
"""Vectors of a batch to fit ranges on, at most."""
GAIN_VECTORS = 256
"""Vectors of a batch to fit digital gains on, at most."""


@dataclass(slots=True, kw_only=True, eq=False)
class TrainingChip:
    """The chips that a network is trained for: each forward pass in training meets another one.

    A chip's devices, and what they read, are drawn anew each time; digital gains are fitted to it, as they will be on
    the chip in the end.
    """

    calibration: Calibration
    """Of the chip."""
    device: DeviceModel | None = None
    """Statistics of its devices; all perfect by default."""
    time: float = 0.0
    """Time from programming to use [s]."""
    engine: Engine = field(init=False)
    """What multiplies: a transfer matrix a tile by default; any other engine of the same calibration works, slowly."""
    gains: bool = True
    """Whether to fit digital gains."""
    input_scale: InputScale = "static"
    """As for :func:`spicesim.network.compile_network`."""
    adc_range: AdcFit = "percentile"
    """As for :func:`spicesim.network.compile_network`."""
    refit: int = 50
    """Forward passes in training after which a layer fits the ranges of its converters again."""
    seed: int = 0
    """Of the next draw; each draw raises it. Out of training, that of the chip."""

    def __post_init__(self) -> None:
        self.engine = TransferEngine(self.calibration)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Product:
    """What a layer made of its inputs on one chip, and the linear map to which that comes."""

    y: Array
    """The output, of the dtype of the inputs, bias left out."""
    matrix: Floats
    """Derivative of an output by an input as the chip has it, (outputs, inputs of a group)."""
    by_weight: Floats
    """Derivative of an output by a weight over the input, (outputs, inputs of a group): 1 on a perfect chip."""
    limits: tuple[float, float]
    """Inputs beyond these are clipped; infinite where every vector has a scale of its own."""


def fit_product(node: AnalogNode, x: Array, chip: TrainingChip) -> LayerRanges:
    """Fit the ranges of a layer's converters on a batch of its inputs."""
    layer = AnalogLayer(node, chip.calibration)
    with one_blas_thread():
        vectors = _some_vectors(layer, x, FIT_VECTORS)
        limits = (float(x.min()), float(x.max()))
        return layer.fit(vectors, limits, scaling=chip.input_scale, adc_fit=chip.adc_range)


def _some_vectors(layer: AnalogLayer, x: Array, count: int) -> Floats:
    """Return vectors spread over a batch; all if there are no more than `count`."""
    vectors = np.concatenate(list(layer.vectors(x)))
    return vectors[:: max(1, -(-len(vectors) // count))]


def multiply(node: AnalogNode, x: Array, ranges: LayerRanges, chip: TrainingChip, seed: int) -> Product:
    """Compute a layer's output on the chip of a seed.

    Parameters
    ----------
    node : AnalogNode
        The weights.
    x : ndarray
        Inputs: (images, channels, height, width) for a convolution, else (..., rows).
    ranges : LayerRanges
        Settings of the layer's converters.
    chip : TrainingChip
        The chip.
    seed : int
        Of its devices.
    """
    layer = AnalogLayer(node, chip.calibration)
    engine = chip.engine
    limits = chip.calibration.conductance_range
    if chip.device is not None:
        engine = DeviceEngine(
            chip.engine, chip.calibration.chip, chip.device, limits, seed=seed, time=chip.time,
            compensate=chip.device.drift is not None, box=chip.calibration.conductance_limits,
        )  # fmt: skip
    with one_blas_thread():
        prepared = tuple(map(engine.prepare, layer.tiles(ranges)))
        gains = None
        if chip.gains:
            gains = layer.fit_gains(_some_vectors(layer, x, GAIN_VECTORS), ranges, prepared)
        with start_workers() as workers:
            y = layer.run(x, ranges, prepared, LayerMeter(), lambda *_: None, gains, workers=workers)
        matrix, by_weight = chip_matrix(layer, prepared, gains, TransferEngine(chip.calibration))
    matrix, by_weight = (_own_group(full, node.groups) for full in (matrix, by_weight))
    ends = (-np.inf, np.inf)
    if ranges.scaling == "static":
        ends = (0.0 if ranges.polarity == "unipolar" else -ranges.input_scale, ranges.input_scale)
    return Product(y=y, matrix=matrix, by_weight=by_weight, limits=ends)


def chip_matrix(
    layer: AnalogLayer, prepared: Sequence[PreparedTile], gains: Sequence[Gains] | None, linear: Engine
) -> tuple[Floats, Floats]:
    """Return the linear map to which a layer comes on a chip, for straight converters.

    Parameters
    ----------
    layer : AnalogLayer
        The layer.
    prepared : sequence of PreparedTile
        Its tiles, by any engine.
    gains : sequence of Gains or None
        Digital corrections, one a tile.
    linear : Engine
        What tells the linear maps of tiles that are more than one.

    Returns
    -------
    matrix, by_weight : ndarray of shape (outputs, all inputs)
        Derivative of an output by an input, smoothed if the layer is, and by a weight over the input.
    """
    node = layer.node
    matrix, by_weight = np.zeros((2, node.outputs, node.rows))
    for k, (mapped, ready) in enumerate(zip(layer.mapped, prepared, strict=True)):
        transfer = ready.linear_map
        if transfer is None:
            transfer = linear.prepare(ready.tile).linear_map
        assert transfer is not None
        gain = ready.compensation * (1.0 if gains is None else gains[k].gain)
        positive, negative = transfer[0::2].T, transfer[1::2].T
        share = (positive - negative) * (gain * mapped.weight_per_siemens)
        matrix[mapped.outputs, mapped.rows] += share.T
        loss = np.where(mapped.weights >= 0, positive / ready.tile.g[:, 0::2], negative / ready.tile.g[:, 1::2])
        by_weight[mapped.outputs, mapped.rows] += (gain * loss).T
    return matrix, by_weight


def _own_group(full: Floats, groups: int) -> Floats:
    """Keep what connects outputs (outputs, all inputs) with the inputs of their own group."""
    if groups == 1:
        return full
    outputs, rows = full.shape
    blocks = full.reshape(groups, outputs // groups, groups, rows // groups)
    return np.ascontiguousarray(blocks[np.arange(groups), :, np.arange(groups)].reshape(outputs, rows // groups))
