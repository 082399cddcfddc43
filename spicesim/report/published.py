"""The page of published macros beside ours."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spicesim.arrays import Floats
from spicesim.plots.published import plot_conversions, plot_efficiencies
from spicesim.published.comparison import Comparison
from spicesim.published.norms import adc_floor, adc_survey, one_bit
from spicesim.report.numbers import percent, quantity
from spicesim.report.page import Column, Illustration, Page, Section, Table, write_page

__all__ = ["format_bits", "write_comparison_report"]

_RULES = (
    "An operation is a multiplication or an addition of a weight, two a MAC. Of ours a weight takes two cells. "
    "Operations of one bit are operations times the bits of their inputs and weights (Shanbhag and Roy, CICC 2022). "
    "From one node to another an energy goes as the node times the square of the supply (Baccarani, Wordeman and "
    "Dennard, IEEE T-ED 1984), which currents of cells and bias currents do not follow. What nobody could find is "
    "left empty, and where numbers were read is told: few of the sources are open. No task that a published macro was "
    "measured on is one that ours was run on, so accuracies do not meet."
)
_IDEAL = (
    "Ours are simulated blocks of GF180MCU, 3.3 V, no silicon. Not counted are logic, control and clocks, the "
    "regulators of references and of the inputs' voltages, and buses, all of which measured chips pay for."
)


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"


def format_bits(inputs: float, outputs: float) -> str:
    """Format bits of inputs and outputs: ``8, 10``."""
    return f"{inputs:g}, {outputs:g}"


def write_comparison_report(comparison: Comparison, path: str | Path) -> None:
    """Write the page.

    Parameters
    ----------
    comparison : Comparison
        What to show.
    path : str or Path
        Where.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    sections = [_published(comparison)]
    if comparison.own:
        sections += [_own(comparison), _pairs(comparison), _conversions(comparison)]
    sections.append(_sources(comparison))
    write_page(
        Page(
            title="Published macros and ours",
            kind="Analog in-memory computing",
            text=_RULES,
            sections=tuple(sections),
        ),
        path,
    )


def _published(comparison: Comparison) -> Section:
    rows = []
    for macro in comparison.macros:
        head = (
            macro.name, "" if macro.node is None else f"{1e9 * macro.node:g}", macro.cell,
            "" if macro.rows is None else f"{macro.rows}x{macro.columns}", _number(macro.cores),
        )  # fmt: skip
        for point in macro.points:
            bits = None if macro.weight_bits is None else macro.weight_bits
            one = None
            if point.tops_per_watt is not None and bits is not None:
                one = one_bit(point.tops_per_watt, point.input_bits, bits)
            rows.append(
                (
                    *head, point.mode, f"{point.input_bits:g}", _number(bits), f"{point.output_bits:g}",
                    _number(point.tops), _number(point.tops_per_watt), _number(one), _number(macro.density(point)),
                )
            )  # fmt: skip
        if not macro.points:
            rows.append((*head, "", "", _number(macro.weight_bits), "", "", "", "", ""))
    columns = [Column(title=name, text=True) for name in ("macro",)]
    columns += [Column(title="node", unit="nm"), Column(title="cell", text=True), Column(title="array")]
    columns += [Column(title="cores"), Column(title="mode", text=True)]
    columns += [Column(title=f"{name}", unit="bit") for name in ("input", "weight", "output")]
    columns += [
        Column(title="TOPS"),
        Column(title="TOPS/W"),
        Column(title="TOPS/W of one bit"),
        Column(title="TOPS/mm²"),
    ]
    return Section(
        anchor="published",
        title="As published",
        blocks=(Table(caption="What is held of each; empty is unknown.", columns=tuple(columns), rows=tuple(rows)),),
    )


def _series(triples: Iterable[tuple[str, float, float | None]]) -> dict[str, tuple[list[float], list[float]]]:
    """Collect (label, bits, value) by label, without what is not known."""
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for label, bits, value in triples:
        if value is not None:
            found[label][0].append(bits)
            found[label][1].append(value)
    return dict(found)


def _own(comparison: Comparison) -> Section:
    rows = []
    for point in comparison.own:
        total = sum(point.energy.values())
        rows.append(
            (
                point.preset, point.mode, f"{point.rows}x{point.columns}",
                f"{point.input_bits}", f"{point.output_bits}",
                _number(point.tops), _number(point.tops_per_watt), _number(point.tops_per_mm2),
                *(percent(point.energy[name] / total) for name in ("dac", "array", "amplifier", "adc")),
                quantity(point.time, "s", 3),
            )
        )  # fmt: skip
    names = ("drivers", "array", "read-out", "converters")
    columns = [Column(title="preset", text=True), Column(title="bits of inputs", text=True), Column(title="array")]
    columns += [Column(title=name, unit="bit") for name in ("input", "output")]
    columns += [Column(title=name) for name in ("TOPS", "TOPS/W", "TOPS/mm²")]
    columns += [Column(title=name, unit="%") for name in names] + [Column(title="a product")]
    kinds = {point.preset for point in comparison.own}
    published = _series(
        (f"{macro.name}, {point.mode}".removesuffix(", "), point.input_bits, point.tops_per_watt)
        for macro in comparison.macros
        if macro.ours in kinds
        for point in macro.points
    )
    own = _series((f"{point.preset}, {point.mode}", point.input_bits, point.tops_per_watt) for point in comparison.own)
    return Section(
        anchor="own",
        title="Ours",
        text=_IDEAL,
        blocks=(
            Table(
                caption="One array with a converter a column; parts of the energy by block. Areas are of devices, "
                "times a layout's overhead of 3, which is assumed.",
                columns=tuple(columns), rows=tuple(rows),
            ),
            Illustration(
                title="Operations for an energy over bits",
                caption="Dashed and grey: published, of the same kind, each at its node and by what it counts. "
                "Coloured: ours at 180 nm, without logic, control and regulators. Both as they are, nothing scaled.",
                figure=plot_efficiencies(published, own),
            ),
        ),
    )  # fmt: skip


