"""The table of what is real and what is ideal: it follows from the chip."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.realism import describe_realism, format_realism
from spicesim.chip import PRESETS, preset
from spicesim.cli.netlist import netlist
from spicesim.netlist import build_tile
from spicesim.report.chip import chip_section

WORDS = {"calibrated", "exact", "closed form", "ideal", "absent", "by --device"}


def table(chip):
    return {row.piece: row for row in describe_realism(chip)}


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_contradicts_its_netlist(name):
    chip = preset(name)
    found = table(chip)
    assert {word for row in found.values() for word in dataclasses.astuple(row)[2:]} <= WORDS
    codes = np.zeros(2, dtype=int)
    body = build_tile(chip, np.full((2, 2), 2e-6), codes, polarity="unipolar", r_feedback=max(chip.settings)).body
    assert ("ladder resistors" in found) == ("rend n0 vlo" in body)
    assert ("access transistors" in found) == ("m1 d gate" in body.replace("  ", " "))
    assert (found["wires"].netlist == "resistors") == ("rwl_0_0" in body)
    assert ("bias currents" in found) == ("ideal bias currents" in body)
    assert (found["drivers"].noise == "calibrated") == ("noise" in possible_aspects(chip)[0])
    assert (found["drivers"].noise == "closed form") == (chip.sense_amplifier.kind == "voltage")


def test_impedances_make_rails_real_at_rest_and_leave_nothing_else():
    chip = preset("gf180-1t1r")
    assert dataclasses.astuple(table(chip)["supply"])[1:6] == ("ideal source", *["ideal"] * 4)
    moved = table(chip.changed(rails={"r_supply": 2.5}))
    assert dataclasses.astuple(moved["supply"]) == (
        "supply", "behind 2.5 ohm", "calibrated", "absent", "absent", "absent", "calibrated"
    )  # fmt: skip
    assert moved["ground"].netlist == "ideal source"
    assert moved["drivers"].mismatch == "absent"  # which is refused on such rails
    assert table(chip)["drivers"].mismatch == "calibrated"


def test_converters_and_their_logic():
    chip = preset("gf180-1t1r")
    assert table(chip)["converters"].netlist == "absent"
    real = table(chip.changed(adc={"kind": "sar"}))
    assert (real["converters"].dc, real["their logic"].netlist, real["their logic"].energy) == (
        "calibrated", "law", "absent"
    )  # fmt: skip


def test_netlists_and_pages_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("g.npy", np.full((2, 2), 2e-5))
    np.save("codes.npy", np.array([3, 200]))
    words = ["tile", "--chip", "gf180-1t1r", "--conductance", "g.npy", "--codes", "codes.npy"]
    said = CliRunner().invoke(netlist, words, catch_exceptions=False).output
    for line in format_realism(preset("gf180-1t1r")):
        assert f"* {line}\n" in said
    shown = chip_section(preset("gf180-1t1r")).blocks[0]
    assert shown.rows[[row[0] for row in shown.rows].index("supply")][:2] == ("supply", "ideal source")
