"""The curves of a data sheet as one figure or page."""

import html
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spicesim.arrays import Floats
from spicesim.characterise.sheet import DataSheet
from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.plots.figure import SERIES, figure_svg, prefixed, shades, styled

__all__ = ["plot_sheet", "write_plot"]

_PAGE = """<!DOCTYPE html>
<html lang="en-GB"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ max-width: 50em; margin: 2em auto; padding: 0 1em; font: 15px/1.5 system-ui, sans-serif; color: #1d2125 }}
table {{ border-collapse: collapse; margin: 1em 0 2em }}
td, th {{ padding: .2em .8em .2em 0; border-bottom: 1px solid #d9dde1; text-align: left }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
svg {{ width: 100%; height: auto }}
</style></head><body>
<h1>{title}</h1>
<p>{where}</p>
<table><tr><th>quantity</th><th>value</th><th>with mismatch</th><th>condition</th></tr>
{rows}
</table>
{svg}
</body></html>
"""


@styled
def plot_sheet(sheet: DataSheet) -> Figure:
    """Draw all panels of a data sheet above each other.

    Raises
    ------
    SpecError
        If it has none.
    """
    count = len(sheet.panels)
    if count == 0:
        raise SpecError(f"the data sheet of {sheet.block!r} has no curves to draw")
    figure = Figure(figsize=(5.0, 2.6 * count), layout="constrained")
    for axes, panel in zip(figure.subplots(count, 1, squeeze=False)[:, 0], sheet.panels, strict=True):
        few = len(panel.curves) <= len(SERIES)
        colours = SERIES if few else shades(len(panel.curves))
        x, x_label = (1.0, panel.x_label) if panel.logarithmic else _prefix(panel.x, panel.x_label)
        y, y_label = _prefix(np.concatenate(list(panel.curves.values())), panel.y_label)
        for (name, curve), colour in zip(panel.curves.items(), colours, strict=False):
            axes.plot(x * panel.x, y * curve, color=colour, label=name)
        if panel.logarithmic:
            axes.set_xscale("log")
        axes.set_title(panel.title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(panel.curves) > 1:
            axes.legend()
    return figure


def _prefix(values: Floats, label: str) -> tuple[float, str]:
    """Choose an SI prefix for an axis whose label ends in an SI unit; other axes stay as they are."""
    name, _, unit = label.rstrip("]").partition(" [")
    if unit not in {"A", "V", "s"}:
        return 1.0, label
    factor, prefixed_unit = prefixed(values, unit)
    return factor, f"{name} [{prefixed_unit}]"


def write_plot(sheet: DataSheet, path: str | Path) -> None:
    """Write a data sheet with its curves as a page (.html), or its curves alone (.svg)."""
    bare = not sheet.panels and bool(sheet.failures)  # nothing of it could be measured, and the page says why
    svg = "" if bare else figure_svg(plot_sheet(sheet), name=sheet.block, label=sheet.title)
    if Path(path).suffix == ".svg":
        write_text(path, f"{svg}\n")
        return
    rows = []
    for entry in sheet.entries:
        spread = ""
        if entry.spread:
            spread = f"{entry.format_value(entry.spread.mean)} ± {entry.format_value(entry.spread.sigma)}"
        cells = [
            f"<td>{html.escape(entry.text)}</td>",
            *(f'<td class="number">{html.escape(text)}</td>' for text in (entry.format_value(entry.value), spread)),
            f"<td>{html.escape(entry.remark)}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    where = f"{sheet.process}, {sheet.temperature_c:g} °C, chip {sheet.chip} ({sheet.chip_hash})"
    count = next((found.spread.samples for found in sheet.entries if found.spread), 0)
    where += f", {count} samples of mismatch, seed {sheet.seed}" if count else ""
    page = _PAGE.format(title=html.escape(sheet.title), where=html.escape(where), rows="\n".join(rows), svg=svg)
    write_text(path, page)
