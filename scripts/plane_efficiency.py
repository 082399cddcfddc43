"""Operations a joule of a macro of floating lines, its bit planes added digitally and as charge, by block.

Blocks are calibrated in ngspice at the array's full number of rows; random codes and conductances that crowd towards
the lowest, as trained ones do, are then solved on the whole array. An operation is a multiplication or an addition, two
a cell. Logic, control and the regulators of the two input voltages are not counted; in NeuRRAM's numbers they are.
"""

from dataclasses import dataclass

import click
import numpy as np

from spicesim.calibration.calibrate import calibrate_blocks
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import Chip, preset

NEURRAM = {(1, 3): 43.1, (2, 4): 40.3, (3, 5): 23.1, (4, 6): 15.95, (6, 8): 8.26, (8, 10): 6.44}
"""TOPS/W measured at (input, output) bits of 256x256 cells in 130 nm: Wan et al., Nature 2022."""
VECTORS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """Of one product of a whole array by block [J], and its time [s]."""

    blocks: dict[str, float]
    time: float

    @property
    def total(self) -> float:
        """Of all blocks [J]."""
        return sum(self.blocks.values())


def describe(size: int, inputs: int, outputs: int, planes: str, settle: float) -> Chip:
    """Return a macro of cells of 1..4 uS whose lines settle in some ten ns."""
    return preset("gf180-voltage").changed(
        array={"rows": size, "columns": size},
        cell={"g_min": 1e-6, "g_max": 4e-6},
        word_line_driver={"width": 8e-6},
        dac={"bits": max(inputs, 2)},
        hold={"planes": planes, "settle": settle},
        adc={"bits": outputs},
    )


def measure(calibration: Calibration, inputs: int) -> Energies:
    """Solve a few products of a whole array; planes that are added digitally are converted one by one."""
    chip, energy = calibration.chip, calibration.require_energy()
    assert energy.adc is not None
    assert calibration.hold is not None
    rng = np.random.default_rng(0)
    shape, cell = (chip.array.rows, chip.array.columns), chip.cell
    g = random_conductances(shape, cell.g_min, cell.g_max, rng, (cell.g_min + cell.g_max) / 2.5)
    codes = rng.integers(0, 2**chip.code_bits, (VECTORS, shape[0]))
    tile = calibration.tile(g, "bipolar", 1.0)
    time = calibration.hold.duration + energy.adc.time
    found = energy.tile_energy(tile, codes, tile.solve(codes), time)
    products = 1 if chip.hold.adds_planes else inputs
    return Energies(
        blocks={name: products * float(own.mean()) for name, own in found.items()},
        time=products * time,
    )


@click.command()
@click.option("--size", type=int, default=128, show_default=True, help="Rows and columns.")
@click.option("--settle", type=float, default=40e-9, show_default=True, help="Time of lines to settle [s].")
@click.option("--jobs", type=int, default=1, show_default=True)
def main(size: int, settle: float, jobs: int) -> None:
    """Print the table."""
    campaign = Campaign(quick=True, jobs=jobs)
    chip = describe(size, 8, 8, "charge", settle)
    blocks = calibrate_blocks(plan_calibration(chip, quick=True, aspects=(), error=1.0), campaign)
    assert blocks.hold is not None
    assert blocks.hold.adder is not None
    head = "in, out  planes     TOPS/W   NeuRRAM  drivers  array  switches  converters [%]   ns a product"
    click.echo(f"{size}x{size} cells of 1..4 uS, {1e9 * settle:g} ns to settle\n{head}")
    for (inputs, outputs), known in NEURRAM.items():
        for planes in ("digital", "charge"):
            if planes == "charge" and inputs == 1:
                continue
            own = describe(size, inputs, outputs, planes, settle)
            adder = blocks.hold.adder.model_copy(update={"bits": own.dac.bits}) if own.hold.adds_planes else None
            hold = blocks.hold.model_copy(update={"adder": adder})
            calibration = blocks.model_copy(update={"chip": own, "hold": hold})
            energy = calibrate_energy(calibration, campaign)
            found = measure(calibration.model_copy(update={"energy": energy}), inputs)
            shares = [100 * found.blocks[name] / found.total for name in ("dac", "array", "amplifier", "adc")]
            click.echo(
                f"{inputs:2d}, {outputs:2d}   {planes:8s} {2e-12 * size**2 / found.total:8.1f} {known:9.2f}"
                f" {shares[0]:8.0f} {shares[1]:6.0f} {shares[2]:9.0f} {shares[3]:11.0f} {1e9 * found.time:18.0f}"
            )


if __name__ == "__main__":
    main()
