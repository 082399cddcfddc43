"""Models elsewhere: polynomials in temperature through what was calibrated, and what a corner adds to them."""

import numpy as np
import pytest
from pydantic import ValidationError

from spicesim.behavioural.arrays import FloatArray, Model, mix_models
from spicesim.behavioural.elsewhere import Elsewhere


class Inner(Model):
    x: float


class Outer(Model):
    name: str
    count: int
    table: FloatArray
    parts: tuple[Inner, ...]
    by_name: dict[str, Inner]


def outer(scale):
    part = Inner(x=3.0 * scale)
    return Outer(name="a", count=2, table=scale * np.arange(6.0).reshape(2, 3), parts=(part,), by_name={"b": part})


def test_a_mixture_is_that_of_all_numbers_with_a_point_however_deep():
    mixed = mix_models([2.0, -1.0], [outer(1.0), outer(5.0)])
    wanted = outer(-3.0)
    assert (mixed.name, mixed.count, mixed.parts, mixed.by_name) == ("a", 2, wanted.parts, wanted.by_name)
    np.testing.assert_allclose(mixed.table, wanted.table, rtol=1e-15)


@pytest.fixture
def elsewhere():
    """A number that is 1 + t + t^2 at 0, -10, 10, and 7 more at a corner."""
    return Elsewhere[Inner](
        temperatures_c=(0.0, -10.0, 10.0), temperatures=(Inner(x=91.0), Inner(x=111.0)), corners={"ss": Inner(x=8.0)}
    )


@pytest.mark.parametrize("t", [-10.0, 0.0, 4.0, 10.0])
def test_numbers_follow_a_polynomial_in_temperature_and_corners_are_added(elsewhere, t):
    own = Inner(x=1.0)
    assert elsewhere.at(own, None, t).x == pytest.approx(1 + t + t**2, rel=1e-12)
    assert elsewhere.at(own, "ss", t).x == pytest.approx(8 + t + t**2, rel=1e-12)


def test_temperatures_have_one_model_each():
    with pytest.raises(ValidationError, match="one model each"):
        Elsewhere[Inner](temperatures_c=(0.0, 1.0), temperatures=(), corners={})
    with pytest.raises(ValidationError, match="must differ"):
        Elsewhere[Inner](temperatures_c=(0.0, 0.0), temperatures=(Inner(x=1.0),), corners={})
