"""Networks from ONNX files: matrix products on arrays, all else digital, batches through any engine."""

from spicesim.network.compilation import compile_network
from spicesim.network.digits import Digits, digits_network, load_digits
from spicesim.network.inference import Network
from spicesim.network.result import LayerStats, Result, RunStats

__all__ = [
    "Digits",
    "LayerStats",
    "Network",
    "Result",
    "RunStats",
    "compile_network",
    "digits_network",
    "load_digits",
]
