"""Figures of a network's run: how often it is right, where it errs, and which layer loses precision."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spicesim.plots.figure import MUTED, SERIES, new_axes, styled

__all__ = ["plot_accuracies", "plot_budget", "plot_confusion", "plot_error_distribution", "plot_layer_snr"]

_COUNTED = 16
"""Most classes whose counts are written into a confusion matrix."""


def _plot_bars(labels: Sequence[str], values: Sequence[float], texts: Sequence[str], axis: str) -> Figure:
    figure, (axes,) = new_axes(0.8 + 0.3 * len(labels))
    places = np.arange(len(labels))
    axes.barh(places, values, color=SERIES[0], height=0.6)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for place, value, text in zip(places, values, texts, strict=True):
        axes.annotate(text, (max(value, 0.0), place), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_xlabel(axis)
    axes.margins(x=0.14)
    return figure


@styled
def plot_accuracies(labels: Sequence[str], accuracies: Sequence[float]) -> Figure:
    """Plot the share of right answers of several ways to run a network [fractions]."""
    figure = _plot_bars(labels, [100 * a for a in accuracies], [f"{100 * a:.2f}" for a in accuracies], "accuracy [%]")
    figure.axes[0].set_xlim(0, 114)
    figure.axes[0].set_xticks(range(0, 101, 20))
    return figure


@styled
def plot_layer_snr(names: Sequence[str], snr_db: Sequence[float]) -> Figure:
    """Plot the signal-to-noise ratio of each layer [dB]; those without error or signal get no bar."""
    finite = [value if np.isfinite(value) else 0.0 for value in snr_db]
    texts = ["∞" if value == np.inf else f"{value:.1f}" if np.isfinite(value) else "none" for value in snr_db]
    return _plot_bars(names, finite, texts, "signal-to-noise ratio [dB]")


@styled
def plot_confusion(counts: npt.ArrayLike, labels: Sequence[str]) -> Figure:
    """Plot a confusion matrix.

    Parameters
    ----------
    counts : array_like of int, shape (classes, classes)
        Inputs by true class (row) and answer (column).
    labels : sequence of str
        Names of the classes.
    """
    table = np.asarray(counts)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    figure, (axes,) = new_axes(4.4)
    image = axes.imshow(100 * share, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="none")
    axes.grid(visible=False)
    if len(labels) <= _COUNTED:
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(table):
            ink = "#f8f8f8" if share[row, column] > 0.3 else "#101010"
            if count:
                axes.text(column, row, f"{count:d}", ha="center", va="center", fontsize=8.5, color=ink)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, color=MUTED)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    bar = figure.colorbar(image, ax=axes, label="share of the true class [%]", ticks=[0, 1, 5, 20, 50, 100])
    bar.outline.set_visible(False)
    return figure


@styled
def plot_error_distribution(errors: npt.ArrayLike, product_errors: npt.ArrayLike) -> Figure:
    """Plot which share of outputs, and of products by their largest error, lies below an error.

    Parameters
    ----------
    errors : array_like of shape (outputs,)
        Errors, as fractions of full scale.
    product_errors : array_like of shape (products,)
        Largest error of each product, as fractions of full scale.
    """
    figure, (axes,) = new_axes()
    for values, colour, label in ((errors, SERIES[0], "outputs"), (product_errors, SERIES[1], "products")):
        sizes = np.maximum(np.sort(np.abs(np.asarray(values, dtype=float))) * 1e6, 1e-3)
        axes.step(sizes, 100 * np.arange(1, len(sizes) + 1) / len(sizes), where="post", color=colour, label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 102)
    axes.set_xlabel("size of the error [ppm of full scale]")
    axes.set_ylabel("share below [%]")
    axes.legend(loc="upper left")
    return figure


@styled
def plot_budget(
    names: Sequence[str], alone: npt.ArrayLike, without: npt.ArrayLike, total: tuple[float, float, float]
) -> Figure:
    """Plot the error budget of a network, as shares of the whole error's power.

    Parameters
    ----------
    names : sequence of str
        Parts of the budget.
    alone : array_like of shape (parts, 3)
        Power of each part with the ends of its interval.
    without : array_like of shape (parts, 3)
        What the power loses without it; NaN where that has no meaning.
    total : tuple of float
        Power of the whole with the ends of its interval.
    """
    figure, (axes,) = new_axes(1.0 + 0.34 * (len(names) + 1))
    places = np.arange(len(names) + 1)
    unit = 100 / total[0] if total[0] > 0 else 0.0
    series = (
        ("each alone", SERIES[0], "o", -0.13, np.vstack([np.asarray(alone, dtype=float), total])),
        ("lost without it", SERIES[1], "s", 0.13, np.vstack([np.asarray(without, dtype=float), [np.nan] * 3])),
    )
    axes.axvline(0, color=MUTED, linewidth=0.7)
    for label, colour, marker, shift, values in series:
        shares = unit * values
        axes.hlines(places + shift, shares[:, 1], shares[:, 2], color=colour, linewidth=1.2)
        axes.plot(shares[:, 0], places + shift, marker, color=colour, markersize=4.5, label=label)
    axes.set_yticks(places, [*names, "whole chip"])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("power of the error of the first output [% of the whole chip's]")
    figure.legend(loc="outside upper left", ncols=2, handletextpad=0.1)
    return figure
