"""The schedule command: when a network's products run on stacked arrays, and what waiting costs."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from spicesim.cli.options import jobs_option, keeping_options, open_calibration
from spicesim.cli.plan_options import plan_options
from spicesim.cli.tables import format_table
from spicesim.errors import SpecError
from spicesim.experiment.footprint import Footprint
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.files import write_json
from spicesim.schedule.routing import Experts
from spicesim.schedule.scale import Extrapolated, Scale, find_tile_cost, load_scale
from spicesim.schedule.scale import extrapolate as extrapolate_scale
from spicesim.schedule.stack import Stacks, load_stacks
from spicesim.schedule.study import Case, compare_converters, compare_groupings
from spicesim.schedule.work import Workload, gather_work
from spicesim.units import format_si

__all__ = ["schedule"]

USUAL = Experts()


@click.command(
    epilog="example: spicesim schedule moe.onnx moe.npz --calibration chip.cal.json --in-flight 8 --report moe.html"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option("--calibration", "calibration_path", metavar="CAL.json", default="chip.cal.json", help="Of the chip.")
@click.option("--stacks", "stacks_path", metavar="STACKS.toml", help="Stacks and what they share: a table [stacks].")
@click.option("--in-flight", metavar="N", type=click.IntRange(1), help="Tokens, or inputs, under way at a time.")
@click.option("--tokens", metavar="N", type=click.IntRange(1), default=256, help="Tokens, or inputs, to schedule.")
@click.option("--experts", metavar="REGEX", default=USUAL.pattern, help="Layers of experts: block and number.")
@click.option("--router", metavar="REGEX", default=USUAL.router, help="Routers: the block.")
@click.option("--choices", metavar="NAME", default=USUAL.output, help="Output of the routers' choices.")
@click.option("--extrapolate", is_flag=True, help="Tell what a model of 1e11 weights would take of such tiles.")
@click.option("--scale", "scale_path", metavar="SCALE.toml", help="The same for another model: a table [scale].")
@plan_options(without=("explain", "audit", "macros", "energy", "chips"), engine="ideal", images=16)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@jobs_option
@keeping_options
def schedule(
    model: str,
    data: str,
    calibration_path: str,
    stacks_path: str | None,
    in_flight: int | None,
    tokens: int,
    experts: str,
    router: str,
    choices: str,
    extrapolate: bool,
    scale_path: str | None,
    plan: RunPlan,
    json_path: str | None,
    report_path: str | None,
    jobs: int | None,
    keeping: Keeping,
) -> None:
    """Schedule a network's products on stacked arrays that share converters, digital units and memory.

    The network runs on --images 16 inputs by the engine ideal, if not told otherwise; energies and times of its
    products are the calibration's. A mixture of experts is placed on stacks of one, two, .. tiers in several groupings,
    and scheduled as its own routers chose; the grouping "apart" is found on the first half of the inputs, and all are
    judged on the second. Other networks are scheduled with fewer and fewer converters.
    """
    words = Experts(pattern=experts, router=router, output=choices)
    stacks = Stacks() if stacks_path is None else load_stacks(stacks_path)
    if in_flight is not None:
        stacks = stacks.changed(in_flight=in_flight)
    calibration = open_calibration(calibration_path, elsewhere=plan.is_elsewhere)
    found = run(plan.changed(energy=True), model, data, calibration, jobs=jobs, keeping=keeping, progress=True)
    footprint = found.findings.footprint
    assert footprint is not None
    result = found.first.result
    work = gather_work(
        found.network, footprint, result.outputs, result.stats.images, experts=words, digital=plan.mapping.digital
    )
    cases, part = _compare(work, result.stats.images, stacks, tokens)
    click.echo(_format(part, cases, footprint))
    larger: list[Extrapolated] = []
    if extrapolate or scale_path is not None:
        scale = Scale() if scale_path is None else load_scale(scale_path)
        larger = extrapolate_scale(scale, find_tile_cost(found.network, footprint), stacks)
        click.echo(f"\n{_format_larger(larger)}")
    if json_path is not None:
        document = {
            "plan": found.plan.document(), "subject": found.subject.document(), "stacks": stacks.model_dump(),
            "tiles": work.tiles, "tokens": part.tokens, "latency_footprint": footprint.latency,
            "interval_footprint": footprint.interval, "cases": [case.document() for case in cases],
            "scale": larger[0].scale.model_dump() if larger else None,
            "weights": larger[0].scale.weights if larger else None,
            "extrapolated": [one.document() for one in larger],
        }  # fmt: skip
        write_json(json_path, document)
    if report_path is not None:
        from spicesim.report.schedule import write_schedule_report  # drawing takes a second to import

        write_schedule_report(part, stacks, cases, footprint, larger, calibration, Path(model).stem, report_path)
        click.echo(f"wrote {report_path}")


def _compare(work: Workload, inputs: int, stacks: Stacks, tokens: int) -> tuple[list[Case], Workload]:
    """Return the schedules, and what was scheduled."""
    if work.routing is None:
        # every input of such a network takes the same; four times as many as are in flight show a steady interval
        part = Workload(layers=work.layers, tokens=min(tokens, 4 * stacks.in_flight))
        return compare_converters(part, stacks), part
    if inputs < 2:
        raise SpecError("a mixture of experts wants two inputs or more, to find groups on one half and to judge them")
    numbers = np.arange(work.tokens)
    first = numbers % inputs < inputs // 2
    part = work.some(numbers[~first][:tokens])
    return compare_groupings(part, stacks, work.routing.some(numbers[first])), part


def _format(work: Workload, cases: Sequence[Case], footprint: Footprint) -> str:
    """Format what came out."""
    head = ["stacks", "tiers", "experts share by", "converters", "in flight"]
    head += ["conflicts [%]", "waiting [%]", "latency", "interval", "energy", "use [%]"]
    rows = []
    for case in cases:
        first, tall = case.outcomes[0], case.stacks.tiers > 1
        rows.append(
            [
                f"{first.placement.count}", f"{case.stacks.tiers if case.grouping else 1}",
                (case.grouping or "") if tall else "",
                f"{case.stacks.converters or first.placement.count}", f"{case.stacks.in_flight}",
                f"{100 * case.mean('conflicts'):.1f}" if case.grouping else "", f"{100 * case.mean('waiting'):.1f}",
                format_si(case.mean("latency"), "s", 4), format_si(case.mean("interval"), "s", 4),
                format_si(case.mean("energy_per_token"), "J", 4), f"{100 * first.use['stacks']:.1f}",
            ]
        )  # fmt: skip
    whose = "token" if work.routing is not None else "input"
    lines = [format_table(head, rows), ""]
    lines.append(
        f"{work.tiles} tiles, {work.tokens} {whose}s scheduled; latency, interval and energy are of one {whose}"
    )
    if work.routing is None:
        lines.append(
            f"products alone, layer after layer: {format_si(footprint.latency, 's', 4)}; the slowest layer's: "
            f"{format_si(footprint.interval, 's', 4)}"
        )
    return "\n".join(lines)


def _format_larger(larger: Sequence[Extrapolated]) -> str:
    """Format what a larger model takes."""
    head = ["tiers", "stacks", "area [m^2]", "conflicts [%]", "latency", "interval"]
    head += ["products", "tier changes", "digital", "memory", "all a token"]
    rows = [
        [
            f"{one.tiers}", f"{one.stacks:,}", f"{one.area:.3g}", f"{100 * one.conflicts:.1f}",
            format_si(one.latency, "s", 3), format_si(one.interval, "s", 3),
            *(format_si(joules, "J", 3) for joules in one.energy.values()),
            format_si(sum(one.energy.values()), "J", 3),
        ]
        for one in larger
    ]  # fmt: skip
    first, scale = larger[0], larger[0].scale
    return (
        f"{scale.weights:.4g} weights, {scale.blocks} blocks of {scale.experts} experts, {scale.chosen} chosen, on "
        f"{first.tiles:,} tiles; a token takes {first.products:,.0f} products and moves {first.bytes / 1e6:,.0f} MB to "
        f"and from the memory\n\n{format_table(head, rows)}"
    )
