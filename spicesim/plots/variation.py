"""Figures of what differs between chips and conditions: spreads of drawn blocks, temperatures and corners."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from spicesim.arrays import Floats
from spicesim.behavioural.climate import ClimateModel
from spicesim.behavioural.mismatch import MismatchModel, code_basis
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.draws import ChipDraw
from spicesim.plots.figure import MUTED, SERIES, dots, new_axes, shades, styled

__all__ = ["plot_amplifier_spread", "plot_climate_errors", "plot_driver_spread", "plot_temperatures"]

DRAWN = 200
"""Amplifiers behind their spread."""


@styled
def plot_driver_spread(model: MismatchModel) -> Figure:
    """Plot the standard deviation of the drivers' outputs, each less its offset, against the code."""
    figure, (axes,) = new_axes()
    for colour, (polarity, dac) in zip(SERIES, model.dacs.items(), strict=False):
        bits, covariance = code_basis(len(dac.response.names) - 1)[:, 1:], dac.response.distribution.covariance[1:, 1:]
        sigma = np.sqrt(np.einsum("ck,kl,cl->c", bits, covariance, bits, optimize=True))
        dots(axes, np.arange(len(sigma)), 1e6 * sigma, colour, polarity, 2.6 if len(sigma) > 64 else 6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("code")
    axes.set_ylabel("standard deviation of the output [µV]")
    axes.legend(loc="best", markerscale=3)
    return figure


@styled
def plot_amplifier_spread(model: MismatchModel, nominal: Sequence[SenseAmplifierModel]) -> Figure:
    """Plot the standard deviation of the inputs of drawn amplifiers against the current."""
    figure, (axes,) = new_axes()
    for colour, amplifier, own in zip(shades(len(nominal)), model.senseamps, nominal, strict=True):
        v_in, _ = amplifier.tables(own, amplifier.response.draw(ChipDraw(0, "spread"), DRAWN))
        limit = 0.95 * own.i_limit
        currents = np.linspace(-limit, limit, 400)
        inputs = v_in.evaluate(np.repeat(currents[:, None], DRAWN, axis=1), np.arange(DRAWN))
        axes.plot(
            currents * own.r_feedback, 1e3 * inputs.std(axis=1), color=colour, label=f"{own.r_feedback / 1e3:g} kΩ"
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("current · r_feedback [V]")
    axes.set_ylabel("standard deviation of the input [mV]")
    figure.legend(loc="outside upper left", ncols=3, title="r_feedback", title_fontsize=8.5, alignment="left")
    return figure


@styled
def plot_temperatures(temperatures: Floats, courses: Mapping[str, Floats], nodes: Floats) -> Figure:
    """Plot how quantities of the blocks follow temperature.

    Parameters
    ----------
    temperatures : ndarray of shape (points,)
        Temperatures of the lines [degree Celsius].
    courses : mapping of str to ndarray of shape (points,)
        Relative changes by label [1].
    nodes : ndarray
        Temperatures that were calibrated [degree Celsius]; a dot on every line.
    """
    figure, (axes,) = new_axes()
    for colour, (label, course) in zip(SERIES, courses.items(), strict=False):
        axes.plot(temperatures, 100 * course, color=colour, linewidth=1.0)
        dots(axes, nodes, 100 * np.interp(nodes, temperatures, course), colour, label, 7)
    axes.set_xlabel("temperature [°C]")
    axes.set_ylabel("change [%]")
    figure.legend(loc="outside upper left", ncols=2, markerscale=1, handletextpad=0.1)
    return figure


@styled
def plot_climate_errors(model: ClimateModel) -> Figure:
    """Plot the largest errors of whole tiles at temperatures and corners that no fit has seen."""
    figure, (axes,) = new_axes(2.8)
    for node in (model.temperature_c, *model.temperatures_c):
        axes.axvline(node, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
    dots(axes, model.held_out_c, 1e6 * np.array(model.held_out_errors), SERIES[0], "between temperatures", 9)
    corners = 1e6 * np.array(list(model.corner_errors.values()))
    dots(axes, model.corner_held_out_c, corners, SERIES[1], "corners", 9)
    for name, celsius, error in zip(model.corner_errors, model.corner_held_out_c, corners, strict=True):
        axes.annotate(name.partition(",")[0], (celsius, error), (5, 0), textcoords="offset points", va="center")
    axes.set_ylim(0, 1.15e6 * max(*model.held_out_errors, *model.corner_errors.values()))
    axes.set_xlabel("temperature [°C]")
    axes.set_ylabel("largest error [ppm FS]")
    figure.legend(loc="outside upper left", ncols=2, handletextpad=0.1)
    return figure
