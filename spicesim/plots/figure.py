"""Figures as inline SVG: one style, colours that follow the page, the same text for the same data."""

import functools
import html
import io
import math
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

__all__ = ["MUTED", "ORDERED", "SERIES", "dots", "figure_svg", "log_axis", "new_axes", "prefixed", "shades", "styled"]

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

INK, MUTED, RULE = "#1d2125", "#5c656e", "#d9dde1"
SERIES = ("#2f6f9f", "#c8553d", "#3c8d5a", "#a8741a")
"""Colours of a few series, told apart by the colour-blind too."""

ORDERED = ListedColormap(colormaps["viridis"](np.linspace(0.25, 0.9, 256)), "ordered")
"""Colours of an ordered series: the middle of viridis, to be seen on white and on black."""

_PAGE_COLOURS = {INK: "ink", MUTED: "muted", RULE: "rule"} | {c: f"series-{k}" for k, c in enumerate(SERIES, 1)}
"""Colours that the page may change, as CSS variables."""

_STYLE = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.0,
    "axes.titlecolor": INK,
    "axes.formatter.useoffset": False,
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}
_CLUTTER = re.compile(r' id="[A-Za-z0-9.]+_\d+"|font-family: [^;"]*;? ?|\n *')
"""Group ids, which would repeat on a page; fonts, which are the page's; line breaks."""
_SIZE = re.compile(r' (?:width|height)="[\d.]+pt"')
_COORDINATES = re.compile(r'( (?:d|x|y)=")([^"]*)"')
_USES = re.compile(r"<g([^>]*)>((?:<use [^>]*/>)+)</g>")
_STYLE_OF_USE = re.compile(r' style="([^"]*)"')
_LONG_NUMBER = re.compile(r"(\.\d\d)\d+")
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def styled(plot: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Make a plot function draw in the style of the reports, whatever the user's matplotlib settings."""

    @functools.wraps(plot)
    def draw(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        with style.context(["default", _STYLE]):
            return plot(*args, **kwargs)

    return draw


def new_axes(
    height: float = 3.3, *, rows: int = 1, ratios: tuple[float, ...] | None = None
) -> tuple[Figure, list[Axes]]:
    """Make a figure one column wide, with `rows` axes above each other that share x.

    Parameters
    ----------
    height : float
        Height of the figure [inch]; its width is 5.
    rows : int
        Number of axes.
    ratios : tuple of float, optional
        Their heights relative to each other.
    """
    figure = Figure(figsize=(5.0, height), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False, height_ratios=ratios)[:, 0]
    return figure, list(axes)


def dots(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, colour: Any, label: str = "", size: float = 2.6) -> None:
    """Draw points."""
    axes.plot(x, y, ".", color=colour, markersize=size, markeredgewidth=0, label=label or None)


def log_axis(axes: Axes) -> None:
    """Make y logarithmic, with plain numbers: between decades only where there is room for them."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.2, 0.5)))


def prefixed(values: npt.ArrayLike, unit: str) -> tuple[float, str]:
    """Choose the SI prefix for an axis of these values.

    Returns
    -------
    factor : float
        What to multiply values by.
    unit : str
        The unit with its prefix.
    """
    largest = float(np.abs(np.asarray(values)).max(initial=0.0))
    exponent = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest > 0 else 0
    exponent = min(max(exponent, min(_PREFIXES)), max(_PREFIXES))
    return 10.0**-exponent, _PREFIXES[exponent] + unit.replace("ohm", "Ω")


def shades(count: int) -> list[tuple[float, ...]]:
    """Return ordered colours of :data:`ORDERED`."""
    return [tuple(colour) for colour in ORDERED(np.linspace(0.0, 0.9, count))]


def figure_svg(figure: Figure, *, name: str = "figure", label: str = "") -> str:
    """Render a figure as an ``<svg>`` element for a page of HTML.

    Text stays text. Colours of the style become CSS variables (``--ink``, ``--muted``, ``--rule``, ``--series-1``..)
    that fall back to themselves.

    Parameters
    ----------
    figure : Figure
        The figure.
    name : str
        Makes the ids inside unique on a page.
    label : str
        What it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with style.context(["default", _STYLE, {"svg.fonttype": "none", "svg.hashsalt": name}]):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].strip()
    svg = re.sub(r"\s*<style.*?</style>", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    head = _SIZE.sub("", head) + f' role="img" aria-label="{html.escape(label)}"'
    body = _COORDINATES.sub(lambda m: m[1] + _LONG_NUMBER.sub(r"\1", " ".join(m[2].split())) + '"', body)
    body = _USES.sub(_share_style, _CLUTTER.sub("", body))
    for colour, variable in _PAGE_COLOURS.items():
        body = body.replace(colour, f"var(--{variable}, {colour})")
    return f"{head}>{body}"


def _share_style(match: re.Match[str]) -> str:
    """State the style of many equal markers once, in their group."""
    attributes, uses = match.groups()
    styles = set(_STYLE_OF_USE.findall(uses))
    if len(styles) != 1 or "style" in attributes:
        return match[0]
    return f'<g{attributes} style="{styles.pop()}">{_STYLE_OF_USE.sub("", uses)}</g>'
