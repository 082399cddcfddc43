"""Arrays as layouts: clean where drawn, the very netlist, and every mistake is found."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.chip import Chip, load_chip, preset
from spicesim.cli.main import cli, run
from spicesim.errors import SpecError
from spicesim.netlist import Parasitics, build_crossbar, read_parasitics

pytest.importorskip("klayout", reason="klayout is not installed: pip install klayout")
import klayout.db as db

from spicesim.layout import (
    GF180MCU,
    CellWishes,
    check_rules,
    compare_layout,
    draw_array,
    measure_wires,
    plan_cell,
    read_layout,
    write_layout,
)

GF180 = preset("gf180-1t1r")


def chip_of(**cell) -> Chip:
    return GF180.changed(cell=cell)


def draw(chip: Chip = GF180, rows: int = 3, columns: int = 4, **wishes) -> db.Layout:
    return draw_array(chip, plan_cell(chip, GF180MCU, CellWishes(**wishes)), rows, columns).layout


def flat(layout: db.Layout) -> db.Layout:
    """Return it without its hierarchy, so that one cell can be spoiled."""
    layout.top_cell().flatten(True)
    return layout


def shapes(layout: db.Layout, layer: str) -> db.Shapes:
    pair = GF180MCU.pins[layer[:-4]] if layer.endswith("_pin") else GF180MCU.layers[layer]
    return layout.top_cell().shapes(layout.layer(*pair))


def cut(layout: db.Layout, layer: str, box: db.Box) -> None:
    """Take a box out of a layer."""
    here = shapes(layout, layer)
    left = db.Region(here) - db.Region(box)
    here.clear()
    here.insert(left)


def label(layout: db.Layout, text: str) -> db.Shape:
    return next(
        s
        for metal in GF180MCU.pins
        for s in shapes(layout, f"{metal}_pin").each(db.Shapes.STexts)
        if s.text_string == text
    )


def place(layout: db.Layout, text: str) -> db.Point:
    return db.Point() + label(layout, text).text_trans.disp


def write_crossbar(path, chip: Chip, rows: int, columns: int, **more):
    gates = np.zeros(rows) if chip.cell.is_gated else None
    build_crossbar(chip, np.full((rows, columns), 2e-5), np.zeros(rows), gates=gates, **more).write(path)
    return path


@pytest.fixture
def netlist(tmp_path):
    return write_crossbar(tmp_path / "xbar.cir", GF180, 3, 4)


# --- drawn clean -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 1), (3, 4), (24, 3)])
@pytest.mark.parametrize("cell", [{}, {"access_width": 0.36e-6}, {"access_width": 8e-6, "access_length": 0.5e-6}])
def test_arrays_of_all_sizes_and_transistors_are_clean(rows, columns, cell):
    assert check_rules(draw(chip_of(**cell), rows, columns), GF180MCU) == []


@pytest.mark.parametrize("fingers", range(1, 6))
@pytest.mark.parametrize(
    "wishes", [{}, {"word_line": 0.8e-6, "bit_line": 0.68e-6, "device": 0.5e-6}, {"pitch": (4.405e-6, 5e-6)}]
)
def test_folded_transistors_and_wanted_sizes_are_clean(fingers, wishes):
    chip = chip_of(access_width=4e-6 if fingers != 3 else 3e-6)
    assert check_rules(draw(chip, fingers=fingers, **wishes), GF180MCU) == []


def test_without_wishes_no_other_folding_makes_a_smaller_cell():
    areas = {n: plan_cell(GF180, GF180MCU, CellWishes(fingers=n)).area for n in (1, 2, 4, 5)}
    assert plan_cell(GF180, GF180MCU).area == min(areas.values())
    assert len(set(areas.values())) == 4


# --- rules that are broken -------------------------------------------------------------------------------------------


def spoil_space(layout):
    at = place(layout, "bl_1")
    shapes(layout, "metal2").insert(db.Box(at.x + 240, at.y - 200, at.x + 640, at.y + 200))


def spoil_width(layout):
    at = place(layout, "wl_1")
    cut(layout, "metal3", db.Box(at.x + 600, at.y - 20, at.x + 800, at.y + 300))


def spoil_contact_size(layout):
    first = next(iter(db.Region(shapes(layout, "contact")).each())).bbox()
    shapes(layout, "contact").insert(first.enlarged(10, 0))


def spoil_gate_end(layout):
    gate = max((p.bbox() for p in db.Region(shapes(layout, "poly")).merged().each()), key=lambda box: box.right)
    cut(layout, "poly", db.Box(gate.right - 130, gate.bottom, gate.right, gate.top))


def spoil_ties(layout):
    shapes(layout, "pplus").clear()


def spoil_implant(layout):
    at = place(layout, "xc_1_1.d")
    cut(layout, "nplus", db.Box(at.x - 100, at.y - 100, at.x + 100, at.y + 100))


def spoil_grid(layout):
    at = place(layout, "bl_0")
    shapes(layout, "metal2").insert(db.Box(at.x - 140, at.y - 1, at.x + 142, at.y + 200))


def spoil_enclosure(layout):
    shapes(layout, "device").insert(db.Box(-130, -130, 130, 130).moved(place(layout, "xc_0_0.d") - db.Point(40, 0)))


def spoil_contact_gate(layout):
    at = place(layout, "xc_1_2.d")
    shapes(layout, "contact").insert(db.Box(at.x - 110, at.y - 300, at.x + 110, at.y - 80))


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (spoil_space, "M2.2a"), (spoil_width, "M3.1"), (spoil_contact_size, "CO.1"), (spoil_gate_end, "PL.4"),
        (spoil_ties, "tie within"), (spoil_implant, "NP.5"), (spoil_grid, "grid"), (spoil_enclosure, "assumed, as V2"),
        (spoil_contact_gate, "CO.7"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(spoil, rule, tmp_path):
    layout = flat(draw())
    assert check_rules(layout, GF180MCU) == []
    spoil(layout)
    assert rule in " ".join(one.rule for one in check_rules(layout, GF180MCU))
    write_layout(layout, tmp_path / "spoiled.gds")
    assert run(["layout", "drc", str(tmp_path / "spoiled.gds")], debug=False) == 1


# --- the very netlist ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chip",
    [
        GF180,
        preset("gf180-gate"),
        chip_of(kind="2t2r"),
        chip_of(device="ecram", kappa=0.0),
        chip_of(kappa=0.0),
        chip_of(access_width=8e-6, access_length=0.5e-6),
        GF180.changed(array={"r_word_line": 0.0, "c_bit_line": 1e-15}),
        GF180.changed(array={"r_bit_line": 0.0, "c_word_line": 1e-15}),
        preset("generic-1t1r").changed(cell={"access_length": 0.35e-6}),
        preset("ihp130-1t1r"),
    ],
)
def test_an_array_is_the_netlist_of_its_chip(chip, tmp_path):
    path = write_crossbar(tmp_path / "xbar.cir", chip, 3, 4)
    found = compare_layout(draw(chip), path, chip, GF180MCU)
    assert found.differences == ()
    assert (found.transistors, found.elements) == (12, 12)
    gates = 3 if chip.cell.is_gated else 1
    assert found.nets == 3 + 4 + gates + 1 + 12


@pytest.mark.parametrize("fingers", [1, 2, 4])
def test_fingers_in_parallel_are_one_transistor(fingers, netlist):
    assert compare_layout(draw(fingers=fingers), netlist, GF180, GF180MCU).is_same


def test_a_layout_of_many_rows_is_the_netlist_across_its_ties(tmp_path):
    path = write_crossbar(tmp_path / "xbar.cir", GF180, 24, 3)
    layout = draw(rows=24, columns=3)
    bars = db.Region(shapes(layout, "pplus")).merged()
    assert sum(polygon.holes() for polygon in bars.each()) >= 2  # a tie between rows
    assert compare_layout(layout, path, GF180, GF180MCU).is_same


def miss_contact(layout):
    at = place(layout, "xc_1_2.d")
    cut(layout, "contact", db.Box(at.x - 1000, at.y - 1100, at.x + 200, at.y - 500))
    cut(layout, "contact", db.Box(at.x - 1000, at.y + 500, at.x + 200, at.y + 1100))


def miss_element(layout):
    at = place(layout, "xc_2_3.d")
    cut(layout, "device", db.Box(at, at).enlarged(300, 300))


def swap_labels(layout):
    one, other = place(layout, "bl_1"), place(layout, "bl_2")
    label(layout, "bl_1").text_string = "moved"
    label(layout, "bl_2").text_string = "bl_1"
    label(layout, "moved").text_string = "bl_2"
    assert (place(layout, "bl_1"), place(layout, "bl_2")) == (other, one)


def short_bit_lines(layout):
    one, other = place(layout, "bl_1"), place(layout, "bl_2")
    shapes(layout, "metal2").insert(db.Box(one, other).enlarged(100, 100))


def open_word_line(layout):
    at = (place(layout, "xc_1_1.d") + (place(layout, "xc_1_2.d") - db.Point())) * 0.5
    cut(layout, "metal3", db.Box(at, at).enlarged(100, 400))


def change_width(layout):
    at = place(layout, "xc_0_1.d")
    cut(layout, "active", db.Box(at.x - 900, at.y - 900, at.x - 760, at.y + 900))


def change_length(layout):
    at = place(layout, "xc_0_3.d")
    shapes(layout, "poly").insert(db.Box(at.x - 2000, at.y + 540, at.x + 600, at.y + 550))


def short_element(layout):
    shapes(layout, "via1").insert(db.Box(0, 0, 1, 1))
    at = place(layout, "xc_0_0.d")
    shapes(layout, "metal1").insert(db.Box(at.x - 200, at.y - 1000, at.x, at.y))


def lose_ties(layout):
    for polygon in list(db.Region(shapes(layout, "contact")).interacting(db.Region(shapes(layout, "pplus"))).each()):
        cut(layout, "contact", polygon.bbox())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (miss_contact, r"only in the netlist: nfet_03v3 S=bl_2"),
        (miss_element, r"only in the netlist: memory A=wl_2 B=xc_2_3\.d"),
        (swap_labels, r"bl_1"),
        (short_bit_lines, r"short: bl_1, bl_2 are one net"),
        (open_word_line, r"wl_1"),
        (change_width, r"w=1\.9u.* in the layout, .*w=2u"),
        (change_length, r"l=0\.2[89]\d*u"),
        (short_element, r"short|only in|not joined"),
        (lose_ties, r"vss"),
    ],
)
def test_a_mistake_made_on_purpose_is_found(spoil, told, netlist, tmp_path):
    layout = flat(draw())
    assert compare_layout(layout, netlist, GF180, GF180MCU).is_same
    spoil(layout)
    found = compare_layout(layout, netlist, GF180, GF180MCU)
    assert re.search(told, "\n".join(found.differences)), found.differences
    write_layout(layout, tmp_path / "spoiled.oas")
    report = tmp_path / "out.lvsdb"
    assert (
        run(["layout", "lvs", str(tmp_path / "spoiled.oas"), str(netlist), "--report", str(report)], debug=False) == 1
    )
    assert report.stat().st_size > 1000


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("xc_1_1 wl_1_1 bl_1_1", "xc_1_1 wl_1_1 bl_1_2", r"bl_2"),
        ("xc_1_1 wl_1_1", "xc_1_1 wl_0_1", r"wl_0"),
        ("w=2e-06 l", "w=2.1e-06 l", r"w=2u.* in the layout, .*w=2\.1u"),
        (r"\nxc_2_0 [^\n]*", "\n* xc_2_0 is open", r"only in the layout"),
        ("m1  d gate bl vss", "m1  d gate bl gate", r"B="),
    ],
)
def test_a_netlist_that_says_something_else_is_found(old, new, told, netlist):
    text = netlist.read_text()
    assert re.search(old, text)
    netlist.write_text(re.sub(old, new, text, count=1))
    assert re.search(told, "\n".join(compare_layout(draw(), netlist, GF180, GF180MCU).differences))


def test_an_array_of_another_size_is_not_the_netlist(netlist):
    assert not compare_layout(draw(rows=3, columns=5), netlist, GF180, GF180MCU).is_same
    assert not compare_layout(draw(rows=2, columns=4), netlist, GF180, GF180MCU).is_same


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("\n.end\n", "\nrleak bl_0_0 bl_0_1 1k\n.end\n", "rleak"),
        ("\n.end\n", "\nrwl_9_9 wl_0_0 wl_1_0 1\n.end\n", "wires join wl_0 and wl_1"),
        (r"\nxc_[^\n]*", "", "no cells"),
        ("\nxc_0_0 ", "\nxc_0_0 .. .. ", "cannot read netlist"),
    ],
)
def test_a_netlist_with_more_or_less_than_an_array_is_refused(old, new, told, netlist):
    netlist.write_text(re.sub(old, new, netlist.read_text()))
    with pytest.raises(SpecError, match=told):
        compare_layout(draw(), netlist, GF180, GF180MCU)


def test_other_circuits_are_refused(tmp_path):
    numbers = ["--conductance", "10u,20u;30u,5u", "-o", str(tmp_path / "other.cir")]
    write_layout(draw(rows=2, columns=2), tmp_path / "array.gds")
    for words in (["tile", "--codes", "200,30"], ["crossbar", "--voltages", ".1,.1", "--as", "subckt"]):
        assert run(["netlist", *words, *numbers], debug=False) == 0
        with pytest.raises(SpecError, match="'spicesim netlist crossbar'"):
            compare_layout(read_layout(tmp_path / "array.gds"), tmp_path / "other.cir", GF180, GF180MCU)


# --- wires -----------------------------------------------------------------------------------------------------------


def test_resistance_is_sheet_resistance_times_squares():
    plan = plan_cell(GF180, GF180MCU, CellWishes(fingers=1))
    wires = measure_wires(draw(fingers=1), GF180MCU)
    np.testing.assert_allclose(wires.word.resistance[:, 1:], 0.09 * plan.pitch[0] / plan.word_line.height(), rtol=1e-12)
    np.testing.assert_allclose(wires.bit.resistance[:, :-1].min(), 0.09 * plan.pitch[1] / 280, rtol=1e-12)
    np.testing.assert_allclose(wires.r_gate, 6.8 * plan.pitch[0] / 280, rtol=1e-9)
    folded = measure_wires(draw(fingers=4), GF180MCU)
    np.testing.assert_allclose(
        folded.r_gate, 6.8 * plan_cell(GF180, GF180MCU, CellWishes(fingers=4)).pitch[0] / 280 / 4
    )


def test_what_was_drawn_is_measured_and_not_what_was_meant():
    layout = flat(draw(fingers=1))
    meant = measure_wires(layout, GF180MCU)
    at = place(layout, "xc_1_2.d")
    shapes(layout, "metal3").insert(db.Box(at.x - 1500, at.y - 190, at.x - 500, at.y + 570))  # twice .38 um, for 1 um
    found = measure_wires(layout, GF180MCU)
    saved = meant.word.resistance - found.word.resistance
    np.testing.assert_allclose(saved[1, 2], 0.09 * (1000 / 380 - 1000 / 760), rtol=1e-9)
    assert np.count_nonzero(np.abs(saved) > 1e-12) == 1
    assert found.word.capacitance[1].sum() > meant.word.capacitance[1].sum()


def test_capacitance_of_a_word_line_is_that_of_its_areas_edges_and_sides():
    """One cell more, by hand, in square micrometres and micrometres: metal 3 of .38 um over what one cell has below."""
    plan = plan_cell(GF180, GF180MCU, CellWishes(fingers=1))
    assert plan.pitch == (2280, 1440)
    assert (plan.active.width(), plan.active.height(), plan.word_line.height()) == (2000, 1160, 380)
    five, six = (measure_wires(draw(columns=n, fingers=1), GF180MCU).word.capacitance[1].sum() for n in (5, 6))
    metal2 = 0.38 * 0.28 + 0.38**2 - 0.26**2
    metal1 = 0.34 * (2.0 - 0.28 - 0.38)
    active = (0.37 - 0.34) * (2.0 - 0.28 - 0.38)
    substrate = 0.38 * 2.28 - metal2 - 0.26**2 - metal1 - active
    overlap = metal2 * 59.0279 + metal1 * 20.2381 + active * 11.0571 + substrate * 10.0944
    over_metal2, over_active = 2 * (0.28 + 0.38), 2.0 - 0.28 - 0.38
    edges = over_metal2 * 40.482 + over_active * 14.36 + (2 * 2.28 - over_metal2 - over_active) * 13.52
    sides = 2 * 30.774 * 2.28 / (1.44 - 0.38)
    np.testing.assert_allclose(six - five, (overlap + edges + sides) * 1e-18, rtol=1e-3)  # shares by length


def test_wider_pitch_lessens_the_capacitance_of_sides_only_between_lines():
    near, far = (measure_wires(draw(fingers=1, pitch=(2.28e-6, y)), GF180MCU).word for y in (1.44e-6, 2.5e-6))
    np.testing.assert_allclose(near.parts["sides"] / far.parts["sides"], (2.5 - 0.38) / (1.44 - 0.38), rtol=1e-9)


def test_lines_at_the_border_have_a_neighbour_less():
    wires = measure_wires(draw(rows=5, columns=5), GF180MCU)
    total = wires.word.capacitance.sum(axis=1)
    assert total[0] < total[2]
    np.testing.assert_allclose(total[1], total[2], rtol=1e-9)


@pytest.mark.parametrize("kind", ["1t1r", "2t2r"])
def test_measured_wires_go_to_the_netlist_and_to_the_chip(kind, tmp_path):
    chip = tmp_path / "chip.toml"
    assert run(["init", "-o", str(chip)], debug=False) == 0
    chip.write_text(chip.read_text().replace('kind = "1t1r"', f'kind = "{kind}"'))
    files = {name: str(tmp_path / name) for name in ("array.gds", "wired.toml", "wires.csv", "array.png")}
    words = ["layout", "array", "--chip", str(chip), "--rows", "3", "--columns", "4", "-o", files["array.gds"]]
    words += ["--chip-out", files["wired.toml"], "--parasitics", files["wires.csv"], "--plot", files["array.png"]]
    told = CliRunner().invoke(cli, words, catch_exceptions=False).output
    assert "clean" in told
    wires = measure_wires(read_layout(files["array.gds"]), GF180MCU)
    wired = load_chip(files["wired.toml"])
    cells = 2 if kind == "2t2r" else 1
    np.testing.assert_allclose(wired.array.r_word_line, wires.word.r_cell * cells, rtol=1e-5)
    np.testing.assert_allclose(wired.array.c_bit_line, wires.bit.c_cell, rtol=1e-5)
    extracted = read_parasitics(files["wires.csv"], 3, 4)
    np.testing.assert_allclose(extracted.r_word_line.sum(), wires.word.resistance.sum() if cells == 1 else
                               wires.word.resistance[:, :3].sum(), rtol=1e-12)  # fmt: skip
    path = write_crossbar(tmp_path / "xbar.cir", wired, 3, 4, parasitics=extracted)
    assert run(["layout", "lvs", files["array.gds"], str(path), "--chip", str(chip)], debug=False) == 0
    assert Parasitics.of_chip(wired, 3, 4).r_word_line[0, 1 if cells == 1 else 2] == wired.array.r_word_line
    assert (tmp_path / "array.png").read_bytes()[:4] == b"\x89PNG"


# --- files and mistakes of a user ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_a_layout_is_read_back_and_written_alike(ending, netlist, tmp_path):
    one, other = tmp_path / f"one.{ending}", tmp_path / f"other.{ending}"
    write_layout(draw(), one)
    write_layout(draw(), other)
    assert one.read_bytes() == other.read_bytes()
    assert compare_layout(read_layout(one), netlist, GF180, GF180MCU).is_same


@pytest.mark.parametrize(
    ("chip", "rows", "columns", "wishes", "told"),
    [
        (chip_of(kind="1r"), 3, 4, {}, "no access transistor"),
        (chip_of(access_width=2.0025e-6), 3, 4, {}, "off the grid"),
        (chip_of(access_width=0.3e-6), 3, 4, {}, "cannot be folded"),
        (GF180, 3, 4, {"fingers": 7}, "cannot be folded"),
        (GF180, 3, 4, {"pitch": (1e-6, 1e-6)}, "too narrow"),
        (GF180, 3, 4, {"bit_line": 0.1e-6}, "does not fit"),
        (chip_of(kind="2t2r"), 3, 5, {}, "even number"),
        (GF180, 0, 4, {}, "1 to"),
        (preset("ihp130-1t1r").changed(cell={"access_length": 0.13e-6}), 3, 4, {}, "shorter"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_remedy(chip, rows, columns, wishes, told):
    with pytest.raises(SpecError, match=told):
        draw(chip, rows, columns, **wishes)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"end it in \.gds or \.oas"):
        write_layout(draw(), tmp_path / "array.txt")
    (tmp_path / "array.gds").write_bytes(b"no layout")
    with pytest.raises(SpecError, match="cannot read the layout"):
        read_layout(tmp_path / "array.gds")
    assert run(["layout", "wires", str(tmp_path / "none.gds")], debug=False) == 2
    words = ["layout", "array", "--rows", "1", "--columns", "3", "-o", str(tmp_path / "row.gds")]
    assert run([*words, "--chip-out", str(tmp_path / "wired.toml")], debug=False) == 2


def test_where_klayout_is_missing_the_remedy_is_named(monkeypatch):
    import importlib.util
    import sys

    from spicesim.errors import MissingDependencyError

    for name in [name for name in sys.modules if name.startswith("spicesim.layout")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(MissingDependencyError, match=r"pip install klayout$"):
        import spicesim.layout  # noqa: F401
