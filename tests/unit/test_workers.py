"""Work on tiles by one processor and by several."""

import os

import pytest

from spicesim.network.workers import start_workers


@pytest.mark.parametrize("count", [1, 2])
def test_results_are_those_of_the_calls(count):
    with start_workers(count) as workers:
        found = [workers.submit(pow, k, 2) for k in range(9)]
        assert [one.result() for one in found] == [k**2 for k in range(9)]


def test_one_worker_begins_nothing_after_an_error():
    """A tile that cannot be made ready is told at once, not after all others have been."""
    begun = []

    def work(k):
        begun.append(k)
        if k == 2:
            raise ValueError("the third")

    with start_workers(1) as workers, pytest.raises(ValueError, match="the third"):
        list(map(workers.submit, [work] * 9, range(9)))
    assert begun == [0, 1, 2]


@pytest.mark.parametrize(("words", "threads"), [("1", 1), ("2", 2), ("999", 3), ("", 3), ("many", 3), ("0", 3)])
def test_threads_stay_within_omp_num_threads(words, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", words)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    with start_workers() as workers:
        assert getattr(workers, "_max_workers", 1) == threads
