"""Arrays of numbers as files, .npy, .npz and text, from anybody: no objects, and no more than memory can hold."""

import os
import threading
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spicesim.arrays import Array
from spicesim.errors import SpecError, SpiceSimError, quote

__all__ = ["DAMAGES", "read_archive", "read_array", "unpack_arrays"]

_READING = threading.Lock()
"""One thread reads at a time: NumPy parses heads of arrays by `ast`, which in Python 3.11 fails now and then where
several threads do (https://github.com/python/cpython/issues/106905)."""

DAMAGES = (
    OSError, ValueError, KeyError, AttributeError, EOFError, MemoryError, OverflowError, SyntaxError, TypeError,
    NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and the modules below it raise on files that are none of theirs."""


def read_array(path: str | Path, what: str) -> Array:
    """Read one array of numbers from a .npy or a text file.

    Parameters
    ----------
    path : str or Path
        The file; .csv has commas, other text blanks.
    what : str
        What it holds, for messages.

    Raises
    ------
    SpecError
        If it cannot be read or holds no numbers.
    """
    name = str(path)
    try:
        if name.endswith(".npy"):
            with Path(path).open("rb") as file:
                found = np.lib.format.read_array(file, allow_pickle=False)
        else:
            found = np.loadtxt(name, delimiter="," if name.endswith(".csv") else None)
    except FileNotFoundError:
        raise SpecError(f"no file {path} for the {what}; write one with numpy.save") from None
    except DAMAGES as error:
        raise SpecError(
            f"cannot read the {what} from {path}: {_say(error)}; wanted a .npy, .csv or text file"
        ) from None
    if found.dtype.kind not in "fiu":
        raise SpecError(f"the {what} in {path} are no numbers but {quote(found.dtype)}")
    return np.asarray(found)


def read_archive(path: str | Path, what: str, remedy: str, error: type[SpiceSimError] = SpecError) -> dict[str, Array]:
    """Read all arrays of a .npz file.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str
        What it holds, for messages.
    remedy : str
        How to write one, for messages.
    error : type
        Kind of error to raise.

    Raises
    ------
    SpecError or whatever `error` is
        If it is not there, no archive of plain arrays, or holds more than the machine's memory does.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if unpacked > memory // 2:
            raise ValueError(f"it holds {unpacked >> 30} GB unpacked, and this machine has {memory >> 30} GB of memory")
        return unpack_arrays(path)
    except FileNotFoundError:
        raise error(f"no {what} {path}; {remedy}") from None
    except DAMAGES as problem:
        raise error(f"cannot read {path}: {_say(problem)}; {remedy}") from None


def unpack_arrays(source: str | Path | BinaryIO) -> dict[str, Array]:
    """Return all arrays of a .npz file; one that is none fails by one of :data:`DAMAGES`."""
    with _READING, np.load(source, allow_pickle=False) as archive:
        return {name: np.asarray(archive[name]) for name in archive.files}


def _say(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 and text.isprintable() else quote(text)
