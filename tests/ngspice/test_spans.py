"""Converters whose references a layer chooses: codes of transistors at every span, at home, at corners and drawn."""

import numpy as np
import pytest

from fuzz.calibrations import sar_chip
from fuzz.networks import two_layers
from spicesim.audit import audit_samples
from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import conversions, read_outputs
from spicesim.calibration.sar_elsewhere import converters_elsewhere
from spicesim.draws import ChipDraw
from spicesim.engine import FastEngine
from spicesim.errors import NetworkError
from spicesim.network import compile_network
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

SPANS = (0.8, 0.4)
CHIP = sar_chip().changed(sar_adc={"spans": SPANS})
WIDE = CHIP.sar_adc.dac.span


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    aspects = ("converter", "mismatch")
    return calibrate_once("sar-spans", lambda: calibrate(CHIP, quick=True, aspects=aspects, accept="a test"))


def outputs(span, polarity, count, seed):
    """Outputs over all of a range, and a little beyond."""
    low, high = (0.0, span) if polarity == "unipolar" else (-span / 2, span / 2)
    return np.random.default_rng(seed).uniform(low - 0.03 * span, high + 0.03 * span, count)


def test_held_out_codes_of_every_span_are_those_of_the_transistors(calibration):
    model = calibration.converter
    assert model.spans == (WIDE, *SPANS)
    for span in model.spans:
        checks = model.over(span).checks.values()
        assert sum(check.conversions for check in checks) >= 12  # each tells how far it ends from a step
        assert np.average([check.identical for check in checks], weights=[check.conversions for check in checks]) > 0.93
        assert max(check.worst for check in checks) <= 1


@pytest.mark.parametrize("span", [WIDE, *SPANS])
def test_codes_of_every_span_are_those_of_the_transistors(calibration, span):
    """A fit of these 6 bits has up to 3 of 128 codes others; few held-out inputs tell luck."""
    for polarity, checked in calibration.converter.over(span).checks.items():
        volts = outputs(span, polarity, 128, 7)
        wrong = calibration.converter.over(span).range(polarity).codes(volts) - read_outputs(
            run_all(conversions(CHIP.over(span), polarity, volts)), CHIP
        )
        assert checked.worst <= 1
        assert np.abs(wrong).max() <= 1
        assert np.mean(wrong == 0) > 0.96
        # what a calibration tells of them, it tells from how far conversions end from steps
        assert abs(np.mean(wrong == 0) - checked.identical) < 0.05


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_a_condition_moves_a_narrow_span_as_its_transistors(calibration, span, polarity):
    """It was looked at with the widest span, and its threshold with the narrowest."""
    at = calibration.model_copy(update={"chip": CHIP.at(corner="ss", temperature_c=85.0)})
    (found,) = converters_elsewhere(calibration, [at], Campaign(quick=True))
    volts = outputs(span, polarity, 24, 2)
    measured = read_outputs(run_all(conversions(at.chip.over(span), polarity, volts)), at.chip)
    wrong = found.over(span).range(polarity).codes(volts) - measured
    assert np.abs(wrong).max() <= 1
    assert np.mean(wrong == 0) >= 0.9
    still = calibration.converter.over(span).range(polarity).codes(volts) - measured
    assert np.abs(wrong).sum() <= np.abs(still).sum()


@pytest.mark.parametrize("span", SPANS)
def test_drawn_converters_of_a_narrow_span_have_the_codes_of_their_own_transistors(calibration, span):
    model, chip, seed = calibration.converter.over(span), CHIP.over(span), 5
    own = model.on_chip(calibration.mismatch, CHIP, "bipolar", [0, 1], ChipDraw(seed, "tile"))
    draw, volts = ChipDraw(seed, "tile"), outputs(span, "bipolar", 16, 3)
    codes = own.codes(np.stack([volts, volts], axis=1))
    for k in range(2):
        results = run_all(conversions(chip, "bipolar", volts, lambda path, k=k: draw(f"xconverter_{k}.{path}")))
        wrong = codes[:, k] - read_outputs(results, chip)
        assert np.abs(wrong).max() <= 1
        assert np.mean(wrong == 0) >= 0.9


def test_a_layer_of_small_outputs_takes_a_narrow_span_and_its_audit_ends_in_its_codes(calibration):
    x = np.random.default_rng(1).random((20, 8)).astype(np.float32)
    network = compile_network(two_layers(), calibration)
    network.fit_ranges(x)
    wide = compile_network(two_layers(), calibration.model_copy(update={"converter": alone(calibration)}))
    wide.fit_ranges(x)
    for own, other in zip(network.ranges, wide.ranges, strict=True):
        assert isinstance(own.adc, ConverterRange)
        assert own.r_feedback == other.r_feedback
        assert own.adc.span == own.span <= other.adc.span == WIDE
    result = network.run(x, FastEngine(calibration), sample=4, seed=1)
    audit = audit_samples(result.samples, calibration)
    assert audit.codes[0] >= 0.9
    assert audit.codes[2] == 0


def alone(calibration):
    """Converters that cannot be switched."""
    return calibration.converter.over(WIDE)


def test_settings_keep_the_span_and_are_refused_by_a_chip_without_it(calibration, tmp_path):
    x = np.random.default_rng(1).random((20, 8)).astype(np.float32)
    network = compile_network(two_layers(), calibration)
    network.fit_ranges(x)
    network.save(tmp_path / "network.npz")
    again = compile_network(two_layers(), calibration)
    again.load(tmp_path / "network.npz")
    assert [own.span for own in again.ranges] == [own.span for own in network.ranges]
    plain = CHIP.changed(sar_adc={"spans": ()})
    other = calibration.model_copy(update={"chip": plain, "converter": alone(calibration)})
    with pytest.raises(NetworkError, match="fit them"):
        compile_network(two_layers(), other).load(tmp_path / "network.npz")
