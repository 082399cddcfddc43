"""The threads of BLAS: more than one make the small matrices of an array slower."""

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@functools.cache
def _controller() -> ThreadpoolController:
    """Find the loaded libraries, once."""
    return ThreadpoolController()


class _Limit:
    """The limit on the threads of BLAS, which all of a process share.

    It stands from the first context that asks for it to the end of the last, in whatever thread these are: setting it
    takes .1 ms, as long as many a product, and whoever lifted it alone would lift it for all.
    """

    def __init__(self) -> None:
        self._lock, self._asked = threading.Lock(), 0
        self._limiter: AbstractContextManager[object] = nullcontext()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask for one thread."""
        with self._lock:
            if not self._asked:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if not self._asked:
                    self._limiter.__exit__(None, None, None)


_LIMIT = _Limit()


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS keeps to one thread."""
    return _LIMIT.asked()
