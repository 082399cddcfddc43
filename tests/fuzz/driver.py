"""Many cases in processes of their own, which are ended where a case takes too long.

The time that counts is that of the processor, so that a busy machine makes no case slow; a case that waits for ever is
killed by the clock.
"""

import importlib
import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import NamedTuple

from fuzz.verdict import FAILURES, Verdict, find_verdict, minimise

SEEDS = 10**9
"""Cases of a seed."""
STARTING = 1800.0
"""Time for what a new process imports and prepares [s]."""
PATIENCE = 12
"""Clock time that a case may take, of the limit of its processor time."""


class Judged(NamedTuple):
    number: int
    verdict: Verdict
    script: str
    """Shows a failure; empty for what is no failure."""


def load(campaign: str) -> ModuleType:
    return importlib.import_module(f"fuzz.{campaign}")


def seed_of(seed: int, number: int) -> int:
    return seed * SEEDS + number


def _work(campaign_name: str, seed: int, pipe: Connection) -> None:
    campaign = load(campaign_name)
    getattr(campaign, "prepare", lambda: None)()
    pipe.send(None)  # ready
    while True:
        number, minimal, limit = pipe.recv()
        signal.setitimer(signal.ITIMER_PROF, limit)  # its signal ends the process, whatever it does
        case = campaign.case(seed_of(seed, number))
        verdict = find_verdict(campaign, case)
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send(Judged(number, verdict, case.script() if verdict.kind in FAILURES else ""))
        if verdict.kind in FAILURES and minimal:
            small = minimise(campaign, case, verdict.kind)
            pipe.send(Judged(number, find_verdict(campaign, small), small.script()))


class _Worker:
    def __init__(self, campaign: str, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_work, args=(campaign, seed, end), daemon=True)
        self.process.start()
        end.close()
        self.case: int | None = None
        self.found: Judged | None = None
        """The verdict on the case that is being minimised."""
        self.until = time.monotonic() + STARTING
        self.is_ready = False

    def give(self, number: int, minimal: bool, limit: float) -> None:
        self.case, self.found, self.until = number, None, time.monotonic() + PATIENCE * limit
        self.pipe.send((number, minimal, limit))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run(
    campaign: str, seed: int, numbers: range, processes: int, limit: float, minimal: bool = True
) -> Iterator[Judged]:
    """Judge cases; yields them as they come."""
    queue = iter(numbers)
    workers = [_Worker(campaign, seed) for _ in range(processes)]

    def feed(worker: _Worker) -> None:
        number = next(queue, None)
        if number is None:
            worker.stop()
            workers.remove(worker)
        else:
            worker.give(number, minimal, limit)

    def replace(worker: _Worker) -> None:
        worker.stop()
        workers[workers.index(worker)] = _Worker(campaign, seed)

    def lost(worker: _Worker, verdict: Verdict) -> Judged:
        """Return what is known of the case of a worker that has gone."""
        if worker.case is None:
            raise RuntimeError(f"the process of campaign {campaign} does not start: {verdict.kind}")
        if worker.found is not None:
            return worker.found
        return Judged(worker.case, verdict, load(campaign).case(seed_of(seed, worker.case)).script())

    try:
        while workers:
            now = time.monotonic()
            patience = max(0.0, min(worker.until for worker in workers) - now)
            ready = wait([worker.pipe for worker in workers], patience)
            for worker in list(workers):
                if worker.pipe in ready:
                    try:
                        answer = worker.pipe.recv()
                    except (EOFError, ConnectionError):
                        worker.process.join()
                        ended = Verdict("crash", f"the process ended with {worker.process.exitcode}")
                        slow = Verdict("slow", f"more than {limit:g} s of processor time")
                        yield lost(worker, slow if worker.process.exitcode == -signal.SIGPROF else ended)
                        replace(worker)
                        continue
                    if answer is None:
                        worker.is_ready = True
                    elif answer.verdict.kind in FAILURES and minimal and worker.found is None:
                        worker.found, worker.until = answer, time.monotonic() + PATIENCE * limit
                        continue
                    else:
                        yield answer
                    feed(worker)
                elif time.monotonic() > worker.until:
                    yield lost(worker, Verdict("slow", f"more than {PATIENCE * limit:g} s"))
                    replace(worker)
    finally:
        for worker in workers:
            worker.stop()
