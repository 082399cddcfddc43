"""The threads of BLAS: one within the context that asked first, as before afterwards."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from spicesim.crossbar.blas import one_blas_thread


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(2, user_api="blas"):
        yield


def test_contexts_within_each_other_end_with_the_outermost():
    before = blas_threads()
    with one_blas_thread():
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_an_error_ends_its_own_context_alone():
    before = blas_threads()
    with one_blas_thread():
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            _ = 1 / 0
        assert blas_threads() == {1}
    assert blas_threads() == before


@contextmanager
def another_within():
    """Have another thread within such a context, entered after the caller's."""
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=stay)
    thread.start()
    assert entered.wait(60)
    try:
        yield
    finally:
        leave.set()
        thread.join(60)


def test_who_comes_later_neither_sets_nor_lifts_it():
    before = blas_threads()
    with one_blas_thread():
        with another_within():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_who_set_it_lifts_it_while_others_are_within():
    before, first = blas_threads(), one_blas_thread()
    first.__enter__()
    with another_within():
        first.__exit__(None, None, None)
        assert blas_threads() == before
    assert blas_threads() == before
