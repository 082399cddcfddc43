"""Run folders: made for a simulation, dropped when it succeeds, kept and named when it fails."""

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spicesim.errors import SimulationError, StorageError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.cards import CARDS_NAME, needed_cards
from spicesim.ngspice.verilog_a import loadable

__all__ = [
    "NETLIST_NAME",
    "RAW_NAME",
    "RERUN",
    "drop_run_folder",
    "failure",
    "make_run_folder",
    "rerun",
    "runs_folder",
    "simulator_environment",
    "write_start_up",
]

NETLIST_NAME = "netlist.cir"
RAW_NAME = "out.raw"
RERUN = "; rerun: "
"""What stands before the command that repeats a failed run."""


def runs_folder() -> Path:
    """Return the folder that holds the run folders: ``$SPICESIM_RUNS``, or ``runs`` in the working folder."""
    return Path(os.environ.get("SPICESIM_RUNS", "runs")).resolve()


def make_run_folder(netlist: Netlist) -> Path:
    """Make a folder with the netlist, held against the gate once more, and the start-up file.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    netlist.require_data()
    start_up = loadable(netlist.spiceinit)
    parent = runs_folder()
    try:
        folder = _make_folder(parent)
        needed = needed_cards(netlist)
        if needed is not None:
            (folder / CARDS_NAME).write_text(needed[1], encoding="utf-8")
        (folder / NETLIST_NAME).write_text(netlist.format() if needed is None else needed[0], encoding="utf-8")
        write_start_up(folder, start_up)
    except OSError as error:
        raise StorageError(
            f"cannot write a run folder in {parent}: {error.strerror or error}; free some space or set SPICESIM_RUNS"
        ) from error
    return folder


def write_start_up(folder: Path, lines: Sequence[str] = ()) -> None:
    """Write ngspice's start-up file into a folder that :func:`simulator_environment` makes the only place for one.

    It stands in for the one that comes with ngspice: no code models are loaded, some of which read and write files. It
    keeps ngspice to one thread: its OpenMP loops do not help, processes do.
    """
    (folder / "spinit").write_text("\n".join(["* spicesim", "set num_threads=1", *lines, ""]), encoding="utf-8")


def simulator_environment(folder: Path) -> dict[str, str]:
    """Return the environment of ngspice: what it takes to start a program, and the folder for all that is its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    own = {"HOME": str(folder), "SPICE_SCRIPTS": str(folder), "NGSPICE_MEAS_PRECISION": "16"}
    return {**kept, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **own}


def _make_folder(parent: Path, tries: int = 20) -> Path:
    """Make a new folder; another run that ends may drop the empty parent in between."""
    for _ in range(tries - 1):
        # mkdir, too, can find the parent there and then gone
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=parent))


def drop_run_folder(folder: Path) -> None:
    """Remove a run folder, and the folder above it once that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other runs may still be in there
        folder.parent.rmdir()


def rerun(folder: Path, *, raw: bool = True) -> str:
    """Return the end of a message on a failed run: how to repeat it by hand, with its curves in a file or without."""
    kept = f"-r {RAW_NAME} " if raw else ""
    return f"{RERUN}cd {shlex.quote(str(folder))} && SPICE_SCRIPTS=. ngspice -n -b {kept}{NETLIST_NAME}"


def failure(kind: type[SimulationError], message: str, folder: Path, *, raw: bool = True) -> SimulationError:
    """Return the error for a run whose folder is kept, with the command that repeats it."""
    error = kind(f"{message}{rerun(folder, raw=raw)}")
    error.folder = str(folder)  # no reading it out of the message, which quotes what a netlist made ngspice say
    return error
