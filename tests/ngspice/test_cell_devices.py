"""Cells of other devices: the same netlists, the same calibration."""

import numpy as np
import pytest

from spicesim.calibration.cell import plan_cell
from spicesim.characterise import BLOCKS
from spicesim.chip import preset
from spicesim.chip.library import library_text
from spicesim.errors import SpecError
from spicesim.netlist import build_cell, build_crossbar, read_conductances
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all


def chip_of(device, kind="1t1r"):
    kappa = 0.0 if device == "ecram" else 1.5
    return preset("generic-1t1r").changed(cell={"kind": kind, "device": device, "kappa": kappa})


def current(chip):
    found = BatchSimulator().run(build_cell(chip, 50e-6))[0].vectors
    return found["v(wl)"] - found["v(bl)"], found["i(vsense_0)"]


@pytest.mark.parametrize("kind", ["1r", "1t1r"])
def test_pcm_and_rram_conduct_alike_at_read_voltages(kind):
    (v, rram), (_, pcm) = current(chip_of("rram", kind)), current(chip_of("pcm", kind))
    np.testing.assert_allclose(pcm, rram, rtol=1e-9, atol=1e-15)
    if kind == "1r":
        np.testing.assert_allclose(pcm, 50e-6 * np.sinh(1.5 * v) / 1.5, rtol=1e-9, atol=1e-15)


def test_ecram_is_linear_but_for_what_its_gate_leaks():
    v, i = current(chip_of("ecram", "1r"))
    leak = 1.65 / 100e9  # of the reference at its channel's middle
    np.testing.assert_allclose(i, 50e-6 * v, rtol=1e-6, atol=leak)


@pytest.mark.parametrize("device", ["pcm", "ecram"])
def test_a_cell_is_calibrated_whatever_its_device(device):
    chip = chip_of(device)
    plan = plan_cell(chip, quick=True)
    judged = plan.fit(chip, run_all(plan.netlists(chip)))
    assert judged.test["cell current"].max_error < 3e-4
    v, i = current(chip)
    read = np.interp(chip.cell.v_read, v, i) / chip.cell.v_read
    assert judged.model.read_conductance(50e-6) == pytest.approx(read, rel=1e-3)


@pytest.mark.parametrize("kind", ["1s1r", "2t2r"])
def test_cells_with_a_data_sheet_of_their_own_have_no_other(kind):
    with pytest.raises(SpecError, match=f"run: spicesim characterise {kind}"):
        BLOCKS["cell"].bench(preset("generic-1t1r").changed(cell={"kind": kind}))


@pytest.mark.parametrize("device", ["pcm", "ecram"])
@pytest.mark.parametrize("kind", ["1r", "1t1r"])
def test_conductances_read_back_whatever_the_device(tmp_path, kind, device):
    g = np.array([[1e-5, 0.0], [1 / 3e4, 2e-5]])
    build_crossbar(chip_of(device, kind), g, [0.1, 0.2]).write(tmp_path / "x.cir")
    np.testing.assert_array_equal(read_conductances(tmp_path / "x.cir"), g)


def test_a_cell_of_ones_own_may_call_any_device(tmp_path):
    text = library_text("cell_1t1r.cir").replace("rram  g={g} kappa={kappa}", "pcm  g={g} v0={1/kappa} t=1meg nu=0.1")
    (tmp_path / "cell_1t1r.cir").write_text(text)
    chip = chip_of("rram").changed(library=str(tmp_path))
    v, i = current(chip)
    device = 50e-6 * 1e6**-0.1  # drifted for 1e6 s, in series with its transistor
    assert 0.9 < i[-1] / (device * np.sinh(1.5 * v[-1]) / 1.5) < 1
    with pytest.raises(SpecError, match=r"no line 'xd .. rram"):
        build_cell(chip.changed(cell={"device": "ecram", "kappa": 0.0}), 1e-5)


def test_a_nonlinear_ecram_is_refused():
    with pytest.raises(SpecError, match="ecram device is linear; set kappa = 0"):
        preset("generic-1t1r").changed(cell={"device": "ecram"})
