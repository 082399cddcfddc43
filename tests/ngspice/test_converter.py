"""Converters at transistor level in the chain: held-out codes, networks, audits that end in codes."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from fuzz.calibrations import sar_chip
from fuzz.networks import two_layers
from spicesim.audit import audit_samples
from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.array_switches import find_array_switches
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import build_conversions, conversions, read_outputs, real_vector, starts_of
from spicesim.calibration.converter_mismatch import shift_converters
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, draw_chip
from spicesim.calibration.sar import SarFit, calibrate_converter
from spicesim.calibration.sar_elsewhere import converters_elsewhere
from spicesim.calibration.threshold import find_delays, read_thresholds
from spicesim.chip import preset
from spicesim.coding import AdcRange
from spicesim.draws import ChipDraw
from spicesim.engine import ConverterEngine, ExactEngine, SampledMvm, Tile
from spicesim.errors import CalibrationError, NetworkError, ValidityError
from spicesim.experiment.plan import make_plan
from spicesim.experiment.run import run
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.sar_adc import build_thresholds
from spicesim.network import compile_network
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

CHIP = sar_chip()
SPAN = CHIP.converter.dac.span


@pytest.fixture(scope="module")
def calibration(sar_calibration):
    return sar_calibration


def products(calibration, count, seed, engine=None):
    """Products of a tile whose outputs fill the converters' range."""
    engine = engine or ExactEngine(calibration)
    rng = np.random.default_rng(seed)
    low, high = calibration.conductance_range
    found = []
    for polarity in ("unipolar", "bipolar"):
        adc = calibration.converter.range(polarity)
        g = rng.uniform(low, high, (8, 4))
        tile = Tile(name=f"{polarity} {seed}", g=g, polarity=polarity, r_feedback=80e3, adc=adc)
        codes = rng.integers(0, 2**CHIP.dac.bits, (count, 8)) // (1 if polarity == "bipolar" else 4)
        ready = engine.prepare(tile)
        found += [SampledMvm.of(ready, c, v, layer="a") for c, v in zip(codes, ready.mvm(codes), strict=True)]
    return found


def test_held_out_codes_are_those_of_the_transistors(calibration):
    checks = calibration.converter.checks.values()
    assert sum(check.conversions for check in checks) >= 12  # each tells how far it ends from a step
    for check in checks:
        assert check.identical >= 0.98
        assert check.worst <= 1


def test_an_array_that_remembers_is_told_after_a_rest_and_said_to_remember():
    """After 3 ns of sampling 1.3 pF keep so much of the conversion before that most codes are others."""
    chip = CHIP.changed(sar_adc={"sample": 3e-9})
    check = calibrate_converter(chip, Campaign(jobs=2)).checks["bipolar"]
    assert check.identical >= 0.9
    assert check.worst <= 1
    assert check.in_turn < 0.7
    assert calibrate_converter(CHIP, Campaign(jobs=2)).checks["bipolar"].in_turn is None


@pytest.mark.parametrize("polarity", ["bipolar", "unipolar"])
def test_an_array_that_remembers_begins_at_the_reference(polarity):
    """With bits as while sampling; after a conversion of the reference those of signed outputs were about to move."""
    chip = CHIP.changed(sar_adc={"sample": 3e-9})
    sizes, reference = chip.converter, chip.sense_amplifier.v_reference
    (results,) = Campaign().run([build_conversions(chip, np.array([reference - 0.1]), sizes, polarity)], "")
    time, (start,) = real_vector(results, "time"), starts_of(results, sizes)
    for node, expected in (("v(top)", reference), *((f"v(q_{k})", sizes.sampled(polarity) >> k & 1) for k in range(6))):
        before, after = np.interp([start, start + 0.9 * sizes.sample], time, real_vector(results, node))
        assert before == pytest.approx(expected, abs=2e-3)
        if node != "v(top)":
            assert after == pytest.approx(expected, abs=2e-3)


def test_an_array_behind_an_ideal_buffer_that_remembers_is_refused():
    """No hand-over tells of runs what it wants."""
    chip = preset("gf180-voltage").changed(sar_adc={"sample": 15e-9, "spans": ()})
    with pytest.raises(CalibrationError, match=r"remembers the conversion before.*sar_adc\.sample"):
        calibrate_converter(chip, Campaign(jobs=2))


