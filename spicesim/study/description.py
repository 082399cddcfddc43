"""The description of a study: what is run, what may change, what is wanted; a TOML file, which is data.

Names in it are held against those that there are, and code of the user's own runs only if its file is trusted.
"""

import hashlib
import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from spicesim.chip import PRESETS, Chip, load_chip, preset
from spicesim.chip.change import list_keys
from spicesim.chip.section import Section
from spicesim.errors import SpecError, quote
from spicesim.experiment.plan import MappingPlan, RunPlan, make_plan
from spicesim.files.documents import read_toml, validate
from spicesim.own_code import is_own, require_trusted
from spicesim.study.goals import NUMBERS, Goal
from spicesim.study.space import Axis, Point, Value, grid_points, keys_of

__all__ = ["Study", "load_study", "make_study"]

_BY_ITSELF = ("audit", "macros", "explain", "energy", "skip")
"""Fields of a run that a study sets by itself."""
_FILES = ("library", "process", "name", "schema_version")
"""Keys of a chip that name files, or nothing that acts."""


class Study(Section):
    """A study, whole."""

    schema_version: Literal[1] = 1
    """Version of this file's format."""
    network: str
    """The network, an ONNX file."""
    data: str
    """Its data, a .npz file, as for spicesim infer."""
    chip: str = "gf180-1t1r"
    """The chip, a description or a preset; an axis called chip has others in its place."""
    search: Literal["grid", "random", "tpe", "nsga2"] = "grid"
    """grid: all points; random: any; tpe: where a model of good and bad points sees good ones; nsga2: by evolution."""
    points: int | None = Field(default=None, ge=1, le=1_000_000)
    """Points to try; of a grid all."""
    seed: int = Field(default=0, ge=0)
    """Of the search."""
    start: tuple[dict[str, Value], ...] = Field(default=(), max_length=1000)
    """Points that a search tries first, each with some axes' values; the others are drawn."""
    screen: int | None = Field(default=None, ge=1)
    """Try the engine ideal on the first so many inputs before; points that cannot reach the least accuracy stop."""
    quick: bool = False
    """Whether chips are calibrated with fewer points."""
    audit: int = Field(default=8, ge=1)
    """Products of each point of the front that are done again in ngspice."""
    audit_images: int = Field(default=20, ge=1)
    """Inputs of the run that these products are drawn from."""
    unseen: int | None = Field(default=None, ge=1)
    """Run points of the front, and the chip as it is described, on as many inputs more, which no choice depends on."""
    goals: dict[str, Goal] = Field(min_length=1)
    """What is wanted: numbers of a run, or functions of your own of a run, package.module:Name."""
    space: dict[str, Axis] = Field(min_length=1)
    """What may change: keys of the chip, of the run (run.mapping.signs), or chip; several with commas between."""
    run: RunPlan = RunPlan(engine="fast")
    """What all runs share; by default engine = fast."""

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Refuse unknown names with the nearest one, and fill in the engine."""
        if not isinstance(data, dict):
            return data
        _require_known(data, cls.model_fields, "a study")
        for name, table in _tables(data.get("space")):
            _require_known(table, Axis.model_fields, f"space.{name}")
        for name, table in _tables(data.get("goals")):
            _require_known(table, Goal.model_fields, f"goals.{name}")
        run = data.get("run", {})
        if isinstance(run, dict):
            _require_known(run, RunPlan.model_fields, "run")
            if isinstance(run.get("mapping"), dict):
                _require_known(run["mapping"], MappingPlan.model_fields, "run.mapping")
            data = {**data, "run": {"engine": "fast"} | run}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.goals:
            if name not in NUMBERS and not is_own(name):
                raise ValueError(f"no goal {quote(name)}; {_near(name, NUMBERS)}, or package.module:Name")
        if set(_BY_ITSELF) & self.run.model_fields_set:
            raise ValueError(f"a study sets {', '.join(_BY_ITSELF)} of a run by itself; leave them out of [run]")
        before: list[str] = []
        taken: dict[str, str] = {}
        for name, axis in self.space.items():
            for key in keys_of(name):
                if key in taken:
                    raise ValueError(f"the key {key!r} is in two axes, {taken[key]!r} and {name!r}")
                taken[key] = name
            if unknown := [other for other in axis.when if other not in before]:
                raise ValueError(
                    f"space.{name}: when asks for {unknown[0]!r}, which is no axis before it; there are: "
                    f"{', '.join(before) or 'none'}"
                )
            before.append(name)
        if self.unseen is not None and self.run.images is None:
            raise ValueError("unseen inputs come after those of the run: add images = N to [run], or leave unseen out")
        if self.start and self.search == "grid":
            raise ValueError(
                "start is where a search begins, and a grid tries all; leave it out, or take another search"
            )
        for point in self.start:
            for name, value in point.items():
                if name not in self.space:
                    raise ValueError(f"start: no axis {quote(name)}; {_near(name, self.space)}")
                if value not in self.space[name]:
                    raise ValueError(f"start: {quote(value)} is no value of the axis {name!r}")
        return self

    @property
    def costs(self) -> bool:
        """Whether a goal needs energy, time and area."""
        return any(NUMBERS[name].costs for name in self.goals if name in NUMBERS)

    @property
    def own_code(self) -> tuple[str, ...]:
        """Names of code of the user's own, wherever they stand."""
        words = [name for name in self.goals if is_own(name)]
        for axis in self.space.values():
            words += [word for word in axis.choices or () if isinstance(word, str) and is_own(word)]
        return tuple(dict.fromkeys((*words, *self.run.own_code)))

    @property
    def hash(self) -> str:
        """Of all that decides what a point gives, and which points are tried in which order."""
        content = self.model_dump(mode="json", exclude={"points", "audit", "audit_images", "unseen"})
        content["order"] = list(self.space)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def bases(self, folder: Path) -> dict[str, Chip]:
        """Return the chips that points begin with, by their names in the study.

        Raises
        ------
        SpecError
            If one is no chip, or code that one names is not trusted.
        """
        axis = self.space.get("chip")
        words = [self.chip, *(() if axis is None else axis.choices or ())]
        return {str(word): _open(str(word), folder) for word in words}

    def place(self, point: Point, bases: dict[str, Chip]) -> tuple[Chip, RunPlan]:
        """Return the chip and the run of a point.

        Raises
        ------
        SpecError
            If there is no such chip or run.
        """
        chip_keys: dict[str, Any] = {}
        run: dict[str, Any] = self.run.document()
        for name, value in point.items():
            if name == "chip":
                continue
            for key in keys_of(name):
                if key.startswith("run.mapping."):
                    run["mapping"] = {**run.get("mapping", {}), key.removeprefix("run.mapping."): value}
                elif key.startswith("run."):
                    run[key.removeprefix("run.")] = value
                else:
                    chip_keys[key] = value
        base = bases[str(point.get("chip", self.chip))]
        return base.changed(chip_keys) if chip_keys else base, make_plan(run, "run")


