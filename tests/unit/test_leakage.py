"""What cells leak through amplifiers' inputs, against closed forms."""

import numpy as np
import pytest
from numpy.polynomial.polynomial import polyval

from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tile import Amplifiers
from spicesim.calibration.cell_points import bias_points, closed_points, joined, leakage_of, spread
from spicesim.errors import ConvergenceError

R_FEEDBACK, R_IN, OFFSET, I_LIMIT = 80e3, 300.0, -12e-3, 10e-6
AT_REST, SLOPE = 171e-12, -1.48e-9
"""Of a cell of SG13G2 at ff and 125 C [A, S]."""


def linear_amplifiers(columns):
    currents = np.linspace(-I_LIMIT, I_LIMIT, 65)
    v_in = OFFSET + R_IN * currents
    rails = {
        name: Parameter(value=value, unit="V", standard_error=0.0) for name, value in
        (("rail_low", 0.8), ("rail_high", -0.8))
    }  # fmt: skip
    model = SenseAmplifierModel(
        r_feedback=R_FEEDBACK, i_limit=I_LIMIT, v_in=v_in, v_out=R_FEEDBACK * currents - v_in, parameters=rails,
        linear_limits=(-0.7, 0.7),
    )  # fmt: skip
    return Amplifiers.of(model, columns, None)


def leaking_cell(*leakage):
    limits = {"g_limits": (1e-6, 20e-6), "v_limits": (-0.2, 0.2), "u_limits": (-0.2, 0.2)}
    return CellModel(
        coefficients=np.ones((1, 1, 1)), g_reference=1e-3, v_read=0.1, leakage=np.array(leakage), **limits
    )  # fmt: skip


@pytest.mark.parametrize("cells", [(16, 16, 16), (0, 16, 64)], ids=["alike", "open cells"])
def test_leakage_flows_through_the_amplifier_of_its_line_which_follows(cells):
    """A line at v_in leaks n (a + b v_in), and v_in = offset + r_in (i + n (a + b v_in))."""
    counts = np.array(cells)
    amplifiers = linear_amplifiers(3).leaking(leaking_cell(AT_REST, SLOPE), counts)
    currents = np.linspace(-5e-6, 5e-6, 7)[:, None] * np.array([1.0, 0.7, -0.3])
    v_in = (OFFSET + R_IN * (currents + counts * AT_REST)) / (1 - R_IN * counts * SLOPE)
    v_out = R_FEEDBACK * (currents + counts * (AT_REST + SLOPE * v_in)) - v_in
    np.testing.assert_allclose(amplifiers.input(currents), v_in, rtol=0, atol=1e-12)
    np.testing.assert_allclose(amplifiers.output(currents), v_out, rtol=0, atol=1e-12)
    totals = amplifiers.totals.evaluate(currents, amplifiers.index)
    np.testing.assert_allclose(totals, currents + counts * (AT_REST + SLOPE * v_in), rtol=0, atol=1e-12 / R_FEEDBACK)
    assert len(amplifiers.senses.values) == (1 if len(set(cells)) == 1 else 3)


def test_cells_that_leak_more_than_an_amplifier_holds_are_refused():
    with pytest.raises(ConvergenceError, match=r"leak .* A, more than its amplifier"):
        linear_amplifiers(2).leaking(leaking_cell(1e-9, -1e-4), np.array([64, 64]))


def test_leakage_is_told_over_all_voltages_of_a_line():
    """Gates leak by an exponential of the line's voltage, whatever the device; closed points among others tell it."""
    reach, g_limits = 0.115, (1e-6, 20e-6)
    points = joined(bias_points(spread(256, [0]), g_limits, reach), closed_points(g_limits, reach))
    found = leakage_of(points, AT_REST * np.exp(-8.6 * points.u) + 1e-6 * points.v)
    everywhere = np.linspace(-reach, reach, 101)
    wanted = AT_REST * np.exp(-8.6 * everywhere)
    assert np.abs(polyval(everywhere, found) - wanted).max() < 2e-3 * AT_REST


def test_leakage_is_not_told_beyond_the_voltages_where_it_was_seen():
    cell = leaking_cell(AT_REST, SLOPE, 0.0, 0.0, 1.0)
    np.testing.assert_array_equal(cell.leaked([-5.0, 0.2, 5.0]), cell.leaked([-0.2, 0.2, 0.2]))
