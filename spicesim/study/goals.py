"""Goals of a study: numbers of a run, which of them to raise or to lower, and limits on them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from spicesim.chip.section import Quantity, Section
from spicesim.errors import SpecError
from spicesim.experiment.footprint import Footprint
from spicesim.experiment.run import Run
from spicesim.own_code import is_own, load_own

__all__ = ["NUMBERS", "Goal", "Number", "Reading", "dominates", "read_goals", "values_of"]


class Goal(Section):
    """What is wanted of a number."""

    direction: Literal["max", "min"]
    """Whether more is better, or less."""
    least: Quantity | None = None
    """Points with less are not taken."""
    most: Quantity | None = None
    """Points with more are not taken."""

    @model_validator(mode="before")
    @classmethod
    def _accept_word(cls, data: Any) -> Any:
        return {"direction": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least = {self.least:g} lies above most = {self.most:g}")
        return self

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less."""
        return 1 if self.direction == "max" else -1

    def violation(self, value: float) -> float:
        """Return by how much a value is beyond the limits, not above 0 if it is within."""
        beyond = [-np.inf if self.least is None else self.least - value]
        beyond.append(-np.inf if self.most is None else value - self.most)
        return float(max(beyond))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number of a run."""

    value: float
    """The number."""
    low: float | None = None
    """Where its interval begins, if it has one."""
    high: float | None = None
    """Where it ends."""

    def document(self) -> dict[str, float | None]:
        """Return it as plain data, ready for JSON."""
        return asdict(self)


def values_of(readings: Mapping[str, Reading]) -> dict[str, float]:
    """Return numbers by name, without their intervals."""
    return {name: reading.value for name, reading in readings.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that runs have."""

    title: str
    """What it is."""
    unit: str
    """Its unit; empty of a pure number."""
    read: Callable[[Run], Reading]
    """Takes it from a run."""
    costs: bool = False
    """Whether it needs energy, time and area."""
    is_of_inputs: bool = False
    """Whether other inputs give another."""


def _accuracy(run: Run) -> Reading:
    accuracies = run.accuracies
    if accuracies is None:
        raise SpecError("the goal accuracy needs labels: the data need y, one class an input")
    mean = float(accuracies.mean())
    low, high = run.interval or run.first.interval(mean)
    return Reading(value=mean, low=low, high=high)


def _worst(run: Run) -> Reading:
    accuracies = run.accuracies
    if accuracies is None:
        raise SpecError("the goal accuracy_worst needs labels: the data need y, one class an input")
    worst = float(accuracies.min())
    low, high = run.first.interval(worst)
    return Reading(value=worst, low=low, high=high)


def _metric(run: Run) -> Reading:
    if run.first.verdict is None:
        raise SpecError("the goal metric needs one: add metric = 'package.module:Name' to [run]")
    found = [one.verdict.analog for one in run.experiments if one.verdict is not None]
    first = found[0]
    return Reading(value=float(np.mean([one.value for one in found])), low=first.low, high=first.high)


def _least_snr(run: Run) -> Reading:
    return Reading(value=float(min(layer.snr_db for one in run.experiments for layer in one.result.stats.layers)))


def _tiles(run: Run) -> Reading:
    return Reading(value=float(sum(layer.own_tiles for layer in run.network.layers)))


def _cost(read: Callable[[Footprint], float], error: Callable[[Footprint], float] | None = None) -> Any:
    def take(run: Run) -> Reading:
        footprint = run.findings.footprint
        assert footprint is not None
        value = read(footprint)
        if error is None:
            return Reading(value=value)
        reach = 1.96 * error(footprint)
        return Reading(value=value, low=value - reach, high=value + reach)

    return take


NUMBERS: dict[str, Number] = {
    "accuracy": Number(title="accuracy, mean of chips", unit="", read=_accuracy, is_of_inputs=True),
    "accuracy_worst": Number(title="accuracy of the worst chip", unit="", read=_worst, is_of_inputs=True),
    "metric": Number(title="your metric, mean of chips", unit="", read=_metric, is_of_inputs=True),
    "error": Number(
        title="error of the first output over its size, worst chip", unit="", is_of_inputs=True,
        read=lambda run: Reading(value=float(run.logit_errors.max())),
    ),
    "snr": Number(title="least signal to noise of a layer", unit="dB", read=_least_snr, is_of_inputs=True),
    "tiles": Number(title="arrays", unit="", read=_tiles),
    "energy": Number(
        title="energy an inference", unit="J", costs=True,
        read=_cost(lambda found: found.total_energy, lambda found: found.standard_error),
    ),
    "latency": Number(title="latency of an inference", unit="s", costs=True, read=_cost(lambda found: found.latency)),
    "interval": Number(
        title="time between inferences, pipelined", unit="s", costs=True, read=_cost(lambda found: found.interval)
    ),
    "area": Number(
        title="area of all arrays", unit="m^2", costs=True, read=_cost(lambda found: sum(found.area.values()))
    ),
    "tops_per_watt": Number(
        title="operations for an energy", unit="1e12/J", costs=True, read=_cost(lambda found: found.tops_per_watt)
    ),
    "tops": Number(title="operations in a time", unit="1e12/s", costs=True, read=_cost(lambda found: found.tops)),
}  # fmt: skip
"""Numbers that can be goals, by name."""


def read_goals(run: Run, goals: Mapping[str, Goal]) -> dict[str, Reading]:
    """Return the goals of a run, and of what costs were estimated all others, too.

    Raises
    ------
    SpecError
        If a number is not there, or a function of the user's own fails or returns none that is finite.
    """
    found = {}
    for name in goals:
        found[name] = NUMBERS[name].read(run) if name in NUMBERS else _read_own(name, run)
        if not np.isfinite(found[name].value):
            raise SpecError(f"the goal {name!r} is {found[name].value:g}, not a finite number")
    if run.findings.footprint is not None:
        found = {name: one.read(run) for name, one in NUMBERS.items() if one.costs} | found
    if run.accuracies is not None:
        found = {"accuracy": _accuracy(run)} | found
    return found


def _read_own(name: str, run: Run) -> Reading:
    assert is_own(name)
    function = load_own(name)
    try:
        return Reading(value=float(function(run)))
    except Exception as error:  # it is the user's, and may raise anything
        text = " ".join(str(error).split())[:200]
        raise SpecError(
            f"the goal {name!r} fails: {type(error).__name__}: {text}; it is called with a run and returns a number"
        ) from error


def dominates(one: Mapping[str, float], other: Mapping[str, float], goals: Mapping[str, Goal]) -> bool:
    """Whether one point is nowhere worse than another, and somewhere better."""
    ahead = [goal.sign * (one[name] - other[name]) for name, goal in goals.items()]
    return min(ahead) >= 0 and max(ahead) > 0
