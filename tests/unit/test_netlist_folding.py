"""No line of a netlist is longer than any simulator reads, and folding changes nothing but line breaks."""

import numpy as np
import pytest

from spicesim.characterise import BLOCKS
from spicesim.chip import preset
from spicesim.errors import SpecError
from spicesim.netlist import DIALECTS, build_column, build_crossbar, build_dac, build_tile, format_netlist
from spicesim.netlist.folding import LONGEST, fold_line
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.statements import parse_statements
from spicesim.netlist.subcircuits import join_lines

CHIP = preset("generic-1t1r")
G = np.full((12, 12), 2e-5)


def circuits():
    for block, record in BLOCKS.items():
        chip = CHIP.changed(cell={"kind": block}) if block in ("1s1r", "2t2r") else CHIP
        for name, netlist in record.bench(chip).netlists.items():
            yield f"{block} {name}", netlist
    fine = CHIP.changed(dac={"bits": 12})
    yield "tile", build_tile(fine, G, [1] * 12, polarity="bipolar", r_feedback=1e4)
    yield "column", build_column(CHIP, G[:, 0], np.full(12, 0.1), 1e4)
    yield "crossbar", build_crossbar(CHIP, G, np.full(12, 0.1))
    yield "dac", build_dac(fine)


CIRCUITS = dict(circuits())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_line_is_longer_than_a_simulator_reads(dialect):
    """HSPICE reads 1024 characters; the longest waveform has 4700."""
    for name, netlist in CIRCUITS.items():
        try:
            text = format_netlist(netlist, dialect)
        except SpecError:  # noise, and what VACASK cannot do
            continue
        longest = max(text.split("\n"), key=len)
        assert len(longest) <= LONGEST, f"{name}: {longest[:80]}"


@pytest.mark.parametrize("name", ["sar_adc sine_0", "charge_dac codes", "ecram writes"])
def test_a_folded_netlist_is_the_same_netlist(name):
    netlist = CIRCUITS[name]
    assert max(map(len, netlist.body.split("\n"))) > LONGEST
    assert parse_statements(netlist.format_circuit().partition("\n\n* first guess")[0]) == parse_statements(
        netlist.body.strip("\n")
    )
    assert join_lines(netlist.format_circuit())[: len(join_lines(netlist.body))] == join_lines(netlist.body.strip("\n"))


@pytest.mark.parametrize(
    ("dialect", "mark"),
    [("ngspice", "\n+ "), ("xyce", "\n+ "), ("hspice", "\n+ "), ("spectre", " \\\n"), ("vacask", " \\\n")],
)
def test_a_dialect_folds_by_its_own_mark(dialect, mark):
    wave = " ".join(f"{k}n {k % 2}" for k in range(200))
    netlist = Netlist(title="t", body=f"v1 a 0 pwl({wave})\nr1 a 0 1k", probes=("v(a)",), analyses=(".tran 1n 9n",))
    text = format_netlist(netlist, dialect)
    assert text.count(mark) > 5
    joined = text.replace("\n+ ", " ").replace(" \\\n  ", " ")
    assert "r1" in joined
    assert "198n 0 199n 1" in joined.replace(",", "")


def test_expressions_and_comments_stay_whole():
    quoted = "'" + "a + " * 40 + "b'"
    line = f"e1 a 0 vol={quoted} " + "x=1 " * 40
    folded = fold_line(line, comments=("*", "$"))
    assert quoted in folded
    assert folded.replace("\n+ ", " ") == line.rstrip()
    assert fold_line("* " + "x " * 200, comments=("*",)) == "* " + "x " * 200
    noted = "r1 a b " + "k=1 " * 80 + "$ a note that is long enough to be folded, too"
    assert (
        fold_line(noted, comments=("*", "$")).split("\n")[-1].endswith("$ a note that is long enough to be folded, too")
    )
