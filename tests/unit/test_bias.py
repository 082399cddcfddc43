"""Bias currents: mirrors of one generator in the place of ideal sources, where the chip says so."""

import re

import numpy as np
import pytest

from spicesim.calibration.realism import describe_realism
from spicesim.chip import Chip, preset
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.netlist import build_tile
from spicesim.netlist.area import Layout, block_areas
from spicesim.netlist.bias import with_bias
from spicesim.netlist.impedance import displaced
from spicesim.netlist.mismatch import drawn_devices, with_mismatch
from spicesim.netlist.opamp import Amplifier, build_open_loop
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.statements import parse_statements

IDEAL = preset("gf180-1t1r").changed({"array.rows": 3, "array.columns": 2})
CHIP = IDEAL.changed({"bias.kind": "mirrored"})


def tile(chip: Chip) -> str:
    g, codes = np.full((3, 2), 2e-5), np.array([3, 200, 77])
    return build_tile(chip, g, codes, polarity="unipolar", r_feedback=1e4).body


def test_a_chip_without_the_section_stays_as_it_was():
    assert preset("gf180-1t1r").changed({"bias.kind": "ideal"}).hash == preset("gf180-1t1r").hash != CHIP.hash
    assert "bias" not in IDEAL.model_dump(mode="json")  # nor do calibrations change that were written before
    assert CHIP.model_dump(mode="json")["bias"]["kind"] == "mirrored"
    sections = ["* anything", ".subckt a vdd vss\ni1 vdd b 1u\nr1 b vss 1k\n.ends a", "xa vdd 0 a"]
    assert with_bias(IDEAL, sections) == sections
    assert "bias_mirror" not in tile(IDEAL)


def test_a_tile_has_one_generator_and_a_mirror_in_each_amplifier():
    body = tile(CHIP)
    assert not re.search(r"^i\w+ ", body, re.MULTILINE)  # no source of a current is left
    assert "ideal bias currents" not in body
    top = body[body.rindex("\n.ends") :]
    assert re.findall(r"^xbias.*", top, re.MULTILINE) == ["xbias bias vdd 0 bias r=3870.0 c=5e-12"]
    for name, count in (("dac", 3), ("senseamp", 2)):
        lines = re.findall(rf"^x{name}_\d .*", top, re.MULTILINE)
        assert len(lines) == count
        assert all(" bias vdd 0 " in line for line in lines)
    assert "xi1 bn bias vdd bias_mirror current={ibias}" in body
    parse_statements(body)  # which all dialects have


def test_a_testbench_leaves_its_supply_to_the_block_and_each_supply_has_a_generator():
    body = build_sense_amplifier(CHIP, 1e4, 1e-5).body
    assert "ebias vdd_bias 0 vdd 0 1\nxbias bias vdd_bias 0 bias" in body
    opened = build_open_loop(CHIP, Amplifier(name="opamp", parameters="ibias=2e-05 drive=1"), 1e-12).body
    assert "ebias_vdd_s vdd_s_bias 0 vdd_s 0 1\nxbias_vdd_s bias_vdd_s vdd_s_bias 0 bias" in opened
    assert "xdut_s vref inn_s out_s bias_vdd_s vdd_s 0 opamp" in opened


def test_rails_feed_the_generator_too():
    body = tile(CHIP.changed(rails={"r_supply": 2.0, "r_ground": 3.0}))
    assert "xbias bias vdd vss bias" in body
    assert "rvdd vdd_pad vdd 2.0" in body
    moved = displaced(build_sense_amplifier(CHIP, 1e4, 1e-5), {"vdd": -0.1, "vss": 0.05}).body
    assert "xbias bias vdd_bias vss bias" in moved


def test_mirrors_differ_and_the_generator_does_not():
    netlist = build_sense_amplifier(CHIP, 1e4, 1e-5)
    drawn = drawn_devices(netlist, CHIP.process, resistors=0.01)
    assert "xsenseamp.xa.xi1.m1" in drawn
    assert not [path for path in drawn if path.startswith("xbias")]
    body = with_mismatch(netlist, CHIP.process, ChipDraw(1, "0")).body
    shifted = {line for line in body.splitlines() if "delvto" in line}
    assert len(shifted) == 21  # of the amplifier


def test_areas_count_mirrors_and_the_generator():
    ideal, mirrored = block_areas(IDEAL), block_areas(CHIP)
    overhead, mirror = Layout().overhead, 40e-6 * 2e-6
    assert mirrored.amplifier - ideal.amplifier == pytest.approx(overhead * mirror, rel=1e-9)
    assert mirrored.dac - ideal.dac == pytest.approx(overhead * mirror, rel=1e-9)
    assert mirrored.tile(3, 2, 0)["amplifier"] == pytest.approx(2 * mirrored.amplifier + mirrored.bias, rel=1e-9)
    # capacitors of 15 pF, 5 times 20 um by 2 um of nch, four of pch of twice that, and what is smaller
    assert overhead * 7.5e-9 < mirrored.bias < overhead * 8.7e-9


def test_a_block_whose_node_has_the_name_is_refused():
    block = ".subckt own out vdd vss\ni1 vdd bias 1u\nr1 bias out 1k\n.ends own"
    with pytest.raises(SpecError, match="own has a node 'bias'"):
        with_bias(CHIP, [block, "xa out vdd 0 own"])


@pytest.mark.parametrize("name", ["gf180-voltage", "gf180-pulse"])
def test_other_read_outs_are_refused(name):
    with pytest.raises(SpecError, match="amplifiers that hold bit lines"):
        preset(name).changed({"bias.kind": "mirrored"})


def test_the_table_of_what_is_real_says_so():
    ideal, mirrored = ({row.piece: row for row in describe_realism(chip)} for chip in (IDEAL, CHIP))
    assert ideal["bias currents"].netlist == "ideal sources"
    assert "bias currents" not in mirrored
    assert (mirrored["mirrors of bias currents"].mismatch, mirrored["bias generator"].mismatch) == (
        "calibrated", "absent"
    )  # fmt: skip
    assert mirrored["bias generator"].netlist == "transistors"


def test_first_guesses_of_op_amps_are_of_all_of_them_and_of_no_other_chip():
    kit = preset("ihp130-1t1r").changed({"array.rows": 3, "array.columns": 2})
    g, codes = np.full((3, 2), 2e-5), np.array([3, 200, 77])
    found = build_tile(kit, g, codes, polarity="unipolar", r_feedback=1e4, nodesets={"out_0": 0.5}).nodesets
    paths = [f"xdac_{i}.xbuffer" for i in range(3)] + [f"xsenseamp_{j}.xa" for j in range(2)]
    wanted = {f"{path}.{guess.node}": guess.volts for path in paths for guess in kit.process.opamp_guesses}
    assert found == wanted | {"out_0": 0.5}
    railed = build_tile(kit, g, codes, polarity="unipolar", r_feedback=1e4, nodesets={"out_0": 0.01}).nodesets
    assert found.keys() - railed.keys() == {"xsenseamp_0.xa.p", "xsenseamp_0.xa.n"}  # these follow the output
    assert build_tile(CHIP, g, codes, polarity="unipolar", r_feedback=1e4).nodesets.keys().isdisjoint(wanted)
    mirrored = kit.changed({"bias.kind": "mirrored"})
    assert wanted.items() <= build_tile(mirrored, g, codes, polarity="unipolar", r_feedback=1e4).nodesets.items()
    without = kit.changed(process={"opamp_guesses": ()})
    assert "opamp_guesses" not in without.model_dump(mode="json")["process"]
