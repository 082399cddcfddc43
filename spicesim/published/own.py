"""Macros of this package of the kinds that were published: what blocks draw in a product of a whole array.

Blocks are calibrated in ngspice at the array's full number of rows; random codes and conductances that crowd towards
the lowest, as trained ones do, are then solved on the whole array. Logic, control, clocks and the regulators of
references and of the inputs' voltages are ideal and are not counted. A weight takes two cells, and its product two
operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.calibration.calibrate import calibrate_blocks
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import Chip, preset
from spicesim.chip.description import LEAST_WINDOW
from spicesim.errors import SpecError
from spicesim.netlist.area import block_areas
from spicesim.netlist.hold import held_after

__all__ = ["KINDS", "NODE", "OwnPoint", "measure_macros", "own_supply"]

NODE = 180e-9
"""Of GF180MCU, in which all of :data:`KINDS` are [m]."""

VECTORS = 4
"""Products that energies are the mean of."""
VOLTAGE_BITS = ((1, 3), (2, 4), (3, 5), (4, 6), (6, 8), (8, 10))
"""Bits of inputs and outputs, of those at which NeuRRAM was measured."""
PULSE_BITS = ((4, 4), (6, 6), (8, 8))
"""The same, of AON-CiM and HERMES."""
LEAST_RESET = 50e-9
"""Of an integrator, in which its amplifier comes to rest [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPoint:
    """What a macro of this package does at one choice of bits."""

    preset: str
    """Chip that it was made from."""
    mode: str
    """How bits of inputs come together."""
    input_bits: int
    """Of an input."""
    output_bits: int
    """Of an output, as it is converted."""
    rows: int
    """Of the array."""
    columns: int
    """Of the array."""
    energy: dict[str, float]
    """Of a product of the whole array by block: dac, array, amplifier, adc [J]."""
    time: float
    """Of a product, all conversions included [s]."""
    area: float
    """Of a tile with its layout's overhead, which is assumed [m^2]."""
    adc_energy: float
    """Of a conversion, its logic left out [J]."""
    adc_time: float
    """Of a conversion [s]."""

    @property
    def operations(self) -> float:
        """Of a product: two a weight of two cells."""
        return float(self.rows * self.columns)

    @property
    def tops(self) -> float:
        """Operations in a time [1e12/s]."""
        return 1e-12 * self.operations / self.time

    @property
    def tops_per_watt(self) -> float:
        """Operations for an energy [1e12/J]."""
        return 1e-12 * self.operations / sum(self.energy.values())

    @property
    def tops_per_mm2(self) -> float:
        """Operations in a time by area [1e12/s/mm^2]."""
        return self.tops / (1e6 * self.area)

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON; SI units."""
        return {
            "preset": self.preset, "mode": self.mode, "input_bits": self.input_bits, "output_bits": self.output_bits,
            "rows": self.rows, "columns": self.columns, "energy": self.energy, "time": self.time, "area": self.area,
            "adc_energy": self.adc_energy, "adc_time": self.adc_time, "operations": self.operations, "tops": self.tops,
            "tops_per_watt": self.tops_per_watt, "tops_per_mm2": self.tops_per_mm2,
        }  # fmt: skip


def own_supply(name: str) -> float:
    """Return the supply of a preset [V]."""
    return preset(name).process.supply


def voltage_chip(size: int, input_bits: int, output_bits: int, planes: str) -> Chip:
    """Return the chip of floating lines, sized for little energy.

    Its cells are of 1..4 uS as NeuRRAM's, and lines settle in 40 ns; a comparator of half the width makes more noise
    and has a larger offset, which the widest span bears.
    """
    return preset("gf180-voltage").changed(
        array={"rows": size, "columns": size},
        cell={"g_min": 1e-6, "g_max": 4e-6},
        word_line_driver={"width": 5e-6},
        dac={"bits": max(input_bits, 2)},
        hold={"planes": planes, "settle": 40e-9},
        adc={"bits": output_bits},
        sar_adc={"comparator": {"input_width": 2e-6, "latch_width": 1e-6, "reset_width": 1e-6}},
    )


def _measure_voltage(size: int, bits: Sequence[tuple[int, int]], campaign: Campaign) -> list[OwnPoint]:
    """Measure floating lines with a conversion a bit, and with one an input where there is more than one bit."""
    chip = voltage_chip(size, 8, 8, "charge")
    blocks = calibrate_blocks(plan_calibration(chip, quick=True, aspects=(), error=1.0), campaign)
    assert blocks.hold is not None
    assert blocks.hold.adder is not None
    points = []
    for inputs, outputs in bits:
        for planes in ("digital", "charge") if inputs > 1 else ("digital",):
            own = voltage_chip(size, inputs, outputs, planes)
            adder = blocks.hold.adder.model_copy(update={"bits": own.dac.bits}) if own.hold.adds_planes else None
            hold = blocks.hold.model_copy(update={"adder": adder})
            calibration = blocks.model_copy(update={"chip": own, "hold": hold})
            products = 1 if own.hold.adds_planes else inputs
            points.append(_measure(calibration, f"bits added {_HOW[planes]}", (inputs, outputs), products, campaign))
    return points


_HOW = {"digital": "digitally", "charge": "as charge"}


def _measure_pulse(size: int, bits: Sequence[tuple[int, int]], campaign: Campaign) -> list[OwnPoint]:
    """Measure integrators of pulses; the window for these doubles with each bit of an input.

    Capacitors are as large as the charge of a window asks for, and so is the time that it takes to empty them: each
    number of bits is a macro of its own, with the same swing.
    """
    points, usual = [], preset("gf180-pulse")
    capacitor, reset = usual.integrator.capacitor, usual.integrator.reset
    for inputs, outputs in bits:
        unit = max(1e-9, LEAST_WINDOW / 2**inputs)  # of 4 bits steps are longer, as lines take 32 ns to settle
        share = unit * 2**inputs / usual.dac.window
        chip = usual.changed(
            array={"rows": size, "columns": size}, dac={"bits": inputs, "unit": unit}, adc={"bits": outputs},
            integrator={"capacitor": share * capacitor, "reset": max(LEAST_RESET, share * reset)},
        )  # fmt: skip
        blocks = calibrate_blocks(plan_calibration(chip, quick=True, aspects=(), error=1.0), campaign)
        points.append(_measure(blocks, "pulses", (inputs, outputs), 1, campaign))
    return points


def _measure(calibration: Calibration, mode: str, bits: tuple[int, int], products: int, campaign: Campaign) -> OwnPoint:
    """Calibrate the energies of a chip and solve a few products of a whole array."""
    energy = calibrate_energy(calibration, campaign)
    chip, cell = calibration.chip, calibration.chip.cell
    assert energy.adc is not None  # adc.bits are those of a converter in the library
    shape, rng = (chip.array.rows, chip.array.columns), np.random.default_rng(0)
    g = random_conductances(shape, cell.g_min, cell.g_max, rng, (cell.g_min + cell.g_max) / 2.5)
    codes = rng.integers(0, 2**chip.code_bits, (VECTORS, shape[0]))
    tile = calibration.tile(g, "bipolar", chip.settings[0])
    if calibration.integrator is not None:
        read = calibration.integrator.product("bipolar")
    else:
        assert calibration.hold is not None
        read = calibration.hold.duration + held_after(chip)
    time = read + energy.adc.time
    found = energy.tile_energy(tile, codes, tile.solve(codes), time)
    return OwnPoint(
        preset=chip.name, mode=mode, input_bits=bits[0], output_bits=bits[1], rows=shape[0], columns=shape[1],
        energy={name: products * float(own.mean()) for name, own in found.items()}, time=products * time,
        area=sum(block_areas(chip).tile(*shape, shape[1]).values()),
        adc_energy=energy.adc.energy, adc_time=energy.adc.time,
    )  # fmt: skip


Measure = Callable[[int, Sequence[tuple[int, int]], Campaign], list[OwnPoint]]
KINDS: dict[str, tuple[Measure, tuple[tuple[int, int], ...]]] = {
    "gf180-voltage": (_measure_voltage, VOLTAGE_BITS),
    "gf180-pulse": (_measure_pulse, PULSE_BITS),
}
"""By preset, how it is measured and at which bits of inputs and outputs."""


def measure_macros(
    names: Sequence[str], campaign: Campaign, *, size: int = 128, bits: Sequence[tuple[int, int]] | None = None
) -> tuple[OwnPoint, ...]:
    """Simulate macros of this package at the bits at which others of their kind were published.

    Parameters
    ----------
    names : sequence of str
        Presets, of :data:`KINDS`.
    campaign : Campaign
        Runs the simulations; what was done before is taken from the cache.
    size : int
        Rows, and columns.
    bits : sequence of (int, int), optional
        Of inputs and outputs; by default those of published macros.

    Raises
    ------
    SpecError
        If there is no such kind, or a size below 2.
    """
    if unknown := [name for name in names if name not in KINDS]:
        raise SpecError(f"no macro {unknown[0]!r} is compared; there are: {', '.join(KINDS)}")
    if size < 2:
        raise SpecError(f"an array to compare has 2 rows or more, got {size}")
    points: list[OwnPoint] = []
    for name in names:
        measure, usual = KINDS[name]
        points += measure(size, usual if bits is None else bits, campaign)
    return tuple(points)
