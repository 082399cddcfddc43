"""The threads of BLAS: more than one make the small matrices of an array slower."""

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@functools.cache
def _controller() -> ThreadpoolController:
    """Find the loaded libraries, once."""
    return ThreadpoolController()


class _Limit:
    """The limit on the threads of BLAS, which all threads of a process share.

    Who asks for it first sets it, for as long as that context lasts; others find it there. To set it takes .1 ms, as
    long as many a product, and only the thread that set it may lift it (threadpoolctl 3.8).
    """

    def __init__(self) -> None:
        self._lock, self._stands = threading.Lock(), False

    @contextmanager
    def ask(self) -> Iterator[None]:
        """Set it, unless it stands."""
        with self._lock:
            stood, self._stands = self._stands, True
        if stood:
            yield
            return
        try:
            with _controller().limit(limits=1, user_api="blas"):
                yield
        finally:
            self._stands = False


_LIMIT = _Limit()


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS keeps to one thread."""
    return _LIMIT.ask()
