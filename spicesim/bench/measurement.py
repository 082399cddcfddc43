"""Measurements: medians of repeats beside a matrix product, in a process of their own."""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.crossbar.blas import one_blas_thread

__all__ = ["Measurement", "gemm_seconds", "in_own_process", "median_seconds", "peak_memory"]

GEMM_BATCH = 1000
"""Vectors of the matrix product that is the measure of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One way of solving one array."""

    name: str
    """Of the way."""
    cells: str
    """linear or nonlinear."""
    rows: int
    columns: int
    inputs: str
    """Range of the inputs."""
    prepare_seconds: float | None = None
    """Work that does not depend on the inputs [s]."""
    vector_seconds: float | None = None
    """Time an input vector [s]."""
    gemm_seconds: float
    """Time an input vector of numpy's float32 matrix product of that size, batch 1000, in the same process [s]."""
    max_error: float | None = None
    """Largest error of a current against the solver at 1e-11, as a fraction of the largest current."""
    rms_error: float | None = None
    """Root of the mean square of the same."""
    memory: int | None = None
    """Peak of the resident memory [byte]; of ngspice alone in its rows, and absent there if less than Python's."""
    note: str = ""
    """What to know about it."""


def median_seconds(function: Callable[[], object], *, repeats: int, least: float = 0.2) -> float:
    """Return the median time of calls, of which there are `repeats` and as many as fill `least` seconds, up to 200."""
    times: list[float] = []
    with one_blas_thread():
        while len(times) < repeats or (sum(times) < least and len(times) < 200):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def gemm_seconds(rows: int, columns: int) -> float:
    """Time numpy's float32 matrix product, a vector [s]."""
    rng = np.random.default_rng(0)
    v = rng.random((GEMM_BATCH, rows), dtype=np.float32)
    t = rng.random((rows, columns), dtype=np.float32)
    out = np.empty((GEMM_BATCH, columns), np.float32)
    return median_seconds(lambda: np.matmul(v, t, out=out), repeats=5) / GEMM_BATCH


def peak_memory(*, children: bool = False) -> int:
    """Return the peak of the resident memory of this process, or of the largest it started [byte]."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, so that its peak of memory is its own.

    Raises
    ------
    MemoryError
        If the process was ended, as the system does when memory runs out.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise MemoryError("the process of a benchmark was ended; choose smaller sizes") from None
