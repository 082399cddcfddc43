"""The fast tier: the cheapest form within the tolerance, or the exact solver, with its error on its face."""

import numpy as np
import pytest

from spicesim.cells import Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.crossbar import FastCrossbar
from spicesim.fast.expansion import Expansion
from spicesim.fast.form import FORMS, FormOrders
from spicesim.fast.trial import held_out_inputs, measure


def array(cell, shape=(24, 16), resistance=1.0, seed=0):
    g = np.random.default_rng(seed).uniform(1e-6, 1e-4, shape)
    return Crossbar(g, resistance, resistance, r_driver=2.0, r_sense=3.0, cell=cell)


def test_linear_cells_need_one_product_with_the_transfer_matrix():
    exact = array(Linear())
    fast = FastCrossbar(exact, tolerance=1e-5, v_range=(-0.2, 0.2))
    v = np.random.default_rng(1).uniform(-0.2, 0.2, (5, 24))
    assert (fast.form, fast.cost) == ("rank 0, orders 1", 1)
    np.testing.assert_allclose(fast.currents(v), exact.currents(v), rtol=2e-5)


def test_without_wires_an_input_alone_decides_and_no_feature_is_needed():
    cell = Polynomial([1.0, 0.1, 0.3])
    exact = Crossbar(np.random.default_rng(0).uniform(1e-6, 1e-4, (24, 16)), cell=cell)
    fast = FastCrossbar(exact, tolerance=1e-5, v_range=(0.0, 0.2))
    v = np.random.default_rng(1).uniform(0.0, 0.2, (5, 24))
    assert fast.form == "rank 0, orders 3"
    np.testing.assert_allclose(fast.currents(v), cell.current(exact.g, v[:, :, None]).sum(axis=1), rtol=1e-5)


def test_the_cheapest_form_within_the_tolerance_is_taken():
    costs = []
    for tolerance in (1e-2, 1e-4, 3e-6):
        fast = FastCrossbar(array(Sinh(3.0)), tolerance=tolerance)
        costs.append(fast.cost)
        assert fast.max_error <= tolerance
        assert all(trial.max_error > tolerance for trial in fast.trials[:-1])
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_where_no_form_meets_the_tolerance_the_array_is_solved_exactly():
    exact = array(Sinh(30.0), resistance=20.0)
    fast = FastCrossbar(exact, tolerance=1e-6, v_range=(-0.2, 0.2))
    v = np.random.default_rng(1).uniform(-0.2, 0.2, (3, 24))
    assert (fast.form, fast.max_error, fast.cost) == ("exact", 0.0, np.inf)
    assert len(fast.trials) == len(FORMS)
    np.testing.assert_allclose(fast.currents(v), exact.solve(v).currents, rtol=0, atol=1e-6 * fast.full_scale)


def test_arrays_with_selectors_are_solved_exactly_and_nothing_is_tried():
    exact = array(Selected(i0=1e-9, v0=0.015))
    fast = FastCrossbar(exact)
    v = np.random.default_rng(1).uniform(0, 0.2, (3, 24))
    assert (fast.form, fast.trials) == ("exact", ())
    np.testing.assert_allclose(fast.currents(v), exact.solve(v).currents, rtol=0, atol=1e-5 * fast.full_scale)
    with pytest.raises(SpecError, match="needs cells with a kernel and no selector"):
        Expansion(exact, 0.0, 0.2)


def test_fields_beyond_the_memory_allowed_mean_exact(monkeypatch):
    monkeypatch.setattr("spicesim.fast.crossbar.FIELD_BYTES", 1000)
    fast = FastCrossbar(array(Sinh(3.0)))
    assert (fast.form, fast.trials) == ("exact", ())


@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "both"])
@pytest.mark.parametrize("is_broken", [False, True])
def test_ends_and_breaks_are_in_the_forms(drive, sense, is_broken):
    rng, (rows, columns) = np.random.default_rng(3), (14, 11)
    r_word = rng.uniform(5.0, 20.0, (rows, columns + (drive == "both")))
    r_bit = rng.uniform(5.0, 20.0, (rows + (sense == "both"), columns))
    if is_broken:
        r_word[3, 5] = r_word[9, 2] = r_bit[6, 4] = np.inf
    exact = Crossbar(
        rng.uniform(1e-6, 1e-4, (rows, columns)), r_word, r_bit, 2.0, 3.0, drive=drive, sense=sense,
        cell=Polynomial(rng.uniform([0.9, -0.1, 0.2], [1.1, 0.1, 0.6], (rows, columns, 3))),
    )  # fmt: skip
    fresh = held_out_inputs(rows, 0.0, 0.2, seed=9)
    reference = exact.solve(fresh).currents
    for tolerance in (2e-3, 1e-7):  # the second is beyond single precision, and solved exactly
        fast = FastCrossbar(exact, tolerance=tolerance)
        assert (fast.form == "exact") == (tolerance == 1e-7)
        assert measure(fast.currents(fresh), reference, fast.full_scale)[0] <= tolerance
    assert np.abs(reference - Crossbar(exact.g, cell=exact.cell).solve(fresh).currents).max() > 0.01 * fast.full_scale


