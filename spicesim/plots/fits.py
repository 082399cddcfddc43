"""Figures of fits: whether residuals are noise, and which estimates hang together."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from spicesim.arrays import Floats
from spicesim.behavioural.response import Gaussian
from spicesim.calibration.fit import Fit
from spicesim.plots.figure import MUTED, SERIES, dots, new_axes, shades, styled

__all__ = ["plot_correlation", "plot_joint", "plot_quantiles"]

_COUNTED = 12
"""Most parameters whose correlations are written into the matrix."""


@styled
def plot_quantiles(fits: Mapping[str, Fit]) -> Figure:
    """Plot the sorted residuals of fits, in their standard deviations, against those of a Gaussian.

    Parameters
    ----------
    fits : mapping of str to Fit
        By label; more than four are an ordered series.
    """
    figure, (axes,) = new_axes(3.6)
    colours = SERIES if len(fits) <= len(SERIES) else shades(len(fits))
    largest = 3.0
    for colour, (label, fit) in zip(colours, fits.items(), strict=False):
        size = fit.rms or 1.0
        count = len(fit.residuals)
        expected = ndtri((np.arange(count) + 0.5) / count)
        dots(axes, expected, np.sort(fit.residuals) / size, colour, label if len(fits) > 1 else "", 4)
        largest = max(largest, float(expected[-1]), float(np.abs(fit.residuals).max() / size))
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.7)
    axes.set_xlim(-3.6, 3.6)
    axes.set_ylim(-1.08 * largest, 1.08 * largest)
    axes.set_xlabel("quantile of a Gaussian [standard deviations]")
    axes.set_ylabel("residual [its RMS]")
    if len(fits) > 1:
        figure.legend(loc="outside upper left", ncols=4, markerscale=2, handletextpad=0.1, columnspacing=1.0)
    return figure


@styled
def plot_correlation(fit: Fit) -> Figure:
    """Plot how the estimates of one fit are correlated."""
    return _plot_matrix(list(fit.parameters), fit.correlation, "estimate of")


@styled
def plot_joint(distribution: Gaussian) -> Figure:
    """Plot how the parameters of drawn blocks are correlated."""
    names = [name.partition(" [")[0].replace("weight of ", "") for name in distribution.names]
    return _plot_matrix(names, distribution.correlation, "")


def _plot_matrix(names: Sequence[str], correlation: Floats, label: str) -> Figure:
    figure, (axes,) = new_axes(max(2.4, min(4.4, 1.2 + 0.32 * len(names))))
    image = axes.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    if len(names) <= _COUNTED:
        for (row, column), value in np.ndenumerate(correlation):
            ink = "#f8f8f8" if abs(value) > 0.6 else "#101010"
            text = "1" if row == column else f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")
            axes.text(column, row, text, ha="center", va="center", fontsize=7 if len(names) > 6 else 8.5, color=ink)
    else:
        bar = figure.colorbar(image, ax=axes, ticks=[-1, -0.5, 0, 0.5, 1], label="correlation")
        bar.outline.set_visible(False)
    axes.set_xlabel(label)
    return figure
