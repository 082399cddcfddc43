"""One process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spicesim.errors import StorageError

__all__ = ["one_at_a_time"]


@contextmanager
def one_at_a_time(path: Path, remedy: str = "choose another --output") -> Iterator[None]:
    """Have one process at work on a file, and all others wait for it.

    Parameters
    ----------
    path : Path
        The file; beside it stands one of the same name that ends in ``.lock``.
    remedy : str
        What to do if it cannot be made.

    Raises
    ------
    StorageError
        If its folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise StorageError(f"cannot write to {path.parent}: {error.strerror}; {remedy}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
