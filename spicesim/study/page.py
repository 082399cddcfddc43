"""The page of a study: its front, the way of each point through the space, what matters, and chips to take away."""

import base64
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.errors import MissingDependencyError
from spicesim.report.page import Block, Column, Facts, Interactive, Page, Section, Table, write_page
from spicesim.study.explore import Exploration
from spicesim.study.goals import NUMBERS, values_of
from spicesim.study.importance import BINS, importance
from spicesim.study.search import Record
from spicesim.study.space import Point, label, show
from spicesim.study.unseen import unseen_goals

__all__ = ["require_plotly", "write_study_report"]

COLOURS = ("#3f83b5", "#c8553d", "#3c8d5a", "#a8741a", "#7b5ea7", "#5c656e")
"""Readable on white and on black."""
LEAST = 8
"""Points that tell what matters, at least; of few, chance makes much."""
LOG_FROM = 10.0
"""Ratio of the largest to the least value from which an axis counts ratios."""


def write_study_report(found: Exploration, path: str | Path) -> None:
    """Write the page of a study, one file that asks for nothing.

    Raises
    ------
    MissingDependencyError
        If plotly is not installed.
    StorageError
        If the file cannot be written.
    """
    require_plotly()
    write_page(_page(found), path)


def require_plotly() -> None:
    """Refuse to go on without what draws the figures."""
    if find_spec("plotly") is None:
        raise MissingDependencyError("plotly is not installed; run: pip install 'spicesim[explore]'")


def _page(found: Exploration) -> Page:
    study = found.study
    taken = sum(record.is_taken for record in found.records)
    audited = sum(one.audit is not None for one in found.front)
    facts = Facts(
        large=True,
        items=(
            ("points tried", f"{len(found.records)}"), ("within all limits", f"{taken}"),
            ("on the front", f"{len(found.front)}"), ("of these audited in ngspice", f"{audited}"),
        ),
    )  # fmt: skip
    ran = [record for record in found.records if record.outcome.readings]
    sections = [
        Section(anchor="front", title="Front", text=_front_text(found), blocks=tuple(_front_blocks(found, ran)))
    ]
    if len(ran) > 1:
        sections.append(Section(anchor="space", title="Space", blocks=tuple(_space_blocks(found, ran))))
    sections.append(Section(anchor="chips", title="Chips", blocks=(_downloads(found),)))
    return Page(
        title=Path(study.network).stem, kind="Study", facts=(facts,), sections=tuple(sections),
        text=f"{study.run.title}; {', '.join(f'{name} {goal.direction}' for name, goal in study.goals.items())}.",
    )  # fmt: skip


def _front_text(found: Exploration) -> str:
    audited = sum(one.audit is not None for one in found.front)
    which = "each" if audited == len(found.front) else f"{audited} of these {len(found.front)}"
    return (
        "A point is on the front if no other is at least as good by every goal and better by one. Products of "
        f"{which} were done again at transistor level in ngspice, on the point's own arrays and wires."
    )


def _title(name: str) -> str:
    known = NUMBERS.get(name)
    return escape(name) if known is None else f"{known.title}{f' [{known.unit}]' if known.unit else ''}"


def _goal(records: Sequence[Record], name: str) -> Floats:
    return np.array([record.outcome.values[name] for record in records])


def _is_wide(values: Floats) -> bool:
    return bool(values.min() > 0 and values.max() >= LOG_FROM * values.min())


def _hover(record: Record) -> str:
    lines = [f"<b>point {record.number}</b>"]
    lines += [f"{escape(name)} {reading.value:.4g}" for name, reading in record.outcome.readings.items()]
    lines += [f"{escape(name)} = {escape(show(value))}" for name, value in record.point.items()]
    return "<br>".join([*lines, *([escape(record.outcome.reason[:80])] if record.outcome.reason else [])])


def _draw(figure: Any, *, height: int, script: bool = False, top: int = 30) -> str:
    """Return a figure as a part of a page; one of them brings the script that draws all."""
    figure.update_layout(
        height=height, margin={"l": 70, "r": 20, "t": top, "b": 60}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", font={"color": "#7a838c", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#7a838c"},
    )  # fmt: skip
    lines = {"gridcolor": "rgba(128,136,144,.25)", "zerolinecolor": "rgba(128,136,144,.4)"}
    figure.update_xaxes(**lines)
    figure.update_yaxes(**lines)
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs="inline" if script else False,
        config={"responsive": True, "displaylogo": False},
    )  # fmt: skip
    return drawn


