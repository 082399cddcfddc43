"""A SAR ADC's logic of standard cells: the codes are those of ideal logic, and its energy is counted."""

from dataclasses import replace

import numpy as np
import pytest

from simulation import run
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import read_codes
from spicesim.calibration.energy import (
    calibrate_adc_energy,
    conversion_inputs,
    logic_power,
    mean_conversion,
    supply_power,
)
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise import sar_adc as sheet_of_adc
from spicesim.chip import preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.netlist.macro import MacroRead, build_macro
from spicesim.netlist.netlist import build_netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.sar_adc import OPENED, build_sar_adc
from spicesim.netlist.sar_logic import logic_blocks, logic_ports
from spicesim.ngspice.batch import BatchSimulator
from spicesim.units import spice_number

GENERIC = preset("generic-1t1r")
BITS, SAMPLE, BIT = 3, 10e-9, 6e-9


def of_cells(sizes):
    return sizes.model_copy(update={"logic": "cells"})


def sizes_of(bits, bit=16e-9):
    return SarAdc(sample=40e-9, bit=bit, dac=ChargeDac(bits=bits))


def convert(chip, inputs, sizes, polarity):
    """Codes by logic of cells, or by the ideal logic that stands for it in calibrations."""
    netlist = build_sar_adc(chip, inputs, sizes, polarity, opened=OPENED)
    results = BatchSimulator().run(replace(netlist, options=PRECISE))
    return read_codes(results, sizes), results


def both_codes(chip, sizes, polarity, count, seed):
    """Codes of inputs over the range by both kinds of logic, the first right after power-up."""
    low = chip.sense_amplifier.v_reference - sizes.dac.span * (0.5 if polarity == "bipolar" else 1.0)
    inputs = low + sizes.dac.span * np.random.default_rng(seed).uniform(0.02, 0.98, count)
    ideal, _ = convert(chip, inputs, sizes, polarity)
    cells, results = convert(chip, inputs, of_cells(sizes), polarity)
    return ideal, cells, results


@pytest.mark.parametrize(
    ("corner", "bit", "polarity"),
    [("typical", 16e-9, "bipolar"), ("ss", 8e-9, "unipolar"), ("ss", 8e-9, "bipolar"), ("ff", 8e-9, "unipolar")],
)
def test_codes_are_those_of_ideal_logic(corner, bit, polarity):
    chip, sizes = GENERIC.at(corner=corner), sizes_of(5, bit)
    ideal, cells, results = both_codes(chip, sizes, polarity, 3, 7)
    assert np.ptp(ideal) > 8
    np.testing.assert_array_equal(cells, ideal)
    # what it takes from the time that the DAC has to settle
    delay = sheet_of_adc.logic_delay(results, sizes, chip.process.supply)
    assert 0.2e-9 < delay < 1.5e-9


@pytest.mark.long
def test_codes_of_eight_bits_are_those_of_ideal_logic():
    ideal, cells, _ = both_codes(GENERIC, sizes_of(8), "unipolar", 2, 7)
    assert len(set(ideal)) == 2
    np.testing.assert_array_equal(cells, ideal)


def controller(chip, polarity, decisions, before=()):
    """Simulate the logic alone, with sources for a comparator; bits as 0 or 1 before each strobe and at the end.

    The comparator's outputs are both high for a moment before they decide, and low between strobes. `before` are
    decisions of a logic that has woken up as it likes, without a reset, and has not been told to sample.
    """
    supply, sizes = chip.process.supply, SarAdc(logic="cells", sample=SAMPLE, bit=BIT, dac=ChargeDac(bits=BITS))
    begin, period = 5e-9 + len(before) * BIT, sizes.conversion
    levels = {name: [(0.0, 0.0)] for name in ("strobe", "command", "outp", "outn")}

    def pulse(name, start, stop):
        edges = ((start, 0.0), (start + 0.1e-9, 1.0), (stop, 1.0), (stop + 0.1e-9, 0.0))
        levels[name] += edges

    def strobe(trial, higher):
        start, stop = trial + 2 / 3 * BIT, trial + BIT
        pulse("strobe", start, stop)
        pulse("outp", start + 0.4e-9, stop + 0.3e-9 if higher else start + 0.8e-9)
        pulse("outn", start + 0.4e-9, start + 0.8e-9 if higher else stop + 0.3e-9)
        return start

    for k, higher in enumerate(before):
        strobe(k * BIT, higher)
    seen = []
    for j, word in enumerate(decisions):
        first = begin + j * period
        pulse("command", first, first + SAMPLE)
        seen.append(first + 0.8 * SAMPLE)
        seen += [strobe(first + SAMPLE + k * BIT, higher) for k, higher in enumerate(word)]
        seen.append(first + period - 0.2e-9)
    lines = [
        f"v{name} {name} 0 pwl({' '.join(f'{spice_number(t)} {spice_number(supply * x)}' for t, x in points)})"
        for name, points in levels.items()
    ]
    lines += [f"vdd_logic vdd_logic 0 {spice_number(supply)}", "vclear clear 0 0"]
    lines.append(f"xlogic {logic_ports(BITS).replace(' vdd vss', ' vdd_logic 0')} sar_logic")
    lines += [f"c{k} b{k} 0 5f" for k in range(BITS)]
    netlist = build_netlist(
        chip, "logic of a converter", [*logic_blocks(chip, sizes, polarity), "\n".join(lines)],
        ["time", *(f"v(b{k})" for k in range(BITS)), *(f"v(xlogic.t_{k})" for k in range(BITS))],
        analyses=[f".tran 0.2n {spice_number(begin + len(decisions) * period)} 0 0.5n"],
    )  # fmt: skip
    found = run(replace(netlist, options=".options klu reltol=1e-3"))
    counted = [np.interp(begin, found["time"].real, found[f"v(xlogic.t_{k})"].real) for k in range(BITS)]
    assert sum(np.array(counted) > 0.9 * supply) >= len(before)  # so there is something to reset
    bits = [np.interp(seen, found["time"].real, found[f"v(b{k})"].real) / supply for k in range(BITS)]
    return np.array(bits).T.reshape(len(decisions), BITS + 2, BITS)


