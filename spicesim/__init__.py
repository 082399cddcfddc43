"""Circuit-level SPICE co-simulation of analog in-memory computing.

One chip description gives netlists, a calibration against ngspice, and networks run at circuit fidelity:

>>> import spicesim
>>> chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
>>> calibration = spicesim.calibrate(chip, quick=True)  # doctest: +SKIP
>>> network = spicesim.compile_network("model.onnx", calibration)  # doctest: +SKIP
"""

from importlib.metadata import version as _version

from spicesim import cells, errors, netlist
from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.chip import Chip, load_chip, preset, save_chip
from spicesim.crossbar import Crossbar
from spicesim.engine import ExactEngine, IdealEngine, NgspiceEngine
from spicesim.network import Network, compile_network

__all__ = [
    "Calibration",
    "Chip",
    "Crossbar",
    "ExactEngine",
    "IdealEngine",
    "Network",
    "NgspiceEngine",
    "audit_samples",
    "calibrate",
    "cells",
    "compile_network",
    "errors",
    "load_calibration",
    "load_chip",
    "netlist",
    "preset",
    "save_chip",
]

__version__ = _version("spicesim")
