"""What share of chips holds its limits, by the chips that were drawn, and the worst of these by its number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.bound import share_interval
from spicesim.characterise.limits import Limit, Limits
from spicesim.characterise.sheet import DataSheet, Entry

__all__ = ["LimitYield", "Yield", "find_yields", "least_yield", "least_yields"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitYield:
    """How many drawn chips hold one limit."""

    entry: Entry
    limit: Limit
    samples: int
    passed: int
    worst: int
    """Number of the sample that keeps least within."""
    value: float
    """Of that sample; NaN if it could not be measured."""

    @property
    def excess(self) -> float:
        """By how much that sample is out, in standard deviations; negative within."""
        return -self.limit.margin(self.value) / ((self.entry.spread.sigma if self.entry.spread else 0.0) or 1.0)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all chips lies, by Clopper and Pearson."""
        return share_interval(self.passed, self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """How many drawn chips hold all limits at one place."""

    where: str
    """Process, temperature and supply."""
    seed: int
    samples: int
    passed: int
    limits: tuple[LimitYield, ...]
    worst: int
    """Number of the sample that keeps least within its limits, each in standard deviations of its quantity."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "where": self.where, "seed": self.seed, "samples": self.samples, "passed": self.passed,
            "interval": list(self.interval), "worst_sample": self.worst,
            "limits": {
                own.entry.key: {"passed": own.passed, "interval": list(own.interval), "worst_sample": own.worst}
                for own in self.limits
            },
        }  # fmt: skip

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all chips lies, by Clopper and Pearson."""
        return share_interval(self.passed, self.samples)


def find_yields(sheets: Sequence[tuple[str, DataSheet]], limits: Limits) -> list[Yield]:
    """Count the drawn chips that hold their limits, place by place; none where no chips were drawn.

    A sample in which a limited quantity could not be measured holds no limit. A quantity that does not vary has its
    value in all samples.

    Raises
    ------
    SpecError
        As :meth:`Limits.of`.
    """
    yields = []
    for where, sheet in sheets:
        wanted = limits.of(sheet)
        samples = max((len(found.spread.values) for found in sheet.entries if found.spread), default=0)
        if not samples or sheet.seed is None:
            continue
        parts, holds, distances = [], np.ones(samples, dtype=bool), []
        for key, limit in wanted.items():
            entry = sheet.entry(key)
            values = _values(entry, samples)
            margins = np.array([limit.margin(value) for value in values])
            worst = int(np.argmin(margins))
            parts.append(
                LimitYield(
                    entry=entry, limit=limit, samples=samples, passed=int((margins >= 0).sum()), worst=worst,
                    value=float(values[worst]),
                )
            )  # fmt: skip
            holds &= margins >= 0
            distances.append(margins / ((entry.spread.sigma if entry.spread else 0.0) or 1.0))
        yields.append(
            Yield(
                where=where, seed=sheet.seed, samples=samples, passed=int(holds.sum()), limits=tuple(parts),
                worst=int(np.argmin(np.min(distances, axis=0))),
            )
        )  # fmt: skip
    return yields


def least_yields(yields: Sequence[Yield]) -> list[tuple[str, str, LimitYield | Yield]]:
    """Return, of every limit and of all together, the place with the fewest chips that hold it.

    Returns
    -------
    list of str, str, and LimitYield or Yield
        What is limited, where, and how many hold it there; those of all limits last.
    """
    rows: list[tuple[str, str, LimitYield | Yield]] = []
    for k in range(len(yields[0].limits)):
        least = min(yields, key=lambda one: (one.limits[k].passed, -one.limits[k].excess))
        rows.append((least.limits[k].entry.text, least.where, least.limits[k]))
    least = least_yield(yields)
    return [*rows, ("all limits", least.where, least)]


def least_yield(yields: Sequence[Yield]) -> Yield:
    """Return that of the place with the fewest chips that hold all limits; of several, where one is furthest out."""
    return min(yields, key=lambda one: (one.passed, -max(part.excess for part in one.limits)))


def _values(entry: Entry, samples: int) -> Floats:
    """Return a quantity of all samples."""
    if entry.spread is not None and len(entry.spread.values) == samples:
        return np.array(entry.spread.values)
    return np.full(samples, np.nan if entry.failure else entry.value)
