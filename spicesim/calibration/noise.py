"""Calibrate the noise of outputs from ``.noise`` of amplifiers below columns and of a driver."""

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.noise import AmplifierNoise, NoiseModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.metrics import largest
from spicesim.netlist.noise import NOISE_BAND, build_driver_noise, build_sense_amplifier_noise
from spicesim.ngspice.outcome import Results

__all__ = ["calibrate_noise", "integrate_noise"]

_KEPT = 4
"""Of so many points of a spectrum one is kept."""
_HELD_OUT = 2
"""Conductances of the held-out check, of each amplifier."""


def calibrate_noise(calibration: Calibration, campaign: Campaign, own: NoiseModel | None = None) -> NoiseModel:
    """Find the noise of all sense amplifiers below columns of any conductance.

    Parameters
    ----------
    calibration, campaign
        The calibration, and what runs the simulations.
    own : NoiseModel, optional
        That of the chip at its own condition, whose error stands for all; else conductances in no table tell it.
    """
    chip = calibration.chip
    g_high = chip.array.rows * calibration.conductance_range[1]
    points = 5 if campaign.quick else 8
    conductances = np.concatenate([[0.0], g_high * 2.0 ** np.arange(1.0 - points, 1.0)])
    rng = np.random.default_rng([campaign.seed, 7])
    held = np.sort(g_high * rng.uniform(0.02, 1.0, _HELD_OUT if own is None else 0))
    r_feedback = [model.r_feedback for model in calibration.senseamps]
    capacitance = chip.array.rows * chip.array.c_bit_line
    netlists = [build_driver_noise(chip, 2 ** (chip.dac.code_bits - 1))]
    netlists += [
        build_sense_amplifier_noise(chip, r, float(g), capacitance) for r in r_feedback for g in (*conductances, *held)
    ]
    driver, *found = campaign.run(netlists, "calibrate noise")
    count = len(conductances)
    quarter = max(0, count - 3)
    amplifiers, errors = [], []
    for k, r in enumerate(r_feedback):
        mine = found[k * (count + len(held)) : (k + 1) * (count + len(held))]
        model = AmplifierNoise(
            r_feedback=r,
            conductances=conductances,
            variance=np.array([integrate_noise(results) for results in mine[:count]]),
            driver_variance=np.array([integrate_noise(driver, _through(driver, results)) for results in mine[:count]]),
            spectrum_conductance=float(conductances[quarter]),
            frequencies=_real(driver, "frequency")[::_KEPT],
            density=_real(mine[quarter], "onoise_spectrum")[::_KEPT],
            below=np.stack([_below(results) for results in mine[:count]]),
            driver_below=np.stack([_below(driver, _through(driver, results)) for results in mine[:count]]),
        )
        amplifiers.append(model)
        truth = np.sqrt([integrate_noise(results) for results in mine[count:]])
        errors.append(np.sqrt(model(held, np.zeros_like(held))) / truth - 1)
    return NoiseModel(
        f_low=NOISE_BAND[0], temperature_c=chip.process.temperature_c, amplifiers=tuple(amplifiers),
        max_error=largest(np.concatenate(errors)) if own is None else own.max_error,
    )  # fmt: skip


def integrate_noise(results: Results, weights: Floats | float = 1.0) -> float:
    """Integrate the output noise of a simulation, its power density times `weights`, over all frequencies [V^2]."""
    density = weights * _real(results, "onoise_spectrum") ** 2
    return float(np.trapezoid(density, _real(results, "frequency")))


def _below(results: Results, weights: Floats | float = 1.0) -> Floats:
    """Return the same integral up to every frequency that is kept [V^2]."""
    density = weights * _real(results, "onoise_spectrum") ** 2
    return np.asarray(cumulative_trapezoid(density, _real(results, "frequency"), initial=0.0)[::_KEPT])


def _through(driver: Results, amplifier: Results) -> Floats:
    """Return the output's power for that of a driver, through a conductance of 1 S, by the driver's frequencies."""
    impedance = _real(amplifier, "onoise_spectrum") / _real(amplifier, "inoise_spectrum")
    along = np.log(_real(amplifier, "frequency"))
    return np.asarray(PchipInterpolator(along, impedance**2)(np.log(_real(driver, "frequency"))))


def _real(results: Results, name: str) -> Floats:
    return np.asarray(results[0].vectors[name].real, dtype=float)
