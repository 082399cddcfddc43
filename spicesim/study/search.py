"""The search of a study: which points are tried, what became of each, kept by optuna in SQLite after every one.

A study that was ended anywhere, by kill -9 too, goes on: a point is finished or it never was, and points that a dead
process was at are tried again. With one process a search asks for the same points whether it was ended or not, since
each draw depends on the study's seed and on what is finished, and on nothing else.
"""

import contextlib
import itertools
import json
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import psutil
from tqdm import tqdm

from spicesim.errors import MissingDependencyError, SpecError, StorageError
from spicesim.files.lock import one_at_a_time
from spicesim.study.description import Study
from spicesim.study.evaluation import Bench, Outcome
from spicesim.study.goals import dominates
from spicesim.study.space import Point, apart, grid_points, label

__all__ = ["Record", "Search"]

START_UP = 10
"""Points that tpe draws at random before it has a model, however many are wanted: that may change on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A point that was tried, and what became of it."""

    number: int
    """Its number, from 0."""
    point: Point
    """What its axes were."""
    outcome: Outcome
    """What it gave."""

    @property
    def is_taken(self) -> bool:
        """Whether it was run to the end, within all limits."""
        return not self.outcome.reason

    def document(self) -> dict[str, Any]:
        """Return all as plain data, ready for JSON."""
        return {"number": self.number, "point": self.point, **self.outcome.document()}


