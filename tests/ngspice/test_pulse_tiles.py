"""Chips of pulses and integrators: calibrated, against whole tiles at transistor level, in networks."""

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.behavioural.fast_pulses import FastPulseTile
from spicesim.behavioural.integration import PulseTile
from spicesim.calibration.calibrate import calibrate, wanted_aspects
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.integrator import CHARGE, INPUT
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import Chip, preset
from spicesim.coding import AdcRange
from spicesim.engine import ExactEngine, FastEngine, IdealEngine, SampledMvm, Tile
from spicesim.errors import CalibrationError, SpecError, ValidityError
from spicesim.experiment.ablation import ablate_calibration

pytestmark = pytest.mark.long

LEVEL_1 = 1e-2
"""Level-1 transistors do not conserve charge: outputs follow time steps by so much of a small tile's full scale."""


def pulsed() -> Chip:
    """Return a generic chip of pulses, small and quick."""
    return preset("generic-1t1r").changed(
        array={"rows": 5, "columns": 4},
        cell={"g_max": 5e-6},
        dac={"kind": "pulse", "bits": 5, "unit": 2e-9, "v_span": 0.1},
        sense_amplifier={"kind": "integrator"},
        integrator={"capacitor": 1e-12, "r_input": 3230.0},
    )


@pytest.fixture(scope="module")
def calibration(calibrate_once) -> Calibration:
    """Return its calibration."""
    return calibrate_once("pulses", lambda: calibrate(pulsed(), quick=True, aspects=("energy",), error=2.5 * LEVEL_1))


def tile_of(calibration: Calibration, shape: tuple[int, int] = (5, 4), polarity: str = "unipolar") -> PulseTile:
    g = np.random.default_rng(shape).uniform(1e-6, 5e-6, shape)
    tile = calibration.tile(g, polarity, calibration.chip.settings[0])
    assert isinstance(tile, PulseTile)
    return tile


def test_whole_tiles_are_met_within_the_claim(calibration):
    assert calibration.checks
    assert max(check.max_error for check in calibration.checks) < LEVEL_1


def test_charges_of_a_real_process_are_known_to_five_hundredths_of_a_per_cent(calibrate_once):
    chip = preset("gf180-pulse").changed(
        array={"rows": 4, "columns": 4}, dac={"bits": 5, "unit": 2e-9}, integrator={"capacitor": 1e-12}
    )
    found = calibrate_once("pulses-gf180-4x4", lambda: calibrate(chip, quick=True, aspects=(), error=1e-3))
    assert max(check.max_error for check in found.checks) < 5e-4


def test_held_out_columns_are_met(calibration):
    assert calibration.held_out[CHARGE].max_error < LEVEL_1
    assert calibration.held_out[INPUT].max_error < 1e-4


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1), (3, 4)])
def test_fewer_points_change_little_and_all_points_nothing(calibration, shape, polarity):
    tile = tile_of(calibration, shape, polarity)
    codes = np.random.default_rng(1).integers(0, 32, (20, shape[0]))
    exact = tile.solve(codes).v_out
    np.testing.assert_array_equal(tile.solve(codes, points=shape[0]).v_out, exact)
    few = tile.solve(codes, points=2).v_out
    assert np.abs(few - exact).max() < 2e-4 * tile.readout.full_scale


def test_the_middle_code_of_both_signs_gives_next_to_nothing(calibration):
    tile = tile_of(calibration, polarity="bipolar")
    out = tile.solve(np.full((1, 5), 16)).v_out
    pedestals = tile.readout.pedestals("bipolar", np.full(4, 5), tile.g.sum(axis=0))
    assert np.abs(out - pedestals).max() < 5e-3 * tile.readout.full_scale


def test_a_fast_tile_keeps_its_promise(calibration):
    tile = tile_of(calibration, polarity="bipolar")
    fast = FastPulseTile(tile, tolerance=1e-3)
    codes = np.random.default_rng(2).integers(0, 32, (50, 5))
    error = np.abs(fast.solve(codes).v_out - tile.solve(codes).v_out).max() / tile.readout.full_scale
    assert fast.form != "exact"
    assert error <= fast.max_error <= 1e-3
    again = FastPulseTile(tile, tolerance=1e-3, kept=fast.numbers)
    assert (again.form, again.max_error, again.needed) == (fast.form, fast.max_error, fast.needed)
    np.testing.assert_array_equal(again.solve(codes).v_out, fast.solve(codes).v_out)
    for wrong in (5, 1000):
        with pytest.raises(SpecError, match="kept of a tile"):
            FastPulseTile(tile, kept={**fast.numbers, "taken": np.array(wrong)})


