"""Every cell of a netlist is accounted for, and its conductance comes back exactly, whoever edited it."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spicesim.chip import Array, preset
from spicesim.errors import SpecError
from spicesim.mapping import map_weights
from spicesim.netlist import (
    Parasitics,
    arrange_weights,
    build_column,
    build_crossbar,
    build_tile,
    format_trace,
    read_conductances,
    write_trace,
)
from spicesim.netlist.reader import find_conductances

CHIP = preset("generic-1t1r")
conductances = arrays.arrays(
    float,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    elements=st.one_of(st.just(0.0), st.floats(1e-12, 1.0)),
)


def tile(g):
    return build_tile(CHIP, g, np.zeros(len(g), int), polarity="unipolar", r_feedback=1e4)


@settings(max_examples=50)
@given(conductances, st.sampled_from(["1t1r", "1r"]), st.sampled_from([0.0, 1.5]))
def test_conductances_come_back_to_the_last_bit(g, kind, kappa):
    chip = CHIP.changed(cell={"kind": kind, "kappa": kappa})
    text = build_crossbar(chip, g, np.zeros(len(g))).format()
    np.testing.assert_array_equal(find_conductances(text, "it"), g)


def test_a_file_is_read_back(tmp_path):
    g = np.array([[1e-5, 0.0], [1 / 3e5, 2e-5]])
    tile(g).write(tmp_path / "tile.cir")
    np.testing.assert_array_equal(read_conductances(tmp_path / "tile.cir"), g)


def test_edited_values_are_read_as_spice_means_them(tmp_path):
    text = tile(np.full((2, 2), 1e-5)).format()
    for cell, edit in {"xc_0_0": "g=20u", "xc_0_1": "G = 1.5E-6 $ mended", "xc_1_0": "\n+ g=.3m"}.items():
        text = re.sub(rf"^({cell} .*) g=\S+", rf"\1 {edit}", text, flags=re.MULTILINE)
    text = re.sub(r"^xc_1_1 .*", "* xc_1_1 is open", text, flags=re.MULTILINE)
    (tmp_path / "edited.cir").write_text(text)
    np.testing.assert_array_equal(read_conductances(tmp_path / "edited.cir"), [[20e-6, 1.5e-6], [0.3e-3, 0.0]])


@pytest.mark.parametrize(
    ("pattern", "edit", "said"),
    [
        (r"^xc_1_0 .*\n", "", "no cell xc_1_0"),
        (r"^xc_1_0 ", "xc_0_0 ", "there twice"),
        (r"^xc_1_0 ", "xc_7_0 ", "outside"),
        (r"(xc_1_0 .*) g=\S+", r"\1", "has no g="),
        (r"(xc_1_0 .*) g=\S+", r"\1 g={2*x}", "expected a number"),
        (r"(xc_1_0 .*) g=\S+", r"\1 g=-1u", "must be positive"),
        (r"^\* cells.*\n", "", "is it a column, crossbar or tile"),
    ],
)
def test_a_broken_edit_is_named(pattern, edit, said):
    text = re.sub(pattern, edit, tile(np.full((2, 2), 1e-5)).format(), flags=re.MULTILINE)
    with pytest.raises(SpecError, match=re.escape(said)):
        find_conductances(text, "it.cir")


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(SpecError, match="cannot read netlist"):
        read_conductances(tmp_path / "none.cir")


def test_the_table_lists_every_cell(tmp_path):
    g = np.array([[1e-5, 0.0, 3e-5]])
    path = write_trace(tmp_path / "tile.cir", tile(g))
    assert path.name == "tile.cells.csv"
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [line["instance"] for line in lines] == ["xc_0_0", "xc_0_1", "xc_0_2"]
    np.testing.assert_array_equal([float(line["conductance"]) for line in lines], g[0])
    assert format_trace(build_column(CHIP, g[0], np.zeros(3), 1e4)).count("\n") == 4


def test_the_table_of_a_network_tile_finds_every_weight():
    """From sign, index and conductance of all its cells a layer's weights can be put together again."""
    w = np.random.default_rng(3).normal(size=(5, 7))
    low, high = 1e-6, 50e-6
    difference = np.zeros_like(w)
    for mapped in map_weights(w, Array(rows=4, columns=6), (low, high), name="fc"):
        for line in csv.DictReader(io.StringIO(format_trace(tile(mapped.g), layer="fc", mapped=mapped))):
            assert (line["layer"], line["slice"]) == ("fc", "0")
            k = int(line["output"])
            scale = mapped.weight_per_siemens[k - mapped.outputs.start]
            difference[k, int(line["input"])] += int(line["sign"]) * float(line["conductance"]) * scale
    np.testing.assert_allclose(difference, w, rtol=1e-9, atol=1e-12)


