"""Rows turned on and off by their gates, against the transistors."""

import dataclasses

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate, calibrate_blocks
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy, step_sources, supply_power, tile_sources
from spicesim.calibration.plan import plan_calibration
from spicesim.calibration.tiles import predicted_nodesets, tile_netlist, tile_outputs
from spicesim.chip import preset
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile
from spicesim.errors import SpecError
from spicesim.netlist.step import CodeStep
from spicesim.netlist.tile import build_tile
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

CHIP = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 4}, sense_amplifier={"r_feedback": (10e3, 80e3)},
    cell={"inputs": "gate"}, word_line_driver={"width": 8e-6},
)  # fmt: skip


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    return calibrate_once("gates-8x4", lambda: calibrate(CHIP, quick=True, aspects=("parameters", "energy")))


def test_whole_tiles_are_those_of_the_transistors(calibration):
    assert {check.polarity for check in calibration.checks} == {"unipolar"}
    assert max(check.max_error for check in calibration.checks) < 2e-4
    linear = [check.max_error for check in calibration.checks if "linear" in check.name]
    assert max(linear) < 1e-5


def test_wires_do_not_drive_currents_back_through_rows_that_are_off(calibration):
    """Long bit lines rise by a tenth of the read voltage; rows at 0 V would draw percents of the output from them."""
    chip = CHIP.changed(array={"r_bit_line": 100.0, "r_word_line": 50.0})
    g, codes = np.full((8, 4), chip.cell.g_max), (np.arange(8) % 2)[None]
    tile = calibration.model_copy(update={"chip": chip}).tile(g, "unipolar", 10e3)
    state = tile.solve(codes)
    (found,) = run_all([tile_netlist(chip, tile, codes[0], state, 0)])
    measured = tile_outputs(chip, found, 4)
    np.testing.assert_allclose(state.v_out[0], measured, rtol=0, atol=2e-5 * tile.readout.full_scale)
    driven = tile.crossbar.solve(0.2 * codes, senses=tile.amplifiers.chosen).currents
    assert (driven < 0.99 * state.solution.currents).all()


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


def test_engines_agree(calibration):
    g = np.random.default_rng(0).uniform(*calibration.conductance_range, (5, 3))
    tile, codes = (
        Tile(name="a:0", g=g, polarity="unipolar", r_feedback=80e3),
        np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0]]),
    )
    exact, circuit, fast = (
        kind(calibration).prepare(tile).mvm(codes) for kind in (ExactEngine, NgspiceEngine, FastEngine)
    )
    full_scale = calibration.senseamp(80e3).full_scale
    assert np.abs(exact - circuit).max() < 1e-5 * full_scale
    assert np.abs(exact - fast).max() < 1e-4 * full_scale


def test_power_of_blocks_sums_to_that_of_the_supplies(calibration):
    g = np.random.default_rng(1).uniform(2e-6, 40e-6, (8, 4))
    tile, codes = calibration.tile(g, "unipolar", 10e3), np.array([np.ones(8, int), np.arange(8) % 2, np.zeros(8, int)])
    state, sources = tile.solve(codes), tile_sources(CHIP, "unipolar")
    probes = tuple(f"i({name})" for name in sources)
    netlists = [tile_netlist(CHIP, tile, own, state, k) for k, own in enumerate(codes)]
    found = run_all([dataclasses.replace(netlist, probes=probes) for netlist in netlists])
    measured = [float(supply_power(results, sources)[0]) for results in found]
    parts = calibration.energy.tile_power(tile, codes, state)
    np.testing.assert_allclose(sum(parts.values()), measured, rtol=1e-3)
    assert (np.abs(parts["dac"]) < 1e-7).all()  # gates take nothing at rest


def test_energy_of_a_change_of_rows_is_that_of_the_supplies(calibration):
    g = np.random.default_rng(2).uniform(2e-6, 40e-6, (8, 4))
    tile, t_read = calibration.tile(g, "unipolar", 10e3), 200e-9
    before, after = np.array([[0, 1, 0, 1, 1, 0, 0, 0]]), np.array([[1, 1, 1, 0, 0, 1, 0, 1]])
    state = tile.solve(before)
    step = CodeStep(before=before[0].tolist(), after=after[0].tolist(), stop=t_read, resolution=2e-9)
    netlist = build_tile(
        CHIP, g, step, polarity="unipolar", r_feedback=10e3, nodesets=predicted_nodesets(state, 0, CHIP)
    )  # fmt: skip
    (found,) = run_all([dataclasses.replace(netlist, options=f"{netlist.options} method=gear")])
    time = found[0].vectors["time"].real
    power = supply_power(found, tile_sources(CHIP, "unipolar") | step_sources(CHIP, time))
    measured = np.trapezoid(power, time) - power[0] * 1e-9
    parts = calibration.energy.tile_energy(
        tile, after, tile.solve(after), t_read, before=(before, state), conversions=0
    )
    np.testing.assert_allclose(sum(float(part[0]) for part in parts.values()), measured, rtol=0.02)


