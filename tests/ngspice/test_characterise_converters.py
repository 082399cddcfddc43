"""Data sheets of the chip's own blocks agree with closed forms and with planted errors."""

import dataclasses

import numpy as np
import pytest

from simulation import PROCESSES
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.cell import cell_bench
from spicesim.characterise.dac import dac_bench
from spicesim.characterise.sense_amplifier import sense_amplifier_bench
from spicesim.chip import preset
from spicesim.errors import SpecError
from spicesim.netlist.mismatch import read_mismatch, with_mismatch
from spicesim.ngspice.batch import BatchSimulator

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=PROCESSES)
def chip(request):
    return preset(request.param)


@pytest.fixture(scope="module")
def dac_sheet(chip):
    return run_bench(dac_bench(chip), chip, Conditions())


@pytest.fixture(scope="module")
def senseamp_sheet(chip):
    return run_bench(sense_amplifier_bench(chip), chip, Conditions())


def test_the_dac_keeps_its_promises(chip, dac_sheet):
    assert dac_sheet["lsb"] == pytest.approx(chip.dac.v_span / 256, rel=1e-3)
    assert dac_sheet["inl"] < 0.25
    assert dac_sheet["dnl"] < 0.5
    assert 0.1 < dac_sheet["r_out"] < 10
    assert 1e-9 < dac_sheet["t_settle"] < 200e-9
    at_rest = dac_sheet["power"] * dac_sheet["t_settle"]
    assert at_rest < dac_sheet["energy"] < 10 * at_rest


def _leg(netlist, unit, k, change):
    """Change one leg of the ladder."""
    line = f"rleg{k} n{k} s{k} {2 * unit!r}"
    assert line in netlist.body
    return dataclasses.replace(netlist, body=netlist.body.replace(line, f"rleg{k} n{k} s{k} {2 * unit * change!r}"))


def _ladder(bits, unit, legs):
    """Solve an R-2R ladder's nodes at every code by Kirchhoff's law; voltages relative to the span."""
    out = []
    for code in range(2**bits):
        matrix, right = np.zeros((bits, bits)), np.zeros(bits)
        matrix[0, 0] += 1 / (2 * unit)
        for k, leg in enumerate(legs):
            matrix[k, k] += 1 / leg
            right[k] += (code >> k & 1) / leg
            if k:
                matrix[k - 1 : k + 1, k - 1 : k + 1] += np.array([[1, -1], [-1, 1]]) / unit
        out.append(np.linalg.solve(matrix, right)[-1])
    return np.array(out)


def test_planted_ladder_errors_come_out_in_the_inl(chip):
    """Two wrong legs move the INL by what Kirchhoff says for bare resistors, within 0.01 LSB."""
    unit = chip.dac.r_unit
    bench = dac_bench(chip)
    wrong = _leg(_leg(bench.netlists["codes"], unit, 7, 1.01), unit, 5, 0.98)
    clean, planted = (
        run_bench(
            dataclasses.replace(bench, netlists={**bench.netlists, "codes": netlist}), chip, Conditions()
        ).panels[0].curves["INL"]
        for netlist in (bench.netlists["codes"], wrong)
    )  # fmt: skip
    legs = np.full(8, 2 * unit)
    ideal = _ladder(8, unit, legs)
    legs[7], legs[5] = 1.01 * legs[7], 0.98 * legs[5]
    moved = _ladder(8, unit, legs)

    def inl(levels):
        return (levels - levels[0]) / (levels[-1] - levels[0]) * 255 - np.arange(256)

    expected = inl(moved) - inl(ideal)
    assert np.abs(expected).max() > 0.5, "the planted error is large against the bound"
    np.testing.assert_allclose(planted - clean, expected, atol=0.01)


