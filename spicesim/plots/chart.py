"""Charts as data: what a figure shows, with units and bands, kept as JSON and CSV, and how it is drawn."""

import csv
import io
from typing import Any, Literal, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field, model_validator

from spicesim.behavioural.arrays import FloatArray, Model
from spicesim.plots.figure import MUTED, ORDERED, SERIES, log_axis, new_axes, styled

__all__ = ["Chart", "Grid", "Panel", "Series", "chart_csv", "chart_file", "plot_chart"]

_MARKERS = "os^Dv"
_WIDE = 1e3
"""Places of a logarithmic axis that reach no farther than this are written out."""
_ENOB = (6.02, 1.76)
"""Decibels a bit, and those of a sine's own shape."""


class Series(Model):
    """A line, with a band around it or none."""

    label: str
    """What it is; empty for none in the legend."""
    x: FloatArray
    """Places."""
    y: FloatArray
    """Values."""
    low: FloatArray | None = None
    """Lower edge of the band."""
    high: FloatArray | None = None
    """Upper edge of the band."""
    style: Literal["line", "limit", "curve"] = "line"
    """line: measured points, joined; limit: a known law, dashed and grey; curve: many points, without markers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        shapes = {array.shape for array in (self.x, self.y, self.low, self.high) if array is not None}
        if len(shapes) != 1 or self.x.ndim != 1 or (self.low is None) != (self.high is None):
            raise ValueError("a series has as many values as places, and a band both of its edges")
        return self


class Panel(Model):
    """Axes with some series; panels of a chart share x."""

    y_label: str
    """What y is, with its unit."""
    series: tuple[Series, ...]
    """What it shows."""
    y_log: bool = False
    """Whether y is logarithmic."""
    enob: bool = False
    """Whether y is a signal-to-noise ratio in dB, so that effective bits stand at the right."""


class Grid(Model):
    """Numbers by two names."""

    rows: tuple[str, ...]
    """Names down."""
    columns: tuple[str, ...]
    """Names across."""
    values: FloatArray
    """Numbers, (rows, columns)."""
    unit: str
    """What they are, with their unit."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.values.shape != (len(self.rows), len(self.columns)):
            raise ValueError("a grid has one value for each row and column")
        return self


class Chart(Model):
    """A figure as data."""

    title: str
    """What it shows, in a few words."""
    caption: str
    """What bands mean, how many chips, which engine, what is ideal."""
    kind: Literal["lines", "histogram", "matrix", "shares"] = "lines"
    """How it is drawn."""
    x_label: str = ""
    """What x is, with its unit; of a histogram what its values are."""
    x_log: bool = False
    """Whether x is logarithmic."""
    panels: tuple[Panel, ...] = Field(default=())
    """Of lines; of a histogram one, each series a sample in its y."""
    grid: Grid | None = None
    """Of a matrix; of shares, bars down and pieces across."""


