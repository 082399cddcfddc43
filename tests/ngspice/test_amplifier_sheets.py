"""Data sheets of amplifiers by themselves against decks that close the loop, and against each other."""

import numpy as np
import pytest

from simulation import needs_compiler
from spicesim.characterise import BLOCKS, Conditions
from spicesim.chip import preset
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.process import block_text, model_files, model_section, start_up_lines
from spicesim.ngspice.batch import BatchSimulator

pytestmark = pytest.mark.long

CHIPS = ["generic-1t1r", "gf180-1t1r", "sky130-1t1r", pytest.param("ihp130-1t1r", marks=needs_compiler)]


def deck(chip, circuit, analysis, probes):
    """Write a deck of one's own around the amplifier, with nothing of the testbenches."""
    own = chip.sense_amplifier
    body = [
        model_section(chip.process), block_text("opamp", chip), f"vdd vdd 0 dc {chip.process.supply} ac 0",
        f"vref vref 0 {own.v_reference}",
        *(line.replace("OPAMP", f"vdd 0 opamp ibias={own.bias_current} drive={own.drive}") for line in circuit),
    ]  # fmt: skip
    netlist = Netlist(
        title="deck",
        body="\n".join(body),
        analyses=(analysis,),
        probes=probes,
        models=model_files(chip.process),
        spiceinit=start_up_lines(chip.process),
    )
    return BatchSimulator().run(netlist)[0].vectors


@pytest.fixture(scope="module", params=CHIPS)
def measured(request):
    chip = preset(request.param)
    return chip, BLOCKS["opamp"].bench(chip).run(chip, Conditions())


def test_all_of_a_sheet_can_be_measured(measured):
    assert not measured[1].failures


def test_a_follower_responds_as_the_open_loop_says(measured):
    chip, sheet = measured
    panel = {one.title: one for one in sheet.panels}
    decibels, degrees = (panel[title].curves["1 pF"] for title in ("open loop", "phase"))
    gain = 10 ** (decibels / 20) * np.exp(1j * np.radians(degrees))
    circuit = ["vin in vref dc 0 ac 1", "xdut in out out OPAMP", "cload out 0 1p"]
    found = deck(chip, circuit, ".ac dec 20 10 10g", ("frequency", "v(out)"))
    slow = found["frequency"].real < 0.6 * sheet["gbw"]
    # beyond, the capacitance of the other input counts, which no open loop has
    np.testing.assert_allclose(np.abs(found["v(out)"])[slow], np.abs(gain / (1 + gain))[slow], rtol=0.03)


def test_what_comes_through_from_the_supply_is_the_rejection(measured):
    chip, sheet = measured
    amplifier = chip.sense_amplifier
    lines = [
        f"vdd2 vdd2 0 dc {chip.process.supply} ac 1",
        f"xdut vref out out vdd2 0 opamp ibias={amplifier.bias_current} drive={amplifier.drive}", "cload out 0 1p",
    ]  # fmt: skip
    found = deck(chip, lines, ".ac dec 1 10 100", ("frequency", "v(out)"))
    assert -20 * np.log10(abs(found["v(out)"][0])) == pytest.approx(sheet["psrr"], abs=0.05)


def test_offset_ranges_and_slopes_are_those_of_other_decks(measured):
    chip, sheet = measured
    reference = chip.sense_amplifier.v_reference
    low, high = sheet["input_low"], sheet["input_high"]
    assert low < reference < high
    vectors = deck(
        chip, ["vin in 0 0", "xdut in out out OPAMP"], f".dc vin {low + 0.02} {high - 0.02} {(high - low - 0.04) / 50}",
        ("v(in)", "v(out)"),
    )  # fmt: skip
    v_in, v_out = vectors["v(in)"].real, vectors["v(out)"].real
    assert np.interp(reference, v_in, v_out - v_in) == pytest.approx(sheet["offset"], rel=0.02, abs=2e-5)
    assert np.abs(np.gradient(v_out, v_in) - 1).max() < 0.012
    swing = 0.3
    source = f"vin in 0 pwl(0 {reference - swing / 2} 0.1u {reference - swing / 2} 0.1001u {reference + swing / 2})"
    step = deck(chip, [source, "xdut in out out OPAMP", "cload out 0 1p"], ".tran 0.2n 1u 0 0.2n", ("time", "v(out)"))
    slope = np.gradient(step["v(out)"].real, step["time"].real).max()
    assert slope == pytest.approx(sheet["slew_up"], rel=0.3)  # a smaller step slews for a shorter time
