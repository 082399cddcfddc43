"""Models are values: a copy with other numbers knows nothing of what was found from those of its original."""

import numpy as np

from spicesim.behavioural.dac import DacModel


def test_an_ideal_amplifier_is_ideal_though_the_real_one_was_used_before(small_calibration):
    amplifier = small_calibration.senseamps[0]
    r_feedback, currents = amplifier.r_feedback, np.linspace(-0.9, 0.9, 7) * amplifier.i_limit
    assert np.abs(amplifier.output(currents) - r_feedback * currents).max() > 0.01
    assert amplifier.ports.evaluate(currents)[0].any()
    assert amplifier.output_tables.values.any()
    ideal = amplifier.ideal()
    floor = 1e-12 * r_feedback * ideal.i_limit
    np.testing.assert_allclose(ideal.output(currents), r_feedback * currents, rtol=1e-9, atol=floor)
    assert not ideal.ports.evaluate(currents)[0].any()
    np.testing.assert_allclose(ideal.output_tables.values[0], r_feedback * ideal.currents, rtol=1e-9, atol=floor)


def test_a_driver_with_another_droop_has_ports_of_its_own():
    dac = DacModel(
        polarity="unipolar", v_open=np.linspace(0, 0.3, 16), knots=(0, 15), i_limit=1e-4,
        droop=np.tile(np.linspace(-0.01, 0.01, 5), (2, 1)),
    )  # fmt: skip
    before = dac.volts([3], [1e-4])
    other = dac.model_copy(update={"droop": 2 * dac.droop})
    np.testing.assert_allclose(other.volts([3], [1e-4]) - dac.v_open[3], 2 * (before - dac.v_open[3]), rtol=1e-12)
