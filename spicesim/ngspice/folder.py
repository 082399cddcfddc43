"""Run folders: made for a simulation, dropped when it succeeds, kept and named when it fails."""

import contextlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from spicesim.errors import StorageError
from spicesim.netlist.netlist import Netlist

__all__ = ["NETLIST_NAME", "RAW_NAME", "RERUN", "drop_run_folder", "make_run_folder", "rerun", "runs_folder"]

NETLIST_NAME = "netlist.cir"
RAW_NAME = "out.raw"
RERUN = "; rerun: "
"""What stands before the command that repeats a failed run."""


def runs_folder() -> Path:
    """Return the folder that holds the run folders: ``$SPICESIM_RUNS``, or ``runs`` in the working folder."""
    return Path(os.environ.get("SPICESIM_RUNS", "runs")).resolve()


def make_run_folder(netlist: Netlist) -> Path:
    """Make a folder with the netlist and a private start-up file.

    The start-up file keeps ngspice to one thread: its OpenMP loops do not help, processes do.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    parent = runs_folder()
    try:
        folder = _make_folder(parent)
        (folder / NETLIST_NAME).write_text(netlist.format(), encoding="utf-8")
        (folder / ".spiceinit").write_text("\n".join(["set num_threads=1", *netlist.spiceinit, ""]), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write a run folder in {parent}: {error.strerror or error}; free some space or set SPICESIM_RUNS"
        ) from error
    return folder


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


def rerun(folder: Path) -> str:
    """Return the end of a message on a failed run: how to repeat it by hand."""
    return f"{RERUN}cd {shlex.quote(str(folder))} && HOME=. ngspice -b -r {RAW_NAME} {NETLIST_NAME}"
