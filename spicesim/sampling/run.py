"""Many simulations: in parallel, each result kept, so that work stopped half-way goes on where it was.

On one machine threads drive them: the worker proper is the ngspice process that each starts, so a pool of Python
processes around it would only cost memory and start-up time. Any backend of joblib gives the same results bit for bit:
``with joblib.parallel_config(backend="loky")``, or :func:`use_scheduler` for a cluster.
"""

import contextlib
import hashlib
import os
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path

from tqdm import tqdm

from spicesim.errors import MissingDependencyError, SimulationError, SimulationTimeoutError, SpecError, StorageError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.ngspice.outcome import Results
from spicesim.sampling.cache import keep, read_kept, results_folder

__all__ = ["are_threads", "find_kept", "model_hash", "netlist_hash", "run_all", "run_each", "use_scheduler"]

_HOPELESS = 8
"""Failures after which a campaign is given up if fewer runs went well: the rest would most likely fail, too."""
_POOLS = 3
"""Times that a pool of processes is made anew after one of them was killed."""
_COMMENT = re.compile(r"\*(?: |$)|$")
"""Lines that ngspice leaves out; what else begins with an asterisk may be meant for it."""


@cache
def _file_hash(path: Path, modified: float) -> str:
    """Hash a model file with all that it includes; `modified` keeps the cache honest."""
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    for name in sorted(set(re.findall(rb"^\s*[.`](?:include|lib)\s+[\"']?([^\"'\s]+)", data, re.I | re.M))):
        other = path.parent / name.decode(errors="replace")
        if other != path and other.is_file():
            digest.update(model_hash(other).encode())
    return digest.hexdigest()


def model_hash(path: Path) -> str:
    """Hash a model file with all that it includes."""
    return _file_hash(path, path.stat().st_mtime)


def netlist_hash(netlist: Netlist) -> str:
    """Hash all that decides a result: the circuit, the models' content, and ngspice's version.

    Title and comments decide nothing: they name the chip, and another one may have the same circuit.
    """
    _, *lines = netlist.format().splitlines()
    circuit = "\n".join(line for line in lines if not _COMMENT.match(line))
    digest = hashlib.sha256(circuit.encode())
    for path in netlist.models:
        digest.update(model_hash(path).encode())
    digest.update("\n".join(netlist.spiceinit).encode())
    digest.update(ngspice_version().encode())
    return digest.hexdigest()[:32]


def find_kept(netlist: Netlist) -> Results | None:
    """Return the result of a netlist simulated before, None if there is none."""
    return read_kept(netlist_hash(netlist), netlist)