def _front_blocks(found: Exploration, ran: Sequence[Record]) -> list[Block]:
    if not ran:
        return []
    names = list(found.study.goals)
    pairs = list(combinations(names[:3], 2)) or [(names[0], names[0])]
    blocks: list[Block] = []
    for first, (x, y) in zip([True] + [False] * len(pairs), [(b, a) for a, b in pairs], strict=False):
        blocks.append(
            Interactive(
                title=f"{NUMBERS[y].title if y in NUMBERS else y} against {NUMBERS[x].title if x in NUMBERS else x}",
                caption="Each mark is a point; bars are intervals of 95 % of points on the front. A front of more "
                "goals than two covers itself in a plane. Point at a mark to read it, drag to enlarge; those that miss "
                "a limit come at a click on their name.",
                html=_draw(_scatter(found, ran, x, y), height=430, script=first),
            )
        )  # fmt: skip
    return [*blocks, _table(found)]


def _scatter(found: Exploration, ran: Sequence[Record], x: str, y: str) -> Any:
    from plotly import graph_objects

    best = {one.record.number for one in found.front}
    kinds = {
        "misses a limit": ([one for one in ran if not one.is_taken], COLOURS[5], "circle-open", 6),
        "beaten": ([one for one in ran if one.is_taken and one.number not in best], COLOURS[0], "circle", 6),
        "front": ([one for one in ran if one.number in best], COLOURS[1], "circle", 10),
    }
    figure = graph_objects.Figure()
    for name, (records, colour, symbol, size) in kinds.items():
        if not records:
            continue
        bars = {f"error_{axis}": _bars(records, goal) for axis, goal in (("x", x), ("y", y))} if name == "front" else {}
        figure.add_scatter(
            x=_goal(records, x), y=_goal(records, y), mode="markers", name=name, hoverinfo="text",
            text=[_hover(one) for one in records], marker={"color": colour, "symbol": symbol, "size": size}, **bars,
            visible="legendonly" if best and not records[0].is_taken else True,
        )  # fmt: skip
    own = found.reference.values
    if x in own and y in own:
        figure.add_scatter(
            x=[own[x]], y=[own[y]], mode="markers", name="chip as described", hoverinfo="name",
            marker={"color": COLOURS[3], "symbol": "star", "size": 14},
        )  # fmt: skip
    for name, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        shown = np.append(_goal(ran, name), own.get(name, _goal(ran, name)[0]))
        update(title=_title(name), exponentformat="power", type="log" if _is_wide(shown) else "linear")
    return figure


def _bars(records: Sequence[Record], name: str) -> dict[str, Any]:
    readings = [one.outcome.readings[name] for one in records]
    if any(one.low is None or one.high is None for one in readings):
        return {}
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 0,
        "array": [(one.high or 0.0) - one.value for one in readings],
        "arrayminus": [one.value - (one.low or 0.0) for one in readings],
    }  # fmt: skip


def _table(found: Exploration) -> Table:
    names = [*found.study.goals]
    if "tops_per_watt" in found.reference.values and "tops_per_watt" not in names:
        names.append("tops_per_watt")
    columns = [Column(title="point", text=True)]
    columns += [Column(title=name, unit=NUMBERS[name].unit if name in NUMBERS else "") for name in names]
    unseen = unseen_goals(found.study)
    columns += [Column(title=f"{name}, unseen inputs") for name in unseen]
    columns += [
        Column(title="audited products"), Column(title="largest error", unit="% of full scale"),
        Column(title="products above it, at most", unit="%"), Column(title="keys", text=True),
    ]  # fmt: skip
    described = (*_numbers(found.reference.values, names), *_numbers(values_of(found.unseen), unseen))
    rows = [("as described", *described, "", "", "", "")]
    shared = _shared_keys([one.record.point for one in found.front])
    for one in found.front:
        own = {name: value for name, value in one.record.point.items() if name not in shared}
        audit = ("none", "", "")
        if one.audit is not None:
            bound = one.audit["bound"]
            audit = (
                str(one.audit["count"]), f"{100 * bound['max_error_full_scale']:.4f}",
                f"{100 * bound['share_of_products_above']:.0f}",
            )  # fmt: skip
        numbers = (*_numbers(one.record.outcome.values, names), *_numbers(values_of(one.unseen), unseen))
        rows.append((str(one.record.number), *numbers, *audit, _words(own)))
    return Table(
        caption="The front, and the chip as it is described. With 95 % confidence at most the share named of all "
        "products of the run errs more than the largest error of those that were audited."
        + (f" Unseen are the {found.study.unseen} inputs after those of the search, on which no choice depends: what a "
           "search picks does better on the inputs by which it was picked." if unseen else "")
        + (f" All of the front have {_words(shared)}." if shared else ""),
        columns=tuple(columns), rows=tuple(rows),
    )  # fmt: skip


