"""Commands to begin with: init and doctor."""

import ctypes.util
import shutil
import sys

import click

from spicesim.chip import PRESETS, format_chip, preset, save_chip
from spicesim.cli.options import open_chip
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.files import exists
from spicesim.ngspice.batch import ngspice_version
from spicesim.provenance import cpu_name, versions
from spicesim.sampling import cache_folder

__all__ = ["doctor", "init"]


@click.command(epilog="example: spicesim init --preset gf180-1t1r -o chip.toml")
@click.option("--preset", "name", metavar="NAME", default="gf180-1t1r", help="Preset to start from.")
@click.option("-o", "--output", metavar="CHIP.toml", help="Where to write it.  [default: print it]")
@click.option("--list", "listing", is_flag=True, help="List the presets.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(name: str, output: str | None, listing: bool, force: bool) -> None:
    """Write a commented chip description, every key with its unit."""
    if listing:
        for key, build in PRESETS.items():
            click.echo(f"{key:15s} {(build.__doc__ or '').splitlines()[0]}")
        return
    chip = preset(name)
    if output is None:
        click.echo(format_chip(chip), nl=False)
        return
    if exists(output) and not force:
        raise SpecError(f"{output} is there already; choose another name or add --force")
    save_chip(chip, output)
    click.echo(f"wrote {output}; next: spicesim calibrate {output} -o chip.cal.json")


@click.command(epilog="example: spicesim doctor --chip chip.toml")
@click.option("--chip", "chip_path", metavar="CHIP.toml", help="Look for the models of this chip, too.")
def doctor(chip_path: str | None) -> None:
    """Tell what is installed, what is missing, and how to get it."""
    missing: list[str] = []

    def row(what: str, found: str | None, remedy: str) -> None:
        click.echo(f"{'ok     ' if found else 'MISSING'}  {what:28s} {found or remedy}")
        if not found:
            missing.append(what)

    program = shutil.which("ngspice")
    row("ngspice", f"{program} {ngspice_version()}" if program else None, "apt-get install ngspice")
    row("libngspice", ctypes.util.find_library("ngspice"), "apt-get install libngspice0")
    chips = [open_chip(chip_path)] if chip_path else [build() for build in PRESETS.values()]
    for chip in chips:
        for model in dict.fromkeys(entry.path for entry in chip.process.models):
            try:
                found = str(next(m for m in chip.process.models if m.path == model).resolve())
                row(f"models of {chip.name}", found, "")
            except MissingDependencyError as error:
                row(f"models of {chip.name}", None, str(error))
    click.echo(f"ok       {'cache':28s} {cache_folder()}")
    click.echo(f"ok       {'processor':28s} {cpu_name()}")
    click.echo("ok       " + ", ".join(f"{name} {v}" for name, v in versions("").items() if v))
    if missing:
        click.echo(f"missing: {', '.join(missing)}", err=True)
        sys.exit(2)
