"""Lines of one slope through several groups of points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicesim.calibration.parallel_lines import parallel_lines

NUMBERS = st.floats(-10, 10)


@given(slope=NUMBERS, intercepts=st.lists(NUMBERS, min_size=1, max_size=4), seed=st.integers(0, 999))
def test_lines_are_found_again(slope, intercepts, seed):
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1, 1, (len(intercepts), 5))
    groups = [(x, slope * x + one) for x, one in zip(places, intercepts, strict=True)]
    found, middles = parallel_lines(groups)
    assert found == pytest.approx(slope, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(middles, intercepts, rtol=1e-6, atol=1e-6)


def test_one_odd_point_in_a_group_moves_nothing():
    x = np.linspace(-1, 1, 8)
    first, second = 2 * x + 1, 2 * x - 3
    first[2], second[7] = 50.0, -80.0
    slope, middles = parallel_lines([(x, first), (x, second)])
    assert slope == pytest.approx(2.0)
    assert middles == pytest.approx([1.0, -3.0])


def test_a_group_of_one_point_has_the_slope_of_the_others():
    slope, middles = parallel_lines([(np.array([0.0, 1.0]), np.array([1.0, 3.0])), (np.array([5.0]), np.array([0.0]))])
    assert slope == 2.0
    assert middles == [1.0, -10.0]
