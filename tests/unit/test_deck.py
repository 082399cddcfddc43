"""Decks from anybody: read as data, changed at places, drawn as ngspice would, and never run as anything else."""

import re

import numpy as np
import pytest

from spicesim.characterise import deck_bench, settings
from spicesim.characterise.deck import notes_of
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.netlist import Setting, read_deck
from spicesim.netlist.measured import MEASURED, Measure, MeasuredNetlist
from spicesim.netlist.spreads import draw_values, typical_values
from spicesim.ngspice.measures import read_measures

GOOD = """a title
.param vdd=3.3 half='vdd/2'
v1 in 0 {vdd} ; a source
r1 in out 10k
c1 out 0 1p
.tran 1n 100n
.measure tran v_end find v(out) at=90n ; voltage at the end [V]
.end
"""


@pytest.fixture(scope="module")
def chip():
    return preset("gf180-1t1r")


def write(folder, text=GOOD, name="mine.cir"):
    path = folder / name
    path.write_text(text)
    return path


def netlists(folder, chip, text, **setting):
    return read_deck(write(folder, text)).netlists(chip.process, Setting(**setting))


@pytest.mark.parametrize(
    "line",
    [
        ".control\nshell touch owned\n.endc",
        "*# shell touch owned",
        "  *#shell touch owned",
        ".include '/etc/passwd'",
        ".include '../../secret.cir'",
        ".lib '/etc/passwd' typical",
        ".include 'pipe|cat'",
        ".include '`touch owned`.cir'",
        ".csparam a=3",
        ".exec touch owned",
        ".codemodel 'x.cm'",
        "a1 in out filesource1\n.model filesource1 filesource(file='/etc/passwd')",
        '.model m1 d_source(input_file="/etc/passwd")',
        "n1 in out evil\n.model evil evil",
        "v9 x 0 pwl file='/etc/passwd'",
        ".pre_osdi evil.osdi",
        ".hdl evil.va",
        "codemodel evil.cm",
        ".measure tran x find v(out) at=1n\r.control\rshell touch owned\r.endc",
        ".measure tran x find v(out) at=1n\u2028.control",
        ".write owned.raw v(out)",
        ".option file=/tmp/owned",
    ],
)
def test_nothing_of_a_deck_is_executed_or_names_a_file(line, tmp_path, chip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = GOOD.replace("c1 out", f"{line}\nc1 out")
    try:
        found = netlists(tmp_path, chip, text)
    except SpecError:
        return
    whole = "\n".join(netlist.format() for netlist in found.values())  # what passes has lost it
    assert not any(word in whole for word in ("owned", "passwd", "shell", "control"))


@pytest.mark.parametrize("name", [".control", "*ng_script", "*# shell touch owned", ".end", "`x`"])
def test_a_title_commands_nothing(name, tmp_path, chip):
    (found,) = netlists(tmp_path, chip, GOOD.replace("a title", name)).values()
    assert found.format().splitlines()[0].startswith("mine, tran: ")


def test_what_an_included_file_holds_passes_the_same_gate(tmp_path, chip):
    write(tmp_path, ".control\nshell touch owned\n.endc\n", "inner.cir")
    with pytest.raises(SpecError, match=r"inner\.cir, line 1"):
        read_deck(write(tmp_path, GOOD.replace("c1 out", ".include 'inner.cir'\nc1 out")))
    (tmp_path / "link.cir").symlink_to("/etc/hostname")
    with pytest.raises(SpecError, match="lies outside"):
        read_deck(write(tmp_path, GOOD.replace("c1 out", ".include 'link.cir'\nc1 out")))
    write(tmp_path, ".include 'inner.cir'\n", "inner.cir")
    with pytest.raises(SpecError, match="includes itself"):
        read_deck(write(tmp_path, GOOD.replace("c1 out", ".include 'inner.cir'\nc1 out")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((".measure tran", ".measure noise"), "ngspice measures"),
        ((".measure tran", ".measure ac"), "no such analysis"),
        ((".measure tran v_end find v(out) at=90n", "* none"), "measures nothing"),
        ((".tran 1n 100n", ".tran 1n 100n\n.tran 1n 200n"), "two analyses"),
        ((".end\n", ".measure tran v_end find v(in) at=1n\n"), "two measures"),
        (("v_end", "spicesim_v"), "letters and digits"),
        (("v_end find", "'v end' find"), "letters and digits"),
    ],
)
def test_a_deck_that_cannot_be_measured_says_why(change, said, tmp_path):
    with pytest.raises(SpecError, match=said):
        read_deck(write(tmp_path, GOOD.replace(*change)))


def test_a_deck_is_changed_where_it_says(tmp_path, chip):
    deck = read_deck(write(tmp_path))
    assert deck.measures[0].text == "voltage at the end"
    assert deck.measures[0].unit == "V"
    assert deck.parameters == {"vdd": "3.3", "half": "'vdd/2'"}
    (found,) = deck.netlists(chip.process, Setting(temperature_c=85.0, parameters={"VDD": 3.0})).values()
    assert ".param vdd=3.0 half='vdd/2'" in found.body
    assert ".temp 85.0" in found.body
    assert ".lib" not in found.body  # no transistor, no models
    with pytest.raises(SpecError, match=r"has no \.param 'vcc'"):
        deck.netlists(chip.process, Setting(parameters={"vcc": 3.0}))
    with pytest.raises(SpecError, match="no corners"):
        deck.netlists(chip.process, Setting(corner="ss"))


def test_transistors_of_a_deck_without_models_are_those_of_the_chip(tmp_path, chip):
    text = GOOD.replace("c1 out", "xm1 out in 0 0 nfet_03v3 w=1u l=.28u\nc1 out")
    (found,) = netlists(tmp_path, chip, text, corner="ff").values()
    assert found.body.count(".lib ") == 2
    assert found.body.splitlines()[1].endswith(" ff")
    path = chip.process.models[1].resolve()
    own = text.replace("c1 out", f".lib '{path}' init\n.lib '{path}' typical\nc1 out")
    (found,) = netlists(tmp_path, chip, own, corner="ss").values()
    assert [line.split()[-1] for line in found.body.splitlines() if line.startswith(".lib")] == ["init", "ss"]


def test_random_values_are_typical_in_the_middle_and_a_chips_own_elsewhere():
    text = ".param a=agauss(10k,100,2) b='2*gauss(1,.1,1)'\n.subckt s x\nr1 x 0 {aunif(5,1)}\n.ends\nx1 n s\nx2 n s"
    assert typical_values(text).startswith(".param a=((10k)+(100)/(2)*(0.0)) b='2*((1)+(1)*(.1)/(1)*(0.0))'")
    numbers = {"a": 1.0, "b": -2.0, "x1.r1": 8.0, "x2.r1": -8.0}
    drawn = draw_values(text, lambda path: (numbers[path], 0.0))
    assert ".param a=((10k)+(100)/(2)*(1.0)) b='2*((1)+(1)*(.1)/(1)*(-2.0))'" in drawn
    assert "r1 x 0 {((5)+(1)*(0.99" in drawn
    assert "r1 x 0 {((5)+(1)*(-0.99" in drawn
    with pytest.raises(SpecError, match="takes 2 or 3"):
        typical_values(".param a=agauss(1)")
    with pytest.raises(SpecError, match="not closed"):
        typical_values(".param a=agauss(1,2,3")


def test_drawn_transistors_have_the_area_of_all_in_parallel_and_resistors_their_spread(tmp_path, chip):
    text = GOOD.replace(
        "c1 out", "xm1 out in 0 0 nfet_03v3 w=1u l=.28u m=4\nxq out in 0 0 nfet_06v0 w=1u l=.6u\nc1 out"
    )
    deck = read_deck(write(tmp_path, text))
    bench = deck_bench(deck, chip, settings()[0])
    body = bench.drawn("tran", chip, ChipDraw(1), 0.01).body
    assert ".param vth_xm1={" in body
    assert "sqrt((4)*((.28u)" in body
    assert "nfet_03v3_own w=1u l=.28u m=4 own_vth={vth_xm1} own_gain={gain_xm1}" in body
    assert body.count("delvto={own_vth} mulu0={own_gain}") == 1
    assert "agauss" not in body
    assert "r1 in out {(10k)*" in body
    several, other = notes_of(deck, chip, 2)
    assert several.startswith("xm1: m > 1")
    assert "xq (nfet_06v0)" in other
    assert notes_of(deck, chip, 0) == ()


def test_what_ngspice_prints_of_measures_is_read_by_name():
    netlist = MeasuredNetlist(
        title="t", body="r1 a 0 1", analyses=(".op",), probes=("good", "bad", "gone"),
        measures=tuple(
            Measure(name=name, kind="tran", task=f"find v({name}) at=1") for name in ("good", "bad", "gone")
        ),
    )  # fmt: skip
    plots, remarks, rest = read_measures(
        netlist,
        "good = 1.2e+00\nspicesim_good  =  1.23456789012345\nError: measure  bad  find(AT) : out of interval\n"
        " .measure tran bad find v(bad) at=1 failed!\nError: no such vector as v(gone).\n"
        " .measure tran gone find v(gone) at=1 failed!\nspicesim_gone =   failed\nsomething else",
    )
    assert plots[0].name == MEASURED
    assert plots[0].vectors["good"][0] == 1.23456789012345
    assert np.isnan(plots[0].vectors["bad"][0])
    assert remarks == {"bad": ".measure bad: find(AT) : out of interval", "gone": ".measure gone: there is no v(gone)"}
    assert rest == "good = 1.2e+00\nsomething else"
    assert read_measures(netlist, "no simulations run")[0] is None


def test_words_of_other_simulators_are_those_of_subcircuits_here(tmp_path, chip):
    """An instance that is not found would lose its subcircuit, or share its devices with all others."""
    text = GOOD.replace(
        "c1 out", ".MACRO half a params: r=1k\nr1 a 0 r\nxm a a 0 0 nfet_03v3 w=1u l=1u\n.EOM\n"
        "xa in half PARAMS: r=2k\nxb in half\nc1 out",
    )  # fmt: skip
    bench = deck_bench(read_deck(write(tmp_path, text)), chip, settings()[0])
    body = bench.drawn("tran", chip, ChipDraw(1)).body
    assert ".subckt half_drawn a r=1k xm_vth=0 xm_gain=0" in body
    calls = re.findall(r"^(x[ab]) in half_drawn (r=2k )?xm_vth=(\S+) xm_gain=\S+$", body, re.MULTILINE)
    assert [(name, more) for name, more, _ in calls] == [("xa", "r=2k "), ("xb", "")]
    assert len({number for *_, number in calls}) == 2


def test_what_a_deck_does_not_let_draw_is_told(tmp_path, chip):
    write(tmp_path, "* own\n.model d1 d\n", "own.lib")
    text = GOOD.replace("c1 out", ".include 'own.lib'\n.param sw_stat_mismatch=1\nc1 out")
    foreign, switch = notes_of(read_deck(write(tmp_path, text)), chip, 2)
    assert foreign.startswith("what stands in own.lib is not drawn")
    assert switch.startswith("sw_stat_mismatch=1 lets ngspice draw")


def test_what_stands_behind_the_end_is_not_there(tmp_path):
    deck = read_deck(write(tmp_path, GOOD.replace(".end", ".END") + ".control\nshell touch owned\n.endc\n"))
    assert not any("owned" in line for line in deck.lines)