def make_study(document: dict[str, Any], source: str = "study") -> Study:
    """Make a study of plain data.

    Raises
    ------
    SpecError
        Saying where it is wrong.
    """
    return validate(Study, document, source, "see: spicesim explore --help")


def load_study(path: str | Path) -> Study:
    """Read a study from a TOML file; paths in it begin at its folder.

    Raises
    ------
    SpecError
        If there is no such file, it is no study, or names code that is not trusted.
    """
    file = Path(path)
    document = read_toml(file, "study", "see: spicesim explore --help")
    for key in ("network", "data"):
        if isinstance(document.get(key), str):
            document[key] = str((file.parent / document[key]).resolve())
    study = make_study(document, str(file))
    for name in study.own_code:
        require_trusted(name, str(file))
    check_keys(study, study.bases(file.parent))
    if study.search == "grid":
        next(grid_points(study.space))
    return study


def check_keys(study: Study, bases: dict[str, Chip]) -> None:
    """Refuse axes of keys that no chip and no run has.

    Raises
    ------
    SpecError
        Saying the nearest one.
    """
    chip_keys = {key for chip in bases.values() for key in list_keys(chip) if key.partition(".")[0] not in _FILES}
    run_keys = {f"run.{name}" for name in RunPlan.model_fields if name not in (*_BY_ITSELF, "mapping")}
    run_keys |= {f"run.mapping.{name}" for name in MappingPlan.model_fields}
    for name in study.space:
        for key in keys_of(name):
            if key.partition(".")[0] in _FILES:
                raise SpecError(f"space: {key!r} is no key to explore, as it names files; put it into the chip")
            if name == "chip" or key in chip_keys or key in run_keys:
                continue
            raise SpecError(f"space: unknown key {quote(key)}; {_near(key, chip_keys | run_keys | {'chip'})}")


def _open(word: str, folder: Path) -> Chip:
    if word in PRESETS:
        return preset(word)
    if not word.endswith(".toml"):
        raise SpecError(f"no chip {quote(word)}; {_near(word, PRESETS)}, or give a description's file, CHIP.toml")
    return load_chip(folder / word)


def _tables(value: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(k, v) for k, v in value.items() if isinstance(v, dict)] if isinstance(value, dict) else []


def _require_known(data: dict[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in data:
        if key not in names:
            raise ValueError(f"unknown key {quote(key)} of {where}; {_near(key, names)}")


def _near(word: str, names: Iterable[str]) -> str:
    """Say which name is nearest to a word."""
    listed = sorted(names)
    near = get_close_matches(word, listed, n=1)
    return f"the nearest is {near[0]!r}" if near else f"there are: {', '.join(listed[:20])}"
