"""The characterise command: data sheets of circuit blocks."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from spicesim.characterise import (
    BLOCKS,
    Block,
    Conditions,
    DataSheet,
    Verdict,
    find_block,
    judge,
    load_limits,
    measure_matrix,
    places,
    write_sheet,
)
from spicesim.chip import CORNERS
from spicesim.cli.options import chip_option, jobs_option, open_chip, timeout_option
from spicesim.cli.tables import format_table
from spicesim.errors import SpecError
from spicesim.files import write_text

__all__ = ["characterise", "format_sheet"]


def _block(_context: click.Context, _parameter: click.Parameter, value: str) -> Block:
    return find_block(value)


def _list(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    width = max(map(len, BLOCKS))
    for name, block in BLOCKS.items():
        known = f" (also: {block.short})" if block.short else ""
        click.echo(f"{name:{width}}  {block.title}{known}: {block.sheet}")
    context.exit()


@click.command(
    epilog="example: spicesim characterise dac --chip gf180-1t1r --corner ss --temperature 125 --samples 20 --seed 1"
)
@click.argument("block", metavar="BLOCK", callback=_block)
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the blocks.")
@chip_option
@click.option(
    "--corner",
    "corners",
    type=click.Choice(CORNERS),
    multiple=True,
    help="Corner of the process; several make a matrix.  [default: the chip's]",
)
@click.option(
    "--temperature",
    "temperatures",
    metavar="C",
    type=click.FloatRange(-60, 175),
    multiple=True,
    help="Temperature [C]; several make a matrix.  [default: the chip's]",
)
@click.option(
    "--supply",
    "supplies",
    metavar="V",
    type=click.FloatRange(0, 100, min_open=True),
    multiple=True,
    help="Supply [V]; several make a matrix.  [default: the chip's]",
)
@click.option("--samples", metavar="N", type=click.IntRange(0), default=0, help="Samples of the mismatch; 0 for none.")
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, help="Seed of the mismatch.")
@click.option(
    "--resistors",
    metavar="R",
    type=click.FloatRange(0, 0.2, max_open=True),
    default=0.0,
    help="Relative spread of resistors, drawn with the transistors.",
)
@click.option(
    "--limits",
    "limits_path",
    metavar="LIMITS.toml",
    help="What quantities may be: [BLOCK], KEY = { min = X, max = Y }, keys as in --json; exit status 1 if not.",
)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the data sheet with its curves.")
@click.option("--plot", "plot_path", metavar="OUT.html", help="Draw the curves; .html or .svg.")
@click.option("--netlists", "folder", metavar="DIR", help="Write the testbenches themselves into a folder.")
@jobs_option
@timeout_option
@click.pass_context
def characterise(
    context: click.Context,
    block: Block,
    chip_path: str | None,
    corners: tuple[str, ...],
    temperatures: tuple[float, ...],
    supplies: tuple[float, ...],
    samples: int,
    seed: int,
    resistors: float,
    limits_path: str | None,
    json_path: str | None,
    plot_path: str | None,
    folder: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Measure a circuit block in ngspice and print its data sheet.

    BLOCK is one that --list names, or a record of your own, package.module:NAME, in a file of the working folder.

    What cannot be measured is a line that says why; the others stand, and the exit status is 1. With several corners,
    temperatures or supplies the table has the least and the largest over all of them, and limits are held against the
    worst; drawn samples count by three sigma. What was simulated before is not simulated again.
    """
    if plot_path is not None and Path(plot_path).suffix not in {".html", ".svg"}:
        raise SpecError(f"--plot writes .html or .svg, got {plot_path!r}")
    limits = None if limits_path is None else load_limits(limits_path)
    chip, wanted = open_chip(chip_path), places(corners, temperatures, supplies)
    if len(wanted) > 1 and (plot_path or folder):
        raise SpecError("--plot and --netlists are of one corner, temperature and supply; give one of each")
    conditions = Conditions(samples=samples, seed=seed, resistors=resistors, jobs=jobs, timeout=timeout)
    there = wanted[0].chip(chip)
    bench = block.bench(there)
    if limits is not None:
        limits.of_block(bench.block)  # a wrong file is told of before anything is simulated
    netlists = bench.netlists if folder is not None else {}
    for name, netlist in netlists.items():
        write_text(Path(str(folder)) / f"{block.name}_{name}.cir", netlist.format())
    sheets = measure_matrix(block, chip, wanted, conditions, progress=True)
    sheet = sheets[0][1]
    click.echo(format_sheet(sheet) if len(sheets) == 1 else format_matrix(sheets))
    if json_path is not None:
        if len(sheets) == 1:
            write_sheet(sheet, json_path)
        else:
            write_text(json_path, matrix_json(sheets))
        click.echo(f"wrote {json_path}")
    if plot_path is not None:
        from spicesim.characterise.plot import write_plot  # matplotlib takes half a second to import

        write_plot(sheet, plot_path)
        click.echo(f"wrote {plot_path}")
    if folder is not None:
        click.echo(f"wrote {len(netlists)} netlists to {folder}; run one with: ngspice -b -r out.raw FILE")
    verdicts = [] if limits is None else judge(sheets, limits)
    if verdicts:
        click.echo(f"\n{format_verdicts(verdicts)}")
    if missed := [verdict.entry.text for verdict in verdicts if not verdict.is_met]:
        click.echo(f"{len(missed)} of {len(verdicts)} limits are missed: {', '.join(missed)}", err=True)
    failed = [(where, own) for where, own in sheets if own.failures]
    for where, own in failed:
        names = ", ".join(entry.text for entry in own.failures)
        told = f"{len(own.failures)} of {len(own.entries)} quantities could not be measured"
        click.echo(f"{told}{f' at {where}' if len(sheets) > 1 else ''}: {names}", err=True)
    if failed or missed:
        context.exit(1)


