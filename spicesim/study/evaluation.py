"""What one point of a study gives: the engine ideal on few inputs first, then the run itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from spicesim.chip import Chip
from spicesim.errors import MissingDependencyError, SpecError, SpiceSimError, StorageError
from spicesim.experiment.keeping import TILES_LIMIT, Keeping
from spicesim.experiment.outcome import Experiment
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import Run, Subject, run_subject
from spicesim.files.shelf import Shelf
from spicesim.network.dataset import Dataset, load_dataset
from spicesim.network.loading import load_model
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.ngspice.batch import BatchSimulator
from spicesim.study.chips import Calibrations, needed_aspects
from spicesim.study.description import Study
from spicesim.study.goals import Reading, dominates, read_goals, values_of
from spicesim.study.space import Point, keys_of

__all__ = ["Bench", "Outcome"]

FATAL = (StorageError, MissingDependencyError)
"""Errors that no other point would be spared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a point."""

    readings: dict[str, Reading] = field(default_factory=dict)
    """Its numbers; none if it was not run to the end."""
    reason: str = ""
    """Why it was not, in a line."""
    stage: str = "run"
    """Where it ended: "chip", "ideal" or "run"."""
    seconds: float = 0.0
    """Processor time that it took, simulations left out [s]."""
    chip: str = ""
    """Hash of its chip."""
    calibration: str = ""
    """Hash of its calibration."""
    notes: tuple[str, ...] = ()
    """What the run says about itself."""

    @property
    def values(self) -> dict[str, float]:
        """Its numbers without their intervals."""
        return values_of(self.readings)

    def document(self) -> dict[str, Any]:
        """Return all as plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Outcome":
        """Return what :meth:`document` made."""
        readings = {name: Reading(**reading) for name, reading in document["readings"].items()}
        return cls(**{**document, "readings": readings, "notes": tuple(document["notes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all points of a study share; it can be sent to another process, which reads files by itself."""

    study: Study
    """The study."""
    bases: dict[str, Chip]
    """Chips that points begin with."""
    folder: Path
    """Where all is kept."""
    jobs: int | None = None
    """Simulations at a time."""
    timeout: float = 300.0
    """Longest simulation of an audit [s]."""

    def largest(self) -> tuple[int, int]:
        """Return rows and columns of the largest array."""
        found = []
        for key in ("array.rows", "array.columns"):
            sizes = [getattr(chip.array, key.partition(".")[2]) for chip in self.bases.values()]
            axes = [axis.largest for name, axis in self.study.space.items() if key in keys_of(name)]
            found.append(max(sizes + [size for size in axes if isinstance(size, int)]))
        return found[0], found[1]

    def place(self, point: Point) -> tuple[Chip, RunPlan]:
        """Return the chip and the run of a point, energies told where a goal needs them."""
        chip, plan = self.study.place(point, self.bases)
        return chip, plan.changed(energy=True) if self.study.costs else plan

    def subject(self, chip: Chip, plan: RunPlan) -> Subject:
        """Return what a point's run is run on, its chip calibrated."""
        calibrations = _calibrations(self.folder / "calibrations", self.largest(), self.study.quick, self.jobs)
        names = {"model": self.study.network, "data": self.study.data}
        return Subject(
            model=load_model(self.study.network), dataset=_dataset(self.study.data), names=names,
            calibration=calibrations.of(chip, needed_aspects(chip, plan)),
        )  # fmt: skip

    def run(self, subject: Subject, plan: RunPlan) -> Run:
        """Run a plan, with what tiles were made ready as kept for other points."""
        shelf, simulator = Shelf(self.folder / "tiles", TILES_LIMIT), BatchSimulator(timeout=self.timeout)
        found = run_subject(plan, subject, simulator=simulator, jobs=self.jobs, keeping=Keeping(shelf=shelf))
        shelf.trim()
        return found

    def evaluate(self, point: Point, best: Sequence[Mapping[str, float]]) -> Outcome:
        """Find what a point gives; what cannot be is an outcome, too.

        Parameters
        ----------
        point : dict
            Of the space.
        best : sequence of mapping
            Goals of the points that no other has beaten so far.

        Raises
        ------
        StorageError, MissingDependencyError
            If no point could be run.
        """
        start, stage, chip = time.process_time(), "chip", None
        try:
            chip, plan = self.place(point)
            stage = "ideal"
            if self.study.screen is not None and (why := self._screen(chip, plan, best)):
                spent = time.process_time() - start
                return Outcome(reason=why, stage=stage, chip=chip.hash, seconds=spent)
            stage = "run"
            subject = self.subject(chip, plan)
            found = self.run(subject, plan)
            outcome = Outcome(
                readings=read_goals(found, self.study.goals), chip=chip.hash, calibration=subject.calibration.hash,
                notes=found.first.result.stats.notes, seconds=time.process_time() - start,
            )  # fmt: skip
        except FATAL:
            raise
        except SpiceSimError as error:
            spent, hashed = time.process_time() - start, "" if chip is None else chip.hash
            return Outcome(reason=str(error), stage=stage, chip=hashed, seconds=spent)
        beyond = [name for name, goal in self.study.goals.items() if goal.violation(outcome.values[name]) > 0]
        return replace(outcome, reason=f"beyond the limits of {', '.join(beyond)}" if beyond else "")

    def _screen(self, chip: Chip, plan: RunPlan, best: Sequence[Mapping[str, float]]) -> str:
        """Say why a point need not be run, by what ideal arrays around its converters give; empty if it must be.

        The circuit loses accuracy that ideal arrays keep; so the upper end of their interval stands for the most it
        could have. Only accuracy can be told without a circuit.
        """
        goals = self.study.goals
        if "accuracy" not in goals:
            raise SpecError("screen tells accuracies, and the study has no such goal; leave screen out")
        ideal = RunPlan(engine="ideal", mapping=plan.mapping, converter=plan.converter, images=self.study.screen)
        subject = Subject(
            model=load_model(self.study.network), dataset=_dataset(self.study.data), names={},
            calibration=UncalibratedChip(chip),
        )  # fmt: skip
        found: Experiment = run_subject(ideal, subject).first
        if found.accuracy is None:
            raise SpecError("screen tells accuracies, and the data have no labels y; leave screen out")
        most = found.interval(found.accuracy)[1]
        goal = goals["accuracy"]
        if goal.direction == "max" and goal.least is not None and most < goal.least:
            return f"accuracy at most {most:.4f} with ideal arrays, {goal.least:g} is asked for"
        if list(goals) == ["accuracy"] and any(dominates(one, {"accuracy": most}, goals) for one in best):
            return f"accuracy at most {most:.4f} with ideal arrays, beaten"
        return ""


@lru_cache(maxsize=1)
def _calibrations(folder: Path, largest: tuple[int, int], quick: bool, jobs: int | None) -> Calibrations:
    return Calibrations(folder, largest, quick=quick, jobs=jobs)


@lru_cache(maxsize=1)
def _dataset(path: str) -> Dataset:
    return load_dataset(path)
