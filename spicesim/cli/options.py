"""Options and small helpers that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spicesim.chip import Chip, load_chip, preset
from spicesim.errors import SpecError
from spicesim.files import cache_folder
from spicesim.files.shelf import Shelf
from spicesim.units import parse_quantity

if TYPE_CHECKING:
    from spicesim.calibration.calibration import Calibration

__all__ = [
    "chip_option",
    "jobs_option",
    "keeping_options",
    "open_calibration",
    "open_chip",
    "scheduler_option",
    "timeout_option",
]

chip_option = click.option(
    "--chip",
    "chip_path",
    metavar="CHIP.toml",
    help="Chip description; a preset's name works too.  [default: gf180-1t1r]",
)
jobs_option = click.option(
    "--jobs", metavar="N", type=click.IntRange(1), help="Simulations at a time.  [default: one a processor]"
)
scheduler_option = click.option(
    "--scheduler", metavar="URL", help="Simulate on the workers of this Dask scheduler, such as tcp://host:8786."
)
timeout_option = click.option(
    "--timeout", metavar="S", type=click.FloatRange(0, min_open=True), default=300.0, help="Longest simulation [s]."
)


def keeping_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options on what a run keeps to a command, which gets them as `keeping`."""

    @click.option(
        "--memory", metavar="B",
        help="Memory that tiles, and values between layers, may take, such as 4GB.  [default: half of what is free]",
    )  # fmt: skip
    @click.option(
        "--prepared", metavar="DIR",
        help="Keep tiles there as the engine fast made them ready, and find them again.  [default: the cache, 4 GB]",
    )  # fmt: skip
    @functools.wraps(command)
    def collect(*, memory: str | None, prepared: str | None, **others: Any) -> None:
        from spicesim.experiment.keeping import TILES_LIMIT, Keeping  # takes long, and not every command needs it

        shelf = Shelf(cache_folder() / "tiles-2", TILES_LIMIT) if prepared is None else Shelf(prepared)
        command(keeping=Keeping(memory=None if memory is None else parse_memory(memory), shelf=shelf), **others)
        shelf.trim()

    return collect


def parse_memory(text: str) -> int:
    """Read a number of bytes."""
    if (size := parse_quantity(text)) < 1:
        raise SpecError(f"--memory wants bytes such as 4GB, got {text!r}")
    return int(size)


def open_chip(path: str | None) -> Chip:
    """Read a chip description, or take a preset by its name; the default preset if there is no path."""
    if path is None:
        return preset("gf180-1t1r")
    if path.endswith(".toml") or Path(path).exists():
        return load_chip(path)
    return preset(path)


def open_calibration(path: str | Path, *, elsewhere: bool = False) -> "Calibration":
    """Read a calibration; one that misses what was asked of it says so, in a line on stderr.

    Parameters
    ----------
    path : str or Path
        The file.
    elsewhere : bool
        Whether it is used at another corner or temperature than its own.
    """
    from spicesim.calibration.calibration import load_calibration  # takes long, and not every command needs it

    calibration = load_calibration(path)
    if calibration.verdict is None:
        click.echo(f"note: {path} was never checked on whole tiles; its error is unknown", err=True)
    elif not (calibration.verdict.is_met_elsewhere if elsewhere else calibration.verdict.is_met):
        click.echo(f"note: {path}: {calibration.verdict.format()}", err=True)
    return calibration
