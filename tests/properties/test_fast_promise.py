"""The promise of the fast tier: what it measured at its preparation holds for inputs it has never seen."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Sinh
from spicesim.crossbar import Crossbar
from spicesim.fast.crossbar import FastCrossbar
from spicesim.fast.trial import held_out_inputs, measure

BIASED = BiasedPolynomial(
    np.array([[[1.0, 0.05], [0.05, 0.02]], [[0.02, 0.01], [0.03, 0.0]], [[0.1, 0.02], [0.0, 0.01]]]),
    5e-5,
    (-1.0, 1.0),
    (-1.0, 1.0),
)
CELLS = st.sampled_from([Linear(), Sinh(1.0), Sinh(4.0), Polynomial([1.0, -0.1, 0.4]), BIASED])


@settings(max_examples=60)
@given(
    rows=st.integers(1, 48),
    columns=st.integers(1, 40),
    cell=CELLS,
    resistance=st.sampled_from([0.0, 0.5, 2.0, 8.0]),
    low=st.sampled_from([0.0, -0.2, -0.05]),
    tolerance=st.sampled_from([1e-2, 1e-3, 1e-4]),
    sparsity=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**31),
)
def test_fresh_inputs_err_less_than_the_tolerance(rows, columns, cell, resistance, low, tolerance, sparsity, seed):
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-6, 1e-4, (rows, columns)) * (rng.random((rows, columns)) >= sparsity)
    exact = Crossbar(g, resistance, resistance, r_driver=resistance, r_sense=2 * resistance, cell=cell)
    fast = FastCrossbar(exact, tolerance=tolerance, v_range=(low, 0.2), seed=seed)
    fresh = held_out_inputs(rows, low, 0.2, seed + 1, random=60)
    largest, rms = measure(fast.currents(fresh), exact.solve(fresh, tolerance=1e-9).currents, fast.full_scale)
    assert largest <= tolerance
    if fast.form != "exact":
        assert largest <= 2 * fast.max_error + 1e-6  # what single precision costs
        assert rms <= 2 * fast.rms_error + 1e-6
