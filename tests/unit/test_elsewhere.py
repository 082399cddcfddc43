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


@pytest.mark.parametrize(
    "change",
    [
        {"table": np.zeros((2, 4))},
        {"parts": ()},
        {"by_name": {"c": Inner(x=1.0)}},
        {"by_name": {"b": Inner(x=1.0), "c": Inner(x=1.0)}},
    ],
)
def test_models_that_are_not_alike_cannot_be_mixed(change):
    for models in (
        [outer(1.0), outer(1.0).model_copy(update=change)],
        [outer(1.0).model_copy(update=change), outer(1.0)],
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's, zip's or ours
            mix_models([1.0, 1.0], models)


@pytest.fixture
def elsewhere():
    """A number that is 1 + t + t^2 at 0, -10, 10, 7 more at ss, and 2 t more at ff."""
    return Elsewhere[Inner](
        temperatures_c=(0.0, -10.0, 10.0),
        temperatures=(Inner(x=91.0), Inner(x=111.0)),
        corner_temperatures_c=(0.0, 5.0),
        corners={"ss": (Inner(x=8.0), Inner(x=38.0)), "ff": (Inner(x=1.0), Inner(x=41.0))},
    )


@pytest.mark.parametrize("t", [-10.0, 0.0, 4.0, 10.0])
def test_numbers_and_what_corners_add_to_them_follow_polynomials_in_temperature(elsewhere, t):
    own = Inner(x=1.0)
    for corner, wanted in ((None, 1 + t + t**2), ("ss", 8 + t + t**2), ("ff", 1 + 3 * t + t**2)):
        assert elsewhere.at(own, corner, t).x == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"temperatures": ()}, "one model each"),
        ({"temperatures_c": (0.0, 10.0, 10.0)}, "must differ"),
        ({"corner_temperatures_c": (5.0, 5.0)}, "must differ"),
        ({"corners": {"ss": (Inner(x=8.0),)}}, "one model a temperature"),
    ],
)
def test_temperatures_differ_and_have_one_model_each(elsewhere, change, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Elsewhere[Inner](**dict(elsewhere) | change)
