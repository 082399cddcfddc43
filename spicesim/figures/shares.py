"""Where the energy of a product and the area of a tile go."""

import numpy as np

from spicesim.calibration.patterns import random_conductances
from spicesim.experiment.footprint import BLOCKS, OTHERS
from spicesim.figures.study import Study
from spicesim.netlist.area import block_areas
from spicesim.netlist.hold import held_after
from spicesim.plots.chart import Chart, Grid
from spicesim.units import format_si

__all__ = ["energy_and_area"]

T_READ = 200e-9
"""Of held lines, from a change of codes to the sample [s]."""


def energy_and_area(study: Study) -> Chart:
    """Show the parts of the energy of a product of the whole array, and of its area."""
    calibration, chip, rng = study.calibration, study.calibration.chip, study.rng
    model, shape = calibration.require_energy(), (chip.array.rows, chip.array.columns)
    low, high = chip.cell.g_min, chip.cell.g_max
    g = random_conductances(shape, low, high, rng, (low + high) / 2.5)
    polarity, setting = chip.polarities[-1], chip.settings[0]
    codes = rng.integers(0, 2**chip.code_bits, (4, shape[0]))
    assert model.adc is not None  # the catalogue asks for it
    if calibration.hold is not None:
        read = calibration.hold.duration + held_after(chip)
    elif calibration.integrator is not None:
        read = calibration.integrator.product(polarity)
    else:
        read = T_READ
    tile = calibration.tile(g, polarity, setting)
    time = read + chip.adc.columns * model.adc.time
    found = model.tile_energy(tile, codes, tile.solve(codes), time)
    blocks = BLOCKS | {name: word for name, word in OTHERS.items() if name in found}
    energy = np.array([float(found[name].mean()) for name in blocks])
    areas = block_areas(chip).tile(*shape, -(-shape[1] // chip.adc.columns))
    area = np.array([areas.get(name, 0.0) for name in blocks])  # that of logic is within its converter
    missing = "Control" if "logic" in blocks else "Logic, control"
    return Chart(
        title="Energy and area by block",
        caption=f"Of a product of random codes with {shape[0]}x{shape[1]} random cells that crowd towards the lowest "
        f"conductance: {format_si(energy.sum(), 'J', 3)} in {format_si(time, 's', 3)}; of its tile, "
        f"{1e6 * area.sum():.3g} mm² of devices times an assumed layout's overhead of 3. {missing}, references "
        "and regulators are ideal and not counted.",
        kind="shares",
        grid=Grid(
            rows=("energy", "area"),
            columns=tuple(blocks.values()),
            values=100 * np.stack([energy / energy.sum(), area / area.sum()]),
            unit="share [%]",
        ),
    )
