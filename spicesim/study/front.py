"""The front of a study: points that no other beats, each audited in ngspice; its chip, calibration and run as files.

An audit draws products of the network on the point's first chip and does them again at transistor level. So what the
study calibrated on another array or with other wires is held against those of the point itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit
from tqdm import tqdm

from spicesim.chip import save_chip
from spicesim.errors import SpiceSimError, StorageError
from spicesim.experiment.plan import RunPlan
from spicesim.files import write_json, write_text
from spicesim.files.documents import read_json
from spicesim.study.description import Study
from spicesim.study.evaluation import FATAL, Bench
from spicesim.study.goals import Reading, dominates
from spicesim.study.search import Record

__all__ = ["FrontPoint", "audit_front", "find_front"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A point that no other beats."""

    record: Record
    """The point and what it gave."""
    audit: dict[str, Any] | None = None
    """What its audit found, as a run's document has it; None if it failed or was not asked for."""
    failure: str = ""
    """Why it has none, or no numbers on unseen inputs."""
    unseen: Mapping[str, Reading] = field(default_factory=dict)
    """Its goals on inputs that no choice depends on; none if they were not asked for."""

    @property
    def stem(self) -> str:
        """What its files are called."""
        return f"point-{self.record.number}"

    def document(self) -> dict[str, Any]:
        """Return all as plain data, ready for JSON."""
        return {
            "number": self.record.number,
            "files": f"front/{self.stem}",
            "audit": self.audit,
            "failure": self.failure,
            "unseen": {name: reading.document() for name, reading in self.unseen.items()},
        }


def find_front(records: Sequence[Record], study: Study) -> list[Record]:
    """Return the points within all limits that no other beats, the best by the first goal first; equal ones once."""
    taken: dict[tuple[float, ...], Record] = {}
    for record in records:
        if record.is_taken:
            taken.setdefault(tuple(record.outcome.values[name] for name in study.goals), record)
    values = [record.outcome.values for record in taken.values()]
    front = [
        record
        for record in taken.values()
        if not any(dominates(other, record.outcome.values, study.goals) for other in values)
    ]
    name, goal = next(iter(study.goals.items()))
    return sorted(front, key=lambda record: -goal.sign * record.outcome.values[name])


def audit_front(bench: Bench, front: Sequence[Record], *, progress: bool = False) -> list[FrontPoint]:
    """Audit points and write their files; what was done before is taken from there.

    Parameters
    ----------
    bench : Bench
        Of the study.
    front : sequence of Record
        The points.
    progress : bool
        Whether to show progress on standard error.

    Raises
    ------
    StorageError, MissingDependencyError
        If no point can be audited.
    """
    found = []
    for record in tqdm(front, desc="audits", unit="point", disable=None if progress else True):
        found.append(_audit(bench, record))
    return found


def _audit(bench: Bench, record: Record) -> FrontPoint:
    chip, plan = bench.place(record.point)
    point, folder = FrontPoint(record=record), bench.folder / "front"
    path = folder / f"{point.stem}.json"
    audited = plan.changed(
        audit=bench.study.audit, chips=1, energy=False, images=min(bench.study.audit_images, plan.images or 2**31)
    )
    if (kept := _kept(path, chip.hash, audited)) is not None:
        return FrontPoint(record=record, audit=kept["audit"])
    subject = bench.subject(chip, plan)
    save_chip(chip, folder / f"{point.stem}.toml")
    subject.calibration.save(folder / f"{point.stem}.cal.json")  # type: ignore[union-attr]  # it was calibrated
    write_text(folder / f"{point.stem}.run.toml", tomlkit.dumps(plan.document()))
    try:
        run = bench.run(subject, audited)
    except FATAL:
        raise
    except SpiceSimError as error:
        return FrontPoint(record=record, failure=str(error))
    document = run.document()
    document["subject"]["calibration"]["path"] = str((folder / f"{point.stem}.cal.json").resolve())
    write_json(path, document)
    return FrontPoint(record=record, audit=document["audit"])


def _kept(path: Path, chip_hash: str, plan: RunPlan) -> dict[str, Any] | None:
    """Return the document of an audit if it is there, of this chip and this run."""
    if not path.exists():
        return None
    document = read_json(path, "audit of a point", "remove it", StorageError)
    same = document.get("plan") == plan.document() and document["provenance"]["chip_hash"] == chip_hash
    return document if same else None
