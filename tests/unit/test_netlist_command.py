"""The netlist command: dialects, tables of cells, extracted wires, and the way back."""

import csv
import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.characterise import BLOCKS
from spicesim.chip import preset
from spicesim.chip.library import library_names
from spicesim.cli.netlist import netlist
from spicesim.cli.numbers import read_numbers
from spicesim.errors import SpecError
from spicesim.netlist import DIALECTS, run_command

G = np.array([[1e-5, 0.0, 3e-5], [1 / 7e4, 5e-6, 2e-5]])


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("g.npy", G)
    np.save("codes.npy", np.array([3, 200]))
    np.savetxt("v.csv", [0.1, 0.2], delimiter=",")

    def call(*words):
        result = CliRunner().invoke(netlist, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def tile(*words):
    return ("tile", "--chip", "generic-1t1r", "--conductance", "g.npy", "--codes", "codes.npy", *words)


def test_numbers_stand_on_the_command_line_as_in_files(run, tmp_path):
    table = ";".join(",".join(repr(float(g)) for g in row) for row in G)
    run(*tile("-o", "file.cir"))
    run("tile", "--chip", "generic-1t1r", "--conductance", table, "--codes", "3,200", "-o", "words.cir")
    assert (tmp_path / "words.cir").read_text() == (tmp_path / "file.cir").read_text().replace("file.cir", "words.cir")
    np.testing.assert_array_equal(read_numbers("10u, 20 uS;3e-5,.5m", "cells"), [[10e-6, 20e-6], [30e-6, 0.5e-3]])
    np.testing.assert_array_equal(read_numbers("-.5,+1", "weights"), [-0.5, 1.0])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1,2;3", "rows of 2 and 1 numbers"),
        ("1,two", "got 'two'"),
        ("64x64.dat", r"begins as a number is \./NAME"),
        ("1,,2", "expected a number"),
        ("1e999,1", "finite"),
        ("./1,2", "no file ./1,2"),
        ("nowhere", "no file nowhere"),
        ("1.npy", "no file 1.npy"),
        ("5" * 400 + "x", "unknown unit"),
        ("", "cannot read|no file"),
    ],
)
def test_words_that_are_neither_numbers_nor_files_are_refused(run, word, said):
    with pytest.raises(SpecError, match=said):
        read_numbers(word, "codes")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_tile_is_written_for_every_simulator(run, tmp_path, dialect):
    said = run(*tile("--dialect", dialect, "-o", "tile.net"))
    assert run_command(dialect).replace("THIS_FILE", "tile.net") in said
    assert "xc_1_2" in (tmp_path / "tile.net").read_text()
    assert (tmp_path / "tile.cells.csv").is_file()


@pytest.mark.parametrize("kind", ["tile", "crossbar"])
def test_conductances_go_out_and_come_back(run, tmp_path, kind):
    if kind == "tile":
        run(*tile("-o", "it.cir"))
    else:
        run("crossbar", "--chip", "generic-1t1r", "--conductance", "g.npy", "--voltages", "v.csv", "-o", "it.cir")
    with (tmp_path / "it.cells.csv").open(newline="") as file:
        cells = [float(line["conductance"]) for line in csv.DictReader(file)]
    np.testing.assert_array_equal(cells, G.ravel())
    for back in ("back.npy", "back.csv"):
        run("conductances", "it.cir", "-o", back)
    np.testing.assert_array_equal(np.load("back.npy"), G)
    np.testing.assert_array_equal(np.loadtxt("back.csv", delimiter=","), G)
    printed = [[float(word) for word in line.split(",")] for line in run("conductances", "it.cir").splitlines()]
    np.testing.assert_array_equal(printed, G)


def test_wires_come_from_a_file(run, tmp_path):
    names = [f"rwl_{i}_{j}" for i in range(2) for j in range(4)] + [f"rbl_{i}_{j}" for i in range(2) for j in range(3)]
    lines = ["segment,resistance,capacitance", *(f"{name},{k + 0.5},1e-16" for k, name in enumerate(names))]
    (tmp_path / "wires.csv").write_text("\n".join(lines) + "\n")
    text = run(*tile("--parasitics", "wires.csv"))
    assert "\nrbl_1_2 bl_1_2 foot_2 13.5\n" in text
    assert "\nxdacfar_1 dacfar_1 " in text


def test_both_ends_can_be_driven(run):
    assert "\nxdacfar_1 dacfar_1 " in run(*tile("--both-ends"))


def test_the_list_names_every_circuit_and_every_file_of_the_library(run):
    words = run("--list").split()
    assert set(netlist.commands) <= set(words)
    assert {name.removesuffix(".cir") for name in library_names()} <= set(words)


