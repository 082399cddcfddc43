"""The run of a network, as its report needs it, and the sections that tell it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spicesim.arrays import Integers
from spicesim.audit import SEEN, Audit
from spicesim.bound import CONFIDENCE, share_text
from spicesim.experiment.findings import Findings, IrDropMap, TileUse
from spicesim.experiment.metric import Verdict
from spicesim.network.result import LayerStats
from spicesim.plots import (
    plot_accuracies,
    plot_confusion,
    plot_error_distribution,
    plot_ir_drop,
    plot_ir_drop_profile,
    plot_layer_snr,
    plot_tile_map,
)
from spicesim.report.budget import budget_section
from spicesim.report.footprint import footprint_section
from spicesim.report.numbers import parts_per_million, percent, quantity
from spicesim.report.page import Block, Column, Illustration, Section, Table
from spicesim.report.tiles import parity_illustration

__all__ = ["AccuracyRow", "NetworkReport", "network_sections"]

MOST_TILES = 400
"""Tiles that a map shows; more could not be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow:
    """One way to run the network."""

    label: str
    """Such as "digital" or "exact"."""
    accuracy: float
    """Fraction of right answers."""
    note: str = ""
    """What to know about it."""
    interval: tuple[float, float] | None = None
    """In which the accuracy lies with the confidence of :data:`spicesim.bound.CONFIDENCE`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkReport:
    """The run of a network."""

    model: str
    """Name of the network."""
    engine: str
    """Word for the engine that ran it."""
    images: int
    """Inputs in the run."""
    layers: tuple[LayerStats, ...]
    """Each analog layer, in the order of execution."""
    accuracies: tuple[AccuracyRow, ...] = ()
    """Ways to run it, the digital one first, that of :attr:`engine` last; empty if no classes were given."""
    confusion: Integers | None = None
    """Inputs by true class (row) and answer (column)."""
    class_labels: tuple[str, ...] = ()
    """Names of the classes; numbers by default."""
    audit: Audit | None = None
    """Comparison with ngspice, if one was made."""
    product_seconds: float | None = None
    """Time of one tile product in the engine that ran the network [s], if known."""
    verdict: Verdict | None = None
    """What the user's own metric says, if there is one."""
    findings: Findings = field(default_factory=Findings)
    """Tiles, voltage maps, budget and footprint."""
    notes: tuple[str, ...] = ()
    """Sentences on what the run could not do as one might expect."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Hashes, seeds and versions, nested as they come."""

    @property
    def highlights(self) -> tuple[tuple[str, str], ...]:
        """What to see first."""
        ends = self.accuracies[:1] + self.accuracies[1:][-1:]
        found = [(f"accuracy, {row.label}", f"{100 * row.accuracy:.2f} %") for row in ends]
        if ends and (interval := ends[-1].interval) is not None:
            found.append((f"{CONFIDENCE:.0%} interval", f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"))
        if self.verdict is not None:
            found.append((f"{self.verdict.name}, digital", self.verdict.digital.format()))
            found.append((f"{self.verdict.name}, {self.engine}", self.verdict.analog.format()))
        finite = [layer.snr_db for layer in self.layers if math.isfinite(layer.snr_db)]
        if finite:
            found.append(("noisiest layer", f"{min(finite):.1f} dB"))
        if self.audit is not None:
            found.append(("max error against ngspice", f"{parts_per_million(self.audit.max_error)} ppm FS"))
            found.append((f"identical codes, {self.audit.quantiser}", f"{100 * self.audit.codes[0]:.2f} %"))
        if (footprint := self.findings.footprint) is not None:
            found.append(("energy, an inference", quantity(footprint.total_energy, "J", 3)))
            found.append(("operations for energy", f"{footprint.tops_per_watt:.3g} TOPS/W"))
        return tuple(found or [("inputs", f"{self.images}")])


def network_sections(report: NetworkReport) -> tuple[Section, ...]:
    """Tell how a network fared."""
    found = [_accuracy_section(report)] if report.accuracies or report.confusion is not None else []
    findings = report.findings
    if findings.budget is not None:
        found.append(budget_section(findings.budget))
    found.append(_layer_section(report))
    if findings.tiles:
        found.append(_tile_section(findings))
    if findings.ir_drops:
        found.append(_ir_drop_section(findings.ir_drops))
    if report.audit is not None:
        found.append(_audit_section(report.audit, report.engine, report.product_seconds))
    if findings.footprint is not None:
        found.append(footprint_section(findings.footprint))
    return tuple(found)


def _accuracy_section(report: NetworkReport) -> Section:
    blocks: list[Block] = []
    if report.accuracies:
        labels = [row.label for row in report.accuracies]
        blocks += [
            Table(
                caption=f"Share of right answers among {report.images} inputs, one of which is "
                f"{100 / max(1, report.images):.2g} %.",
                columns=(
                    Column(title="run", text=True),
                    Column(title="accuracy", unit="%"),
                    Column(title=f"{CONFIDENCE:.0%} interval", unit="%"),
                    Column(title="what it is", text=True),
                ),
                rows=tuple(
                    (
                        row.label,
                        f"{100 * row.accuracy:.2f}",
                        "" if row.interval is None else " to ".join(f"{100 * end:.2f}" for end in row.interval),
                        row.note,
                    )
                    for row in report.accuracies
                ),
                wide=report.confusion is None,
            ),
            Illustration(
                title="Accuracy",
                caption="What each step away from ideal arithmetic costs; thin lines are the intervals.",
                figure=plot_accuracies(
                    labels, [row.accuracy for row in report.accuracies], [row.interval for row in report.accuracies]
                ),
            ),
        ]
    if report.confusion is not None:
        table = np.asarray(report.confusion)
        names = report.class_labels or tuple(str(k) for k in range(len(table)))
        wrong = int(table.sum() - np.trace(table))
        blocks.insert(
            1,
            Illustration(
                title=f"Confusion matrix, {report.engine}",
                caption=f"Inputs by true class and answer: {wrong} of {int(table.sum())} lie off the diagonal; "
                "empty squares are 0.",
                figure=plot_confusion(table, names),
                tall=True,
            ),
        )
    return Section(anchor="accuracy", title="Accuracy", blocks=tuple(blocks))


def _tiles(layer: LayerStats) -> str:
    """Return how many tiles a layer takes, in brackets where they are counted with another."""
    return f"{layer.tiles}" if layer.array == layer.name else f"({layer.tiles})"


def _layer_section(report: NetworkReport) -> Section:
    def snr(value: float) -> str:
        return f"{value:.1f}" if math.isfinite(value) else {math.inf: "∞"}.get(value, "none")

    layers = report.layers
    titles = ("tiles", "rows", "columns", "products")
    columns = [Column(title="layer", text=True), Column(title="operator", text=True)]
    columns += [Column(title=title) for title in titles] + [Column(title="SNR", unit="dB")]
    columns += [Column(title="ADC clipped", unit="%"), Column(title="DAC clipped", unit="%")]
    rows = tuple(
        (layer.name, layer.op, _tiles(layer), f"{layer.rows}", f"{layer.columns}", f"{layer.mvms}",
         snr(layer.snr_db), percent(layer.adc_clipped), percent(layer.dac_clipped))
        for layer in layers
    )  # fmt: skip
    return Section(
        anchor="layers",
        title="Layers",
        text=" ".join(note.rstrip(".") + "." for note in report.notes),
        blocks=(
            Table(
                caption="Each analog layer in the order of execution; a product is one input vector through one tile.",
                columns=tuple(columns),
                rows=rows,
            ),
            _tier_table(layers),
            Illustration(
                title="Signal-to-noise ratio of each layer",
                caption="Power of the digital output over that of (analog less digital), for the same inputs; "
                "the shortest bar is the layer to mend first.",
                figure=plot_layer_snr([layer.name for layer in layers], [layer.snr_db for layer in layers]),
            ),
        ),
    )


def _tier_table(layers: Sequence[LayerStats]) -> Table:
    """Tell what the engine did for each layer: forms and their promise where it has some."""
    formed = any(layer.promised_error is not None for layer in layers)
    columns = [Column(title="layer", text=True), Column(title="time a product", unit="us")]
    columns.append(Column(title="memory of its tiles", unit="MB"))
    if formed:
        columns += [Column(title="tiles solved exactly"), Column(title="promised error", unit="% of range")]
        columns.append(Column(title="forms", text=True))

    def row(layer: LayerStats) -> tuple[str, ...]:
        own = (layer.name, f"{1e6 * layer.seconds / max(layer.mvms, 1):.3g}", f"{layer.held / 1e6:.3g}")
        if not formed:
            return own
        promised = "none" if layer.promised_error is None else percent(layer.promised_error)
        forms = Counter(layer.forms).most_common()
        said = "; ".join(form if count == layer.tiles else f"{form} ({count})" for form, count in forms)
        return *own, f"{layer.exact_tiles}", promised, said

    promise = (
        " The promised error is what no output exceeds next to the exact solution of the calibrated circuit, as a "
        "fraction of the range of its converter; a form is what computes a tile's products, with its number of tiles "
        "where there are several."
    )
    return Table(
        caption="What the engine did for each layer: the processor's time of one product, on this machine, and the "
        f"memory of the tiles, ready to multiply.{promise if formed else ''}",
        columns=tuple(columns),
        rows=tuple(map(row, layers)),
        wide=formed,
    )


def _audit_section(audit: Audit, engine: str, product_seconds: float | None) -> Section:
    identical, off_by_one, worse = audit.codes
    bound, other, codes = audit.bound, audit.other_codes, audit.code_bound
    facts = [
        ("products compared", f"{audit.count}"),
        ("outputs compared", f"{audit.measured.size}"),
        ("codes compared, of", f"{audit.code_differences.size}, {audit.quantiser}"),
        ("largest error", f"{percent(audit.max_error)} % FS"),
        ("median error", f"{percent(audit.quantiles['p50'])} % FS"),
        ("99th percentile", f"{percent(audit.quantiles['p99'])} % FS"),
        ("RMS error", f"{percent(audit.rms_error)} % FS"),
        ("largest error in steps of the ADC", f"{audit.max_error_lsb:.2g} LSB"),
        ("codes identical", f"{100 * identical:.2f} %"),
        ("codes off by one", f"{100 * off_by_one:.2f} %"),
        ("codes worse", f"{100 * worse:.2f} %"),
        ("largest deviation of a code", f"{codes.largest} LSB"),
        ("outputs with another code, from the step to it", f"≤ {audit.code_misses.max(initial=0.0):.2g} LSB"),
        ("all products: those with a larger error", f"≤ {share_text(bound.share)} %"),
        ("all products: those with another code", f"≤ {share_text(other[1])} %"),
        ("all codes: those identical", f"≥ {100 * codes.least_identical:.2f} %"),
        (f"all products: those with a code off by more than {codes.largest} LSB", f"≤ {share_text(codes.share)} %"),
        ("ngspice, one product", quantity(audit.ngspice_seconds, "s", 3)),
    ]
    if product_seconds is not None:
        facts.append((f"{engine}, one product", quantity(product_seconds, "s", 3)))
        facts.append(("speed-up", f"{audit.ngspice_seconds / product_seconds:,.0f}"))
    table = Table(
        caption="Full scale (FS) is the swing of an amplifier to its nearer rail, of floating bit lines the span of "
        "the inputs, of integrators the largest calibrated output; the LSB is a step of the ADC. "
        f"What is said of all products holds with {bound.confidence:.0%} confidence for all that this run did, as the "
        "sample was drawn from them at random; it assumes nothing of how errors are distributed.",
        columns=(Column(title="comparison", text=True), Column(title="value")),
        rows=tuple(facts),
        wide=False,
    )
    parity = parity_illustration(
        audit.measured,
        audit.predicted,
        audit.full_scale,
        caption=f"Every output of the sampled products; errors stay within "
        f"{parts_per_million(audit.max_error)} ppm of full scale.",
    )
    distribution = Illustration(
        title="Distribution of the errors",
        caption="Share of outputs, and of products by their largest error, that err less.",
        figure=plot_error_distribution(audit.errors, audit.product_errors),
    )
    return Section(
        anchor="audit",
        title="Audit in ngspice",
        text=f"A random sample of the products that the network asked of its tiles, done again at transistor level "
        f"and compared with the engine {engine}. In ngspice, {audit.pieces}. An audit sees {SEEN}. It does not see "
        f"{audit.unseen}.",
        blocks=(table, *(() if not audit.products else (_audited_layers(audit),)), parity, distribution),
    )


def _audited_layers(audit: Audit) -> Table:
    rows = tuple(
        (name, f"{own.bound.count}", f"{own.products}", percent(own.bound.limit), share_text(own.bound.share),
         share_text(own.other_codes[1]), f"{own.codes.count}", f"{100 * own.codes.identical:.2f}",
         f"{100 * own.codes.least_identical:.2f}", f"{own.codes.largest}")
        for name, own in audit.by_layer.items()
    )  # fmt: skip
    return Table(
        caption="The same of each layer, which gave a sample of its own: the largest error, and the shares of all of "
        "its products that may have a larger one, or another code. Of codes those compared, the share of these that is "
        "identical, the least share of all codes that is, and the largest deviation.",
        columns=(
            Column(title="layer", text=True), Column(title="compared"), Column(title="products"),
            Column(title="largest error", unit="% FS"), Column(title="above it, at most", unit="%"),
            Column(title="with another code, at most", unit="%"), Column(title="codes"),
            Column(title="identical", unit="%"), Column(title="of all, at least", unit="%"),
            Column(title="largest deviation", unit="LSB"),
        ),
        rows=rows,
    )  # fmt: skip


def _tile_section(found: Findings) -> Section:
    names = list(dict.fromkeys(tile.layer for tile in found.tiles))
    cells = found.array[0] * found.array[1]
    columns = [Column(title="layer", text=True), Column(title="tiles"), Column(title="rows x columns", text=True)]
    columns += [Column(title="cells used"), Column(title="of the arrays", unit="%")]

    def row(name: str, tiles: list[TileUse]) -> tuple[str, ...]:
        sizes = dict.fromkeys(f"{tile.rows}x{tile.columns}" for tile in tiles)
        used = sum(tile.rows * tile.columns for tile in tiles)
        shown = ", ".join(sizes) if len(sizes) <= 3 else f"{next(iter(sizes))} and {len(sizes) - 1} others"
        return name, f"{len(tiles)}", shown, f"{used:,}", percent(used / (cells * len(tiles)))

    rows = [row(name, [tile for tile in found.tiles if tile.layer == name]) for name in names]
    everything = row("network", list(found.tiles))
    rows.append((everything[0], everything[1], "", *everything[3:]))
    shown = found.tiles[:MOST_TILES]
    first = "" if len(shown) == len(found.tiles) else f" The first {len(shown)} of {len(found.tiles)} are shown."
    return Section(
        anchor="tiles-map",
        title="Tiles",
        blocks=(
            Illustration(
                title="Which layer sits on which tile",
                caption=f"Each frame is an array of {found.array[0]} rows and {found.array[1]} columns, with drivers "
                f"at its left and amplifiers below; layers take the corner nearest to both.{first}",
                figure=plot_tile_map(
                    [names.index(tile.layer) for tile in shown],
                    [(tile.rows, tile.columns) for tile in shown],
                    found.array,
                    names,
                ),
            ),
            Table(
                caption="Cells that weights take, of all those of the layer's arrays.",
                columns=tuple(columns),
                rows=tuple(rows),
                wide=False,
            ),
        ),
    )


def _ir_drop_section(drops: tuple[IrDropMap, ...]) -> Section:
    worst = max(drops, key=lambda drop: abs(drop.worst[2]))
    blocks: list[Block] = []
    for drop in drops:
        row, column, loss = drop.worst
        blocks.append(
            Illustration(
                title=f"{drop.name}, {drop.input_name}",
                caption="What wires take of the voltage between driver (left) and virtual ground (below) before each "
                f"cell; it is largest at row {row}, column {column}: {quantity(loss, 'V', 3)}.",
                figure=plot_ir_drop(drop.loss),
            )
        )
    blocks.append(
        Illustration(
            title=f"{worst.name}, along a few word lines",
            caption="A rise along a curve is lost along its word line; jumps from column to column are bit lines "
            "that carry more current than others, and row 0 is the farthest from the amplifiers.",
            figure=plot_ir_drop_profile(worst.loss),
        )
    )
    return Section(anchor="ir-drop", title="Voltage lost in the wires", blocks=tuple(blocks))
