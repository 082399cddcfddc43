"""The threads of BLAS: one within the context that asked first, as before afterwards."""

import threading

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


def test_who_comes_later_neither_sets_nor_lifts_it():
    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(60)
        leave.set()
        thread.join(60)
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_who_set_it_lifts_it_while_others_are_within():
    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(60)
    assert blas_threads() == before
    leave.set()
    thread.join(60)
    assert blas_threads() == before