def test_engines_agree_with_the_ideal_one_but_for_a_per_cent(calibration):
    g = np.random.default_rng(3).uniform(1.2e-6, 4.5e-6, (5, 4))
    tile = Tile(name="t", g=g, polarity="unipolar", r_feedback=calibration.chip.settings[0])
    codes = np.random.default_rng(4).integers(0, 32, (10, 5))
    ideal = IdealEngine(calibration.chip).prepare(tile).mvm(codes)
    for engine in (ExactEngine(calibration), FastEngine(calibration)):
        out = engine.prepare(tile).mvm(codes)
        out = out - out.mean(axis=0) + ideal.mean(axis=0)  # but for pedestals
        assert np.abs(out - ideal).max() < 0.05 * np.abs(ideal).max()


def test_an_audit_finds_the_exact_engine_right(calibration):
    g = np.random.default_rng(5).uniform(1.2e-6, 4.5e-6, (3, 2))
    adc = AdcRange(low=-0.5, high=0.5, bits=8)
    tile = Tile(name="t", g=g, polarity="bipolar", r_feedback=calibration.chip.settings[0], adc=adc)
    ready, codes = ExactEngine(calibration).prepare(tile), np.array([31, 0, 9])
    (volts,) = ready.mvm(codes[None])
    audit = audit_samples([SampledMvm.of(ready, codes, volts, layer="l")], calibration, jobs=1)
    assert audit.max_error < LEVEL_1


def test_energy_is_positive_and_the_amplifiers_take_most(calibration):
    tile = tile_of(calibration)
    energy = calibration.require_energy()
    codes = np.array([[0] * 5, [31] * 5])
    found = energy.tile_energy(tile, codes, tile.solve(codes), tile.readout.product("unipolar"), conversions=0)
    assert (found["amplifier"] > found["dac"] + found["array"]).all()
    assert found["dac"][1] > found["dac"][0] >= 0
    assert found["array"][1] > 0


def test_more_rows_than_were_calibrated_are_refused(calibration):
    with pytest.raises(ValidityError, match="lines of up to 5 cells"):
        calibration.tile(np.full((6, 2), 2e-6), "unipolar", calibration.chip.settings[0])


def test_codes_beyond_the_longest_pulse_are_refused(calibration):
    with pytest.raises(SpecError, match=r"0\.\.31"):
        tile_of(calibration).solve(np.full((1, 5), 32))


def test_what_needs_amplifiers_is_refused_by_name(calibration):
    with pytest.raises(CalibrationError, match="integrators read this chip"):
        calibration.senseamp(calibration.chip.settings[0])
    with pytest.raises(SpecError, match="no aspect 'settling' yet"):
        wanted_aspects(plan_calibration(pulsed(), aspects=("settling",), quick=True))


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_a_chip_without_its_imperfections_is_the_ideal_one(calibration, polarity):
    bare = ablate_calibration(calibration, ())
    g = np.random.default_rng(6).uniform(1.2e-6, 4.5e-6, (5, 4))
    tile = Tile(name="t", g=g, polarity=polarity, r_feedback=bare.chip.settings[0])
    codes = np.random.default_rng(7).integers(0, 2**bare.chip.dac.bits, (6, 5))
    ideal = IdealEngine(bare.chip).prepare(tile).mvm(codes)
    np.testing.assert_allclose(ExactEngine(bare).prepare(tile).mvm(codes), ideal, rtol=0, atol=1e-12 * abs(ideal).max())


def test_energy_at_few_operating_points_is_that_at_all_of_them(calibration, monkeypatch):
    """Of sparse inputs with some at both ends, too, which quadrature alone misses by per cents."""
    rng = np.random.default_rng(8)
    tile = calibration.tile(rng.uniform(1e-6, 5e-6, (5, 2)), "unipolar", calibration.chip.settings[0])
    codes = np.where(rng.random((12, 5)) < 0.4, rng.integers(1, 32, (12, 5)), rng.choice([0, 31], (12, 1)))
    energy, duration = calibration.require_energy(), tile.readout.product("unipolar")
    wanted = energy.tile_energy(tile, codes, tile.solve(codes), duration, conversions=0)
    monkeypatch.setattr("spicesim.behavioural.integration.MANY_ROWS", 2)
    monkeypatch.setattr("spicesim.behavioural.integration.POINTS", 2)
    found = energy.tile_energy(tile, codes, tile.solve(codes), duration, conversions=0)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-3, atol=2e-3 * wanted[name].max())
