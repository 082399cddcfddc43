"""Hold switches of floating bit lines: what the model says, and what it refuses; chips that have them."""

import numpy as np
import pytest

from spicesim.behavioural.hold import HoldModel
from spicesim.chip import load_chip, preset, save_chip
from spicesim.engine import IdealEngine, NoisyEngine, Tile
from spicesim.errors import SpecError, ValidityError
from spicesim.mapping import decode_outputs, map_weights

PEDESTALS = np.zeros((3, 2, 2))
PEDESTALS[:, 0, 0] = 5e-3, 7e-3, 8e-3
PEDESTALS[:, 1, 0] = 1e-3
PEDESTALS[:, 0, 1] = 2e-4
HOLD = HoldModel(
    c_hold=250e-15, c_cell=5e-15, delay=0.2e-9, settle=100e-9, v_limit=0.21, v_span=0.2, rows=(1, 8, 64), g_cell=50e-6,
    pedestals=PEDESTALS,
)  # fmt: skip


def test_a_switch_adds_its_pedestal_by_voltage_and_conductance():
    total = np.array([0.0, 8 * 50e-6])
    held = HOLD.held(np.array([[0.0, 0.0], [0.21, 0.21]]), total, 8)
    np.testing.assert_allclose(held, [[7e-3, 7.2e-3], [0.21 + 8e-3, 0.21 + 8.2e-3]], rtol=1e-12)


def test_lines_settle_by_their_capacitance_over_their_conductance():
    total = np.array([16e-6, 0.0])
    tau = HOLD.time_constants(total, 16)
    assert tau[0] == pytest.approx((250e-15 + 16 * 5e-15) / 16e-6 + 0.2e-9, rel=1e-12)
    assert np.isinf(tau[1])
    np.testing.assert_allclose(HOLD.unsettled(total, 16), [np.exp(-100e-9 / tau[0]), 1.0], rtol=1e-12)


def test_what_was_not_calibrated_is_refused():
    with pytest.raises(ValidityError, match=r"lines of 1\.\.64 cells, not 65"):
        HOLD.held(np.zeros(1), np.ones(1), 65)
    with pytest.raises(ValidityError, match=r"beyond the calibrated 0\.21 V"):
        HOLD.held(np.array([0.3]), np.ones(1), 8)


def test_what_is_held_has_the_noise_of_its_capacitor_and_nothing_else():
    sigma = HOLD.noise(250e-15, 27.0)
    assert sigma == pytest.approx(np.sqrt(1.380649e-23 * 300.15 / 250e-15), rel=1e-12)
    chip = preset("gf180-voltage").changed(array={"rows": 4, "columns": 3})
    tile = Tile(name="a", g=np.full((4, 3), 1e-5), polarity="unipolar", r_feedback=1.0)
    ready = NoisyEngine(IdealEngine(chip), None, held=sigma).prepare(tile)
    volts = ready.mvm(np.ones((20000, 4), dtype=np.int64))
    found = ready.read(np.ones((20000, 4), dtype=np.int64), volts) - volts
    np.testing.assert_allclose(found.std(axis=0), sigma, rtol=0.03)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.05


def test_an_ideal_switch_keeps_the_line():
    feet = np.array([0.1, -0.2])
    np.testing.assert_array_equal(HOLD.ideal().held(feet, np.full(2, 1e-4), 8), feet)
    assert not HOLD.ideal().unsettled(np.full(2, 1e-4), 8).any()


def test_ideal_floating_lines_decode_to_the_product():
    """Each is the mean of its inputs weighed by conductances; times their sum it is a current again."""
    chip = preset("gf180-voltage").changed(array={"rows": 6, "columns": 8}, hold={"planes": "digital"})
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 6))
    (mapped,) = map_weights(weights, chip.array, (1e-6, 1e-5), name="a")
    tile = Tile(name="a", g=mapped.g, polarity="unipolar", r_feedback=1.0)
    bits = rng.integers(0, 2, (5, 6))
    volts = IdealEngine(chip).prepare(tile).mvm(bits)
    np.testing.assert_allclose(volts, 0.2 * bits @ mapped.g / mapped.g.sum(axis=0), rtol=1e-12)
    found = decode_outputs(volts * chip.held_lines(mapped.g), mapped, r_feedback=1.0, volts_per_input=0.2)
    np.testing.assert_allclose(found, bits @ weights.T, rtol=1e-9, atol=1e-12)


def test_a_chip_of_floating_lines_is_written_and_read_and_others_keep_their_hash(tmp_path):
    chip = preset("gf180-voltage")
    save_chip(chip, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml").hash == chip.hash
    plain = preset("gf180-1t1r")
    assert "kind" not in plain.model_dump()["sense_amplifier"]
    assert plain.changed(sense_amplifier={"kind": "tia"}).hash == plain.hash
    assert plain.changed(sense_amplifier={"kind": "voltage"}).hash != plain.hash


@pytest.mark.parametrize(("kind", "why"), [("1s1r", "selectors close"), ("2t2r", "cells of one device")])
def test_cells_that_cannot_drive_a_line_are_refused_with_the_reason(kind, why):
    with pytest.raises(SpecError, match=why):
        preset("gf180-voltage").changed(cell={"kind": kind})