def test_gates_cost_what_their_capacitance_does(calibration):
    """A row's gates and the driver's own: a rise takes C V^2 of the row more than a driver without a row."""
    energy = calibration.energy.dacs["unipolar"]
    wide = CHIP.changed(array={"columns": 8})
    more = calibrate_blocks(plan_calibration(wide, quick=True, aspects=()), Campaign(quick=True))
    found = calibrate_energy(more, Campaign(quick=True)).dacs["unipolar"]
    area, oxide = 2e-6 * 0.31e-6, 3.45e-11 / 7e-9  # of a gate, without its overlaps
    cost = 4 * (area * oxide + 2 * 0.2e-9 * 2e-6) * 3.3**2
    assert found.rise[0] - energy.rise[0] == pytest.approx(cost, rel=0.35)
    assert abs(found.fall[0] - energy.fall[0]) < 0.2 * cost  # what a row stored goes to ground


def test_pairs_on_gates_are_those_of_the_transistors():
    chip = CHIP.changed(cell={"kind": "2t2r"})
    calibrated = calibrate(chip, quick=True, aspects=())
    assert max(check.max_error for check in calibrated.checks) < 2e-4


def test_a_drawn_tile_has_cells_and_amplifiers_of_its_own_and_drivers_alike(calibrate_once):
    small = CHIP.changed(array={"rows": 4, "columns": 2}, sense_amplifier={"r_feedback": (40e3,)})
    aspects = calibrate_once("gates-4x2", lambda: calibrate(small, quick=True, aspects=("mismatch",)))
    g = np.random.default_rng(2).uniform(*aspects.conductance_range, (4, 2))
    tile, kinds = Tile(name="a:0", g=g, polarity="unipolar", r_feedback=40e3), (ExactEngine, NgspiceEngine, FastEngine)
    codes = np.array([[1, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    drawn, circuit, fast = (kind(aspects, mismatch_seed=2).prepare(tile).mvm(codes) for kind in kinds)
    full_scale = aspects.senseamp(40e3).full_scale
    assert np.abs(drawn - circuit).max() < 1e-4 * full_scale
    assert np.abs(drawn - fast).max() < 1e-4 * full_scale
    nominal = ExactEngine(aspects).prepare(tile).mvm(codes)
    assert np.abs(drawn - nominal).max() > 1e-3 * full_scale
    instance = aspects.mismatch.draw(4, 2, polarity="unipolar", r_feedback=40e3, seed=2, name="a:0")
    assert not instance.driver_parameters.any()


def test_tiles_of_gates_in_climates_in_no_fit_are_those_of_the_transistors(calibrate_once):
    """Cells and amplifiers move with the temperature and the corner; the supply of the word lines does not."""
    small = CHIP.changed(array={"rows": 4, "columns": 2}, sense_amplifier={"r_feedback": (40e3,)})
    own = calibrate_once("gates-climate", lambda: calibrate(small, quick=True, aspects=("climate",)))
    assert len(own.climate.errors) == 6
    assert max(own.climate.errors.values()) < 1e-4
    slow, full_scale = own.at(corner="ss", temperature_c=85.0), own.senseamp(40e3).full_scale
    tile, codes = (
        Tile(name="a:0", g=np.full((4, 2), 20e-6), polarity="unipolar", r_feedback=40e3),
        np.array([[1, 1, 0, 1]]),
    )
    here, there, circuit = (
        kind(at).prepare(tile).mvm(codes)
        for kind, at in ((ExactEngine, own), (ExactEngine, slow), (NgspiceEngine, slow))
    )
    assert np.abs(there - circuit).max() < 2e-5 * full_scale
    assert np.abs(here - circuit).max() > 1e-4 * full_scale
    np.testing.assert_array_equal(slow.dacs["unipolar"].v_open, own.dacs["unipolar"].v_open)


@pytest.mark.parametrize("aspect", ["settling", "noise"])
def test_what_is_not_calibrated_for_gates_is_refused_by_name(aspect):
    with pytest.raises(SpecError, match=f"inputs drive gates there is no aspect '{aspect}'"):
        calibrate(CHIP, quick=True, aspects=(aspect,))