def test_longer_time_steps_of_wide_steps_leave_thresholds_where_they_are():
    chip = preset("gf180-bits")
    netlist = build_thresholds(chip, 2, starts=[4.1e-3, 4.5e-3], steps=3e-4 * 0.6 ** np.array([0, *range(9)]))
    assert "trtol" in netlist.options  # or there is nothing to be seen
    found = Campaign(jobs=2).run([netlist, dataclasses.replace(netlist, options=PRECISE)], "")
    longer, precise = (read_thresholds(results, chip, 2) for results in found)
    np.testing.assert_allclose(longer, precise, rtol=0, atol=1e-3 * chip.converter.lsb)


def test_an_audit_ends_in_the_codes_of_the_converters(calibration):
    samples = products(calibration, 4, 3)
    audit = audit_samples(samples, calibration)
    identical, _, worse = audit.codes
    assert identical >= 0.95
    assert worse == 0
    assert "ideal quantiser" not in audit.unseen
    # an ideal quantiser over the same range in the model's place is seen
    plain = [dataclasses.replace(s, adc=AdcRange(low=s.adc.low, high=s.adc.high, bits=6)) for s in samples]
    spoilt = [dataclasses.replace(s, adc=AdcRange(low=s.adc.low + 0.1, high=s.adc.high, bits=6)) for s in samples]
    assert audit_samples(spoilt, calibration).codes[0] < 0.7
    assert audit_samples(plain, calibration).codes[0] <= identical


def test_drawn_converters_have_the_codes_of_their_own_transistors_and_capacitors(calibration):
    model, sizes, seed = calibration.converter, CHIP.converter, 5
    thresholds, errors = calibration.mismatch.draw_converters(sizes.dac, 3, seed=seed, name="tile")
    rng, draw, wrong, nominal = np.random.default_rng(0), ChipDraw(seed, "tile"), [], []
    for k in range(3):
        volts = rng.uniform(-0.85, 0.85, 16)
        results = run_all(conversions(CHIP, "bipolar", volts, lambda path, k=k: draw(f"xconverter_{k}.{path}")))
        found = read_outputs(results, CHIP)
        wrong.append(model.drawn("bipolar", thresholds, errors, [k]).codes(volts) - found)
        nominal.append(model.range("bipolar").codes(volts) - found)
    assert np.mean(np.concatenate(wrong) == 0) >= 0.95
    assert np.abs(wrong).max() <= 1
    assert np.mean(np.concatenate(nominal) == 0) < 0.9


def test_a_threshold_is_the_same_wherever_its_search_begins():
    """Also right below it, where the first decision, which none went before, says something else by 160 uV."""
    chip = preset("gf180-voltage")
    starts = 4.05e-3 + np.array([-0.3, -0.2, -0.1, 0.1, 0.2, 0.3]) * 1e-3
    steps = 0.4e-3 * 0.6 ** np.append(0, np.arange(10))
    (results,) = run_all([build_thresholds(chip, 6, starts=starts, steps=steps)])
    found = read_thresholds(results, chip, 6)
    assert np.ptp(found) < 15e-6  # decisions are up to 8 uV apart


def test_thresholds_of_drawn_comparators_follow_from_products_of_their_devices(calibration):
    model, step = calibration.mismatch, CHIP.converter.dac.span / 2**6
    assert model.converter_residual < 0.02 * step
    assert len(model.converter.directions) >= 3
    assert {"xsample.m5", "xsample.m6"} < set(model.converter.devices)