@contextlib.contextmanager
def use_scheduler(address: str | None) -> Iterator[None]:
    """Have all simulations in this block done by the workers of a Dask cluster.

    Workers need this package, the same ngspice and the same model files; results come back here and are kept here. A
    simulation whose worker is lost is done again by another.

    Parameters
    ----------
    address : str or None
        Of the scheduler, such as "tcp://host:8786"; None leaves all as it is.

    Raises
    ------
    MissingDependencyError
        If Dask is not installed.
    SpecError
        If no scheduler answers, or it has no worker.
    SimulationError
        If the scheduler is lost; what was finished is kept.
    """
    if address is None:
        yield
        return
    import joblib  # takes a tenth of a second, which runs without simulations do not have to wait

    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError("Dask is not installed; run: pip install 'spicesim[dask]'") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SpecError(f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise SpecError(f"the scheduler {address} has no workers; start some with: dask worker {address}")
        try:
            with joblib.parallel_config(backend="dask", client=client):
                yield
        except Exception as error:
            if not type(error).__module__.startswith("distributed"):
                raise
            raise SimulationError(
                f"the Dask scheduler {address} was lost or gave up ({error}); finished simulations are kept, so the "
                "same command goes on from there"
            ) from error


def are_threads() -> bool:
    """Whether threads of this process drive simulations, and no other processes or machines."""
    from joblib.parallel import get_active_backend

    return getattr(get_active_backend(prefer="threads")[0], "supports_sharedmem", False)


def _home() -> tuple[str, int]:
    """Return which process this is, among those of several machines."""
    return socket.gethostname(), os.getpid()


def _run_one(
    k: int, netlist: Netlist, simulator: BatchSimulator, digest: str, home: tuple[str, int]
) -> tuple[int, Results | SimulationError]:
    """Simulate, here or in a worker; a failure is a result, too."""
    if _home() != home and _hash_here(netlist) != digest:
        raise MissingDependencyError(
            f"{socket.gethostname()} has another ngspice or other model files than {home[0]}, so its results would "
            "differ; install the same on both"
        )
    try:
        return k, simulator.run(netlist)
    except SimulationError as error:
        if socket.gethostname() == home[0]:
            return k, error
        return k, type(error)(f"on {socket.gethostname()}: {error}")


def _hash_here(netlist: Netlist) -> str:
    try:
        return netlist_hash(netlist)
    except OSError:  # a model file is not there
        return ""


def run_each(
    netlists: Sequence[Netlist],
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
) -> list[Results | SimulationError]:
    """Simulate netlists in parallel, taking from the cache what was simulated before; a failure stops no other run.

    Parameters
    ----------
    netlists : sequence of Netlist
        What to simulate.
    simulator : BatchSimulator, optional
        Gives the time-out and the program.
    jobs : int, optional
        Simulations at a time; by default one a processor. A cluster does as many as it has threads.
    progress : str
        Label of a progress bar with rate and remaining time; none if empty.

    Returns
    -------
    list of Results or SimulationError
        In the order of `netlists`; each error names its run folder.

    Raises
    ------
    SimulationError
        If eight runs failed and fewer went well: then the rest is not tried.
    MissingDependencyError, StorageError
        As :class:`spicesim.ngspice.batch.BatchSimulator`; results finished before are kept.
    """
    simulator = simulator or BatchSimulator()
    digests = [netlist_hash(netlist) for netlist in netlists]
    found: dict[int, Results | SimulationError] = {}
    for k, netlist in enumerate(netlists):
        if (results := read_kept(digests[k], netlist)) is not None:
            found[k] = results
    if len(found) == len(netlists):
        return list(found.values())
    import joblib  # takes a tenth of a second, and most often all is found

    _check_writable(results_folder())
    bar = tqdm(
        total=len(netlists), initial=len(found), desc=progress, unit="run", disable=None if progress else True,
        leave=False,
    )  # fmt: skip
    # the longest first, so that processors end together
    todo = sorted((k for k in range(len(netlists)) if k not in found), key=lambda k: -len(netlists[k].body))
    # unordered, and one by one: nothing that is finished waits for another before it is kept
    parallel = joblib.Parallel(
        n_jobs=jobs or os.cpu_count() or 1, prefer="threads", return_as="generator_unordered", batch_size=1
    )
    failed = 0
    with bar:
        for again in range(_POOLS + 1):
            tasks = (
                joblib.delayed(_run_one)(k, netlists[k], simulator, digests[k], _home()) for k in todo if k not in found
            )
            try:
                with _giving_up_quietly(), contextlib.closing(parallel(tasks)) as runs:
                    for k, outcome in runs:
                        found[k] = outcome
                        bar.update()
                        if isinstance(outcome, Results):
                            keep(digests[k], netlists[k], outcome)
                            continue
                        failed += 1
                        if failed >= _HOPELESS and 2 * failed > sum(k in found for k in todo):
                            raise _summary([found[k] for k in todo if k in found], len(netlists), "gave up, as ")
                break
            except BrokenProcessPool as error:  # a worker process was killed
                if again == _POOLS:
                    raise SimulationError(
                        f"worker processes were killed {_POOLS + 1} times ({error}); finished simulations are kept; "
                        "use fewer --jobs"
                    ) from None
    return [found[k] for k in range(len(netlists))]


@contextlib.contextmanager
def _giving_up_quietly() -> Iterator[None]:
    """Have joblib not warn of tasks that an error here leaves undone; the error says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ tasks (which|have)", UserWarning)
        yield


def run_all(
    netlists: Sequence[Netlist],
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
) -> list[Results]:
    """Simulate netlists as :func:`run_each`, where every result is needed.

    Returns
    -------
    list of Results
        In the order of `netlists`.

    Raises
    ------
    SimulationError
        If any run failed, after all others were done and kept; the message lists the failures.
    MissingDependencyError, StorageError
        As :func:`run_each`.
    """
    outcomes = run_each(netlists, simulator=simulator, jobs=jobs, progress=progress)
    results = [outcome for outcome in outcomes if isinstance(outcome, Results)]
    if len(results) < len(outcomes):
        raise _summary(outcomes, len(netlists))
    return results


def _summary(outcomes: Sequence[Results | SimulationError], count: int, lead: str = "") -> SimulationError:
    """Put failures into one error: a time-out if all are, else a failed simulation."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, SimulationError)]
    if len(errors) == 1:
        return errors[0]
    kind = SimulationTimeoutError if all(isinstance(e, SimulationTimeoutError) for e in errors) else SimulationError
    shown = "; ".join(f"({n}) {error}" for n, error in enumerate(errors[:_HOPELESS], 1))
    more = f"; and {len(errors) - _HOPELESS} more" if len(errors) > _HOPELESS else ""
    return kind(f"{lead}{len(errors)} of {count} simulations failed, what was finished is kept: {shown}{more}")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the cache {folder}: {error.strerror}; set SPICESIM_CACHE") from error
