"""The bias generator, by itself and in tiles of transistors beside the calibrated model."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from simulation import run
from spicesim.calibration.bias import bias_current, bias_netlist
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.dac import plan_dac
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.sense_amplifier import plan_sense_amplifier
from spicesim.calibration.tiles import TileCase, check_tiles
from spicesim.chip import preset
from spicesim.netlist.bias_benches import START, WANTED, build_bias, build_bias_transient
from spicesim.netlist.tile import build_column

pytestmark = pytest.mark.long

GENERIC = preset("generic-1t1r")
GF180 = preset("gf180-1t1r")
LINEAR, SATURATING = 10e3, 160e3


def amperes(chip):
    """Return the current of a mirror at the chip's supply."""
    supply = chip.process.supply
    return float(run(build_bias(chip, "vdd", 0.9 * supply, 1.1 * supply, 3))["i(vout_0)"][1])


def test_its_current_is_that_of_the_square_law():
    """Level 1: gates of m1 and m2, four times as wide, differ by r I and by m2's threshold, as its source is lifted."""
    for ohm in (2e3, 4e3, 8e3):
        supply = GENERIC.process.supply
        chip = GENERIC.changed(bias={"resistor": ohm})
        found = run(build_bias(chip, "vdd", 0.9 * supply, 1.1 * supply, 3))
        total = -(found["i(vdd)"] + found["i(vout_0)"] + found["i(vout_1)"])[1]
        beta = 100e-6 * 20e-6 / (2e-6 - 40e-9) * (1 + 0.06 * 0.9)  # both drains are a threshold and an overdrive up

        def lack(i, ohm=ohm, beta=beta):
            lift = ohm * i
            threshold = 0.45 * (np.sqrt(0.8 + lift) - np.sqrt(0.8))
            return np.sqrt(2 * i / beta) - np.sqrt(2 * i / (4 * beta)) - lift - threshold

        own = brentq(lack, 1e-7, 1e-3)
        # a mirror has its output at another voltage than the generator's transistors, 8 % a volt
        assert found["i(vout_0)"][1] == pytest.approx(own, rel=0.03)
        assert 2.2 * own < total < 2.4 * own + 5e-6  # two branches, the amplifier's, and the leak of the start-up


@pytest.mark.parametrize(("corner", "celsius"), [("ss", -40), ("ff", 125)])
def test_it_starts_with_any_number_of_mirrors_and_stays(corner, celsius):
    chip = GF180.at(corner=corner, temperature_c=celsius)
    for mirrors in (2, 256):
        found = run(build_bias_transient(chip, mirrors, 60e-6, starting=True))
        late = found["i(vout_0)"][found["time"] > 50e-6]
        np.testing.assert_allclose(late, amperes(chip), rtol=2e-3)
        knocked = run(build_bias_transient(chip, mirrors, 30e-6, starting=False))
        time, current = knocked["time"], knocked["i(vout_0)"]
        assert np.abs(current[time > START] - current[0]).max() > 1e-3 * WANTED  # it was knocked
        np.testing.assert_allclose(current[time > 25e-6], current[0], rtol=1e-3)


def test_what_energies_and_rails_count_is_what_the_generator_adds_to_a_supply():
    chip = GF180.changed({"bias.kind": "mirrored"})
    whole = replace(build_column(chip, [2e-5, 4e-5], [0.1, 0.2], LINEAR), probes=("i(vdd)",))
    apart = whole.body.replace("xbias bias vdd 0", "ebias own 0 vdd 0 1\nxbias bias own 0")
    assert apart != whole.body
    added = -(run(whole)["i(vdd)"] - run(replace(whole, body=apart))["i(vdd)"])
    (results,) = Campaign().run([bias_netlist(chip)], "bias")
    assert bias_current(results) == pytest.approx(float(added[0]), rel=1e-4)


@pytest.fixture(scope="module")
def calibration(gf180_calibration):
    """Blocks of that chip, at two of its feedbacks, whose amplifiers are biased by mirrors."""
    settings = (LINEAR, SATURATING)
    chip = gf180_calibration.chip.changed(
        {"array.columns": 2, "bias.kind": "mirrored", "sense_amplifier.r_feedback": settings}
    )
    plans = [plan_dac(chip, "bipolar", quick=True), *(plan_sense_amplifier(chip, r) for r in settings)]
    campaign = Campaign()
    dac, *senseamps = (plan.fit(chip, campaign.run(plan.netlists(chip), "blocks")).model for plan in plans)
    return gf180_calibration.model_copy(
        update={"chip": chip, "dacs": gf180_calibration.dacs | {"bipolar": dac}, "senseamps": tuple(senseamps)}
    )


@pytest.mark.parametrize("r_feedback", [LINEAR, SATURATING])
def test_a_tile_with_one_generator_follows_blocks_that_had_one_each(calibration, gf180_calibration, r_feedback):
    rows, rng = calibration.chip.array.rows, np.random.default_rng(6)
    g = random_conductances((rows, 2), 1e-6, 50e-6, rng, 12.5e-6)
    codes = {
        "full": np.full(rows, 255),
        "alternating": 255 * (np.arange(rows) % 2),
        "halves": np.where(np.arange(rows) < rows // 2, 255, 0),
        "random": rng.integers(0, 256, rows),
    }
    case = TileCase(name="bias", tile=calibration.tile(g, "bipolar", r_feedback), codes=codes)
    (check,) = check_tiles(calibration.chip, [case], Campaign(seed=1), "check")
    ideal = gf180_calibration.tile(g, "bipolar", r_feedback).solve(np.stack(list(codes.values())))
    left_out = np.abs(ideal.v_out - check.measured).max() / check.full_scale
    assert check.max_error < 5e-5
    assert left_out > 3 * check.max_error  # the currents do matter, little as that is at 27 C
    assert np.any(check.saturated) == (r_feedback == SATURATING)
