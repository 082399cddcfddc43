"""Charge redistribution: the DAC divides charge, and the ADC finds the code whose charge is its input's."""

import numpy as np
import pytest

from spicesim.calibration.conversions import read_codes
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.charge_dac import charge_dac_bench
from spicesim.characterise.sar_adc import effective_bits, find_transitions, sar_adc_bench
from spicesim.chip import preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import build_charge_dac
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.ngspice.batch import BatchSimulator

GENERIC = preset("generic-1t1r")
THREE = SarAdc(dac=ChargeDac(bits=3, unit=160e-15))


def inl(chip, sizes):
    return run_bench(charge_dac_bench(chip, sizes), chip, Conditions()).panels[0].curves["INL"]


def test_the_dac_is_linear_but_for_its_switches(chip):
    sheet = run_bench(charge_dac_bench(chip), chip, Conditions())
    assert sheet["inl"] < 0.02
    assert sheet["lsb"] == pytest.approx(1.6 / 64, rel=5e-3)
    assert abs(sheet["pedestal"]) < 5e-3
    # a reset and a code of mean size: at the most the charge of all capacitors through the references
    assert 0 < sheet["energy_references"] < 1.28e-12 * 1.6**2


def test_planted_capacitor_errors_come_out_in_the_inl():
    """The charge of each capacitor is shared by all: INL by charge conservation within 0.01 LSB."""
    errors = (0.0, 0.0, -0.03, 0.0, 0.05)
    planted, clean = ChargeDac(bits=5, errors=errors), ChargeDac(bits=5)
    weights = planted.capacitors / planted.total
    codes = np.arange(32)
    levels = ((codes[:, None] >> np.arange(5) & 1) * weights).sum(axis=1)
    expected = levels / levels[-1] * 31 - codes
    assert np.abs(expected).max() > 0.3, "the planted error is large against the bound"
    np.testing.assert_allclose(inl(GENERIC, planted) - inl(GENERIC, clean), expected, atol=0.01)


def test_the_adc_gives_the_ideal_code_at_the_middle_of_each():
    """Within its gain and offset error, which a 3-bit step does not see."""
    middles = 1.65 - 0.8 + (np.arange(8) + 0.5) * THREE.lsb
    inputs = np.concatenate([middles[::2], middles[::-2], [0.2, 3.0]])
    (results,) = Conditions().run([build_sar_adc(GENERIC, inputs, THREE)], "")
    np.testing.assert_array_equal(read_codes(results, THREE), [0, 2, 4, 6, 7, 5, 3, 1, 0, 7])


def test_a_planted_capacitor_error_moves_the_adcs_transitions():
    """The largest capacitor 8 % too large: transitions move by charge conservation, within 0.07 LSB."""
    found = {}
    for error in (0.0, 0.08):
        sizes = SarAdc(dac=ChargeDac(bits=3, unit=160e-15, errors=(0.0, 0.0, error)))
        transitions = find_transitions(GENERIC, sizes, Conditions(), rounds=6)
        weights = sizes.dac.capacitors / sizes.dac.total
        codes = np.arange(1, 8)
        # sampled with the largest bit on, so only what is switched after counts
        expected = sizes.dac.span * (((codes[:, None] >> np.arange(3) & 1) * weights).sum(axis=1) - weights[-1])
        found[error] = transitions, expected
    moved, expected = (found[0.08][k] - found[0.0][k] for k in (0, 1))
    assert np.abs(expected).max() > 0.15 * THREE.lsb
    np.testing.assert_allclose(moved, expected, atol=0.07 * THREE.lsb)  # found to a sixteenth


def test_an_adc_has_its_bits():
    sheet = run_bench(sar_adc_bench(GENERIC, THREE, rounds=3), GENERIC, Conditions())
    assert 2.6 < sheet["enob"] < 3.2
    assert sheet["inl"] < 0.5
    assert abs(sheet["gain_error"]) < 10
    assert 0.1e-12 < sheet["energy"] < 20e-12


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_ideal_codes_of_a_sine_have_all_their_bits(bits):
    points, cycles = 4096, 127
    sine = 0.96 * np.sin(2 * np.pi * cycles * np.arange(points) / points + 0.1)
    codes = np.floor((sine + 1) / 2 * 2**bits)
    assert effective_bits(codes, cycles, 0.96) == pytest.approx(bits, abs=0.12)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: GENERIC.changed(charge_dac={"bits": 1}), r"charge_dac.bits.*equal to"),
        (lambda: GENERIC.changed(charge_dac={"unit": 0.0}), r"charge_dac.unit.*greater than 0"),
        (lambda: GENERIC.changed(charge_dac={"errors": (0.1,)}), "wanted one for each of 6"),
        (lambda: build_charge_dac(GENERIC, [64]), r"0\.\.63"),
        (lambda: build_charge_dac(GENERIC, [0.5]), "integers"),
        (lambda: build_charge_dac(GENERIC, [0], ChargeDac(span=5.0)), "supply"),
        (lambda: GENERIC.changed(sar_adc={"bit": 1e-9}), r"sar_adc.bit.*2 ns or more"),
        (lambda: build_sar_adc(GENERIC, [4.0]), "within the supply"),
        (lambda: build_sar_adc(GENERIC, []), "finite"),
        (lambda: sar_adc_bench(GENERIC, rounds=0), "halving"),
    ],
)
def test_impossible_converters_are_refused(build, said):
    with pytest.raises(SpecError, match=said):
        build()


def test_a_code_is_read_where_it_was_written():
    """Codes of a sequence come back in its order from one netlist."""
    found = BatchSimulator().run(build_charge_dac(GENERIC, [63, 0, 32, 1]))[0].vectors
    ends = (np.arange(4) + 0.98) * 40e-9
    steps = (np.interp(ends, found["time"], found["v(top)"]) - 1.65) / (1.6 / 64)
    # the junctions of the reset switch take a third of a per cent of the gain
    assert steps[0] == pytest.approx(63, rel=5e-3)
    np.testing.assert_allclose(steps * 63 / steps[0], [63, 0, 32, 1], atol=0.2)
