"""Commands to begin with: init and doctor."""

import ctypes.util
import os
import sys
from pathlib import Path

import click

from spicesim.chip import PRESETS, Library, format_chip, preset, save_chip
from spicesim.chip.library import library_text, subcircuit_names
from spicesim.cli.options import open_chip
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.files import STANDARD_OUTPUT, cache_folder, exists, write_text
from spicesim.ngspice.batch import find_ngspice, ngspice_version
from spicesim.ngspice.verilog_a import find_compiler
from spicesim.provenance import cpu_name, versions

__all__ = ["doctor", "init"]


@click.command(epilog="example: spicesim init --preset gf180-1t1r -o chip.toml")
@click.option("--preset", "name", metavar="NAME", default="gf180-1t1r", help="Preset to start from.")
@click.option("-o", "--output", metavar="CHIP.toml", help="Where to write it.  [default: print it]")
@click.option(
    "--library", metavar="FOLDER", help="Fill a folder with the library's subcircuits to edit, for this chip."
)
@click.option("--list", "listing", is_flag=True, help="List the presets.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init(name: str, output: str | None, library: str | None, listing: bool, force: bool) -> None:
    """Write a commented chip description, every key with its unit."""
    if listing:
        for key, build in PRESETS.items():
            click.echo(f"{key:15s} {(build.__doc__ or '').splitlines()[0]}")
        return
    chip = preset(name)
    if output is not None and exists(output) and not force:
        raise SpecError(f"{output} is there already; choose another name or add --force")
    if library is not None:
        _fill_library(Path(library), force=force)
        # from the description's own folder, so that both can be moved together
        home = Path.cwd() if output is None else Path(output).parent
        chip = chip.model_copy(
            update={"library": Library(path=Path(os.path.relpath(library, home)).as_posix(), files=())}
        )
    if output is None:
        click.echo(format_chip(chip), nl=False)
        return
    save_chip(chip, output)
    if output == STANDARD_OUTPUT:
        return
    if library is not None:
        click.echo(
            f"wrote {len(subcircuit_names())} subcircuits to {library}; edit any, and delete what you leave alone"
        )
    click.echo(f"wrote {output}; next: spicesim calibrate {output} -o chip.cal.json")


def _fill_library(folder: Path, *, force: bool) -> None:
    """Copy the library's subcircuits; a designer's own are not overwritten unless forced."""
    changed = [
        name for name in subcircuit_names()
        if exists(folder / name) and (folder / name).read_text(encoding="utf-8") != library_text(name)
    ]  # fmt: skip
    if changed and not force:
        raise SpecError(f"{folder / changed[0]} is there already, edited; choose another folder or add --force")
    for name in subcircuit_names():
        write_text(folder / name, library_text(name))


@click.command(epilog="example: spicesim doctor --chip chip.toml")
@click.option("--chip", "chip_path", metavar="CHIP.toml", help="Look for the models of this chip, too.")
def doctor(chip_path: str | None) -> None:
    """Tell what is installed, what is missing, and how to get it."""
    missing: list[str] = []

    def row(what: str, found: str | None, remedy: str, *, needed: bool = True) -> None:
        click.echo(f"{'ok     ' if found else 'MISSING' if needed else 'absent '}  {what:28s} {found or remedy}")
        if not found and needed:
            missing.append(what)

    try:
        row("ngspice", f"{find_ngspice()} {ngspice_version()}", "")
    except MissingDependencyError as error:
        row("ngspice", None, str(error))
    row("libngspice", ctypes.util.find_library("ngspice"), "apt-get install libngspice0")
    chips = [open_chip(chip_path)] if chip_path else [build() for build in PRESETS.values()]
    for chip in chips:
        for model in dict.fromkeys(entry.path for entry in chip.process.all_models):
            try:
                found = str(next(m for m in chip.process.all_models if m.path == model).resolve())
                row(f"models of {chip.name}", found, "")
            except MissingDependencyError as error:
                row(f"models of {chip.name}", None, str(error))
        if chip.process.sources:
            try:
                row(f"compiler of {chip.name}", str(find_compiler()), "")
            except MissingDependencyError as error:
                row(f"compiler of {chip.name}", None, str(error), needed=chip_path is not None)
    click.echo(f"ok       {'cache':28s} {cache_folder()}")
    click.echo(f"ok       {'processor':28s} {cpu_name()}")
    click.echo("ok       " + ", ".join(f"{name} {v}" for name, v in versions("").items() if v))
    if missing:
        click.echo(f"missing: {', '.join(missing)}", err=True)
        sys.exit(2)