@pytest.mark.parametrize("celsius", [27.0, 85.0])
def test_switches_of_drawn_arrays_move_thresholds(celsius):
    """Told by their resistances, held against the transistors of arrays that stand still."""
    chip, count = preset("gf180-voltage").at(temperature_c=celsius), 9
    sizes = chip.converter
    bench = MismatchBench(calibration=SimpleNamespace(chip=chip, mismatch=None), campaign=Campaign())
    devices, (slopes,) = find_array_switches([bench])
    assert {device.partition(".")[2] for device in devices} <= {"m3", "m4", "m5", "m6"}  # no inverters
    numbers = np.random.default_rng(2).standard_normal((count, 2 * len(devices)))
    numbers[0] = 0.0
    own = Planned(devices=devices, numbers=numbers)

    def draw(path):
        block, _, device = path.partition(".")
        return own(path) if block.startswith("xdac_") and device in devices else (0.0, 0.0)

    steps = 0.1 * 0.6 ** np.append(0, np.arange(21))
    (results,) = run_all([draw_chip(build_thresholds(chip, count, sizes, 0.0, steps), chip, draw)])
    nominal, *found = read_thresholds(results, chip, count, sizes)
    levels = (sizes.sampled("bipolar") >> np.arange(sizes.dac.bits) & 1) - 0.5
    off = numbers[1:] @ slopes.T @ np.append(1.0, levels) - (np.array(found) - nominal)
    assert np.std(off) < 0.15 * np.std(found)  # decisions of searches are up to 8 uV apart


def test_a_condition_moves_the_thresholds_of_drawn_comparators(calibration):
    hot = calibration.model_copy(update={"chip": CHIP.at(temperature_c=100.0)})
    ((shift, _),) = shift_converters(calibration, [hot], Campaign())
    response = calibration.mismatch.converter
    there = response.shifted(0, shift)
    devices = tuple(d.removeprefix("xcomparator.") for d in response.devices if d.startswith("xcomparator"))
    numbers = np.random.default_rng(4).standard_normal((13, response.slopes.shape[1]))
    numbers[:, 2 * len(devices) :] = 0.0
    numbers[0] = 0.0
    planned = Planned(devices=devices, numbers=numbers[:, : 2 * len(devices)])
    nominal, *drawn = MismatchBench(calibration=hot, campaign=Campaign()).thresholds(planned, finest=5e-6)
    moved, still = (np.std(one.parameters(numbers)[1:, 0] - (drawn - nominal)) for one in (there, response))
    assert moved < 0.5 * still


def test_an_audit_of_a_drawn_chip_converts_by_each_columns_own_converter(calibration):
    seed = 5
    engine = ConverterEngine(ExactEngine(calibration, mismatch_seed=seed), calibration, seed=seed, columns_per_adc=2)
    samples = products(calibration, 3, 3, engine)
    assert samples[0].adc.drawn.which.tolist() == [0, 0, 1, 1]
    audit = audit_samples(samples, calibration, mismatch_seed=seed)
    identical, _, worse = audit.codes
    assert identical >= 0.9
    assert worse == 0
    other = calibration.mismatch.draw_converters(CHIP.converter.dac, 2, seed=seed + 1, name=samples[0].tile.place)
    drawn = [
        dataclasses.replace(s, adc=calibration.converter.drawn(s.tile.polarity, *other, (0, 0, 1, 1))) for s in samples
    ]
    assert audit_samples(drawn, calibration, mismatch_seed=seed).codes[0] < identical


def test_a_run_of_a_drawn_chip_has_drawn_converters_and_its_noise(calibration):
    network = two_layers()
    x = np.random.default_rng(1).random((400, 8)).astype(np.float32)
    plan = {"engine": "exact", "mismatch": 5, "audit": 2, "noise": True, "columns_per_adc": 2}
    found = run(make_plan(plan), network, x, calibration)
    assert all(s.adc.drawn is not None for s in found.first.result.samples)
    assert found.document()["audit"]["codes_worse"] == 0
    noise = found.document()["converter"]["noise"]
    array = CHIP.converter.dac.total
    kelvin = CHIP.process.temperature_c + 273.15
    np.testing.assert_allclose(noise["sampling"], np.sqrt(1.380649e-23 * kelvin / array), rtol=1e-9)
    assert 50e-6 < noise["comparator"] < 500e-6  # what such comparators have been measured to have
    quiet = run(make_plan(plan | {"noise": False}), network, x, calibration)
    assert (found.first.result.logits != quiet.first.result.logits).any()


def test_converters_at_another_temperature_have_the_codes_of_their_transistors(calibration):
    hot = calibration.model_copy(update={"chip": CHIP.at(temperature_c=100.0), "converter": None})
    (found,) = converters_elsewhere(calibration, [hot], Campaign(seed=1))
    assert found.sampling_noise > calibration.converter.sampling_noise
    volts = np.random.default_rng(3).uniform(-0.85, 0.85, 32)
    real = read_outputs(run_all(conversions(hot.chip, "bipolar", volts)), CHIP)
    codes = found.range("bipolar").codes(volts)
    assert np.mean(codes == real) >= 0.95
    assert np.abs(codes - real).max() <= 1


