"""Noise of outputs, against whole tiles and against what physics says of a resistor and a capacitor."""

import dataclasses

import numpy as np
import pytest

from spicesim.behavioural.noise import NoiseModel
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.noise import integrate_noise
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.tiles import predicted_nodesets
from spicesim.chip import preset
from spicesim.errors import CalibrationError, SpecError, ValidityError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.noise import build_noise
from spicesim.netlist.tile import build_tile
from spicesim.sampling import run_all

SIZE = 5
BOLTZMANN, KELVIN = 1.380649e-23, 300.15


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["linear", "sinh"])
def calibration(calibrate_once, request):
    chip = preset("generic-1t1r").changed(
        array={"rows": SIZE, "columns": SIZE}, cell={"kappa": request.param}, dac={"bits": 5},
        sense_amplifier={"r_feedback": (20e3, 160e3)},
    )  # fmt: skip
    return calibrate_once(f"noise-{request.param}", lambda: calibrate(chip, quick=True, aspects=("noise",)))


@pytest.fixture(scope="module")
def noise(calibration):
    return calibration.require_noise()


def test_a_resistor_and_a_capacitor_have_the_noise_of_their_temperature():
    g, c = 1e-4, 1e-12
    circuit = f"i1 0 out dc 0 ac 1\nr1 out 0 {1 / g!r}\nc1 out 0 {c!r}\n.temp 27"
    response = Netlist(title="rc", body=circuit, analyses=(".ac dec 20 1k 10g",), probes=("v(out)",))
    (results,) = run_all([build_noise(response, "out", "i1")])
    assert integrate_noise(results) == pytest.approx(BOLTZMANN * KELVIN / c, rel=0.01)
    density = results[0].vectors["inoise_spectrum"].real[0] ** 2
    assert density == pytest.approx(4 * BOLTZMANN * KELVIN * g, rel=1e-3)


@pytest.mark.parametrize("r_feedback", [20e3, 160e3])
def test_sigma_of_a_tile_is_that_of_its_transistors(calibration, noise, r_feedback):
    chip = calibration.chip
    g = random_conductances((SIZE, SIZE), chip.cell.g_min, chip.cell.g_max, np.random.default_rng(2))
    codes = np.full((1, SIZE), 1)
    state = calibration.tile(g, "unipolar", r_feedback).solve(codes)
    guesses = predicted_nodesets(state, 0, chip)
    tile = build_tile(chip, g, codes[0], polarity="unipolar", r_feedback=r_feedback, nodesets=guesses)
    netlists = []
    for j in range(2):
        shaken = f"{tile.body}\n\niprobe 0 sense_{j} dc 0 ac 1"
        netlists.append(
            build_noise(dataclasses.replace(tile, body=shaken, analyses=(".ac dec 10 1k 10g",)), f"out_{j}", "iprobe")
        )
    found = run_all(netlists)
    measured = np.sqrt([integrate_noise(results) for results in found])
    cells = calibration.cell.read_conductance(g)
    np.testing.assert_allclose(noise.tile_sigma(cells, r_feedback)[:2], measured, rtol=0.03)
    fast = [integrate_noise(results, results[0].vectors["frequency"].real >= 0.99e6) for results in found]
    np.testing.assert_allclose(noise.above(1e6).tile_sigma(cells, r_feedback)[:2], np.sqrt(fast), rtol=0.03)
    assert (noise.sigma(cells.sum(axis=0), r_feedback)[:2] < 0.97 * measured).all(), "drivers must count"


def test_sigma_between_calibrated_conductances_holds(noise):
    assert 0 < noise.max_error < 0.03


def test_more_conductance_and_more_gain_are_noisier(noise):
    """Below 1 MHz, where no loop peaks, from the first cell on; as a whole once the column damps the amplifier.

    Without a column it peaks by a fifth at the lowest gain, which above 10 MHz adds up to a hundredth of sigma more
    than the noise of the first cells.
    """
    total = np.linspace(0.0, 2e-4, 9)
    for r_feedback in (20e3, 160e3):
        model = noise.amplifier(r_feedback)
        assert (np.diff(model.below[:, np.searchsorted(model.frequencies, 1e6)]) > 0).all()
        sigma = noise.sigma(total, r_feedback)
        assert (np.diff(sigma[1:]) > 0).all()
        assert sigma[1] > 0.99 * sigma[0]
        assert sigma[-1] > 1.1 * sigma[0]
    assert (noise.sigma(total, 160e3) > noise.sigma(total, 20e3)).all()


def test_zeroing_more_often_leaves_less_noise_however_it_is_asked_for(noise):
    sigma = [float(noise.above(f).sigma(1e-4, 160e3, g_squares=1e-9)) for f in (1e3, 1e4, 1e5, 1e6, 1e7)]
    assert sigma[0] == pytest.approx(float(noise.sigma(1e-4, 160e3, g_squares=1e-9)))
    assert (np.diff(sigma) < 0).all()
    twice = noise.above(1e4).above(1e6)
    assert twice.f_low == 1e6
    assert float(twice.sigma(1e-4, 160e3, g_squares=1e-9)) == pytest.approx(sigma[3])


@pytest.mark.parametrize("f_low", [0.0, 1e2, 1e10, np.nan])
def test_noise_above_what_was_not_calibrated_is_refused(noise, f_low):
    with pytest.raises(SpecError, match="noise is known from 1000 to"):
        noise.above(f_low)


def test_noise_outside_what_was_calibrated_is_refused(noise, generic_calibration):
    with pytest.raises(ValidityError, match="smaller tiles"):
        noise.sigma([1.0], 20e3)
    with pytest.raises(SpecError, match="not negative"):
        noise.sigma([-1e-6], 20e3)
    with pytest.raises(CalibrationError, match="calibrate again"):
        noise.sigma([1e-6], 21e3)
    with pytest.raises(CalibrationError, match="--aspects noise"):
        generic_calibration.require_noise()


def test_noise_survives_its_file(calibration, noise):
    loaded = Calibration.model_validate_json(calibration.model_dump_json()).noise
    assert isinstance(loaded, NoiseModel)
    assert loaded.model_dump_json() == noise.model_dump_json()
