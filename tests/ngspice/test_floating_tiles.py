"""Floating bit lines against the transistors: hold switches, whole tiles, networks, audits that end in codes."""

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import conversions, read_outputs
from spicesim.calibration.hold import HELD
from spicesim.calibration.sar_elsewhere import converters_elsewhere
from spicesim.chip import preset
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile
from spicesim.errors import CalibrationError, SpecError
from spicesim.netlist import build_column, build_tile
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

CHIP = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 4}, sense_amplifier={"kind": "voltage"},
    hold={"settle": 150e-9}, adc={"kind": "sar", "bits": 6},
    sar_adc={"sample": 40e-9, "bit": 16e-9, "dac": {"span": 0.4}},
)  # fmt: skip
SPAN = 0.2
LEVEL_1 = 5e-3
"""Level-1 transistors do not conserve charge: what a switch holds follows time steps by so much of full scale."""


def test_charges_of_a_real_process_are_held_to_three_hundredths_of_a_per_cent(gf180_floating):
    """Whole tiles at transistor level, from rest in all rows to what is held; lines of more cells are held better."""
    assert gf180_floating.held_out[HELD].max_error <= 2e-4
    assert max(check.max_error for check in gf180_floating.checks) <= 3e-4


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    aspects = ("converter", "energy")
    return calibrate_once("floating-8x4", lambda: calibrate(CHIP, quick=True, aspects=aspects, error=2.5 * LEVEL_1))


def conductances(calibration, seed, shape=(8, 4)):
    return np.random.default_rng(seed).uniform(*calibration.conductance_range, shape)


def test_held_out_switches_and_whole_tiles_are_those_of_the_transistors(calibration):
    assert calibration.held_out[HELD].max_error <= LEVEL_1
    assert max(check.max_error for check in calibration.checks) <= LEVEL_1
    assert all(not np.any(check.saturated) for check in calibration.checks)


def test_lines_before_the_switch_opens_are_exact_to_a_thousandth_of_a_per_cent(calibration):
    """What is left out of an operating point of floating lines is the charge of the switch, and nothing else."""
    model = calibration.tile(conductances(calibration, 1), "bipolar", 1.0)
    codes = np.random.default_rng(2).integers(0, 2, (6, 8))
    codes[0], codes[1], codes[2] = 1, 0, np.arange(8) % 2
    state = model.solve(codes)
    netlists = [build_tile(CHIP, model.g, c, polarity="bipolar", r_feedback=1.0) for c in codes]
    found = [[r[0].vectors[f"v(out_{j})"][0].real for j in range(4)] for r in run_all(netlists)]
    errors = (state.v_in - (np.array(found) - CHIP.sense_amplifier.v_reference)) / SPAN
    assert np.abs(errors).max() <= 1e-5


def test_a_line_that_has_not_settled_is_held_on_its_way(calibration):
    """A column of smallest cells has an eighth of its way left."""
    g = np.full((4, 2), calibration.chip.cell.g_min)
    g[:, 1] = calibration.chip.cell.g_max
    model = calibration.tile(g, "bipolar", 1.0)
    assert 0.05 < calibration.hold.unsettled(g.sum(axis=0), 4)[0] < 0.6
    engine = NgspiceEngine(calibration)
    tile = Tile(name="a", g=calibration.cell.read_conductance(g), polarity="bipolar", r_feedback=1.0)
    codes = np.array([[1, 1, 1, 1], [1, 0, 1, 1]])
    measured, held = engine.prepare(tile).mvm(codes), model.solve(codes)
    assert np.abs(held.v_in - measured)[:, 0].max() > 0.02
    assert np.abs(held.v_out - measured).max() <= 0.01 * SPAN


def test_an_audit_ends_in_codes_of_converters_around_the_reference(calibration):
    network = compile_network(digits_network("mlp"), calibration)
    digits = load_digits()
    network.fit_ranges(digits.x_calibration)
    result = network.run(digits.x[:40], FastEngine(calibration), sample=3, seed=1)
    audit = audit_samples(result.samples, calibration)
    assert audit.max_error <= LEVEL_1
    assert audit.codes[0] >= 0.8
    assert audit.codes[2] == 0
    exact = network.run(digits.x[:40], ExactEngine(calibration))
    (fast,), (slow,) = result.outputs.values(), exact.outputs.values()
    assert np.mean(fast.argmax(axis=1) == slow.argmax(axis=1)) >= 0.95


def test_converters_around_the_reference_are_known_in_another_climate(calibration):
    """They look for outputs of both signs only, whatever the inputs."""
    at = calibration.model_copy(update={"chip": CHIP.at(corner="ss", temperature_c=85.0)})
    (found,) = converters_elsewhere(calibration, [at], Campaign(quick=True))
    volts = np.random.default_rng(0).uniform(-0.19, 0.19, 24)
    measured = read_outputs(run_all(conversions(at.chip, "unipolar", volts)), at.chip)
    differences = found.range("unipolar").codes(volts) - measured
    assert np.abs(differences).max() <= 1
    assert np.mean(differences == 0) >= 0.8


def test_energy_is_that_of_the_supplies(calibration):
    """From rest, until the switches have opened, and back: rails, supply, reference and control."""
    energy, g = calibration.require_energy(), conductances(calibration, 3)
    model = calibration.tile(g, "bipolar", 1.0)
    codes = np.random.default_rng(4).integers(0, 2, (1, 8))
    parts = energy.tile_energy(model, codes, model.solve(codes), 1e-6, conversions=0)
    assert set(parts) == {"dac", "array", "amplifier", "adc"}
    assert all((part >= 0).all() for part in parts.values())
    current = (model.solve(codes).solution.row_currents * np.where(codes == 1, SPAN, -SPAN)).sum()
    assert float(parts["array"][0]) == pytest.approx(current * calibration.hold.settle, rel=0.3)


def test_samples_at_another_time_and_amplifiers_are_refused(calibration):
    """An amplifier's output falls, a line rises: what reads the one would turn the sign of the other."""
    with pytest.raises(SpecError, match=r"hold\.settle"):
        NgspiceEngine(calibration, t_read=50e-9)
    with pytest.raises(CalibrationError, match="bit lines of this chip float"):
        calibration.senseamp(1.0)


def test_what_floating_lines_do_not_have_is_refused_by_name(calibration):
    with pytest.raises(SpecError, match="no aspect 'settling'"):
        calibrate(CHIP, aspects=("settling",))
    with pytest.raises(CalibrationError, match="no noise"):
        calibration.require_noise()
    with pytest.raises(SpecError, match="has no amplifiers"):
        _ = calibration.tile(conductances(calibration, 5), "bipolar", 1.0).senseamp


def test_a_tile_netlist_says_that_its_lines_float():
    text = build_tile(CHIP, np.full((2, 2), 1e-5), [1, 0], polarity="bipolar", r_feedback=1.0).format()
    assert "xhold_1" in text
    assert "track high: follow" in text
    assert ".subckt hold in out track" in text
    assert "xsenseamp" not in text


def test_a_column_floats_at_the_mean_of_its_inputs(calibration):
    g, v = np.array([2e-5, 1e-5, 4e-5]), np.array([0.1, -0.05, 0.2])
    (results,) = run_all([build_column(CHIP, g, v, 1.0)])
    out = results[0].vectors["v(out_0)"][0].real - CHIP.sense_amplifier.v_reference
    assert out == pytest.approx(v @ g / g.sum(), rel=0.05)  # transistors in series take some
