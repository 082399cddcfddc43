"""Macros taken apart: what was put wrong on purpose is found, and where it was put."""

import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.apart import take_apart
from spicesim.cli.main import cli
from spicesim.engine import random_products
from spicesim.errors import SpecError


@pytest.fixture(scope="module")
def calibration(sar_calibration):
    return sar_calibration


@pytest.fixture(scope="module")
def samples(calibration):
    """Two products of 3x3 cells, well within the converters' range."""
    made = random_products(calibration, 3, seed=1).samples
    inner = [one for one in made if np.all(np.abs(one.adc.places(one.received) - 127.5) < 120)]
    return [next(one for one in inner if one.tile.polarity == polarity) for polarity in ("unipolar", "bipolar")]


@pytest.fixture(scope="module")
def found(calibration, samples):
    return take_apart(samples, calibration)


def test_a_sound_macro_has_nothing_to_tell(found, samples):
    """Every column of each product; level-1 transistors and a quick calibration leave a tenth of a step."""
    assert [one.column for one in found] == [0, 1, 2] * len(samples)
    for one in found:
        lsb = one.sample.adc.lsb
        assert one.is_within
        assert abs(one.hand_over) < 0.15 * lsb
        assert abs(one.of_source - one.model) <= 1
        assert abs(one.measured - one.sample.volts[one.column]) < 0.05 * lsb


def test_a_wrong_hand_over_is_found_there(calibration, samples, found):
    """Told three steps too much, sources give what the model says and get its codes; macros stay as they were."""
    wrong = 3 * samples[0].adc.lsb
    for one, before in zip(take_apart([_told(s, wrong) for s in samples], calibration), found, strict=True):
        assert one.code == before.code
        assert abs(one.of_source - one.model) <= 1
        assert one.of_source - before.of_source == pytest.approx(3, abs=1)
        assert one.hand_over == pytest.approx(before.hand_over - wrong, abs=0.1 * samples[0].adc.lsb)


def test_a_wrong_converter_is_found_there(calibration, samples, found):
    """Weights of the model, a part in fifty too large on purpose: hand-overs are as before, codes of sources not."""
    heavy = [replace(s, adc=_heavier(s.adc)) for s in samples]
    parts = take_apart(heavy, calibration)
    for one, before in zip(parts, found, strict=True):
        assert (one.code, one.of_source) == (before.code, before.of_source)
        assert one.hand_over == before.hand_over
    assert any(one.of_source != one.model for one in parts)


def test_the_command_shows_each_conversion(calibration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calibration.save("sar.cal.json")
    words = "audit sar.cal.json --sizes 2 --macros 1 --mismatch 1 --apart"
    result = CliRunner().invoke(cli, words.split())
    assert result.exit_code == 0, result.output
    assert len(re.findall(r"^chip 1 +(?:uni|bi)polar ", result.output, re.MULTILINE)) == 2
    assert "2 conversions: " in result.output
    result = CliRunner().invoke(cli, ["audit", "sar.cal.json", "--apart"])
    assert isinstance(result.exception, SpecError)
    assert "add --macros" in str(result.exception)


def test_macros_without_sars_on_read_outs_are_refused_before_they_run(gf180_calibration, tmp_path, monkeypatch):
    """There is no hand-over to tell; --macros alone says what is missing."""
    monkeypatch.chdir(tmp_path)
    gf180_calibration.save("ideal.cal.json")
    result = CliRunner().invoke(cli, ["audit", "ideal.cal.json", "--macros", "1", "--apart"])
    assert isinstance(result.exception, SpecError)
    assert "leave it out" in str(result.exception)


def _told(sample, more):
    """Return a product whose model says that arrays receive so much more."""
    return replace(sample, received=sample.received + more)


def _heavier(adc):
    """Return a range whose model is wrong."""
    search = adc.search
    return replace(adc, search=search.model_copy(update={"weights": 1.02 * search.weights}))
