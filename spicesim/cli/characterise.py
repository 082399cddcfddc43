"""The characterise command: data sheets of circuit blocks."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from spicesim.bound import CONFIDENCE
from spicesim.characterise import (
    BLOCKS,
    Block,
    Conditions,
    DataSheet,
    Entry,
    LimitYield,
    Verdict,
    Yield,
    deck_bench,
    deck_options,
    find_block,
    find_yields,
    judge,
    least_yield,
    least_yields,
    load_limits,
    matrix_rows,
    measure_deck,
    measure_matrix,
    places,
    sample_draw,
    settings,
)
from spicesim.chip import CORNERS
from spicesim.cli.options import chip_option, jobs_option, open_chip, timeout_option
from spicesim.cli.supplies import named_volts, volts
from spicesim.cli.tables import format_table
from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.netlist import read_deck

__all__ = ["characterise", "format_sheet"]


def _block(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Block | None:
    return None if value is None else find_block(value)


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
@click.argument("block", metavar="[BLOCK]", required=False, callback=_block)
@click.option(
    "--deck", "deck_path", metavar="MINE.cir", help="A netlist of anybody's with .measure lines, for a block."
)
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
    multiple=True,
    help="Supply [V], of a deck a .param, such as vdd=3.0,3.3; several make a matrix.  [default: the chip's]",
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
    "--yield",
    "wanted_yield",
    metavar="P",
    type=click.FloatRange(0, 1),
    help="Share of all chips that shall hold the limits, with 95 % confidence, in place of three sigma each.",
)
@click.option(
    "--limits",
    "limits_path",
    metavar="LIMITS.toml",
    help="What quantities may be: [BLOCK], KEY = { min = X, max = Y }, keys as in --json; exit status 1 if not.",
)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the data sheet with its curves.")
@click.option("--plot", "plot_path", metavar="OUT.html", help="Draw the curves; .html or .svg.")
@click.option(
    "--netlists",
    "folder",
    metavar="DIR",
    help="Write the testbenches into a folder; with limits those of the worst sample.",
)
@jobs_option
@timeout_option
@click.pass_context
def characterise(
    context: click.Context,
    block: Block | None,
    deck_path: str | None,
    chip_path: str | None,
    corners: tuple[str, ...],
    temperatures: tuple[float, ...],
    supplies: tuple[str, ...],
    samples: int,
    seed: int,
    resistors: float,
    wanted_yield: float | None,
    limits_path: str | None,
    json_path: str | None,
    plot_path: str | None,
    folder: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Measure a circuit block, or a deck, in ngspice and print its data sheet.

    BLOCK is one that --list names, or a record of your own, package.module:NAME, in a file of the working folder. A
    deck is a netlist with .measure lines, each of which may say its unit: .measure tran t_rise .. ; rise time [s]

    What cannot be measured is a line that says why; the others stand, and the exit status is 1. With several corners,
    temperatures or supplies the table has the least and the largest over all of them, and limits are held against the
    worst; drawn samples count by three sigma, or by --yield. What was simulated before is not simulated again.
    """
    if plot_path is not None and Path(plot_path).suffix not in {".html", ".svg"}:
        raise SpecError(f"--plot writes .html or .svg, got {plot_path!r}")
    if (block is None) == (deck_path is None):
        raise SpecError("give one: a BLOCK, as --list has them, or --deck MINE.cir")
    if wanted_yield is not None and (limits_path is None or not samples):
        raise SpecError("--yield is the share of drawn chips that hold their limits; give --limits and --samples, too")
    limits = None if limits_path is None else load_limits(limits_path)
    chip = open_chip(chip_path)
    conditions = Conditions(samples=samples, seed=seed, resistors=resistors, jobs=jobs, timeout=timeout)
    if block is not None:
        wanted = places(corners, temperatures, volts(supplies))
        count, first = len(wanted), block.bench(wanted[0].chip(chip))
    else:
        deck = read_deck(str(deck_path))
        choices = settings(corners, temperatures, named_volts(supplies))
        count, first = len(choices), deck_bench(deck, chip, choices[0])
    if count > 1 and (folder or (plot_path or "").endswith(".svg")):
        raise SpecError("--netlists and .svg are of one corner, temperature and supply; give one of each")
    if limits is not None:
        limits.of_block(first.block)  # a wrong file is told of before anything is simulated
    netlists = first.netlists if folder is not None else {}
    for name, netlist in netlists.items():
        write_text(Path(str(folder)) / f"{first.block}_{name}.cir", netlist.format())
    if block is not None:
        sheets = measure_matrix(block, chip, wanted, conditions, progress=True)
    else:
        sheets = measure_deck(deck, chip, choices, conditions, progress=True)
    sheet = sheets[0][1]
    click.echo(format_sheet(sheet) if len(sheets) == 1 else format_matrix(sheets))
    for note in sheet.notes:
        click.echo(f"note: {note}", err=True)
    yields = [] if limits is None else find_yields(sheets, limits)
    verdicts = [] if limits is None else judge(sheets, limits, spread=wanted_yield is None)
    if json_path is not None:
        write_text(json_path, sheets_json(sheets, yields))
        click.echo(f"wrote {json_path}")
    if plot_path is not None:
        from spicesim.characterise.plot import write_plot  # matplotlib takes half a second to import

        write_plot(sheets, plot_path, verdicts, yields)
        click.echo(f"wrote {plot_path}")
    if folder is not None:
        click.echo(f"wrote {len(netlists)} netlists to {folder}; run one with: ngspice -b -r out.raw FILE")
    if verdicts:
        click.echo(f"\n{format_verdicts(verdicts)}")
    if yields:
        click.echo(f"\n{format_yields(yields)}")
        least = least_yield(yields)
        at = [where for where, _ in sheets].index(least.where)
        if block is None:
            source = f"deck {shlex.quote(str(deck_path))}{deck_options(choices[at])}"
        else:
            source = f"{block.name}{wanted[at].options}" if _is_drawn(block.name) else ""
        if source:
            source += f" --chip {chip_path}" if chip_path else ""
            source += f" --resistors {resistors:g}" if resistors else ""
        command = f"spicesim netlist {source} --mismatch {least.seed} --sample {least.worst} -o worst.cir"
        click.echo(f"its netlist: {command if source else '--netlists DIR'}")
        if folder is not None:
            there = chip if block is None else wanted[0].chip(chip)
            for name in first.varied:
                drawn = first.drawn(name, there, sample_draw(seed, least.worst), resistors)
                write_text(Path(folder) / f"{first.block}_{name}_sample_{least.worst}.cir", drawn.format())
    if missed := [verdict.entry.text for verdict in verdicts if not verdict.is_met]:
        click.echo(f"{len(missed)} of {len(verdicts)} limits are missed: {', '.join(missed)}", err=True)
    short = [] if wanted_yield is None else [one for one in yields if one.interval[0] < wanted_yield]
    for one in short:
        click.echo(
            f"the yield may be as low as {100 * one.interval[0]:.2f} % at {one.where}, below {100 * wanted_yield:g} %: "  # type: ignore[operator]
            "change the circuit, or draw more samples",
            err=True,
        )
    failed = [(where, own) for where, own in sheets if own.failures]
    for where, own in failed:
        names = ", ".join(entry.text for entry in own.failures)
        told = f"{len(own.failures)} of {len(own.entries)} quantities could not be measured"
        reason = f" ({own.failures[0].failure})" if len(sheets) > 1 else ""  # the one sheet says it itself
        click.echo(f"{told}{f' at {where}' if len(sheets) > 1 else ''}: {names}{reason}", err=True)
    if failed or missed or short:
        context.exit(1)