class Search:
    """A search, as far as it has gone.

    Parameters
    ----------
    bench : Bench
        What points are tried by; its folder holds ``study.db``.

    Raises
    ------
    MissingDependencyError
        If optuna is not installed.
    SpecError
        If the folder holds another study.
    StorageError
        If its file cannot be read or written.
    """

    def __init__(self, bench: Bench) -> None:
        self._optuna = _import_optuna()
        self.bench, self._study = bench, bench.study
        self._me = _process()
        folder = bench.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {folder}: {error.strerror}; choose another --output") from error
        self._path = folder / "study.db"
        optuna = self._optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with one_at_a_time(self._path), _storing(self._path):  # of two that begin, one makes the tables
            address, words = f"sqlite:///{self._path}", {"connect_args": {"timeout": 60}}
            self._storage = optuna.storages.RDBStorage(address, engine_kwargs=words)
        try:
            with one_at_a_time(self._path):
                self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Search":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is kept stays."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @contextlib.contextmanager
    def _stored(self) -> Iterator[None]:
        """Use the file, in any thread, and give its connection back."""
        with _storing(self._path):
            try:
                yield
            finally:
                self._storage.remove_session()

    def _open(self) -> None:
        path, goals = self._path, self._study.goals.values()
        with self._stored():
            self._trials = self._optuna.create_study(
                storage=self._storage, study_name="study", load_if_exists=True,
                directions=["maximize" if goal.sign > 0 else "minimize" for goal in goals],
            )  # fmt: skip
            kept = self._trials.user_attrs.get("hash")
            if kept is None:
                self._trials.set_user_attr("hash", self._study.hash)
            elif kept != self._study.hash:
                raise SpecError(
                    f"{path} holds another study, with other goals, space or run; choose another --output, or remove "
                    "that folder"
                )

    def reference(self) -> Outcome:
        """Return what the chip gives as it is described, no key changed; kept, too."""
        with self._stored():
            kept = self._trials.user_attrs.get("reference")
        if kept is not None:
            return Outcome.of_document(kept)
        found = self.bench.evaluate({}, [])
        with self._stored():
            self._trials.set_user_attr("reference", found.document())
        return found

    def records(self) -> list[Record]:
        """Return all points that are finished, in the order of the grid, or in which they began.

        A point of a grid that was ended in the middle is tried again by a later trial, yet keeps its place.
        """
        with self._stored():
            found = self._trials.get_trials(deepcopy=False, states=self._finished)
        found.sort(key=lambda trial: trial.user_attrs.get("place", trial.number))
        return [
            Record(number=k, point=trial.user_attrs["point"], outcome=Outcome.of_document(trial.user_attrs["outcome"]))
            for k, trial in enumerate(found)
        ]

    @property
    def _finished(self) -> tuple[Any, ...]:
        states = self._optuna.trial.TrialState
        return (states.COMPLETE, states.PRUNED)

    @property
    def wanted(self) -> int:
        """How many points are tried in all."""
        if self._study.search == "grid":
            count = sum(1 for _ in grid_points(self._study.space))
            return count if self._study.points is None else min(count, self._study.points)
        return self._study.points or 100

    def run(self, *, jobs: int = 1, progress: bool = False) -> list[Record]:
        """Try all points that are not finished yet; return all.

        Parameters
        ----------
        jobs : int
            Points at a time, each in a process of its own; any backend of joblib does them.
        progress : bool
            Whether to show progress on standard error.

        Raises
        ------
        StorageError, MissingDependencyError
            If no point can be run; finished ones are kept.
        """
        with one_at_a_time(self._path), self._stored():
            self._bury()
            if self._study.search == "grid":
                self._enqueue(joblib.effective_n_jobs(jobs))
        done = self.records()
        bar = tqdm(
            total=self.wanted, initial=len(done), desc="points", unit="point", disable=None if progress else True
        )
        parallel = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs", prefer="processes"
        )
        known = {_text(record.point): record.outcome for record in done}
        with bar, contextlib.closing(parallel(self._tasks(known))) as runs:
            for trial, point, outcome in runs:
                with self._stored():
                    self._tell(trial, outcome)
                known[_text(point)] = outcome
                bar.update()
                bar.set_postfix_str(f"{sum(not o.reason for o in known.values())} taken", refresh=False)
        return self.records()

    def _bury(self) -> None:
        """Give up trials whose process is dead, so that their points are tried again."""
        states = self._optuna.trial.TrialState
        for trial in self._trials.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if not _is_alive(trial.user_attrs.get("process", "")):
                with contextlib.suppress(self._optuna.exceptions.UpdateFinishedTrialError):
                    self._trials.tell(trial.number, state=states.FAIL)

    def _enqueue(self, jobs: int) -> None:
        """Put those points of a grid into the queue that are neither finished, nor at work, nor in it."""
        states = self._optuna.trial.TrialState
        there = set()
        for trial in self._trials.get_trials(deepcopy=False):
            if trial.state != states.FAIL and "place" in trial.user_attrs:
                there.add(trial.user_attrs["place"])
        places = itertools.islice(enumerate(grid_points(self._study.space)), self.wanted)
        for place, point in apart((own for own in places if own[0] not in there), jobs):
            self._trials.enqueue_trial({}, user_attrs={"place": place, "point": point})

    def _tasks(self, known: Mapping[str, Outcome]) -> Iterator[Any]:
        """Yield points to be tried, each asked for when the one before it is on its way."""
        while (asked := self._ask()) is not None:
            number, point = asked
            best = _best([one.values for one in known.values() if not one.reason], self._study)
            yield joblib.delayed(_try)(self.bench, number, point, known.get(_text(point)), best)

    def _ask(self) -> tuple[int, Point] | None:
        """Return the number of a trial and its point; None if there is none left."""
        states = self._optuna.trial.TrialState
        with one_at_a_time(self._path), self._stored():  # others count the same points
            trials = self._trials.get_trials(deepcopy=False)
            if self._study.search == "grid":
                if all(trial.state != states.WAITING for trial in trials):
                    return None
                trial = self._trials.ask()
                if "point" not in trial.user_attrs:  # another process took the last one that waited
                    self._trials.tell(trial, state=states.FAIL)
                    return None
                trial.set_user_attr("process", self._me)
                return trial.number, trial.user_attrs["point"]
            at_work = sum(trial.state in (*self._finished, states.RUNNING) for trial in trials)
            if at_work >= self.wanted:
                return None
            self._trials.sampler = self._sampler(at_work)
            if at_work < len(self._study.start):
                axes = self._study.space
                given = self._study.start[at_work].items()
                self._trials.enqueue_trial(
                    {name: value if axes[name].choices is None else label(value) for name, value in given}
                )
            trial = self._trials.ask()
            trial.set_user_attr("process", self._me)
            point: Point = {}
            for name, axis in self._study.space.items():
                if axis.holds(point):
                    point[name] = axis.suggest(trial, name)
            trial.set_user_attr("point", point)
            return trial.number, point

    def _sampler(self, count: int) -> Any:
        """Return what draws a point; its seed says how many there are."""
        samplers, seed = self._optuna.samplers, hash((self._study.seed, count)) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            if self._study.search == "random":
                return samplers.RandomSampler(seed=seed)
            if self._study.search == "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=20)
            return samplers.TPESampler(seed=seed, n_startup_trials=START_UP, multivariate=True, group=True)

    def _tell(self, number: int, outcome: Outcome) -> None:
        """Keep what became of a point; a trial that another process has told already stays."""
        states = self._optuna.trial.TrialState
        storage, study = self._trials._storage, self._trials._study_id
        trial_id = storage.get_trial_id_from_study_id_trial_number(study, number)
        with contextlib.suppress(self._optuna.exceptions.UpdateFinishedTrialError):
            storage.set_trial_user_attr(trial_id, "outcome", outcome.document())
            if outcome.readings:
                trial = self._optuna.trial.Trial(self._trials, trial_id)
                for name, goal in self._study.goals.items():
                    if goal.least is not None or goal.most is not None:
                        trial.set_constraint(name, goal.violation(outcome.values[name]))
            values = [outcome.values[name] for name in self._study.goals] if outcome.readings else None
            if values is None:
                self._trials.tell(number, state=states.PRUNED)
            else:
                self._trials.tell(number, values)


def _try(
    bench: Bench, number: int, point: Point, known: Outcome | None, best: list[dict[str, float]]
) -> tuple[int, Point, Outcome]:
    """Try a point, here or in another process; one that was tried before is what it was."""
    return number, point, known or bench.evaluate(point, best)


def _best(values: list[dict[str, float]], study: Study) -> list[dict[str, float]]:
    return [one for one in values if not any(dominates(other, one, study.goals) for other in values)]


def _text(point: Point) -> str:
    return json.dumps(point, sort_keys=True)


def _process() -> str:
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def _is_alive(word: str) -> bool:
    """Whether the process of a trial is still there; one of another machine is taken to be."""
    try:
        host, number, began = word.split()
        if host != socket.gethostname():
            return True
        return bool(abs(psutil.Process(int(number)).create_time() - float(began)) < 1.0)
    except (ValueError, psutil.NoSuchProcess):
        return False


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError("optuna is not installed; run: pip install 'spicesim[explore]'") from None
    return optuna


@contextlib.contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Have errors of the database be ours."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except Exception as error:
        if isinstance(error, SQLAlchemyError) or type(error).__module__.startswith("optuna"):
            said = " ".join(str(error).split())[:200]
            raise StorageError(f"cannot use {path}: {said}; remove it, or choose another --output") from error
        raise
