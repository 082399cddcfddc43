"""Buffers of references: calibrated tiles beside those of transistors, whose drivers share them."""

import dataclasses

import numpy as np
import pytest

from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.rails import calibrate_rails
from spicesim.calibration.realism import describe_realism, format_realism
from spicesim.calibration.tiles import TileCase, check_tiles, tile_netlist
from spicesim.chip import preset
from spicesim.engine.choice import build_engine
from spicesim.engine.protocol import Tile
from spicesim.errors import CalibrationError, SpecError, ValidityError
from spicesim.experiment.ablation import ablate_calibration, circuit_sources
from spicesim.netlist.tile import build_tile
from spicesim.ngspice.batch import BatchSimulator

pytestmark = pytest.mark.long

ROWS, COLUMNS = 32, 2
LINEAR, SATURATING = 10e3, 160e3
BUFFERED = {"references": "buffered"}


@pytest.fixture(scope="module")
def calibration(on_rails):
    """Blocks of that chip, two of its feedbacks, with buffers, and what of these no fit has seen."""
    return on_rails(BUFFERED, (LINEAR, SATURATING))


def ideal(calibration):
    return calibration.model_copy(update={"chip": calibration.chip.changed(rails={"references": "ideal"})})


def devices():
    return random_conductances((ROWS, COLUMNS), 1e-6, 50e-6, np.random.default_rng(3), 12.5e-6)


def vectors():
    """The code at which ladders take most, and least, one row alone, rail to rail, and random ones."""
    rows = np.arange(ROWS)
    return {
        "most": np.full(ROWS, 85),
        "full": np.full(ROWS, 255),
        "first alone": np.where(rows == 0, 255, 128),
        "alternating": 255 * (rows % 2),
        "random": np.random.default_rng(8).integers(0, 256, ROWS),
    }


def test_buffers_are_held_out(calibration):
    found = {name: points for name, points in calibration.held_out.items() if name.startswith("buffers")}
    assert {name.rpartition(" ")[2] for name in found} == set(calibration.chip.polarities)
    assert all(points.max_error < 5e-6 for points in found.values())
    assert all(np.ptp(points.measured) > 20 * 5e-6 * points.full_scale for points in found.values())


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("r_feedback", [LINEAR, SATURATING])
def test_a_tile_follows_that_of_transistors(calibration, r_feedback, polarity):
    tile = calibration.tile(devices(), polarity, r_feedback)
    (check,) = check_tiles(
        calibration.chip, [TileCase(name="buffers", tile=tile, codes=vectors())], Campaign(seed=1), "check"
    )
    without = ideal(calibration).tile(devices(), polarity, r_feedback).solve(np.stack(list(vectors().values())))
    error = np.abs(without.v_out - check.measured).max() / check.full_scale
    assert check.max_error < 5e-5
    assert error > 4 * check.max_error  # the buffers do matter


def test_power_is_what_the_supply_delivers_and_buffers_have_a_part_of_it(calibration):
    tile = calibration.tile(devices(), "bipolar", LINEAR)
    codes = vectors()["random"][None]
    state = tile.solve(codes)
    alone = calibration.model_copy(update={"chip": calibration.chip.changed(adc={"bits": 12})})  # has no converter
    power = calibrate_energy(alone, Campaign()).tile_power(tile, codes, state)
    built = tile_netlist(calibration.chip, tile, codes[0], state, 0)
    probes = ("i(vdd)", "i(vlo)", "i(vhi)", "v(vhi)", "v(vlo)")
    found = BatchSimulator().run(dataclasses.replace(built, probes=probes))
    i_vdd, i_lo, i_hi, high, low = (float(found[0].vectors[probe][0].real) for probe in probes)
    assert max(abs(i_lo), abs(i_hi)) < 1e-9  # ideal sources see gates alone
    assert state.droops.high[0] == pytest.approx(1.85 - high, abs=1e-7)
    assert state.droops.low[0] == pytest.approx(low - 1.45, abs=1e-7)
    assert sum(power.values())[0] == pytest.approx(-3.3 * i_vdd, rel=1e-3)
    assert power["rails"][0] > 0.01 * 3.3 * -i_vdd
    assert np.all(state.droops.lost(calibration.chip.rails) == 0)