def _is_drawn(name: str) -> bool:
    """Whether the netlist command of a block writes its samples; some write other circuits, others are of one's own."""
    from spicesim.cli.netlist import netlist  # at the end of a run, as it takes long to import

    command = netlist.commands.get(name)
    return command is not None and any(option.name == "mismatch" for option in command.params)


def format_matrix(sheets: Sequence[tuple[str, DataSheet]]) -> str:
    """Format the least and the largest of every quantity over a matrix, and where they are."""
    sheet = sheets[0][1]
    head = f"{sheet.title}, chip {sheet.chip}, {len(sheets)} corners of process, temperature and supply"
    return f"{head}\n{_left_aligned(['quantity', 'least', 'at', 'largest', 'at'], matrix_rows(sheets))}"


def sheets_json(sheets: Sequence[tuple[str, DataSheet]], yields: Sequence[Yield] = ()) -> str:
    """Format data sheets as JSON: one by itself, more as a matrix."""
    document = json.loads(sheets[0][1].to_json()) if len(sheets) == 1 else matrix_document(sheets)
    if yields:
        document["yields"] = [one.document() for one in yields]
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def matrix_document(sheets: Sequence[tuple[str, DataSheet]]) -> dict[str, Any]:
    """Return all sheets of a matrix as JSON has them."""
    return {
        "schema_version": 1,
        "sheets": [{"where": where, **json.loads(sheet.to_json())} for where, sheet in sheets],
    }


def format_yields(yields: Sequence[Yield]) -> str:
    """Format what share of drawn chips holds its limits, and the worst of them."""
    rows = []
    for text, where, found in least_yields(yields):
        low, high = found.interval
        value = found.entry.format_value(found.value) if isinstance(found, LimitYield) else ""
        share = f"{100 * low:.2f}..{100 * high:.2f} %"
        rows.append([text, where, f"{found.passed} of {found.samples}", share, str(found.worst), value])
    return _left_aligned(
        [
            "yield" if len(yields) == 1 else "least yield",
            "at",
            "chips",
            f"{CONFIDENCE:.0%} of all",
            "worst sample",
            "there",
        ],
        rows,
    )


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
            row += _spread_cells(entry)
        rows.append([*row, entry.remark])
    table = _left_aligned(head, rows)  # the conditions read better from the left
    where = f"{sheet.process}, {sheet.temperature_c:g} C, chip {sheet.chip} ({sheet.chip_hash})"
    count = max((entry.spread.samples for entry in sheet.entries if entry.spread), default=0)
    told = f", {count} samples of mismatch, seed {sheet.seed}; +-: {CONFIDENCE:.0%} of all chips" if count else ""
    return f"{where}{told}\n{table}"


def _spread_cells(entry: Entry) -> list[str]:
    """Format mean and sigma, each with half of its interval."""
    if (spread := entry.spread) is None:
        return ["", ""]
    cells = []
    for value, (low, high) in ((spread.mean, spread.mean_interval), (spread.sigma, spread.sigma_interval)):
        cells.append(f"{entry.format_value(value)} +- {entry.format_value((high - low) / 2)}")
    return cells
