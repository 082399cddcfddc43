"""A parameter bends by products of the numbers of few devices, which are found among all of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from spicesim.behavioural.response import Response
from spicesim.calibration import converter_mismatch
from spicesim.calibration.bends import bent
from spicesim.calibration.converter_mismatch import shift_converters
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response

DEVICES = ("m0", "m1", "m2", "m3", "m4", "r1")
SLOPES = np.array([0, 0, 7e-3, 2e-3, -7e-3, -2e-3, 1e-4, 0, -1e-4, 0, 3e-5, 0])
PAIRS = {(0, 2): 3e-5, (2, 5): -2e-5, (4, 4): 1e-5, (1, 0): 4e-5}
"""Products of numbers; m0 adds nothing to the parameter but by them."""
NOISE = 2e-6


def measured(numbers, rng):
    products = sum(size * numbers[:, a] * numbers[:, b] for (a, b), size in PAIRS.items())
    return 4e-3 + numbers @ SLOPES + products + NOISE * rng.standard_normal(len(numbers))


def fitted(count, seed=0):
    rng = np.random.default_rng(seed)
    root = np.sqrt(11) * np.linalg.qr(rng.standard_normal((11, 11)))[0]
    design = np.zeros((22 + count, 12))
    design[:22, :11] = np.concatenate([root, -root])
    design[22:] = rng.standard_normal((count, 12))
    values = measured(design, rng)
    linear = fit_response("x", ("offset [V]",), Planned(devices=DEVICES, numbers=design[:22]), values[:22, None])
    return linear, *bent(linear, Planned(devices=DEVICES, numbers=design), values)


def test_products_of_numbers_are_found_where_their_devices_do_nothing_alone():
    linear, found, error = fitted(66)
    others = np.random.default_rng(9).standard_normal((200, 12))
    truth = measured(others, np.random.default_rng(8))
    before, after = (np.std(one.parameters(others)[:, 0] - truth) for one in (linear, found))
    assert before > 4e-5
    assert after < 2 * NOISE
    # what instances tell of each other is what others say
    assert error == pytest.approx(after, rel=0.5)
    assert set(found.directions.argmax(axis=1)) >= {0, 1, 2, 4, 5}
    for (a, b), size in PAIRS.items():
        bend = sum(
            sign * float(found.parameters(np.eye(12)[[a]] * p + np.eye(12)[[b]] * q)[0, 0])
            for sign, p, q in ((1, 1, 1), (-1, 1, -1), (-1, -1, 1), (1, -1, -1))
        )
        assert bend / (8 if a == b else 4) == pytest.approx(size, rel=0.2)


def test_a_number_that_a_device_does_not_use_adds_nothing():
    _, found, _ = fitted(66)
    assert found.slopes[0, 11] == 0
    assert not found.directions[:, 11].any()


def test_a_parameter_that_is_linear_does_not_bend():
    rng = np.random.default_rng(1)
    numbers = rng.standard_normal((90, 12))
    values = numbers @ SLOPES + NOISE * rng.standard_normal(90)
    response = Response(
        block="x", devices=DEVICES, names=("offset [V]",), rest=np.zeros(1), slopes=np.zeros((1, 12)),
        directions=np.zeros((0, 12)), bends=np.zeros((1, 0, 0)), simulated=0,
    )  # fmt: skip
    found, error = bent(response, Planned(devices=DEVICES, numbers=numbers), values)
    assert np.abs(found.bends).max(initial=0.0) < NOISE
    assert error < 1.5 * NOISE


def test_there_are_never_more_unknowns_than_instances_bear():
    _, found, _ = fitted(6)
    chosen = len(found.directions)
    assert 1 + 11 + chosen * (chosen + 1) / 2 <= 0.7 * 28


def test_a_condition_changes_slopes_and_lets_all_bends_grow(monkeypatch):
    """Thresholds that are planted at home and elsewhere, where nominal ones are others, too."""
    rng = np.random.default_rng(3)
    bends = rng.standard_normal((1, 3, 3)) * 2e-5
    home = Response(
        block="xconverter", devices=tuple(f"xcomparator.{name}" for name in DEVICES[:5]), names=("offset [V]",),
        rest=np.zeros(1), slopes=SLOPES[None, :10], directions=np.eye(10)[[2, 3, 4]],
        bends=bends + bends.transpose(0, 2, 1), simulated=1,
    )  # fmt: skip
    moved = 0.3 * SLOPES[:10] * (SLOPES[:10] > 1e-3)
    there = home.model_copy(update={"slopes": home.slopes + moved, "bends": 1.4 * home.bends})
    truth = {"home": (home, 4e-3), "there": (there, 9e-3)}

    def planted(searches, campaign, *, reach=0.25, finest=None):
        for name, planned, around in searches:
            response, nominal = truth[name]
            found = nominal + response.parameters(planned.numbers)[:, 0]
            if around is not None:  # searches begin where nominal ones are at home
                assert np.mean(found - around) == pytest.approx(nominal - truth["home"][1], abs=reach / 2)
            yield found

    monkeypatch.setattr(
        MismatchBench, "threshold_search", lambda bench, planned, around=None: (bench.calibration.name, planned, around)
    )
    monkeypatch.setattr(converter_mismatch, "find_thresholds", planted)
    mismatch = SimpleNamespace(converter=home)
    places = [SimpleNamespace(name=name, require_mismatch=lambda: mismatch) for name in truth]
    ((shift, levels),) = shift_converters(places[0], places[1:], SimpleNamespace(quick=False))
    numbers = rng.standard_normal((20, 10))
    found, wanted = (one.parameters(numbers) for one in (home.shifted(0, shift), there))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    assert np.abs(home.parameters(numbers) - wanted).max() > 1e-3
    assert shift.bend == pytest.approx(0.4, rel=1e-6)
    assert levels is None  # no switches of arrays are known
