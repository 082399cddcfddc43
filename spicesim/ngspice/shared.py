"""Ngspice inside this process, through PySpice: no start-up time, for many small circuits one after the other.

PySpice takes most of what ngspice says on stderr for a failure, and some failures for success; the subclass here reads
the lines itself and judges runs by the same rules as :mod:`spicesim.ngspice.batch`.
"""

import contextlib
import ctypes.util
import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from spicesim.errors import (
    MissingDependencyError,
    SimulationConvergenceError,
    SimulationError,
    SimulationTimeoutError,
    SpecError,
)
from spicesim.netlist.measured import MeasuredNetlist
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.aids import climb
from spicesim.ngspice.folder import failure, make_run_folder, write_start_up
from spicesim.ngspice.outcome import Results, failed_to_converge, find_problem
from spicesim.ngspice.rawfile import Plot
from spicesim.ngspice.verilog_a import loadable

__all__ = ["SharedSimulator"]

_instance: Any = None
_loaded: set[str] = set()
"""Compiled models that it has."""
_lock = threading.Lock()
_finished = threading.Event()


def _library() -> Any:
    """Return the process's one ngspice; a second would share its state, and quitting it ends Python."""
    global _instance
    if _instance is not None:
        return _instance
    found = os.environ.get("NGSPICE_LIBRARY_PATH") or ctypes.util.find_library("ngspice")
    if not found:
        raise MissingDependencyError("the library libngspice is not installed; run: apt-get install libngspice0")
    os.environ["NGSPICE_LIBRARY_PATH"] = found  # PySpice would look for libngspice.so, which only -dev packages have
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared

    class Ngspice(NgSpiceShared):  # type: ignore[misc]
        """PySpice's interface with its reading of ngspice's words replaced."""

        def exec_command(self, command: str, join_lines: bool = True) -> Any:
            self.clear_output()
            self._ngspice_shared.ngSpice_Command(command.encode())
            return self.said() if join_lines else self.said().splitlines()

        def said(self) -> str:
            return "\n".join([*self._stdout, *self._stderr])

        def send_char(self, message: str, ngspice_id: int) -> int:
            kind, _, content = message.partition(" ")
            (self._stderr if kind == "stderr" else self._stdout).append(content)
            return 0

        @staticmethod
        def _background_thread_running(idle: bool, ngspice_id: int, user_data: Any) -> int:
            if idle:
                _finished.set()
            return 0

        def load(self, lines: list[str]) -> int:
            from PySpice.Spice.NgSpice.Shared import ffi

            self.clear_output()
            keep = [ffi.new("char[]", line.encode()) for line in lines]
            return int(self._ngspice_shared.ngSpice_Circ([*keep, ffi.NULL]))

    Ngspice.LIBRARY_PATH = found
    logging.getLogger("PySpice").setLevel(logging.ERROR)  # it warns of every ngspice newer than itself
    _instance = _start(Ngspice)
    return _instance


def _start(kind: Any) -> Any:
    """Start ngspice with a start-up file of ours and none of the user, the folder or the installation."""
    before = os.environ.get("SPICE_SCRIPTS")
    with tempfile.TemporaryDirectory(prefix="spicesim-") as folder:
        write_start_up(Path(folder))
        (Path(folder) / ".spiceinit").write_text("* none\n", encoding="utf-8")
        os.environ["SPICE_SCRIPTS"] = folder
        try:
            # it reads the first .spiceinit that it finds, in the working folder before all others
            with contextlib.chdir(folder):
                return kind.new_instance()
        finally:
            if before is None:
                del os.environ["SPICE_SCRIPTS"]
            else:
                os.environ["SPICE_SCRIPTS"] = before


class SharedSimulator:
    """Runs netlists inside this process, one at a time.

    Parameters
    ----------
    timeout : float
        Longest time a run may take [s].
    """

    def __init__(self, *, timeout: float = 300.0) -> None:
        self.timeout = timeout

    def run(self, netlist: Netlist) -> Results:
        """Simulate a netlist; results and errors as :meth:`spicesim.ngspice.batch.BatchSimulator.run`."""
        return climb(netlist, self._attempt)

    def _attempt(self, netlist: Netlist) -> Results:
        netlist.require_data()
        if isinstance(netlist, MeasuredNetlist):
            raise SpecError(f"{netlist.title!r} has .measure lines, which a process of its own answers: BatchSimulator")
        with _lock:
            ngspice = _library()
            said = ""
            start = time.monotonic()
            try:
                for line in loadable(netlist.spiceinit):
                    if line not in _loaded:
                        ngspice.exec_command(line)
                    if line.startswith("osdi "):  # a second time it would be there twice
                        _loaded.add(line)
                status = ngspice.load(netlist.format().splitlines())
                said += ngspice.said()
                if status == 0:
                    self._run(ngspice, netlist)
                    said += "\n" + ngspice.said()
                plots = self._plots(ngspice) if status == 0 else None
                problem, found = find_problem(netlist, status, plots, said)
                if problem:
                    kind = SimulationConvergenceError if failed_to_converge(status, said) else SimulationError
                    raise failure(kind, f"{netlist.title!r} failed: {problem}", make_run_folder(netlist))
                return Results(plots=found, seconds=time.monotonic() - start)
            finally:
                # without both, every run would leave a third of a megabyte behind
                ngspice.exec_command("destroy all")
                ngspice.exec_command("remcirc")

    def _run(self, ngspice: Any, netlist: Netlist) -> None:
        """Run in ngspice's own thread, so that a hanging one can be halted; the library stays usable."""
        _finished.clear()
        ngspice.exec_command("bg_run")
        if not _finished.wait(self.timeout):
            ngspice.exec_command("bg_halt")
            _finished.wait(10)
            raise SimulationTimeoutError(
                f"ngspice did not finish {netlist.title!r} within {self.timeout:g} s and was stopped; "
                "allow more time, or write the netlist and look at it with: ngspice -b -r out.raw FILE"
            )

    @staticmethod
    def _plots(ngspice: Any) -> list[Plot]:
        plots = []
        for name in ngspice.plot_names:
            if name == "const":
                continue
            vectors = {}
            plot = ngspice.plot(None, name)
            for key, vector in plot.items():
                lower = key.lower()
                if lower.endswith("#branch"):
                    lower = f"i({lower.removesuffix('#branch')})"
                elif "(" not in lower:
                    lower = f"v({lower})"
                vectors[lower] = np.array(vector._data)
            plots.append(Plot(name=_title(ngspice, name), vectors=vectors))
        return plots[::-1]  # ngspice lists the newest first


def _title(ngspice: Any, plot: str) -> str:
    prefixes = {
        "op": "Operating Point", "dc": "DC transfer characteristic", "tran": "Transient Analysis", "ac": "AC Analysis",
    }  # fmt: skip
    return prefixes.get(plot.rstrip("0123456789"), plot)
