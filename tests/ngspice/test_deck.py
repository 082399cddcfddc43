"""Decks measured by spicesim beside the same netlists in ngspice alone, and beside closed forms."""

import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from spicesim.characterise import Conditions, Limits, find_yields, measure_deck, sample_draw, settings
from spicesim.chip import preset
from spicesim.cli.main import main
from spicesim.draws import ChipDraw
from spicesim.netlist import read_deck
from spicesim.netlist.mismatch import read_mismatch, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice import BatchSimulator

EXAMPLE = Path(__file__).parents[2] / "scripts" / "examples" / "own_deck" / "amplifier.cir"

DIVIDER = """a divider of two drawn resistors
.param r1=agauss(10k, 100, 1) r2=agauss(20k, 200, 1)
vin in 0 3
rtop in out {r1}
rbottom out 0 {r2}
.dc vin 0 1 .5
.measure dc ratio find v(out) at=1 ; output for one volt [V]
.end
"""

FAILING = """a line
vin in 0 dc 0 ac 1 pulse(0 1 1n 1n 1n 1u 2u)
r1 in out 1k
c1 out 0 1p
.tran .1n 20n
.ac dec 10 1k 1g
.measure tran late when v(out)=2 ; never [s]
.measure tran lost find v(nowhere) at=1n
.measure tran v_end find v(out) at=19n ; there [V]
.measure ac bandwidth when vdb(out)=-3.0103 ; half power [Hz]
.end
"""


@pytest.fixture(scope="module")
def chip():
    return preset("gf180-1t1r")