def format_matrix(sheets: Sequence[tuple[str, DataSheet]]) -> str:
    """Format the least and the largest of every quantity over a matrix, and where they are."""
    rows = []
    for entry in sheets[0][1].entries:
        found = [(own.entry(entry.key).value, where) for where, own in sheets]
        known = [(value, where) for value, where in found if np.isfinite(value)]
        low, high = (min(known), max(known)) if known else ((float("nan"), ""), (float("nan"), ""))
        rows.append([entry.text, entry.format_value(low[0]), low[1], entry.format_value(high[0]), high[1]])
    sheet = sheets[0][1]
    head = f"{sheet.title}, chip {sheet.chip}, {len(sheets)} corners of process, temperature and supply"
    return f"{head}\n{_left_aligned(['quantity', 'least', 'at', 'largest', 'at'], rows)}"


def matrix_json(sheets: Sequence[tuple[str, DataSheet]]) -> str:
    """Format all sheets of a matrix as JSON."""
    document = {
        "schema_version": 1,
        "sheets": [{"where": where, **json.loads(sheet.to_json())} for where, sheet in sheets],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def format_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Format limits and whether they are kept."""
    texts = [v.entry.text for v in verdicts]
    rows = [
        [
            f"{v.entry.text}, {v.entry.condition}" if texts.count(v.entry.text) > 1 else v.entry.text,
            v.words,
            v.entry.format_value(v.value),
            v.where,
            "pass" if v.is_met else "FAIL",
        ]
        for v in verdicts
    ]
    return _left_aligned(["limit", "wanted", "worst", "at", ""], rows)


def _left_aligned(head: list[str], rows: list[list[str]]) -> str:
    """Format a table whose last column reads from the left."""
    width = max(len(row[-1]) for row in [head, *rows])
    return format_table([*head[:-1], head[-1].ljust(width)], [[*row[:-1], row[-1].ljust(width)] for row in rows])


def format_sheet(sheet: DataSheet) -> str:
    """Format a data sheet for a terminal."""
    spread = any(entry.spread for entry in sheet.entries)
    head = [sheet.title, "value", *(["mean", "sigma"] if spread else []), "condition"]
    rows = []
    for entry in sheet.entries:
        row = [entry.text, entry.format_value(entry.value)]
        if spread:
            both = (entry.spread.mean, entry.spread.sigma) if entry.spread else None
            row += [entry.format_value(number) for number in both] if both else ["", ""]
        rows.append([*row, entry.remark])
    table = _left_aligned(head, rows)  # the conditions read better from the left
    where = f"{sheet.process}, {sheet.temperature_c:g} C, chip {sheet.chip} ({sheet.chip_hash})"
    count = next((entry.spread.samples for entry in sheet.entries if entry.spread), 0)
    return f"{where}{f', {count} samples of mismatch, seed {sheet.seed}' if count else ''}\n{table}"
