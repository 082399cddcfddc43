"""Ngspice as a process of its own a simulation: parallel, and stopped when it hangs."""

import atexit
import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spicesim.errors import (
    MissingDependencyError,
    SimulationConvergenceError,
    SimulationError,
    SimulationTimeoutError,
    StorageError,
    quote,
)
from spicesim.netlist.measured import MeasuredNetlist
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.aids import climb
from spicesim.ngspice.confinement import confine
from spicesim.ngspice.folder import (
    NETLIST_NAME,
    RAW_NAME,
    drop_run_folder,
    failure,
    make_run_folder,
    simulator_environment,
)
from spicesim.ngspice.measures import read_measures
from spicesim.ngspice.outcome import Results, failed_to_converge, find_problem
from spicesim.ngspice.rawfile import read_raw

__all__ = ["BatchSimulator", "end_all", "find_ngspice", "ngspice_version", "tie_to_parent"]

_OUTPUT_NAME = "output.txt"
_LEAST_SPACE = 65536
"""Free bytes below which results cannot be trusted to be whole."""
_PATIENCE = 10.0
"""Longest time that a program may take to tell its version [s]."""
_ANSWER = 65536
"""Bytes of the answer at most."""
_CANNOT_WRITE = "rawfile write error"
"""What ngspice says on a full disk; another run may have freed some by the time it is asked."""


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
    """Return the version number that ngspice reports, such as "44.2".

    Raises
    ------
    MissingDependencyError
        If it is not installed, does not answer in time, or answers as no ngspice does.
    """
    command = [find_ngspice(program), "--version"]
    remedy = "install ngspice, or correct PATH: apt-get install ngspice"
    try:
        said = _ask(command, _PATIENCE)
    except OSError as error:
        raise MissingDependencyError(f"{command[0]} cannot be started: {error.strerror or error}; {remedy}") from None
    except subprocess.TimeoutExpired:
        raise MissingDependencyError(
            f"'{' '.join(command)}' gave no answer within {_PATIENCE:g} s and was stopped; {remedy}"
        ) from None
    found = re.search(r"ngspice-(\d[\w.+-]*)", said)
    if found is None:
        raise MissingDependencyError(
            f"'{' '.join(command)}' answered {quote(said.strip())}, where ngspice tells its version; {remedy}"
        )
    return found[1]


