"""Bit planes added as charge against the transistors: whole tiles, networks and their audit, energy of the supplies."""

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate_blocks
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.hold import HELD
from spicesim.calibration.patterns import plane_vectors
from spicesim.calibration.plan import plan_calibration
from spicesim.calibration.plane_adder import JOINED
from spicesim.chip import preset
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.sampling import run_all

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
