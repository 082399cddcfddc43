"""Memory: what is free, and what objects hold."""

import gc
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import psutil

__all__ = ["Census", "free_memory"]

_SHARED = (type, ModuleType, FunctionType)
"""Objects that belong to the program."""


def free_memory() -> int:
    """Return how much memory could be had without swapping [byte]."""
    return int(psutil.virtual_memory().available)


class Census:
    """Counts the memory of arrays, each once.

    Parameters
    ----------
    *known : object
        Objects whose arrays, and those that they lead to, do not count.
    """

    def __init__(self, *known: Any) -> None:
        self._known: set[int] = set()
        self._known = self._visit(known)[1]

    def count(self, objects: Iterable[Any], room: float = 0) -> tuple[int, bool]:
        """Count the memory of arrays that objects lead to, without what is known.

        Parameters
        ----------
        objects : iterable of object
            The objects.
        room : float
            If they take no more [byte], they are known from now on; they must then stay alive as long as the census.

        Returns
        -------
        int
            The memory [byte].
        bool
            Whether they are known now.
        """
        total, seen = self._visit(objects)
        if total > room:
            return total, False
        self._known |= seen
        return total, True

    def _visit(self, objects: Iterable[Any]) -> tuple[int, set[int]]:
        seen, total, waiting = set[int](), 0, list(objects)
        while waiting:
            one = waiting.pop()
            if id(one) in seen or id(one) in self._known or isinstance(one, _SHARED):
                continue
            seen.add(id(one))
            if not isinstance(one, np.ndarray):
                waiting.extend(gc.get_referents(one))
            elif one.base is None:
                total += one.nbytes
            else:
                waiting.append(one.base)
        return total, seen
