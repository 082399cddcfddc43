"""Where amplifiers are simulated at other conditions, against knees of a closed form."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.knees import TABLE_ERROR, is_tight, kept_points, swept_points
from spicesim.chip import preset

R_FEEDBACK, RAIL, REACH, NOISE_GAIN = 100e3, 1.6, 2.0, 200.0
WIDTH = 20e-3
"""Of a knee [V]."""


def knees(volts, rail):
    """Follow a voltage up to soft rails."""
    return WIDTH * (np.logaddexp(0, (volts + rail) / WIDTH) - np.logaddexp(0, (volts - rail) / WIDTH)) - rail


def amplifier():
    volts = np.linspace(-REACH, REACH, 4001)
    rails = {
        name: Parameter(value=value, standard_error=0.0, unit="V")
        for name, value in (("rail_low", RAIL), ("rail_high", -RAIL))
    }
    return SenseAmplifierModel(
        r_feedback=R_FEEDBACK, i_limit=REACH / R_FEEDBACK,
        v_in=1.001 * volts - knees(volts, RAIL), v_out=knees(volts, RAIL),
        parameters=rails, linear_limits=(-1.0, 1.0),
    )  # fmt: skip


def changes(model, rails):
    """Return what conditions with other rails add, (conditions, 2, points) [V]."""
    volts = model.currents * R_FEEDBACK
    outputs = np.stack([knees(volts, rail) for rail in rails]) - model.v_out
    return np.stack([-outputs / NOISE_GAIN, outputs], axis=1)


@pytest.mark.parametrize("rails", [(1.5, 1.7), (1.45,)])
def test_rails_that_move_are_followed_with_two_fifths_of_the_points(rails):
    model = amplifier()
    swept = swept_points(model, preset("gf180-1t1r"))
    assert len(swept) < 0.45 * len(model.v_in)
    wanted = changes(model, rails)
    points = kept_points(model, swept, wanted[..., swept], NOISE_GAIN)
    assert not is_tight(swept, points)
    kept = swept[points]
    found = PchipInterpolator(model.currents[kept], wanted[..., kept], axis=-1)(model.currents)
    errors = np.abs(found - wanted) * [[NOISE_GAIN], [1.0]] / model.full_scale
    assert errors.max() <= 1.5 * TABLE_ERROR


def test_knees_among_few_points_ask_for_all():
    model = amplifier()
    swept = swept_points(model, preset("gf180-1t1r"))
    points = kept_points(model, swept, changes(model, (0.8,))[..., swept], NOISE_GAIN)
    assert is_tight(swept, points)
    everywhere = np.arange(len(model.v_in))
    assert not is_tight(everywhere, kept_points(model, everywhere, changes(model, (0.8,)), NOISE_GAIN))


def test_a_feedback_of_the_process_is_simulated_at_all_points():
    model = amplifier()
    np.testing.assert_array_equal(swept_points(model, preset("gf180-passives")), np.arange(len(model.v_in)))
