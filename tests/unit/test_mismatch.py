"""Mismatch follows the foundry's formulas, and a draw depends on seed and path alone."""

import math
import re

import numpy as np
import pytest
from scipy.stats import kstest

from spicesim.calibration.mismatch_check import RESOLUTION, MismatchCheck
from spicesim.chip import ModelFile, preset
from spicesim.cli.tables import format_mismatch
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.netlist import build_cell, build_dac, build_sense_amplifier
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.mismatch import drawn_devices, read_mismatch, same_device, with_mismatch


def test_the_foundrys_coefficients_are_read_from_its_file():
    found = read_mismatch(preset("gf180-1t1r").process)
    n, p = found["nfet_03v3"], found["pfet_03v3"]
    # var_vth = 0.7071 par_vth 1e-6/sqrt((l - 1.5e-7)(w + 1e-7)), par_vth 0.007148 and 0.00666
    assert n.sigma_threshold(10e-6, 0.6e-6) == pytest.approx(0.7071 * 0.007148 / math.sqrt(0.45 * 10.1), rel=1e-12)
    assert p.a_threshold == pytest.approx(0.7071 * 0.00666e-6, rel=1e-12)
    assert n.a_gain == pytest.approx(0.7071 * 0.007008e-6, rel=1e-12)
    assert n.sigma_threshold(10e-6, 0.6e-6, 4) == pytest.approx(n.sigma_threshold(10e-6, 0.6e-6) / 2)


def test_the_generic_process_has_mismatch_too_in_every_corner():
    process = preset("generic-1t1r").process
    assert set(read_mismatch(process)) == {"nch", "pch"}
    assert read_mismatch(process.corner("ss")) == read_mismatch(process)


def test_a_model_file_without_statistics_says_so(tmp_path):
    (tmp_path / "cards.cir").write_text(".model nch nmos level=1\n.model pch pmos level=1\n")
    process = preset("generic-1t1r").process.model_copy(
        update={"models": (ModelFile(path=str(tmp_path / "cards.cir")),)}
    )
    with pytest.raises(SpecError, match=r"hold no mismatch of 'nch'.*par_vth"):
        read_mismatch(process)


def test_transistors_that_are_subcircuits_need_a_law_of_ones_own():
    process = preset("gf180-1t1r").process.model_copy(update={"call": "X"})
    with pytest.raises(SpecError, match=r"say process.matching"):
        read_mismatch(process)


def test_a_subcircuits_gain_is_drawn_by_area_width_and_length():
    """The shift is a source at its gate; the number in parallel a parameter, as ngspice looks names up inside."""
    chip = preset("ihp130-1t1r")
    netlist = with_mismatch(build_cell(chip, 1e-5), chip.process, lambda path: (2.0, -1.0))
    width, length = chip.cell.access_width, chip.cell.access_length
    scope = {"w": width, "l": length, "xm1_vth": 2.0, "xm1_gain": -1.0}
    assert "xm1_vth=2.0 xm1_gain=-1.0" in netlist.body
    (gain,) = re.findall(r"^\.param gain_xm1=(.*)$", netlist.body, re.MULTILINE)
    sigma = math.hypot(5e-9 / math.sqrt(width * length), 4e-9 / width, 2e-9 / length)
    assert evaluate_expression(gain, scope) == pytest.approx(1 + sigma, rel=1e-9)
    (shift,) = re.findall(r"^vshift_xm1 gate gate_xm1 (.*)$", netlist.body, re.MULTILINE)
    assert evaluate_expression(shift, scope) == pytest.approx(2 * 3.9e-9 / math.sqrt(width * length), rel=1e-9)


@pytest.mark.parametrize("name", ["gf180-1t1r", "generic-1t1r"])
def test_a_transistors_shift_does_not_depend_on_what_else_is_there(name):
    chip = preset(name)
    shifted = []
    for bits in (2, 3):
        body = with_mismatch(build_dac(chip.changed(dac={"bits": bits})), chip.process, ChipDraw(3)).body
        call = re.search(r"^xsw0 .* switch_drawn .*$", body, re.MULTILINE)
        shifted.append(call[0])
    assert shifted[0] == shifted[1]
    assert len(re.findall(r"\bm\d_(?:vth|gain)=", shifted[0])) == 12


