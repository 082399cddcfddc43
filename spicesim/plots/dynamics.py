"""Figures of circuits in time and of their noise: steps of tiles and drivers, spectra, sigmas, powers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from spicesim.behavioural.energy import AmplifierEnergy
from spicesim.behavioural.noise import NoiseModel
from spicesim.behavioural.settling import DriverShapes, SettlingCheck
from spicesim.plots.figure import MUTED, SERIES, dots, new_axes, prefixed, shades, styled

__all__ = ["plot_driver_steps", "plot_noise_sigma", "plot_noise_spectrum", "plot_power", "plot_settling"]

_LEGEND = {"title_fontsize": 8.5, "alignment": "left", "handlelength": 1.2, "columnspacing": 1.0}
BOLTZMANN, ZERO_CELSIUS = 1.380649e-23, 273.15


@styled
def plot_settling(check: SettlingCheck) -> Figure:
    """Plot outputs of a tile after a change of codes, model and ngspice, and below the model's errors.

    Parameters
    ----------
    check : SettlingCheck
        With the courses of a few columns.
    """
    figure, (upper, lower) = new_axes(4.2, rows=2, ratios=(3, 2))
    factor, unit = prefixed(check.times, "s")
    times, full_scale = factor * check.times, check.full_scale or 1.0
    for k, (column, colour) in enumerate(zip(check.columns, SERIES, strict=False)):
        upper.plot(times, check.predicted[:, k], color=colour, linewidth=0.9)
        dots(upper, times[::3], check.measured[::3, k], colour, f"{column}", 4)
        lower.plot(times, 100 * (check.predicted - check.measured)[:, k] / full_scale, color=colour, linewidth=0.9)
    for axes in (upper, lower):
        axes.axvline(factor * check.t_settle, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
    lower.set_ylim(*(limit * max(0.1, 110 * check.max_early) for limit in (-1, 1)))
    upper.set_ylabel("output below\nthe reference [V]")
    lower.set_ylabel("error of the model\n[% of full scale]")
    lower.set_xlabel(f"time after the change of codes [{unit}]")
    upper.legend(loc="best", title="column", title_fontsize=8.5, markerscale=2)
    return figure


@styled
def plot_driver_steps(shapes: DriverShapes) -> Figure:
    """Plot how far a driver without load is from where it ends, by the size of its step."""
    figure, (axes,) = new_axes()
    factor, unit = prefixed(shapes.times, "s")
    for step, colour, share in zip(shapes.steps, shades(len(shapes.steps)), shapes.shares[0], strict=True):
        left = np.abs(step * (1 - share))
        axes.plot(
            factor * shapes.times,
            1e3 * np.maximum(left, 1e-6),
            color=colour,
            label=f"{1e3 * step:+.3g} mV".replace("-", "\N{MINUS SIGN}"),
        )
    axes.set_yscale("log")
    axes.set_xlabel(f"time after the change of code [{unit}]")
    axes.set_ylabel("distance from the end [mV]")
    figure.legend(loc="outside upper left", ncols=4, title="step", **_LEGEND)
    return figure


@styled
def plot_noise_spectrum(noise: NoiseModel) -> Figure:
    """Plot the spectral density of output noise by feedback resistance, over that of the resistors alone."""
    figure, (axes,) = new_axes()
    kelvin = noise.temperature_c + ZERO_CELSIUS
    for model, colour in zip(noise.amplifiers, shades(len(noise.amplifiers)), strict=True):
        label = f"{model.r_feedback / 1e3:g} kΩ"
        axes.plot(model.frequencies, 1e9 * model.density, color=colour, linewidth=0.9, label=label)
        thermal = 1e9 * np.sqrt(4 * BOLTZMANN * kelvin * model.r_feedback)
        axes.plot(model.frequencies[[0, -1]], [thermal] * 2, color=colour, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.3)
    axes.set_xlabel("frequency [Hz]")
    axes.set_ylabel("output noise [nV/√Hz]")
    figure.legend(loc="outside upper left", ncols=6, title="r_feedback", **_LEGEND)
    return figure


@styled
def plot_noise_sigma(noise: NoiseModel, rows: int) -> Figure:
    """Plot sigma of the outputs, drivers included, against the total conductance of columns of `rows` equal cells."""
    figure, (axes,) = new_axes()
    for model, colour in zip(noise.amplifiers, shades(len(noise.amplifiers)), strict=True):
        total = np.linspace(0.0, model.conductances[-1], 201)
        sigma = noise.sigma(total, model.r_feedback, g_squares=total**2 / rows)
        label = f"{model.r_feedback / 1e3:g} kΩ"
        axes.plot(1e3 * total, 1e3 * sigma, color=colour, linewidth=0.9, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("conductance of the column [mS]")
    axes.set_ylabel("sigma of a sample [mV]")
    figure.legend(loc="outside upper left", ncols=6, title="r_feedback", **_LEGEND)
    return figure


@styled
def plot_power(amplifiers: Sequence[AmplifierEnergy]) -> Figure:
    """Plot what sense amplifiers draw at rest against the output that their currents ask for."""
    figure, (axes,) = new_axes()
    factor, unit = prefixed(np.concatenate([model.power for model in amplifiers]), "W")
    for model, colour in zip(amplifiers, shades(len(amplifiers)), strict=True):
        volts = model.r_feedback * np.linspace(-model.i_limit, model.i_limit, len(model.power))
        label = f"{model.r_feedback / 1e3:g} kΩ"
        axes.plot(volts, factor * model.power, color=colour, linewidth=0.9, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("current · r_feedback [V]")
    axes.set_ylabel(f"power [{unit}]")
    figure.legend(loc="outside upper left", ncols=6, title="r_feedback", **_LEGEND)
    return figure