@pytest.fixture
def call(capsys):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, words)))
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def ngspice(text, folder):
    """Run a netlist by ngspice alone and return what it prints of measures."""
    path = folder / "hand.cir"
    path.write_text(text)
    said = subprocess.run(["ngspice", "-n", "-b", str(path)], capture_output=True, text=True, cwd=folder, check=True)
    found = re.findall(r"^(\w+)\s*=\s*([-+.\de]+)", said.stdout, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_the_yield_of_a_divider_is_that_of_its_closed_form(tmp_path, chip):
    path = tmp_path / "divider.cir"
    path.write_text(DIVIDER)
    count, reach = 60, 0.00225
    limits = Limits.model_validate({"divider": {"ratio": {"min": 2 / 3 - reach, "max": 2 / 3 + reach}}})
    sheets = measure_deck(read_deck(path), chip, settings(), Conditions(samples=count, seed=5))
    (found,) = find_yields(sheets, limits)
    drawn = np.array([[sample_draw(5, k)(name)[0] for name in ("r1", "r2")] for k in range(count)])
    r1, r2 = (10e3 + 100 * drawn[:, 0]), (20e3 + 200 * drawn[:, 1])
    spread = sheets[0][1].entry("ratio").spread
    np.testing.assert_allclose(spread.values, r2 / (r1 + r2), rtol=1e-12)
    assert sheets[0][1]["ratio"] == pytest.approx(2 / 3, rel=1e-12)
    sigma = 2 / 9 * math.hypot(0.01, 0.01)
    low, high = spread.sigma_interval
    assert low < sigma < high
    low, high = found.interval
    assert low < 2 * ndtr(reach / sigma) - 1 < high
    assert found.passed == np.sum(np.abs(r2 / (r1 + r2) - 2 / 3) <= reach)
    assert found.worst == np.argmax(np.abs(r2 / (r1 + r2) - 2 / 3))


def test_an_amplifier_at_a_corner_is_that_of_a_netlist_by_hand(tmp_path, chip):
    deck = read_deck(EXAMPLE)
    (wanted,) = settings(["ss"], [85.0], {"vdd": [3.6]})
    ((where, sheet),) = measure_deck(deck, chip, [wanted], Conditions())
    assert where == "ss, 85 C, vdd=3.6"
    models = chip.process.models[1].resolve()
    text = EXAMPLE.read_text().replace("vdd=3.3", "vdd=3.6").replace(".end\n", "")
    text = "\n".join(line for line in text.splitlines() if not re.match(r"\.dc|\.measure dc", line))
    by_hand = ngspice(f"{text}\n.lib '{models}' init\n.lib '{models}' ss\n.temp 85\n.save all\n.end\n", tmp_path)
    assert sheet["gain"] == pytest.approx(by_hand["gain"], rel=1e-6)
    assert sheet["gbw"] == pytest.approx(by_hand["gbw"], rel=1e-6)
    assert len(sheet.panels) == 2


def test_a_drawn_chip_of_a_deck_can_be_written_and_is_the_samples(tmp_path, chip, call):
    deck, sample = read_deck(EXAMPLE), 1
    ((_, sheet),) = measure_deck(deck, chip, settings(), Conditions(samples=2, seed=4))
    assert "m > 1" in sheet.notes[0]
    out = tmp_path / "chip.cir"
    code, _, _ = call("netlist", "deck", EXAMPLE, "--mismatch", 4, "--sample", sample, "--analysis", "dc", "-o", out)
    assert code == 0
    by_hand = ngspice(out.read_text(), tmp_path)
    assert sheet.entry("offset").spread.values[sample] == pytest.approx(by_hand["spicesim_offset"], rel=1e-5)
    assert sheet.entry("offset").spread.values[0] != sheet.entry("offset").spread.values[1]


def test_a_transistor_drawn_through_a_kits_subcircuit_is_the_bare_one_with_the_same_shifts(tmp_path, chip):
    lib = chip.process.models[1].resolve()
    shared = f".lib '{lib}' init\n.lib '{lib}' typical\nvd d 0 1.5\nvg g 0 1.2\n.dc vd 1.4 1.6 .1\n.save all\n"
    name = tmp_path / "one.cir"
    name.write_text(f"one\n{shared}xm1 d g 0 0 nfet_03v3 w=4u l=.5u m=3\n.measure dc current find i(vd) at=1.5\n.end\n")
    ((_, sheet),) = measure_deck(read_deck(name), chip, settings(), Conditions(samples=2, seed=9))
    law, (threshold, gain) = read_mismatch(chip.process)["nfet_03v3"], sample_draw(9, 0)("xm1")
    root = math.sqrt(3 * (0.5e-6 - law.d_length) * (4e-6 - law.d_width))
    shifts = f"delvto={threshold * law.a_threshold / root} mulu0={1 - gain * law.a_gain / root}"
    sizes = "w=4u l=.5u m=3 as=0 ad=0 ps=0 pd=0 nrd=0 nrs=0"
    by_hand = ngspice(
        f"bare\n{shared}m1 d g 0 0 nfet_03v3 {sizes} {shifts}\n.measure dc current find i(vd) at=1.5\n.end\n",
        tmp_path,
    )
    nominal, drawn = sheet["current"], sheet.entry("current").spread.values[0]
    assert drawn == pytest.approx(by_hand["current"], rel=1e-6)
    assert abs(drawn / nominal - 1) > 1e-3


def test_measures_that_fail_are_told_by_name_and_the_others_stand(tmp_path, call):
    path, out = tmp_path / "line.cir", tmp_path / "sheet.json"
    path.write_text(FAILING)
    limits = tmp_path / "limits.toml"
    limits.write_text('[line]\nbandwidth = { min = "100M" }\nv_end = { max = 0.5 }\n')
    words = ["characterise", "--deck", str(path), "--json", str(out), "--limits", str(limits)]
    for _ in range(2):  # the second time from what was kept
        code, _, error = call(*words)
        assert code == 1
        assert "2 of 4 quantities could not be measured: never, lost" in error
        assert "1 of 2 limits are missed: there" in error
        quantities = json.loads(out.read_text())["quantities"]
        assert "out of interval" in quantities["late"]["failure"]
        assert "there is no v(nowhere)" in quantities["lost"]["failure"]
        assert quantities["bandwidth"]["value"] == pytest.approx(1 / (2 * math.pi * 1e-9), rel=1e-2)


def test_a_deck_that_does_not_run_fails_in_all_it_measures(tmp_path, chip):
    path = tmp_path / "broken.cir"
    path.write_text(DIVIDER.replace("rbottom out 0 {r2}", "rbottom out 0 {r3}"))
    ((_, sheet),) = measure_deck(read_deck(path), chip, settings(), Conditions())
    assert len(sheet.failures) == 1


def test_a_page_of_several_places_names_the_worst(tmp_path, call):
    path, page = tmp_path / "divider.cir", tmp_path / "page.html"
    path.write_text(DIVIDER.replace("rtop in out {r1}", ".param at=1\nrtop in out {r1*at}"))
    limits = tmp_path / "limits.toml"
    limits.write_text("[divider]\nratio = { min = 0.6 }\n")
    words = ["characterise", "--deck", str(path), "--supply", "at=1,2", "--limits", str(limits), "--plot", str(page)]
    code, out, _ = call(*words)
    assert code == 1
    assert "27 C, at=2  FAIL" in out
    text = page.read_text()
    assert "FAIL" in text
    assert "v(out), 27 C, at=2" in text


def test_transistors_in_parallel_have_one_area_here_and_not_in_the_kits_own_monte_carlo(tmp_path, chip):
    """GF180's subcircuits know no m but par: four in parallel spread as one. Here they spread by half of that."""
    count, multiples = 300, (1, 4)
    lib = chip.process.models[1].resolve()
    lines = [f".lib '{lib}' init", f".lib '{lib}' typical"]
    for m in multiples:
        for k in range(count):
            lines.append(f"i{m}_{k} 0 d{m}_{k} {2 * m}u")
            lines.append(f"xm{m}_{k} d{m}_{k} d{m}_{k} 0 0 nfet_03v3 w=4u l=.5u m={m}")
    probes = tuple(f"v(d{m}_{k})" for m in multiples for k in range(count))
    bare = Netlist(title="diodes", body="\n".join(lines), probes=probes, models=(lib,))
    kit = replace(bare, body=f"{bare.body}\n.param sw_stat_mismatch=1\n.options seed=11")
    own = with_mismatch(bare, chip.process, ChipDraw(3))
    spreads = {}
    for name, netlist in (("kit", kit), ("own", own)):
        found = BatchSimulator().run(netlist)[0].vectors
        volts = np.array([found[probe][0] for probe in probes]).reshape(len(multiples), count)
        spreads[name] = volts.std(axis=1, ddof=1)
    error = 4 / math.sqrt(2 * (count - 1))  # four sigma of a standard deviation
    assert spreads["own"][0] == pytest.approx(spreads["kit"][0], rel=1.5 * error)
    assert spreads["own"][1] == pytest.approx(spreads["own"][0] / 2, rel=1.5 * error)
    assert spreads["kit"][1] == pytest.approx(spreads["kit"][0], rel=1.5 * error)


def test_no_word_of_a_deck_becomes_markup_or_mathematics(tmp_path, call):
    path, page = tmp_path / "evil.cir", tmp_path / "page.html"
    path.write_text(
        "<script>alert(1)</script> $\\frac$\nv1 a$\\frac$b_ 0 1\nr1 a$\\frac$b_ _c 1\nr2 _c 0 1\n.dc v1 0 1 .5\n"
        ".measure dc x find v(a$\\frac$b_) at=.5 ; <img src=x onerror=alert(1)> [<b>]\n"
        ".measure dc y find v(_c) at=.5\n.end\n"
    )
    code, _, error = call("characterise", "--deck", path, "--plot", page)
    assert code == 0, error
    text = page.read_text()
    assert not re.search(r"<script|<img|<b>", text)
    assert "&lt;script&gt;" in text
    assert "v(_c)" in text
