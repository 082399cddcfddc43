"""Options and small helpers that several commands share."""

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.chip import Chip, load_chip, preset
from spicesim.errors import SpecError

__all__ = [
    "chip_option",
    "jobs_option",
    "load_array",
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


def open_chip(path: str | None) -> Chip:
    """Read a chip description, or take a preset by its name; the default preset if there is no path."""
    if path is None:
        return preset("gf180-1t1r")
    if path.endswith(".toml") or Path(path).exists():
        return load_chip(path)
    return preset(path)


def open_calibration(path: str | Path) -> Calibration:
    """Read a calibration; one that misses what was asked of it says so, in a line on stderr."""
    calibration = load_calibration(path)
    if calibration.verdict is None:
        click.echo(f"note: {path} was never checked on whole tiles; its error is unknown", err=True)
    elif not calibration.verdict.is_met:
        click.echo(f"note: {path}: {calibration.verdict.format()}", err=True)
    return calibration


def load_array(path: str, what: str) -> npt.NDArray[Any]:
    """Read an array from a .npy or a text file.

    Raises
    ------
    SpecError
        If it cannot be read or holds no numbers.
    """
    try:
        if path.endswith(".npy"):
            array = np.load(path, allow_pickle=False)
        else:
            array = np.loadtxt(path, delimiter="," if path.endswith(".csv") else None)
    except FileNotFoundError:
        raise SpecError(f"no file {path} for the {what}; write one with numpy.save") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot read the {what} from {path}: {error}; wanted a .npy, .csv or text file") from None
    if array.dtype.kind not in "fiu":
        raise SpecError(f"the {what} in {path} are no numbers but {array.dtype}")
    return np.asarray(array)
