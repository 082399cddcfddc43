"""Fast tiles: the exact tile's outputs within the tolerance, with drivers, amplifiers and rails."""

import gc
import re
import weakref

import numpy as np
import pytest

from spicesim.behavioural.fast_tile import APART, FastTile
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.patterns import code_vectors, random_conductances
from spicesim.calibration.tiles import choose_feedback
from spicesim.coding import AdcRange
from spicesim.engine import FastEngine, Tile
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.converting import clip_outputs

TOLERANCE = 5e-4


def conductances(calibration, shape, seed=0):
    cell = calibration.chip.cell
    return random_conductances(shape, cell.g_min, cell.g_max, np.random.default_rng(seed), 0.25 * cell.g_max)


def tile_of(calibration, polarity, saturating, shape=(32, 24)):
    g = conductances(calibration, shape)
    return calibration.tile(g, polarity, choose_feedback(calibration.chip, g, saturating=saturating))


@pytest.fixture(scope="module")
def plain(gf180_calibration):
    return tile_of(gf180_calibration, "unipolar", saturating=False)


@pytest.mark.parametrize("tolerance", [TOLERANCE, 1e-9], ids=["form", "exact"])
def test_totals_are_what_cells_conduct_and_leak(gf180_calibration, tolerance):
    fast = FastTile(tile_of(gf180_calibration, "bipolar", saturating=False, shape=(16, 8)), tolerance=tolerance)
    assert (fast.form == "exact") == (tolerance < 1e-6)
    codes = np.random.default_rng(2).integers(0, 256, (30, 16))
    state = fast.solve(codes)
    totals = state.currents + fast.tile.leaked(state.v_in)
    np.testing.assert_allclose(fast.totals(codes), totals, rtol=0, atol=1e-9 * fast.tile.senseamp.i_limit)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("saturating", [False, True])
def test_outputs_equal_the_exact_tile_within_the_tolerance(gf180_calibration, polarity, saturating):
    exact = tile_of(gf180_calibration, polarity, saturating)
    fast = FastTile(exact, tolerance=TOLERANCE)
    codes = np.stack(list(code_vectors(32, 8, 20, np.random.default_rng(9)).values()))
    state, reference = fast.solve(codes), exact.solve(codes)
    low, high = exact.senseamp.linear_limits
    beyond = ((reference.v_out < low) | (reference.v_out > high)).mean()
    assert (beyond > 0.02) == saturating
    assert fast.form != "exact"
    assert fast.max_error <= TOLERANCE
    scale = exact.senseamp.full_scale
    np.testing.assert_allclose(state.v_out, reference.v_out, rtol=0, atol=TOLERANCE * scale)
    np.testing.assert_allclose(state.v_word_line, reference.v_word_line, rtol=0, atol=2e-5)  # of 0.2 V
    row_scale = np.abs(reference.solution.row_currents).max()
    np.testing.assert_allclose(state.row_currents, reference.solution.row_currents, rtol=0, atol=0.03 * row_scale)


def test_lifted_inputs_are_solved_exactly_where_a_form_errs_too_much_on_them(gf180_calibration):
    """Inputs at the ends of their range drive columns of the largest feedback to a rail, and lift their inputs."""

    def made(**options):
        g = conductances(gf180_calibration, (32, 24))
        return FastTile(gf180_calibration.tile(g, "bipolar", 160e3), tolerance=3e-4, **options)

    fast = made()
    exact = fast.tile
    assert fast.form.endswith(APART)
    assert fast.max_error <= 3e-4 < fast.trials[0].max_error
    rng = np.random.default_rng(4)
    mild = 128 + rng.integers(-4, 5, (40, 32))
    harsh = np.array([[255] * 32, [0] * 32, [255] * 16 + [0] * 16, [0] * 16 + [255] * 16, [20] * 8 + [255] * 24])
    codes = rng.permutation(np.concatenate([mild, harsh, rng.integers(0, 256, (40, 32))]))
    found, truth = fast.outputs(codes), exact.solve(codes, tolerance=1e-10).v_out
    scale = exact.senseamp.full_scale
    assert np.abs(found - truth).max() <= fast.max_error * scale
    lifted = fast._model.outputs(codes, 1)[1]
    assert (fast.tally.products, fast.tally.solved) == (len(codes), np.count_nonzero(lifted))
    assert 5 <= np.count_nonzero(lifted) < len(codes)
    whole = made(kept=fast.numbers)
    np.testing.assert_array_equal(whole.outputs(codes), found)
    whole._model.limit = np.inf  # the form alone
    alone = np.abs(whole.outputs(codes) - truth)
    assert alone[lifted].max() > 3e-4 * scale
    assert alone[~lifted].max() <= fast.max_error * scale
    state = fast.solve(codes, threads=2)
    np.testing.assert_array_equal(state.v_out, found)
    totals = state.currents + exact.leaked(state.v_in)
    np.testing.assert_allclose(fast.totals(codes), totals, rtol=0, atol=1e-9 * exact.senseamp.i_limit)
    one_by_one = exact.solve(codes[lifted], tolerance=1e-10)
    np.testing.assert_allclose(state.v_in[lifted], one_by_one.v_in, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.v_word_line[lifted], one_by_one.v_word_line, rtol=0, atol=1e-5)