def test_the_senseamps_bandwidth_noise_and_loop_agree_with_each_other(chip, senseamp_sheet):
    sheet = senseamp_sheet
    rf, rows = 40e3, chip.array.rows
    column = 1 / (rows * chip.cell.g_max / 2)
    assert sheet["gain"] == pytest.approx(rf, rel=2e-3)
    # the open gain from the loop's, which the column divides; offset times column moves the bias by a few per cent
    open_gain = sheet["loop_gain"] * (1 + rf / column)
    assert sheet["r_in"] == pytest.approx(rf / (1 + open_gain), rel=0.05)
    assert sheet["bandwidth"] == pytest.approx(sheet["crossover"] * (1 + 1 / sheet["loop_gain"]), rel=0.1)
    assert 60 < sheet["phase_margin"] < 95
    one_pole = np.log(1000) / (2 * np.pi * sheet["bandwidth"])
    assert sheet["t_settle"] == pytest.approx(one_pole, rel=0.25)
    # at the least the thermal noise of the feedback resistor and the column, both seen by the amplifier
    boltzmann = 1.380649e-23 * 300.15
    assert sheet["noise_density"] > np.sqrt(4 * boltzmann * (1 / rf + 1 / column))
    supply = chip.process.supply
    assert 0 < sheet["swing_low"] < 0.1
    assert supply - 0.15 < sheet["swing_high"] < supply


def test_a_designer_sees_what_more_bias_current_buys(chip, senseamp_sheet):
    """Twice the current: twice the power, and the bandwidth of a transconductance between its root and itself."""
    faster = chip.changed(sense_amplifier={"bias_current": 2 * chip.sense_amplifier.bias_current})
    sheet = run_bench(sense_amplifier_bench(faster), faster, Conditions())
    assert sheet.chip_hash != senseamp_sheet.chip_hash
    assert sheet["power"] / senseamp_sheet["power"] == pytest.approx(2, rel=0.1)
    assert 1.2 < sheet["bandwidth"] / senseamp_sheet["bandwidth"] < 2.1
    assert sheet["t_settle"] < senseamp_sheet["t_settle"]


def test_a_planted_shift_of_the_input_pair_is_the_offset(chip):
    """Shifting the threshold of m2 alone by d moves the offset of the virtual ground by d."""
    sigma = read_mismatch(chip.process)[chip.process.nmos].sigma_threshold(10e-6, 0.6e-6, 2)
    netlist = sense_amplifier_bench(chip).netlists["sweep"]

    def offset(z):
        planted = with_mismatch(netlist, chip.process, lambda path: (z if path.endswith(".m2") else 0.0, 0.0))
        return BatchSimulator().run(planted)[0].vectors["v(sense)"][200]

    assert offset(1.0) - offset(-1.0) == pytest.approx(-2 * sigma, rel=0.03)


def test_mismatch_spreads_the_offset_by_no_less_than_its_input_pair(chip):
    sheet = run_bench(sense_amplifier_bench(chip), chip, Conditions(samples=24, seed=2))
    pelgrom = read_mismatch(chip.process)[chip.process.nmos]
    pair = np.sqrt(2) * pelgrom.sigma_threshold(10e-6, 0.6e-6, 2)
    spread = sheet.entry("offset").spread
    assert spread.samples == 24
    assert pair * (1 - 3 / np.sqrt(46)) < spread.sigma < 2.2 * pair
    again = run_bench(sense_amplifier_bench(chip), chip, Conditions(samples=24, seed=2))
    assert again.entry("offset").spread == spread


def test_a_linear_cell_is_its_device_behind_its_transistor(chip):
    linear = chip.changed(cell={"kappa": 0.0})
    sheet = run_bench(cell_bench(linear), linear, Conditions())
    assert sheet["g_min"] == pytest.approx(chip.cell.g_min, rel=3e-3)
    r = sheet["r_access"]
    assert 500 < r < 5000
    assert sheet["g_max"] == pytest.approx(1 / (1 / chip.cell.g_max + r), rel=1e-6)
    assert sheet["on_off"] < chip.cell.g_max / chip.cell.g_min
    assert abs(sheet["nonlinearity_min"]) < 0.01


def test_a_bare_sinh_device_has_the_nonlinearity_of_sinh(chip):
    bare = chip.changed(cell={"kind": "1r", "kappa": 2.0})
    sheet = run_bench(cell_bench(bare), bare, Conditions())
    expected = np.sinh(0.4) / 0.4 / (np.sinh(0.2) / 0.2) - 1
    assert sheet["nonlinearity_max"] == pytest.approx(100 * expected, rel=1e-6)
    assert sheet["on_off"] == pytest.approx(50, rel=1e-6)


@pytest.mark.parametrize("samples", [-1, 1])
def test_too_few_samples_are_refused(samples):
    with pytest.raises(SpecError, match="two samples"):
        Conditions(samples=samples)


def test_an_impossible_feedback_is_refused(chip):
    with pytest.raises(SpecError, match="positive"):
        sense_amplifier_bench(chip, -1.0)
