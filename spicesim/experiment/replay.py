"""A result run again from its own document, and compared with it number by number."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spicesim.calibration.calibration import Calibration
from spicesim.chip import load_chip
from spicesim.errors import SpecError
from spicesim.experiment.plan import make_plan
from spicesim.experiment.run import AnyCalibration, Run, Subject, run_subject
from spicesim.files.documents import read_json
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.ngspice.batch import BatchSimulator
from spicesim.own_code import require_trusted

__all__ = ["Difference", "Replay", "replay"]

_VOLATILE = {
    "seconds", "seconds_preparation", "seconds_per_product", "ngspice_seconds_per_product", "created", "cpu",
    "versions", "path", "memory", "processor_seconds",
}  # fmt: skip
"""Keys of what differs from run to run, and decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value that is another one now."""

    where: str
    """Its place in the document."""
    before: Any
    """What the document says."""
    after: Any
    """What the replay found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """A run again."""

    run: Run
    """What came out."""
    differences: tuple[Difference, ...]
    """What is not as it was; empty if every bit is."""
    surroundings: tuple[Difference, ...]
    """Versions and the processor, where they differ: another machine may round otherwise."""


def replay(
    path: str | Path,
    *,
    model: str | Path | None = None,
    data: str | Path | None = None,
    calibration: Calibration | str | Path | None = None,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> Replay:
    """Run a result again.

    Parameters
    ----------
    path : str or Path
        The document that ``spicesim infer --json`` or :meth:`Run.document` gave.
    model, data, calibration : str or Path, optional
        Where these lie now; by default where they lay, from the working folder. A calibration may be in memory.
    simulator, jobs, progress
        As for :func:`spicesim.experiment.run.run`.

    Raises
    ------
    SpecError
        If the document is no result of a plan, or model, data or calibration are not those that it names.
    SpiceSimError
        As the run.
    """
    document = read_json(Path(path), "result", "write one with: spicesim infer .. --json OUT.json")
    subject = document.get("subject")
    if not isinstance(document.get("plan"), dict) or not isinstance(subject, dict):
        raise SpecError(f"{path} holds no plan and subject, so it cannot be run again; it is of an older version")
    plan = make_plan(document["plan"], f"{path}: plan")
    for name in plan.own_code:
        require_trusted(name, str(path))
    found = {what: _place(path, subject, what, given) for what, given in (("model", model), ("data", data))}
    known: AnyCalibration
    if isinstance(calibration, Calibration):
        known = calibration
    else:
        known = found["calibration"] = _place(path, subject, "calibration", calibration)
        if known.endswith(".toml"):
            known = UncalibratedChip(load_chip(known))
    now = Subject.of(found["model"], found["data"], known, names=found)
    for what, one in now.document().items():
        if one["hash"] != subject[what].get("hash"):
            raise SpecError(
                f"{found.get(what, 'what was given')} is not the {what} of {path}: its hash is {one['hash']}, wanted "
                f"{str(subject[what].get('hash'))[:40]}; give the right one with --{what}"
            )
    run = run_subject(plan, now, simulator=simulator, jobs=jobs, progress=progress)
    after = run.document()
    first, second = (one.get("provenance", {}) for one in (document, after))
    around = [_pick(one, ("versions", "cpu")) for one in (first, second)]
    return Replay(
        run=run,
        differences=tuple(_compare(document, after, "", _VOLATILE)),
        surroundings=tuple(_compare(around[0], around[1], "", set())),
    )


def _place(path: str | Path, subject: dict[str, Any], what: str, given: str | Path | None) -> str:
    if given is not None:
        return str(given)
    entry = subject.get(what)
    place = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(place, str):
        raise SpecError(f"{path} does not say where its {what} lies; give --{what}")
    return place


def _pick(document: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: document.get(key) for key in keys} if isinstance(document, dict) else {}


def _compare(before: Any, after: Any, where: str, left_out: set[str]) -> Iterator[Difference]:
    """Yield what differs between two documents; lists and tuples are alike."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if key not in left_out:
                place = f"{where}.{key}" if where else str(key)
                yield from _compare(before.get(key), after.get(key), place, left_out)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _compare(old, new, f"{where}[{k}]", left_out)
    elif before != after:
        yield Difference(where=where, before=before, after=after)
