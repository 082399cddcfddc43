"""Limits of data sheets: what a designer wants of a block, and whether it is so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import RootModel, model_validator

from spicesim.characterise.sheet import DataSheet, Entry
from spicesim.chip.section import Quantity, Section
from spicesim.errors import SpecError
from spicesim.files.documents import read_toml, validate

__all__ = ["SIGMAS", "Limit", "Limits", "Verdict", "judge", "load_limits"]

SIGMAS = 3.0
"""Of mismatch, by which a quantity that has been drawn must keep off its limits."""


class Limit(Section):
    """What one quantity may be, in the unit of its data sheet."""

    min: Quantity | None = None
    """Least."""
    max: Quantity | None = None
    """Most."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a limit has min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min:g} is above max = {self.max:g}")
        return self

    def margin(self, value: float) -> float:
        """Return how far a value is within; negative outside, not finite values are as far as can be."""
        if not np.isfinite(value):
            return -np.inf
        ends = [] if self.min is None else [value - self.min]
        return float(min(ends if self.max is None else [*ends, self.max - value]))


class Limits(RootModel[dict[str, dict[str, Limit]]]):
    """Limits by block and by the quantity's key in JSON."""

    def of_block(self, block: str) -> Mapping[str, Limit]:
        """Return those of a block.

        Raises
        ------
        SpecError
            If there are none.
        """
        if block not in self.root:
            raise SpecError(f"no limits of {block!r}; there are some of: {', '.join(self.root) or 'nothing'}")
        return self.root[block]

    def of(self, sheet: DataSheet) -> Mapping[str, Limit]:
        """Return those of a data sheet's block.

        Raises
        ------
        SpecError
            If there are none, or the sheet has no such quantity.
        """
        found = self.of_block(sheet.block)
        keys = [entry.key for entry in sheet.entries]
        if unknown := [key for key in found if key not in keys]:
            raise SpecError(f"{sheet.block} has no quantity {unknown[0]!r} to limit; there are: {', '.join(keys)}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One quantity, at its worst, and its limit."""

    key: str
    """Of the quantity."""
    limit: Limit
    """What it may be."""
    entry: Entry
    """Where it is worst."""
    value: float
    """The worst, spread included."""
    where: str
    """Process, temperature and supply there."""

    @property
    def is_met(self) -> bool:
        """Whether the limit holds everywhere."""
        return self.limit.margin(self.value) >= 0

    @property
    def words(self) -> str:
        """The limit in words."""
        ends = [("at least", self.limit.min), ("at most", self.limit.max)]
        return ", ".join(f"{word} {self.entry.format_value(end)}" for word, end in ends if end is not None)


def judge(sheets: Sequence[tuple[str, DataSheet]], limits: Limits, *, spread: bool = True) -> list[Verdict]:
    """Find the worst of every limited quantity.

    Parameters
    ----------
    sheets : sequence of str and DataSheet
        Of one block, with where each was measured.
    limits : Limits
        What is wanted.
    spread : bool
        Whether drawn samples count, by :data:`SIGMAS`; a quantity known by its spread alone counts by its mean if not.

    Raises
    ------
    SpecError
        As :meth:`Limits.of`.
    """
    sigmas = SIGMAS if spread else 0.0
    verdicts = []
    for key, limit in limits.of(sheets[0][1]).items():
        found: list[tuple[float, float, Entry, str]] = []
        for where, sheet in sheets:
            entry = sheet.entry(key)
            values = [entry.value]
            if entry.spread is not None and (spread or not np.isfinite(entry.value)):
                mean, reach = entry.spread.mean, sigmas * entry.spread.sigma
                values = [mean - reach, mean + reach, *(values if np.isfinite(entry.value) else [])]
            value = min(values, key=limit.margin)
            found.append((limit.margin(value), value, entry, where))
        _, value, entry, where = min(found, key=lambda one: one[0])
        verdicts.append(Verdict(key=key, limit=limit, entry=entry, value=value, where=where))
    return verdicts


def load_limits(path: str | Path) -> Limits:
    """Read limits from a TOML file: ``[sense_amplifier]``, ``settling = { max = "2u" }``.

    Raises
    ------
    SpecError
        If there is no such file, or it holds something else.
    """
    return validate(Limits, read_toml(Path(path), "limits", "see: spicesim characterise --help"), str(path))
