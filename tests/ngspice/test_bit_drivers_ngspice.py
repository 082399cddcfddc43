"""Word lines driven a bit at a time, against the transistors."""

from dataclasses import replace

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.behavioural.mismatch import LevelMismatch
from spicesim.calibration.calibrate import calibrate
from spicesim.chip import preset
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, SampledEngine, Tile
from spicesim.network import compile_network, digits_network, load_digits

CHIP = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 4}, sense_amplifier={"r_feedback": (10e3, 80e3)}
)  # fmt: skip
SMALL = CHIP.changed(array={"rows": 4, "columns": 2}, sense_amplifier={"r_feedback": (40e3,)})


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    return calibrate_once("bits-8x4", lambda: calibrate(CHIP, quick=True, aspects=()))


@pytest.fixture(scope="module")
def aspects(calibrate_once):
    names = ("energy", "settling", "noise", "mismatch")
    return calibrate_once("bits-4x2", lambda: calibrate(SMALL, quick=True, aspects=names))


def test_each_level_has_its_own_resistance(calibration):
    dac = calibration.dacs["bipolar"]
    np.testing.assert_allclose(dac.v_open, [-0.2, 0.2], atol=1e-6)
    low, high = (float(np.interp(1e-5, dac.currents, droop)) / 1e-5 for droop in dac.droop)
    assert 40 < low < high < 100  # the n-channel half of the lower switch has more of its gate's voltage
    assert high - low > 1


def test_whole_tiles_are_those_of_the_transistors(calibration):
    assert {check.polarity for check in calibration.checks} == {"unipolar", "bipolar"}
    assert max(check.max_error for check in calibration.checks) < 2e-4
    linear = [check.max_error for check in calibration.checks if "linear" in check.name]
    assert max(linear) < 1e-5


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_planes_of_a_network_are_those_of_the_transistors(calibration, shift):
    x = load_digits().x[:4] - np.float32(shift)
    network = compile_network(digits_network("mlp"), calibration, x_calibration=x)
    assert network.ranges[0].polarity == ("bipolar" if shift else "unipolar")
    result = network.run(x, ExactEngine(calibration), sample=6)
    assert min(layer.snr_db for layer in result.stats.layers) > 15
    audit = audit_samples(result.samples, calibration)
    assert audit.max_error < 1e-5
    assert audit.codes[0] == 1


@pytest.mark.long
def test_energy_of_a_change_counts_the_sources_of_both_levels(aspects):
    unipolar, bipolar = (aspects.energy.dacs[polarity] for polarity in ("unipolar", "bipolar"))
    # the chain of inverters is the same, and its charge is most of it
    for dac in (unipolar, bipolar):
        assert dac.rise[0] == pytest.approx(4.3e-12, rel=0.05)
        assert dac.fall[0] == pytest.approx(dac.rise[0], rel=0.05)
        assert (dac.power_open < 1e-9).all()
    # a load takes its current from the level, vref + 0 or vref + v_span
    load = np.full(2, 1e-5)
    taken = unipolar.power(np.array([0, 1]), load) - unipolar.power_open
    np.testing.assert_allclose(taken, 1e-5 * np.array([1.65, 1.85]), rtol=1e-6)


def test_energies_of_whole_changes_are_those_of_the_sources(aspects):
    assert max(abs(check.energy_error) for check in aspects.settling.checks) < 0.04


def test_outputs_sampled_early_are_those_of_the_transistors(aspects):
    checks = aspects.settling.checks
    assert max(check.max_late for check in checks) < 3e-3
    assert max(check.max_settled for check in checks) < 1e-3
    g = np.random.default_rng(0).uniform(*aspects.conductance_range, (4, 2))
    tile, codes = Tile(name="a:0", g=g, polarity="bipolar", r_feedback=40e3), np.array([[1, 0, 1, 1]])
    early, circuit = SampledEngine(aspects, 15e-9), NgspiceEngine(aspects, t_read=15e-9)
    found, measured = (engine.prepare(tile).mvm(codes) for engine in (early, circuit))
    settled = ExactEngine(aspects).prepare(tile).mvm(codes)
    full_scale = aspects.senseamp(40e3).full_scale
    assert np.abs(found - measured).max() < 5e-3 * full_scale
    assert np.abs(settled - measured).max() > 10 * np.abs(found - measured).max()


def test_noise_is_that_of_the_blocks(aspects):
    assert aspects.noise.max_error < 0.02


def test_resistances_of_levels_follow_from_their_transistors(aspects):
    mismatch = aspects.mismatch.dacs["bipolar"]
    assert isinstance(mismatch, LevelMismatch)
    distribution = mismatch.response.distribution
    assert (distribution.sigma > 1e-3).all()
    assert (distribution.sigma < 1e-2).all()
    assert abs(distribution.correlation[0, 1]) < 0.01  # no transistor carries both levels
    assert mismatch.residual < 1e-6


def test_a_drawn_tile_has_drivers_of_its_own(aspects):
    g = np.full((4, 2), aspects.conductance_range[1])
    tile, codes = Tile(name="a:0", g=g, polarity="bipolar", r_feedback=40e3), np.array([[1, 0, 1, 1], [0, 0, 0, 1]])
    drawn, circuit, fast = (
        kind(aspects, mismatch_seed=2).prepare(tile).mvm(codes) for kind in (ExactEngine, NgspiceEngine, FastEngine)
    )
    full_scale = aspects.senseamp(40e3).full_scale
    assert np.abs(drawn - circuit).max() < 2e-4 * full_scale
    assert np.abs(drawn - fast).max() < 1e-4 * full_scale
    instance = aspects.mismatch.draw(4, 2, polarity="bipolar", r_feedback=40e3, seed=2, name="a:0")
    alike = replace(instance, driver_parameters=np.zeros_like(instance.driver_parameters))
    with_own, with_nominal = (aspects.tile(g, "bipolar", 40e3, instance=one).solve(codes) for one in (instance, alike))
    moved = np.abs(with_own.v_word_line - with_nominal.v_word_line).max(axis=0)
    assert (moved > 1e-7).all()
    assert len(set(moved)) == 4
