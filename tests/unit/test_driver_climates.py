"""What a condition adds to drivers: transistors change source and drain at no load, so that either side is a curve."""

import numpy as np
import pytest

from spicesim.behavioural.climate import DacChange
from spicesim.behavioural.dac import DacModel

LIMIT, OHM, PER_AMPERE = 2.56e-3, 70.4, 26.0
"""A driver of GF180MCU at ss and 27 C: its resistance, and what each ampere of either sign adds to it, relative."""


def droop(currents):
    return np.tile(OHM * currents * (1 + PER_AMPERE * np.abs(currents)), (2, 1))


@pytest.fixture
def driver():
    return DacModel(
        polarity="bipolar",
        v_open=np.array([-0.2, 0.2]),
        knots=(0, 1),
        i_limit=LIMIT,
        droop=np.zeros((2, 513)) + 1e-3 * np.linspace(-1, 1, 513),
    )


@pytest.mark.parametrize("points", [33, 65, 129])
def test_a_resistance_that_grows_with_either_current_is_the_same_between_the_points_that_tell_it(driver, points):
    change = DacChange(v_open=np.zeros(2), knots=(0, 1), droop=droop(np.linspace(-LIMIT, LIMIT, points)))
    added = change.apply(driver).droop - driver.droop
    wanted = droop(driver.currents)
    bend = OHM * PER_AMPERE * (2 * LIMIT / (points - 1)) ** 2 / 4
    assert np.abs(added - wanted).max() < 0.01 * bend  # one curve through both sides: a quarter of it


@pytest.mark.parametrize("points", [2, 3, 4])
def test_a_few_points_make_one_curve(driver, points):
    change = DacChange(v_open=np.zeros(2), knots=(0, 1), droop=np.tile(np.linspace(-1e-3, 1e-3, points), (2, 1)))
    added = change.apply(driver).droop - driver.droop
    assert added == pytest.approx(np.tile(1e-3 * driver.currents / LIMIT, (2, 1)), abs=1e-15)
