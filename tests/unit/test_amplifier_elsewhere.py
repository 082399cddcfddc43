"""An amplifier where its feedback resistor has become another, against a closed form."""

import numpy as np
import pytest

from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel

R_FEEDBACK, RAIL, I_LIMIT = 100e3, 1.0, 20e-6


def outputs(currents, resistance):
    """Follow the current through a resistor up to the rails, which bend it softly."""
    return RAIL * np.tanh(resistance * currents / RAIL)


def amplifier():
    currents = np.linspace(-I_LIMIT, I_LIMIT, 513)
    rails = {
        name: Parameter(value=value, standard_error=0.0, unit="V")
        for name, value in (("rail_low", RAIL), ("rail_high", -RAIL))
    }
    return SenseAmplifierModel(
        r_feedback=R_FEEDBACK, i_limit=I_LIMIT, v_in=R_FEEDBACK * currents - outputs(currents, R_FEEDBACK),
        v_out=outputs(currents, R_FEEDBACK), parameters=rails, linear_limits=(-0.3, 0.3),
    )  # fmt: skip


@pytest.mark.parametrize("feedback", [0.0, -0.2, 0.2])
def test_rails_are_met_at_another_current_where_resistors_are_others(feedback):
    model = amplifier()
    points = np.linspace(-I_LIMIT, I_LIMIT, 9)
    added = np.stack([1e-3 * points / I_LIMIT, np.full_like(points, 2e-3)])
    _, v_out = model.moved(feedback, points, added)
    wanted = outputs(model.currents, (1 + feedback) * R_FEEDBACK) + 2e-3
    known = np.abs(model.currents) * (1 + feedback) <= I_LIMIT
    np.testing.assert_allclose(v_out[known], wanted[known], rtol=0, atol=2e-5 * RAIL)
    assert (np.diff(v_out) >= 0).all()  # and goes on straight beyond


def test_nothing_that_is_added_leaves_an_amplifier_as_it_was():
    model = amplifier()
    points = np.linspace(-I_LIMIT, I_LIMIT, 9)
    found = model.moved(0.0, points, np.zeros((2, 9)))
    np.testing.assert_allclose(found, [model.v_in, model.v_out], rtol=0, atol=1e-15)