def test_a_simulator_that_cannot_is_named(run):
    with pytest.raises(SpecError, match="VACASK cannot read section"):
        run("cell", "--chip", "gf180-1t1r", "--dialect", "vacask")


@pytest.mark.parametrize(("columns", "count"), [("differential", 8), ("reference", 5)])
def test_weights_are_arranged(run, tmp_path, columns, count):
    np.save("w.npy", np.array([[0.5, -1.0], [2.0, 0.25]]))
    words = ("--weights", "w.npy", "--columns", columns, "--slices", "2", "--cell-bits", "2")
    run("tile", "--chip", "generic-1t1r", "--codes", "codes.npy", *words, "-o", "it.cir")
    with (tmp_path / "it.cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * count
    assert {line["slice"] for line in lines} == {"0", "1"}
    assert "$ output 1, +, slice 1" in (tmp_path / "it.cir").read_text()


def test_gates_are_inputs(run):
    np.save("gates.npy", np.array([0.0, 3.3]))
    assert "\nvgate_1 gate_1 0 3.3\n" in run(*tile("--gates", "gates.npy"))


@pytest.mark.parametrize("words", [(), ("--conductance", "g.npy", "--weights", "g.npy")])
def test_cells_are_given_once(run, words):
    with pytest.raises(SpecError, match="give the cells once"):
        run("crossbar", "--chip", "generic-1t1r", "--voltages", "v.csv", *words)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in ("cell", "sense_amplifier", "dac")])
def test_every_block_of_a_data_sheet_is_written(run, tmp_path, block):
    benches = BLOCKS[block].bench(preset("generic-1t1r")).netlists
    for name in benches:
        run(block, "--chip", "generic-1t1r", "--bench", name, "-o", "it.cir")
        assert (tmp_path / "it.cir").read_text() == benches[name].format()
    assert run(block, "--chip", "generic-1t1r") == next(iter(benches.values())).format()
    with pytest.raises(SpecError, match=f"{block} has no testbench 'nothing'; there are: {next(iter(benches))}"):
        run(block, "--chip", "generic-1t1r", "--bench", "nothing")


def macro(*words):
    return ("macro", "--chip", "gf180-bits", "--conductance", "g.npy", "--codes", "bits.npy", *words)


def test_a_macro_has_converters_on_the_columns_that_are_named(run, tmp_path):
    np.save("bits.npy", np.array([1, 0]))
    assert "macro.cir" in run(*macro("--converters", "0,2", "-o", "macro.cir"))
    text = (tmp_path / "macro.cir").read_text()
    assert [f"xconverter_{j} out_{j} " in text for j in range(3)] == [True, False, True]
    assert (tmp_path / "macro.cells.csv").is_file()
    assert "vrise" not in text
    assert "vrise" in run(*macro("--t-read", "600n"))  # from rest


def test_a_macro_of_a_drawn_chip_at_a_corner_has_the_tile_of_that_chip(run):
    """Its drivers and amplifiers get the numbers that those of a tile get; each converter has capacitors of its own."""
    np.save("bits.npy", np.array([1, 0]))
    place = ("--corner", "ss", "--temperature", "85", "--mismatch", "3")
    drawn = run(*macro(*place))
    assert "\n.temp 85.0\n" in drawn
    whole = run("tile", "--chip", "gf180-bits", "--conductance", "g.npy", "--codes", "bits.npy", *place)
    calls = [line for line in whole.splitlines() if line.startswith(("xdac_", "xsenseamp_", "xc_"))]
    assert len(calls) == 2 + 3 + 5  # one cell is left open
    assert set(calls) <= set(drawn.splitlines())
    assert len(set(re.findall(r"^c7 top s7 (\S+)$", drawn, re.MULTILINE))) == 3
    assert drawn != run(*macro(*place[:-1], "4"))


def test_a_macro_without_converters_or_such_columns_is_refused(run):
    np.save("bits.npy", np.array([1, 0]))
    with pytest.raises(SpecError, match=r"adc\.kind = ideal, so there are no converters"):
        run("macro", "--chip", "generic-1t1r", "--conductance", "g.npy", "--codes", "codes.npy")
    with pytest.raises(SpecError, match=r"needs conductances \(rows, columns\)"):
        run("macro", "--chip", "gf180-bits", "--conductance", "10u,20u", "--codes", "1,0")
    with pytest.raises(SpecError, match="codes must be integers"):
        run("macro", "--chip", "gf180-bits", "--conductance", "g.npy", "--codes", "1,.5")
    with pytest.raises(SpecError, match="takes column numbers"):
        run(*macro("--converters", "a"))
    with pytest.raises(SpecError, match="the tile has 3 columns only"):
        run(*macro("--converters", "7"))
    with pytest.raises(SpecError, match=r"above sar_adc\.sample"):
        run(*macro("--t-read", "1n"))