def test_mismatch_of_converters_that_was_not_calibrated_is_refused(calibration):
    bare = calibration.model_copy(update={"mismatch": calibration.mismatch.model_copy(update={"converter": None})})
    engine = ConverterEngine(ExactEngine(bare, mismatch_seed=1), bare, seed=1)
    with pytest.raises(CalibrationError, match="no mismatch of the column converters"):
        products(bare, 1, 3, engine)


def test_codes_of_clipped_outputs_and_of_zero_are_right(calibration):
    volts = np.array([-1.5, -0.85, 0.0, 0.4, 0.85, 1.5])
    results = run_all(conversions(CHIP, "bipolar", volts))
    found = read_outputs(results, CHIP)
    model = calibration.converter.range("bipolar")
    assert isinstance(model, ConverterRange)
    np.testing.assert_allclose(model.codes(volts), found, atol=1)
    assert found[0] == 0
    assert found[-1] == 63


def test_a_converter_without_time_to_settle_is_refused():
    hasty = CHIP.changed(sar_adc={"sample": 2.1e-9, "bit": 2.1e-9})
    with pytest.raises((CalibrationError, ValidityError), match="more"):
        calibrate(hasty, quick=True, aspects=("converter",), accept="a test")


def test_a_chip_whose_converters_were_not_calibrated_runs_no_network(calibration):
    bare = calibration.model_copy(update={"converter": None})
    with pytest.raises(CalibrationError, match="aspect converter"):
        bare.require_converter()


def test_a_converter_for_one_coding_of_inputs_only_is_refused(calibration):
    document = calibration.model_dump(mode="json")
    del document["converter"]["searches"]["unipolar"]
    with pytest.raises(ValueError, match="searches for bipolar and unipolar"):
        type(calibration).model_validate(document)


def test_the_file_keeps_the_converter(calibration, tmp_path):
    calibration.save(tmp_path / "cal.json")
    loaded = type(calibration).model_validate_json(calibration.model_dump_json())
    assert loaded.hash == calibration.hash
    volts = np.linspace(-1, 1, 101)
    for polarity in ("unipolar", "bipolar"):
        np.testing.assert_array_equal(
            loaded.converter.range(polarity).codes(volts), calibration.converter.range(polarity).codes(volts)
        )


def test_a_network_runs_through_the_converters_and_each_front_door_says_so(calibration):
    network = two_layers()
    x = np.random.default_rng(1).random((20, 8)).astype(np.float32)
    found = run(make_plan({"engine": "exact", "audit": 4, "explain": 4}), network, x, calibration)
    document = found.document()
    assert document["converter"]["kind"] == "sar"
    assert document["audit"]["codes_worse"] == 0
    assert {type(own.adc) for own in found.network.ranges} == {ConverterRange}
    budget = found.findings.budget  # its first row is the run, and its bits are what converters cost
    np.testing.assert_array_equal(budget.whole.errors[0], (found.first.result.logits - found.first.digital)[:4])
    assert budget.estimates()["alone output bits"].value > 0
    again = run(make_plan(found.plan.document()), network, x, calibration)
    np.testing.assert_array_equal(again.first.result.logits, found.first.result.logits)


def test_other_converters_than_the_chips_are_refused(calibration):
    class Own(AdcRange):
        pass

    network = compile_network(two_layers(), calibration, converter=Own)
    with pytest.raises(NetworkError, match=r"adc\.kind = sar"):
        network.run(np.random.default_rng(1).random((20, 8)).astype(np.float32))


def test_a_conversion_by_itself_has_the_code_that_it_has_among_others():
    """Its bits were cleared before they were read where nothing came after it."""
    chip = preset("gf180-pulse").over(0.8)
    assert chip.converter is not None
    fit = SarFit(chip, chip.converter, "bipolar", Campaign())
    alone, among = (fit.convert(np.array(inputs)).codes for inputs in ([0.3], [0.3, 0.89]))
    assert alone[0] == among[0]


