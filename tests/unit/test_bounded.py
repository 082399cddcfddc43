"""Intervals near bounds hold their truths as often as they say, and no bound that is far away changes them."""

import numpy as np
import pytest
from scipy.stats import binom

from spicesim.calibration.bounded import bounded_interval
from spicesim.calibration.least_squares import Unknown, fit_parameters

REACH = 1.959964


def both(estimates, covariance):
    low = np.zeros(len(estimates))
    return [
        bounded_interval(k, np.array(estimates), np.array(covariance), low, reach=REACH, confidence=0.95)
        for k in range(len(estimates))
    ]


@pytest.mark.parametrize("truth", [[0.0, 0.0], [0.0, 3.0], [1.0, 2.0]])
def test_intervals_near_bounds_cover_as_often_as_they_say(truth):
    """Both estimates are off by one standard error, and their sum by a third of it."""
    covariance, rng, count = np.array([[1.0, -0.95], [-0.95, 1.0]]), np.random.default_rng(1), 60
    inside = np.zeros(2)
    for estimates in rng.multivariate_normal(truth, covariance, count):
        inside += [
            low <= wanted <= high for wanted, (low, high) in zip(truth, both(estimates, covariance), strict=True)
        ]
    assert (inside >= binom.ppf(1e-3, count, 0.93)).all()
    assert (inside[np.array(truth) > 0] <= binom.ppf(1 - 1e-3, count, 0.97)).all()


def test_what_is_known_of_a_sum_bounds_both():
    (_, high), _ = both([2.0, 2.0], [[9.0, -8.99], [-8.99, 9.0]])
    assert 4.0 < high < 4.6  # 2 + 1.96 * 3 without


def test_bounds_out_of_reach_change_nothing():
    covariance = np.array([[1.0, -0.9], [-0.9, 1.0]])
    for low, high in both([20.0, 30.0], covariance):
        assert high - low == pytest.approx(2 * REACH)
    far, near = both([20.0, 0.5], np.diag([1.0, 1.0]))
    assert far == pytest.approx((20 - REACH, 20 + REACH), rel=0.02)
    assert near[0] == 0.0


def test_an_unknown_without_bound_has_the_interval_that_it_has_alone():
    for estimates in ([1.0, 4.0], [-50.0, 4.0]):
        low = np.array([-np.inf, 0.0])
        found = bounded_interval(0, np.array(estimates), np.eye(2), low, reach=REACH, confidence=0.95)
        assert found == pytest.approx((estimates[0] - REACH, estimates[0] + REACH), abs=0.15)


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "huber"])
def test_a_fit_whose_bound_holds_says_how_far_the_truth_may_be(loss):
    """A wrong sign is not believed; how wrong it looks tells how small the truth is."""
    x, rng = np.linspace(0, 1, 200), np.random.default_rng(0)
    noise = rng.standard_normal(len(x))
    highs = []
    for slope in (-0.3, 0.0):
        data = 1.0 + slope * x + noise
        unknowns = [
            Unknown(name="level", unit="A", start=1.0, scale=1.0),
            Unknown(name="slope", unit="A", start=0.1, low=0.0, scale=1.0),
        ]
        fit = fit_parameters(
            lambda p, data=data: p[0] + p[1] * x - data, unknowns, unit="A", jacobian="3-point", loss=loss
        )
        low, high = fit.parameters["slope"].interval
        assert low == 0.0
        highs.append(high)
    assert 0 < highs[0] < highs[1] < 1.5
