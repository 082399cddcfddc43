"""The page of schedules on stacked arrays."""

from collections.abc import Sequence

import numpy as np

from spicesim.calibration.calibration import Calibration
from spicesim.experiment.footprint import Footprint
from spicesim.plots.schedule import plot_against_stacks, plot_occupation
from spicesim.report.chip import chip_section
from spicesim.report.numbers import percent, quantity
from spicesim.report.page import Block, Column, Facts, Illustration, Page, Section, Table, write_page
from spicesim.report.provenance import calibration_facts, provenance_section
from spicesim.schedule.outcome import Outcome
from spicesim.schedule.placement import Grouping
from spicesim.schedule.scale import Extrapolated
from spicesim.schedule.stack import Stacks
from spicesim.schedule.study import Case
from spicesim.schedule.work import Workload

__all__ = ["write_schedule_report"]

SHOWN = 4
"""Tokens whose products are drawn."""
GROUPS: dict[Grouping | None, str] = {
    "number": "by number",
    "random": "at random",
    "apart": "chosen together least",
    "blocks": "of several blocks",
}
"""Which experts share a stack."""
_METHOD = (
    "Each product, the vectors of a layer on a tile, asks for its stack and a bank of converters, first come, first "
    "served, and holds both from the change of codes to its last conversion. One tier of a stack is active at a time. "
    "A layer waits for those whose outputs it takes, experts also for their router. Times and energies of products "
    "are the calibration's, the mean of each layer; those of {tier} a change of tier ({joule}), of digital work and of "
    "memory are assumptions of the description. Attention between tokens, control and buses are not counted."
)


def write_schedule_report(
    work: Workload, stacks: Stacks, cases: Sequence[Case], footprint: Footprint, larger: Sequence[Extrapolated],
    calibration: Calibration, model: str, path: str,
) -> None:  # fmt: skip
    """Write the page of schedules.

    Parameters
    ----------
    work : Workload
        What was scheduled.
    stacks : Stacks
        The description, of which the schedules differ in one way or another.
    cases : sequence of Case
        The schedules.
    footprint : Footprint
        What its products take.
    larger : sequence of Extrapolated
        What a larger model takes, if that was asked for.
    calibration : Calibration
        Of the chip.
    model : str
        Name of the network.
    path : str
        Where to write the page.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    whose = "token" if work.routing is not None else "input"
    section = _experts_section(work, cases) if work.routing is not None else _dense_section(work, cases, footprint)
    page = Page(
        title=model,
        kind="A network on stacked arrays",
        text=f"{work.tokens} {whose}s through {model} on {work.tiles} tiles of {calibration.chip.name}: what waits for "
        f"what, how long one {whose} takes, and what it costs.",
        facts=(Facts(items=_highlights(work, cases, footprint), large=True), calibration_facts(calibration)),
        sections=(
            section, *_larger_sections(larger), _description_section(stacks), chip_section(calibration.chip),
            provenance_section(calibration.versions),
        ),
    )  # fmt: skip
    write_page(page, path)


def _highlights(work: Workload, cases: Sequence[Case], footprint: Footprint) -> tuple[tuple[str, str], ...]:
    if work.routing is None:
        alone, shared = cases[0], cases[-1]
        return (
            ("latency, an input at a time", quantity(alone.mean("latency"), "s", 3)),
            ("of which products", quantity(footprint.latency, "s", 3)),
            ("interval, one bank a stack", quantity(_in_flight(cases)[0].mean("interval"), "s", 3)),
            ("interval, one bank for all", quantity(shared.mean("interval"), "s", 3)),
            ("energy, an input", quantity(alone.mean("energy_per_token"), "J", 3)),
        )
    flight = _in_flight(cases)
    tiers = sorted({case.stacks.tiers for case in cases})[-2:][0]
    tall: dict[Grouping | None, Case] = {case.grouping: case for case in flight if case.stacks.tiers == tiers}
    return (
        ("experts a block, chosen", f"{work.experts}, {work.routing.choices.shape[2]}"),
        *((f"conflicts, {tiers} tiers, {GROUPS[g]}", f"{percent(c.mean('conflicts'))} %") for g, c in tall.items()),
        ("latency, a stack a tile", quantity(flight[0].mean("latency"), "s", 3)),
        ("energy, a token", quantity(flight[0].mean("energy_per_token"), "J", 3)),
    )


def _in_flight(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with the most tokens in flight."""
    most = max(case.stacks.in_flight for case in cases)
    return [case for case in cases if case.stacks.in_flight == most]


def _find(cases: Sequence[Case], tiers: int, grouping: Grouping) -> Case:
    return next(case for case in cases if (case.stacks.tiers, case.grouping) == (tiers, grouping))


