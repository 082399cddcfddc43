"""Rails with impedances: calibrated tiles beside those of transistors, whose blocks share them."""

import dataclasses
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.patterns import adversarial_vectors, code_vectors, random_conductances
from spicesim.calibration.rails import calibrate_rails
from spicesim.calibration.tiles import TileCase, check_tiles, tile_netlist
from spicesim.chip import preset
from spicesim.cli.netlist import netlist
from spicesim.engine.choice import build_engine
from spicesim.engine.protocol import Tile
from spicesim.errors import CalibrationError, SpecError, ValidityError
from spicesim.experiment.ablation import ablate_calibration, circuit_sources
from spicesim.ngspice.batch import BatchSimulator

pytestmark = pytest.mark.long

OHMS = {"r_supply": 5.0, "r_ground": 5.0, "r_reference": 5.0}
IDEAL = dict.fromkeys(OHMS, 0.0) | {"references": "ideal"}
ROWS, COLUMNS = 32, 2
LINEAR, SATURATING = 10e3, 160e3


@pytest.fixture(scope="module")
def calibration(on_rails):
    """Blocks of that chip, two of its feedbacks, on rails of 5 ohm, and what of them no fit has seen."""
    return on_rails(OHMS, (LINEAR, SATURATING))


def ideal(calibration):
    return calibration.model_copy(update={"chip": calibration.chip.changed(rails=IDEAL)})


def devices(seed=3):
    return random_conductances((ROWS, COLUMNS), 1e-6, 50e-6, np.random.default_rng(seed), 12.5e-6)


