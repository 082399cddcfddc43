"""The characterise command: data sheets of circuit blocks."""

from pathlib import Path

import click

from spicesim.characterise import BLOCKS, Block, Conditions, DataSheet, find_block, write_sheet
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
@click.option("--corner", type=click.Choice(CORNERS), help="Corner of the process.  [default: the chip's]")
@click.option(
    "--temperature", metavar="C", type=click.FloatRange(-60, 175), help="Temperature [C].  [default: the chip's]"
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
    corner: str | None,
    temperature: float | None,
    samples: int,
    seed: int,
    resistors: float,
    json_path: str | None,
    plot_path: str | None,
    folder: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Measure a circuit block in ngspice and print its data sheet.

    BLOCK is one that --list names, or a record of your own, package.module:NAME, in a file of the working folder.

    What cannot be measured is a line that says why; the others stand, and the exit status is 1.
    """
    if plot_path is not None and Path(plot_path).suffix not in {".html", ".svg"}:
        raise SpecError(f"--plot writes .html or .svg, got {plot_path!r}")
    chip = open_chip(chip_path).at(corner=corner, temperature_c=temperature)
    conditions = Conditions(samples=samples, seed=seed, resistors=resistors, jobs=jobs, timeout=timeout)
    found = block.bench(chip)
    if folder is not None:
        for name, netlist in found.netlists.items():
            write_text(Path(folder) / f"{block.name}_{name}.cir", netlist.format())
    sheet = found.run(chip, conditions)
    click.echo(format_sheet(sheet))
    if json_path is not None:
        write_sheet(sheet, json_path)
        click.echo(f"wrote {json_path}")
    if plot_path is not None:
        from spicesim.characterise.plot import write_plot  # matplotlib takes half a second to import

        write_plot(sheet, plot_path)
        click.echo(f"wrote {plot_path}")
    if folder is not None:
        click.echo(f"wrote {len(found.netlists)} netlists to {folder}; run one with: ngspice -b -r out.raw FILE")
    if sheet.failures:
        names = ", ".join(failed.text for failed in sheet.failures)
        click.echo(f"{len(sheet.failures)} of {len(sheet.entries)} quantities could not be measured: {names}", err=True)
        context.exit(1)


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
    width = max(len(row[-1]) for row in [head, *rows])  # the conditions read better from the left
    table = format_table([*head[:-1], head[-1].ljust(width)], [[*row[:-1], row[-1].ljust(width)] for row in rows])
    where = f"{sheet.process}, {sheet.temperature_c:g} C, chip {sheet.chip} ({sheet.chip_hash})"
    count = next((entry.spread.samples for entry in sheet.entries if entry.spread), 0)
    return f"{where}{f', {count} samples of mismatch, seed {sheet.seed}' if count else ''}\n{table}"