def test_decisions_on_either_side_tell_where_in_a_step_an_input_is(calibration):
    """By how long they took: within a few hundredths, where codes alone tell one."""
    fit = SarFit(CHIP, CHIP.converter, "bipolar", Campaign())
    (delays,) = find_delays([(CHIP, CHIP.converter)], Campaign(), "a test")
    search, centre = calibration.converter.searches["bipolar"], fit.steps(calibration.converter.searches["bipolar"])[21]
    inputs = centre + np.linspace(-0.9, 0.9, 7) * fit.lsb / SPAN * 2
    seen = fit.convert(inputs)
    assert len(set(seen.codes)) == 2
    places = seen.places(delays)
    np.testing.assert_allclose(places - places[3], np.linspace(-0.9, 0.9, 7), rtol=0, atol=0.05)
    assert np.abs(fit.beyond(search, seen, delays)).max() < 0.1


def small_gf180(calibrate_once):
    """Return a calibration of GF180 converters over one span, and its chip."""
    plain = preset("gf180-pulse").changed(array={"rows": 4, "columns": 2}, sar_adc={"spans": ()})
    home = calibrate_once("sar-gf180", lambda: calibrate(plain, quick=True, aspects=("converter",), accept="a test"))
    return home, plain


def test_steps_of_gf180_lie_where_codes_change_to_the_ends_of_the_range(calibrate_once):
    """To 60 uV, a fiftieth of a step: on either side codes are the model's."""
    home, plain = small_gf180(calibrate_once)
    fit, search = SarFit(plain, plain.converter, "bipolar", Campaign()), home.require_converter().searches["bipolar"]
    near, steps = fit.near(search, [np.repeat([-60e-6, 60e-6], 6)] * 3 + [np.zeros(0)] * 5), fit.steps(search)
    ends = np.concatenate([steps[np.isfinite(steps)][k] for k in (slice(0, 12, 3), slice(-12, None, 3))])
    inputs = np.concatenate([near, *(ends + side / fit.volts(1.0) for side in (-60e-6, 60e-6))])
    codes, seen = fit.range(search).codes(-fit.volts(inputs)), fit.convert(inputs)
    assert np.count_nonzero(codes != 255 - seen.codes) <= 3  # of 52


@pytest.mark.parametrize(("corner", "celsius"), [("ss", 125.0), ("ff", -40.0)])
def test_steps_of_gf180_at_a_corner_lie_where_codes_change(calibrate_once, corner, celsius):
    """To 40 uV: without conversions that end close to the threshold there 2 of 54 codes beside steps were others."""
    home, plain = small_gf180(calibrate_once)
    there, campaign = plain.at(corner=corner, temperature_c=celsius), Campaign()
    (found,) = converters_elsewhere(home, [home.model_copy(update={"chip": there, "converter": None})], campaign)
    assert there.converter is not None
    fit, search = SarFit(there, there.converter, "unipolar", campaign), found.searches["unipolar"]
    steps = fit.steps(search)
    inputs = np.concatenate([steps[np.isfinite(steps)][4:-4:9] + side / fit.volts(0.0) for side in (-40e-6, 40e-6)])
    codes, seen = fit.range(search).codes(-fit.volts(inputs)), fit.convert(inputs)
    assert np.count_nonzero(codes != 255 - seen.codes) <= 1  # of some 54


def test_a_condition_tilts_thresholds_of_gf180_as_its_transistors(calibrate_once):
    """Told from the nearest decisions of all inputs together, codes at ss were .15 of a step off at an end."""
    home, plain = small_gf180(calibrate_once)
    assert min(check.identical for check in home.require_converter().checks.values()) > 0.985
    there, campaign = plain.at(corner="ss", temperature_c=125.0), Campaign()
    (found,) = converters_elsewhere(home, [home.model_copy(update={"chip": there, "converter": None})], campaign)
    assert there.converter is not None
    fit, search = SarFit(there, there.converter, "bipolar", campaign), found.searches["bipolar"]
    aims = np.linspace(-0.09, 0.09, 8) * fit.lsb
    seen = fit.convert(fit.near(search, [aims if k < 3 else aims[:0] for k in range(8)]))
    codes = fit.range(search).codes(-fit.volts(seen.inputs))
    assert np.mean(codes == 255 - seen.codes) >= 0.9  # of those that are aimed at steps, a fifth of all
