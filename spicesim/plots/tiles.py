"""Figures of whole tiles: model against transistor level, and where the voltage goes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from spicesim.plots.figure import MUTED, SERIES, dots, new_axes, prefixed, shades, styled

__all__ = ["plot_error_by_vector", "plot_ir_drop", "plot_ir_drop_profile", "plot_parity"]

_DRAWN = 1200
"""Points drawn at most; the largest errors are always among them."""


@styled
def plot_parity(
    measured: npt.ArrayLike, predicted: npt.ArrayLike, full_scale: npt.ArrayLike, saturated: npt.ArrayLike | None = None
) -> Figure:
    """Plot predicted against measured outputs, and below the residuals.

    Parameters
    ----------
    measured, predicted : array_like of shape (points,)
        Amplifier outputs below the reference [V].
    full_scale : array_like of shape (points,) or ()
        Swing of each output [V].
    saturated : array_like of bool, shape (points,), optional
        Outputs to draw in a colour of their own.
    """
    x, y = np.asarray(measured, dtype=float).ravel(), np.asarray(predicted, dtype=float).ravel()
    errors = 1e6 * (y - x) / np.asarray(full_scale, dtype=float)
    split = np.zeros(x.shape, dtype=bool) if saturated is None else np.asarray(saturated, dtype=bool).ravel()
    shown = np.ones(x.shape, dtype=bool)
    if x.size > _DRAWN:
        shown[:] = False
        shown[np.argsort(np.abs(errors))[-_DRAWN // 4 :]] = True
        shown[:: -(-x.size * 4 // (3 * _DRAWN))] = True
    figure, (upper, lower) = new_axes(4.6, rows=2, ratios=(3, 2))
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    upper.plot(ends, ends, color=MUTED, linewidth=0.7)
    lower.axhline(0, color=MUTED, linewidth=0.7)
    for flag, colour, label in ((False, SERIES[0], "linear range"), (True, SERIES[1], "saturated")):
        here = shown & (split == flag)
        if here.any():
            dots(upper, x[here], y[here], colour, label if split.any() else "", 4)
            dots(lower, x[here], errors[here], colour, size=4)
    if split.any():
        upper.legend(loc="upper left", markerscale=2)
    upper.set_ylabel("behavioural model [V]")
    lower.set_ylabel("error of the model\n[ppm of full scale]")
    lower.set_xlabel("output, positive for positive products, ngspice [V]")
    return figure


@styled
def plot_ir_drop(loss: npt.ArrayLike) -> Figure:
    """Map the voltage that each cell of a tile lacks.

    Parameters
    ----------
    loss : array_like of shape (rows, columns)
        Voltage between driver and virtual ground that is not across the cell [V].
    """
    drop = np.asarray(loss, dtype=float)
    rows, columns = drop.shape
    figure, (axes,) = new_axes(min(6.0, max(2.6, 4.4 * rows / columns + 0.6)))
    factor, unit = prefixed(drop, "V")
    image = axes.imshow(factor * drop, cmap="viridis", interpolation="none", aspect="auto", origin="upper")
    axes.grid(visible=False)
    axes.set_xlabel("bit line (column)")
    axes.set_ylabel("word line (row)")
    bar = figure.colorbar(image, ax=axes, label=f"voltage lost [{unit}]")
    bar.outline.set_visible(False)
    return figure


@styled
def plot_ir_drop_profile(loss: npt.ArrayLike) -> Figure:
    """Plot the voltage that the cells of a few word lines lack, along the line; `loss` as in :func:`plot_ir_drop`."""
    drop = np.asarray(loss, dtype=float)
    figure, (axes,) = new_axes()
    factor, unit = prefixed(drop, "V")
    chosen = np.unique(np.linspace(0, len(drop) - 1, 4).round().astype(int))
    for row, colour in zip(chosen, shades(len(chosen)), strict=True):
        axes.plot(factor * drop[row], color=colour, marker=".", markersize=3, linewidth=0.9, label=f"{row}")
    axes.set_xlabel("bit line (column)")
    axes.set_ylabel(f"voltage lost [{unit}]")
    figure.legend(loc="outside upper left", ncols=5, title="word line (row)", title_fontsize=8.5, alignment="left")
    return figure


@styled
def plot_error_by_vector(names: Sequence[str], errors: Sequence[float], saturating: Sequence[bool]) -> Figure:
    """Plot the largest error of each simulated vector, by the kind of the vector.

    Parameters
    ----------
    names : sequence of str
        Kind of each vector; equal names share a line.
    errors : sequence of float
        Its largest error, as a fraction of full scale.
    saturating : sequence of bool
        Whether a column of it saturated.
    """
    kinds = list(dict.fromkeys(names))
    figure, (axes,) = new_axes(0.9 + 0.28 * len(kinds))
    places = np.array([kinds.index(name) for name in names])
    ppm, flags = 1e6 * np.asarray(errors, dtype=float), np.asarray(saturating, dtype=bool)
    for flag, colour, label in ((False, SERIES[0], "all columns linear"), (True, SERIES[1], "some saturated")):
        if (flags == flag).any():
            dots(axes, ppm[flags == flag], places[flags == flag], colour, label, 6)
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("largest error of a vector [ppm of full scale]")
    figure.legend(loc="outside upper left", ncols=2, handletextpad=0.1)
    return figure
