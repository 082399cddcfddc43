"""The size command: a block whose data sheet misses its limits, to one that holds them."""

from pathlib import Path

import click

from spicesim.chip import save_chip
from spicesim.cli.characterise import format_verdicts, matrix_document
from spicesim.cli.options import jobs_option, timeout_option
from spicesim.cli.tables import format_table
from spicesim.files import write_json, write_text
from spicesim.sizing import Sized, load_sizing
from spicesim.sizing import size as size_block
from spicesim.units import format_si

__all__ = ["size"]


@click.command(epilog="example: spicesim size scripts/examples/sizing.toml -o sized")
@click.argument("path", metavar="SIZING.toml")
@click.option("-o", "--output", metavar="DIR", help="Where the files go.  [default: as SIZING]")
@click.option("--trials", metavar="N", type=click.IntRange(1), help="Circuits to try.  [default: the description's]")
@jobs_option
@timeout_option
@click.pass_context
def size(
    context: click.Context, path: str, output: str | None, trials: int | None, jobs: int | None, timeout: float
) -> None:
    """Size a circuit block until its data sheet holds its limits at every corner.

    SIZING.toml names the block, its [limits], as for characterise --limits, and its [sizes], what may change and in
    which range. DIR gets the chip, the subcircuit with its sizes, and data sheets. Simulations are kept: the same
    command after an interruption goes on from there. Exit status 1 if a limit is missed to the end.
    """
    sizing, chip = load_sizing(path)
    if trials is not None:
        sizing = sizing.model_copy(update={"trials": trials})
    folder = Path(output or Path(path).with_suffix(""))
    found = size_block(sizing, chip, jobs=jobs, timeout=timeout, progress=True)
    click.echo(format_sized(found))
    write_sized(found, folder)
    click.echo(f"\nwrote {folder}: chip.toml, library/, sheets.json, sizing.json")
    if found.best.missed > 0:
        context.exit(1)


def format_sized(found: Sized) -> str:
    """Format sizes and limits, before and after."""
    rows = [
        [name, format_si(found.start.sizes[name]), format_si(found.best.sizes[name])] for name in found.sizing.sizes
    ]
    tried = f"{found.trials} circuits tried" + (f", {found.failed} of them work nowhere" if found.failed else "")
    return "\n".join([
        "before", format_verdicts(found.start.verdicts), "", "after", format_verdicts(found.best.verdicts), "",
        format_table(["size", "before", "after"], rows), "", tried,
    ])  # fmt: skip


def write_sized(found: Sized, folder: Path) -> None:
    """Write the chip, its library, its data sheets and what was found into a folder."""
    chip, library = found.best.chip, folder / "library"
    if chip.library is not None:
        for name, text in chip.library.files:
            write_text(library / name, text)
        chip = chip.changed(library={"path": library.name, "files": chip.library.files})  # beside the chip's own file
    save_chip(chip, folder / "chip.toml")
    write_json(folder / "sheets.json", matrix_document(found.best.sheets))
    write_json(folder / "sizing.json", found.document())