def chart_csv(chart: Chart) -> str:
    """Format a chart's numbers as CSV: a row a point, or of a grid a row a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if chart.grid is not None:
        writer.writerow([chart.grid.unit, *chart.grid.columns])
        writer.writerows(
            [name, *map(repr, map(float, row))] for name, row in zip(chart.grid.rows, chart.grid.values, strict=True)
        )
    else:
        writer.writerow(["series", chart.x_label, "what", "value", "low", "high"])
    for panel in chart.panels:
        for series in panel.series:
            for k, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
                band = ["", ""]
                if series.low is not None and series.high is not None:
                    band = [repr(float(series.low[k])), repr(float(series.high[k]))]
                writer.writerow([series.label, repr(float(x)), panel.y_label, repr(float(y)), *band])
    return text.getvalue()


@styled
def plot_chart(chart: Chart) -> Figure:
    """Draw a chart."""
    if chart.grid is not None:
        return _plot_matrix(chart, chart.grid) if chart.kind == "matrix" else _plot_shares(chart.grid)
    figure, axes = new_axes(2.1 + 1.6 * len(chart.panels), rows=len(chart.panels))
    for one, panel in zip(axes, chart.panels, strict=True):
        if chart.kind == "histogram":
            _draw_histogram(one, panel)
        else:
            _draw_lines(one, panel)
    axes[-1].set_xlabel(chart.x_label)
    if chart.x_log:
        axes[-1].set_xscale("log")
        places = np.unique(np.concatenate([series.x for panel in chart.panels for series in panel.series]))
        if len(places) <= 8 and places[-1] < _WIDE * places[0]:
            axes[-1].set_xticks(places, [f"{place:g}" for place in places])
            axes[-1].minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper left", ncols=2 if max(map(len, labels)) > 18 else 3)
    return figure


def _draw_lines(axes: Axes, panel: Panel) -> None:
    measured = 0
    for series in panel.series:
        if series.style == "limit":
            axes.plot(series.x, series.y, color=MUTED, linestyle=_dashes(axes), linewidth=1.1, label=series.label)
            continue
        colour, marker = SERIES[measured % len(SERIES)], _MARKERS[measured % len(_MARKERS)]
        measured += 1
        marker = "" if series.style == "curve" else marker
        axes.plot(series.x, series.y, color=colour, label=series.label or None, marker=marker, markersize=4.0)
        if series.low is not None and series.high is not None:
            axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.22, linewidth=0)
    axes.set_ylabel(panel.y_label)
    if panel.y_log:
        log_axis(axes)
    if panel.enob:
        bits = axes.secondary_yaxis("right", functions=(_effective_bits, _ratio))
        bits.set_ylabel("effective bits")


def _effective_bits(ratio: Any) -> Any:
    """Return effective bits of signal-to-noise ratios in dB."""
    return (ratio - _ENOB[1]) / _ENOB[0]


def _ratio(bits: Any) -> Any:
    """Return the ratios of effective bits in dB."""
    return _ENOB[0] * bits + _ENOB[1]


def _dashes(axes: Axes) -> tuple[int, tuple[float, ...]]:
    """Return dashes that no limit of these axes has yet."""
    kinds: tuple[tuple[float, ...], ...] = ((4, 2), (1, 1.5), (6, 1.5, 1, 1.5))
    return 0, kinds[sum(line.get_linestyle() == "--" for line in axes.get_lines()) % len(kinds)]


def _draw_histogram(axes: Axes, panel: Panel) -> None:
    for colour, series in zip(SERIES, panel.series, strict=False):
        values = np.sort(series.y)
        axes.hist(values, bins=max(5, min(30, round(2 * len(values) ** 0.5))), color=colour, alpha=0.75)
        axes.set_ylabel(panel.y_label)
        beside = axes.twinx()
        beside.spines["right"].set_visible(True)
        beside.grid(visible=False)
        at_least = 100 * np.arange(len(values), 0, -1) / len(values)
        beside.step(values, at_least, where="pre", color=SERIES[1], linewidth=1.2)
        beside.set_ylim(0, 105)
        beside.set_ylabel("chips at or above it [%]")


def _plot_matrix(chart: Chart, grid: Grid) -> Figure:
    figure, (axes,) = new_axes(1.4 + 0.42 * len(grid.rows))
    low, high = float(grid.values.min()), float(grid.values.max())
    image = axes.imshow(grid.values, cmap=ORDERED, aspect="auto", vmin=low, vmax=high if high > low else low + 1)
    for (i, j), value in np.ndenumerate(grid.values):
        axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=8, color="#000000")
    axes.set_xticks(range(len(grid.columns)), grid.columns, parse_math=False)
    axes.set_yticks(range(len(grid.rows)), grid.rows, parse_math=False)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel(chart.x_label)
    figure.colorbar(image, ax=axes, label=grid.unit, shrink=0.9)
    return figure


def _plot_shares(grid: Grid) -> Figure:
    figure, (axes,) = new_axes(1.0 + 0.35 * len(grid.rows))
    start, places = np.zeros(len(grid.rows)), np.arange(len(grid.rows))
    for k, piece in enumerate(grid.columns):
        axes.barh(places, grid.values[:, k], left=start, height=0.6, color=SERIES[k % len(SERIES)], label=piece)
        start = start + grid.values[:, k]
    axes.set_yticks(places, grid.rows, parse_math=False)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(grid.unit)
    figure.legend(loc="outside upper left", ncols=len(grid.columns))
    return figure


def chart_file(figure: Figure, kind: Literal["pdf", "svg"]) -> bytes:
    """Render a figure for a paper: letters stay letters, and the same figure gives the same bytes."""
    from matplotlib import style

    buffer = io.BytesIO()
    nothing = {"CreationDate": None} if kind == "pdf" else {"Date": None}
    with style.context({"svg.fonttype": "none", "svg.hashsalt": "spicesim", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, metadata=nothing)
    return buffer.getvalue()
