"""Gradients by the adjoint agree with differences, and power balances, for every option."""

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError
from spicesim.ports import PortTables

BIASED = BiasedPolynomial(
    [[[0.9, 0.1], [0.2, -0.1], [0.05, 0.02]], [[0.2, -0.05], [0.1, 0.03], [0.0, 0.1]]],
    g_reference=2e-5,
    v_limits=(-0.5, 0.5),
    u_limits=(-0.3, 0.3),
)
CELLS = {
    "linear": Linear(), "sinh": Sinh(3.0), "polynomial": Polynomial([1.0, 0.2, 1.5]), "biased": BIASED,
    "selected": Selected(i0=1e-9, v0=0.02, kappa=2.0),
}  # fmt: skip


def case(kind, drive="left", sense="bottom", seed=0, shape=(6, 5)):
    rng = np.random.default_rng(seed)
    rows, columns = shape
    g = rng.uniform(1e-6, 1e-4, shape)
    g[1, 2] = 0.0
    options = {
        "r_word_line": rng.uniform(1, 50, (rows, columns + (drive == "both"))),
        "r_bit_line": rng.uniform(1, 50, (rows + (sense == "both"), columns)),
        "r_driver": rng.uniform(0, 20, rows),
        "r_sense": rng.uniform(0, 20, columns),
        "cell": CELLS[kind],
        "drive": drive,
        "sense": sense,
    }
    return g, options, rng.uniform(-0.3, 0.3, (4, rows)), rng.normal(size=(4, columns)), rng


def difference(f, x, dx):
    """Return the derivative of f along dx, of fourth order."""
    return (8 * (f(x + dx) - f(x - dx)) - (f(x + 2 * dx) - f(x - 2 * dx))) / 12


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "both"])
def test_gradients_agree_with_differences(kind, drive, sense):
    g, options, v, weights, rng = case(kind, drive, sense)
    grad_v, grad_g = Crossbar(g, **options).vjp(v, weights)

    def value(g, v):
        return (Crossbar(g, **options).solve(v, tolerance=1e-13).currents * weights).sum()

    dg, dv = rng.normal(size=g.shape) * g * 1e-3, rng.normal(size=v.shape) * 1e-4
    assert (grad_g * dg).sum() == pytest.approx(difference(lambda x: value(x, v), g, dg), rel=1e-6)
    assert (grad_v * dv).sum() == pytest.approx(difference(lambda x: value(g, x), v, dv), rel=1e-6)


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_gradients_and_power_hold_where_segments_are_broken(kind):
    g, options, v, weights, rng = case(kind)
    options["r_word_line"][2, 3] = options["r_bit_line"][4, 1] = np.inf
    grad_v, grad_g = Crossbar(g, **options).vjp(v, weights)
    dg, dv = rng.normal(size=g.shape) * g * 1e-3, rng.normal(size=v.shape) * 1e-4

    def value(g, v):
        return (Crossbar(g, **options).solve(v, tolerance=1e-13).currents * weights).sum()

    assert (grad_g * dg).sum() == pytest.approx(difference(lambda x: value(x, v), g, dg), rel=1e-6)
    assert (grad_v * dv).sum() == pytest.approx(difference(lambda x: value(g, x), v, dv), rel=1e-6)
    power = Crossbar(g, **options).solve(np.abs(v), fields=True).power
    np.testing.assert_allclose(power.lost, power.sources, rtol=1e-9)


def test_gradients_respect_the_mask_and_one_vector_stays_one():
    g, options, v, weights, _ = case("sinh")
    array = Crossbar(g, **options)
    mask = np.array([1, 0, 1, 1, 0, 1])
    grad_v, grad_g = array.vjp(v[0], weights[0], mask=mask)
    assert grad_v.shape == (6,)
    np.testing.assert_array_equal(grad_g[mask == 0], 0.0)
    np.testing.assert_array_equal(grad_v[mask == 0], 0.0)
    dg = np.zeros_like(g)
    dg[2, 1] = 1e-3 * g[2, 1]
    expected = difference(lambda x: Crossbar(x, **options).currents(v[0], mask=mask) @ weights[0], g, dg)
    assert (grad_g * dg).sum() == pytest.approx(expected, rel=1e-6)


def test_the_sensitivity_of_a_column_is_highest_in_that_column():
    g, options, v, _, _ = case("linear")
    sensitivity = Crossbar(g, **options).sensitivity(np.abs(v[0]), 3)
    assert sensitivity.shape == g.shape
    assert (np.abs(sensitivity).argmax(axis=1) == 3).all()


def test_larger_arrays_and_batches_have_gradients_too():
    g, options, _, _, rng = case("biased", shape=(40, 30))
    v, weights = rng.uniform(0, 0.1, (20, 40)), rng.normal(size=(20, 30))
    _, grad_g = Crossbar(g, **options).vjp(v, weights)
    dg = rng.normal(size=g.shape) * g * 1e-3
    expected = difference(lambda x: (Crossbar(x, **options).currents(v) * weights).sum(), g, dg)
    assert (grad_g * dg).sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("v", "grad"), [([0.1] * 6, [1.0] * 4), ([[0.1] * 6], [[1.0] * 5] * 2), ([0.1] * 6, [np.nan] * 5)]
)
def test_malformed_gradients_are_refused(v, grad):
    g, options, *_ = case("linear")
    with pytest.raises(SpecError, match="grad_currents"):
        Crossbar(g, **options).vjp(v, grad)
    with pytest.raises(SpecError, match="column"):
        Crossbar(g, **options).sensitivity([0.1] * 6, 5)


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "both"])
@pytest.mark.parametrize("count", [3, 20])
def test_power_balances(kind, drive, sense, count):
    g, options, _, _, rng = case(kind, drive, sense)
    options["r_word_line"][2, 1] = options["r_bit_line"][1, 3] = 0.0
    v = rng.uniform(0, 0.3, (count, 6))
    power = Crossbar(g, **options).solve(v, fields=True).power
    np.testing.assert_allclose(power.lost, power.sources, rtol=1e-9)
    for name in ("cells", "word_lines", "bit_lines", "drivers", "senses"):
        assert (getattr(power, name) > 0).all()


def test_power_balances_with_ports_and_masks():
    g, options, _, _, rng = case("sinh")
    v = rng.uniform(0, 0.3, (20, 6))
    grid = np.linspace(-1e-3, 1e-3, 201)
    senses = PortTables.from_samples(grid, 50 * grid + 1e8 * grid**3)
    drivers = PortTables.from_samples(grid, 5 * grid + 1e7 * grid**3)
    power = Crossbar(g, **options).solve(v, senses=senses, drivers=drivers, fields=True).power
    np.testing.assert_allclose(power.lost, power.sources, rtol=1e-9)
    masked = Crossbar(g, **options).solve(v, mask=rng.random((20, 6)) < 0.8, fields=True).power
    np.testing.assert_allclose(masked.lost, masked.sources, rtol=1e-9)


def test_gradients_scale_with_what_is_pulled_back_whatever_its_size():
    array = Crossbar([[1e-5, 2e-5], [3e-5, 1e-6]], 1.0, 1.0)
    one_v, one_g = array.vjp([0.1, 0.2], [1.0, -2.0])
    for size in (1e-290, 1e300):
        v, g = array.vjp([0.1, 0.2], [size, -2 * size])
        np.testing.assert_allclose(v / size, one_v, rtol=1e-9)
        np.testing.assert_allclose(g / size, one_g, rtol=1e-9)