def expected(polarity, word):
    """Bits while sampling, in each trial and in the end, least significant first."""
    bits = [1] * BITS if polarity == "unipolar" else [0] * (BITS - 1) + [1]
    rows, bits = [bits], [0] * (BITS - 1) + [1]
    for k, higher in enumerate(word):
        rows.append(bits)
        bits = [*bits[: BITS - 1 - k], int(higher), *bits[BITS - k :]]
        if k < BITS - 1:
            bits[BITS - 2 - k] = 1
    return [*rows, bits]


@pytest.mark.parametrize("polarity", ["bipolar", "unipolar"])
def test_each_decision_sets_its_bit_and_begins_the_next_trial_whatever_was_before(polarity):
    words = [tuple(code >> k & 1 for k in reversed(range(BITS))) for code in (5, 0, 7, 2)]
    found = controller(GENERIC, polarity, words, before=(0, 1))
    np.testing.assert_allclose(found, [expected(polarity, word) for word in words], atol=0.02)


def test_cells_work_where_transistors_are_subcircuits():
    chip = preset("sky130-1t1r").at(corner="ss")
    found = controller(chip, "bipolar", [(1, 0, 1)])
    np.testing.assert_allclose(found, [expected("bipolar", (1, 0, 1))], atol=0.02)


class _Bare:
    """What the energy of a converter needs of a calibration."""

    def __init__(self, chip):
        self.chip = chip


def test_the_energy_of_a_conversion_is_that_of_all_supplies():
    """Within 2 %, of the same conversions at a tolerance of a tenth; the logic is a part of it, ideal logic is not."""
    chip = GENERIC.changed(adc={"kind": "sar", "bits": 3}, sar_adc={"logic": "cells"})
    campaign = Campaign(quick=True)
    found = calibrate_adc_energy(_Bare(chip), campaign)
    plain = calibrate_adc_energy(_Bare(chip.changed(sar_adc={"logic": "ideal"})), campaign)
    reference, half = chip.sense_amplifier.v_reference, chip.sar_adc.dac.span / 2
    _, results = convert(chip, conversion_inputs(chip, chip.converter), chip.converter, "bipolar")
    vectors = {name: np.asarray(wave.real) for name, wave in results[0].vectors.items()}
    sources = {
        "vdd": chip.process.supply, "v0": reference + half, "v1": reference - half, "vdd_logic": chip.process.supply,
        "bstrobe": vectors["v(strobe)"], "vcommand": vectors["v(command)"],
    }  # fmt: skip
    whole = mean_conversion(supply_power(results, sources), vectors["time"], chip.converter)
    assert found.energy == pytest.approx(whole, rel=0.02)
    logic = mean_conversion(logic_power(chip, results), vectors["time"], chip.converter)
    assert found.logic == pytest.approx(logic, rel=0.02)
    assert plain.logic is plain.leakage is None
    assert found.energy - found.logic == pytest.approx(plain.energy, rel=0.1)
    # each strobe charges the clocks of its flip-flops and of the comparator at the least
    assert found.logic > 3 * 6 * 7.5 * 0.525e-6 * 0.35e-6 * 4.6e-3 * chip.process.supply**2
    assert 0 < found.leakage * found.time < 0.01 * found.logic


def test_the_sheet_counts_it_and_says_what_it_takes_of_the_time(monkeypatch):
    monkeypatch.setattr(sheet_of_adc, "_POINTS", 8)
    monkeypatch.setattr(sheet_of_adc, "_CYCLES", 3)
    sizes = of_cells(sizes_of(2, 8e-9))
    found = run_bench(sheet_of_adc.sar_adc_bench(GENERIC, sizes, rounds=1), GENERIC, Conditions())
    assert not found.entry("energy").failure
    assert 0 < found["energy_logic"] < found["energy"]
    assert "logic" in found.entry("energy").condition
    assert 0.2e-9 < found["t_logic"] < 1.5e-9
    assert 0 < found["p_leakage"] < 1e-6


def test_codes_of_a_macro_with_a_shared_converter_are_those_of_ideal_logic():
    chip = GENERIC.changed(
        adc={"kind": "sar", "bits": 3, "columns": 2}, sar_adc={"sample": 60e-9, "dac": {"span": 0.8}}
    )
    g, codes = np.array([[1e-5, 1e-4]]), np.array([2**chip.dac.bits - 1])
    found = {}
    for logic in ("ideal", "cells"):
        own = chip.changed(sar_adc={"logic": logic})
        read = MacroRead(converters=dict.fromkeys(range(2), own.converter), polarity="unipolar", shared=2)
        vectors = run(build_macro(own, g, codes, read, polarity="unipolar", r_feedback=20e3))
        found[logic] = [
            [round(float(np.interp(read.end(j) - 0.2e-9, vectors["time"].real, vectors[f"v({node})"].real)))
             for node in read.bit_nodes(j)]
            for j in range(2)
        ]  # fmt: skip
    assert found["cells"] == found["ideal"]
    assert found["ideal"][0] != found["ideal"][1]
