"""Kept simulations: files that carry a checksum of what they hold and of the netlist that they belong to.

An entry that does not match it was damaged. It is set aside, so that it can be looked at, and counts as absent.
"""

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from spicesim.errors import StorageError
from spicesim.files import cache_folder, write_bytes
from spicesim.files.arrays import unpack_arrays
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results, find_problem
from spicesim.ngspice.rawfile import Plot
from spicesim.provenance import now

__all__ = ["DAMAGES", "entry_path", "keep", "read_kept", "results_folder"]

DAMAGES = "damaged.txt"
"""File, beside the entries, that notes which were set aside, and why."""
_HEAD = b"spicesim kept simulation 2, sha256 of netlist hash and content: "


def results_folder() -> Path:
    """Return the folder of the entries, which is another for entries of another kind."""
    return cache_folder() / "results-2"


def entry_path(digest: str) -> Path:
    """Return where the result of the netlist with this hash is kept."""
    return results_folder() / f"{digest}.kept"


def keep(digest: str, netlist: Netlist, results: Results) -> None:
    """Keep a result.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    buffer = io.BytesIO()
    # one table a plot: a zip file of many small arrays takes longer than many a simulation
    tables = {str(k): np.stack([plot.vectors[p] for p in _probes(netlist)]) for k, plot in enumerate(results)}
    if results.remarks:
        tables["remarks"] = np.array(json.dumps(dict(results.remarks)))
    np.savez_compressed(
        buffer, allow_pickle=False, seconds=np.array(results.seconds), aid=np.array(results.aid), **tables
    )
    content = buffer.getvalue()
    # what the disk loses is simulated again
    write_bytes(entry_path(digest), _HEAD + _checksum(digest, content) + b"\n" + content, lasting=False)


def read_kept(digest: str, netlist: Netlist) -> Results | None:
    """Return a kept result, None if there is none; one that is damaged is set aside first, and noted.

    Raises
    ------
    StorageError
        If a damaged entry cannot be set aside.
    """
    path = entry_path(digest)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    found = _parse(digest, netlist, data)
    if isinstance(found, str):
        return _set_aside(path, digest, netlist, found)
    return found


def _parse(digest: str, netlist: Netlist, data: bytes) -> Results | str:
    """Return what an entry holds, or what is wrong with it."""
    head, _, content = data.partition(b"\n")
    if head != _HEAD + _checksum(digest, content):
        return "does not match its checksum"
    try:
        archive = unpack_arrays(io.BytesIO(content))
        plots = [
            Plot(name=name, vectors=dict(zip(_probes(netlist), archive[str(k)], strict=True)))
            for k, name in enumerate(netlist.plots)
        ]
        remarks = json.loads(str(archive["remarks"])) if "remarks" in archive else {}
        results = Results(
            plots=tuple(plots), seconds=float(archive["seconds"]), aid=str(archive["aid"]), kept=True, remarks=remarks
        )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return f"is whole but no result of this netlist: {error}"
    problem, _ = find_problem(netlist, 0, plots, "")
    return problem or results


def _set_aside(path: Path, digest: str, netlist: Netlist, reason: str) -> Results | None:
    """Rename a damaged entry and note it; if another process has put a whole one there meanwhile, return that."""
    try:
        for k in range(1000):
            aside = path.with_suffix(f".damaged-{k}")
            if aside.exists():
                continue
            path.rename(aside)
            break
        found = _parse(digest, netlist, aside.read_bytes())
        if not isinstance(found, str):
            aside.rename(path)
            return found
        with (path.parent / DAMAGES).open("a", encoding="utf-8") as notes:
            notes.write(f"{now()} {path.name} {' '.join(reason.split())}; renamed to {aside.name}\n")
    except FileNotFoundError:  # another process was first
        return None
    except OSError as error:
        raise StorageError(
            f"the kept simulation {path} {reason}, and cannot be set aside: {error.strerror or error}; delete it, or "
            "set SPICESIM_CACHE"
        ) from error
    return None


def _probes(netlist: Netlist) -> list[str]:
    return [probe.lower() for probe in netlist.probes]


def _checksum(digest: str, content: bytes) -> bytes:
    return hashlib.sha256(digest.encode() + b"\n" + content).hexdigest().encode()
