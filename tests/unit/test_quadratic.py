"""The quadratic part of an offset is found again in made-up offsets."""

from types import SimpleNamespace

import numpy as np
import pytest

from spicesim.behavioural.mismatch import LevelMismatch
from spicesim.behavioural.response import Response, Shift
from spicesim.calibration.elsewhere import _design, _shift
from spicesim.calibration.mismatch_bench import Planned
from spicesim.calibration.quadratic import DIRECTIONS, Quadratic, find_quadratic, moved_quadratic, with_quadratic

DEVICES = ("rf", "xa.m1", "xa.m2", "xa.m3", "xa.m4")
"""A resistor, which uses one number, and four transistors."""
SEED_ALONE = SimpleNamespace(campaign=SimpleNamespace(seed=3))
"""What of a bench is asked for."""


def made_up_offsets(numbers, directions, sizes):
    slopes = 1e-3 * np.linspace(-1, 1, numbers.shape[1])
    slopes[1] = 0.0  # what resistors do not use
    return 2e-6 + numbers @ slopes + (numbers @ directions.T) ** 2 @ sizes


def directions_of(count, seed):
    found = np.random.default_rng(seed).standard_normal((count, 2 * len(DEVICES)))
    found[:, 1] = 0.0
    return found


@pytest.mark.parametrize("count", [0, 1, 3, DIRECTIONS])
def test_a_form_of_few_directions_is_found_whole(count):
    directions, sizes = directions_of(count, 7), 1e-6 * np.array([4.0, -3.0, 2.0, 1.0, -0.6, 0.3])[:count]
    found = find_quadratic(SEED_ALONE, DEVICES, lambda planned: made_up_offsets(planned.numbers, directions, sizes))
    numbers = np.random.default_rng(8).standard_normal((50, 2 * len(DEVICES)))
    wanted = (numbers @ directions.T) ** 2 @ sizes
    np.testing.assert_allclose(found.of(numbers), wanted, rtol=1e-6, atol=1e-15)
    assert not found.directions[:, 1].any()


def test_two_directions_more_than_are_looked_for_leave_their_own_part():
    directions = np.linalg.qr(directions_of(8, 9).T)[0].T
    sizes = 1e-6 * np.array([8.0, -7.0, 6.0, 5.0, -4.0, 3.0, 0.2, -0.1])
    found = find_quadratic(SEED_ALONE, DEVICES, lambda planned: made_up_offsets(planned.numbers, directions, sizes))
    numbers = np.random.default_rng(8).standard_normal((2000, 2 * len(DEVICES)))
    rest = found.of(numbers) - (numbers @ directions.T) ** 2 @ sizes
    assert rest.std() < 1.5e-6
    assert rest.std() < 0.1 * found.of(numbers).std()


def test_the_same_circuit_in_another_block_bends_as_it_does():
    quadratic = Quadratic(directions_of(2, 5), np.array([1e-6, -2e-6]))
    others = ("xswitch.m1", "xbuffer.m4", "xbuffer.m3", "xbuffer.m1", "xbuffer.m2")
    moved = moved_quadratic(quadratic, DEVICES, others)
    numbers = np.random.default_rng(6).standard_normal((5, 2 * len(others)))
    own = np.zeros_like(numbers)
    for k, leaf in enumerate(("m1", "m2", "m3", "m4"), 1):
        place = others.index(f"xbuffer.{leaf}")
        own[:, 2 * k : 2 * k + 2] = numbers[:, 2 * place : 2 * place + 2]
    np.testing.assert_allclose(moved.of(numbers), quadratic.of(own), rtol=1e-12)
    assert not moved_quadratic(quadratic, DEVICES, others[:-1]).of(numbers[:, :8]).any()


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_a_response_bends_as_much_as_its_own_instances_do(scale):
    quadratic = Quadratic(directions_of(3, 5), 1e-6 * np.array([1.0, -2.0, 0.5]))
    numbers = np.random.default_rng(6).standard_normal((20, 2 * len(DEVICES)))
    design = Planned(devices=DEVICES, numbers=np.concatenate([numbers, -numbers]))
    slopes = np.random.default_rng(7).standard_normal((2, 2 * len(DEVICES)))
    bends = np.random.default_rng(8).standard_normal((2, 2, 2))
    plain = Response(
        block="xa", devices=DEVICES, names=("gain [1]", "offset [V]"), rest=np.zeros(2), slopes=slopes,
        directions=slopes, bends=bends + bends.transpose(0, 2, 1), simulated=len(design),
    )  # fmt: skip
    offsets = 3e-6 + design.numbers @ slopes[1] + scale * quadratic.of(design.numbers)
    found = with_quadratic(plain, 1, quadratic, design, offsets).parameters(design.numbers)
    np.testing.assert_allclose(found[:, 1], offsets, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[:, 0], plain.parameters(design.numbers)[:, 0], rtol=1e-9, atol=1e-12)


def test_what_a_condition_adds_is_told_from_instances_of_either_sign():
    """Products of numbers do not pass for shares of single ones, and how much the form grows is told beside them."""
    rng = np.random.default_rng(6)
    slopes, bends = rng.standard_normal((1, 2 * len(DEVICES))), rng.standard_normal((1, 3, 3))
    response = Response(
        block="xa", devices=DEVICES, names=("offset [V]",), rest=np.zeros(1), slopes=slopes,
        directions=directions_of(3, 5), bends=1e-2 * (bends + bends.transpose(0, 2, 1)), simulated=0,
    )  # fmt: skip
    shift = Shift(rest=0.3, slopes=0.1 * rng.standard_normal(2 * len(DEVICES)), bend=-0.2)
    design = _design(response, 0)
    added = (response.shifted(0, shift).parameters(design.numbers) - response.parameters(design.numbers))[:, 0]
    found = _shift(response, 0, design, added)
    np.testing.assert_allclose(found.slopes, shift.slopes, rtol=1e-9)
    assert found.rest == pytest.approx(shift.rest, rel=1e-9)
    assert found.bend == pytest.approx(shift.bend, rel=1e-9)


def test_where_no_device_has_a_share_a_condition_adds_alike():
    response = LevelMismatch.alike(DEVICES).response
    design = _design(response, 0)
    found = _shift(response, 0, design, np.full(len(design), 0.2))
    assert found.rest == pytest.approx(0.2)
    assert not found.slopes.any()
    assert not found.bend
