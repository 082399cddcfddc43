"""The single-slope ADC at transistor level: held-out and adversarial codes, drawn comparators, networks and audits."""

import dataclasses

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converters import find_converter
from spicesim.calibration.ramp import RampConverter, read_counts
from spicesim.chip import preset
from spicesim.coding import AdcRange
from spicesim.draws import ChipDraw
from spicesim.engine import ConverterEngine, ExactEngine, SampledMvm, Tile
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist.ramp_adc import build_ramp_adc
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

CHIP = preset("generic-1t1r").changed(
    array={"rows": 4, "columns": 3}, sense_amplifier={"r_feedback": (160e3,)}, adc={"kind": "ramp", "bits": 3}
)
RAMP = RampConverter()


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    aspects = ("converter", "energy", "mismatch")
    return calibrate_once("ramp-4x3", lambda: calibrate(CHIP, quick=True, aspects=aspects, accept="a test"))


def test_held_out_codes_are_those_of_the_transistors(calibration):
    assert set(calibration.converter.checks) == {"unipolar", "bipolar"}
    for check in calibration.converter.checks.values():
        assert check.conversions >= 64
        assert check.identical >= 0.98
        assert check.worst <= 1


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_codes_are_right_near_thresholds_and_beyond_the_range(calibration, polarity):
    own = calibration.converter.range(polarity)
    fine = np.linspace(own.low - own.lsb, own.high + own.lsb, 20001)
    steps = fine[1:][np.diff(own.codes(fine)) > 0]
    assert len(steps) == 7
    volts = np.concatenate([steps - 0.01 * own.lsb, steps + 0.01 * own.lsb, [-1.6, 1.6]])
    np.testing.assert_array_equal(own.codes(volts), RAMP.convert(CHIP, polarity, volts, Campaign()))


def test_one_column_alone_has_the_code_that_it_has_among_others():
    volts = np.random.default_rng(4).uniform(-0.8, 0.8, 6)
    among = RAMP.convert(CHIP, "bipolar", volts, Campaign())
    alone = np.concatenate([RAMP.convert(CHIP, "bipolar", one[None], Campaign()) for one in volts[:2]])
    np.testing.assert_array_equal(alone, among[:2])


def products(calibration, count, engine):
    """Products of a tile whose outputs fill the converters' range."""
    rng, (low, high) = np.random.default_rng(3), calibration.conductance_range
    tile = Tile(
        name="t", g=rng.uniform(low, high, (4, 3)), polarity="bipolar", r_feedback=160e3,
        adc=calibration.converter.range("bipolar"),
    )  # fmt: skip
    codes, ready = rng.integers(0, 2**CHIP.dac.bits, (count, 4)), engine.prepare(tile)
    return [SampledMvm.of(ready, c, v, layer="a") for c, v in zip(codes, ready.mvm(codes), strict=True)]


def test_an_audit_ends_in_the_codes_of_the_transistors(calibration):
    samples = products(calibration, 4, ExactEngine(calibration))
    audit = audit_samples(samples, calibration)
    assert audit.codes[0] == 1
    assert "staircase" in audit.unseen
    spoilt = [dataclasses.replace(s, adc=AdcRange(low=s.adc.low + 0.3, high=s.adc.high + 0.3, bits=3)) for s in samples]
    assert audit_samples(spoilt, calibration).codes[0] < 0.5


def test_an_audit_of_a_drawn_chip_converts_by_each_columns_own_comparator(calibration):
    engine = ConverterEngine(ExactEngine(calibration, mismatch_seed=5), calibration, seed=5, columns_per_adc=2)
    samples = products(calibration, 3, engine)
    assert isinstance(samples[0].adc, ConverterRange)
    assert samples[0].adc.drawn.which.tolist() == [0, 0, 1]
    audit = audit_samples(samples, calibration, mismatch_seed=5)
    assert audit.codes[0] >= 8 / 9


def test_drawn_columns_have_the_thresholds_of_their_own_devices(calibration):
    """Inputs of a drawn converter within a tenth of a step of its own thresholds, not of the nominal ones."""
    draw = ChipDraw(11, "tile")
    which = np.arange(3)
    drawn = calibration.converter.on_chip(calibration.mismatch, CHIP, "bipolar", which, draw)
    shift = 0.1 * drawn.lsb
    fine = np.linspace(-0.7, 0.7, 5001)
    codes = drawn.codes(np.repeat(fine[:, None], 3, axis=1))
    own = np.array([fine[np.argmax(codes[:, k] >= 4)] for k in which])
    nominal = calibration.converter.range("bipolar")
    assert np.ptp(own) > 1e-3
    assert (np.abs(own - fine[np.argmax(nominal.codes(fine) >= 4)]) > 1e-3).any()
    draws = [lambda path, k=k: draw(f"xconverter_{k}.{path}") for k in which]
    for volts, code in ((own - shift, 3), (own + shift, 4)):
        wanted = RAMP.conversions(CHIP, "bipolar", volts, draws)
        assert wanted.read(run_all(wanted.netlists)).tolist() == [code] * 3


def test_energy_and_time_are_those_of_all_steps(calibration):
    adc = calibration.energy.adc
    assert adc.time == pytest.approx(40e-9 + 20e-9 + 8 * 10e-9)
    assert 1e-12 < adc.energy < 50e-12  # eight decisions of about a picojoule


def test_a_comparator_that_has_not_decided_is_refused():
    (results,) = run_all([build_ramp_adc(CHIP, [1.65])])
    counts = read_counts(results, CHIP, 1)
    assert counts.tolist() == [4]
    results[0].vectors["v(outp_0)"][:] = 0.5 * CHIP.process.supply
    with pytest.raises(ValidityError, match="did not decide within its time"):
        read_counts(results, CHIP, 1)


@pytest.mark.parametrize(
    ("volts", "said"), [([4.0], "within the supply"), ([], "finite"), ([[1.0]], "finite"), ([np.nan], "finite")]
)
def test_inputs_that_no_column_takes_are_refused(volts, said):
    with pytest.raises(SpecError, match=said):
        build_ramp_adc(CHIP, volts)


def test_the_chip_names_its_kind():
    assert isinstance(find_converter(CHIP), RampConverter)
