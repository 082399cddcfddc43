"""From an ONNX file and a calibrated chip to a network that runs on it."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.coding import AdcRange
from spicesim.errors import NetworkError
from spicesim.mapping import DEFAULT_OPTIONS, Mapper, MappingOptions, map_weights
from spicesim.network.compiled import Inputs
from spicesim.network.exporter import export_module, is_module
from spicesim.network.inference import Network
from spicesim.network.ranges import AdcFit, InputScale
from spicesim.network.uncalibrated import UncalibratedChip

if TYPE_CHECKING:
    import torch

__all__ = ["compile_network"]


def compile_network(
    model: "str | Path | onnx.ModelProto | torch.nn.Module",
    calibration: Calibration | UncalibratedChip | Chip,
    *,
    example: Inputs | None = None,
    x_calibration: Inputs | None = None,
    digital: Collection[str] = (),
    input_scale: InputScale = "static",
    adc_range: AdcFit = "percentile",
    input_digit: int | None = None,
    mapping: MappingOptions = DEFAULT_OPTIONS,
    max_tiles: int | None = None,
    mapper: Mapper = map_weights,
    converter: type[AdcRange] = AdcRange,
) -> Network:
    """Compile an ONNX network for a chip: products with constant weights to arrays, the rest digital.

    Parameters
    ----------
    model : str, Path, ModelProto or torch.nn.Module
        The network: an ONNX file or what is in one, or a PyTorch module, which is exported as it infers.
    calibration : Calibration or Chip
        The chip, calibrated; as it is, it can run on the engine ideal only.
    example : array_like or mapping of str to array_like, optional
        Inputs to export a PyTorch module with, by the names of its arguments if there are several; by default typical
        inputs. The batch leads and its size stays free.
    x_calibration : array_like or mapping of str to array_like, optional
        Typical inputs, to fit the ranges of the converters; without them the first run takes its own.
    digital : collection of str
        Names of nodes that shall stay digital.
    input_scale : {"static", "vector"}
        Whether one number of a layer stands for the DACs' full span, or the largest magnitude of each vector.
    adc_range : {"percentile", "mse"}
        Whether the converters' ranges cover the chip's percentile of typical outputs, or make the least squared
        error on them.
    input_digit : int, optional
        Bits of an input's magnitude that are driven at a time, 1 for bit-serial inputs; by default all.
    mapping : MappingOptions
        How weights become conductances.
    max_tiles : int, optional
        Tiles that the chip has; by default as many as it takes.
    mapper : callable
        Makes tiles of weights, by default :func:`spicesim.mapping.map_weights`.
    converter : type
        What quantises outputs: a subclass of :class:`spicesim.coding.AdcRange`, made of its ends and bits.

    Returns
    -------
    Network
        The network, ready to run.

    Raises
    ------
    NetworkError
        If the network cannot be loaded or exported, or has no or no possible analog nodes; or a word is unknown.
    MissingDependencyError
        If a module cannot be exported without onnxscript.
    MappingError
        If a layer's weights cannot be mapped, or take more tiles than there are.
    """
    if isinstance(calibration, Chip):
        calibration = UncalibratedChip(calibration)
    if is_module(model):
        inputs = x_calibration if example is None else example
        if inputs is None:
            raise NetworkError("a PyTorch module is exported with an example of its inputs; give example=")
        model = export_module(model, inputs)
    network = Network(
        model, calibration, digital=digital, input_scale=input_scale, adc_range=adc_range, input_digit=input_digit,
        mapping=mapping, max_tiles=max_tiles, mapper=mapper, converter=converter,
    )  # fmt: skip
    if x_calibration is not None:
        network.fit_ranges(x_calibration)
    return network
