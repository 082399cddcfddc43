"""The curves of a data sheet as one figure or page."""

import html
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spicesim.arrays import Floats
from spicesim.bound import CONFIDENCE
from spicesim.characterise.limits import Verdict
from spicesim.characterise.matrix import matrix_rows
from spicesim.characterise.sheet import DataSheet
from spicesim.characterise.yields import Yield, least_yields
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
td.missed {{ color: #b3261e; font-weight: 600 }}
svg {{ width: 100%; height: auto }}
</style></head><body>
<h1>{title}</h1>
<p>{where}</p>
{tables}
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
        lines = [
            axes.plot(x * panel.x, y * curve, color=colour)[0]
            for curve, colour in zip(panel.curves.values(), colours, strict=False)
        ]
        if panel.logarithmic:
            axes.set_xscale("log")
        for text in (axes.set_title(panel.title), axes.set_xlabel(x_label), axes.set_ylabel(y_label)):
            text.set_parse_math(False)  # nodes may hold a $
        if len(panel.curves) > 1:
            for text in axes.legend(lines, panel.curves).get_texts():
                text.set_parse_math(False)
    return figure


def _prefix(values: Floats, label: str) -> tuple[float, str]:
    """Choose an SI prefix for an axis whose label ends in an SI unit; other axes stay as they are."""
    name, _, unit = label.rstrip("]").partition(" [")
    if unit not in {"A", "V", "s"}:
        return 1.0, label
    factor, prefixed_unit = prefixed(values, unit)
    return factor, f"{name} [{prefixed_unit}]"


def write_plot(
    sheets: Sequence[tuple[str, DataSheet]],
    path: str | Path,
    verdicts: Sequence[Verdict] = (),
    yields: Sequence[Yield] = (),
) -> None:
    """Write data sheets with their curves as a page (.html), or the curves of one alone (.svg).

    Parameters
    ----------
    sheets : sequence of str and DataSheet
        Of one circuit, with where each was measured; curves of several are those of the first, and of where limits are
        worst.
    path : str or Path
        File.
    verdicts, yields
        What became of the limits.
    """
    sheet = sheets[0][1]
    drawn = sheet if len(sheets) == 1 else _with_worst(sheets, [verdict.where for verdict in verdicts])
    bare = not drawn.panels  # nothing of it could be measured, and the page says why, or it has no curves
    if bare and not sheet.failures and Path(path).suffix == ".svg":
        plot_sheet(drawn)  # says so
    svg = "" if bare else figure_svg(plot_sheet(drawn), name=sheet.block, label=sheet.title)
    if Path(path).suffix == ".svg":
        write_text(path, f"{svg}\n")
        return
    where = f"{sheet.process}, {sheet.temperature_c:g} °C, chip {sheet.chip} ({sheet.chip_hash})"
    if len(sheets) > 1:
        where = f"chip {sheet.chip} ({sheet.chip_hash}), {len(sheets)} corners of process, temperature and supply"
    count = max((found.spread.samples for found in sheet.entries if found.spread), default=0)
    where += f", {count} samples of mismatch, seed {sheet.seed}" if count else ""
    tables = [_sheet_table(sheet) if len(sheets) == 1 else _matrix_table(sheets)]
    if verdicts:
        rows = [
            [v.entry.text, v.words, v.entry.format_value(v.value), v.where, "pass" if v.is_met else "FAIL"]
            for v in verdicts
        ]
        tables.append(_table(["limit", "wanted", "worst", "at", ""], rows))
    if yields:
        tables.append(_yield_table(yields))
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in sheet.notes)
    page = _PAGE.format(
        title=html.escape(sheet.title), where=html.escape(where), tables="\n".join([*tables, notes]), svg=svg
    )
    write_text(path, page)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = (2,)) -> str:
    """Format a table; columns of numbers read from the right."""
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    for row in rows:
        cells = []
        for k, cell in enumerate(row):
            kind = ' class="number"' if k in numbers else ' class="missed"' if cell == "FAIL" else ""
            cells.append(f"<td{kind}>{html.escape(cell)}</td>")
        lines.append("".join(cells))
    return "<table>{}</table>".format("\n".join(f"<tr>{line}</tr>" for line in lines))


def _sheet_table(sheet: DataSheet) -> str:
    rows = []
    for entry in sheet.entries:
        spread = ""
        if entry.spread:
            spread = f"{entry.format_value(entry.spread.mean)} ± {entry.format_value(entry.spread.sigma)}"
        rows.append([entry.text, entry.format_value(entry.value), spread, entry.remark])
    return _table(["quantity", "value", "with mismatch, mean ± sigma", "condition"], rows, (1, 2))


def _matrix_table(sheets: Sequence[tuple[str, DataSheet]]) -> str:
    rows = [[text, *cells] for text, *cells in matrix_rows(sheets)]
    failed = [f"{entry.text} at {where}: {entry.failure}" for where, own in sheets for entry in own.failures]
    told = "".join(f"<p>could not be measured: {html.escape(line)}</p>" for line in failed)
    return _table(["quantity", "least", "at", "largest", "at"], rows, (1, 3)) + told


def _yield_table(yields: Sequence[Yield]) -> str:
    rows = []
    for text, where, found in least_yields(yields):
        low, high = found.interval
        share, within = f"{100 * found.passed / found.samples:.4g} %", f"{100 * low:.2f} to {100 * high:.2f} %"
        rows.append([text, where, f"{found.passed} of {found.samples}", share, within, f"{found.worst}"])
    head = [
        "yield" if len(yields) == 1 else "least yield",
        "at",
        "chips",
        "share",
        f"{CONFIDENCE:.0%} of all chips",
        "worst sample",
    ]
    return _table(head, rows, (2, 3, 4, 5))


_MOST = 4
"""Places whose curves share axes."""


def _with_worst(sheets: Sequence[tuple[str, DataSheet]], worst: Sequence[str]) -> DataSheet:
    """Return the first sheet, its curves with those of where limits are worst."""
    first_where, first = sheets[0]
    chosen = [(where, own) for where, own in sheets if where in worst and where != first_where][: _MOST - 1]
    panels = []
    for panel in first.panels:
        curves = {f"{name}, {first_where}": curve for name, curve in panel.curves.items()}
        for where, own in chosen:
            other = next((found for found in own.panels if found.title == panel.title), None)
            if other is None:
                continue
            order = np.argsort(other.x, kind="stable")
            curves |= {
                f"{name}, {where}": np.interp(panel.x, other.x[order], curve[order])
                for name, curve in other.curves.items()
            }
        panels.append(replace(panel, curves=curves))
    return replace(first, panels=tuple(panels))
