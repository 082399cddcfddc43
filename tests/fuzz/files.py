"""A case that is one file, and how the memory that it took is judged."""

import base64
import resource
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuzz.verdict import Verdict

MOST_MEMORY = 1 << 20
"""By which a case may raise the peak of the process [kB]."""


@dataclass(frozen=True)
class FileCase:
    data: bytes
    done: str
    """What was done to a good file."""
    name: str
    """Name of the file."""
    use: str
    """Python text that uses the file."""

    def script(self) -> str:
        content = base64.b85encode(self.data)
        write = f"pathlib.Path({self.name!r}).write_bytes(base64.b85decode({content!r}))"
        return f"# {self.done}\nimport base64, pathlib\n{write}\n{self.use}"

    @contextmanager
    def file(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            path.write_bytes(self.data)
            yield path


def judge_file(case: FileCase, use: Callable[[Path], None]) -> Verdict:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with case.file() as path, warnings.catch_warnings():
        warnings.simplefilter("error")
        use(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MOST_MEMORY:
        return Verdict("wrong", f"{grown >> 10} MB of memory")
    return Verdict("right")
