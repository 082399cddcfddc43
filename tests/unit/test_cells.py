"""Cells: their three faces agree, and nonsense is refused."""

import itertools
import math

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError

RNG = np.random.default_rng(3)
G = RNG.uniform(1e-6, 1e-4, (4, 3))
BIASED = BiasedPolynomial(
    RNG.normal(size=(3, 2, 4)) * 0.05 + [[[1, 0, 0, 0], [0, 0, 0, 0]], *[[[0] * 4] * 2] * 2],
    g_reference=2e-5,
    v_limits=(-1.0, 1.0),
    u_limits=(-0.5, 0.5),
)
CELLS = [
    Linear(),
    Sinh(2.5),
    Polynomial([1.0, -0.1, 0.5]),
    Polynomial(RNG.uniform(0.1, 1, (4, 3, 5))),
    BIASED,
    Selected(i0=1e-9, v0=0.02, kappa=2.0),
    Selected(i0=1e-12, v0=0.015, gain=1.1),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_the_kernel_computes_the_current_that_numpy_does(cell):
    v = np.array([-0.3, -0.01, 0.2, 0.4])
    solution = Crossbar(G, cell=cell).solve(v, fields=True)
    np.testing.assert_allclose(solution.currents[0], cell.current(G, v[:, None]).sum(axis=0), rtol=1e-13)


def test_the_kernel_sees_the_bit_line_voltage():
    array = Crossbar(G, r_sense=1e3, cell=BIASED)
    v = np.array([0.3, 0.2, 0.4, 0.1])
    solution = array.solve(v, fields=True)
    u = solution.bit_line_voltages[0]
    assert u.min() > 0.01
    expected = BIASED.current(G, solution.cell_voltages[0], u)
    np.testing.assert_allclose(solution.currents[0], expected.sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(u, np.broadcast_to(1e3 * solution.currents[0], u.shape), rtol=1e-10)


@pytest.mark.parametrize("v", [1e-12, 1e-6, 1e-3, 0.1, 0.5, 3.0, 40.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_sinh_keeps_its_digits_from_small_to_large(v, sign):
    current = Crossbar([[1e-5]], cell=Sinh(4.0)).solve([sign * v]).currents[0, 0]
    assert current == pytest.approx(sign * 1e-5 * math.sinh(4 * v) / 4, rel=2e-15)


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_the_slope_is_the_derivative(cell):
    v, u, h = 0.21, 0.05, 1e-5
    numeric = (cell.current(G, v + h, u) - cell.current(G, v - h, u)) / (2 * h)
    np.testing.assert_allclose(cell.slope(G, v, u), numeric, rtol=1e-8)


def test_a_biased_polynomial_is_its_formula():
    c = np.asarray(BIASED.coefficients)
    x = 2 * G / (G + 2e-5) - 1
    v, u = 0.3, -0.1
    expected = sum(
        G * c[a - 1, b, k] * v**a * u**b * np.cos(k * np.arccos(x)) for a in (1, 2, 3) for b in (0, 1) for k in range(4)
    )
    np.testing.assert_allclose(BIASED.current(G, v, u), expected, rtol=1e-12)


def test_shapes_broadcast():
    for cell in CELLS:
        assert cell.current(G, np.zeros((7, 4, 3))).shape == (7, 4, 3)
    for cell in (CELLS[0], CELLS[1], CELLS[2], BIASED):
        assert cell.current(1e-5, np.linspace(0, 1, 9)).shape == (9,)
        assert np.shape(cell.slope(1e-5, 0.1)) == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sinh(0.0),
        lambda: Sinh(math.nan),
        lambda: Selected(i0=0.0, v0=0.05),
        lambda: Selected(i0=1e-12, v0=math.inf),
        lambda: Selected(i0=1e-12, v0=0.05, kappa=-1.0),
        lambda: Selected(i0=1e-12, v0=0.05, v_limits=(0.1, 1.0)),
        lambda: Polynomial([]),
        lambda: Polynomial(np.ones((2, 2))),
        lambda: Polynomial([math.inf]),
        lambda: BiasedPolynomial(np.ones((2, 2)), 1e-5, (-1, 1), (-1, 1)),
        lambda: BiasedPolynomial(np.ones((1, 1, 1)), 0.0, (-1, 1), (-1, 1)),
        lambda: BiasedPolynomial(np.ones((1, 1, 1)), 1e-5, (0.1, 1), (-1, 1)),
        lambda: BiasedPolynomial(np.ones((1, 1, 1)), 1e-5, (-1, 1), (-1, math.inf)),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(SpecError):
        make()


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_a_netlist_line_is_lower_case_and_bounded(cell):
    k = cell.kernel(G).coefficients[1, 2]
    line = cell.element("cell_1_2", "wl_1_2", "bl_1_2", k, "v(bl_1_2)")
    assert line == line.lower()
    between = [word.split()[1:3] for word in line.splitlines()]
    assert (between[0][0], between[-1][1]) == ("wl_1_2", "bl_1_2")
    assert all(first[1] == then[0] for first, then in itertools.pairwise(between)), "elements in series"
    assert "np.float64" not in line
    assert isinstance(cell, Linear) or "min(" in line


@pytest.mark.parametrize(
    "law",
    [
        Selected(i0=1e-12, v0=0.045, kappa=1.0),
        Selected(i0=1e-15, v0=0.03),
        Selected(i0=1e-9, v0=0.1, kappa=3.0),
        Selected(i0=1e-5, v0=0.045, kappa=2.0),
    ],
)
def test_voltages_of_device_and_selector_add_up_to_that_of_the_cell(law):
    """Closed, half open and open, in numpy and in the kernel, for weak devices and strong ones."""
    g, v = np.geomspace(1e-7, 1e-3, 9), np.array([1e-6, 1e-3, 0.05, 0.3, 0.6, 0.8, 1.5, 3.0])
    v = np.concatenate([-v, [0.0], v])[:, None]
    current = law.current(g, v)
    np.testing.assert_allclose(law.voltage(g, current), np.broadcast_to(v, current.shape), rtol=1e-12, atol=1e-18)
    found = np.stack([Crossbar(g[None], cell=law).solve(one).currents[0] for one in v])
    np.testing.assert_allclose(found, current, rtol=1e-9)
    ahead, back = law.current(g, v + 1e-6), law.current(g, v - 1e-6)
    np.testing.assert_allclose(law.slope(g, v), (ahead - back) / 2e-6, rtol=1e-4)
    assert law.current(0.0, 2.0) == law.slope(0.0, 2.0) == 0
