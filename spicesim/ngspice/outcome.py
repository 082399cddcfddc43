"""What counts as a successful simulation, and what a failed one is called.

Ngspice's exit status alone is no answer: it is 0 for a netlist without analysis, for a floating node and for a failed
``.meas``. A run succeeds if the exit status is 0 **and** every expected plot is there with at least one point **and**
every probe is there and finite **and** each plot has the size that its analysis asks for **and** nothing was reported
that spoils the numbers.
"""

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spicesim.netlist.measured import MeasuredNetlist
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.extent import find_misfit
from spicesim.ngspice.rawfile import Plot

__all__ = ["Results", "failed_to_converge", "find_problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a simulation gave: its plots, in the order of the analysis cards."""

    plots: tuple[Plot, ...]
    """One a card."""
    seconds: float
    """Processor time of the simulator [s]; in process, time that went by."""
    aid: str = ""
    """What it took to converge, of :data:`spicesim.ngspice.aids.AIDS`; empty for the netlist as it was written."""
    kept: bool = field(default=False, compare=False)
    """Whether it was kept from before, and not simulated now."""
    remarks: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Why a measure found nothing, by its name."""

    def __iter__(self) -> Iterator[Plot]:
        return iter(self.plots)

    def __getitem__(self, k: int) -> Plot:
        return self.plots[k]


_FATAL = re.compile(
    r"singular matrix|timestep too small|doanalyses: |simulation\(s\) aborted|no such vector|measure .* failed"
    r"|meas .* failed|no \.measure possible|^\s*error\b|fatal error|could not find"
    r"|unknown (?:subckt|parameter|model)|out of range",
    re.IGNORECASE | re.MULTILINE,
)
_STUCK = re.compile(
    r"timestep too small|doanalyses: |no convergence|iteration limit|dc solution failed|out of range", re.IGNORECASE
)
_FULL = "N_SUBCKT_W_PARMS overflow"
_FEWER = (
    "; ngspice knows some 2000 subcircuits, and every driver, read-out and converter of a drawn chip is one or more: "
    "take fewer rows or columns"
)
_SINGULAR = re.compile(r"singular matrix:\s+check node (\S+)", re.IGNORECASE)
_CRASHES = {-signal.SIGSEGV, -signal.SIGFPE, -signal.SIGABRT, -signal.SIGBUS}
_HARMLESS = re.compile(
    r"^(?:Note:|Warning|Using |Trying|Supplies|Reducing|Reset|Original line|Doing analysis)", re.IGNORECASE
)


def _was_on_its_way(output: str) -> bool:
    """Whether a matrix was singular only where ngspice began, and steps from elsewhere came to a solution.

    A node without a path to ground is singular at the end of such steps, too; ngspice then waits for it in time.
    """
    said = output.lower()
    return "stepping completed" in said.rpartition("singular matrix")[2] and "transient op started" not in said


def _first_fatal(output: str) -> str:
    is_singular = not _was_on_its_way(output)
    for line in output.splitlines():
        found = _FATAL.search(line)
        if not found:
            continue
        if is_singular if "singular" in found[0].lower() else not _HARMLESS.match(line.strip()):
            return line.strip()
    return ""


def failed_to_converge(exit_status: int, output: str) -> bool:
    """Whether a failed run may go well with another way to the solution.

    A circuit that is wrong, such as one with a floating node, is none of them: an aid would only hide that. A matrix
    that was singular at nodes within transistors alone, ``..#GP``, was so on its way; with another solver it need not.
    """
    singular = _SINGULAR.findall(output)
    on_its_way = bool(singular) and all("#" in node for node in singular)
    return exit_status in _CRASHES or on_its_way or bool(_STUCK.search(output))


def find_problem(
    netlist: Netlist, exit_status: int, plots: Sequence[Plot] | None, output: str
) -> tuple[str, tuple[Plot, ...]]:
    """Judge a run.

    Parameters
    ----------
    netlist : Netlist
        What was asked.
    exit_status : int
        Of the simulator.
    plots : sequence of Plot or None
        What came back; None if there was no raw file.
    output : str
        All that the simulator printed.

    Returns
    -------
    problem : str
        Empty if the run succeeded, else what went wrong, in one line.
    plots : tuple of Plot
        Those asked for; empty if the run failed.
    """
    said = _first_fatal(output)
    because = f" ({said})" if said else ""
    if exit_status < 0:
        return f"ngspice was killed by signal {-exit_status} ({signal.strsignal(-exit_status)}){because}", ()
    if exit_status > 0:
        remedy = _FEWER if _FULL in output else ""
        return f"ngspice ended with status {exit_status}{because}{remedy}", ()
    if plots is None:
        return f"ngspice wrote no results{because}", ()
    measured = isinstance(netlist, MeasuredNetlist)  # some of which may find nothing, and the others stand
    waiting = list(plots)
    results: list[Plot] = []
    for name, card in zip(netlist.plots, netlist.analyses, strict=True):
        plot = next((p for p in waiting if p.name == name), None)
        if plot is None or plot.points == 0:
            return f"the analysis {name!r} gave no points{because}", ()
        waiting.remove(plot)
        for probe in netlist.probes:
            vector = plot.vectors.get(probe.lower())
            if vector is None:
                return f"probe {probe} did not come back from {name!r}{because}", ()
            if not (measured or np.isfinite(vector).all()):
                return f"probe {probe} is not finite in {name!r}{because}", ()
        if not measured and (misfit := find_misfit(card, plot)):
            return f"the analysis {card!r} {misfit}{because}", ()
        results.append(plot)
    if said:
        remedy = "; look for a node without a path to ground" if "singular" in said.lower() else ""
        return f"ngspice reported: {said}{remedy}", ()
    return "", tuple(results)
