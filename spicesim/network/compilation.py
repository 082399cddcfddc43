"""From an ONNX file and a calibrated chip to a network that runs on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import onnx

from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.errors import NetworkError
from spicesim.network.compiled import Inputs
from spicesim.network.exporter import export_module, is_module
from spicesim.network.inference import Network
from spicesim.network.options import CompileOptions
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
    **options: Unpack[CompileOptions],
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
    **options
        How it is put on the chip, see :class:`spicesim.network.options.CompileOptions`.

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
    TypeError
        If there is no such option.
    """
    if isinstance(calibration, Chip):
        calibration = UncalibratedChip(calibration)
    if is_module(model):
        inputs = x_calibration if example is None else example
        if inputs is None:
            raise NetworkError("a PyTorch module is exported with an example of its inputs; give example=")
        model = export_module(model, inputs)
    network = Network(model, calibration, options)
    if x_calibration is not None:
        network.fit_ranges(x_calibration)
    return network
