"""The explore command: a study to its front."""

from pathlib import Path

import click

from spicesim.cli.options import scheduler_option, timeout_option
from spicesim.cli.tables import format_table
from spicesim.files import write_json
from spicesim.sampling import use_scheduler
from spicesim.study.explore import Exploration, explore
from spicesim.study.front import FrontPoint
from spicesim.study.goals import NUMBERS, values_of
from spicesim.study.space import show
from spicesim.study.unseen import unseen_goals

__all__ = ["explore_command"]


@click.command("explore", epilog="example: spicesim explore study.toml -o study --jobs 2 --report study.html")
@click.argument("path", metavar="STUDY.toml")
@click.option("-o", "--output", metavar="DIR", help="Keep all there, and go on from there.  [default: as STUDY]")
@click.option("--points", metavar="N", type=click.IntRange(1), help="Points to try in all.  [default: the study's]")
@click.option("--jobs", metavar="N", type=click.IntRange(1), default=1, help="Points at a time, a process each.")
@click.option("--no-audit", is_flag=True, help="Do not audit the front in ngspice.")
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@timeout_option
@scheduler_option
def explore_command(
    path: str,
    output: str | None,
    points: int | None,
    jobs: int,
    no_audit: bool,
    json_path: str | None,
    report_path: str | None,
    timeout: float,
    scheduler: str | None,
) -> None:
    """Try chips of a space on a network, and audit those that no other beats.

    STUDY.toml says what is run ([run], as a plan of spicesim infer), what may change ([space]) and what is wanted
    ([goals]). Every finished point is kept: the same command goes on after an interruption, and takes in more --points.
    Several of the same command may work on one study at a time.
    """
    if report_path is not None:
        from spicesim.study.page import require_plotly, write_study_report  # drawing takes a second to import

        require_plotly()  # before hours of work, not after them
    folder = Path(output or Path(path).with_suffix(""))
    with use_scheduler(scheduler):
        found = explore(path, folder, points=points, jobs=jobs, audit=not no_audit, timeout=timeout, progress=True)
    click.echo(format_exploration(found))
    if json_path is not None:
        write_json(json_path, found.document())
    if report_path is not None:
        write_study_report(found, report_path)
        click.echo(f"wrote {report_path}")


def format_exploration(found: Exploration) -> str:
    """Format the front, the chip as it is described above it, and what became of the other points."""
    goals = found.study.goals
    names = [*goals, *(n for n in ("tops_per_watt",) if n in found.reference.values and n not in goals)]
    head = ["point", *(f"{name} [{NUMBERS[name].unit}]" if _unit(name) else name for name in names)]
    unseen = unseen_goals(found.study)
    head += [f"{name}, unseen" for name in unseen]
    head += ["audited", "max error [%]", "above it [%]"]
    reference = ["as described", *_numbers(found.reference.values, names), *_numbers(values_of(found.unseen), unseen)]
    reference += [""] * 3
    rows = [reference, *([*_row(one, names, unseen)] for one in found.front)]
    left: dict[str, int] = {}
    for record in found.records:
        if not record.is_taken:
            left[record.outcome.stage] = left.get(record.outcome.stage, 0) + 1
    taken = sum(record.is_taken for record in found.records)
    lines = [format_table(head, rows), ""]
    for one in found.front:
        keys = ", ".join(f"{name} = {show(value)}" for name, value in one.record.point.items())
        lines.append(f"{one.record.number}: {keys}")
    lines += ["", f"{len(found.records)} points tried, {taken} within all limits"]
    words = {"chip": "are no chip", "ideal": "stopped at ideal arrays", "run": "failed or miss a limit"}
    lines += [f"{count} {words[stage]}, such as: {_example(found, stage)}" for stage, count in left.items()]
    lines += [f"{one.stem} is not whole: {one.failure}" for one in found.front if one.failure]
    lines.append(f"in {found.folder}: study.json, and in front/ each point's chip, calibration, run and audit")
    return "\n".join(lines)


def _unit(name: str) -> str:
    return NUMBERS[name].unit if name in NUMBERS else ""


def _numbers(values: dict[str, float], names: list[str]) -> list[str]:
    return [f"{values[name]:.4g}" if name in values else "-" for name in names]


def _row(one: FrontPoint, names: list[str], unseen: list[str]) -> list[str]:
    cells = [
        str(one.record.number),
        *_numbers(one.record.outcome.values, names),
        *_numbers(values_of(one.unseen), unseen),
    ]
    if one.audit is None:
        cells += ["-", "-", "-"]
    else:
        bound = one.audit["bound"]
        cells += [
            str(one.audit["count"]), f"{100 * bound['max_error_full_scale']:.4f}",
            f"{100 * bound['share_of_products_above']:.0f}",
        ]  # fmt: skip
    return cells


def _example(found: Exploration, stage: str) -> str:
    return next(one.outcome.reason for one in found.records if not one.is_taken and one.outcome.stage == stage)
