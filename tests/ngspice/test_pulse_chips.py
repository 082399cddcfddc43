"""Chips of pulses and integrators that are drawn, at other conditions, and their energy, against ngspice."""

import dataclasses

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.energy import supply_power, tile_sources
from spicesim.calibration.integrator import plan_integrator
from spicesim.calibration.integrator_elsewhere import integrators_elsewhere
from spicesim.calibration.tiles import tile_netlist
from spicesim.chip import Chip, preset
from spicesim.coding import rest_code
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile
from spicesim.netlist.pulses import PulseProduct, PulseSchedule
from spicesim.netlist.tile import build_tile
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

DRAWN = 1e-3
"""Largest error of an output, as a fraction of full scale: the simulator's time steps lose .3 fC, much for few rows."""


def small(**changes: object) -> Chip:
    """Return a chip of real transistors, small and quick."""
    sections: dict[str, object] = {
        "array": {"rows": 4, "columns": 4}, "dac": {"bits": 5, "unit": 2e-9}, "integrator": {"capacitor": 1e-12},
    }  # fmt: skip
    return preset("gf180-pulse").changed(**sections | changes)


@pytest.fixture(scope="module")
def drawn(calibrate_once):
    """The chip with its mismatch and energies."""
    chip = preset("gf180-pulse").changed(array={"rows": 8, "columns": 4}, integrator={"capacitor": 4e-12})
    return calibrate_once(
        "pulses-gf180-8x4-drawn", lambda: calibrate(chip, quick=True, aspects=("energy", "mismatch"), error=1e-3)
    )


def products(calibration, polarity, shape):
    """A tile and vectors: at random, all rows on, one alone, and halves of opposite sign."""
    low, high = calibration.conductance_range
    rng = np.random.default_rng(shape)
    g = rng.uniform(low, high, shape)
    g[:, 0] = high
    tile = Tile(name="layer:0", g=g, polarity=polarity, r_feedback=calibration.chip.settings[0])
    row, top = np.arange(shape[0]), 2**calibration.chip.dac.bits - 1
    rest = rest_code(polarity, calibration.chip.dac.bits)
    alone, halves = np.where(row == 0, top, rest), np.where(row % 2, top, 0)
    return tile, np.stack([rng.integers(0, top + 1, shape[0]), np.full(shape[0], top), alone, halves])


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_drawn_tiles_are_predicted_from_their_seed(drawn, polarity):
    tile, codes = products(drawn, polarity, (8, 3))
    circuit, model = (kind(drawn, mismatch_seed=3).prepare(tile).mvm(codes) for kind in (NgspiceEngine, ExactEngine))
    full, error = drawn.integrator.full_scale, np.abs(model - circuit).max()
    assert error <= DRAWN * full
    nominal = ExactEngine(drawn).prepare(tile).mvm(codes)
    assert np.abs(nominal - circuit).max() > 10 * error
    fast = FastEngine(drawn, mismatch_seed=3, tolerance=1e-3).prepare(tile).mvm(codes)
    np.testing.assert_allclose(fast, model, rtol=0, atol=1e-3 * full)


def test_integrators_spread_as_their_statistics(drawn):
    """Offsets by the pair and the mirrors of the amplifier, gains by the capacitor."""
    mismatch, options = drawn.mismatch, {"polarity": "unipolar", "r_feedback": drawn.chip.settings[0]}
    one, same, two = (mismatch.draw(4, 3, seed=s, name="a", **options).amplifier_parameters for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, two)
    many = mismatch.draw(1, 4000, seed=3, **options).amplifier_parameters
    assert mismatch.integrator.offsets(many).std() == pytest.approx(mismatch.integrator.sigma, rel=0.05)
    assert many[:, 0].std() == pytest.approx(drawn.chip.integrator.mismatch, rel=0.2)
    assert mismatch.integrator.residual < 0.05 * mismatch.integrator.sigma


def test_an_offset_makes_a_charge_of_a_line_that_has_none(drawn):
    """A line at rest carries the offset by its conductance for as long as the integrator runs."""
    chip, rows = drawn.chip, 8
    options = {"polarity": "unipolar", "r_feedback": chip.settings[0]}
    instance = drawn.mismatch.draw(rows, 3, seed=3, name="layer:0", **options)
    rest = np.zeros((1, rows), dtype=int)

    def added(g: float) -> np.ndarray:
        cells, setting = np.full((rows, 3), g), chip.settings[0]
        own, nominal = (drawn.tile(cells, "unipolar", setting, instance=blocks) for blocks in (instance, None))
        return (own.solve(rest).v_out - nominal.solve(rest).v_out)[0]

    low, high = added(chip.cell.g_min), added(chip.cell.g_max)
    siemens = rows * (chip.cell.g_max - chip.cell.g_min)
    charge = drawn.mismatch.integrator.offsets(instance.amplifier_parameters) * siemens
    expected = -charge * PulseSchedule.of_chip(chip, "unipolar").window.length / chip.integrator.capacitor
    np.testing.assert_allclose(high - low, expected, rtol=0.15, atol=1e-4)