def test_a_table_of_another_size_is_refused():
    (mapped,) = map_weights(np.ones((1, 2)), Array(rows=4, columns=6), (1e-6, 5e-5), name="fc")
    with pytest.raises(SpecError, match="mapped tile"):
        format_trace(tile(np.full((1, 1), 1e-5)), layer="fc", mapped=mapped)


PAIRS = CHIP.changed(cell={"kind": "2t2r"})


@settings(max_examples=30)
@given(arrays.arrays(float, st.tuples(st.integers(1, 4), st.just(4)), elements=st.floats(1e-12, 1.0)))
def test_pairs_come_back_to_the_last_bit(g):
    g[0, 2:] = 0
    text = build_crossbar(PAIRS, g, np.zeros(len(g))).format()
    np.testing.assert_array_equal(find_conductances(text, "it"), g)


def test_an_edited_pair_is_read_as_spice_means_it(tmp_path):
    text = build_crossbar(PAIRS, np.full((1, 4), 1e-5), [0.1]).format()
    text = text.replace("gp=1e-05 gn=1e-05", "gn=3u gp = 20u $ swapped", 1)
    (tmp_path / "edited.cir").write_text(text)
    np.testing.assert_array_equal(read_conductances(tmp_path / "edited.cir"), [[20e-6, 3e-6, 1e-5, 1e-5]])
    for edit, said in ((("gn=3u", ""), "has no gn="), (("xc_0_1 ", "xc_0_2 "), "outside"), (("gp =", "g ="), "no gp=")):
        with pytest.raises(SpecError, match=said):
            find_conductances(text.replace(*edit), "it")


@pytest.mark.parametrize("kind", ["1t1r", "1s1r", "2t2r"])
@pytest.mark.parametrize(
    ("columns", "slices", "bits"), [("differential", 1, None), ("differential", 2, 2), ("reference", 2, 2)]
)
def test_edited_weights_are_imported_again(kind, columns, slices, bits):
    """From netlist and table alone come the weights that a designer made of them by halving a cell's conductance."""
    w = np.array([[1.0, -0.5, 0.25], [-0.75, 0.125, 0.6]])
    arranged = arrange_weights(w, columns, (1e-6, 50e-6), slices=slices, bits=bits)
    chip = CHIP.changed(cell={"kind": kind})
    if kind == "2t2r" and columns == "reference":
        with pytest.raises(SpecError, match="need differential columns"):
            build_crossbar(chip, arranged, np.zeros(3))
        return
    netlist = build_crossbar(chip, arranged, np.zeros(3))
    name, key = ("xc_1_0", "gp") if kind == "2t2r" else ("xc_1_0", "g")
    edited = re.sub(rf"^({name} .*\b{key}=)\S+", r"\g<1>2.5u", netlist.body, flags=re.MULTILINE)
    g = find_conductances(edited, "it")
    expected = arranged.g.copy()
    expected[1, 0] = 2.5e-6
    np.testing.assert_array_equal(g, expected)
    lines = list(csv.DictReader(io.StringIO(format_trace(netlist, layer="fc", mapped=arranged))))
    assert len({line["instance"] for line in lines}) == len(lines) == g.size
    for line in lines:
        column = arranged.columns[int(line["column"])]
        assert (line["output"], line["sign"]) == (
            "all" if column.output is None else str(column.output),
            str(column.sign),
        )
        assert float(line["conductance"]) == arranged.g[int(line["row"]), int(line["column"])]


@pytest.mark.parametrize(
    ("g", "said"),
    [
        (np.full((1, 3), 1e-5), "takes two columns"),
        (np.array([[1e-5, 0.0]]), "cannot be open alone"),
        (np.array([[1e-5, -1.0]]), "not negative"),
    ],
)
def test_impossible_pairs_are_refused(g, said):
    with pytest.raises(SpecError, match=said):
        build_crossbar(PAIRS, g, [0.1])


def test_a_wire_within_a_pair_is_refused():
    one = np.ones((1, 2))
    wires = Parasitics(r_word_line=one, r_bit_line=one, c_word_line=0 * one, c_bit_line=0 * one)
    with pytest.raises(SpecError, match="rwl_0_1 lies within a 2t2r cell"):
        build_crossbar(PAIRS, [[1e-5, 1e-5]], [0.1], parasitics=wires)