def test_a_chip_without_keeps_its_hash_and_its_netlist():
    chip = preset("gf180-1t1r")
    again = chip.changed(rails={"references": "ideal", "reference_drive": 8.0})
    words = {"polarity": "bipolar", "r_feedback": LINEAR}
    g, codes = np.full((2, 2), 2e-5), np.array([3, 200])
    assert again.hash == chip.hash != chip.changed(rails=BUFFERED).hash
    text = build_tile(chip.changed(rails=BUFFERED), g, codes, **words).body
    assert build_tile(again, g, codes, **words).body == build_tile(chip, g, codes, **words).body
    assert "xbuffer_vhi vhi_in vhi vhi vdd 0 opamp" in text
    assert "xbuffer_" not in build_tile(chip, g, codes, **words).body


def test_mirrored_biases_reach_the_buffers():
    chip = preset("gf180-1t1r").changed(rails=BUFFERED, bias={"kind": "mirrored"})
    text = build_tile(chip, np.full((2, 2), 2e-5), np.array([3, 200]), polarity="bipolar", r_feedback=LINEAR).body
    assert "xbuffer_vhi vhi_in vhi vhi bias vdd 0 opamp" in text


def test_the_head_tells_of_transistors():
    chip = preset("gf180-1t1r").changed(rails=BUFFERED)
    pieces = {piece.piece: piece for piece in describe_realism(chip)}
    assert pieces["references"].netlist == "transistors"
    assert (pieces["references"].dc, pieces["references"].transient) == ("calibrated", "absent")
    assert pieces["common reference"].netlist == "ideal source"
    assert any(line.split()[:2] == ["references", "transistors"] for line in format_realism(chip))


def test_what_is_not_known_refuses(calibration, gf180_calibration):
    with pytest.raises(SpecError, match=r"r_reference to 0"):
        calibration.chip.changed(rails={"r_supply": 1.0})
    with pytest.raises(SpecError, match=r"takes dac\.kind = r2r"):
        preset("gf180-bits").changed(rails=BUFFERED)
    without = calibration.rails.model_copy(update={"references": None})
    lacking = calibration.model_copy(update={"rails": without})
    with pytest.raises(CalibrationError, match="were not calibrated"):
        lacking.tile(devices(), "bipolar", LINEAR)
    buffers = calibration.rails.references["bipolar"]
    with pytest.raises(ValidityError, match="beyond the calibrated"):
        buffers.at(np.array([1.01 * buffers.i_limit]))
    with pytest.raises(SpecError, match="rails with impedances"):
        build_engine("transfer", calibration)
    weak = calibration.chip.changed(rails={"reference_drive": 0.25})
    with pytest.raises(SpecError, match=r"raise rails\.reference_drive"):
        calibrate_rails(weak, gf180_calibration.dacs, calibration.senseamps, Campaign())


def test_engines_and_what_a_chip_costs_know_them(calibration):
    wanted = Tile(name="a:0", g=np.full((4, 2), 2.5e-5), polarity="bipolar", r_feedback=LINEAR)
    fast, exact = (build_engine(name, calibration).prepare(wanted) for name in ("fast", "exact"))
    codes = np.array([[0, 255, 128, 3]])
    np.testing.assert_allclose(fast.mvm(codes), exact.mvm(codes), atol=1e-5)
    assert "rails" in circuit_sources(calibration)
    gone = ablate_calibration(calibration, ["drivers", "wires", "cells", "amplifiers", "input bits"])
    np.testing.assert_array_equal(
        gone.tile(devices(), "bipolar", LINEAR).solve(vectors()["random"][None]).v_out,
        ideal(calibration).tile(devices(), "bipolar", LINEAR).solve(vectors()["random"][None]).v_out,
    )
