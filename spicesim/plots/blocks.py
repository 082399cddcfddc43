"""Figures of calibrated blocks: what ngspice said, what the model says, and how far apart they are."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Dac
from spicesim.coding import Polarity
from spicesim.plots.figure import MUTED, ORDERED, SERIES, dots, new_axes, prefixed, shades, styled

__all__ = [
    "plot_cell",
    "plot_cell_bias",
    "plot_cell_nonlinearity",
    "plot_dac",
    "plot_dac_load",
    "plot_residuals",
    "plot_sense_amplifier_input",
    "plot_sense_amplifier_output",
    "plot_virtual_ground",
]

_FLOOR = 1e-4
"""Errors below this are drawn here [ppm]."""


@styled
def plot_dac(dacs: Mapping[Polarity, DacModel], dac: Dac) -> Figure:
    """Plot the unloaded outputs of drivers against the code, and below how far they are from those of ideal ones."""
    figure, (upper, lower) = new_axes(rows=2, ratios=(3, 2))
    for colour, (polarity, model) in zip(SERIES, dacs.items(), strict=False):
        count = len(model.v_open)
        codes = np.arange(count)
        ideal = dac.levels(model.polarity)
        upper.plot(codes, 1e3 * ideal, color=MUTED, linewidth=0.6)
        dots(upper, codes, 1e3 * model.v_open, colour, polarity)
        lsb = (ideal[-1] - ideal[0]) / (count - 1)
        dots(lower, codes, (model.v_open - ideal) / lsb, colour)
    upper.set_ylabel("output, no load [mV]")
    lower.set_ylabel("less ideal [LSB]")
    lower.set_xlabel("code")
    upper.legend(loc="upper left", markerscale=3)
    return figure


@styled
def plot_dac_load(model: DacModel, held_out: HeldOut) -> Figure:
    """Plot a driver's droop against its load at a few held-out codes, and below its output resistance."""
    codes, loads = held_out.coordinates["code"], held_out.coordinates["load [A]"]
    known = np.unique(codes).astype(int)
    chosen = known[np.unique(np.linspace(0, len(known) - 1, 4).round().astype(int))]
    figure, (upper, lower) = new_axes(rows=2, ratios=(3, 2))
    factor, unit = prefixed(model.i_limit, "A")
    currents = np.linspace(loads.min(), loads.max(), 401)
    droop = [model.v_open[code] - model.volts(np.full(len(currents), code), currents) for code in chosen]
    scale, volts = prefixed(np.array(droop), "V")
    for code, curve, colour in zip(chosen, droop, shades(len(chosen)), strict=True):
        here = codes == code
        upper.plot(factor * currents, scale * curve, color=colour, linewidth=0.8)
        dots(upper, factor * loads[here], scale * (model.v_open[code] - held_out.measured[here]), colour, f"{code}", 4)
        lower.plot(factor * currents, np.gradient(curve, currents), color=colour, linewidth=1.0)
    upper.set_ylabel(f"droop [{volts}]")
    lower.set_ylabel("slope [Ω]")
    lower.set_xlabel(f"load current [{unit}]")
    upper.legend(loc="upper left", title="code", title_fontsize=8.5, markerscale=2)
    return figure


