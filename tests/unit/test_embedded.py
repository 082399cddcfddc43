"""Circuits as subcircuits: their ports, their text, their symbol; and as PySpice circuits."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.chip import preset
from spicesim.cli.netlist import netlist
from spicesim.errors import SpecError
from spicesim.netlist import Parasitics, build_cell, build_column, build_crossbar, build_tile, embed, format_netlist
from spicesim.netlist.impedance import REFERENCES, SUPPLIES, with_source_resistances
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.statements import Component, SubcircuitEnd, SubcircuitStart, parse_statements

G = np.array([[1e-5, 0.0, 3e-5], [1 / 7e4, 5e-6, 2e-5]])
CODES = np.array([3, 200])


def tile(name="generic-1t1r", **changes):
    chip = preset(name).changed(**changes)
    return chip, build_tile(chip, G, CODES, polarity=chip.polarities[0], r_feedback=max(chip.settings))


def test_ports_are_inputs_outputs_references_supply_and_ground():
    chip, built = tile()
    found = embed(chip, built, "mine")
    bits = [f"d_{i}_{k}" for i in range(2) for k in range(8)]
    assert found.ports == (*bits, "out_0", "out_1", "out_2", "vlo", "vhi", "gate", "vref", "vdd", "vss")


@pytest.mark.parametrize("name", ["generic-1t1r", "gf180-bits", "gf180-gate", "gf180-voltage", "gf180-pulse"])
def test_no_node_of_a_subcircuit_is_global(name):
    chip = preset(name)
    codes = CODES % 2**chip.code_bits
    built = build_tile(chip, G[:, :2] / 10, codes, polarity=chip.polarities[0], r_feedback=max(chip.settings))
    inside = False
    for statement in parse_statements(embed(chip, built, "mine").definitions):
        inside = isinstance(statement, SubcircuitStart) or (inside and not isinstance(statement, SubcircuitEnd))
        if isinstance(statement, Component):
            assert inside
            assert "0" not in statement.nodes, statement


@pytest.mark.parametrize("dialect", ["xyce", "hspice", "spectre", "vacask"])
def test_a_bench_with_its_subcircuit_is_written_for_every_simulator(dialect):
    chip, built = tile()
    text = format_netlist(embed(chip, built, "mine").bench, dialect)
    assert "mine" in text
    assert "xc_1_2" in text


def test_word_lines_and_bit_lines_of_a_crossbar_are_ports():
    chip = preset("generic-1t1r")
    found = embed(chip, build_crossbar(chip, G, [0.1, 0.2]), "mine")
    assert found.ports == ("in_0", "in_1", "foot_0", "foot_1", "foot_2", "gate", "vss")
    gates = embed(chip, build_crossbar(chip, G, [0.1, 0.2], gates=[3.3, 0]), "mine")
    assert {"gate_0", "gate_1"} <= set(gates.ports)
    column = embed(chip, build_column(chip, G[:, 0], [0.1, 0.2], 1e4), "mine")
    assert column.ports == ("in_0", "in_1", "out_0", "sense_0", "gate", "vref", "vdd", "vss")


def test_drivers_at_both_ends_share_their_bits():
    chip = preset("generic-1t1r")
    wires = Parasitics.of_chip(chip, *G.shape, both_ends=True)
    built = build_tile(chip, G, CODES, polarity="unipolar", r_feedback=5e3, parasitics=wires)
    found = embed(chip, built, "mine")
    assert len([port for port in found.ports if port.startswith("d_")]) == 16
    assert found.definitions.count(" d_1_0 d_1_1 ") == 3  # two drivers and the list of ports


@pytest.mark.parametrize("name", ["a b", "", "x\n.include /etc/passwd", "a;b"])
def test_names_that_are_none_are_refused(name):
    chip, built = tile()
    with pytest.raises(SpecError, match="name of a subcircuit"):
        embed(chip, built, name)


def test_wires_are_parameters_and_a_circuit_without_sources_is_refused():
    chip, built = tile(array={"r_word_line": 2.0})
    text = embed(chip, built, "mine").definitions
    assert re.search(r"^\.subckt mine .* r_word_line=2\.0 r_bit_line=1\.0$", text, re.MULTILINE)
    assert re.search(r"^xarray .* mine_array r_word_line={r_word_line} r_bit_line={r_bit_line}$", text, re.MULTILINE)
    with pytest.raises(SpecError, match="no sources that could become ports"):
        embed(chip, Netlist(title="t", body="r1 a 0 1k", probes=("v(a)",)), "mine")


def test_a_symbol_has_the_ports_in_their_order():
    chip, built = tile()
    found = embed(chip, built, "mine")
    symbol = found.symbol("folder/core.cir")
    assert tuple(re.findall(r"^B 5 .*\{name=(\w+) dir=\w+\}$", symbol, re.MULTILINE)) == found.ports
    assert 'format="@name @pinlist mine"' in symbol
    assert 'device_model=".include core.cir"' in symbol


def test_the_command_writes_subcircuit_bench_symbol_and_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("g.npy", G)
    np.save("codes.npy", CODES)
    words = ["tile", "--chip", "generic-1t1r", "--conductance", "g.npy", "--codes", "codes.npy", "-o", "core.cir"]
    said = CliRunner().invoke(netlist, [*words, "--as", "subckt", "--name", "core_a"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert ".include 'core.cir'" in (tmp_path / "core.tb.cir").read_text()
    assert ".subckt core_a " in (tmp_path / "core.cir").read_text()
    assert (tmp_path / "core.sym").is_file()
    assert (tmp_path / "core.cells.csv").read_text().count("xc_") == G.size
    back = CliRunner().invoke(netlist, ["conductances", "core.cir"], catch_exceptions=False).output
    np.testing.assert_array_equal([[float(word) for word in line.split(",")] for line in back.splitlines()], G)
    with pytest.raises(SpecError, match="add --as subckt"):
        CliRunner().invoke(netlist, [*words, "--name", "core_a"], catch_exceptions=False)
    with pytest.raises(SpecError, match=r"does not end in \.sym"):
        CliRunner().invoke(netlist, [*words[:-1], "core.sym", "--as", "subckt"], catch_exceptions=False)
    with pytest.raises(SpecError, match="are ports"):
        CliRunner().invoke(netlist, [*words, "--as", "subckt", "--supply-resistance", "1"], catch_exceptions=False)


@pytest.mark.parametrize("name", ["generic-1t1r", "gf180-voltage", "gf180-pulse"])
def test_a_pyspice_circuit_has_every_element_and_subcircuit(name):
    chip = preset(name)
    codes = CODES % 2**chip.code_bits
    built = build_tile(chip, G[:, :2] / 10, codes, polarity=chip.polarities[0], r_feedback=max(chip.settings))
    circuit, place, count = built.circuit(), None, 0
    for statement in parse_statements(built.body):
        if isinstance(statement, SubcircuitStart):
            place = circuit[statement.name]
            assert tuple(place.external_nodes) == statement.ports
        elif isinstance(statement, SubcircuitEnd):
            place = None
        elif isinstance(statement, Component):
            element = (circuit if place is None else place)[statement.name]
            assert tuple(element.node_names) == statement.nodes
            count += 1
    assert count > 40


def test_what_a_subcircuit_holds_besides_elements_stays_in_it():
    body = ".subckt s a\n.param k=2\n.ic v(b)=1\nr1 a b {k}\nc1 b 0 1p\n.ends s\nx1 in s\n.save v(in)"
    circuit = Netlist(title="t", body=body, probes=("v(in)",)).circuit()
    assert ".ic v(b)=1" in circuit["s"].raw_spice
    assert ".ic" not in circuit.raw_spice
    assert ".save" not in str(circuit)


def test_a_pyspice_circuit_s_cells_and_transistors_can_be_changed():
    circuit = tile()[1].circuit()
    circuit["xc_1_2"].parameters["g"] = 4e-5
    circuit["opamp"]["m5"].width = "4u"
    text = str(circuit)
    assert re.search(r"^xc_1_2 .* g=4e-05", text, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^m5 tail bn vss vss nch .*w=4u", text, re.MULTILINE | re.IGNORECASE)
    with pytest.raises(IndexError):
        circuit["xc_9_9"]


def test_resistances_stand_between_sources_and_what_they_hold():
    _, built = tile()
    body = with_source_resistances(built, dict.fromkeys(SUPPLIES, 5.0) | dict.fromkeys(REFERENCES, 1.0)).body
    for line in ("vdd vdd_pad 0 3.3", "rvdd vdd_pad vdd 5.0 $ of the source", "vhi vhi_pad vref 0.2"):
        assert re.search(rf"^{re.escape(line)}$", body, re.MULTILINE), line
    for bad in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(SpecError, match="must be positive"):
            with_source_resistances(built, {"vdd": bad})
    with pytest.raises(SpecError, match="none of the sources"):
        with_source_resistances(build_cell(preset("generic-1t1r"), 1e-5), {"vnone": 1.0})


@pytest.mark.parametrize("name", ["gf180-1t1r", "gf180-bits", "gf180-gate", "gf180-voltage", "gf180-pulse"])
def test_tiles_of_every_macro_carry_the_rails_of_their_chip(name):
    chip = preset(name)
    ohms = {"r_supply": 2.0, "r_ground": 3.0, "r_reference": 4.0}
    plain, real = (
        build_tile(one, np.full((2, 2), 2e-6), np.array([0, 1]), polarity="unipolar", r_feedback=max(chip.settings))
        for one in (chip, chip.changed(rails=ohms))
    )
    added = {line for line in real.body.splitlines() if line.startswith("rv")}
    held = {line.split()[0][1:]: float(line.split()[3]) for line in added}
    sources = {line.split()[0] for line in plain.body[plain.body.rfind(".ends") :].splitlines() if line[:1] == "v"}
    known = {"vdd": 2.0, "vref": 4.0, "vlo": 4.0, "vhi": 4.0, "vread": 4.0}
    assert held == {word: ohm for word, ohm in known.items() if word in sources} | {"vss": 3.0}
    assert "vss" not in plain.body[plain.body.rfind(".ends") :]
    assert all(f"{word} {ohm:g} ohm" in real.title for word, ohm in held.items())
    drivers = [line for line in real.body.splitlines() if line.startswith("xdac_")]
    assert drivers
    assert all(" vss " in line for line in drivers)
    with pytest.raises(SpecError, match="are ports"):
        embed(chip, real, "mine")
