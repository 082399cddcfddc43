"""The fast tier on floating bit lines."""

import numpy as np
import pytest

from spicesim import Crossbar
from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.fast_tile import FastTile
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.cells import Sinh
from spicesim.chip import Array
from spicesim.fast.expansion import Expansion
from spicesim.fast.floating import FLOATING_FORMS, FloatingOrders, build_floating


def _array(size, ohm, kappa=1.0, seed=0):
    g = np.random.default_rng(seed).uniform(1e-6, 5e-5, (size, size))
    return Crossbar(g, ohm, ohm, r_driver=50.0 * (ohm > 0), r_sense=np.inf, cell=Sinh(kappa=kappa))


def _vectors(rows, seed=1):
    v = np.random.default_rng(seed).choice([-0.2, 0.2], (60, rows))
    half = np.arange(rows) < rows // 2
    v[0], v[1] = 0.2, -0.2
    v[2], v[3], v[4] = np.where(half, 0.2, -0.2), np.where(half, -0.2, 0.2), -0.2
    v[4, -1] = 0.2
    return v


def test_without_wires_the_cheapest_form_is_exact_for_inputs_of_two_values():
    """Fourth order in the voltage of a line is all that is left out."""
    array, v = _array(24, 0.0), _vectors(24)
    form = build_floating(Expansion(array, -0.2, 0.2), FloatingOrders(1, 0, 4))
    truth = array.solve(v, tolerance=1e-11).foot_voltages
    assert np.abs(form.evaluate(v) - truth).max() <= 3e-6 * 0.2


def test_each_power_of_the_foot_leaves_less():
    array, v = _array(24, 0.0), _vectors(24)
    expansion, truth = Expansion(array, -0.2, 0.2), array.solve(v, tolerance=1e-11).foot_voltages
    errors = [
        np.abs(build_floating(expansion, FloatingOrders(1, 0, foot)).evaluate(v) - truth).max() / 0.2
        for foot in (2, 3, 4)
    ]
    assert errors[2] < 0.5 * errors[1] < 0.25 * errors[0] < 1e-2


@pytest.mark.parametrize("size", [16, 48])
def test_features_follow_what_wires_and_drivers_do(size):
    array, v = _array(size, 1.0), _vectors(size)
    expansion, truth = Expansion(array, -0.2, 0.2), array.solve(v, tolerance=1e-11).foot_voltages
    errors = [
        np.abs(build_floating(expansion, FloatingOrders(1, rank, 4)).evaluate(v) - truth).max() / 0.2 for rank in (0, 1)
    ]
    assert errors[1] <= 3e-4
    assert errors[1] < errors[0]


def test_inputs_between_two_values_take_higher_orders():
    array = _array(16, 1.0)
    v = np.random.default_rng(2).uniform(-0.2, 0.2, (60, 16))
    expansion, truth = Expansion(array, -0.2, 0.2), array.solve(v, tolerance=1e-11).foot_voltages
    errors = {
        order: np.abs(build_floating(expansion, FloatingOrders(order, 1, 4)).evaluate(v) - truth).max() / 0.2
        for order in (1, 3)
    }
    assert errors[3] <= 3e-4 < errors[1]


def test_forms_rise_in_cost_within_an_order_and_evaluate_nothing_for_no_vectors():
    costs = [form.cost for form in FLOATING_FORMS[:6]]
    assert costs == sorted(costs)
    form = build_floating(Expansion(_array(4, 1.0), -0.2, 0.2), FLOATING_FORMS[0])
    assert form.evaluate(np.empty((0, 4))).shape == (0, 4)


def _tile(size, seed=0):
    cell = CellModel(
        coefficients=np.array([1.0, 0.0, 0.1])[:, None, None], g_reference=1e-3, g_limits=(1e-6, 5e-5),
        v_limits=(-0.5, 0.5), u_limits=(-0.25, 0.25), v_read=0.1,
    )  # fmt: skip
    load = np.linspace(-5e-3, 5e-3, 5)
    dac = DacModel(
        polarity="bipolar", v_open=np.array([-0.2, 0.2]), knots=(0, 1), i_limit=5e-3,
        droop=np.stack([54.0 * load, 55.0 * load]),
    )  # fmt: skip
    hold = HoldModel(
        c_hold=250e-15, c_cell=5e-15, delay=0.2e-9, settle=100e-9, v_limit=0.21, v_span=0.2, rows=(size,), g_cell=5e-5,
        pedestals=np.full((1, 2, 1), 5e-3),
    )  # fmt: skip
    g = np.random.default_rng(seed).uniform(1e-6, 5e-5, (size, size))
    array = Array(rows=size, columns=size, r_word_line=1.0, r_bit_line=1.0)
    return BehaviouralTile(g, array=array, cell=cell, dac=dac, readout=hold)


@pytest.mark.parametrize("tolerance", [3e-3, 6e-4])
def test_a_fast_tile_of_floating_lines_keeps_its_promise(tolerance):
    tile = _tile(24)
    fast = FastTile(tile, tolerance=tolerance)
    assert fast.form.startswith("floating")
    codes = np.random.default_rng(5).integers(0, 2, (400, 24))
    errors = np.abs(fast.solve(codes).v_out - tile.solve(codes, tolerance=1e-10).v_out) / 0.2
    assert errors.max() <= fast.max_error <= tolerance


def test_a_fast_tile_that_no_form_follows_is_solved_exactly():
    tile = _tile(8)
    fast = FastTile(tile, tolerance=1e-9)
    assert fast.form == "exact"
    codes = np.random.default_rng(5).integers(0, 2, (20, 8))
    np.testing.assert_allclose(fast.solve(codes).v_out, tile.solve(codes).v_out, rtol=0, atol=1e-9 * 0.2)


def test_a_form_does_not_depend_on_threads():
    fast = FastTile(_tile(16), tolerance=3e-3)
    codes = np.random.default_rng(6).integers(0, 2, (700, 16))
    np.testing.assert_array_equal(fast.solve(codes).v_out, fast.solve(codes, threads=2).v_out)
