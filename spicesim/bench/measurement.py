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

__all__ = ["GEMM_BATCH", "Measurement", "in_own_process", "matrix_product", "median_seconds", "peak_memory"]

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


def median_seconds(*functions: Callable[[], object], repeats: int, least: float = 0.2) -> list[float]:
    """Return the median times of functions called in turn, so that a busy machine is as unfair to all.

    Parameters
    ----------
    *functions : callable
        What to time.
    repeats : int
        Least number of calls.
    least : float
        Time that the calls of one function shall fill, unless they are 200 [s].

    Returns
    -------
    list of float
        One a function [s].
    """
    times: list[list[float]] = [[] for _ in functions]
    with one_blas_thread():
        while len(times[0]) < repeats or (max(map(sum, times)) < least and len(times[0]) < 200):
            for function, taken in zip(functions, times, strict=True):
                start = time.perf_counter()
                function()
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def matrix_product(rows: int, columns: int) -> Callable[[], object]:
    """Return numpy's float32 product of :data:`GEMM_BATCH` vectors with a matrix, ready to call."""
    rng = np.random.default_rng(0)
    v = rng.random((GEMM_BATCH, rows), dtype=np.float32)
    t = rng.random((rows, columns), dtype=np.float32)
    out = np.empty((GEMM_BATCH, columns), np.float32)
    return lambda: np.matmul(v, t, out=out)


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
