"""Netlists in other dialects: what a dialect says, and what is refused rather than lost."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from spicesim.characterise import BLOCKS
from spicesim.chip import preset
from spicesim.chip.library import library_names, library_text
from spicesim.chip.process import Kit
from spicesim.errors import SpecError
from spicesim.netlist import DIALECTS, build_cell, build_crossbar, build_dac, build_tile, format_netlist, run_command
from spicesim.netlist.expression import join_expression, read_number, split_expression
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.statements import Component, parse_statements

CHIP = preset("generic-1t1r")
OTHERS = DIALECTS[1:]
STATE_MODELS = {name for name in library_names() if "\n.ic " in library_text(name)}


def small(body="r1 a 0 1k\nv1 a 0 1", **changes):
    return Netlist(**{"title": "small", "body": body, "probes": ("v(a)", "i(v1)")} | changes)


def analysed(dialect, card, **changes):
    return format_netlist(small(analyses=(card,), **changes), dialect)


def test_ngspice_is_the_netlist_itself():
    netlist = build_cell(CHIP, 1e-5)
    assert format_netlist(netlist) == netlist.format()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_file_says_how_to_run_it(dialect):
    text = format_netlist(build_cell(CHIP, 1e-5), dialect)
    assert run_command(dialect) in text
    assert ("ngspice" in text.partition("\n\n")[0]) == (dialect == "ngspice")


@pytest.mark.parametrize("dialect", OTHERS)
def test_every_element_of_a_tile_is_there(dialect):
    netlist = build_tile(CHIP, np.full((3, 2), 1e-5), [1, 2, 3], polarity="bipolar", r_feedback=1e4)
    text = format_netlist(netlist, dialect)
    for part in parse_statements(netlist.body):
        if isinstance(part, Component) and part.kind != "b":
            assert re.search(rf"^{part.name} \(?{' '.join(part.nodes)}\)? ", text, re.MULTILINE), part.name


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ("xyce", "b1 a 0 i={2*sinh(v(a,c))+floor(time)}"),
        ("hspice", "gb1 a 0 cur='2*sinh(v(a,c))+(int(time)-((time)<int(time)?1:0))'"),
        ("spectre", "b1 (a 0) bsource i=2*sinh(v(a,c))+floor(time)"),
        ("vacask", "b1 (a 0) i=2*sinh(v(a,c))+floor(time)"),
    ],
)
def test_behavioural_sources(dialect, line):
    body = "v1 a 0 1\nr1 c 0 1\nb1 a 0 i={2}*sinh( v(a, c) ) + floor(time)"
    assert line in format_netlist(small(body), dialect).splitlines()


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ("xyce", "v1 a 0 dc 1 ac 2 pulse(0 1 1n 1p 1p 5n 10n)"),
        ("hspice", "v1 a 0 dc 1 ac 2 pulse(0 1 1n 1p 1p 5n 10n)"),
        (
            "spectre",
            "v1 (a 0) vsource dc=1 mag=2 type=pulse val0=0 val1=1 delay=1n rise=1p fall=1p width=5n period=10n",
        ),
        (
            "vacask",
            'v1 (a 0) vsource dc=1 mag=2 type="pulse" val0=0 val1=1 delay=1n rise=1p fall=1p width=5n period=10n',
        ),
    ],
)
def test_waveforms(dialect, line):
    body = "v1 a 0 dc 1 ac 2 pulse(0 1 1n 1p 1p 5n 10n)"
    assert line in format_netlist(small(body), dialect).splitlines()


@pytest.mark.parametrize(
    ("dialect", "card", "line"),
    [
        ("xyce", ".op", ".dc v1 1 1 1"),
        ("hspice", ".op", ".op"),
        ("spectre", ".op", "op1 dc"),
        ("vacask", ".op", "  analysis op1 op"),
        ("xyce", ".dc v1 0 1 .1", ".dc v1 0 1 .1"),
        ("spectre", ".dc v1 0 1 .1", "dc1 dc dev=v1 param=dc start=0 stop=1 step=.1"),
        ("vacask", ".dc v1 0 1 .1", '  sweep v1 instance="v1" parameter="dc" from=0 to=1 mode="lin" points=10'),
        ("hspice", ".tran 1n 5u", ".tran 1n 5u"),
        ("spectre", ".tran 1n 5u", "tran1 tran step=1n stop=5u"),
        ("vacask", ".tran 1n 5u", "  analysis tran1 tran step=1n stop=5u"),
        ("xyce", ".ac dec 10 1 1e9", ".ac dec 10 1 1e9"),
        ("spectre", ".ac dec 10 1 1e9", "ac1 ac start=1 stop=1e9 dec=10"),
        ("vacask", ".ac dec 10 1 1e9", '  analysis ac1 ac from=1 to=1e9 mode="dec" points=10'),
    ],
)
def test_analyses(dialect, card, line):
    assert line in analysed(dialect, card).splitlines()


def test_the_inner_sweep_stands_first_in_spice_and_last_in_spectre():
    netlist = build_dac(CHIP.changed(dac={"bits": 4}), i_limit=1e-4, load_points=3)
    assert re.search(r"^\.dc iload \S+ \S+ \S+ vcode 0 15 1$", format_netlist(netlist, "xyce"), re.MULTILINE)
    for dialect in ("spectre", "vacask"):
        text = format_netlist(netlist, dialect)
        assert text.rindex('"vcode"' if dialect == "vacask" else "dev=vcode") < text.rindex("iload")


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ("xyce", ".nodeset v(a)=0.5"),
        ("hspice", ".nodeset v(a)=0.5"),
        ("spectre", "nodeset a=0.5"),
        ("vacask", '  analysis op1 op nodeset={"a", 0.5}'),
    ],
)
def test_first_guesses(dialect, line):
    assert line in analysed(dialect, ".op", nodesets={"a": 0.5}).splitlines()


def test_subcircuits_called_like_a_primitive_are_renamed():
    linear = CHIP.changed(cell={"kind": "1r", "kappa": 0.0})
    text = format_netlist(build_crossbar(linear, [[1e-5]], [0.1]), "spectre")
    assert "subckt resistor_block (p n)" in text
    assert re.search(r"^xc_0_0 \(\S+ \S+\) resistor_block g=1e-05$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("s1 a 0 b 0 sw", "no element that all dialects have"),
        (".global gnd", "not a card that all dialects have"),
        ("b1 a 0 i=pwl(v(a),0,0,1,1)", "no function 'pwl'"),
        ("b1 a 0 i=v(a)**2", "powers"),
        ("b1 a 0 i=pwr(v(a),2)", "pwr()"),
        ("b1 a 0 i=v(a)^2", "not known to all simulators"),
        ("r1 a", "expected 2 nodes"),
        ("r1 a 0 1k tc=1", "one value"),
        ("m1 a b c", "expected 4 nodes"),
        ("v1 a 0 1 2", "each once"),
        (".model d1 d is=1f", "not a card"),
    ],
)
@pytest.mark.parametrize("dialect", OTHERS)
def test_what_is_not_understood_is_refused(dialect, body, said):
    with pytest.raises(SpecError, match=re.escape(said)):
        format_netlist(small(f"v1 a 0 1\n{body}"), dialect)


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"probes": ("@m1[gm]",)}, "probe"),
        ({"options": ".options klu gmin=1e-15"}, "option"),
        ({"analyses": (".tran 1n",)}, "analysis"),
        ({"spiceinit": ("set ngbehavior=hsa",)}, "start-up"),
    ],
)
def test_what_a_simulator_cannot_do_is_refused(dialect, changes, said):
    with pytest.raises(SpecError, match=said):
        format_netlist(small(**changes), dialect)


def test_vacask_says_that_it_reads_no_sections():
    with pytest.raises(SpecError, match=re.escape("VACASK cannot read section")):
        format_netlist(small(".lib 'models.lib' typical\nv1 a 0 1", models=(Path("models.lib"),)), "vacask")


def test_an_unknown_dialect_is_refused():
    with pytest.raises(SpecError, match=r"no dialect 'pspice'; there are: ngspice, xyce"):
        format_netlist(small(), "pspice")


@pytest.mark.parametrize(
    ("text", "value"),
    [("5u", 5e-6), ("1M", 1e-3), ("1meg", 1e6), ("2.5e-6", 2.5e-6), (".3k", 300.0), ("-4n", -4e-9), ("1f", 1e-15)],
)
def test_numbers_are_read_as_spice_means_them(text, value):
    assert read_number(text) == value


@pytest.mark.parametrize("text", ["", "u", "1x", "1e", "{g}", "1 2"])
def test_other_text_is_no_number(text):
    with pytest.raises(SpecError, match="expected a number"):
        read_number(text)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [("{g}", "g"), ("{2.5*w}", "2.5*w"), ("{kappa}*v(p,n)", "kappa*v(p,n)"), ("max(-1, (x))", "max(-1, x)")],
)
def test_expressions_lose_what_encloses_them(text, rendered):
    assert join_expression(split_expression(text)) == rendered


def test_suffixes_that_depend_on_case_become_exponents():
    text = format_netlist(small("v1 a 0 1\nr1 a 0 2meg\nr2 a 0 1g"), "spectre")
    assert "r1 (a 0) resistor r=2e6" in text
    assert "r2 (a 0) resistor r=1e9" in text


def test_several_analyses_have_several_names():
    netlist = dataclasses.replace(small(), analyses=(".op", ".tran 1n 2n"))
    text = format_netlist(netlist, "spectre")
    assert "op1 dc" in text
    assert "tran2 tran" in text


@pytest.mark.parametrize(
    ("dialect", "power", "initial"),
    [
        ("xyce", "r2 a 0 {pwr(abs(-2*3), max(1, 0.5))}", ".ic v(a)={2*3}"),
        ("hspice", "r2 a 0 'pwr(abs(-2*3), max(1, 0.5))'", ".ic v(a)='2*3'"),
        ("spectre", "r2 (a 0) resistor r=(pow(abs(-2*3), max(1, 0.5)))", "ic a=(2*3)"),
    ],
)
def test_powers_and_initial_conditions(dialect, power, initial):
    lines = format_netlist(small("v1 a 0 1\nr2 a 0 {pwr(-2*3,max(1,0.5))}\n.ic v(a)={2*3}"), dialect).splitlines()
    assert {power, initial} <= set(lines)


def test_vacask_refuses_initial_conditions():
    with pytest.raises(SpecError, match="initial condition"):
        format_netlist(small("v1 a 0 1\n.ic v(a)=1"), "vacask")


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("name", library_names())
def test_all_of_the_library_can_be_said(name, dialect):
    if name in STATE_MODELS and dialect == "vacask":
        with pytest.raises(SpecError, match="VACASK takes no initial condition"):
            format_netlist(small(f"v1 a 0 1\n{library_text(name)}"), dialect)
    else:
        assert format_netlist(small(f"v1 a 0 1\n{library_text(name)}"), dialect)


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if f"{block}.cir" not in STATE_MODELS and block != "ecram"]
)
def test_every_testbench_of_a_data_sheet_is_written_for_every_simulator(block, dialect):
    """But noise, which is an analysis of ngspice only; time and frequency need no asking."""
    for name, netlist in BLOCKS[block].bench(preset("generic-1t1r")).netlists.items():
        if name.startswith("noise"):
            with pytest.raises(SpecError, match="onoise_total"):
                format_netlist(netlist, dialect)
            continue
        end = format_netlist(netlist, dialect).partition(" analysis\n")[2]
        kind = netlist.analyses[0].split()[0].removeprefix(".")
        assert re.search(rf"\b{'sweep' if (kind, dialect) == ('dc', 'vacask') else kind}\b", end)
        assert not re.search(r"[ (](time|frequency)\b", end)


def test_a_sweep_has_its_last_point_whatever_rounding_does():
    netlist = dataclasses.replace(small(), analyses=(".dc v1 0 3.3 0.01",))
    assert 'from=0 to=3.3 mode="lin" points=330' in format_netlist(netlist, "vacask")
    netlist = dataclasses.replace(small(), analyses=(".dc v1 -4.95e-05 4.962e-05 2.475e-07",))
    found = re.search(
        r'from=-4.95e-05 to=(\S+) mode="lin" points=400$', format_netlist(netlist, "vacask"), re.MULTILINE
    )
    assert float(found[1]) == pytest.approx(4.95e-5, rel=1e-12)


def test_frequencies_have_exponents():
    netlist = dataclasses.replace(small(), analyses=(".ac dec 10 1k 10g",))
    assert "ac1 ac start=1e3 stop=10e9 dec=10" in format_netlist(netlist, "spectre")
    assert 'from=1e3 to=10e9 mode="dec" points=10' in format_netlist(netlist, "vacask")


def test_spectre_refuses_a_kit_of_ngspice_and_takes_its_own():
    netlist = small(".lib 'models.lib' typical\nv1 a 0 1\nr1 a 0 1k", models=(Path("models.lib"),))
    with pytest.raises(SpecError, match=r"models.lib is written for ngspice.*process.kits = "):
        format_netlist(netlist, "spectre")
    kit = Kit(dialect="spectre", path="/pdk/models.scs", section="tt")
    text = format_netlist(dataclasses.replace(netlist, kits=(kit,), spiceinit=("set ngbehavior=hsa",)), "spectre")
    assert 'include "/pdk/models.scs" section=tt' in text.splitlines()
    assert "models.lib" not in text


@pytest.mark.parametrize("dialect", ["xyce", "hspice"])
def test_other_descendants_of_spice_say_whose_files_they_read(dialect):
    netlist = small(".lib 'a.lib' one\n.lib 'a.lib' two\nv1 a 0 1\nr1 a 0 1k", models=(Path("a.lib"),))
    assert "* written for ngspice; if " in format_netlist(netlist, dialect)
    own = format_netlist(dataclasses.replace(netlist, kits=(Kit(dialect=dialect, path="/pdk/b.lib"),)), dialect)
    assert ".include '/pdk/b.lib'" in own.splitlines()
    assert "a.lib" not in own
    assert "written for" not in own


def test_a_kit_for_another_simulator_is_no_other_chip():
    kit = {"dialect": "spectre", "path": "/pdk/models.scs", "section": "tt"}
    chip = preset("gf180-1t1r").changed(process={"kits": [kit]})
    assert chip.hash == preset("gf180-1t1r").hash
    assert 'include "/pdk/models.scs" section=tt' in format_netlist(build_cell(chip, 1e-5), "spectre")
    for wrong in ("a'b", 'a"b', "a\nb", "a$b"):
        with pytest.raises(SpecError, match="kits"):
            preset("gf180-1t1r").changed(process={"kits": [{**kit, "path": wrong}]})


@pytest.mark.parametrize(
    ("dialect", "words"),
    [("xyce", ".options timeint method=gear"), ("hspice", "method=gear"), ("spectre", "method=gear2only"),
     ("vacask", 'tran_method="gear2"')],
)  # fmt: skip
def test_a_product_by_pulses_keeps_its_way_of_integration(dialect, words):
    chip = preset("generic-1t1r").changed(dac={"kind": "pulse"}, sense_amplifier={"kind": "integrator"})
    g = np.full((2, 2), 2e-6)
    built = build_tile(chip, g, np.array([3, 9]), polarity="unipolar", r_feedback=max(chip.settings))
    assert "method=gear" in built.options
    assert words in format_netlist(built, dialect)
