"""The space of a study: keys of the chip and of the run, and the values that each may take."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from spicesim.chip.section import Section
from spicesim.errors import SpecError
from spicesim.units import parse_quantity

__all__ = ["MOST_POINTS", "Axis", "Point", "Value", "apart", "grid_points", "keys_of", "label", "show"]

MOST_POINTS = 100_000
"""Points of a grid at most."""

Value = bool | int | float | str | tuple[int | float | str, ...]
Point = dict[str, Any]
"""By the name of its axis, the value of a point."""


def _number(value: Any) -> Any:
    return parse_quantity(value) if isinstance(value, str) else value


Number = Annotated[int | float, BeforeValidator(_number), Field(allow_inf_nan=False)]


class Axis(Section):
    """The values of a key, or of several that have one value: a list, or a range."""

    choices: tuple[Value, ...] | None = Field(default=None, min_length=1, max_length=1000)
    """The values."""
    low: Number | None = None
    """Least value of a range."""
    high: Number | None = None
    """Largest value of a range."""
    step: Number | None = None
    """Between values of a range.  [default: 1 of integers, none of others]"""
    log: bool = False
    """Whether ratios count, and not differences."""
    points: int | None = Field(default=None, ge=2, le=1000)
    """Values that a grid takes of a range."""
    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    """The axis is there only where others, which stand before it, have one of these values."""

    @model_validator(mode="before")
    @classmethod
    def _accept_list(cls, data: Any) -> Any:
        """Take a bare list for the choices, and in conditions a bare value for a list of one."""
        if isinstance(data, list | tuple):
            return {"choices": data}
        if isinstance(data, dict) and isinstance(data.get("when"), dict):
            listed = {k: v if isinstance(v, list | tuple) else [v] for k, v in data["when"].items()}
            return {**data, "when": listed}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.points) != (None,) * 4 or self.log:
                raise ValueError("give either choices, or a range from low to high")
            if len({label(value) for value in self.choices}) < len(self.choices):
                raise ValueError("choices must differ from each other")
            return self
        if self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("an axis is a list of values, or a range {low = .., high = ..} with low below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a range with log = true begins above 0 and has no step")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step:g}")
        return self

    def __contains__(self, value: object) -> bool:
        """Whether a value is one of the choices, or within the range."""
        if self.choices is not None:
            return label(value) in map(label, self.choices)
        return isinstance(value, int | float) and self.low is not None and self.low <= value <= (self.high or value)

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers."""
        numbers = self.choices if self.choices is not None else (self.low, self.high, self.step or 1)
        return all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)

    @property
    def largest(self) -> Value:
        """The largest value; of what has no order, the last one."""
        if self.choices is None:
            assert self.high is not None
            return self.high
        numbers = [value for value in self.choices if isinstance(value, int | float)]
        return max(numbers) if len(numbers) == len(self.choices) else self.choices[-1]

    def holds(self, point: Point) -> bool:
        """Whether a point, as far as it is known, has this axis."""
        return all(name in point and label(point[name]) in map(label, words) for name, words in self.when.items())

    def values(self, name: str) -> tuple[Value, ...]:
        """Return the values that a grid takes.

        Raises
        ------
        SpecError
            If it is a range of which nobody said how many.
        """
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        if self.points is None and (self.is_integer or self.step is not None):
            step = self.step or 1
            count = int(np.floor((self.high - self.low) / step * (1 + 1e-12))) + 1
            if count > MOST_POINTS:
                raise SpecError(f"space.{name}: a grid takes {count} values of it; give a larger step, or points = 5")
            return tuple(self.low + k * step for k in range(count))
        if self.points is None:
            raise SpecError(f"space.{name}: a grid needs to know how many values of the range; add points = 5")
        spread = np.geomspace if self.log else np.linspace
        found = spread(self.low, self.high, self.points)
        return tuple(dict.fromkeys(round(float(v)) if self.is_integer else float(f"{v:.6g}") for v in found))

    def suggest(self, trial: Any, name: str) -> Value:
        """Return the value that a trial of optuna takes."""
        if self.choices is not None:
            by_label = {label(value): value for value in self.choices}
            return by_label[trial.suggest_categorical(name, list(by_label))]
        if self.is_integer:
            chosen: Value = trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
            return chosen
        found = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return float(f"{found:.6g}") if self.step is None else float(found)


def keys_of(name: str) -> tuple[str, ...]:
    """Return the keys of an axis: one, or several with commas between that share their value."""
    return tuple(part.strip() for part in name.split(","))


def label(value: Any) -> str:
    """Return a value as text, other values being other texts."""
    return json.dumps(value)


def show(value: Any) -> str:
    """Return a value as people write it."""
    return value if isinstance(value, str) else json.dumps(value)


def grid_points(space: Mapping[str, Axis]) -> Iterator[Point]:
    """Yield every point of a grid once, the last axis varying fastest.

    Raises
    ------
    SpecError
        If there are more than :data:`MOST_POINTS`, or a range has no number of values.
    """
    values = {name: axis.values(name) for name, axis in space.items()}
    if (count := np.prod([len(found) for found in values.values()], dtype=float)) > MOST_POINTS:
        raise SpecError(f"the grid has {count:.3g} points, {MOST_POINTS} at most are tried; take search = 'tpe'")
    seen = set()
    for chosen in itertools.product(*values.values()):
        point: Point = {}
        for (name, axis), value in zip(space.items(), chosen, strict=True):
            if axis.holds(point):
                point[name] = value
        if (key := json.dumps(point)) not in seen:
            seen.add(key)
            yield point


def apart(points: Iterable[tuple[int, Point]], jobs: int) -> Iterator[tuple[int, Point]]:
    """Order numbered points so that processes at work at once do not make the same tiles ready.

    Points that differ in their converters alone share tiles: the first makes them, others find them. As many such
    groups as there are processes stand side by side, and no more, as not all tiles of a study are kept.

    Parameters
    ----------
    points : iterable of (int, dict)
        The points.
    jobs : int
        Processes.
    """
    groups = defaultdict(list)
    for place, point in points:
        arrays = [
            (axis, label(value)) for axis, value in point.items()
            if not all(key.startswith("adc.") for key in keys_of(axis))
        ]  # fmt: skip
        groups[tuple(arrays)].append((place, point))
    rows = list(groups.values())
    for k in range(0, len(rows), jobs):
        for together in itertools.zip_longest(*rows[k : k + jobs]):
            yield from (own for own in together if own is not None)
