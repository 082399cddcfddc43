"""A measurement that fails is a line of its data sheet; all others stand and are written."""

import dataclasses
import json

import numpy as np
import pytest

from simulation import PROCESSES
from spicesim.characterise import BLOCKS, Conditions, run_bench
from spicesim.characterise.bench import Bench, Measurement, Outcomes, waves
from spicesim.characterise.sheet import entry
from spicesim.chip import preset
from spicesim.cli.main import main
from spicesim.errors import SimulationError
from spicesim.netlist.netlist import Netlist

CHIP = preset("generic-1t1r")
TAIL = "m5   tail  bn   vss   vss  nch  w=20u l=2u m=2"
STARVED = "m5   tail  bn   vss   vss  nch  w=4u l=2u m=1"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def edited(call, tmp_path, preset_name, change):
    """Write a chip with its own op-amp."""
    assert call("init", "--preset", preset_name, "--library", "mine", "-o", "chip.toml")[0] == 0
    path = tmp_path / "mine" / "opamp.cir"
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_designers_example_has_its_whole_data_sheet(call, tmp_path, name):
    """A tenth of the tail current settles late, and is simulated for as long as that takes."""
    edited(call, tmp_path, name, lambda text: text.replace(TAIL, STARVED))
    code, _, error = call("characterise", "senseamp", "--chip", "chip.toml", "--json", "after.json")
    assert code == 0, error
    assert call("characterise", "senseamp", "--chip", name, "--json", "before.json")[0] == 0
    before, after = (json.loads((tmp_path / f"{n}.json").read_text())["quantities"] for n in ("before", "after"))
    assert after["t_settle"]["value"] > 2 * before["t_settle"]["value"]
    assert after["loop_gain"]["value"] < before["loop_gain"]["value"]
    assert not any("failure" in quantity for quantity in after.values())


def test_what_fails_is_a_line_with_its_reason_and_the_rest_is_written(call, tmp_path):
    """Without its compensation the amplifier rings for ever: no settling, but gain, swing and noise stand."""
    edited(call, tmp_path, "generic-1t1r", lambda text: text.replace("cc=0.4p", "cc=0.1f"))
    files = ("--json", "it.json", "--plot", "it.html")
    code, out, error = call("characterise", "senseamp", "--chip", "chip.toml", *files)
    assert code == 1
    assert "settling, worst column" in error
    assert len(error.strip().splitlines()) == 1
    (line,) = [line for line in out.splitlines() if line.startswith("settling, worst")]
    assert "FAILED: the sense amplifier below one row of 1 uS rings on by" in line
    quantities = json.loads((tmp_path / "it.json").read_text())["quantities"]
    assert quantities["t_settle_worst"]["value"] is None
    assert "rings on" in quantities["t_settle_worst"]["failure"]
    assert quantities["gain"]["value"] == pytest.approx(40e3, rel=0.01)
    assert quantities["power"]["value"] > 0
    page = (tmp_path / "it.html").read_text()
    assert "rings on" in page
    assert "<svg" in page


def test_an_amplifier_that_is_cut_open_has_a_sheet_too(call, tmp_path):
    edited(call, tmp_path, "generic-1t1r", lambda text: text.replace("m12  out   p ", "m12  out   vdd "))
    code, out, _ = call("characterise", "senseamp", "--chip", "chip.toml", "--json", "it.json", "--plot", "it.html")
    assert code == 1
    assert "FAILED" in out
    quantities = json.loads((tmp_path / "it.json").read_text())["quantities"]
    assert quantities["power"]["value"] > 0


@pytest.mark.parametrize("block", BLOCKS)
def test_no_failed_simulation_takes_another_line_with_it(block):
    """Whatever simulation fails, the sheet has all its lines, and those that need it say why they are empty."""
    chip = CHIP.changed(cell={"kind": block}) if block in ("1s1r", "2t2r") else CHIP
    bench = BLOCKS[block].bench(chip)
    broken = Outcomes(dict.fromkeys(bench.netlists, SimulationError("the simulator was struck by lightning")))
    entries = bench.measure(broken).entries
    failed = [found for found in entries if found.failure]
    assert failed
    assert all("lightning" in found.failure for found in failed)
    assert all(found.text and found.unit is not None for found in entries)


def divider(r, **changes):
    body = f"v1 a 0 1\nr1 a b 1k\nr2 b 0 {r}"
    return Netlist(**{"title": "divider", "body": body, "probes": ("v(b)",), "analyses": (".dc v1 0 1 1",)} | changes)


