"""Networks from ONNX files: matrix products on arrays, all else digital, batches through any engine.

What happens to a network, and where:

1. *Loaded* and checked: ``loading``, ``layout``; ``model`` is what is done with ONNX afterwards. PyTorch modules are
   exported before, by ``exporter``.
2. *Compiled* for a chip: ``compiled`` takes it apart into products on arrays, ``layer``, and digital ``segments``.
   ``lowering`` rewrites what hides products, ``graph`` finds these; ``node``, ``contraction``, ``convolution``,
   ``recurrence`` and ``control`` say what they multiply; ``batch`` finds which axes count the batch.
3. *Tuned* on typical inputs: ``tuning`` fits the settings of all layers, their ``ranges`` and ``gains``.
4. *Prepared* for an engine: ``prepared`` has it make tiles ready when they are wanted, and keeps those that fit.
5. *Run*: ``run`` takes a batch through it; ``result`` is what comes out, ``samples`` what an audit gets.

``network`` is the whole, as users hold it.
"""

from spicesim.network.digits import Digits, digits_network, load_digits
from spicesim.network.network import Network, compile_network
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
