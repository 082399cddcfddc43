"""Wire resistance, planted in a netlist, comes back from the array's currents alone."""

import numpy as np
import pytest

from spicesim.calibration.cell import fit_cell, plan_cell
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.wires import fit_wires
from spicesim.chip import preset
from spicesim.netlist import build_crossbar
from spicesim.sampling import run_all


def ngspice_currents(chip, g, v):
    results = run_all([build_crossbar(chip, g, vector) for vector in v])
    return np.array([[r[0].vectors[f"i(vsense_{j})"][0] for j in range(g.shape[1])] for r in results])


@pytest.mark.parametrize(("r_word_line", "r_bit_line"), [(2.7, 0.9), (0.6, 4.1)])
def test_planted_resistances_of_an_array_of_transistor_cells_come_back_to_a_thousandth(
    gf180_calibration, r_word_line, r_bit_line
):
    """The law of the cells is fitted to the points of a full calibration, not of a quick one."""
    rng = np.random.default_rng(5)
    chip = gf180_calibration.chip.changed(array={"r_word_line": r_word_line, "r_bit_line": r_bit_line})
    g = random_conductances((32, 32), chip.cell.g_min, chip.cell.g_max, rng)
    v = rng.uniform(0, chip.dac.v_span, (4, 32))
    plan = plan_cell(chip)
    cell = fit_cell(chip, plan, run_all(plan.netlists(chip))).model.cell
    found = fit_wires(g, v, ngspice_currents(chip, g, v), cell=cell).values
    assert found["r_word_line"] == pytest.approx(r_word_line, rel=1e-3)
    assert found["r_bit_line"] == pytest.approx(r_bit_line, rel=1e-3)


def test_planted_resistances_of_linear_cells_come_back_to_a_millionth():
    rng = np.random.default_rng(6)
    chip = preset("generic-1t1r").changed(
        array={"r_word_line": 3.3, "r_bit_line": 1.7}, cell={"kind": "1r", "kappa": 0.0}
    )
    g = random_conductances((16, 12), chip.cell.g_min, chip.cell.g_max, rng)
    v = rng.uniform(-0.2, 0.2, (3, 16))
    found = fit_wires(g, v, ngspice_currents(chip, g, v)).values
    assert found["r_word_line"] == pytest.approx(3.3, rel=1e-6)
    assert found["r_bit_line"] == pytest.approx(1.7, rel=1e-6)


def test_one_cell_cannot_tell_its_two_wires_apart():
    v = np.array([[0.1], [0.15], [0.2]])
    found = fit_wires([[1e-4]], v, v / (1e4 + 3.0))
    assert found.parameters == {}
    assert set(found.unidentifiable) == {"r_word_line", "r_bit_line"}
