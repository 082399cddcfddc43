"""How long a comparator takes tells how far from its threshold an input was, and so where in a step."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fuzz.calibrations import sar_chip
from spicesim.behavioural.sar import SarSearch
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import decision_delays
from spicesim.calibration.delays import DelayLaw, fit_delays
from spicesim.calibration.sar import SarFit
from spicesim.calibration.threshold import _read_delays
from spicesim.calibration.top_plate import Seen
from spicesim.errors import CalibrationError, ValidityError

CHIP = sar_chip()
BITS, SPAN = CHIP.converter.dac.bits, CHIP.converter.dac.span
LSB = SPAN / 2**BITS
SEARCH = SarSearch(
    sampled=2 ** (BITS - 1), middle=0.0, curve=np.array([0.0, SPAN / 2]), weights=SPAN / 2.0 ** np.arange(BITS, 0, -1),
    trials=np.zeros(BITS), rejected=np.zeros(BITS), low=-SPAN / 2, high=SPAN / 2,
)  # fmt: skip
TAU, NORM = 20e-12, 400e-12
LAW = DelayLaw(rate=1 / TAU, middle=NORM, terms=np.array([1e-3, 0.0, 0.0, 0.0]), lopsided=0.0, shortest=200e-12)


def delays(distances):
    """Those of an ideal latch."""
    return NORM - TAU * np.log(np.abs(distances) / 1e-3)


def converted(inputs, moved):
    """Convert by an ideal converter that has inputs by so many steps farther up."""
    inputs = np.asarray(inputs, dtype=float)
    places = (inputs + 1) * 2 ** (BITS - 1) + moved
    codes = np.floor(places).astype(int).clip(0, 2**BITS - 1)
    seen = Seen(inputs=inputs, codes=codes, tops=np.zeros((len(codes), BITS)), delays=None)
    return replace(seen, delays=delays((places[:, None] - seen.tried) * LSB))


@pytest.fixture
def fit():
    return SarFit(CHIP, CHIP.converter, "bipolar", Campaign())


@pytest.mark.parametrize("bend", [0.0, 0.3])
@pytest.mark.parametrize("lopsided", [0.0, 8.0])
def test_a_law_is_found_from_distances_to_a_threshold_that_is_not_known(bend, lopsided):
    """Also of a latch that is faster for large distances, whose logarithm bends, and where inputs are higher."""
    distances = np.concatenate([side * np.geomspace(20e-6, 6e-3, 12) for side in (1, -1)])
    size = np.abs(distances)
    seen = size * (1 - lopsided * distances)
    late = NORM - TAU * (np.log(seen / 1e-3) + bend * np.log1p(seen / 1e-3))
    law = fit_delays(distances + 4.2e-3, distances > 0, late)
    np.testing.assert_allclose(law.distances(late, distances > 0), size, rtol=0.02, atol=2e-6)


def test_what_was_faster_than_any_in_the_fit_tells_nothing():
    assert np.isnan(LAW.distances(np.array([100e-12, np.inf, np.nan]), np.array([True, False, True]))).all()


def test_a_comparator_has_decided_when_its_output_is_half_way_up():
    time = np.linspace(0, 10e-9, 1001)
    risen = 3.3 * (np.clip((time % 5e-9 - 1e-9) / 0.2e-9, 0, 1) * (time % 5e-9 < 3e-9))
    sizes = CHIP.converter.model_copy(update={"bit": 6e-9})  # strobes last 2 ns
    found = decision_delays(time, risen, np.array([[0.0, 5e-9], [0.5e-9, 9e-9]]), sizes, 3.3)
    np.testing.assert_allclose(found, [[1.1e-9, 1.1e-9], [0.6e-9, np.inf]], rtol=1e-6)
    # what rises in the next strobe is no decision of this one
    assert np.isinf(decision_delays(time, risen, np.array([3.5e-9]), sizes, 3.3)).all()


@pytest.mark.parametrize("moved", [-1.7, -0.2, 0.0, 0.4, 3.3])
def test_how_far_an_ideal_converter_is_moved_is_found(fit, moved):
    inputs = np.random.default_rng(4).uniform(-0.8, 0.8, 40)
    np.testing.assert_allclose(fit.beyond(SEARCH, converted(inputs, moved), LAW), moved, rtol=0, atol=1e-6)


def test_a_factor_of_all_distances_does_not_matter(fit):
    seen, scaled = converted(np.random.default_rng(4).uniform(-0.8, 0.8, 40), 0.4), replace(LAW, terms=1.2 * LAW.terms)
    np.testing.assert_allclose(fit.beyond(SEARCH, seen, scaled), 0.4, rtol=0, atol=1e-6)


def test_inputs_at_the_ends_say_nothing(fit):
    beyond = fit.beyond(SEARCH, converted([-1.2, -0.51, 0.51, 1.2], 0.0), LAW)
    np.testing.assert_array_equal(np.isnan(beyond), [True, False, False, True])


def test_a_threshold_that_left_the_range_is_an_error_with_a_remedy(fit):
    with pytest.raises(CalibrationError, match=r"2 of 6 conversions.*sar_adc\.comparator"):
        fit.left(SEARCH, converted([-1.3, -1.2, 0.01, 0.11, 1.2, 1.3], 0.0), LAW)


def test_calm_inputs_are_next_to_trials_of_the_last_two_bits(fit):
    inputs = np.linspace(-0.9, 0.9, 9)
    calm = fit.calm(SEARCH, inputs)
    np.testing.assert_allclose(calm, inputs, rtol=0, atol=4 * 2 / 2**BITS)
    codes = converted(calm, 0.0).codes
    assert set(codes % 4) <= {1, 2}
    np.testing.assert_allclose((calm + 1) * 2 ** (BITS - 1) - codes, 0.5, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("by_bit", "rest"), [((3, 2, 1), 0), ((3, 2), 1), ((1,) * 30, 0)])
def test_inputs_end_as_close_as_they_aim_in_the_trials_of_their_bits(fit, by_bit, rest):
    """As many on either side of the threshold."""
    aims = fit.aims(by_bit, rest)
    assert [len(of_bit) for of_bit in aims] == [*by_bit, *[rest] * BITS][:BITS]
    distances = np.concatenate(aims)
    assert np.count_nonzero(distances > 0) == pytest.approx(len(distances) / 2, abs=0.5)
    found = converted(fit.near(SEARCH, aims), 0.0)
    closest = np.min(np.abs((found.inputs + 1)[:, None] * 2 ** (BITS - 1) - found.tried) * LSB, axis=1)
    np.testing.assert_allclose(np.sort(closest), np.sort(np.abs(distances)), rtol=0, atol=1e-9)
    steps = np.rint((found.inputs + 1) * 2 ** (BITS - 1)).astype(int)
    assert sorted(np.log2(steps & -steps)) == [k for k, of_bit in enumerate(aims) for _ in of_bit]


@pytest.mark.parametrize("decided", [0.0, 3.3])
def test_a_threshold_beyond_the_bench_is_an_error_with_a_remedy(decided):
    """All decided alike, which no law follows from."""
    sizes = CHIP.converter
    time = np.arange(0, 10 * sizes.bit, sizes.bit / 60)
    phase = time % sizes.bit / sizes.bit
    risen, still = np.where(phase > 0.7, 3.3, 0.0), np.zeros_like(time)
    vectors = {"time": time}
    for k in range(4):
        vectors |= {f"v(top_{k})": still + 0.02, f"v(level_{k})": still}
        vectors |= {f"v(outp_{k})": risen if decided else still, f"v(outn_{k})": still if decided else risen}
    results = [SimpleNamespace(vectors=vectors)]
    with pytest.raises(ValidityError, match=r"beyond 20 mV.*sar_adc\.comparator"):
        _read_delays(results, (CHIP, sizes))
