"""Bit planes added as charge against the transistors: whole tiles, drawn and anywhere, networks, energy, noise."""

from dataclasses import replace

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate_blocks
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.hold import HELD, plan_hold
from spicesim.calibration.hold_elsewhere import holds_elsewhere
from spicesim.calibration.mismatch import calibrate_mismatch
from spicesim.calibration.mismatch_bench import with_chip_mismatch
from spicesim.calibration.noise import integrate_noise
from spicesim.calibration.patterns import plane_vectors
from spicesim.calibration.plan import plan_calibration
from spicesim.calibration.plane_adder import JOINED, read_sums
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile
from spicesim.netlist.netlist import build_netlist
from spicesim.netlist.noise import build_noise
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.plane_adder import adder_blocks, adder_line, build_plane_sums
from spicesim.netlist.sense_amplifier import supplies
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

SPAN = 0.2
LEVEL_1 = 5e-3
"""Level-1 transistors do not conserve charge: what a switch holds follows time steps by so much of full scale."""
GF180 = preset("gf180-voltage").changed(
    array={"rows": 4, "columns": 5}, dac={"bits": 3}, hold={"planes": "charge", "settle": 3e-7}, adc={"kind": "ideal"}
)  # fmt: skip
GENERIC = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 3}, sense_amplifier={"kind": "voltage"},
    hold={"settle": 150e-9, "planes": "charge"}, adc={"bits": 6},
)  # fmt: skip


def blocks(chip, *, energy=False):
    campaign = Campaign(quick=True)
    found = calibrate_blocks(plan_calibration(chip, quick=True, aspects=(), error=1.0), campaign)
    return found.model_copy(update={"energy": calibrate_energy(found, campaign)}) if energy else found


@pytest.fixture(scope="module")
def real(calibrate_once):
    return calibrate_once("added-planes-gf180-4x5", lambda: blocks(GF180))


@pytest.fixture(scope="module")
def drawn(real, calibrate_once):
    def found():
        return real.model_copy(update={"mismatch": calibrate_mismatch(real, Campaign(quick=True))})

    return calibrate_once("added-planes-drawn-gf180-4x5", found)


@pytest.fixture(scope="module")
def generic(calibrate_once):
    return calibrate_once("added-planes-8x4", lambda: blocks(GENERIC, energy=True))


def tile(calibration, shape, polarity="bipolar", seed=0):
    g = np.random.default_rng(seed).uniform(*calibration.conductance_range, shape)
    return Tile(name="a", g=g, polarity=polarity, r_feedback=1.0)


def test_joined_capacitors_of_a_real_process_are_known_to_a_millionth(real):
    assert real.held_out[JOINED].max_error <= 1e-6
    assert real.held_out[HELD].max_error <= 2e-4


@pytest.mark.parametrize("shape", [(4, 2), (3, 5), (1, 3)])
def test_planes_that_are_far_apart_add_up_as_the_transistors_have_them(real, shape):
    """All rows alternate from bit to bit, each half against the other, the highest and the lowest bit alone."""
    vectors = plane_vectors(shape[0], 3)
    codes = np.stack([vectors["bits alternate"], vectors["highest bit alone"], vectors["bits and rows alternate"]])
    made = tile(real, shape)
    measured = NgspiceEngine(real).prepare(made).mvm(codes)
    model = ExactEngine(real).prepare(made).model
    left = real.hold.unsettled(model.g.sum(axis=0), shape[0])
    # few cells share the charge by what each of them is; lines of 16 and more are held ten times better
    errors = np.abs(model.solve(codes).v_out - measured).max(axis=0) / SPAN
    assert (errors <= 1e-3 + 0.06 * left).all()
    assert (left.max() > 0.1) == (shape[0] == 1)  # a single small cell is still on its way


@pytest.mark.parametrize("seed", [1, 2])
def test_drawn_adders_are_known_by_the_seed_of_their_chip(drawn, seed):
    """Capacitors, both switches, drivers and cells of one tile: the model draws what the netlist draws."""
    vectors, made = plane_vectors(4, 3), tile(drawn, (4, 4), seed=seed)
    codes = np.stack([vectors["bits alternate"], vectors["bits and rows alternate"]])
    model, plain, circuit, nominal = (
        engine(drawn, mismatch_seed=at).prepare(made).mvm(codes)
        for engine in (ExactEngine, NgspiceEngine)
        for at in (seed, None)
    )
    assert np.abs(model - circuit).max() <= 5e-4 * SPAN
    # lines of 16 cells are known five times better
    moved, other = circuit - nominal, ExactEngine(drawn, mismatch_seed=seed + 10).prepare(made).mvm(codes)
    right, wrong = (np.abs(found - plain - moved).max() for found in (model, other))
    assert right <= 3e-4 * SPAN
    assert wrong > 2 * right


