"""The replay command: a result run again and compared."""

import click

from spicesim.cli.options import jobs_option, timeout_option
from spicesim.cli.tables import format_table
from spicesim.experiment.replay import Difference, replay
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["replay_command"]

MOST = 20
"""Differences that are shown."""


@click.command("replay", epilog="example: spicesim replay out.json")
@click.argument("path", metavar="OUT.json")
@click.option("--model", metavar="MODEL.onnx", help="Where the network lies now.  [default: where it lay]")
@click.option("--data", metavar="DATA.npz", help="Where the data lie now.  [default: where they lay]")
@click.option("--calibration", metavar="CAL.json", help="Where the calibration lies now.  [default: where it lay]")
@jobs_option
@timeout_option
def replay_command(
    path: str, model: str | None, data: str | None, calibration: str | None, jobs: int | None, timeout: float
) -> int:
    """Run a result again from its JSON, and compare: bit for bit the same on the same machine.

    Exit status 1 if any number is another one.
    """
    found = replay(
        path, model=model, data=data, calibration=calibration, simulator=BatchSimulator(timeout=timeout), jobs=jobs,
        progress=True,
    )  # fmt: skip
    for one in found.surroundings:
        click.echo(f"note: {one.where} was {one.before}, is {one.after}: rounding may differ")
    if not found.differences:
        click.echo(f"the same to the last bit: {found.run.plan.title}, {len(found.run.experiments)} chips")
        return 0
    click.echo(format_table(["differs", "was", "is"], [_row(one) for one in found.differences[:MOST]]))
    if (more := len(found.differences) - MOST) > 0:
        click.echo(f"and {more} more")
    return 1


def _row(one: Difference) -> list[str]:
    return [one.where, *(str(value)[:40] for value in (one.before, one.after))]
