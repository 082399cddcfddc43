"""Many simulations: in parallel, each result kept, so that work stopped half-way goes on where it was."""

import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from spicesim.errors import StorageError
from spicesim.files import write_bytes
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.ngspice.outcome import Results
from spicesim.ngspice.rawfile import Plot

__all__ = ["cache_folder", "netlist_hash", "run_all"]


def cache_folder() -> Path:
    """Return where results are kept: ``$SPICESIM_CACHE``, or ``~/.cache/spicesim``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SPICESIM_CACHE") or Path(home) / "spicesim")


@cache
def _file_hash(path: Path, modified: float) -> str:
    """Hash a model file with all that it includes; `modified` keeps the cache honest."""
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    for name in sorted(set(re.findall(rb"^\s*\.(?:include|lib)\s+[\"']([^\"']+)[\"']", data, re.I | re.M))):
        other = path.parent / name.decode(errors="replace")
        if other != path and other.is_file():
            digest.update(_file_hash(other, other.stat().st_mtime).encode())
    return digest.hexdigest()


def netlist_hash(netlist: Netlist) -> str:
    """Hash all that decides a result: the circuit, the models' content, and ngspice's version."""
    digest = hashlib.sha256(netlist.format().encode())
    for path in netlist.models:
        digest.update(_file_hash(path, path.stat().st_mtime).encode())
    digest.update("\n".join(netlist.spiceinit).encode())
    digest.update(ngspice_version().encode())
    return digest.hexdigest()[:32]


def _load(path: Path, netlist: Netlist) -> Results | None:
    """Read a kept result; one that is damaged counts as absent."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            plots = tuple(
                Plot(name=name, vectors={probe: archive[f"{k} {probe}"] for probe in map(str.lower, netlist.probes)})
                for k, name in enumerate(netlist.plots)
            )
            return Results(plots=plots, seconds=float(archive["seconds"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _keep(path: Path, netlist: Netlist, results: Results) -> None:
    buffer = io.BytesIO()
    arrays = {
        f"{k} {probe}": plot.vectors[probe]
        for k, plot in enumerate(results)
        for probe in map(str.lower, netlist.probes)
    }
    np.savez_compressed(buffer, allow_pickle=False, seconds=np.array(results.seconds), **arrays)
    write_bytes(path, buffer.getvalue())


def _run_one(netlist: Netlist, simulator: BatchSimulator, path: Path) -> Results:
    results = simulator.run(netlist)
    _keep(path, netlist, results)
    return results


def run_all(
    netlists: Sequence[Netlist],
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
) -> list[Results]:
    """Simulate netlists in parallel, taking from the cache what was simulated before.

    Parameters
    ----------
    netlists : sequence of Netlist
        What to simulate.
    simulator : BatchSimulator, optional
        Gives the time-out and the program.
    jobs : int, optional
        Simulations at a time; by default one a processor.
    progress : str
        Label of a progress bar with the remaining time; none if empty.

    Returns
    -------
    list of Results
        In the order of `netlists`.

    Raises
    ------
    SimulationError, MissingDependencyError, StorageError
        As :class:`spicesim.ngspice.batch.BatchSimulator`; results finished before are kept.
    """
    simulator = simulator or BatchSimulator()
    folder = cache_folder() / "results"
    paths = [folder / f"{netlist_hash(netlist)}.npz" for netlist in netlists]
    found = [_load(path, netlist) for path, netlist in zip(paths, netlists, strict=True)]
    todo = [k for k, results in enumerate(found) if results is None]
    if todo:
        _check_writable(folder)
        parallel = joblib.Parallel(n_jobs=jobs or os.cpu_count() or 1, prefer="threads", return_as="generator")
        runs = parallel(joblib.delayed(_run_one)(netlists[k], simulator, paths[k]) for k in todo)
        bar = tqdm(
            zip(todo, runs, strict=True), total=len(netlists), initial=len(netlists) - len(todo), desc=progress,
            unit="run", disable=None if progress else True, leave=False,
        )  # fmt: skip
        for k, results in bar:
            found[k] = results
    return [results for results in found if results is not None]


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the cache {folder}: {error.strerror}; set SPICESIM_CACHE") from error