def _ask(command: list[str], patience: float) -> str:
    """Return the beginning of what a program says; whatever it does, this ends in time, and so does the program.

    Raises
    ------
    subprocess.TimeoutExpired
        If it neither ends nor says enough.
    """
    end, said = time.monotonic() + patience, b""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        try:
            while len(said) < _ANSWER:
                if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise subprocess.TimeoutExpired(command, patience)
                if not (part := os.read(pipe.fileno(), _ANSWER)):
                    break
                said += part
        finally:
            _end(process)
    return said.decode(errors="replace")


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
            One plot an analysis card, all probes present and finite; with the aid that it took to converge.

        Raises
        ------
        MissingDependencyError
            If ngspice is not installed.
        StorageError
            If the disk is full.
        SimulationTimeoutError
            If it took longer than `timeout`; it and all it started are ended.
        SimulationConvergenceError
            If it did not converge, with none of :data:`spicesim.ngspice.aids.AIDS`. The run folder is kept and named.
        SimulationError
            If it failed otherwise by the rules of :mod:`spicesim.ngspice.outcome`, or was killed, twice. The run
            folder is kept and named.
        """
        deadline = time.monotonic() + self.timeout
        return climb(netlist, lambda circuit: self._attempt(circuit, deadline))

    def _attempt(self, netlist: Netlist, deadline: float) -> Results:
        """Simulate a netlist as it stands."""
        program = find_ngspice(self.program)
        folder = make_run_folder(netlist)
        measured = isinstance(netlist, MeasuredNetlist)
        kept = () if measured else ("-r", RAW_NAME)  # with a raw file, ngspice measures nothing
        command = tie_to_parent(confine([program, "-n", "-b", *kept, NETLIST_NAME], folder))
        status, seconds = self._execute(command, netlist, folder, deadline)
        if status < 0:  # by the kernel short of memory, or by someone's hand: not the circuit's fault
            status, seconds = self._execute(command, netlist, folder, deadline)
        raw = folder / RAW_NAME
        output = (folder / _OUTPUT_NAME).read_text(encoding="utf-8", errors="replace")
        if status == -signal.SIGXFSZ or _CANNOT_WRITE in output or shutil.disk_usage(folder).free < _LEAST_SPACE:
            drop_run_folder(folder)
            raise _no_space(folder)
        remarks: dict[str, str] = {}
        if isinstance(netlist, MeasuredNetlist):
            plots, remarks, output = read_measures(netlist, output)
        else:
            plots = read_raw(raw) if status == 0 and raw.is_file() else None
        problem, found = find_problem(netlist, status, plots, output)
        if problem:
            kind = SimulationConvergenceError if failed_to_converge(status, output) else SimulationError
            raise failure(kind, f"{netlist.title!r} failed: {problem}", folder, raw=not measured)
        drop_run_folder(folder)
        return Results(plots=found, seconds=seconds, remarks=remarks)

    def _execute(self, command: list[str], netlist: Netlist, folder: Path, deadline: float) -> tuple[int, float]:
        """Run ngspice in its folder; return its exit status, negative if a signal ended it, and what it took [s]."""
        try:
            log = (folder / _OUTPUT_NAME).open("w", encoding="utf-8")
        except OSError as error:
            drop_run_folder(folder)
            raise _no_space(folder) from error
        with log:
            process = subprocess.Popen(
                command, cwd=folder, env=simulator_environment(folder), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            _running[process] = folder
            try:
                return _wait(process, max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(process)
                raise failure(
                    SimulationTimeoutError,
                    f"ngspice did not finish {netlist.title!r} within {self.timeout:g} s and was stopped; "
                    "allow more time or look at it",
                    folder,
                ) from None
            except BaseException:
                _end(process)
                drop_run_folder(folder)
                raise
            finally:
                _running.pop(process, None)


def _no_space(folder: Path) -> StorageError:
    return StorageError(
        f"the disk was full while ngspice wrote to {folder.parent}; what was finished is kept; free some space or set "
        "SPICESIM_RUNS"
    )


_DEATH_SIGNAL = ("setpriv", "--pdeathsig", "KILL", "--")


def tie_to_parent(command: list[str]) -> list[str]:
    """Return the command that runs `command` and has it killed when this process dies, even by ``kill -9``.

    Setting this between fork and exec in Python can hang a process with threads. A parent that died before setpriv
    asked for the signal sends none, so the shell looks whether the parent is still this process. On a machine
    without setpriv the command is returned as it is.
    """
    if not _can_set_death_signal():
        return command
    return [*_DEATH_SIGNAL, "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid()), *command]


@cache
def _can_set_death_signal() -> bool:
    try:
        subprocess.run([*_DEATH_SIGNAL, "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


_running: dict[subprocess.Popen[bytes], Path] = {}
"""Simulations under way, in whichever thread, and their folders."""


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, float]:
    """Wait for a process; return its exit status and its processor time [s], which no other load disturbs.

    Raises
    ------
    subprocess.TimeoutExpired
        If it runs for longer.
    """
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(1000 * timeout):
            raise subprocess.TimeoutExpired(process.args, timeout)
    finally:
        os.close(handle)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # so that it is not waited for again
    return process.returncode, usage.ru_utime + usage.ru_stime


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started; killing a wrapper alone would leave ngspice running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def end_all() -> None:
    """End what still runs when Python ends: threads that wait for a simulation end without a word."""
    for process, folder in list(_running.items()):
        _end(process)
        drop_run_folder(folder)