def vectors():
    """What hurts most: all rows, one of them, every second rail to rail, halves that cancel; and random ones."""
    rows = np.arange(ROWS)
    return {
        "full": np.full(ROWS, 255),
        "first alone": np.where(rows == 0, 255, 128),
        "alternating": 255 * (rows % 2),
        "halves": np.where(rows < ROWS // 2, 255, 0),
        "random": np.random.default_rng(8).integers(0, 256, ROWS),
    }


def test_blocks_on_moved_rails_are_held_out(calibration):
    assert {name.partition(" on")[0] for name in calibration.held_out} == {"DAC", "TIA"}
    assert all(points.max_error < 5e-5 for points in calibration.held_out.values())
    assert any(np.ptp(points.measured) > 1 for points in calibration.held_out.values())


@pytest.mark.parametrize("r_feedback", [LINEAR, SATURATING])
def test_a_tile_follows_that_of_transistors(calibration, r_feedback):
    tile = calibration.tile(devices(), "bipolar", r_feedback)
    (check,) = check_tiles(
        calibration.chip, [TileCase(name="rails", tile=tile, codes=vectors())], Campaign(seed=1), "check"
    )
    without = ideal(calibration).tile(devices(), "bipolar", r_feedback).solve(np.stack(list(vectors().values())))
    assert check.max_error < 2e-4
    assert np.abs(without.v_out - check.measured).max() > 10 * 2e-4 * check.full_scale  # the rails do matter
    assert np.any(check.saturated) == (r_feedback == SATURATING)


def test_power_is_what_supplies_deliver_and_rails_have_a_part_of_it(calibration):
    tile = calibration.tile(devices(), "bipolar", LINEAR)
    codes = vectors()["random"][None]
    state = tile.solve(codes)
    alone = calibration.model_copy(update={"chip": calibration.chip.changed(adc={"bits": 12})})  # has no converter
    power = calibrate_energy(alone, Campaign()).tile_power(tile, codes, state)
    built = tile_netlist(calibration.chip, tile, codes[0], state, 0)
    probes = ("i(vdd)", "i(vlo)", "i(vhi)", "i(vss)", "v(vdd)", "v(vss)")
    found = BatchSimulator().run(dataclasses.replace(built, probes=probes))
    i_vdd, i_lo, i_hi, i_vss, vdd, vss = (float(found[0].vectors[probe][0].real) for probe in probes)
    assert state.droops.supply[0] == pytest.approx(3.3 - vdd, rel=1e-4)
    assert state.droops.ground[0] == pytest.approx(vss, rel=1e-4)
    assert state.droops.high[0] == pytest.approx(-5 * i_hi, rel=5e-4)
    lost = 5.0 * (i_vdd**2 + i_lo**2 + i_hi**2 + i_vss**2)
    assert power["rails"][0] == pytest.approx(lost, rel=2e-4)
    assert sum(power.values())[0] == pytest.approx(-3.3 * i_vdd - 0.2 * i_hi + 0.2 * i_lo, rel=1e-2)


def test_ideal_rails_change_nothing(calibration, gf180_calibration):
    codes = np.stack(list(vectors().values()))
    known = gf180_calibration.tile(devices(), "bipolar", LINEAR).solve(codes)
    np.testing.assert_array_equal(ideal(calibration).tile(devices(), "bipolar", LINEAR).solve(codes).v_out, known.v_out)
    assert preset("gf180-1t1r").changed(rails=dict.fromkeys(OHMS, 0.0)).hash == preset("gf180-1t1r").hash
    assert preset("gf180-1t1r").changed(rails=OHMS).hash != preset("gf180-1t1r").hash


def test_vectors_do_not_know_of_each_other(calibration):
    tile, codes = calibration.tile(devices(), "bipolar", SATURATING), np.stack(list(vectors().values()))
    together = tile.solve(codes).v_out
    alone = np.concatenate([tile.solve(vector[None]).v_out for vector in codes])
    np.testing.assert_allclose(together, alone, atol=2e-5 * calibration.senseamp(SATURATING).full_scale)


def test_fast_tiles_are_solved_exactly_and_others_refuse(calibration):
    g = calibration.chip.cell.g_max * np.ones((4, 2)) / 2
    wanted = Tile(name="a:0", g=g, polarity="bipolar", r_feedback=LINEAR)
    fast, exact = (build_engine(name, calibration).prepare(wanted) for name in ("fast", "exact"))
    codes = np.array([[0, 255, 128, 3]])
    assert fast.form == "exact"
    np.testing.assert_allclose(fast.mvm(codes), exact.mvm(codes), atol=1e-5)
    with pytest.raises(SpecError, match="rails with impedances"):
        build_engine("transfer", calibration)
    with pytest.raises(CalibrationError, match="was not calibrated"):
        calibration.model_copy(update={"rails": None}).tile(g, "bipolar", LINEAR)
    with pytest.raises(SpecError, match=r"has dac\.kind = bits"):
        calibrate(preset("gf180-voltage").changed(rails=OHMS), quick=True, aspects=())
    lower = calibration.rails.model_copy(update={"reach": (0.01, 0.01)})
    alone = calibration.model_copy(update={"rails": lower}).tile(devices(), "bipolar", LINEAR)
    with pytest.raises(ValidityError, match=r"lower rails\.r_supply"):
        alone.solve(codes.repeat(8, axis=1))


def test_rails_are_a_row_of_their_own_of_what_a_chip_costs(calibration):
    assert "rails" in circuit_sources(calibration)
    assert "rails" not in circuit_sources(ideal(calibration))
    codes = vectors()["full"][None]
    kept = ablate_calibration(calibration, ["rails", "drivers", "wires", "cells", "amplifiers"])
    finer = kept.tile(devices(), "bipolar", LINEAR).solve(16 * codes)
    np.testing.assert_allclose(
        finer.v_out, calibration.tile(devices(), "bipolar", LINEAR).solve(codes).v_out, rtol=1e-3
    )
    gone = ablate_calibration(calibration, ["drivers", "wires", "cells", "amplifiers", "input bits"])
    np.testing.assert_array_equal(
        gone.tile(devices(), "bipolar", LINEAR).solve(codes).v_out,
        ideal(calibration).tile(devices(), "bipolar", LINEAR).solve(codes).v_out,
    )


def test_the_command_writes_them_and_a_subcircuit_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("g.npy", np.full((2, 2), 2e-5))
    np.save("codes.npy", np.array([3, 200]))
    words = ["tile", "--chip", "gf180-1t1r", "--conductance", "g.npy", "--codes", "codes.npy", "-o", "t.cir"]
    more = ["--supply-resistance", "2", "--ground-resistance", "3", "--reference-resistance", "4"]
    said = CliRunner().invoke(netlist, [*words, *more], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    text = (tmp_path / "t.cir").read_text()
    for line in ("rvdd vdd_pad vdd 2.0", "rvss vss_pad vss 3.0", "rvhi vhi_pad vhi 4.0", "vlo vhi vdd vss dac"):
        assert line in text, line
    assert "gate 0 cell_1t1r" in text


def main(path: str, ohm: str, rows: str, columns: str, *settings: str) -> None:
    """Print a table: tiles of a calibration's blocks on such rails, and what is left out where these are ideal.

    In the place of an impedance, "buffered" puts buffers of references; a word after it is their drive: "buffered=16".
    """
    given = load_calibration(path)
    shape, feedbacks = (int(rows), int(columns)), tuple(float(word) for word in settings)
    whole = 2 * shape[1] * given.chip.cell.g_max * given.chip.dac.v_span  # what a row of so many columns may carry
    word, _, drive = ohm.partition("=")
    impedances = {"references": word} if word == "buffered" else dict.fromkeys(OHMS, float(ohm))
    impedances |= {"reference_drive": float(drive)} if drive else {}
    chip = given.chip.changed(
        array={"rows": shape[0], "columns": shape[1]}, rails=impedances, sense_amplifier={"r_feedback": feedbacks}
    )
    dacs = {polarity: narrowed(dac, whole) for polarity, dac in given.dacs.items()}
    senseamps, campaign = tuple(given.senseamp(r) for r in feedbacks), Campaign(jobs=1)
    rails, _ = calibrate_rails(chip, dacs, senseamps, campaign)
    real = given.model_copy(update={"chip": chip, "dacs": dacs, "senseamps": senseamps, "rails": rails})
    rng = np.random.default_rng(1)
    g = random_conductances(shape, chip.cell.g_min, chip.cell.g_max, rng, 0.25 * chip.cell.g_max)
    for r_feedback in feedbacks:
        for polarity in chip.polarities:
            codes = code_vectors(shape[0], chip.code_bits, 2, rng)
            codes |= adversarial_vectors(shape[0], chip.code_bits, polarity, rng)
            tile, vectors = real.tile(g, polarity, r_feedback), np.stack(list(codes.values()))
            (check,) = check_tiles(chip, [TileCase(name="rails", tile=tile, codes=codes)], campaign)
            left_out = np.abs(ideal(real).tile(g, polarity, r_feedback).solve(vectors).v_out - check.measured)
            droops = tile.solve(vectors).droops
            print(
                f"{rows}x{columns} {polarity} {r_feedback / 1e3:g}k {len(codes)} vectors, {np.sum(check.saturated)} "
                f"saturated: {100 * check.max_error:.5f} % of full scale, without rails "
                f"{100 * left_out.max() / check.full_scale:.3f} %; supply {1e3 * droops.supply.max():.1f} mV, "
                f"ground {1e3 * droops.ground.max():.1f} mV, references {1e3 * droops.high.max():.3f} and "
                f"{1e3 * droops.low.max():.3f} mV",
                flush=True,
            )


def narrowed(dac, i_limit):
    """Return a driver of fewer columns: the middle of its tables."""
    middle = dac.droop.shape[1] // 2
    some = min(middle, int(np.ceil(i_limit / dac.i_limit * middle)))
    few = dac.droop[:, middle - some : middle + some + 1]
    return dac.model_copy(update={"droop": few, "i_limit": dac.i_limit * some / middle})


if __name__ == "__main__":
    main(*sys.argv[1:])