def test_a_simulation_that_does_not_run_costs_its_own_lines_only():
    broken = dataclasses.replace(divider("1k"), body="v1 a 0 1\nxno a b nowhere\nr2 b 0 1k")
    bench = Bench(
        block="pair", title="pair", netlists={"good": divider("1k"), "bad": broken},
        measure=lambda results: Measurement(entries=(
            entry("good", "a good one", lambda: waves(results["good"])["v(b)"][-1], "V"),
            entry("bad", "a bad one", lambda: waves(results["bad"])["v(b)"][-1], "V"),
        )),
    )  # fmt: skip
    sheet = run_bench(bench, CHIP, Conditions())
    assert sheet["good"] == pytest.approx(0.5, rel=1e-9)
    assert [found.key for found in sheet.failures] == ["bad"]


def test_a_curve_that_never_gets_there_is_a_failure_and_no_dash():
    found = entry("x", "x", lambda: np.nan, "V")
    assert "does not reach" in found.failure
    assert "does not reach" in found.remark


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("supply", "reference"), [(2.5, 1.65), (3.3, 1.0), (3.3, 2.3)])
def test_the_reference_need_not_be_half_the_supply(name, supply, reference):
    chip = preset(name).changed(process={"supply": supply}, sense_amplifier={"v_reference": reference})
    sheet = run_bench(BLOCKS["sense_amplifier"].bench(chip), chip, Conditions())
    assert not sheet.failures
    assert 0 < sheet["swing_low"] < 0.1
    assert supply - 0.15 < sheet["swing_high"] < supply
    integrator = run_bench(BLOCKS["integrator"].bench(chip), chip, Conditions())
    assert integrator["nonlinearity"] < 0.1


@pytest.mark.parametrize("name", PROCESSES)
def test_the_worst_column_is_named_with_its_margin(name):
    """One row of the lowest conductance leaves the amplifier its whole loop gain, and rings by its margin."""
    chip = preset(name)
    sheet = run_bench(BLOCKS["sense_amplifier"].bench(chip), chip, Conditions())
    worst, typical = sheet["phase_margin_worst"], sheet["phase_margin"]
    assert 5 < worst < 30 < 60 < typical
    assert "one row of 1 uS, 1 Mohm || 500 fF" in sheet.entry("phase_margin_worst").condition
    # overshoot of two poles: damping of tan(pm) / (2 sqrt(cos(pm))), within some per cent of the step
    angle = np.radians(worst)
    damping = np.tan(angle) * np.sqrt(np.cos(angle)) / 2
    assert sheet["overshoot_worst"] == pytest.approx(100 * np.exp(-np.pi * damping / np.sqrt(1 - damping**2)), abs=8)
    assert sheet["t_settle_worst"] >= sheet["t_settle"]
    wires = chip.changed(array={"c_bit_line": 20e-15})
    more = run_bench(BLOCKS["sense_amplifier"].bench(wires), wires, Conditions())
    assert more["phase_margin_worst"] < worst
    assert f"|| {20e-3 * chip.array.rows:g} pF" in more.entry("phase_margin_worst").condition


@pytest.mark.parametrize("name", PROCESSES)
def test_steps_of_the_dac_are_full_and_half_and_its_glitch_is_one_of_skew(name):
    chip = preset(name)
    sheet = run_bench(BLOCKS["dac"].bench(chip), chip, Conditions())
    assert sheet.entry("t_settle").condition.startswith("0 to 255")
    assert sheet.entry("t_settle_half").condition.startswith("64 to 192")
    assert 0.5 * sheet["t_settle"] < sheet["t_settle_half"] < 1.1 * sheet["t_settle"]
    assert sheet.entry("glitch_area").unit == "V s"
    assert "100 ps late" in sheet.entry("glitch_area").condition
    # half the scale missing for 100 ps, of which the step upwards takes back a part
    missing = chip.dac.v_span / 2 * 100e-12
    assert 0.2 * missing < sheet["glitch_area"] < 1.1 * missing
    assert sheet["lsb"] / 10 < sheet["glitch"] < chip.dac.v_span / 2


@pytest.mark.parametrize("name", PROCESSES)
def test_the_current_dac_hands_its_current_over_without_a_gap(name):
    """Its complementary switches start together and cross high: what is left is their gates' feedthrough.

    Driven by b and its inverse, they left up to 62 LSB of 63 at one of the outputs.
    """
    chip = preset(name)
    sheet = run_bench(BLOCKS["current_dac"].bench(chip), chip, Conditions())
    assert not sheet.failures
    assert sheet["glitch"] < 20
    assert sheet.entry("glitch_area").unit == "A s"
    # half of all units missing for 100 ps, of which the step upwards takes back a part
    assert 0.1 * 32e-6 * 100e-12 < sheet["glitch_area"] < 1.5 * 32e-6 * 100e-12
    assert sheet.entry("t_settle_half").condition.startswith("16 to 48")
