"""Buffers behind hold capacitors and shared converters, against the transistors: tiles, hand-over, macros, energy."""

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.behavioural.buffer import DrawnBuffers
from spicesim.calibration.buffer import FOLLOWED
from spicesim.calibration.buffer_mismatch import find_buffer_mismatch
from spicesim.calibration.calibrate import calibrate_blocks
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converters import calibrate_converters
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.mismatch_bench import MismatchBench, with_chip_mismatch
from spicesim.calibration.patterns import plane_vectors
from spicesim.calibration.plan import plan_calibration
from spicesim.calibration.plane_adder import JOINED
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.engine import ExactEngine, HandOverEngine, MacroBench, NgspiceEngine, SampledMvm, Tile
from spicesim.netlist.buffer import build_buffers
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

SPAN = 0.2
CHIP = preset("gf180-voltage").changed(
    array={"rows": 4, "columns": 4}, dac={"bits": 3}, hold={"settle": 3e-7, "buffer": "opamp"},
    adc={"bits": 5, "columns": 2},
)  # fmt: skip


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    def found():
        campaign = Campaign(quick=True)
        own = calibrate_blocks(plan_calibration(CHIP, quick=True, aspects=(), error=1.0), campaign)
        converter, energy = calibrate_converters(own, campaign), calibrate_energy(own, campaign)
        return own.model_copy(update={"converter": converter, "energy": energy})

    return calibrate_once("buffered-lines-gf180-4x4", found)


def tile(calibration, shape, polarity="bipolar", seed=0):
    g = np.random.default_rng(seed).uniform(*calibration.conductance_range, shape)
    adc = calibration.converter.range(polarity)
    return Tile(name="a", g=g, polarity=polarity, r_feedback=1.0, adc=adc)


def vectors(rows):
    found = plane_vectors(rows, 3)
    return np.stack([found["bits alternate"], found["highest bit alone"], found["bits and rows alternate"]])


def test_outputs_and_loads_of_buffers_are_known(calibration):
    assert calibration.held_out[FOLLOWED].max_error <= 1e-6
    assert calibration.held_out[JOINED].max_error <= 1e-4
    assert 5e-4 < abs(calibration.hold.buffer.added[0]) < 5e-3  # or it might as well be ideal


def test_a_balanced_pair_of_capacitors_counts_bits_by_halves(calibration):
    adder = calibration.hold.adder
    new, old = adder.joins[1, 0] / adder.v_limit, adder.joins[0, 1] / adder.v_limit
    assert new == pytest.approx(0.5, abs=5e-4)
    assert old == pytest.approx(0.5, abs=5e-4)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_tiles_put_out_what_their_buffers_do(calibration, polarity):
    made = tile(calibration, (4, 3), polarity, seed=3)
    measured = NgspiceEngine(calibration).prepare(made).mvm(vectors(4))
    model = ExactEngine(calibration).prepare(made)
    assert np.abs(model.mvm(vectors(4)) - measured).max() <= 1e-3 * SPAN
    without = calibration.model_copy(update={"hold": calibration.hold.model_copy(update={"buffer": None})})
    assert np.abs(ExactEngine(without).prepare(made).mvm(vectors(4)) - measured).max() > 5e-3 * SPAN


def test_shared_converters_read_column_after_column(calibration):
    """Four columns, two converters, each of which holds the column before: codes in, codes out, in one transient."""
    made = tile(calibration, (4, 4), seed=5)
    ready = HandOverEngine(ExactEngine(calibration), calibration.converter.hand_over).prepare(made)
    samples = [
        SampledMvm.of(ready, codes, volts, layer="a")
        for codes, volts in zip(vectors(4), ready.mvm(vectors(4)), strict=True)
    ]
    (netlist,), read = MacroBench(calibration).netlists(made, made.adc, vectors(4)[:1])
    assert read.groups == {0: [0, 1], 2: [2, 3]}
    assert netlist.body.count("\nxconverter_") == 2
    audit = audit_samples(samples, calibration, macros=True)
    assert audit.max_error <= 1e-3
    assert audit.codes[0] >= 0.9
    assert audit.codes[2] == 0
    assert len(set(np.concatenate([made.adc.codes(one.volts) for one in samples]))) > 4  # not all alike


def test_energy_is_that_of_the_supplies(calibration):
    """Buffers take nearly all of it, for as long as a product is watched."""
    ready = NgspiceEngine(calibration)
    prepared, codes = ready.prepare(tile(calibration, (4, 3), seed=3)), np.array([[1, 2, 3, 2]])
    (netlist,) = ready.netlists(prepared, codes)
    (results,) = run_all([netlist])
    found = {name: vector.real for name, vector in results[0].vectors.items()}
    power = 3.3 * -found["i(vdd)"] + SPAN * -found["i(vhi)"] - SPAN * -found["i(vlo)"]
    measured, model = float(np.trapezoid(power, found["time"])), prepared.model
    parts = calibration.require_energy().tile_energy(
        model, codes, model.solve(codes), float(found["time"][-1]), conversions=0
    )
    assert measured == pytest.approx(sum(float(part[0]) for part in parts.values()), rel=0.02)
    assert parts["amplifier"][0] > 0.9 * measured


def test_drawn_buffers_are_known_by_their_devices(calibration):
    """Offsets of chips that took no part in the fit, at voltages that did not, either."""
    kind = find_buffer_mismatch(MismatchBench(calibration=calibration, campaign=Campaign(quick=True)), 4)
    sigma = float(kind.response.distribution.sigma[0])
    assert kind.residual < 2e-3 * sigma
    volts, draw = np.array([0.11, -0.07, 0.02, -0.16, 0.19]), ChipDraw(7, "a")
    netlists = [build_buffers(CHIP, volts)]
    netlists.append(with_chip_mismatch(netlists[0], calibration, draw))
    nominal, drawn = (
        np.array([found[0].vectors[f"v(out_{k})"][0].real for k in range(5)]) for found in run_all(netlists)
    )
    own = DrawnBuffers(kind=kind, parameters=kind.response.draw(draw, 5)).added(calibration.hold.buffer.v_limit)
    model = calibration.hold.buffer
    added = model.output(volts, own) - model.output(volts)
    assert np.abs(drawn - nominal).max() > 0.5 * sigma
    assert np.abs(added - (drawn - nominal)).max() < 2e-3 * sigma
