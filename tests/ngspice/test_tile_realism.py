"""Tiles from the command line with noise, bits that come one by one, and drawn numbers in a table to be edited."""

import re
import subprocess

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.cli.main import main
from spicesim.errors import SpecError
from spicesim.netlist import build_tile
from spicesim.netlist.noise import build_driver_noise, build_sense_amplifier_noise
from spicesim.netlist.step import CodeStep
from spicesim.ngspice import BatchSimulator
from spicesim.ngspice.rawfile import read_raw

pytestmark = pytest.mark.long

G, CODE, R_FEEDBACK = 30e-6, 200, 40e3


@pytest.fixture
def write(tmp_path, capsys):
    """Write a tile of one cell by the command, run it in plain ngspice, and return its text and its vectors."""
    np.save(tmp_path / "g.npy", [[G, G / 2]])
    np.save(tmp_path / "codes.npy", [CODE])

    def run(*words, edit=lambda text: text):
        path = tmp_path / "tile.cir"
        files = ("--conductance", tmp_path / "g.npy", "--codes", tmp_path / "codes.npy", "--r-feedback", R_FEEDBACK)
        with pytest.raises(SystemExit) as stop:
            main(["netlist", "tile", *map(str, (*files, *words)), "-o", str(path)])
        if stop.value.code:  # refused
            return capsys.readouterr().err, {}
        path.write_text(edit(path.read_text()))
        command = ["ngspice", "-n", "-b", "-r", "out.raw", path.name]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return path.read_text(), read_raw(tmp_path / "out.raw")[0].vectors

    return run


def test_the_noise_of_an_output_is_that_of_its_parts(write):
    """The amplifier below its cell, and the driver through the cell, each by a netlist of its own."""
    chip, simulator = preset("gf180-1t1r"), BatchSimulator()
    _, found = write("--polarity", "bipolar", "--noise", 0)
    outputs = [
        simulator.run(build_tile(chip, [[G, G / 2]], [code], polarity="bipolar", r_feedback=R_FEEDBACK))[0].vectors
        for code in (CODE - 1, CODE + 1)
    ]
    step = outputs[0]["v(out_0)"][0] - outputs[1]["v(out_0)"][0]
    gain = float(step) / (4 * chip.dac.v_span / 2**chip.dac.bits)
    parts = [
        simulator.run(netlist)[0].vectors
        for netlist in (
            build_sense_amplifier_noise(chip, R_FEEDBACK, gain / R_FEEDBACK),
            build_driver_noise(chip, CODE),
        )
    ]

    def density(vectors, frequency):
        return np.interp(frequency, vectors["frequency"].real, vectors["onoise_spectrum"].real)

    for frequency in (1e4, 1e5, 1e6):
        amplifier, driver = (density(part, frequency) for part in parts)
        assert density(found, frequency) == pytest.approx(np.hypot(amplifier, gain * driver), rel=0.005)
        assert density(found, frequency) > 1.1 * amplifier
    assert "there is no output 7; a tile has outputs 0..1" in write("--noise", 7)[0]
    assert "leave --t-read" in write("--noise", 0, "--t-read", "1u")[0]


def test_bits_that_come_one_by_one_end_where_all_at_once_do(write):
    text, skewed = write("--t-read", "300n", "--bit-skew", "70n")
    _, once = write("--t-read", "300n")
    assert re.search(r"^xdac_0 dac_0 0 0 0 rise_3 0 0 rise_6 rise_7 ", text, re.MULTILINE)  # 200 = 0b11001000
    for k in (3, 7):
        assert f"vrise_{k} rise_{k} 0 pwl(0 0 {1e-9 + k * 10e-9 - 0.05e-9!r} 0" in text
    assert skewed["v(out_0)"][-1] == pytest.approx(once["v(out_0)"][-1], rel=1e-4)
    early = np.interp(60e-9, skewed["time"], skewed["v(out_0)"]), np.interp(60e-9, once["time"], once["v(out_0)"])
    reference, whole = once["v(out_0)"][0], once["v(out_0)"][-1]
    assert abs(early[1] - whole) < 0.05 * abs(reference - whole)
    assert (early[0] - reference) / (whole - reference) == pytest.approx(8 / 200, abs=0.02)  # bit 3 alone
    assert "give --t-read, too" in write("--bit-skew", "10n")[0]
    assert "spread them less" in write("--t-read", "10n", "--bit-skew", "20n")[0]


def test_a_step_takes_one_delay_a_bit():
    step = CodeStep(before=[0], after=[5], stop=1e-7, delays=(0.0, 1e-9, 2e-9))
    assert step.nodes(0, 3) == ["rise_0", "0", "rise_2"]
    assert step.source_names == ("vrise_0", "vfall_0", "vrise_1", "vfall_1", "vrise_2", "vfall_2")
    with pytest.raises(SpecError, match="takes 4 delays, got 3"):
        step.nodes(0, 4)


@pytest.mark.parametrize("chip", ["gf180-1t1r", "generic-1t1r"])
def test_drawn_numbers_stand_in_calls_and_can_be_edited(chip, write):
    words = ("--chip", chip, "--mismatch", 3)
    text, drawn = write(*words)
    assert {"m1_vth", "m1_gain", "rleg0_value"} <= set(re.findall(r"\b(\w+_(?:vth|gain|value))=-?\d", text))
    _, nominal = write("--chip", chip)
    _, zero = write(*words, edit=lambda text: re.sub(r"\b(\w+_(?:vth|gain|value))=-?\d[-+.\de]*", r"\1=0", text))
    assert zero["v(out_0)"][0] == pytest.approx(nominal["v(out_0)"][0], abs=1e-7)
    assert abs(drawn["v(out_0)"][0] - nominal["v(out_0)"][0]) > 1e-4
