"""The promise of the fast tier: no input errs more than it says, those least of all that were made to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicesim.behavioural.fast_tile import FastTile
from spicesim.calibration.patterns import random_conductances
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
        assert largest <= fast.max_error <= tolerance
        assert rms <= 2 * fast.rms_error + 1e-6  # what single precision costs


def hostile(rows, low, high, rng):
    """Return inputs that are rails in shapes that trials hold only some of: single rows, steps, bands, combs, noise."""
    row, off = np.arange(rows), min(max(0.0, low), high)
    edges = np.sort(rng.integers(0, rows + 1, (40, 2)), axis=1)
    masks = [
        row == row[:, None],
        (row >= edges[:, :1]) & (row < edges[:, 1:]),
        row < rng.integers(0, rows + 1, (10, 1)),
        row // rng.integers(1, 6, (10, 1)) % 2 == 0,
        rng.random((40, rows)) < rng.random((40, 1)),
    ]
    chosen = np.concatenate([part for mask in masks for part in (mask, ~mask)])
    pairs = [(high, low), (high, off), (off, low)]
    constant = np.array([[low] * rows, [off] * rows, [high] * rows])
    return np.concatenate([constant, *(np.where(chosen, one, other) for one, other in pairs)])


def made_worse(errors, vectors, low, high, steps=6):
    """Return the largest error after turning the rows over that make it larger, of errors (inputs, columns)."""
    found = errors(vectors)
    item, column = np.unravel_index(np.argmax(np.abs(found)), found.shape)
    vector, sign, largest = vectors[item], np.sign(found[item, column]), abs(found[item, column])
    for _ in range(steps):
        turned = np.where(np.eye(len(vector), dtype=bool), low + high - vector, vector)
        gains = sign * errors(turned)[:, column]
        if not gains.max() > largest:
            break
        vector, largest = turned[np.argmax(gains)], gains.max()
    return largest


@settings(max_examples=120, deadline=None)
@given(
    shape=st.sampled_from([(24, 40), (40, 1), (1, 20), (7, 33), (33, 7), (48, 48), (3, 3), (1, 1)]) | st.tuples(
        st.integers(1, 40), st.integers(1, 40)
    ),
    filling=st.sampled_from(["all g_max", "all g_min", "random", "sparse", "two levels"]),
    kappa=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]),
    resistance=st.sampled_from([0.0, 0.5, 2.0, 5.0, 20.0]),
    low=st.sampled_from([0.0, -0.2]),
    tolerance=st.sampled_from([3e-3, 1e-3, 1e-4]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_no_adversarial_input_errs_more_than_is_stated(shape, filling, kappa, resistance, low, tolerance, seed):
    rng = np.random.default_rng(seed)
    g = {
        "all g_max": np.full(shape, 1e-4),
        "all g_min": np.full(shape, 1e-6),
        "random": rng.uniform(1e-6, 1e-4, shape),
        "sparse": rng.uniform(1e-6, 1e-4, shape) * (rng.random(shape) < 0.3),
        "two levels": rng.choice([1e-6, 1e-4], shape),
    }[filling]
    cell = Sinh(kappa) if kappa else Linear()
    exact = Crossbar(g, resistance, resistance, r_driver=resistance, r_sense=2 * resistance, cell=cell)
    fast = FastCrossbar(exact, tolerance=tolerance, v_range=(low, 0.2))
    if fast.form == "exact" or fast.full_scale == 0:
        return

    def errors(v):
        return (fast.currents(v) - exact.solve(v, tolerance=1e-9).currents) / fast.full_scale

    assert made_worse(errors, hostile(shape[0], low, 0.2, rng), low, 0.2) <= fast.max_error <= tolerance


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("r_feedback", [5e3, 20e3, 80e3, 160e3])
@pytest.mark.parametrize("filling", ["all g_max", "all g_min", "random", "random far from the middle"])
def test_no_adversarial_codes_err_more_than_a_tile_states(gf180_calibration, polarity, r_feedback, filling):
    chip, rng = gf180_calibration.chip, np.random.default_rng(len(filling))
    g_min, g_max = chip.cell.g_min, chip.cell.g_max
    shapes = [(24, 32), (32, 1), (1, 20), (9, 17)]
    for shape, tolerance in [(shape, t) for shape in shapes for t in (2e-3, 5e-4)]:
        g = {
            "all g_max": np.full(shape, g_max),
            "all g_min": np.full(shape, g_min),
            "random": random_conductances(shape, g_min, g_max, rng, 0.25 * g_max),
            "random far from the middle": rng.choice([g_min, g_max], shape),
        }[filling]
        exact = gf180_calibration.tile(g, polarity, r_feedback)
        fast = FastTile(exact, tolerance=tolerance)
        if fast.form == "exact":
            continue
        top = 2**chip.dac.bits - 1
        zero = 0 if polarity == "unipolar" else (top + 1) // 2

        def errors(codes, fast=fast, exact=exact):
            codes = codes.astype(np.int64)
            return (fast.solve(codes).v_out - exact.solve(codes).v_out) / exact.senseamp.full_scale

        codes = hostile(shape[0], -zero, top - zero, rng) + zero
        assert made_worse(errors, codes, 0, top) <= fast.max_error <= tolerance
