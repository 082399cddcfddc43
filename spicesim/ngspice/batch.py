"""Ngspice as a process of its own a simulation: parallel, and stopped when it hangs."""

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spicesim.errors import MissingDependencyError, SimulationError, SimulationTimeoutError, StorageError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.folder import NETLIST_NAME, RAW_NAME, drop_run_folder, make_run_folder
from spicesim.ngspice.outcome import Results, find_problem
from spicesim.ngspice.rawfile import read_raw

__all__ = ["BatchSimulator", "find_ngspice", "ngspice_version"]

_LEAST_SPACE = 65536
"""Free bytes below which results cannot be trusted to be whole."""


def find_ngspice(program: str = "ngspice") -> str:
    """Find the ngspice program.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise MissingDependencyError(
            f"the program {program!r} is not installed; run: apt-get install ngspice libngspice0"
        )
    return found


@cache
def ngspice_version(program: str = "ngspice") -> str:
    """Return the version number that ngspice reports, such as "44.2"."""
    said = subprocess.run([find_ngspice(program), "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"ngspice-(\S+)", said.stdout)
    return found[1] if found else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSimulator:
    """Runs each netlist in a new ngspice process."""

    timeout: float = 300.0
    """Longest time a run may take [s]."""
    program: str = "ngspice"
    """Name or path of the program."""

    def run(self, netlist: Netlist) -> Results:
        """Simulate a netlist.

        Returns
        -------
        Results
            One plot an analysis card, all probes present and finite.

        Raises
        ------
        MissingDependencyError
            If ngspice is not installed.
        SimulationTimeoutError
            If it took longer than `timeout`; it and all it started are ended.
        SimulationError
            If it failed by the rules of :mod:`spicesim.ngspice.outcome`. The run folder is kept and named.
        """
        program = find_ngspice(self.program)
        folder = make_run_folder(netlist)
        output = folder / "output.txt"
        environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
        start = time.monotonic()
        with output.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [program, "-b", "-r", RAW_NAME, NETLIST_NAME],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            _running.add(process)
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                raise SimulationTimeoutError(
                    f"ngspice did not finish {netlist.title!r} within {self.timeout:g} s and was stopped; "
                    f"allow more time or look at it: {_rerun(folder)}"
                ) from None
            except BaseException:
                _end(process)
                drop_run_folder(folder)
                raise
            finally:
                _running.discard(process)
        seconds = time.monotonic() - start
        raw = folder / RAW_NAME
        if shutil.disk_usage(folder).free < _LEAST_SPACE:
            raise StorageError(
                f"the disk is full while ngspice writes to {folder}; free some space or set SPICESIM_RUNS"
            )
        plots = read_raw(raw) if status == 0 and raw.is_file() else None
        problem, found = find_problem(netlist, status, plots, output.read_text(encoding="utf-8", errors="replace"))
        if problem:
            raise SimulationError(f"{netlist.title!r} failed: {problem}; rerun: {_rerun(folder)}")
        drop_run_folder(folder)
        return Results(plots=found, seconds=seconds)


_running: set[subprocess.Popen[bytes]] = set()
"""Simulations under way, in whichever thread."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started; killing a wrapper alone would leave ngspice running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def _end_all() -> None:
    """End what still runs when Python ends: threads that wait for a simulation end without a word."""
    for process in list(_running):
        _end(process)


def _rerun(folder: Path) -> str:
    return f"cd {folder} && HOME=. ngspice -b -r {RAW_NAME} {NETLIST_NAME}"
