"""Converters by their thresholds: codes, drawn ones, what they refuse; no simulator."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from spicesim.behavioural.arrays import mix_models
from spicesim.behavioural.climate import ClimateModel
from spicesim.behavioural.converter import ConverterCheck, ConverterRange
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.behavioural.steps import StepModel, StepSearch
from spicesim.calibration.converter import code_line, step_search
from spicesim.calibration.converters import KINDS, find_converter
from spicesim.chip import format_chip, load_chip, preset
from spicesim.draws import ChipDraw
from spicesim.errors import CalibrationError, SpecError
from spicesim.own_code import is_own

BITS, SPAN = 3, 1.6
THRESHOLDS = {
    "bipolar": np.array([-0.61, -0.4, -0.2, 0.01, 0.2, 0.4, 0.59]),
    "unipolar": np.array([0.2, 0.4, 0.61, 0.8, 1.0, 1.2, 1.39]),
}
CHIP = preset("generic-1t1r").changed(adc={"kind": "ramp", "bits": BITS})
FLOATING = CHIP.changed(sense_amplifier={"kind": "voltage"})


def model(chip=CHIP, **words):
    rising = chip.sense_amplifier.kind == "voltage"
    searches = {
        name: step_search(chip, name, own, SPAN) for name, own in THRESHOLDS.items() if not rising or name == "bipolar"
    }
    given = {
        "kind": "ramp", "bits": BITS, "span": SPAN, "rising": rising, "searches": searches, "checks": {},
        "noises": {"sampling": 3e-4, "comparator": 4e-4},
    }  # fmt: skip
    return StepModel(**given | words)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("chip", [CHIP, FLOATING], ids=["falling nodes", "rising nodes"])
def test_a_code_is_how_many_thresholds_lie_below_the_output(chip, polarity):
    rising = chip.sense_amplifier.kind == "voltage"
    thresholds = THRESHOLDS["bipolar" if rising else polarity]
    volts = np.concatenate([np.random.default_rng(0).uniform(-2, 2, 500), thresholds - 1e-9, thresholds + 1e-9])
    codes = model(chip).range(polarity).codes(volts)
    np.testing.assert_array_equal(codes, (volts[:, None] > thresholds).sum(axis=1))


@pytest.mark.parametrize("chip", [CHIP, FLOATING], ids=["falling nodes", "rising nodes"])
def test_codes_stand_for_the_middle_of_their_outputs(chip):
    own = model(chip).range("bipolar")
    middles = (THRESHOLDS["bipolar"][1:] + THRESHOLDS["bipolar"][:-1]) / 2
    np.testing.assert_allclose(own.volts(np.arange(1, 7)), middles, atol=0.1 * own.lsb)  # of a tenth of a step of INL
    assert code_line(np.arange(7) + 0.5) == pytest.approx((0.0, 7.0))


def test_one_comparator_moves_all_thresholds_of_a_drawn_converter():
    own = model().drawn("bipolar", np.array([0.05, -0.05]), np.zeros(2), [0, 1])
    # a threshold that is higher at the node is passed later by the staircase: by outputs that are lower
    volts = np.array([0.01 - 0.05, 0.01 + 0.05])
    np.testing.assert_array_equal(own.codes(volts + 1e-6), [4, 4])
    np.testing.assert_array_equal(own.codes(volts - 1e-6), [3, 3])


def test_comparators_of_a_drawn_converter_may_move_one_by_one():
    offsets = np.zeros((1, 7))
    offsets[0, 3] = -0.05
    own = model().drawn("bipolar", offsets, np.zeros(1), [0])
    np.testing.assert_array_equal(own.codes([[0.05], [0.07], [0.21]]), [[3], [4], [5]])


def test_a_larger_capacitor_takes_more_of_the_staircase():
    thresholds = THRESHOLDS["unipolar"]
    rise = step_search(CHIP, "unipolar", thresholds, SPAN, np.array([-SPAN / 2, SPAN / 2]), -thresholds[::-1])
    plain = model(attenuation=0.9, searches={"unipolar": rise})
    own = plain.drawn("unipolar", np.zeros(1), np.array([0.1]), [0])
    for k, threshold in enumerate(thresholds):
        moved = threshold * (1 + 0.1 * 0.1)
        assert own.codes([[moved + 1e-6], [moved - 1e-6]]).ravel().tolist() == [k + 1, k]
    # an offset is one of the top plate, to which the staircase comes attenuated
    shifted = plain.drawn("unipolar", np.array([-9e-3]), np.zeros(1), [0])
    assert shifted.codes([[thresholds[3] + 10e-3 + 1e-6], [thresholds[3] + 10e-3 - 1e-6]]).ravel().tolist() == [4, 3]


def test_drawn_converters_of_unknown_mismatch_are_refused():
    unknown = MismatchModel.model_construct(converter=None)
    for kind, said in (("ramp", "--aspects converter,mismatch"), ("own:Flash", "give their class a method comparator")):
        with pytest.raises(CalibrationError, match=said):
            model(kind=kind).on_chip(unknown, CHIP, "bipolar", [0], ChipDraw(1, "tile"))


def test_noise_adds_up_and_is_refused_where_some_is_not_known():
    assert model().noise == pytest.approx(5e-4)
    with pytest.raises(CalibrationError, match="converters do not tell theirs; run without noise"):
        _ = model(unknown_noise="converters do not tell theirs").noise


def test_converters_of_another_chip_are_refused():
    model().require_chip(CHIP)
    for other in (CHIP.changed(adc={"bits": 4}), CHIP.changed(adc={"kind": "sar"})):
        with pytest.raises(ValueError, match="of kind"):
            model().require_chip(other)
    with pytest.raises(ValueError, match="searches for bipolar"):
        model().require_chip(FLOATING)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"steps": [0.0, -1.0]}, "must not fall"),
        ({"low": 1.0, "high": 1.0}, "low must lie below high"),
    ],
)
def test_a_search_that_cannot_be_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        StepSearch(**{"middle": 0.0, "curve": [0.0, 1.0], "steps": [0.0, 1.0], "low": 0.0, "high": 1.0} | words)


def test_the_file_keeps_a_converter_and_models_mix():
    own = model(checks={"bipolar": ConverterCheck(conversions=64, identical=1.0, worst=0)})
    assert StepModel.model_validate_json(own.model_dump_json()).model_dump_json() == own.model_dump_json()
    half = mix_models([0.5, 0.5], [own, own])
    np.testing.assert_allclose(half.searches["bipolar"].steps, own.searches["bipolar"].steps)


def test_converters_elsewhere_follow_the_temperature():
    own = model()
    search = own.searches["bipolar"]
    hot_search = search.model_copy(update={"steps": search.steps + 0.01})
    hot = model(searches=own.searches | {"bipolar": hot_search})
    climate = Elsewhere[StepModel](
        temperatures_c=(27.0, 127.0), temperatures=(hot,), corner_temperatures_c=(27.0,), corners={}
    )
    found = climate.at(own, None, 77.0)
    np.testing.assert_allclose(found.searches["bipolar"].steps, search.steps + 0.005)
    whole = TypeAdapter(ClimateModel.model_fields["converter"].annotation)
    assert isinstance(whole.validate_python(climate.model_dump()), Elsewhere[StepModel])


def test_a_chip_keeps_its_hash_and_its_file_without_a_ramp():
    plain = preset("generic-1t1r")
    content = plain.model_dump(mode="json")
    assert "kind" not in content["adc"]
    assert plain.changed(ramp_adc={"step": "12n"}).hash != plain.hash
    assert plain.changed(ramp_adc={"step": "10n"}).hash == plain.hash


def test_a_ramp_whose_capacitors_would_leave_the_supply_is_refused():
    with pytest.raises(SpecError, match=r"ramp_adc.span = 1.65 -\+ 1.7 V, must stay within the supply"):
        CHIP.changed(ramp_adc={"span": 1.7})
    for bits in (2, 12):
        with pytest.raises(SpecError, match=f"a ramp converter has 3 to 10 bits, got adc.bits = {bits}"):
            CHIP.changed(adc={"bits": bits})


def test_every_kind_is_found_by_its_word_and_ideal_is_none():
    assert find_converter(preset("generic-1t1r")) is None
    for word, kind in KINDS.items():
        assert type(find_converter(CHIP.changed(adc={"kind": word}))) is kind
        assert not is_own(word)
    with pytest.raises(SpecError, match="no Python package 'nowhere'"):
        find_converter(CHIP.changed(adc={"kind": "nowhere:Flash"}))
    with pytest.raises(SpecError, match="must be a subclass"):
        find_converter(CHIP.changed(adc={"kind": "spicesim.coding:AdcRange"}))


def test_a_converter_of_ones_own_in_a_file_runs_only_if_its_code_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPICESIM_TRUSTED", raising=False)
    (tmp_path / "strange_adc.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.chdir(tmp_path)
    text = format_chip(preset("generic-1t1r").changed(adc={"kind": "strange_adc:Flash"}))
    (tmp_path / "chip.toml").write_text(text)
    with pytest.raises(SpecError, match="is Python code that 'strange_adc:Flash' would run; if you trust it"):
        load_chip(tmp_path / "chip.toml")
    monkeypatch.setenv("SPICESIM_TRUSTED", str(tmp_path / "strange_adc.py"))
    assert load_chip(tmp_path / "chip.toml").adc.kind == "strange_adc:Flash"  # named, and not run before it is needed


def test_ranges_are_such_that_engines_know_them():
    assert isinstance(model().range("bipolar"), ConverterRange)
    assert model().reach("unipolar") == SPAN
    assert model().reach("bipolar") == SPAN / 2
