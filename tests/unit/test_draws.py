"""Numbers of devices: normal, reproducible, and of each device its own."""

import numpy as np
import pytest
from scipy.stats import kstest

from spicesim.behavioural.response import Response
from spicesim.draws import ChipDraw

GOLDEN = [(0.2549571621853583, -0.2744594918659051), (-0.2913214009119869, -0.4063625695347732)]
"""Of numpy 2 on x86-64."""


def test_draws_are_the_same_again_and_of_another_chip_tile_or_device_others():
    draw = ChipDraw(7, "layer:0")
    assert draw("xa_1.m1") == ChipDraw(7, "layer:0")("XA_1.M1")
    others = [ChipDraw(8, "layer:0")("xa_1.m1"), ChipDraw(7, "layer:1")("xa_1.m1")]
    others += [draw(path) for path in ("xa_2.m1", "xa_1.m2", "xb_1.m1", "xa.m1", "m1", "xa_1_1.m1")]
    assert len({draw("xa_1.m1"), *others}) == 1 + len(others)


def test_draws_are_those_of_this_chip_everywhere():
    """A chip that was drawn once is the same on other machines and with later versions."""
    draw = ChipDraw(1, "layer:0")
    np.testing.assert_allclose(draw("xdac_3.xsw0.m1"), GOLDEN[0], rtol=1e-12)
    np.testing.assert_allclose(draw("xc_3_7.m1"), GOLDEN[1], rtol=1e-12)


@pytest.mark.parametrize(("stream", "paths"), [
    ("xdac", [f"xdac_{i}.xr2r.r5" for i in range(6)]),
    ("xc_3", [f"xc_3_{j}.xr2r.r5" for j in range(6)]),
])  # fmt: skip
def test_numbers_of_all_instances_are_those_of_each_by_its_path(stream, paths):
    draw = ChipDraw(5, "t")
    few, many = (draw.numbers(stream, "xr2r.r5", count) for count in (6, 400))
    np.testing.assert_array_equal(few, [draw(path) for path in paths])
    np.testing.assert_array_equal(few, many[:6])


def test_draws_are_normal_and_independent():
    values = np.stack([ChipDraw(3).numbers("xa", f"m{k}", 4000) for k in range(6)], axis=1).reshape(4000, 12)
    assert kstest(values.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(values.T) - np.eye(12)).max() < 4.5 / np.sqrt(4000)


def test_a_response_has_the_moments_of_what_it_draws():
    rng = np.random.default_rng(0)
    bends = 0.1 * rng.standard_normal((3, 2, 2))
    response = Response(
        block="xa", names=("a", "b", "c"), devices=("m1", "m2"), rest=rng.standard_normal(3),
        slopes=rng.standard_normal((3, 4)), directions=rng.standard_normal((2, 4)),
        bends=bends + bends.transpose(0, 2, 1), simulated=0,
    )  # fmt: skip
    drawn, told = response.draw(ChipDraw(1), 200_000), response.distribution
    np.testing.assert_allclose(drawn.mean(axis=0), told.mean, atol=5 * told.sigma.max() / np.sqrt(200_000))
    np.testing.assert_allclose(np.cov(drawn.T), told.covariance, rtol=0.05, atol=0.02 * told.covariance.max())
    again = Response.model_validate_json(response.model_dump_json())
    np.testing.assert_array_equal(again.draw(ChipDraw(1), 5), drawn[:5])


def test_a_block_without_devices_is_always_the_same():
    response = Response(
        block="xc", names=("r",), devices=(), rest=np.zeros(1), slopes=np.zeros((1, 0)),
        directions=np.zeros((1, 0)), bends=np.zeros((1, 1, 1)),
        simulated=0,
    )  # fmt: skip
    again = Response.model_validate_json(response.model_dump_json())
    np.testing.assert_array_equal(again.draw(ChipDraw(1), 4), np.zeros((4, 1)))
    assert again.distribution.sigma == 0