def _experts_section(work: Workload, cases: Sequence[Case]) -> Section:
    flights = sorted({case.stacks.in_flight for case in cases})
    most = _in_flight(cases)
    heights = sorted({case.stacks.tiers for case in cases})
    blocks: list[Block] = [
        Illustration(
            title="Conflicts against stacks",
            caption="Share of (token, block) of which two chosen experts share their stacks, so that one waits. On "
            "fewer stacks more experts share; groups of experts that are seldom chosen together conflict less.",
            figure=plot_against_stacks(_lines(most, "conflicts"), "conflicts"),
        )
    ]
    for flight in flights:
        own = [case for case in cases if case.stacks.in_flight == flight]
        what = "one token at a time" if flight == 1 else f"{flight} tokens in flight"
        blocks.append(
            Illustration(
                title=f"Latency, {what}",
                caption="Mean time of a token from its entry to its end.",
                figure=plot_against_stacks(_lines(own, "latency"), "latency", "s"),
            )
        )
    blocks += [
        Illustration(
            title=f"Interval, {flights[-1]} tokens in flight",
            caption="Time between the ends of two tokens: what a token takes of the chip's time.",
            figure=plot_against_stacks(_lines(most, "interval"), "interval", "s"),
        ),
        Illustration(
            title="Energy of changes of tier",
            caption="Of a token, whose products take "
            + _part(most[0], "products")
            + ", digital work "
            + _part(most[0], "digital units")
            + " and memory "
            + _part(most[0], "memory")
            + " in any arrangement.",
            figure=plot_against_stacks(_lines(most, "change_energy"), "energy of a token", "J"),
        ),
        _gantt(_find(most, heights[len(heights) // 2], "apart").outcomes[0]),
    ]
    columns = [Column(title="in flight"), Column(title="tiers"), Column(title="stacks")]
    columns += [Column(title="experts share", text=True), Column(title="conflicts", unit="%")]
    columns += [Column(title="waiting", unit="%"), Column(title="changes"), Column(title="latency")]
    columns += [Column(title="interval"), Column(title="energy"), Column(title="stacks in use", unit="%")]
    rows = tuple(
        (
            f"{case.stacks.in_flight}", f"{case.stacks.tiers}", f"{case.outcomes[0].placement.count}",
            GROUPS[case.grouping] if case.stacks.tiers > 1 else "nothing", percent(case.mean("conflicts")),
            percent(case.mean("waiting")),
            f"{case.mean('tier_changes') / max(work.tokens, 1):.2f}", quantity(case.mean("latency"), "s"),
            quantity(case.mean("interval"), "s"), quantity(case.mean("energy_per_token"), "J"),
            percent(case.outcomes[0].use["stacks"]),
        )
        for case in cases
    )  # fmt: skip
    blocks.insert(
        0,
        Table(
            caption="Every arrangement; changes of tier, latency, interval and energy are of a token. Waiting is the "
            "share of products that had to wait for their stack or for converters.",
            columns=tuple(columns), rows=rows,
        ),
    )  # fmt: skip
    return Section(anchor="schedule", title="Stacks and grouping", text=_method(cases), blocks=tuple(blocks))


def _part(case: Case, name: str) -> str:
    outcome = case.outcomes[0]
    return quantity(outcome.energy[name] / max(len(outcome.tokens), 1), "J", 3)


def _lines(cases: Sequence[Case], name: str) -> dict[str, tuple[list[float], list[float]]]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    words = dict.fromkeys(GROUPS[case.grouping] for case in cases if case.stacks.tiers > 1)
    for case in sorted(cases, key=lambda case: case.outcomes[0].placement.count):
        for word in words if case.stacks.tiers == 1 else [GROUPS[case.grouping]]:  # one tier is the end of all lines
            x, y = found.setdefault(word, ([], []))
            x.append(case.outcomes[0].placement.count)
            y.append(case.mean(name))
    return found


def _dense_section(work: Workload, cases: Sequence[Case], footprint: Footprint) -> Section:
    columns = [Column(title="in flight"), Column(title="converter banks"), Column(title="latency")]
    columns += [Column(title="interval"), Column(title="waiting", unit="%"), Column(title="banks in use", unit="%")]
    rows = tuple(
        (
            f"{case.stacks.in_flight}", f"{case.stacks.converters or work.tiles}", quantity(case.mean("latency"), "s"),
            quantity(case.mean("interval"), "s"), percent(case.mean("waiting")),
            percent(case.outcomes[0].use["converters"]),
        )
        for case in cases
    )  # fmt: skip
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for case in reversed(cases):
        x, y = lines.setdefault(
            "one at a time" if case.stacks.in_flight == 1 else f"{case.stacks.in_flight} in flight", ([], [])
        )
        x.append(case.stacks.converters or work.tiles)
        y.append(case.mean("interval"))
    table = Table(
        caption=f"Products alone, layer after layer, take {quantity(footprint.latency, 's')}, the slowest layer "
        f"{quantity(footprint.interval, 's')}, as the run's energy section says; here come digital work, memory and "
        "waiting to them.",
        columns=tuple(columns), rows=rows,
    )  # fmt: skip
    figure = Illustration(
        title="Interval against converters",
        caption="Time between the ends of two inputs.",
        figure=plot_against_stacks(lines, "interval", "s", x_axis="banks of converters"),
    )
    first = _in_flight(cases)[0].outcomes[0]
    return Section(
        anchor="schedule", title="Pipelined, with shared converters", text=_method(cases),
        blocks=(table, figure, _gantt(first)),
    )  # fmt: skip


def _gantt(outcome: Outcome) -> Illustration:
    """Draw the products of the first tokens."""
    jobs, stacks = outcome.jobs, outcome.placement.stacks
    own = jobs.token < SHOWN
    used = stacks[jobs.tile[own]]
    order = {stack: row for row, stack in enumerate(dict.fromkeys(used[np.argsort(jobs.begun[own], kind="stable")]))}
    rows = [order[stack] for stack in used]
    what = "token" if outcome.work.routing is not None else "input"
    tiers = f" of {outcome.stacks.tiers} tiers" if outcome.work.routing is not None else ""
    return Illustration(
        title=f"The first {SHOWN} {what}s",
        caption=f"When each stack{tiers} works for which {what}, in the order of first use; "
        f"{outcome.stacks.in_flight} in flight.",
        figure=plot_occupation(
            rows, np.stack([jobs.begun[own], jobs.ended[own]], axis=1), jobs.token[own], jobs.changes[own], name=what
        ),
        tall=True,
    )


def _method(cases: Sequence[Case]) -> str:
    stacks = cases[0].stacks
    return _METHOD.format(tier=quantity(stacks.t_tier, "s", 3), joule=quantity(stacks.e_tier, "J", 3))


def _larger_sections(larger: Sequence[Extrapolated]) -> list[Section]:
    """Tell what a larger model takes; nothing if that was not asked for."""
    if not larger:
        return []
    first, scale = larger[0], larger[0].scale
    columns = [Column(title="tiers"), Column(title="stacks"), Column(title="area", unit="m²")]
    columns += [Column(title="conflicts", unit="%"), Column(title="latency"), Column(title="interval")]
    columns += [Column(title=name) for name in first.energy]
    rows = tuple(
        (
            f"{one.tiers}", f"{one.stacks:,}", f"{one.area:.3g}", percent(one.conflicts), quantity(one.latency, "s", 3),
            quantity(one.interval, "s", 3), *(quantity(joules, "J", 3) for joules in one.energy.values()),
        )
        for one in larger
    )  # fmt: skip
    table = Table(
        caption=f"{scale.weights:.4g} weights on {first.tiles:,} tiles; a token takes {first.products:,.0f} products "
        f"and moves {first.bytes / 1e6:,.0f} MB to and from the memory. Energies are of a token; the interval is that "
        "with a token in each block.",
        columns=tuple(columns), rows=rows,
    )  # fmt: skip
    text = (
        f"{scale.blocks} blocks of width {scale.width:,} with {scale.experts} experts of {scale.hidden:,}, of which a "
        f"token takes {scale.chosen}. Not run: products are as those of the fullest tiles above, a block is scheduled "
        "with routers that choose evenly and at random, and the rest is counted. Digital units and memory channels are "
        "as many by stack as described; attention reads keys and values of "
        f"{scale.context:,} tokens. Its arithmetic, embeddings, the head, buses and control are not counted; a stack "
        "takes the area of its arrays or of the circuits below them, whichever is larger."
    )
    return [Section(anchor="larger", title="A larger model, on paper", text=text, blocks=(table,))]


def _description_section(stacks: Stacks) -> Section:
    rows, meanings = [], stacks.meanings()
    for name, value in stacks.model_dump().items():
        text = " ".join(meanings[name].split())
        rows.append((name, "one a stack" if value is None else f"{value:g}", text))
    table = Table(
        caption="The description, in SI units; schedules above vary tiers, converters, and what is in flight.",
        columns=(Column(title="key", text=True), Column(title="value"), Column(title="what it is", text=True)),
        rows=tuple(rows),
    )
    return Section(anchor="stacks", title="What stacks share", blocks=(table,))
