"""Figures of a network's run: how often it is right, where it errs, and which layer loses precision."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from spicesim.plots.figure import MUTED, SERIES, new_axes, shades, styled

__all__ = [
    "plot_accuracies",
    "plot_budget",
    "plot_confusion",
    "plot_error_distribution",
    "plot_layer_snr",
    "plot_shares",
    "plot_tile_map",
]

_COUNTED = 16
"""Most classes whose counts are written into a confusion matrix."""


def _plot_bars(
    labels: Sequence[str], values: Sequence[float], texts: Sequence[str], axis: str, ends: Sequence[float] | None = None
) -> Figure:
    figure, (axes,) = new_axes(0.8 + 0.3 * len(labels))
    places = np.arange(len(labels))
    axes.barh(places, values, color=SERIES[0], height=0.6)
    axes.set_yticks(places, labels, parse_math=False)  # names may hold a $
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for place, end, text in zip(places, ends or values, texts, strict=True):
        axes.annotate(text, (max(end, 0.0), place), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_xlabel(axis)
    axes.margins(x=0.14)
    return figure


@styled
def plot_accuracies(
    labels: Sequence[str], accuracies: Sequence[float], intervals: Sequence[tuple[float, float] | None] = ()
) -> Figure:
    """Plot the share of right answers of several ways to run a network, with intervals if there are any [fractions]."""
    intervals = intervals or [None] * len(labels)
    ends = [100 * (a if i is None else i[1]) for a, i in zip(accuracies, intervals, strict=True)]
    texts = [f"{100 * a:.2f}" for a in accuracies]
    figure = _plot_bars(labels, [100 * a for a in accuracies], texts, "accuracy [%]", ends)
    for place, interval in enumerate(intervals):
        if interval is not None:
            figure.axes[0].plot([100 * end for end in interval], [place, place], color=SERIES[1], linewidth=1.5)
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
    axes.set_yticks(places, [*names, "whole chip"], parse_math=False)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("power of the error of the first output [% of the whole chip's]")
    figure.legend(loc="outside upper left", ncols=2, handletextpad=0.1)
    return figure


@styled
def plot_shares(names: Sequence[str], parts: Sequence[str], values: npt.ArrayLike, axis: str) -> Figure:
    """Plot what sums consist of: one bar a name, in pieces.

    Parameters
    ----------
    names : sequence of str
        Of the bars.
    parts : sequence of str
        Of the pieces.
    values : array_like of shape (names, parts)
        Sizes of the pieces, as percentages of all bars together.
    axis : str
        What the axis shows.
    """
    figure, (axes,) = new_axes(1.0 + 0.3 * len(names))
    places, start = np.arange(len(names)), np.zeros(len(names))
    for k, (part, piece) in enumerate(zip(parts, np.asarray(values, dtype=float).T, strict=True)):
        axes.barh(places, piece, left=start, color=SERIES[k % len(SERIES)], height=0.6, label=part)
        start = start + piece
    axes.set_yticks(places, names, parse_math=False)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(axis)
    figure.legend(loc="outside upper left", ncols=len(parts))
    return figure


@styled
def plot_tile_map(layers: npt.ArrayLike, used: npt.ArrayLike, array: tuple[int, int], names: Sequence[str]) -> Figure:
    """Plot which part of each array a layer takes.

    Parameters
    ----------
    layers : array_like of int, shape (tiles,)
        Layer of each tile.
    used : array_like of int, shape (tiles, 2)
        Rows and columns that it takes.
    array : tuple of int
        Rows and columns of an array.
    names : sequence of str
        Of the layers.
    """
    numbers, sizes = np.asarray(layers), np.asarray(used, dtype=float) / np.asarray(array)
    across = min(len(numbers), max(8, round(np.sqrt(2 * len(numbers)))))
    down = -(-len(numbers) // across)
    # named layers on the page are few; many share a range of colours
    few = len(names) <= len(SERIES) + 4
    colours = (*SERIES, *shades(4)) if few else shades(len(names))
    figure, (axes,) = new_axes(min(6.0, max(1.2, 0.5 + 4.6 * down / across)))
    for tile, (number, (rows, columns)) in enumerate(zip(numbers, sizes, strict=True)):
        x, y = tile % across, tile // across
        axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, facecolor="none", edgecolor=MUTED, linewidth=0.5))
        # drivers stand at the left and amplifiers below: that corner is taken first
        axes.add_patch(
            Rectangle(
                (x + 0.05, y + 0.95 - 0.9 * rows), 0.9 * columns, 0.9 * rows, facecolor=colours[number], alpha=0.85
            )
        )
    axes.set_xlim(0, across)
    axes.set_ylim(down, 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if few:
        handles = [Rectangle((0, 0), 1, 1, facecolor=colours[k]) for k in range(len(names))]
        legend = figure.legend(handles, list(names), loc="outside upper left", ncols=min(5, len(names)))
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure
