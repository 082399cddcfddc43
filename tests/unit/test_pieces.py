"""Heads of netlists: which pieces are transistors, which are ideal."""

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.netlist import build_cell, build_tile
from spicesim.netlist.pieces import describe_pieces


def head(name):
    chip = preset(name)
    codes = np.array([0, 1]) % 2**chip.code_bits
    built = build_tile(chip, np.full((2, 2), 2e-6), codes, polarity="unipolar", r_feedback=max(chip.settings))
    lines = built.body.split("\n\n")[0].splitlines()
    first = lines.index("* what is real here, and what is ideal:")
    return {line[4:25].strip(): line[25:] for line in lines[first + 1 :] if line.startswith("*   ")}


def test_a_tile_tells_its_transistors_and_all_that_is_ideal():
    found = head("gf180-1t1r")
    assert found["transistors"] == "opamp 20, switch 6, cell_1t1r 1"
    assert found["ideal bias currents"] == "opamp"
    assert found["ideal resistors"] == "opamp, tia, dac"
    assert found["laws"] == "rram"
    assert {"vdd", "vref", "vlo", "vhi", "vgate"} == set(found["ideal sources"].split(", "))


@pytest.mark.parametrize(
    "name", ["gf180-bits", "gf180-gate", "gf180-voltage", "gf180-pulse", "sky130-1t1r", "ihp130-1t1r"]
)
def test_every_macro_tells(name):
    found = head(name)
    assert "cell_1t1r 1" in found["transistors"]
    assert "vdd" in found["ideal sources"]


def test_subcircuit_calls_of_a_kit_are_transistors_and_plain_circuits_say_nothing():
    kit = ".subckt a x\nx1 x x 0 0 nfet w=1u l=1u\n.ends a"
    assert "a 1" in describe_pieces([kit], ["nfet", "pfet"])[1]
    assert describe_pieces(["r1 a 0 1k"], ["n", "p"]) == []
    assert "vnumber_0 .. vnumber_2" in "\n".join(
        describe_pieces([kit, "vnumber_0 a 0 1\nvnumber_1 b 0 1\nvnumber_2 c 0 1"], ["nfet"])
    )
    assert "what is real" in build_cell(preset("generic-1t1r"), 1e-5).body


def test_subcircuits_within_subcircuits_are_told_apart():
    text = ".subckt a x\n.subckt b y\nr1 y 0 1\n.ends b\nm1 x x 0 0 n w=1u l=1u\n.ends"
    assert describe_pieces([text], ["n", "p"])[1:3] == ["  transistors          a 1", "  ideal resistors      b"]
