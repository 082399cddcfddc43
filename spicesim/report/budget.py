"""The section on which imperfection costs how much."""

import math

import numpy as np

from spicesim.ablation import SOURCES
from spicesim.budget import CONFIDENCE, Budget, Estimate, Variant
from spicesim.plots import plot_budget
from spicesim.report.numbers import percent
from spicesim.report.page import Column, Illustration, Section, Table

__all__ = ["budget_section"]


def _interval(found: Estimate) -> str:
    return f"{percent(found.low)} to {percent(found.high)}"


def _row(name: str, power: Estimate, lost: Estimate | None, variant: Variant | None) -> tuple[str, ...]:
    return (
        name,
        percent(power.value),
        _interval(power),
        "" if lost is None else percent(lost.value),
        "" if variant is None else f"{variant.cosine:.5f}",
        "" if variant is None or variant.accuracy is None else f"{100 * variant.accuracy:.2f}",
    )


def budget_section(budget: Budget) -> Section:
    """Tell the error budget of a network."""
    estimates = budget.estimates()
    rows = [_row("none of them", estimates["floor"], None, budget.none)]
    for name in budget.sources:
        rows.append(_row(name, estimates[f"alone {name}"], estimates[f"without {name}"], budget.alone[name]))
    rows += [_row(name, estimates[name], None, None) for name in ("correlation", "interaction")]
    rows.append(_row("whole chip", estimates["total"], None, budget.whole))
    titles = ("power", "interval", "lost without it")
    columns = [Column(title="imperfection", text=True), *(Column(title=title, unit="%") for title in titles)]
    columns += [Column(title="cosine"), Column(title="accuracy", unit="%")]
    chips = f", {budget.chips} chips" if budget.chips > 1 else ""
    powers = Table(
        caption="Power of (analog less digital), of the network's first output, over that of the digital output. The "
        "parts add up to the whole chip: correlation is what systematic errors of one sign add, interaction what "
        f"imperfections change in each other; intervals hold with {CONFIDENCE:.0%} confidence over inputs{chips}. "
        "Cosine and accuracy are of a chip with that imperfection alone.",
        columns=tuple(columns),
        rows=tuple(rows),
    )
    parts = ["floor", *(f"alone {name}" for name in budget.sources), "correlation", "interaction"]
    nothing = (math.nan,) * 3

    def ends(key: str) -> tuple[float, float, float]:
        found = estimates.get(key)
        return nothing if found is None else (found.value, found.low, found.high)

    figure = Illustration(
        title="Error budget",
        caption="What each imperfection makes alone, and what the whole chip would lose without it.",
        figure=plot_budget(
            ["none", *budget.sources, "correlation", "interaction"],
            np.array([ends(part) for part in parts]),
            np.array([ends(part.replace("alone", "without")) if "alone" in part else nothing for part in parts]),
            ends("total"),
        ),
        tall=True,
    )
    return Section(
        anchor="budget",
        title="What costs how much",
        text="The network on chips that have one imperfection alone, and all but one. "
        + "; ".join(f"{name}: {SOURCES[name]}" for name in budget.sources)
        + ".",
        blocks=(powers, figure, _layer_table(budget)),
    )


def _layer_table(budget: Budget) -> Table:
    variants = {"none": budget.none, **budget.alone, "whole chip": budget.whole}
    rows = tuple(
        (layer, *(f"{v.snr_db[k]:.1f}" if math.isfinite(v.snr_db[k]) else "∞" for v in variants.values()))
        for k, layer in enumerate(budget.layers)
    )
    return Table(
        caption="Signal-to-noise ratio of each layer for the inputs it got [dB], by the chip's imperfection.",
        columns=(Column(title="layer", text=True), *(Column(title=name) for name in variants)),
        rows=rows,
    )
