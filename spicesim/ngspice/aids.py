"""A ladder of aids for circuits that do not converge: other ways to the same solution, each recorded.

Every rung is tried only when the one below it failed. An aid never changes the circuit, nor what counts as success.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spicesim.errors import SimulationConvergenceError, SimulationError, SimulationTimeoutError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.folder import RERUN, drop_run_folder
from spicesim.ngspice.outcome import Results

__all__ = ["AIDS", "climb"]


def _without_nodesets(netlist: Netlist) -> Netlist:
    return replace(netlist, nodesets={})


def _with(netlist: Netlist, options: str) -> Netlist:
    return replace(netlist, options=f"{netlist.options} {options}")


def _without_klu(netlist: Netlist) -> Netlist:
    return replace(netlist, options=" ".join(word for word in netlist.options.split() if word != "klu"))


_ITERATIONS = "itl1=1000 itl2=1000 itl4=100"
_GMIN = "noopiter gminsteps=100"
_SOURCE = "noopiter gminsteps=0 srcsteps=100"

AIDS: dict[str, Callable[[Netlist], Netlist]] = {
    "no nodesets": _without_nodesets,
    "shorter steps": lambda netlist: netlist.paced(0.9),
    "more iterations": lambda netlist: _with(netlist, _ITERATIONS),
    "gmin stepping": lambda netlist: _with(netlist, f"{_ITERATIONS} {_GMIN}"),
    "source stepping": lambda netlist: _with(_without_nodesets(netlist), f"{_ITERATIONS} {_SOURCE}"),
    "other solver": lambda netlist: _with(_without_klu(netlist), _ITERATIONS),
    "other solver, source stepping": lambda netlist: _with(
        _without_nodesets(_without_klu(netlist)), f"{_ITERATIONS} {_SOURCE}"
    ),
}
"""What is tried, in this order, when a netlist as it stands does not converge. Ngspice by itself goes from iteration to
dynamic gmin stepping to source stepping with steps it adapts; these are its older variants, with many small steps. A
transient that gets stuck at a time most often passes it where it comes there by other steps."""


def climb(netlist: Netlist, attempt: Callable[[Netlist], Results]) -> Results:
    """Run a netlist, with one aid after the other if it does not converge.

    Parameters
    ----------
    netlist : Netlist
        What to simulate.
    attempt : callable
        Runs a netlist once; raises SimulationConvergenceError for a run that an aid may help.

    Returns
    -------
    Results
        With the aid that was needed.

    Raises
    ------
    SimulationConvergenceError
        If no aid helped; the message is that of the netlist as it was written, and its run folder is kept.
    SimulationError
        Of the first attempt, if it failed in another way.
    """
    try:
        return attempt(netlist)
    except SimulationConvergenceError as error:
        first = error
    tried = []
    for name, change in AIDS.items():
        changed = change(netlist)
        if changed == netlist:
            continue
        tried.append(name)
        try:
            results = attempt(changed)
        except SimulationTimeoutError as error:  # the ladder as a whole may take no longer than one run
            _drop(error)
            break
        except SimulationError as error:
            _drop(error)
        else:
            _drop(first)
            return replace(results, aid=name)
    vain = SimulationConvergenceError(str(first).replace(RERUN, f"; tried in vain: {', '.join(tried)}{RERUN}", 1))
    vain.folder = first.folder
    raise vain


def _drop(error: SimulationError) -> None:
    """Drop the run folder of an error."""
    if error.folder:
        drop_run_folder(Path(error.folder))