def test_integrators_elsewhere_follow_from_few_conditions(monkeypatch):
    """At a corner and a temperature in no fit, against integrators that are calibrated there."""
    of = Conditions.of

    def at_ss(cls, chip, nodes, *at):
        return dataclasses.replace(of(chip, nodes, *at), corners=("ss",))

    monkeypatch.setattr(Conditions, "of", classmethod(at_ss))
    chip, campaign = small(array={"rows": 2, "columns": 2}), Campaign(quick=True)
    plan, there = plan_integrator(chip, quick=True), chip.at(corner="ss", temperature_c=85.0)
    own, refitted = (plan.fit_model(at, campaign.run(plan.fitted_netlists(at), "test")) for at in (chip, there))
    found = integrators_elsewhere(chip, own, campaign).at(own, "ss", 85.0)
    full = own.full_scale
    currents = np.linspace(-1, 1, 9) * 0.9 * own.port.i_limit
    volts, wanted, plain = (model.port.ports.evaluate(currents)[0] for model in (found, refitted, own))
    assert np.abs(volts - wanted).max() <= 1e-2 * np.abs(plain - wanted).max()
    for polarity in ("unipolar", "bipolar"):
        lines = polarity, [1, 2], [2e-6, 8e-6]
        # .3 fC, which time steps lose, are half a per cent of the charge of two rows
        assert np.abs(found.pedestals(*lines) - refitted.pedestals(*lines)).max() <= 5e-3 * full


def test_rows_together_make_of_a_full_column_what_single_rows_do():
    """Were groups at their far ends, the IR drop of 128 rows would be too large, and outputs off by a thousandth."""
    chip = preset("gf180-pulse").changed(adc={"kind": "ideal"})
    whole = plan_integrator(chip, quick=True).fits[-1]
    assert whole.code == 2**chip.dac.bits - 1
    column = whole.model_copy(update={"rows": whole.rows[-1:], "g": whole.g[-1:]})
    assert column.rows == (128,)
    together, alone = run_all([column.netlist(chip, together=own) for own in (True, False)])
    (_, _, grouped), (_, _, single) = (column.read(chip, results) for results in (together, alone))
    assert abs(single[0]) > 0.3
    assert grouped[0] == pytest.approx(single[0], rel=2e-4)


def test_integrators_hold_their_lines_with_the_current_that_a_sampling_switch_leaves():
    """The line of a tile with converters, in the middle of its pulses; 1 pF makes much of what hangs on an output."""
    chip, campaign = small(array={"rows": 2, "columns": 1}, adc={"kind": "sar"}), Campaign(quick=True)
    alone = chip.changed(adc={"kind": "ideal"})
    plans = [plan_integrator(own, quick=True) for own in (chip, alone)]
    with_switch, without = (
        plan.fit_model(own, campaign.run(plan.fitted_netlists(own), "test"))
        for plan, own in zip(plans, (chip, alone), strict=True)
    )
    tile = build_tile(chip, np.full((2, 1), 5e-6), [31, 31], polarity="unipolar", r_feedback=chip.settings[0])
    (results,) = run_all([dataclasses.replace(tile, probes=(*tile.probes, "v(sense_0)"))])
    schedule, vectors = PulseSchedule.of_chip(chip, "unipolar"), results[0].vectors
    at = schedule.start + 0.5 * schedule.lasts(31)
    line, current, out = (
        np.interp(at, vectors["time"].real, vectors[probe].real) for probe in ("v(sense_0)", "i(vsense_0)", "v(out_0)")
    )
    reference = chip.sense_amplifier.v_reference
    held, other = (
        model.port.ports.evaluate(np.array([current]))[0][0] - model.leak * (out - reference)
        for model in (with_switch, without)
    )
    assert held == pytest.approx(line - reference, rel=2e-3)
    assert other != pytest.approx(line - reference, rel=1e-2)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_energy_of_a_product_is_that_of_all_supplies(drawn, polarity):
    """From the reset to the read, references, levels and controls among them."""
    chip, energy = drawn.chip, drawn.require_energy()
    tile = drawn.tile(np.random.default_rng(6).uniform(1.2e-6, 4.5e-6, (8, 3)), polarity, chip.settings[0])
    codes, schedule = np.array([[255, 70, 0, 200, 1, 128, 90, 13]]), PulseSchedule.of_chip(chip, polarity)
    product, state = PulseProduct(codes=codes[0].tolist(), schedule=schedule), tile.solve(codes)
    controls = {name: {"vrst": "rst", "vrun": "run"}.get(name, name[1:]) for name in product.source_names}
    netlist = tile_netlist(chip, tile, codes[0], state, 0)
    more = [*(f"i({name})" for name in (*tile_sources(chip, polarity), "vgate", *controls)),
            *(f"v({node})" for node in controls.values())]  # fmt: skip
    netlist = dataclasses.replace(netlist, probes=tuple(dict.fromkeys([*netlist.probes, *more])))
    (found,) = run_all([netlist])
    vectors = found[0].vectors
    time = vectors["time"].real
    sources = tile_sources(chip, polarity) | {"vgate": chip.process.supply}
    power = supply_power(found, sources | {name: vectors[f"v({node})"].real for name, node in controls.items()})
    measured = np.trapezoid(power[time <= schedule.read], time[time <= schedule.read])
    parts = energy.tile_energy(tile, codes, state, schedule.read, conversions=0)
    assert sum(float(part[0]) for part in parts.values()) == pytest.approx(measured, rel=0.02)
