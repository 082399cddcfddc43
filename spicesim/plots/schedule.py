"""Figures of schedules: what stacks and grouping cost, and which stack works when."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from spicesim.plots.figure import SERIES, new_axes, prefixed, shades, styled

__all__ = ["plot_against_stacks", "plot_occupation"]

_MARKERS = "os^D"


@styled
def plot_against_stacks(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], axis: str, unit: str = "", *, x_axis: str = "stacks"
) -> Figure:
    """Plot a quantity against the number of stacks.

    Parameters
    ----------
    lines : mapping of str to (x, y)
        Numbers of stacks and values, by label.
    axis : str
        What the values are.
    unit : str
        Their SI unit; fractions have none and are drawn in %.
    x_axis : str
        What stands on the other axis.
    """
    figure, (axes,) = new_axes(3.0)
    factor, shown = prefixed([y for _, values in lines.values() for y in values], unit) if unit else (100.0, "%")
    ticks: set[float] = set()
    for number, (label, (x, y)) in enumerate(lines.items()):
        colour, marker = SERIES[number % len(SERIES)], _MARKERS[number % len(_MARKERS)]
        axes.plot(x, factor * np.asarray(y), color=colour, marker=marker, markersize=4, label=label)
        ticks.update(x)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
    axes.set_ylim(
        0, 1.08 * factor * max((value for _, values in lines.values() for value in values), default=1.0) or 1.0
    )
    axes.set_xlabel(x_axis)
    axes.set_ylabel(f"{axis} [{shown}]")
    axes.legend()
    return figure


@styled
def plot_occupation(
    rows: npt.ArrayLike, spans: npt.ArrayLike, tokens: npt.ArrayLike, changes: npt.ArrayLike, *, name: str = "token"
) -> Figure:
    """Plot which stack works when, for which token.

    Parameters
    ----------
    rows : array_like of int, shape (jobs,)
        Row of each job's stack.
    spans : array_like of shape (jobs, 2)
        Begin and end of each [s].
    tokens : array_like of int, shape (jobs,)
        Its token.
    changes : array_like of bool, shape (jobs,)
        Whether a tier is changed at its begin.
    name : str
        What a token is.
    """
    where, times, whose = np.asarray(rows), np.asarray(spans, dtype=float), np.asarray(tokens)
    figure, (axes,) = new_axes(4.4)
    factor, unit = prefixed(times, "s")
    present = np.unique(whose)
    for token, colour in zip(present, shades(len(present)), strict=True):
        own = whose == token
        left, right = factor * times[own, 0], factor * times[own, 1]
        axes.barh(where[own], right - left, left=left, height=0.8, color=colour, label=f"{name} {token}", linewidth=0)
    changed = np.asarray(changes, dtype=bool)
    if changed.any():
        axes.plot(
            factor * times[changed, 0], where[changed], "|", color=SERIES[1], markersize=3, label="change of tier"
        )
    axes.invert_yaxis()
    axes.set_xlabel(f"time [{unit}]")
    axes.set_ylabel("stack, in the order of first use")
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
