"""Yields of drawn chips: what counts as held, its interval, the worst by its number; intervals of mean and sigma."""

import json

import numpy as np
import pytest
from scipy import stats

from spicesim.characterise import DataSheet, Entry, Limits, Spread, find_yields, judge, least_yield, least_yields
from spicesim.characterise.bench import spread_entries

LIMITS = Limits.model_validate({"amplifier": {"gain": {"min": 10}, "offset": {"min": -3e-3, "max": 3e-3}}})


def entries(gain, offset):
    """Return the entries of one sample; None for what could not be measured."""
    return [
        Entry(
            key=key, text=key, value=np.nan if value is None else value, unit="V",
            failure="no such moment" if value is None else "",
        )
        for key, value in (("gain", gain), ("offset", offset))
    ]  # fmt: skip


def sheet(*samples):
    drawn = [{found.key: found for found in entries(*sample)} for sample in samples]
    return DataSheet(
        block="amplifier", title="t", chip="c", chip_hash="h", process="p", temperature_c=27.0,
        entries=spread_entries(entries(12.0, 0.0), drawn), seed=3,
    )  # fmt: skip


def test_a_chip_counts_if_it_holds_all_limits():
    (found,) = find_yields([("here", sheet((12, 1e-3), (9, 0.0), (11, 4e-3), (12, -1e-3)))], LIMITS)
    assert (found.passed, found.samples, found.seed, found.where) == (2, 4, 3, "here")
    assert [part.passed for part in found.limits] == [3, 3]
    assert [part.worst for part in found.limits] == [1, 2]
    exact = stats.binomtest(2, 4).proportion_ci(method="exact")
    assert found.interval == pytest.approx((exact.low, exact.high))
    json.dumps(found.document(), allow_nan=False)


def test_the_worst_is_furthest_out_in_its_own_spread():
    (found,) = find_yields([("here", sheet((9.9, 0.0), (12, 9e-3), (13, 1e-3), (14, -1e-3)))], LIMITS)
    assert found.worst == 1


def test_what_could_not_be_measured_holds_no_limit():
    (found,) = find_yields([("here", sheet((12, None), (12, 1e-3), (12, 2e-3)))], LIMITS)
    assert (found.passed, found.worst) == (2, 0)
    assert found.limits[0].passed == 3  # the gain does not vary
    (found,) = find_yields([("here", sheet((12, None), (11, None), (13, None)))], LIMITS)
    assert found.passed == 0
    (found,) = find_yields([("here", sheet((None, 1e-3), (12, 1e-3), (12, 2e-3)))], LIMITS)
    assert (found.passed, found.limits[0].passed) == (2, 2)


def test_without_drawn_chips_there_is_no_yield():
    assert find_yields([("here", sheet())], LIMITS) == []


def test_a_yield_may_stand_in_the_place_of_three_sigma():
    sheets = [("here", sheet((12, 2e-3), (12.5, -2e-3), (12, 0.0)))]
    assert [verdict.is_met for verdict in judge(sheets, LIMITS)] == [True, False]
    assert [verdict.is_met for verdict in judge(sheets, LIMITS, spread=False)] == [True, True]


def test_intervals_of_mean_and_sigma_hold_the_truth_as_often_as_they_say():
    rng, count, trials = np.random.default_rng(5), 12, 2000
    held = np.zeros(2)
    for values in rng.normal(3.0, 0.5, (trials, count)):
        spread = Spread(mean=float(values.mean()), sigma=float(values.std(ddof=1)), samples=count)
        for k, ((low, high), truth) in enumerate(((spread.mean_interval, 3.0), (spread.sigma_interval, 0.5))):
            held[k] += low <= truth <= high
    assert held / trials == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / trials))


def test_of_several_places_that_of_the_fewest_chips_is_told_limit_by_limit():
    sheets = [
        ("a", sheet((9, 0.0), (9, 0.0), (12, 0.0), (12, 1e-3))),
        ("b", sheet((12, 5e-3), (12, 0.0), (13, 0.0), (12, 0.0))),
        ("c", sheet((12, 9e-3), (12, 1e-3), (13, 0.0), (12, 8e-3))),
    ]
    yields = find_yields(sheets, LIMITS)
    assert [(text, where, found.passed) for text, where, found in least_yields(yields)] == [
        ("gain", "a", 2), ("offset", "c", 2), ("all limits", "c", 2),
    ]  # fmt: skip
    assert least_yield(yields).where == "c"  # as few as at a, and further out
