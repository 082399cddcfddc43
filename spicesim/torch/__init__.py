"""Layers of PyTorch that compute on a calibrated chip, to train networks for it. Needs torch: the extra ``train``."""

from spicesim.torch.layers import AnalogConv2d, AnalogLinear, make_analog, make_digital
from spicesim.torch.product import TrainingChip

__all__ = ["AnalogConv2d", "AnalogLinear", "TrainingChip", "make_analog", "make_digital"]
