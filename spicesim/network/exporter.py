"""From a PyTorch module to ONNX, in memory. Needs torch with onnxscript: the extra ``train``."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import onnx

from spicesim.errors import MissingDependencyError, NetworkError
from spicesim.network.compiled import Inputs

if TYPE_CHECKING:
    import torch

__all__ = ["export_module", "is_module"]


def is_module(model: object) -> "TypeGuard[torch.nn.Module]":
    """Tell whether something is a PyTorch module; torch need not be installed."""
    loaded = sys.modules.get("torch")
    return loaded is not None and isinstance(model, loaded.nn.Module)


def export_module(module: "torch.nn.Module", example: Inputs) -> onnx.ModelProto:
    """Export a PyTorch module as it infers, with a free batch size.

    Parameters
    ----------
    module : torch.nn.Module
        The network; left as it is.
    example : array_like or mapping of str to array_like
        Inputs of ``forward``, batches leading; by the names of its arguments if there are several.

    Raises
    ------
    MissingDependencyError
        If onnxscript is not installed.
    NetworkError
        If the module cannot be exported; says why.
    """
    import torch

    try:
        import onnxscript  # noqa: F401  # what torch.onnx needs beyond torch
    except ImportError:
        raise MissingDependencyError("onnxscript is not installed; run: pip install 'spicesim[train]'") from None

    real = next((weights.dtype for weights in module.parameters() if weights.is_floating_point()), torch.float32)

    def tensor(values: Any) -> Any:
        found = torch.as_tensor(np.concatenate([values, values])[:2])  # a batch of one would become a constant
        return found.to(real) if found.is_floating_point() else found

    batch, inputs = {0: torch.export.Dim("batch")}, dict[str, Any]()
    if isinstance(example, Mapping):
        inputs["kwargs"] = {name: tensor(values) for name, values in example.items()}
        inputs["dynamic_shapes"] = dict.fromkeys(example, batch)
    else:
        inputs |= {"args": (tensor(example),), "dynamic_shapes": (batch,)}
    file = io.BytesIO()
    with _inferring(module), _quietly():
        try:
            torch.onnx.export(module, f=file, dynamo=True, external_data=False, **inputs)
        except Exception as error:  # torch raises its own of many kinds
            cause = error.__cause__ or error
            reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise NetworkError(
                f"PyTorch cannot export {type(module).__name__}: {reason}; "
                "export it with torch.onnx.export and give the file"
            ) from error
    return onnx.load_from_string(file.getvalue())


@contextlib.contextmanager
def _inferring(module: "torch.nn.Module") -> Iterator[None]:
    """Have dropout and normalisation infer, and put all modules back afterwards."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what torch.onnx tells its own developers off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
