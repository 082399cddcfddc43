"""Work on tiles by several processors at once."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["look_ahead", "start_workers"]

T = TypeVar("T")


@contextmanager
def start_workers(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Start threads, by default one a processor; after an error, what has not begun is dropped."""
    pool = ThreadPoolExecutor(count or len(os.sched_getaffinity(0)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def look_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each when the next has been made: what an item sets going is under way meanwhile."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
