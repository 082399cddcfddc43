"""Figures of hold switches of floating bit lines."""

import numpy as np
from matplotlib.figure import Figure

from spicesim.behavioural.hold import HoldModel
from spicesim.calibration.heldout import HeldOut
from spicesim.plots.figure import dots, new_axes, shades, styled

__all__ = ["plot_pedestals"]


@styled
def plot_pedestals(model: HoldModel, held_out: HeldOut) -> Figure:
    """Plot what switches add to their lines against the lines' voltages, by cells a line; held-out points as dots."""
    figure, (axes,) = new_axes()
    volts = np.linspace(-model.v_span, model.v_span, 101)
    middle = float(np.exp(np.log(held_out.coordinates["cell [S]"]).mean()))
    line, cells = held_out.coordinates["line [V]"], held_out.coordinates["cells"]
    nearest = np.abs(np.log(cells[:, None] / np.array(model.rows))).argmin(axis=1)
    for k, (rows, colour) in enumerate(zip(model.rows, shades(len(model.rows)), strict=True)):
        added = [float(model.held(v, rows * middle, rows)) - v for v in volts]
        axes.plot(1e3 * volts, 1e3 * np.array(added), color=colour, linewidth=0.9)
        here = nearest == k
        dots(axes, 1e3 * line[here], 1e3 * (held_out.measured[here] - line[here]), colour, f"{rows}", 5)
    axes.set_xlabel("line above the reference [mV]")
    axes.set_ylabel("added by the switch [mV]")
    axes.legend(loc="upper left", title="cells a line", title_fontsize=8.5, markerscale=2)
    return figure
