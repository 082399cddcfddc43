"""Inputs that no choice depends on: of many points those look best that happen to do well where they are picked."""

from typing import Any

from spicesim.errors import StorageError
from spicesim.files import write_json
from spicesim.files.documents import read_json
from spicesim.study.description import Study
from spicesim.study.evaluation import Bench
from spicesim.study.goals import NUMBERS, Reading, read_goals
from spicesim.study.space import Point

__all__ = ["read_unseen", "unseen_goals"]


def unseen_goals(study: Study) -> list[str]:
    """Return the goals that are read on unseen inputs, which are none if the study has no such inputs."""
    if study.unseen is None:
        return []
    return [name for name in study.goals if name not in NUMBERS or NUMBERS[name].is_of_inputs]


def read_unseen(bench: Bench, stem: str, point: Point) -> dict[str, Reading]:
    """Run a point on the inputs after those of the search, and return its goals there; kept under a name in front/.

    Raises
    ------
    SpiceSimError
        If it cannot be run, as when no inputs are left.
    """
    if not (names := unseen_goals(bench.study)):
        return {}
    chip, plan = bench.place(point)
    plan = plan.changed(skip=plan.images, images=bench.study.unseen)
    path = bench.folder / "front" / f"{stem}.unseen.json"
    about: dict[str, Any] = {"schema_version": 1, "plan": plan.document(), "chip_hash": chip.hash, "goals": names}
    if path.exists():
        kept = read_json(path, "run of a point on unseen inputs", "remove it", StorageError)
        if {key: kept.get(key) for key in about} == about:
            return {name: Reading(**reading) for name, reading in kept["readings"].items()}
    readings = read_goals(bench.run(bench.subject(chip, plan), plan), bench.study.goals)
    found = {name: readings[name] for name in names}
    write_json(path, about | {"readings": {name: reading.document() for name, reading in found.items()}})
    return found
