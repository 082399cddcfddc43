"""A folder of arrays by keys: what takes long to make is found again, and the oldest goes when it is full."""

import contextlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from spicesim.arrays import Array
from spicesim.errors import StorageError
from spicesim.files.atomic import write_bytes

__all__ = ["Shelf"]

FOLDERS = 2
"""Letters of a key that name the folder of an entry."""
SUFFIX = ".safetensors"
"""Of files: a tile's twenty arrays are read in .1 ms, those of a .npz file in 2.5."""
CHECKSUM = "checksum"
"""Name of the array that tells whether the others are whole."""


class Shelf:
    """Arrays kept under keys, each set in a file of its own.

    Parameters
    ----------
    folder : str or Path
        Where; made when something is kept.
    limit : int, optional
        Bytes that :meth:`trim` leaves; by default all.

    Attributes
    ----------
    found, damaged : int
        Entries found whole, and damaged ones, which were taken away.
    """

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        self.folder, self.limit = Path(folder), limit
        self.found, self.damaged = 0, 0

    def _path(self, key: str) -> Path:
        return self.folder / key[:FOLDERS] / f"{key}{SUFFIX}"

    def find(self, key: str) -> dict[str, Array] | None:
        """Return what is kept under a key; None if there is nothing, or it is damaged, and then it is taken away."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            found = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError, OverflowError):
            found = {}
        if not np.array_equal(found.pop(CHECKSUM, np.zeros(0)), _checksum(found)):
            self.drop(key)
            return None
        with contextlib.suppress(OSError):  # used now: the last to go
            path.touch()
        self.found += 1
        return found

    def drop(self, key: str) -> None:
        """Take a damaged entry away."""
        self.damaged += 1
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def keep(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Keep arrays of numbers under a key.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        content = save({**plain, CHECKSUM: _checksum(plain)})
        write_bytes(self._path(key), content, lasting=False)  # what the disk loses is made again

    def trim(self) -> None:
        """Take entries away, the longest unused first, until no more than the limit is left.

        Raises
        ------
        StorageError
            If one cannot be taken away.
        """
        if self.limit is None:
            return
        entries = []
        for path in self.folder.glob(f"{'?' * FOLDERS}/*"):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                about = path.stat()
                entries.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                return
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{self.folder} is over its {self.limit / 1e9:.3g} GB, and {path} cannot be deleted: "
                    f"{error.strerror or error}; delete it, or set SPICESIM_CACHE"
                ) from error
            total -= size


def _checksum(arrays: Mapping[str, Array]) -> Array:
    """Return the CRC-32 of arrays, their names, types and shapes, in the order of their names."""
    found = 0
    for name in sorted(arrays):
        array = arrays[name]
        found = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), found)
        found = zlib.crc32(array.tobytes(), found)
    return np.array(found, np.uint32)
