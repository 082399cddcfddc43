"""Bit lines whose feet are open float at what their cells make of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicesim import Crossbar
from spicesim.cells import Sinh
from spicesim.errors import SpecError
from spicesim.ports import PortTables


def _array(seed, rows=9, columns=7, **more):
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-6, 5e-5, (rows, columns))
    more = {"r_word_line": 2.0, "r_bit_line": 3.0, "r_driver": 50.0, "r_sense": np.inf} | more
    return Crossbar(g, **more), rng.choice([-0.2, 0.0, 0.2], (20, rows))


def test_without_wires_a_foot_is_at_the_mean_of_its_inputs_weighed_by_conductances():
    array, v = _array(0, r_word_line=0.0, r_bit_line=0.0, r_driver=0.0)
    expected = v @ array.g / array.g.sum(axis=0)
    assert array.solve(v).foot_voltages == pytest.approx(expected, rel=1e-9, abs=1e-12 * 0.2)
    assert array.foot_matrix() == pytest.approx((array.g / array.g.sum(axis=0)).T, rel=1e-12)


@given(seed=st.integers(0, 10**6), kappa=st.sampled_from([0.01, 1.0, 4.0]), some=st.booleans())
@settings(max_examples=40, deadline=None)
def test_marching_and_nodal_analysis_find_the_same_open_feet(seed, kappa, some):
    """Nodal analysis sees them as bit lines broken below their last cell."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 12, 2)
    is_open = rng.random(columns) < 0.5 if some else np.full(columns, True)
    cell = Sinh(kappa=kappa)
    array, v = _array(seed, rows, columns, r_sense=np.where(is_open, np.inf, 7.0), cell=cell)
    segments = np.full((rows, columns), 3.0)
    segments[-1, is_open] = np.inf
    broken, found = array.changed(r_bit_line=segments, r_sense=7.0), array.solve(v, fields=True)
    truth = broken.solve(v, fields=True)
    assert np.abs(found.currents - truth.currents).max() <= 1e-9 * array.g.max() * 0.2
    assert np.abs(found.bit_line_voltages - truth.bit_line_voltages).max() <= 1e-9 * 0.2
    assert not found.currents[:, is_open].any()
    if is_open.any():
        assert np.abs(found.foot_voltages - truth.bit_line_voltages[:, -1])[:, is_open].max() <= 1e-9 * 0.2
        assert found.power.lost == pytest.approx(found.power.sources, rel=1e-6, abs=1e-9 * array.g.max() * 0.04)


def test_drivers_with_tables_move_the_feet_as_resistances_do():
    array, v = _array(3, cell=Sinh(kappa=2.0))
    line = PortTables.from_samples(np.linspace(-1e-3, 1e-3, 21), 20.0 * np.linspace(-1e-3, 1e-3, 21), name="driver")
    found = array.solve(v, drivers=line).foot_voltages
    truth = array.changed(r_driver=70.0).solve(v).foot_voltages
    assert np.abs(found - truth).max() <= 1e-9 * 0.2


def test_a_bit_line_without_cells_is_at_rest():
    array, v = _array(4)
    g = array.g.copy()
    g[:, 2] = 0.0
    assert not array.changed(g=g).solve(v).foot_voltages[:, 2].any()


def test_open_feet_take_no_amplifiers_and_no_second_ground():
    array, v = _array(5)
    table = PortTables.from_samples(np.linspace(-1e-3, 1e-3, 5), np.linspace(-1e-3, 1e-3, 5), name="amplifier")
    with pytest.raises(SpecError, match="open foot"):
        array.solve(v, senses=table)
    with pytest.raises(SpecError, match="r_sense must be finite"):
        Crossbar([[1e-5]], r_sense=np.inf, sense="both")
