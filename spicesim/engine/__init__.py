"""Engines: one protocol for everything that can multiply a vector by a tile.

An engine prepares a tile once; the prepared tile multiplies itself. It is the analog part of a macro, from DAC codes to
the output of the sense amplifiers; the ADC that follows is the same for all, a :class:`spicesim.coding.AdcRange` or, if
it was calibrated, a :class:`spicesim.behavioural.converter.ConverterRange`. Ideal, exact, fast, transfer and ngspice do
whole products; the others wrap one of them, or several, with what it leaves out. An engine of one's own is a
class with the same face.
"""

from spicesim.engine.choice import build_engine
from spicesim.engine.converters import ConvertedTile, ConverterEngine
from spicesim.engine.device import DeviceEngine, DeviceTile
from spicesim.engine.exact import ExactEngine, ExactTile
from spicesim.engine.fast import ApproximateTile, FastEngine
from spicesim.engine.hand_over import HandOverEngine, HandOverTile
from spicesim.engine.ideal import IdealEngine, IdealTile
from spicesim.engine.macro import MacroBench, MacroProduct
from spicesim.engine.mixed import MixedEngine
from spicesim.engine.noisy import NoisyEngine, NoisyTile
from spicesim.engine.parts import CONVERTER_PARTS, PartialConverterEngine
from spicesim.engine.products import RandomProducts, random_products
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile, TileAround
from spicesim.engine.sample import SampledMvm
from spicesim.engine.sampled import SampledEngine, SampledTile
from spicesim.engine.transfer import FloatingTransferTile, TransferEngine, TransferTile
from spicesim.engine.transistor import CircuitTile, NgspiceEngine
from spicesim.engine.write_verify import WriteVerify

__all__ = [
    "CONVERTER_PARTS",
    "ApproximateTile",
    "CircuitTile",
    "Codes",
    "ConvertedTile",
    "ConverterEngine",
    "DeviceEngine",
    "DeviceTile",
    "Engine",
    "ExactEngine",
    "ExactTile",
    "FastEngine",
    "FloatingTransferTile",
    "HandOverEngine",
    "HandOverTile",
    "IdealEngine",
    "IdealTile",
    "MacroBench",
    "MacroProduct",
    "MixedEngine",
    "NgspiceEngine",
    "NoisyEngine",
    "NoisyTile",
    "PartialConverterEngine",
    "PreparedTile",
    "RandomProducts",
    "SampledEngine",
    "SampledMvm",
    "SampledTile",
    "Tile",
    "TileAround",
    "TransferEngine",
    "TransferTile",
    "WriteVerify",
    "build_engine",
    "random_products",
]
