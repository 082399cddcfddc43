"""Logic of cells in netlists: opt-in, of the process' transistors, on a supply of its own, and counted."""

import numpy as np
import pytest

from spicesim.behavioural.energy import AdcEnergy
from spicesim.calibration.conversions import conversions
from spicesim.calibration.realism import describe_realism
from spicesim.chip import preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.errors import SpecError
from spicesim.netlist.area import block_areas
from spicesim.netlist.macro import MacroRead, build_macro
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.netlist.sar_logic import CELLS
from spicesim.netlist.subcircuits import split_subcircuits

GENERIC = preset("generic-1t1r")
CELLED = GENERIC.changed(adc={"kind": "sar", "bits": 5}, sar_adc={"logic": "cells"})
IDEAL = CELLED.changed(sar_adc={"logic": "ideal"})


def test_it_is_opt_in_and_leaves_chips_and_hashes_as_they_were():
    plain = GENERIC.changed(adc={"kind": "sar", "bits": 5})
    assert plain.hash == IDEAL.hash != CELLED.hash
    assert "logic" not in plain.model_dump(mode="json")["sar_adc"]
    assert "sar_logic" not in build_sar_adc(plain, [1.6]).body
    with pytest.raises(SpecError, match=r"sar_adc\.logic"):
        GENERIC.changed(sar_adc={"logic": "verilog"})


@pytest.mark.parametrize("bits", [2, 10])
@pytest.mark.parametrize("polarity", ["bipolar", "unipolar"])
def test_a_converter_has_two_flip_flops_a_bit_and_no_behavioural_logic(bits, polarity):
    netlist = build_sar_adc(GENERIC, [1.6], SarAdc(logic="cells", dac=ChargeDac(bits=bits)), polarity)
    blocks, top = split_subcircuits(netlist.body)
    logic = [line.split() for line in blocks["sar_logic"].lines if line.startswith("x")]
    assert {words[next(k for k, word in enumerate(words) if "=" in word) - 1] for words in logic} == set(CELLS)
    assert sum("dff" in words for words in logic) == 2 * bits
    sources = {line.split()[0] for line in top if line[:1] == "b"}
    assert sources == {"bstrobe"}  # its clock
    assert not any(line.startswith(("cq_", "rq_")) for line in top)


@pytest.mark.parametrize("name", ["gf180-1t1r", "sky130-1t1r", "ihp130-1t1r"])
def test_cells_are_of_the_process_transistors(name):
    chip = preset(name)
    sizes = SarAdc(logic="cells", dac=ChargeDac(bits=3, span=chip.process.supply / 4))
    blocks, _ = split_subcircuits(build_sar_adc(chip, [chip.sense_amplifier.v_reference], sizes).body)
    transistors = [line.split() for name in CELLS for line in blocks[name].lines if line.startswith(("m", "x"))]
    assert len(transistors) == 2 + 4 + 4 + 22
    assert {words[5] for words in transistors} == {chip.process.nmos, chip.process.pmos}
    assert {words[0][0] for words in transistors} == {"m" if chip.process.call == "M" else "x"}


def test_every_node_of_the_logic_is_driven_and_read():
    """By one output each, but for the nodes that come from outside."""
    netlist = build_sar_adc(GENERIC, [1.6], SarAdc(logic="cells", dac=ChargeDac(bits=4)), "unipolar")
    blocks, _ = split_subcircuits(netlist.body)
    ports = blocks["sar_logic"].head.split()[2:]
    driven, read = [], set()
    for words in (line.split() for line in blocks["sar_logic"].lines if line.startswith("x")):
        nodes = words[1 : words.index("vdd", 1 if words[1] != "vdd" else 2)]
        outputs = 2 if "dff" in words else 1
        driven += nodes[-outputs:]
        read |= set(nodes[:-outputs])
    inputs = {"strobe", "command", "clear", "outp", "outn", "vdd"}
    assert len(driven) == len(set(driven))
    assert read <= set(driven) | inputs
    unread = set(driven) - read - set(ports)
    assert all(name.startswith(("nt_", "nd_", "t_0")) for name in unread)  # second outputs; the end of the row


def test_codes_are_calibrated_with_ideal_logic():
    volts = np.array([-0.1, -0.05])
    for polarity in ("bipolar", "unipolar"):
        plain, celled = (conversions(chip, polarity, volts)[0].body.splitlines() for chip in (IDEAL, CELLED))
        others = [line for line, other in zip(plain, celled, strict=True) if line != other and line[0] != "*"]
        # the sampling switch opens before bits move, as of cells
        assert [line.split()[0] for line in others] == (["vbegin"] if polarity == "unipolar" else [])


def test_each_converter_of_a_macro_has_logic_and_all_have_one_clock():
    g, codes = np.full((2, 4), 2e-5), np.array([3, 9])
    sizes = dict.fromkeys(range(4), CELLED.converter)
    read = MacroRead(converters=sizes, polarity="unipolar", shared=2)
    netlist = build_macro(CELLED, g, codes, read, polarity="unipolar", r_feedback=20e3)
    blocks, top = split_subcircuits(netlist.body)
    assert sum(line.startswith("xlogic ") for line in blocks["converter"].lines) == 1
    assert [line.split()[0] for line in top if line.startswith("xconverter_")] == ["xconverter_0", "xconverter_2"]
    assert sum(line.startswith("bstrobe ") for line in top) == 1
    assert not any(line.startswith(("vtry_", "vkeep_", "vbegin")) for line in top)


def test_the_table_says_transistors_and_that_its_energy_is_counted():
    def logic(chip):
        return next(piece for piece in describe_realism(chip) if piece.piece == "their logic")

    assert (logic(IDEAL).netlist, logic(IDEAL).energy) == ("law", "absent")
    assert (logic(CELLED).netlist, logic(CELLED).energy) == ("transistors", "calibrated")


def test_its_area_is_that_of_its_transistors():
    more = block_areas(CELLED).adc - block_areas(IDEAL).adc
    # two flip-flops a bit, whose 22 transistors have one width or 2.5; an overhead of 3
    flip_flops = 3 * 10 * (9 * 2.5 + 13) * 0.525e-6 * 0.35e-6
    assert flip_flops < more < 3 * flip_flops


def test_energies_from_before_have_ideal_logic():
    old = AdcEnergy.model_validate({"bits": 6, "energy": 1e-12, "time": 1e-7, "inputs": 3})
    assert old.logic is None
