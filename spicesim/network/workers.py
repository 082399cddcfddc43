"""Work on tiles by several processors at once."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["look_ahead", "start_workers"]

T = TypeVar("T")


class _AtOnce(Executor):
    """Does all when it is asked to, in the thread that asks: a thread beside it would only wait for the interpreter."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function; an error is raised at once, before anything else is begun."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextmanager
def start_workers(count: int | None = None) -> Iterator[Executor]:
    """Start threads, by default one a processor, within OMP_NUM_THREADS; after an error, what has not begun is dropped.

    Points of a study in several processes have that set by joblib, and each keeps to its own processors.
    """
    wanted = count or _processors()
    pool = _AtOnce() if wanted == 1 else ThreadPoolExecutor(wanted)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    there, most = len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS", "")
    return min(there, int(most)) if most.isdigit() and int(most) else there


def look_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each when the next has been made: what an item sets going is under way meanwhile."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
