"""Linear layers and convolutions on a chip: forward as the chip does, backward through its transfer matrix.

The backward pass takes converters as straight lines (gradients of inputs beyond the converters' range are 0). For the
inputs it is then the adjoint of the chip's linear map, wires, devices and digital gains included; for the weights it
takes of that map what a cell does to its own column, the rest being smaller by the ratio of wire to cell resistance.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn

from spicesim.errors import SpecError
from spicesim.network.convolution import ConvGeometry
from spicesim.network.node import AnalogNode
from spicesim.network.ranges import LayerRanges
from spicesim.torch.product import Product, TrainingChip, fit_product, multiply

__all__ = ["AnalogConv2d", "AnalogLinear", "make_analog", "make_digital"]


class _OnChip(nn.Module, ABC):
    """What both kinds of layers share: a chip, ranges, and a count of forward passes."""

    chip: TrainingChip | None = None
    """The chip; None computes digitally."""
    ranges: LayerRanges | None = None
    """Settings of the converters, once fitted."""
    weight: Any

    @abstractmethod
    def _node(self) -> AnalogNode:
        """Describe the layer as a node of a network."""

    def product(self, x: torch.Tensor) -> Product:
        """Compute the layer's product on a chip, as numpy does it; in training on a chip of its own."""
        assert self.chip is not None
        numbers, node = x.detach().cpu().numpy(), self._node()
        if self.ranges is None or (self.training and self._passes % self.chip.refit == 0):
            self.ranges = fit_product(node, numbers, self.chip)
        if not self.training:
            return multiply(node, numbers, self.ranges, self.chip, self.chip.seed)
        self._passes += 1
        self.chip.seed += 1
        return multiply(node, numbers, self.ranges, self.chip, self.chip.seed)

    _passes = 0


class AnalogLinear(nn.Linear, _OnChip):
    """``torch.nn.Linear`` on a chip.

    Parameters
    ----------
    in_features, out_features, bias
        As for ``torch.nn.Linear``; the bias is added digitally.
    chip : TrainingChip, optional
        The chip; without one the layer is the digital one.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, chip: TrainingChip | None = None
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.chip = chip

    def _node(self) -> AnalogNode:
        weights = self.weight.detach().cpu().numpy().astype(float)
        return AnalogNode(name="linear", op="Gemm", input="x", output="y", weights=weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer."""
        if self.chip is None:
            return super().forward(x)
        y: torch.Tensor = _Product.apply(x, self.weight, self)
        return y if self.bias is None else y + self.bias

    def pull_back(self, x: torch.Tensor, matrix: torch.Tensor, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return gradients of inputs, and of weights on a perfect chip."""
        return grad @ matrix, grad.reshape(-1, grad.shape[-1]).T @ x.reshape(-1, x.shape[-1])


class AnalogConv2d(nn.Conv2d, _OnChip):
    """``torch.nn.Conv2d`` on a chip, padded with zeros.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, *args, **kwargs
        As for ``torch.nn.Conv2d``; the bias is added digitally.
    chip : TrainingChip, optional
        The chip; without one the layer is the digital one.

    Raises
    ------
    SpecError
        If the padding is by words or not of zeros.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, *args: Any, chip: TrainingChip | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, *args, **kwargs)
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise SpecError(
                f"a convolution on a chip is padded by numbers of zeros, not {self.padding!r} of "
                f"{self.padding_mode!r}; give padding as numbers"
            )
        self.chip = chip

    def _node(self) -> AnalogNode:
        (top, left), size = self.padding, self.kernel_size
        geometry = ConvGeometry(
            kernel=(size[0], size[1]), strides=(self.stride[0], self.stride[1]),
            dilations=(self.dilation[0], self.dilation[1]), pads=(top, left, top, left),
        )  # fmt: skip
        weights = self.weight.detach().cpu().numpy().astype(float).reshape(self.out_channels, -1)
        return AnalogNode(
            name="convolution", op="Conv", input="x", output="y", weights=weights, geometry=geometry,
            groups=self.groups,
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer."""
        if self.chip is None:
            return super().forward(x)
        y: torch.Tensor = _Product.apply(x, self.weight, self)
        return y if self.bias is None else y + self.bias[:, None, None]

    def pull_back(self, x: torch.Tensor, matrix: torch.Tensor, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return gradients of inputs, and of weights on a perfect chip."""
        weight = matrix.reshape(self.weight.shape)
        how = (self.stride, self.padding, self.dilation, self.groups)
        return (
            torch.nn.grad.conv2d_input(x.shape, weight, grad, *how),
            torch.nn.grad.conv2d_weight(x, self.weight.shape, grad, *how),
        )


class _Product(torch.autograd.Function):
    """A product on a chip."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: Any) -> torch.Tensor:
        product = layer.product(x)
        as_tensor = {"dtype": x.dtype, "device": x.device}
        ctx.layer, ctx.limits = layer, product.limits
        inside = (x >= product.limits[0]) & (x <= product.limits[1])
        ctx.save_for_backward(
            x, inside, torch.as_tensor(product.matrix, **as_tensor), torch.as_tensor(product.by_weight, **as_tensor)
        )
        return torch.as_tensor(np.ascontiguousarray(product.y), **as_tensor)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, inside, matrix, by_weight = ctx.saved_tensors
        grad_x, grad_weight = ctx.layer.pull_back(x.clamp(*ctx.limits), matrix, grads[0])
        return grad_x * inside, grad_weight * by_weight.reshape(grad_weight.shape), None


def make_analog(module: nn.Module, chip: TrainingChip) -> nn.Module:
    """Put all linear layers and convolutions of a module on a chip; their parameters stay the same tensors.

    Parameters
    ----------
    module : torch.nn.Module
        The network, changed in place.
    chip : TrainingChip
        The chip.

    Returns
    -------
    torch.nn.Module
        The same network.

    Raises
    ------
    SpecError
        If a convolution's padding is by words or not of zeros.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, AnalogLinear | AnalogConv2d):
            child.chip = chip
        elif isinstance(child, nn.Linear):
            analog: Any = AnalogLinear(child.in_features, child.out_features, child.bias is not None, chip=chip)
            _take_over(module, name, child, analog)
        elif isinstance(child, nn.Conv2d):
            analog = AnalogConv2d(
                child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding, child.dilation,
                child.groups, child.bias is not None, child.padding_mode, chip=chip,
            )  # fmt: skip
            _take_over(module, name, child, analog)
        else:
            make_analog(child, chip)
    return module


def _take_over(module: nn.Module, name: str, digital: Any, analog: Any) -> None:
    analog.weight, analog.bias = digital.weight, digital.bias
    analog.train(digital.training)
    setattr(module, name, analog)


def make_digital(module: nn.Module) -> nn.Module:
    """Take all layers of a module off their chips, so that it can be exported; changed in place and returned."""
    for child in module.modules():
        if isinstance(child, AnalogLinear | AnalogConv2d):
            child.chip = None
    return module
