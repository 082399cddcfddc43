"""Conversions that go on with finer bits than a converter has tell where in a step they end."""

from dataclasses import replace

import numpy as np
import pytest

from fuzz.calibrations import sar_chip
from spicesim.behavioural.sar import SarSearch
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import build_conversions
from spicesim.calibration.parallel_lines import parallel_lines
from spicesim.calibration.sar import SarFit
from spicesim.calibration.top_plate import Plate, Seen
from spicesim.chip import preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.errors import CalibrationError

CHIP, FINER = sar_chip(), 3
BITS, SPAN = CHIP.converter.dac.bits, CHIP.converter.dac.span
SEARCH = SarSearch(
    sampled=2 ** (BITS - 1), middle=0.0, curve=np.array([0.0, SPAN / 2]), weights=SPAN / 2.0 ** np.arange(BITS, 0, -1),
    trials=np.zeros(BITS), rejected=np.zeros(BITS), low=-SPAN / 2, high=SPAN / 2,
)  # fmt: skip


def converted(inputs, moved):
    """Convert by an ideal converter that has inputs by so many steps farther up."""
    codes = np.floor(((np.asarray(inputs) + 1) * 2 ** (BITS - 1) + moved) * 2**FINER).astype(int)
    codes = codes.clip(0, 2 ** (BITS + FINER) - 1)
    return Seen(
        inputs=np.asarray(inputs), before=np.zeros(len(codes)), codes=codes, tops=np.zeros((len(codes), BITS + FINER))
    )


@pytest.fixture
def fit():
    return SarFit(CHIP, CHIP.converter, "bipolar", Campaign())


@pytest.mark.parametrize("moved", [-1.7, -0.2, 0.0, 0.4, 3.3])
def test_how_far_an_ideal_converter_is_moved_is_found_to_half_a_finer_step(fit, moved):
    inputs = np.random.default_rng(4).uniform(-0.8, 0.8, 40)
    np.testing.assert_allclose(fit.beyond(SEARCH, converted(inputs, moved)), moved, rtol=0, atol=0.51 / 2**FINER)


def test_inputs_at_the_ends_say_nothing(fit):
    beyond = fit.beyond(SEARCH, converted([-1.2, -0.5, 0.5, 1.2], 0.0))
    np.testing.assert_array_equal(np.isnan(beyond), [True, False, False, True])


def plate(memory):
    """A top plate of which its memory alone matters here."""
    return Plate(np.zeros(6), np.zeros(BITS), np.zeros(BITS), np.zeros(BITS), np.array([memory]))


def test_a_line_takes_what_is_within_the_range_and_one_odd_trial(fit):
    inputs = np.array([-1.2, -0.6, -0.3, 0.1, 0.4, 0.7])
    seen = converted(inputs, np.array([0.0, 0.4, 0.4, 1.1, 0.4, 0.4]))
    slope, (middle,) = parallel_lines([fit.left(SEARCH, seen, plate(0.0))])
    assert abs(slope) < 1 / 2**FINER
    assert abs(middle - 0.4) < 1 / 2**FINER


def test_what_the_array_keeps_of_the_input_before_is_taken_off(fit):
    inputs = np.random.default_rng(2).uniform(-0.8, 0.8, 20)
    before = np.roll(inputs, 1) * SPAN / 2
    memory = 3 * fit.lsb / SPAN  # a step and a half for an end of the range
    seen = replace(converted(inputs, 0.4 + memory * before / fit.lsb), before=before)
    _, left = fit.left(SEARCH, seen, plate(memory))
    np.testing.assert_allclose(left, 0.4, rtol=0, atol=0.51 / 2**FINER)


def test_a_threshold_that_left_the_range_is_an_error_with_a_remedy(fit):
    with pytest.raises(CalibrationError, match=r"2 of 6 conversions.*sar_adc\.comparator"):
        fit.left(SEARCH, converted([-1.3, -1.2, 0.0, 0.1, 1.2, 1.3], 0.0), plate(0.0))


def test_finer_bits_are_of_the_same_array():
    own = SarAdc(dac=ChargeDac(bits=4, errors=(0.01, -0.02, 0.0, 0.03)))
    finer = own.finer(2)
    np.testing.assert_allclose(finer.dac.capacitors[2:], own.dac.capacitors, rtol=1e-12)
    assert finer.dac.total == pytest.approx(own.dac.total, rel=1e-12)
    assert finer.lsb == own.lsb / 4
    assert own.finer(0) == own


def test_their_switches_and_capacitors_are_ideal_and_the_netlist_says_so():
    """The smallest are of half a femtofarad, which no kit draws."""
    chip = preset("gf180-passives").changed(adc={"kind": "sar"})
    body = build_conversions(chip, np.array([1.5, 1.6]), 1.5, chip.converter, "bipolar", 2).body
    lines = body.splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0].startswith("bsw")] == [
        "bsw0",
        "bsw1",
    ]
    for name in ("cend", "c0", "c1"):
        assert any(line.startswith(f"{name} top") for line in lines)
    assert not any(line.startswith("c2 top") for line in lines)  # a subcircuit of the kit
    assert "switches are ideal" in body
