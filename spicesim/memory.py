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
        self.count(known, keep=True)

    def count(self, objects: Iterable[Any], *, keep: bool = False) -> int:
        """Return the memory of arrays that objects lead to, without what is known [byte].

        Parameters
        ----------
        objects : iterable of object
            The objects.
        keep : bool
            Whether they are known from now on; they must then stay alive as long as the census.
        """
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
        if keep:
            self._known |= seen
        return total