def test_a_narrow_converter_leaves_more_inputs_apart_rather_than_solve_all_exactly(gf180_calibration):
    """Beyond a range of .4 V many columns are at their rails, and what they do to others is large against it."""
    g, adc = conductances(gf180_calibration, (32, 24)), AdcRange(low=-0.2, high=0.2, bits=8)

    def made(**options):
        return FastTile(gf180_calibration.tile(g, "bipolar", 160e3), tolerance=2e-4, adc=adc, **options)

    fast = made()
    assert fast.form.endswith(APART)
    assert fast.max_error <= 2e-4
    assert any(trial.form.endswith(APART) and trial.max_error > 2e-4 for trial in fast.trials)
    rng = np.random.default_rng(5)
    levels = np.where(rng.random((60, 32)) < rng.random((60, 1)), 0, 255)
    codes = np.concatenate([128 + rng.integers(-6, 7, (60, 32)), rng.integers(0, 256, (60, 32)), levels])
    found = fast.outputs(codes)
    truth = fast.tile.solve(codes, tolerance=1e-10).v_out
    error = np.abs(clip_outputs(found, adc) - clip_outputs(truth, adc)).max()
    assert error <= fast.max_error * (adc.high - adc.low)
    whole = made(kept=fast.numbers)
    np.testing.assert_array_equal(whole.outputs(codes), found)
    assert whole.tally.solved == fast.tally.solved < len(codes)


def test_a_saturated_column_disturbs_the_others_as_in_the_exact_tile(gf180_calibration):
    """Without the coupling between columns the others would be off by far more than the tolerance."""
    g = conductances(gf180_calibration, (32, 24))
    g[:, :12] = gf180_calibration.chip.cell.g_max
    exact = gf180_calibration.tile(g, "unipolar", choose_feedback(gf180_calibration.chip, g, saturating=True))
    codes = np.full((1, 32), 200)
    reference = exact.solve(codes)
    low, high = exact.senseamp.linear_limits
    linear = (reference.v_out > low) & (reference.v_out < high)
    assert not linear[:, :12].any()
    fast = FastTile(exact, tolerance=TOLERANCE)
    assert fast.form != "exact"
    errors = np.abs(fast.solve(codes).v_out - reference.v_out) / exact.senseamp.full_scale
    assert errors.max() < TOLERANCE


def test_a_run_says_which_tiles_are_solved_exactly_and_what_tolerance_they_want(gf180_calibration):
    chip = gf180_calibration.chip

    def prepared(tolerance):
        rng = np.random.default_rng(4)
        engine = FastEngine(gf180_calibration, tolerance=tolerance)
        for name in ("a:0", "a:1", "b:0"):
            g = rng.uniform(*gf180_calibration.conductance_range, (16, 4))
            tile = Tile(name=name, g=g, polarity="unipolar", r_feedback=choose_feedback(chip, g, saturating=False))
            engine.prepare(tile)
        return engine

    (note,) = prepared(1e-7).notes
    assert "solves 3 of 3 tiles exactly" in note
    assert "2 of 'a', 1 of 'b'" in note
    wanted = float(re.search(r"--tolerance (\S+)", note)[1])
    assert prepared(wanted).notes == ()


def test_where_no_form_meets_the_tolerance_the_tile_is_solved_exactly(plain):
    fast = FastTile(plain, tolerance=1e-9)
    codes = np.random.default_rng(1).integers(0, 256, (3, 32))
    state = fast.solve(codes)
    assert (fast.form, state.form, state.max_error) == ("exact", "exact", 0.0)
    np.testing.assert_array_equal(state.v_out, plain.solve(codes).v_out)