def test_numbers_of_the_typical_device_are_zero():
    chip = preset("generic-1t1r")
    body = with_mismatch(build_sense_amplifier(chip, 20e3, 1e-5), chip.process, lambda path: (0.0, 0.0)).body
    assert "vshift_m1 inn gate_m1 {m1_vth*" in body
    assert set(re.findall(r"\bm\d+_(?:vth|gain)=(\S+)", body)) == {"0", "0.0"}  # of the head, and of the call


def test_devices_that_are_drawn_have_names():
    chip = preset("generic-1t1r")
    found = drawn_devices(build_sense_amplifier(chip, 20e3, 1e-5), chip.process)
    assert sorted(found) == sorted(f"xsenseamp.xa.m{k}" for k in (*range(1, 6), *range(6, 21)))
    more = drawn_devices(build_sense_amplifier(chip, 20e3, 1e-5), chip.process, resistors=0.01)
    assert set(more) - set(found) == {"xsenseamp.rf", "xsenseamp.xa.r1", "xsenseamp.xa.r2"}


def test_copies_of_one_device_share_its_draws():
    draw = ChipDraw(4)
    same = same_device(draw)
    assert same("xdut_0.xa.m1") == same("xdut_17.xa.m1") == draw("xdut.xa.m1")
    assert same("xother.m_1") == draw("xother.m_1")


def test_distributions_are_compared_to_a_resolution():
    generator, floor = np.random.default_rng(0), RESOLUTION
    measured, drawn = 0.1 * generator.standard_normal((60, 1, 4)), 0.1 * generator.standard_normal((1000, 1, 4))
    measured[:, 0, 1] += 0.1
    measured[:, 0, 2:] = 0.0
    drawn[:, 0, 2], drawn[:, 0, 3] = 0.5 * floor, 5 * floor  # as on a rail
    check = MismatchCheck(
        name="planted", full_scale=1.0, measured=measured, predicted=measured, nominal=np.zeros((1, 4)), drawn=drawn
    )
    assert check.spreading.tolist() == [[True, True, False, False]]
    same, shifted, near, far = check.p_values[0]
    assert same == pytest.approx(kstest(measured[:, 0, 0], drawn[:, 0, 0]).pvalue, rel=0.1)
    assert shifted < 1e-6
    assert near == 1
    assert far == 0
    # a normal distribution's kurtosis is 3
    np.testing.assert_allclose(check.sigma_errors, math.sqrt(0.5 * (1 / 60 + 1 / 1000)), rtol=0.1)
    assert np.abs(check.sigma_ratios - 1).max() < 4 * check.sigma_errors.max()


def test_a_check_without_outputs_that_spread_has_a_table():
    rail = np.ones((5, 1, 2))
    check = MismatchCheck(
        name="rail", full_scale=1.0, measured=rail, predicted=rail, nominal=np.ones((1, 2)), drawn=np.ones((9, 1, 2))
    )
    assert "  -  " in format_mismatch([check])


def test_a_process_whose_files_hold_no_mismatch_says_its_own():
    chip = preset("gf180-1t1r")
    law = {"a_threshold_n": 4e-9, "a_threshold_p": 5e-9, "a_gain_n": 1e-8, "a_gain_p": 2e-8}
    found = read_mismatch(chip.changed(process={"matching": law}).process)
    assert found[chip.process.nmos].sigma_threshold(4e-6, 1e-6) == pytest.approx(2e-3)
    assert found[chip.process.pmos].sigma_threshold(4e-6, 1e-6, m=4) == pytest.approx(1.25e-3)
    assert (found[chip.process.nmos].a_gain, found[chip.process.pmos].a_gain) == (1e-8, 2e-8)
    assert {law.level for law in found.values()} == {54}