def _pairs(comparison: Comparison) -> Section:
    rows = [
        (
            f"{pair.macro.name}, {pair.point.mode}".removesuffix(", "), pair.own.mode,
            format_bits(pair.point.input_bits, pair.point.output_bits), _number(pair.point.tops_per_watt),
            _number(pair.own.tops_per_watt), _number(pair.ratio), _number(pair.scaled_ratio),
        )
        for pair in comparison.pairs
    ]  # fmt: skip
    heads = [Column(title="macro", text=True), Column(title="ours", text=True), Column(title="bits in, out")]
    heads += [Column(title="theirs", unit="TOPS/W"), Column(title="ours", unit="TOPS/W"), Column(title="ratio")]
    heads.append(Column(title="ratio at 180 nm and 3.3 V"))
    blocks = [
        Table(
            caption="By how much ours differ: operations for an energy, ours by theirs, as they are, and with theirs "
            "brought to our node and supply. Above 1 ours takes less.",
            columns=tuple(heads), rows=tuple(rows),
        ),
        Table(
            caption="How both follow the bits. The factor is what fits all pairs best; the largest deviation from it "
            "says whether the trends agree, whatever node and what is counted make of the level.",
            columns=(
                Column(title="macro", text=True), Column(title="ours", text=True), Column(title="pairs of bits"),
                Column(title="factor"), Column(title="largest deviation, times"), Column(title="theirs falls, times"),
                Column(title="ours falls, times"),
            ),
            rows=tuple(
                (
                    f"{trend.pairs[0].macro.name}, {trend.pairs[0].point.mode}".removesuffix(", "),
                    trend.pairs[0].own.mode, f"{len(trend.pairs)}", _number(trend.common), _number(trend.largest),
                    *(_number(times) for times in trend.falls),
                )
                for trend in comparison.trends
            ),
        ),
    ]  # fmt: skip
    parts = [
        (
            pair.macro.name, pair.own.mode, format_bits(pair.point.input_bits, pair.point.output_bits), name,
            quantity(theirs, "J", 3), quantity(ours, "J", 3), _number(ours / theirs),
        )
        for pair in comparison.pairs
        for name, (theirs, ours) in pair.groups().items()
    ]  # fmt: skip
    if parts:
        blocks.append(
            Table(
                caption="Which block: energies of an operation. Control is in theirs, and not in ours.",
                columns=(
                    Column(title="macro", text=True), Column(title="ours", text=True), Column(title="bits in, out"),
                    Column(title="blocks", text=True), Column(title="theirs"), Column(title="ours"),
                    Column(title="ours by theirs"),
                ),
                rows=tuple(parts),
            )
        )  # fmt: skip
    return Section(anchor="pairs", title="Side by side", blocks=tuple(blocks))


def _conversions(comparison: Comparison) -> Section:
    bits: Floats = np.linspace(3, 12, 91)
    rate = 1 / max(point.adc_time for point in comparison.own)
    bounds = {
        "least of 2019, Rekhi et al.": np.array([adc_floor(each) for each in bits]),
        f"survey's envelope of 2021, {quantity(rate, 'S/s', 2)}": np.array([adc_survey(each, rate) for each in bits]),
    }
    found = _series((f"{point.preset}", point.output_bits, point.adc_energy) for point in comparison.own)
    found |= _series(
        (f"{macro.name}, {point.mode}".removesuffix(", "), point.output_bits, point.adc_energy)
        for macro in comparison.macros
        for point in macro.points
    )
    return Section(
        anchor="conversions",
        title="Converters and their bounds",
        blocks=(
            Illustration(
                title="Energy of a conversion",
                caption="Bounds are of effective bits and ours are shown at all of their bits, so as if nothing but "
                "steps made errors. Ours are without logic and with ideal references; published ones are whole.",
                figure=plot_conversions(bits, bounds, found),
            ),
        ),
    )


def _sources(comparison: Comparison) -> Section:
    rows = tuple(
        (
            macro.name, macro.made, macro.title, macro.source, macro.held,
            "" if macro.snr_db is None else f"{macro.snr_db[0]:g} to {macro.snr_db[1]:g}",
            ", ".join(f"{task} {100 * share:g} %" for task, share in macro.accuracy.items()), macro.note,
        )
        for macro in comparison.macros
    )  # fmt: skip
    names = ("macro", "made", "title", "source", "held", "SNR", "accuracy", "note")
    return Section(
        anchor="sources",
        title="Sources",
        text="Held, by others' repositories or abstracts, says where a number was read; 'second hand' is to be checked "
        "before it is quoted.",
        blocks=(
            Table(
                caption="Where each comes from.",
                columns=tuple(Column(title=name, unit="dB" if name == "SNR" else "", text=True) for name in names),
                rows=rows,
            ),
        ),
    )
