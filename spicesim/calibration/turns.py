"""Works that need nothing of each other: they go on beside each other, and their simulations take turns.

One work alone leaves processors without a simulation while it fits, and while the last of its batch runs.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results

__all__ = ["InTurn", "Turns", "all_beside"]

T = TypeVar("T")


class _StoppedError(Exception):
    """Ends a work whose result is no longer wanted, at its next simulation."""


class Turns:
    """How many simulations run at a time, of all works together.

    Parameters
    ----------
    jobs : int, optional
        So many; by default one a processor.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.free = threading.BoundedSemaphore(jobs or os.cpu_count() or 1)
        self.is_over = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class InTurn(BatchSimulator):
    """A simulator that waits for its turn; what it waits is not part of its time."""

    turns: Turns = field(repr=False)
    """Those of all works."""

    def run(self, netlist: Netlist) -> Results:
        """Simulate a netlist as :meth:`BatchSimulator.run`."""
        with self.turns.free:
            if self.turns.is_over.is_set():
                raise _StoppedError
            return BatchSimulator.run(self, netlist)


def all_beside(works: Sequence[Callable[[], T]], turns: Turns) -> list[T]:
    """Do all works, each in a thread, and return what they return.

    Raises
    ------
    Exception
        What the first of them raised; the others end at their next simulation then.
    """
    found: dict[int, T] = {}
    errors: list[BaseException] = []

    def do(k: int) -> None:
        try:
            found[k] = works[k]()
        except BaseException as error:  # raised again below
            errors.append(error)
            turns.is_over.set()

    # an interrupted process does not wait for them
    threads = [threading.Thread(target=do, args=(k,), daemon=True) for k in range(len(works))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        turns.is_over.set()
        raise
    if errors:
        raise next((error for error in errors if not isinstance(error, _StoppedError)), errors[0])
    return [found[k] for k in range(len(works))]
