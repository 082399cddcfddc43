"""What a network takes on a chip: energy, time and area, by block, layer and inference.

Method. A random sample of the products that the network does is solved on the calibrated chip. The power of each at
rest (drivers, array, amplifiers) comes from the solved currents and the blocks' calibrated supply power; it flows from
the change of codes until the last column is converted, ``t_read + columns_per_adc * t_conversion``. To it come the
energy of the change of codes and outputs, and of every conversion. A layer's energy is the mean over its products times
their number; the sum over blocks is what the supplies deliver. Tiles that wait, and rows and columns without weights,
draw nothing. All tiles of a layer work at a time, one vector after the other; layers do so one after the other (serial
latency), or each on the next input (pipelined: the slowest layer is the interval between inputs). Areas are sums over
the blocks' devices times a layout's overhead, of whole arrays, whatever part of them has weights. Layers that multiply
by the same weights share arrays: their area is that of the first, and they take turns. Digital work, control and buses
are not counted. An operation is a multiplication or an addition of a weight that the network has, two a MAC, whatever
array the mapping leaves empty.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spicesim.arrays import Floats, Integers
from spicesim.behavioural.energy import EnergyModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.calibration import Calibration
from spicesim.coding import POLARITIES
from spicesim.engine import ExactEngine, SampledMvm, Tile
from spicesim.errors import CalibrationError, SpecError
from spicesim.experiment.chip import BuiltChip
from spicesim.netlist.area import Layout, block_areas
from spicesim.netlist.hold import held_after
from spicesim.network import Network
from spicesim.network.compiled import Inputs
from spicesim.network.result import LayerStats

__all__ = ["BLOCKS", "Footprint", "LayerFootprint", "estimate_footprint"]

BLOCKS = {"dac": "drivers", "array": "array", "amplifier": "amplifiers", "adc": "converters"}
"""Blocks of a tile, each with the word for it."""
OTHERS = {"logic": "logic", "rails": "rails"}
"""What takes its part where logic of converters is of cells, and where rails have impedances, the same."""
PAIRS = 4
"""Changes of codes a layer whose settling is watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFootprint:
    """What one layer takes for an inference."""

    name: str
    """Name of the layer."""
    array: str
    """Name of the layer whose tiles these are: its own, or an earlier one with the same weights."""
    tiles: int
    """Tiles it takes."""
    vectors: float
    """Vectors an inference, each a product of every tile that shares its rows."""
    products: float
    """Products of a vector with a tile an inference."""
    macs: float
    """Multiplications by a weight an inference."""
    energy: dict[str, float]
    """By block [J]."""
    standard_error: float
    """Of the energy's sum, since products were sampled [J]."""
    sampled: int
    """Products in the sample."""
    t_product: float
    """Time of a product, conversions included [s]."""
    area: dict[str, float]
    """By block [m^2]; 0 where the tiles are another layer's."""

    @property
    def total_energy(self) -> float:
        """Of all blocks [J]."""
        return sum(self.energy.values())

    @property
    def latency(self) -> float:
        """Time from the first to the last vector [s]."""
        return self.vectors * self.t_product


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a network takes for an inference."""

    layers: tuple[LayerFootprint, ...]
    """Each analog layer, in the order of execution."""
    t_read: float
    """Time from a change of codes to the sample [s]."""
    columns_per_adc: int
    """Columns that share a converter."""

    @property
    def blocks(self) -> dict[str, str]:
        """What takes energy or area, each with the word for it."""
        return BLOCKS | {name: word for name, word in OTHERS.items() if any(name in one.energy for one in self.layers)}

    @property
    def energy(self) -> dict[str, float]:
        """Of an inference by block [J]."""
        return {block: sum(layer.energy[block] for layer in self.layers) for block in self.blocks}

    @property
    def total_energy(self) -> float:
        """Of an inference [J]."""
        return sum(self.energy.values())

    @property
    def standard_error(self) -> float:
        """Of :attr:`total_energy` [J]."""
        return math.sqrt(sum(layer.standard_error**2 for layer in self.layers))

    @property
    def area(self) -> dict[str, float]:
        """Of all tiles by block [m^2]."""
        return {block: sum(layer.area[block] for layer in self.layers) for block in self.blocks}

    @property
    def macs(self) -> float:
        """Multiplications by a weight an inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def latency(self) -> float:
        """Of one inference, layer after layer [s]."""
        return sum(layer.latency for layer in self.layers)

    @property
    def interval(self) -> float:
        """Between inferences, if all arrays work at a time [s]."""
        busy: dict[str, float] = defaultdict(float)
        for layer in self.layers:
            busy[layer.array] += layer.latency
        return max(busy.values())

    @property
    def energy_per_mac(self) -> float:
        """Of one MAC [J]."""
        return self.total_energy / self.macs

    @property
    def tops_per_watt(self) -> float:
        """Operations for an energy, two a MAC [1e12/J]."""
        return 2e-12 / self.energy_per_mac

    @property
    def tops(self) -> float:
        """Operations in a time, pipelined [1e12/s]."""
        return 2e-12 * self.macs / self.interval

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON; SI units."""
        return {
            "t_read": self.t_read,
            "columns_per_adc": self.columns_per_adc,
            "energy": self.energy,
            "energy_total": self.total_energy,
            "energy_standard_error": self.standard_error,
            "latency": self.latency,
            "interval_pipelined": self.interval,
            "area": self.area,
            "area_total": sum(self.area.values()),
            "macs": self.macs,
            "energy_per_mac": self.energy_per_mac,
            "tops_per_watt": self.tops_per_watt,
            "tops": self.tops,
            "layers": [
                {
                    "name": layer.name,
                    "array": layer.array,
                    "tiles": layer.tiles,
                    "vectors": layer.vectors,
                    "products": layer.products,
                    "macs": layer.macs,
                    "sampled": layer.sampled,
                    "energy": layer.energy,
                    "energy_total": layer.total_energy,
                    "energy_standard_error": layer.standard_error,
                    "t_product": layer.t_product,
                    "latency": layer.latency,
                    "area": layer.area,
                }
                for layer in self.layers
            ],
        }


def estimate_footprint(
    network: Network,
    inputs: Inputs,
    chip: BuiltChip,
    *,
    t_read: float | None = None,
    columns_per_adc: int = 1,
    layout: Layout | None = None,
    products: int = 2048,
    seed: int = 0,
) -> Footprint:
    """Estimate what a network takes on a chip; the module says how.

    Parameters
    ----------
    network : Network
        With ranges fitted.
    inputs : array_like or mapping of str to array_like
        A few typical inputs; all of them are run.
    chip : BuiltChip
        What runs the network to find the products, and the circuit that tells what each of them takes.
    t_read : float, optional
        Time from a change of codes to the sample [s]; by default the longest that a sample of changes takes to settle
        within .2 % of full scale, for which the calibration must have settling. Floating lines and pulses have theirs.
    columns_per_adc : int
        Columns that share a converter.
    layout : Layout, optional
        What devices take of area.
    products : int
        Products to solve, about; as many of each layer, one at least.
    seed : int
        Of their sample.

    Raises
    ------
    CalibrationError
        If the calibration has no energies, or no settling and no `t_read` is given.
    SpecError
        If a time or number is not positive, or a layer does no product.
    """
    exact = chip.exact
    if exact is None:
        raise CalibrationError("a chip that nobody calibrated has no energies; run: spicesim calibrate CHIP.toml")
    calibration = exact.calibration
    model, areas = calibration.require_energy(), block_areas(calibration.chip, layout)
    if columns_per_adc < 1 or (t_read is not None and not (0 < t_read < math.inf)):
        raise SpecError(f"t_read and columns_per_adc must be positive, got {t_read} s and {columns_per_adc}")
    result = network.run(inputs, chip.quick, sample=products, by_layer=True, seed=seed)
    by_layer: dict[str, list[SampledMvm]] = defaultdict(list)
    for sample in result.samples:
        by_layer[sample.layer].append(sample)
    missing = [layer.name for layer in network.layers if not by_layer[layer.name]]
    if missing:
        raise SpecError(f"layer {missing[0]!r} did no product with these inputs; give inputs that reach it")
    if calibration.hold is not None:
        t_read = calibration.hold.duration + held_after(calibration.chip)
    elif calibration.integrator is not None:
        t_read = max(calibration.integrator.product(polarity) for polarity in POLARITIES)
    elif t_read is None:
        t_read = max(_settling(found, calibration, exact) for found in by_layer.values())
    if model.adc is None:
        raise CalibrationError("no energy of so fine an ADC is calibrated; set adc.bits to 10 or less")
    t_product = t_read + columns_per_adc * model.adc.time
    layers, array = [], (calibration.chip.array.rows, calibration.chip.array.columns)
    for layer, stats, tiles in zip(network.layers, result.stats.layers, network.tiles(), strict=True):
        energies = _energies(by_layer[layer.name], model, exact, t_product)
        taken = _footprint(stats, len(tiles), energies, result.stats.images, t_product)
        blocks = areas.tile(*array, -(-array[1] // columns_per_adc))
        area = {block: layer.own_tiles * blocks.get(block, 0.0) for block in energies}
        macs = layer.node.weights.size * taken.vectors / stats.pulses
        layers.append(replace(taken, macs=macs, area=area))
    return Footprint(layers=tuple(layers), t_read=t_read, columns_per_adc=columns_per_adc)


def _energies(samples: list[SampledMvm], model: EnergyModel, exact: ExactEngine, t_product: float) -> dict[str, Floats]:
    """Return the energy of every sampled product by block [J]."""
    found: dict[str, list[Floats]] = defaultdict(list)
    for tile, codes in _by_tile(samples):
        prepared = exact.prepare(tile).model
        energy = model.tile_energy(prepared, codes, prepared.solve(codes), t_product)
        for block, own in energy.items():
            found[block].append(own)
    return {block: np.concatenate(parts) for block, parts in found.items()}


def _by_tile(samples: list[SampledMvm]) -> list[tuple[Tile, Integers]]:
    tiles: dict[Tile, list[SampledMvm]] = defaultdict(list)
    for sample in samples:
        tiles[sample.tile].append(sample)
    return [(tile, np.stack([sample.codes for sample in found])) for tile, found in tiles.items()]


def _settling(samples: list[SampledMvm], calibration: Calibration, exact: ExactEngine) -> float:
    """Return the longest time to settle of a few changes of codes [s]."""
    if calibration.settling is None:
        raise CalibrationError(
            "the calibration has no settling, so t_read must be given: add --t-read 200ns, or calibrate with "
            "--aspects energy,settling"
        )
    tile, codes = max(_by_tile(samples), key=lambda found: found[0].g.size * min(len(found[1]), 2))
    model = exact.prepare(tile).model
    assert isinstance(model, BehaviouralTile)  # pulses have their own time
    transient = TileTransient(model, calibration.settling)
    after = codes[-PAIRS:]
    return float(transient.t_settle(np.roll(codes, 1, axis=0)[-PAIRS:], after).max())


def _footprint(
    stats: LayerStats, tiles: int, energies: dict[str, Floats], images: int, t_product: float
) -> LayerFootprint:
    """Return what a layer takes, but for its MACs and area."""
    products, total = stats.mvms / images, sum(energies.values(), np.zeros(1))
    spread = float(total.std(ddof=1)) if len(total) > 1 else 0.0
    every = len(total) == stats.mvms
    return LayerFootprint(
        name=stats.name, array=stats.array, tiles=tiles, vectors=products / tiles, products=products, macs=0.0,
        energy={block: products * float(own.mean()) for block, own in energies.items()},
        standard_error=0.0 if every else products * spread / math.sqrt(len(total)),
        sampled=len(total), t_product=t_product, area={},
    )  # fmt: skip
