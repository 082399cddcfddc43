"""Engines: one protocol for everything that can multiply a vector by a tile.

``prepare`` once a tile, ``mvm`` many times. An engine is the analog part of a macro, from DAC codes to the output
of the sense amplifiers; the ADC that follows is the same for all (:class:`spicesim.coding.AdcRange`).
Ideal, exact, fast and ngspice do whole products; the others wrap one of them, or several, with what it leaves out.
"""

from spicesim.engine.choice import build_engine
from spicesim.engine.device import DeviceEngine, PreparedDevices
from spicesim.engine.exact import ExactEngine, PreparedTile
from spicesim.engine.fast import FastEngine, PreparedFastTile
from spicesim.engine.ideal import IdealEngine
from spicesim.engine.mixed import MixedEngine, PreparedMixed
from spicesim.engine.noisy import NoisyEngine, PreparedNoise
from spicesim.engine.protocol import Engine, Tile
from spicesim.engine.sample import SampledMvm
from spicesim.engine.sampled import PreparedTransient, SampledEngine
from spicesim.engine.transfer import PreparedTransfer, TransferEngine
from spicesim.engine.transistor import NgspiceEngine, PreparedCircuit
from spicesim.engine.write_verify import WriteVerify

__all__ = [
    "DeviceEngine",
    "Engine",
    "ExactEngine",
    "FastEngine",
    "IdealEngine",
    "MixedEngine",
    "NgspiceEngine",
    "NoisyEngine",
    "PreparedCircuit",
    "PreparedDevices",
    "PreparedFastTile",
    "PreparedMixed",
    "PreparedNoise",
    "PreparedTile",
    "PreparedTransfer",
    "PreparedTransient",
    "SampledEngine",
    "SampledMvm",
    "Tile",
    "TransferEngine",
    "WriteVerify",
    "build_engine",
]