def _shared_keys(points: Sequence[Point]) -> Point:
    """Return the keys that have one value at several points."""
    if len(points) < 2:
        return {}
    return {k: v for k, v in points[0].items() if all(k in other and other[k] == v for other in points)}


def _words(point: Point) -> str:
    return ", ".join(f"{name} = {show(value)}" for name, value in point.items())


def _numbers(values: dict[str, float], names: Sequence[str]) -> list[str]:
    return [f"{values[name]:.4g}" if name in values else "-" for name in names]


def _space_blocks(found: Exploration, ran: Sequence[Record]) -> list[Block]:
    from plotly import graph_objects

    names = list(found.study.goals)
    first = _goal(ran, names[0])
    lines = graph_objects.Figure(
        graph_objects.Parcoords(
            dimensions=[*(_axis(ran, name, found) for name in found.study.space), *(_goal_axis(ran, n) for n in names)],
            line={"color": first, "colorscale": "Viridis", "showscale": True, "colorbar": {"title": escape(names[0])}},
            labelangle=-18,
        )
    )  # fmt: skip
    blocks: list[Block] = [
        Interactive(
            title="Every point through the space",
            caption="A line is a point that was run; the last axes are the goals. Drag along an axis to keep the lines "
            "that cross it there.",
            html=_draw(lines, height=480, top=110),
        ),
    ]
    if len(ran) >= LEAST:
        blocks.append(_matters(found, ran))
    return blocks


def _matters(found: Exploration, ran: Sequence[Record]) -> Interactive:
    from plotly import graph_objects

    bars = graph_objects.Figure()
    for name, colour in zip(found.study.goals, COLOURS, strict=False):
        values = _goal(ran, name)
        values = np.log(values) if _is_wide(values) else values
        shares = [importance(ran, key, axis, values) for key, axis in found.study.space.items()]
        bars.add_bar(
            y=[escape(key) for key in found.study.space], x=[100 * share for share in shares], name=escape(name),
            orientation="h", marker={"color": colour},
        )  # fmt: skip
    bars.update_layout(barmode="group")
    bars.update_yaxes(autorange="reversed", automargin=True)
    bars.update_xaxes(title="share of the goal's variance [%]", rangemode="tozero")
    return Interactive(
        title="What matters",
        caption=f"Share of each goal's variance over the {len(ran)} points that goes with one key alone, chance taken "
        f"off (epsilon squared; of ranges {BINS} parts; of goals over a decade the logarithm). What keys do only "
        "together is in none of the bars. A search does not try all values alike, so one may stand for another.",
        html=_draw(bars, height=120 + 34 * len(found.study.space)),
    )


def _axis(ran: Sequence[Record], name: str, found: Exploration) -> dict[str, Any]:
    """Return an axis of the lines: numbers as they are, words and lists by their place, what is not there below."""
    values = [one.point.get(name) for one in ran]
    short = escape(name.rpartition(",")[2].strip().removeprefix("run.mapping.").removeprefix("run."))
    axis = found.study.space[name]
    if axis.choices is None and None not in values:
        return {"label": short, "values": values}
    known = {label(value): value for value in (axis.choices or sorted({v for v in values if v is not None}))}
    places = {text: place for place, text in enumerate(known)} | {"null": -1}
    ticks = list(known.values()) + ([None] if None in values else [])
    return {
        "label": short, "values": [places[label(value)] for value in values],
        "tickvals": [places[label(value)] for value in ticks],
        "ticktext": ["none" if value is None else escape(show(value)) for value in ticks],
    }  # fmt: skip


def _goal_axis(ran: Sequence[Record], name: str) -> dict[str, Any]:
    values = _goal(ran, name)
    if not _is_wide(values):
        return {"label": escape(name), "values": values}
    ticks = np.geomspace(values.min(), values.max(), 5)
    return {
        "label": escape(name), "values": np.log10(values), "tickvals": np.log10(ticks),
        "ticktext": [f"{tick:.2g}" for tick in ticks],
    }  # fmt: skip


def _downloads(found: Exploration) -> Interactive:
    links = []
    for one in found.front:
        text = base64.b64encode(found.chip_text(one.record.point).encode()).decode()
        name = f"{one.stem}.toml"
        links.append(f'<li><a download="{name}" href="data:application/toml;base64,{text}">{name}</a></li>')
    return Interactive(
        title="Chips of the front",
        caption=f"Whole descriptions; they lie with their calibrations and runs in {found.folder.name}/front, too.",
        html=f"<ul>{''.join(links)}</ul>",
    )