def test_what_an_adder_sums_on_a_drawn_chip_follows_from_its_devices(drawn):
    """Pairs of voltages that took no part in a fit, each joined by an adder of its own."""
    chip, adders = drawn.chip, drawn.mismatch.hold
    stored, sampled = np.array([0.15, -0.18, 0.02, 0.1]), np.array([-0.17, 0.11, 0.19, 0.1])
    draw = ChipDraw(7, "tile")
    netlist = replace(build_plane_sums(chip, stored, sampled), options=PRECISE)
    found = run_all([with_chip_mismatch(netlist, drawn, of) for of in (lambda path: (0.0, 0.0), draw)])
    (held, before, plain), (own_held, own_before, own) = (read_sums(chip, results, 4) for results in found)
    moved = drawn.hold.adder.joined(own_held, own_before) - drawn.hold.adder.joined(held, before)
    predicted = adders.joined(adders.response.draw(draw, 4), own_held, own_before)
    assert np.abs(own - plain - moved - predicted).max() <= 1e-5 * SPAN
    assert np.abs(predicted).max() > 1e-4 * SPAN


def test_adders_elsewhere_follow_from_few_conditions():
    """At a corner and a temperature in no fit, against columns and pairs of voltages there."""
    chip = GF180.changed(array={"rows": 2, "columns": 2}, hold={"settle": 5e-7})
    campaign = Campaign(quick=True)
    own, there = (
        (plan, at, campaign.run(plan.netlists(at), "test"))
        for at in (chip, chip.at(corner="ss", temperature_c=85.0))
        for plan in (plan_hold(at, quick=True),)
    )
    nominal = own[0].fit(own[1], own[2]).model
    found, plan = holds_elsewhere(chip, nominal, campaign).at(nominal, "ss", 85.0), there[0]
    judged = plan.fit(there[1], there[2])
    held, joined = judged.test[HELD], judged.test[JOINED]
    points = list(zip(plan.test.v, plan.test.g, plan.test.rows, strict=True))
    here, plain = (
        np.array([float(model.held(v, g * rows, rows)) for v, g, rows in points]) for model in (found, nominal)
    )
    assert np.abs(here - held.measured).max() <= 5e-4 * SPAN < np.abs(plain - held.measured).max() / 5
    pairs = joined.coordinates["new plane [V]"], joined.coordinates["sum before [V]"]
    assert np.abs(found.adder.joined(*pairs) - joined.measured).max() <= 1e-5 * SPAN


def test_noise_of_joined_capacitors_is_that_of_half_of_one(real):
    """So the mean of two planes, which has kT/4C of either, has kT/C again, after any number of planes."""
    chip = real.chip
    high, reference = chip.process.supply, chip.sense_amplifier.v_reference
    sums = []
    for track in (0.0, high):  # joined and cut off from the line, or following it
        lines = [f"vtrack track 0 {track}", f"vshare share 0 {high}", "vin in vref 0", "iin 0 out dc 0 ac 1"]
        lines.append(adder_line(chip, "hold", "in", "held", "out"))
        netlist = build_netlist(
            chip, "an adder", [*adder_blocks(chip), supplies(chip), "\n".join(lines)],
            ["frequency"], notes=["Its noise."], analyses=[".ac dec 20 1k 1e13"],
            nodesets={"held": reference, "out": reference},
        )  # fmt: skip
        (results,) = run_all([build_noise(netlist, "out", "iin")])
        sums.append(np.sqrt(integrate_noise(results)))
    joined, following = sums
    wanted = real.hold.noise(chip.hold.capacitor, chip.process.temperature_c)
    assert following == pytest.approx(wanted, rel=0.02)
    assert joined == pytest.approx(wanted / np.sqrt(2), rel=0.02)
    assert joined**2 + 2 * wanted**2 / 4 == pytest.approx(wanted**2, rel=0.02)


def test_energy_is_that_of_the_supplies(generic):
    """Of the supply and both levels, while planes follow each other."""
    energy, ready = generic.require_energy(), NgspiceEngine(generic)
    prepared = ready.prepare(tile(generic, (8, 4), seed=3))
    codes = np.array([[1, 2, 3, 0, 1, 2, 3, 3]])  # whose last bit is at rest, as drivers end
    (netlist,) = ready.netlists(prepared, codes)
    (results,) = run_all([netlist])
    vectors = {name: vector.real for name, vector in results[0].vectors.items()}
    power = 3.3 * -vectors["i(vdd)"] + SPAN * -vectors["i(vhi)"] - SPAN * -vectors["i(vlo)"]
    measured = float(np.trapezoid(power, vectors["time"]))
    model = prepared.model
    parts = energy.tile_energy(model, codes, model.solve(codes), 1e-6, conversions=0)
    predicted = sum(float(part[0]) for part in parts.values())
    assert measured == pytest.approx(predicted, rel=0.1)


def test_a_network_takes_one_conversion_an_input_and_its_audit_ends_in_codes(generic):
    network = compile_network(digits_network("mlp"), generic)
    digits = load_digits()
    network.fit_ranges(digits.x_calibration)
    result = network.run(digits.x[:10], FastEngine(generic), sample=2, seed=1)
    assert {layer.pulses for layer in result.stats.layers} == {1}
    audit = audit_samples(result.samples, generic)
    assert audit.max_error <= 2 * LEVEL_1
    assert audit.codes[2] == 0
