"""Whole tiles at transistor level, all conditions at once: corner, temperature, chip, codes; settled and sampled early.

None of it is fitted. Run as a script for more draws: ``python tests/ngspice/test_conditions.py CAL.json [DRAWS]``.
"""

import sys

import numpy as np
import pytest

from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.noise import calibrate_noise
from spicesim.chip import CORNERS
from spicesim.coding import POLARITIES, rest_code
from spicesim.engine import ExactEngine, NgspiceEngine, SampledEngine, Tile

pytestmark = pytest.mark.long

DRAWS = 4
KINDS = ("linear", "saturating", "half settled", "settled")
LIMITS = dict(zip(KINDS, (2e-4, 5e-4, 1e-2, 1e-3), strict=True))
"""Largest error of an output, as a fraction of full scale."""
NOISE, POWER, SWITCHING = 2e-3, 1e-3, 0.05
"""Largest relative error of a variance of noise, of powers at rest, and of the energies of steps and conversions."""
KNEE = 0.06
"""Of an amplifier's power where it meets a rail, relative to the largest: 4 % were found."""


def condition(calibration, seed):
    """Draw a corner, a temperature and a chip; return the calibration there and what was drawn."""
    rng = np.random.default_rng([seed, 11])
    corner = (None, *CORNERS[1:])[seed % len(CORNERS)]
    temperature = round(float(rng.uniform(-40, 125)), 1)
    return calibration.at(corner=corner, temperature_c=temperature), f"{corner or 'own'} {temperature:g} C", rng


def errors(calibration, seed):
    """Return what was drawn and the largest error of each kind, as a fraction of full scale."""
    at, name, rng = condition(calibration, seed)
    chip, polarity = at.chip, POLARITIES[seed % 2]
    size = chip.array.rows
    g = rng.uniform(*at.conductance_range, (size, size))
    choices = sorted(chip.sense_amplifier.r_feedback)
    codes, found = rng.integers(0, 2**chip.dac.bits, (1, size)), {}
    for kind, r_feedback in (("linear", choices[0]), ("saturating", choices[-1])):
        tile = Tile(name="tile", g=g, polarity=polarity, r_feedback=r_feedback)
        exact = ExactEngine(at, mismatch_seed=seed).prepare(tile)
        full_scale = at.senseamp(r_feedback).full_scale
        measured = NgspiceEngine(at, mismatch_seed=seed).prepare(tile).mvm(codes)
        found[kind] = float(np.abs(exact.mvm(codes) - measured).max() / full_scale)
        if kind == "linear":
            transient = TileTransient(exact.model, at.require_settling())
            rest = np.full_like(codes, rest_code(polarity, chip.dac.bits))
            t_settle = float(transient.t_settle(rest, codes).max())
            for part, t_read in (("half settled", 0.5 * t_settle), ("settled", t_settle)):
                predicted = SampledEngine(at, t_read, mismatch_seed=seed).prepare(tile).mvm(codes)
                measured = NgspiceEngine(at, t_read=t_read, mismatch_seed=seed).prepare(tile).mvm(codes)
                found[part] = float(np.abs(predicted - measured).max() / full_scale)
    return name, found


@pytest.mark.parametrize("seed", range(DRAWS))
def test_drawn_chips_are_true_at_drawn_conditions(gf180_everywhere, seed):
    name, found = errors(gf180_everywhere, seed)
    for kind, limit in LIMITS.items():
        assert found[kind] <= limit, (name, kind)


@pytest.mark.parametrize(("corner", "temperature_c"), [(None, 90.0), ("ss", 80.0), ("ff", -15.0)])
def test_noise_and_energy_are_those_of_simulations_at_a_condition_in_no_fit(climate_calibration, corner, temperature_c):
    at = climate_calibration.at(corner=corner, temperature_c=temperature_c)
    there, g = Campaign(quick=True), np.linspace(0, 6, 4) * at.conductance_range[1]
    noise, energy = calibrate_noise(at, there), calibrate_energy(at, there)
    for r_feedback in at.chip.sense_amplifier.r_feedback:
        found, wanted = (model.amplifier(r_feedback)(g, np.zeros_like(g)) for model in (at.require_noise(), noise))
        np.testing.assert_allclose(found, wanted, rtol=NOISE)
        rest = at.require_energy().amplifier(r_feedback), energy.amplifier(r_feedback)
        gap = np.abs(rest[0].power - rest[1].power) / rest[1].power.max()
        assert gap.max() <= KNEE
        assert np.median(gap) <= POWER
        assert rest[0].charge == pytest.approx(rest[1].charge, rel=SWITCHING)
    for polarity, dac in energy.dacs.items():
        found = at.require_energy().dacs[polarity]
        np.testing.assert_allclose(found.power_open, dac.power_open, rtol=0, atol=POWER * dac.power_open.max())
        np.testing.assert_allclose(found.rise, dac.rise, rtol=0, atol=SWITCHING * np.abs(dac.rise).max())
    assert at.require_energy().adc.energy == pytest.approx(energy.adc.energy, rel=SWITCHING)


if __name__ == "__main__":
    file, *count = sys.argv[1:]
    drawn, every = load_calibration(file), []
    for seed in range(int(*count or ["20"])):
        name, found = errors(drawn, seed)
        every.append(found)
        print(f"{name:12}", *(f"{kind} {100 * found[kind]:.4f} %" for kind in KINDS), sep="  ", flush=True)
    for kind in KINDS:
        print(f"worst {kind}: {100 * max(found[kind] for found in every):.4f} %")
