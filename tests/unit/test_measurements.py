"""Numbers from levels, waveforms and responses, against curves whose numbers are known."""

import numpy as np
import pytest

from spicesim.characterise.linearity import measure_linearity
from spicesim.characterise.waveform import crossing, integral, phase_margin, settling_time, unity_frequency
from spicesim.errors import SpecError, ValidityError


def test_an_even_staircase_has_no_error():
    found = measure_linearity(0.5 + 0.1 * np.arange(16), 0.5, 0.1)
    assert found.worst_inl < 1e-12
    assert found.worst_dnl < 1e-12
    assert abs(found.gain_error) < 1e-12
    assert found.offset == 0.0


def test_a_planted_step_is_found_where_it_is():
    levels = np.arange(16.0)
    levels[8:] += 0.25
    found = measure_linearity(levels, 0.0, 1.0)
    assert int(np.abs(found.dnl).argmax()) == 7
    assert found.gain_error == pytest.approx(0.25 / 15)
    step = 1 + 0.25 / 15
    np.testing.assert_allclose(found.inl, levels / step - np.arange(16))
    np.testing.assert_allclose(found.inl[-1], 0, atol=1e-12)


def test_a_missing_code_is_not_monotone():
    assert not measure_linearity([0, 1, 1, 3], 0, 1).monotone
    assert measure_linearity([0, 1, 2, 3], 0, 1).monotone


@pytest.mark.parametrize("levels", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [1.0, np.nan, 2.0], [1.0, 2.0, 1.0]])
def test_levels_without_a_line_are_refused(levels):
    with pytest.raises(SpecError):
        measure_linearity(levels, 0, 1)


def test_one_pole_settles_in_ln_1000_time_constants():
    time = np.linspace(0, 20, 4001)
    wave = np.where(time < 1, 0.0, 1 - np.exp(-(time - 1)))
    assert settling_time(time, wave, 1.0, 1e-3, "it") == pytest.approx(np.log(1e3), rel=1e-4)


def test_a_wave_that_never_settles_is_refused():
    time = np.linspace(0, 1, 1001)
    with pytest.raises(ValidityError, match="the ramp does not settle"):
        settling_time(time, time, 0.0, 1e-3, "the ramp")


def test_crossings_have_directions_and_may_be_absent():
    x = np.linspace(0, 2 * np.pi, 1001)
    assert crossing(x, np.cos(x), 0.0) == pytest.approx(np.pi / 2, rel=1e-5)
    assert crossing(x, np.cos(x), 0.0, rising=True) == pytest.approx(3 * np.pi / 2, rel=1e-5)
    assert crossing(x, np.cos(x), 0.0, after=2.0) == pytest.approx(3 * np.pi / 2, rel=1e-5)
    assert np.isnan(crossing(x, np.cos(x), 2.0))


def test_an_integral_may_begin_between_points():
    time = np.array([0.0, 1.0, 3.0])
    assert integral(time, 2 * time, 0.5, 2.5) == pytest.approx(2.5**2 - 0.5**2)


@pytest.mark.parametrize("poles", [(1e3,), (1e3, 1e6), (1e3, 1e6, 1e6)])
def test_margins_of_known_loops(poles):
    frequency = np.logspace(0, 9, 2000)
    loop = 1e3 * np.ones(2000, dtype=complex)
    for pole in poles:
        loop /= 1 + 1j * frequency / pole
    # where the size is one, the phase follows in closed form
    where = unity_frequency(frequency, loop)
    expected = 180 - sum(np.degrees(np.arctan(where / pole)) for pole in poles)
    assert phase_margin(frequency, loop) == pytest.approx(expected, abs=0.05)
