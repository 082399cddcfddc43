"""Limits of data sheets: the worst of a matrix against them, spread included; files from anybody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicesim.characterise import DataSheet, Entry, Limit, Limits, Spread, judge, load_limits, places
from spicesim.chip import preset
from spicesim.errors import SpecError

NUMBERS = st.floats(-1e3, 1e3, allow_nan=False)


def sheet(value, spread=None, key="gain"):
    found = Entry(key=key, text=key, value=value, unit="V", spread=spread)
    return DataSheet(
        block="opamp", title="t", chip="c", chip_hash="h", process="p", temperature_c=27.0, entries=(found,)
    )


def limits(**ends):
    return Limits.model_validate({"opamp": {"gain": ends}})


@given(st.lists(NUMBERS, min_size=1, max_size=5), NUMBERS, NUMBERS)
def test_the_worst_decides_wherever_it_is(values, a, b):
    low, high = min(a, b), max(a, b)
    if low == high or (low and abs(low) < 1e-29) or (high and abs(high) < 1e-29):
        return
    sheets = [(str(k), sheet(value)) for k, value in enumerate(values)]
    (found,) = judge(sheets, limits(min=low, max=high))
    assert found.is_met == all(low <= value <= high for value in values)
    worst = min(values, key=lambda value: min(value - low, high - value))
    assert found.value == worst
    assert values[int(found.where)] == worst


def test_drawn_samples_count_by_three_sigma_on_the_side_that_hurts():
    drawn = Spread(mean=1.0, sigma=0.1, samples=9)
    (found,) = judge([("a", sheet(1.0, drawn))], limits(max=1.25))
    assert not found.is_met
    assert found.value == pytest.approx(1.3)
    (found,) = judge([("a", sheet(np.nan, drawn))], limits(min=0.69))
    assert found.is_met
    assert found.value == pytest.approx(0.7)


def test_what_could_not_be_measured_meets_no_limit():
    (found,) = judge([("a", sheet(1.0)), ("b", sheet(np.nan))], limits(min=0.0))
    assert not found.is_met
    assert found.where == "b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[opamp]\ngain = { most = 3 }", "most"),
        ("[opamp]\ngain = { }", "min, max, or both"),
        ("[opamp]\ngain = { min = 3, max = 2 }", "above max"),
        ("[opamp]\ngain = { max = 'a lot' }", "max"),
        ("gain = 3", "opamp|gain"),
        ("[opamp\n", "TOML"),
    ],
)
def test_files_that_hold_no_limits_are_refused(tmp_path, text, said):
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(SpecError, match=said):
        load_limits(tmp_path / "limits.toml")
    with pytest.raises(SpecError, match="limits"):
        load_limits(tmp_path / "none.toml")


def test_quantities_and_blocks_that_are_not_there_are_named(tmp_path):
    (tmp_path / "limits.toml").write_text('[opamp]\nspeed = { max = "2u" }\n')
    found = load_limits(tmp_path / "limits.toml")
    assert found.root["opamp"]["speed"] == Limit(max=2e-6)
    with pytest.raises(SpecError, match=r"no quantity 'speed' to limit; there are: gain"):
        judge([("a", sheet(1.0))], found)
    with pytest.raises(SpecError, match="no limits of 'opamp'"):
        judge([("a", sheet(1.0))], Limits.model_validate({"other": {}}))


def test_a_matrix_is_all_combinations_and_says_where_each_is():
    chip = preset("generic-1t1r")
    assert len(places(("ss", "ff"), (0.0, 85.0), (3.0, 3.3, 3.6))) == 12
    (own,) = places()
    assert own.chip(chip) == chip
    assert own.words(chip).endswith("27 C, 3.3 V")
    (there,) = places(("ss",), (85.0,), (3.0,))
    assert there.words(chip) == "ss, 85 C, 3 V"
    assert there.chip(chip).process.supply == 3.0
    assert there.chip(chip).sense_amplifier.v_reference == chip.sense_amplifier.v_reference