def test_the_state_tells_its_form_and_error(plain):
    fast = FastTile(plain, tolerance=TOLERANCE)
    state = fast.solve(np.zeros((0, 32), int))
    assert state.v_out.shape == (0, 24)
    assert (state.form, state.max_error, state.rms_error) == (fast.form, fast.max_error, fast.rms_error)
    assert 0 < fast.rms_error < fast.max_error < TOLERANCE


def test_results_depend_neither_on_threads_nor_on_neighbours(gf180_calibration):
    exact = tile_of(gf180_calibration, "bipolar", saturating=True)
    one, two = (FastTile(exact, tolerance=1e-3, seed=2, threads=n) for n in (1, 2))
    codes = np.random.default_rng(1).integers(0, 256, (1500, 32))
    assert one.trials == two.trials
    together = one.solve(codes).v_out
    np.testing.assert_array_equal(together, two.solve(codes, threads=2).v_out)
    alone = np.concatenate([one.solve(codes[k : k + 1]).v_out for k in range(20)])
    np.testing.assert_allclose(together[:20], alone, rtol=0, atol=2e-6 * exact.senseamp.full_scale)


def test_currents_beyond_the_calibrated_tables_are_refused_by_name(plain, gf180_calibration):
    amplifier = plain.senseamp
    reached = float(np.abs(plain.solve(np.full((1, 32), 200)).solution.currents).max())
    half = int(np.ceil(reached / amplifier.i_limit * (len(amplifier.v_in) // 2)))
    middle = slice(len(amplifier.v_in) // 2 - half, len(amplifier.v_in) // 2 + half + 1)
    cut = amplifier.model_copy(
        update={
            "v_in": amplifier.v_in[middle],
            "v_out": amplifier.v_out[middle],
            "i_limit": float(amplifier.currents[middle][-1]),
        }
    )
    cut.__dict__.pop("_output", None)
    narrow = BehaviouralTile(
        plain.g, array=gf180_calibration.chip.array, cell=gf180_calibration.cell, dac=plain.dac, readout=cut
    )
    fast = FastTile(narrow, tolerance=1e-2)
    assert fast.form != "exact"
    assert fast.solve(np.full((1, 32), 190)).v_out.shape == (1, 24)
    for tile in (narrow, fast):
        with pytest.raises(ValidityError, match="sense amplifier of column"):
            tile.solve(np.full((1, 32), 255))


def test_a_tile_with_a_form_keeps_nothing_of_the_exact_solver_and_can_still_solve(gf180_calibration):
    exact, codes = tile_of(gf180_calibration, "bipolar", saturating=False), np.full((1, 32), 200)
    before = exact.solve(codes).v_out
    solver = weakref.ref(exact.crossbar)
    fast = FastTile(exact, tolerance=1e-2)
    assert fast.form != "exact"
    gc.collect()
    assert solver() is None
    np.testing.assert_array_equal(fast.tile.solve(codes).v_out, before)


@pytest.mark.parametrize("codes", [np.zeros((2, 31), int), np.full((1, 32), 256), np.full((1, 32), -1)])
def test_wrong_codes_are_refused(plain, codes):
    with pytest.raises(SpecError, match="codes must"):
        FastTile(plain, tolerance=TOLERANCE).solve(codes)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan])
def test_a_tolerance_must_be_positive(plain, tolerance):
    with pytest.raises(SpecError, match="tolerance"):
        FastTile(plain, tolerance=tolerance)


def test_the_engine_multiplies_like_the_exact_one(gf180_calibration):
    g = gf180_calibration.cell.read_conductance(conductances(gf180_calibration, (32, 24)))
    feedback = choose_feedback(gf180_calibration.chip, g, saturating=False)
    engine = FastEngine(gf180_calibration, tolerance=TOLERANCE)
    prepared = engine.prepare(Tile(name="one", g=g, polarity="unipolar", r_feedback=feedback))
    codes = np.random.default_rng(1).integers(0, 256, (50, 32))
    exact = prepared.model.tile
    assert engine.name == "fast"
    np.testing.assert_allclose(
        prepared.mvm(codes), exact.solve(codes).v_out, rtol=0, atol=TOLERANCE * exact.senseamp.full_scale
    )
