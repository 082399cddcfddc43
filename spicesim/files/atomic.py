"""Files that are there whole or not at all."""

import json
import os
import tempfile
from pathlib import Path

from spicesim.errors import StorageError

STANDARD_OUTPUT = "-"
"""Name of a file that stands for standard output."""

__all__ = ["STANDARD_OUTPUT", "exists", "write_bytes", "write_json", "write_text"]


def write_bytes(path: str | Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a file atomically: readers see the old content or the new, never a part; "-" is standard output.

    Parameters
    ----------
    path : str or Path
        Of the file.
    data : bytes
        Its content.
    lasting : bool
        Wait until it is on the disk: what is not may be lost, or be a part, when the machine itself goes down.

    Raises
    ------
    StorageError
        If the folder cannot be made or written, or the disk is full; the old file is untouched.
    """
    if str(path) == STANDARD_OUTPUT:
        with os.fdopen(1, "wb", closefd=False) as file:
            file.write(data)
        return
    path = Path(path)
    temporary = ""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, is written as it stands
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another place"
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, in UTF-8; errors as :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, document: object) -> None:
    """Write plain data as a JSON file atomically; errors as :func:`write_bytes`."""
    write_text(path, json.dumps(document, indent=1) + "\n")


def exists(path: str | Path) -> bool:
    """Whether a regular file is there."""
    return Path(path).is_file()
