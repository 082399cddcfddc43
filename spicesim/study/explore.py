"""A study from its file to its front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spicesim.chip import format_chip
from spicesim.errors import SpiceSimError
from spicesim.files import write_json
from spicesim.provenance import now
from spicesim.study.description import Study, check_keys, load_study
from spicesim.study.evaluation import FATAL, Bench, Outcome
from spicesim.study.front import FrontPoint, audit_front, find_front
from spicesim.study.goals import Reading
from spicesim.study.search import Record, Search
from spicesim.study.space import Point
from spicesim.study.unseen import read_unseen

__all__ = ["Exploration", "explore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What a study found."""

    study: Study
    """The study."""
    folder: Path
    """Where all of it is kept."""
    reference: Outcome
    """What the chip gives as it is described, no key changed."""
    unseen: Mapping[str, Reading]
    """Its goals on inputs that no choice depends on; none if they were not asked for."""
    records: Sequence[Record]
    """All points that were tried."""
    front: Sequence[FrontPoint]
    """Those that no other beats."""
    bench: Bench
    """What points were tried by."""

    def chip_text(self, point: Point) -> str:
        """Return the whole description of a point's chip."""
        return format_chip(self.bench.place(point)[0])

    def document(self) -> dict[str, Any]:
        """Return all as plain data, ready for JSON."""
        return {
            "schema_version": 1,
            "study": self.study.model_dump(mode="json"),
            "created": now(),
            "tried": len(self.records),
            "taken": sum(record.is_taken for record in self.records),
            "reference": self.reference.document(),
            "unseen": {name: reading.document() for name, reading in self.unseen.items()},
            "front": [one.document() for one in self.front],
            "points": [record.document() for record in self.records],
        }


def explore(
    study: str | Path | Study,
    folder: str | Path,
    *,
    points: int | None = None,
    jobs: int = 1,
    audit: bool = True,
    timeout: float = 300.0,
    progress: bool = False,
) -> Exploration:
    """Try the points of a study, find those that no other beats, and audit each of these in ngspice.

    Parameters
    ----------
    study : str, Path or Study
        The study; paths in one that is given as it is begin at the working folder.
    folder : str or Path
        Where all is kept; the same call goes on from there, also after the process was killed.
    points : int, optional
        Points to try in all, in place of the study's.
    jobs : int
        Points at a time, each in a process of its own; within ``joblib.parallel_config`` on other machines, which
        must see the folder.
    audit : bool
        Whether to audit the front.
    timeout : float
        Longest simulation of an audit [s].
    progress : bool
        Whether to show progress on standard error.

    Returns
    -------
    Exploration
        All that was tried, and the front.

    Raises
    ------
    SpecError
        If the study is none, or the folder holds another.
    MissingDependencyError
        If optuna or ngspice is not installed.
    StorageError
        If the folder cannot be written.
    """
    root = Path.cwd() if isinstance(study, Study) else Path(study).parent
    plan = study if isinstance(study, Study) else load_study(study)
    if points is not None:
        plan = plan.model_copy(update={"points": points})
    bases = plan.bases(root)
    check_keys(plan, bases)
    bench = Bench(study=plan, bases=bases, folder=Path(folder).resolve(), jobs=1 if jobs > 1 else None, timeout=timeout)
    with Search(bench) as search:
        reference = search.reference()
        unseen = read_unseen(bench, "described", {}) if reference.readings else {}
        records = search.run(jobs=jobs, progress=progress)
    best = find_front(records, plan)
    bench = replace(bench, jobs=None)
    front = audit_front(bench, best, progress=progress) if audit else [FrontPoint(record=record) for record in best]
    if plan.unseen is not None:
        bar = tqdm(front, desc="unseen inputs", unit="point", disable=None if progress else True)
        front = [_with_unseen(bench, one) for one in bar]
    found = Exploration(
        study=plan, folder=bench.folder, reference=reference, unseen=unseen, records=records, front=front, bench=bench
    )
    write_json(bench.folder / "study.json", found.document())
    return found


def _with_unseen(bench: Bench, one: FrontPoint) -> FrontPoint:
    """Run a point on unseen inputs; why that cannot be is told of it, as of an audit."""
    try:
        return replace(one, unseen=read_unseen(bench, one.stem, one.record.point))
    except FATAL:
        raise
    except SpiceSimError as error:
        said = f"on unseen inputs: {error}"
        return replace(one, failure=f"{one.failure}; {said}" if one.failure else said)
