"""The section on which imperfection costs how much."""

import math

import numpy as np

from spicesim.experiment.ablation import SOURCES
from spicesim.experiment.budget import CONFIDENCE, Budget, Estimate, Variant
from spicesim.plots import plot_budget
from spicesim.report.numbers import percent
from spicesim.report.page import Column, Illustration, Section, Table

__all__ = ["budget_section"]

FLOOR = "clipping"
"""Word for what is left of the error without any imperfection."""
_MEANINGS = {
    FLOOR: "what exceeds the converters' ranges; left without any imperfection",
    **SOURCES,
    "correlation": "what errors of one sign add, or take, of each other",
    "interaction": "what imperfections change in each other's effect",
}


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
    rows = [_row(FLOOR, estimates["floor"], None, budget.none)]
    for name in budget.sources:
        rows.append(_row(name, estimates[f"alone {name}"], estimates[f"without {name}"], budget.alone[name]))
    rows += [_row(name, estimates[name], None, None) for name in ("correlation", "interaction")]
    rows.append(_row("whole chip", estimates["total"], None, budget.whole))
    titles = ("power", "interval", "lost without it")
    columns = [Column(title="imperfection", text=True), *(Column(title=title, unit="%") for title in titles)]
    columns += [Column(title="cosine"), Column(title="accuracy", unit="%")]
    chips = f", {budget.chips} chips" if budget.chips > 1 else ""
    powers = Table(
        caption="Power of (analog less digital), of the network's first output, over that of the digital output; the "
        f"parts add up to the whole chip. Intervals hold with {CONFIDENCE:.0%} confidence over inputs{chips}. Lost "
        "without it: by how much the whole chip's power falls if this one is taken away. Cosine and accuracy are of a "
        "chip with that imperfection alone.",
        columns=tuple(columns),
        rows=tuple(rows),
    )
    meanings = Table(
        caption="An imperfection's size depends on its company: alone and taken away differ by the interaction.",
        columns=(Column(title="part", text=True), Column(title="what it is", text=True)),
        rows=tuple((name, _MEANINGS[name]) for name in (FLOOR, *budget.sources, "correlation", "interaction")),
        wide=False,
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
            [FLOOR, *budget.sources, "correlation", "interaction"],
            np.array([ends(part) for part in parts]),
            np.array([ends(part.replace("alone", "without")) if "alone" in part else nothing for part in parts]),
            ends("total"),
        ),
    )
    return Section(
        anchor="budget",
        title="What costs how much",
        text=f"{len(budget.digital)} inputs through the network on chips that have no imperfection, one alone, all but "
        "one, and all.",
        blocks=(powers, figure, meanings, _layer_table(budget)),
    )


def _layer_table(budget: Budget) -> Table:
    variants = {FLOOR: budget.none, **budget.alone, "whole chip": budget.whole}
    rows = tuple(
        (layer, *(f"{v.snr_db[k]:.1f}" if math.isfinite(v.snr_db[k]) else "∞" for v in variants.values()))
        for k, layer in enumerate(budget.layers)
    )
    return Table(
        caption="Signal-to-noise ratio of each layer for the inputs it got [dB], on chips with clipping alone, one "
        "imperfection alone, and all.",
        columns=(Column(title="layer", text=True), *(Column(title=name) for name in variants)),
        rows=rows,
    )