@pytest.mark.parametrize("cell", [Linear(), Sinh(3.0)])
def test_gates_that_are_off_mean_exact(cell):
    exact = array(cell)
    fast = FastCrossbar(exact, tolerance=1e-3)
    rng = np.random.default_rng(4)
    v, mask = rng.uniform(0, 0.2, (20, 24)), rng.random((20, 24)) < 0.6
    found = fast.solve(v, mask=mask)
    assert (found.form, found.max_error, found.rms_error) == ("exact", 0.0, 0.0)
    reference = exact.solve(v, mask=mask).currents
    np.testing.assert_allclose(found.currents, reference, rtol=0, atol=1e-5 * fast.full_scale)
    np.testing.assert_array_equal(fast.currents(v[0], mask=mask[0]), fast.currents(v[:1], mask=mask[:1])[0])
    assert fast.solve(v).form == fast.form != "exact"
    with pytest.raises(SpecError, match="mask must"):
        fast.currents(v, mask=mask[:, 1:])


def test_the_result_tells_its_form_and_its_measured_error():
    fast = FastCrossbar(array(Sinh(3.0)), tolerance=1e-3)
    result = fast.solve(np.full(24, 0.1))
    assert result.currents.shape == (1, 16)
    assert (result.form, result.max_error, result.full_scale) == (fast.form, fast.max_error, fast.full_scale)
    assert 0 < result.rms_error < result.max_error <= 1e-3


def test_results_depend_neither_on_threads_nor_on_the_batch_and_repeat_for_a_seed():
    exact = array(Sinh(3.0))
    one, two = (FastCrossbar(exact, tolerance=1e-4, seed=3, threads=n) for n in (1, 2))
    v = np.random.default_rng(1).uniform(0.0, 0.2, (700, 24))
    assert one.trials == two.trials
    np.testing.assert_array_equal(one.currents(v, threads=2), one.currents(v))
    np.testing.assert_array_equal(one.currents(v), two.currents(v))


def test_single_precision_in_single_precision_out():
    fast = FastCrossbar(array(Sinh(3.0)))
    v = np.random.default_rng(1).uniform(0.0, 0.2, (5, 24))
    single = fast.currents(v.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, fast.currents(v), rtol=1e-5)
    assert fast.currents(v[0]).shape == (16,)
    assert fast.currents(v[:0]).shape == (0, 16)
    np.testing.assert_array_equal(fast.currents(v[:, ::-1]), fast.currents(v[:, ::-1].copy()))


def test_inputs_outside_the_range_are_refused_by_name():
    fast = FastCrossbar(array(Sinh(3.0)), v_range=(0.0, 0.2))
    v = np.full((300, 24), 0.1)
    v[280, 7] = 0.21
    with pytest.raises(ValidityError, match=r"row 7 .* 0\.21 V in batch item 280"):
        fast.currents(v)
    exact = FastCrossbar(array(Sinh(30.0), resistance=20.0), tolerance=1e-9)
    with pytest.raises(ValidityError, match="row 7"):
        exact.currents(v)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_inputs_that_are_no_numbers_are_refused(bad):
    fast = FastCrossbar(array(Sinh(3.0)))
    v = np.full((3, 24), 0.1)
    v[1, 2] = bad
    with pytest.raises(SpecError, match="finite"):
        fast.currents(v)


@pytest.mark.parametrize("v", [np.zeros((2, 23)), np.zeros((1, 2, 24)), "text", np.zeros((2, 24), complex)])
def test_wrong_inputs_are_refused(v):
    with pytest.raises(SpecError, match="v must"):
        FastCrossbar(array(Linear())).currents(v)


@pytest.mark.parametrize(
    "wrong", [{"tolerance": 0.0}, {"tolerance": np.nan}, {"v_range": (0.2, 0.0)}, {"v_range": (0.0, np.inf)}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SpecError):
        FastCrossbar(array(Linear()), **wrong)


def test_open_arrays_and_single_cells_are_legal():
    assert not FastCrossbar(Crossbar(np.zeros((3, 2)), 1.0, 1.0, cell=Sinh(3.0))).currents(np.full(3, 0.1)).any()
    one = Crossbar([[1e-4]], 10.0, 20.0, cell=Sinh(3.0))
    fast = FastCrossbar(one, tolerance=1e-5)
    np.testing.assert_allclose(fast.currents([[0.05], [0.2]]), one.currents([[0.05], [0.2]]), rtol=1e-4)


def test_forms_are_in_the_order_of_their_costs():
    costs = [form.cost for form in FORMS]
    assert costs == sorted(costs)
    assert FormOrders(2, (4, 2, 1, 0)).terms == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (3, 0)]
    assert FormOrders(2, (4, 2, 1, 0)).cost == 2 + 4 + 2 * 2 + 2 * 1 + 0


def test_more_orders_and_features_err_less():
    exact = array(Sinh(3.0), resistance=4.0)
    expansion = Expansion(exact, -0.2, 0.2)
    v = held_out_inputs(24, -0.2, 0.2, seed=5)
    reference = exact.solve(v).currents
    scale = np.abs(reference).max()
    errors = [
        measure(expansion.build(FormOrders(*form)).evaluate(v)[0], reference, scale)[0]
        for form in ((0, (1,)), (1, (3, 2, 0)), (3, (6, 4, 2, 0)))
    ]
    assert errors[0] > 20 * errors[1] > 20 * errors[2]


def test_held_out_inputs_hold_the_corners_and_stay_in_range():
    for low, high in ((0.0, 0.2), (-0.2, 0.2), (0.05, 0.2)):
        v = held_out_inputs(10, low, high, seed=1)
        assert (v.min(), v.max()) == (low, high)
        assert (v == high).all(axis=1).any()
        assert (v == max(low, 0.0)).all(axis=1).any()
        np.testing.assert_array_equal(v, held_out_inputs(10, low, high, seed=1))
        assert not np.array_equal(v, held_out_inputs(10, low, high, seed=2))