def _plot_senseamps(
    models: Sequence[SenseAmplifierModel], held_out: Mapping[float, HeldOut], name: str, *, linear: bool = False
) -> Figure:
    figure, (axes,) = new_axes()
    factor, unit = prefixed(max(model.i_limit for model in models), "A")
    curves = []
    for model in models:
        v = getattr(model, name)
        low, high = model.linear_limits
        shown = (model.v_out >= low) & (model.v_out <= high) if linear else np.ones(len(v), dtype=bool)
        curves.append((model, model.currents[shown], v[shown]))
    scale, volts = prefixed(np.concatenate([v for _, _, v in curves]), "V")
    for (model, currents, v), colour in zip(curves, shades(len(curves)), strict=True):
        axes.plot(factor * currents, scale * v, color=colour, linewidth=0.9)
        points = held_out[model.r_feedback]
        i = points.coordinates["current [A]"]
        inside = np.flatnonzero((i >= currents[0]) & (i <= currents[-1]))
        some = inside[:: max(1, len(inside) // 40)]
        label = f"{model.r_feedback / 1e3:g} kΩ"
        dots(axes, factor * i[some], scale * points.measured[some], colour, label, 4)
    axes.set_xlabel(f"current into the virtual ground [{unit}]")
    axes.set_ylabel(f"{'input above' if name == 'v_in' else 'output below'} the reference [{volts}]")
    axes.legend(loc="upper left", title="r_feedback", title_fontsize=8.5, markerscale=2)
    return figure


@styled
def plot_sense_amplifier_output(models: Sequence[SenseAmplifierModel], held_out: Mapping[float, HeldOut]) -> Figure:
    """Plot outputs against currents; `held_out` holds points of the output by r_feedback."""
    return _plot_senseamps(models, held_out, "v_out")


@styled
def plot_sense_amplifier_input(models: Sequence[SenseAmplifierModel], held_out: Mapping[float, HeldOut]) -> Figure:
    """Plot inputs against currents; `held_out` holds points of the input by r_feedback."""
    return _plot_senseamps(models, held_out, "v_in")


@styled
def plot_virtual_ground(models: Sequence[SenseAmplifierModel], held_out: Mapping[float, HeldOut]) -> Figure:
    """Plot inputs against currents, within the linear range only."""
    return _plot_senseamps(models, held_out, "v_in", linear=True)


def _chosen_conductances(model: ProgrammableCell) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.geomspace(*model.g_limits, 5)


def _colour_bar(figure: Figure, axes: Axes, model: ProgrammableCell) -> ScalarMappable:
    """Add a colour bar of device conductances."""
    low, high = model.g_limits
    colours = ScalarMappable(LogNorm(1e6 * low, 1e6 * high), ORDERED)
    bar = figure.colorbar(colours, ax=axes, label="device conductance [µS]")
    ticks = 1e6 * _chosen_conductances(model)
    bar.set_ticks(list(ticks), labels=[f"{tick:.3g}" for tick in ticks], minor=False)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    return colours


def _plot_cell(model: ProgrammableCell, held_out: HeldOut, *, relative: bool) -> Figure:
    figure, (axes,) = new_axes()
    colours = _colour_bar(figure, axes, model)
    v = np.linspace(*model.v_limits, 201)
    v = v[np.abs(v) > 1e-3 * v[-1]]
    for g in _chosen_conductances(model):
        i = model.current(g, v)
        y = i / (g * v) if relative else 1e6 * i
        axes.plot(v, y, color=colours.to_rgba(np.asarray(1e6 * g)), linewidth=0.9)
    coordinates = held_out.coordinates
    near = np.abs(coordinates["u [V]"]) < 0.05 * model.u_limits[1]
    if relative:  # a current near 0 V says little about its ratio to g V
        near &= np.abs(coordinates["v [V]"]) > 0.03 * model.v_limits[1]
    g_near, v_near, i_near = coordinates["g [S]"][near], coordinates["v [V]"][near], held_out.measured[near]
    y_near = i_near / (g_near * v_near) if relative else 1e6 * i_near
    axes.scatter(v_near, y_near, c=colours.to_rgba(1e6 * g_near), s=12, linewidths=0, zorder=3)
    axes.set_xlabel("voltage across the cell [V]")
    axes.set_ylabel("current / (g · voltage)" if relative else "cell current [µA]")
    return figure


@styled
def plot_cell(model: ProgrammableCell, held_out: HeldOut) -> Figure:
    """Plot the current of a few cells against the voltage at u = 0, with the held-out points nearest to u = 0."""
    return _plot_cell(model, held_out, relative=False)


@styled
def plot_cell_nonlinearity(model: ProgrammableCell, held_out: HeldOut) -> Figure:
    """Plot the same currents relative to those of bare linear devices."""
    return _plot_cell(model, held_out, relative=True)


@styled
def plot_cell_bias(model: ProgrammableCell) -> Figure:
    """Plot what the bit line's voltage does to the current of a few cells at the read voltage."""
    figure, (axes,) = new_axes()
    colours = _colour_bar(figure, axes, model)
    u = np.linspace(*model.u_limits, 201)
    for g in _chosen_conductances(model):
        rest = model.current(g, model.v_read)
        change = model.current(g, model.v_read, u) / rest - 1
        axes.plot(u, 100 * change, color=colours.to_rgba(np.asarray(1e6 * g)))
    axes.set_xlabel("bit line above the reference [V]")
    axes.set_ylabel(f"change of current at {1e3 * model.v_read:g} mV [%]")
    return figure


@styled
def plot_residuals(
    held_out: Mapping[str, HeldOut], coordinate: str, *, label: str = "", scales: Mapping[str, float] | None = None
) -> Figure:
    """Plot the size of held-out errors on a logarithmic scale.

    Parameters
    ----------
    held_out : mapping of str to HeldOut
        Points, by label.
    coordinate : str
        The coordinate to draw along, with its unit in brackets.
    label : str
        Its name on the axis, without unit; by default its own.
    scales : mapping of str to float, optional
        Factors for the coordinate, by label; the labels then are an ordered series, and `label` states the unit.
    """
    figure, (axes,) = new_axes()
    colours = SERIES[: len(held_out)] if scales is None else shades(len(held_out))
    name, _, unit = coordinate.rstrip("]").partition(" [")
    every = np.concatenate([points.coordinates[coordinate] for points in held_out.values()])
    factor, unit = prefixed(every, unit) if unit and scales is None else (1.0, unit)
    for colour, (word, points) in zip(colours, held_out.items(), strict=True):
        x = points.coordinates[coordinate] * (factor if scales is None else scales[word])
        dots(axes, x, np.maximum(1e6 * np.abs(points.errors), _FLOOR), colour, word if len(held_out) > 1 else "", 4)
    axes.set_yscale("log")
    if scales is None:
        label = f"{label or name} [{unit}]" if unit else label or name
    axes.set_xlabel(label)
    axes.set_ylabel("size of the error [ppm of full scale]")
    if len(held_out) > 1:
        figure.legend(loc="outside upper left", ncols=4, markerscale=2, handletextpad=0.1, columnspacing=1.0)
    return figure
