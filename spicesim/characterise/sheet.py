"""Data sheets: what was measured of a block, with units and conditions."""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import chdtri, stdtrit

from spicesim.arrays import Floats
from spicesim.bound import CONFIDENCE
from spicesim.errors import SimulationError, SpecError, ValidityError
from spicesim.files import write_text
from spicesim.units import format_si

__all__ = ["DataSheet", "Entry", "Panel", "Spread", "draw_panels", "entry", "write_sheet"]

Number = float | np.floating[Any]

_FAILURES = (SimulationError, SpecError, ValidityError)
"""What a measurement fails by: its simulation, or what came out of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What mismatch makes of a quantity."""

    mean: float
    sigma: float
    """Standard deviation over the samples."""
    samples: int
    """Those that could be measured."""
    values: tuple[float, ...] = ()
    """Of all samples in their order, NaN where one could not be measured; empty where they were not kept."""

    @property
    def mean_interval(self) -> tuple[float, float]:
        """Where the mean of all chips lies, with the confidence of bounds; by Student's t."""
        half = float(stdtrit(self.samples - 1, (1 + CONFIDENCE) / 2)) * self.sigma / self.samples**0.5
        return self.mean - half, self.mean + half

    @property
    def sigma_interval(self) -> tuple[float, float]:
        """Where the standard deviation of all chips lies, if they spread normally; by chi-squared."""
        free, tail = self.samples - 1, (1 - CONFIDENCE) / 2
        low, high = (float(self.sigma * (free / chdtri(free, share)) ** 0.5) for share in (tail, 1 - tail))
        return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One measured quantity."""

    key: str
    """Its name in JSON, such as "r_out"."""
    text: str
    """Its name for people."""
    value: float
    """Without mismatch, in `unit`; not finite where it is known by its spread only."""
    unit: str
    """SI unit, or "LSB", "%", "deg", "dB"."""
    condition: str = ""
    """Under which it was measured."""
    spread: Spread | None = None
    failure: str = ""
    """Why it could not be measured, or not of every sample; empty if it could."""

    @property
    def remark(self) -> str:
        """Its condition, and what failed."""
        return "; ".join(part for part in (self.condition, self.failure and f"FAILED: {self.failure}") if part)

    def format_value(self, number: float) -> str:
        """Format a number in the entry's unit."""
        if not np.isfinite(number):
            return "-"
        if self.unit in {"", "LSB", "%", "deg", "bit", "dB"}:
            return f"{number:.4g} {self.unit}".rstrip()
        return format_si(number, self.unit)


def entry(
    key: str,
    text: str,
    value: Number | Callable[[], Number | Spread],
    unit: str,
    condition: str | Callable[[], str] = "",
) -> Entry:
    """Measure one quantity; if that fails, the entry says why, and no other is touched.

    Parameters
    ----------
    key, text, unit : str
        As :class:`Entry` has them.
    value : float or callable
        The quantity, or what measures it. A curve that never gets where it is read gives NaN, which is a failure, too.
    condition : str or callable
        The condition, or what finds it after the value was measured.
    """
    try:
        found = value() if callable(value) else value
        said = condition() if callable(condition) else condition
    except _FAILURES as error:
        said = "" if callable(condition) else condition
        return Entry(key=key, text=text, value=float("nan"), unit=unit, condition=said, failure=str(error))
    if isinstance(found, Spread):
        return Entry(key=key, text=text, value=float("nan"), unit=unit, condition=said, spread=found)
    failure = "" if np.isfinite(found) else "what was simulated does not reach where it is read"
    return Entry(key=key, text=text, value=float(found), unit=unit, condition=said, failure=failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Curves that share axes."""

    title: str
    x: Floats
    x_label: str
    curves: Mapping[str, Floats]
    """By legend; each of the shape of x."""
    y_label: str
    logarithmic: bool = False
    """Whether x is drawn on a logarithmic scale."""


def draw_panels(*makers: Callable[[], Panel]) -> tuple[Panel, ...]:
    """Make the panels whose curves could be measured; of the others the entries say why not."""
    panels = []
    for make in makers:
        with contextlib.suppress(*_FAILURES):
            panels.append(make())
    return tuple(panels)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """All that was measured of one block."""

    block: str
    title: str
    chip: str
    chip_hash: str
    process: str
    temperature_c: float
    entries: tuple[Entry, ...]
    panels: tuple[Panel, ...] = ()
    seed: int | None = None
    """Of the mismatch; None without."""
    notes: tuple[str, ...] = ()
    """What a reader should know of it."""
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> float:
        return self.entry(key).value

    def entry(self, key: str) -> Entry:
        """Return the entry of that key."""
        return next(found for found in self.entries if found.key == key)

    @property
    def failures(self) -> tuple[Entry, ...]:
        """The quantities that could not be measured, or not of every sample."""
        return tuple(found for found in self.entries if found.failure)

    def to_json(self) -> str:
        """Format as JSON, curves included."""
        document: dict[str, Any] = {
            "schema_version": 1,
            "block": self.block,
            "title": self.title,
            "chip": self.chip,
            "chip_hash": self.chip_hash,
            "process": self.process,
            "temperature_c": self.temperature_c,
            "seed": self.seed,
            **({"notes": list(self.notes)} if self.notes else {}),
            "quantities": {
                found.key: {
                    "text": found.text,
                    "value": found.value if np.isfinite(found.value) else None,
                    "unit": found.unit,
                    "condition": found.condition,
                    **({} if found.spread is None else {"spread": _spread_json(found.spread)}),
                    **({"failure": found.failure} if found.failure else {}),
                }
                for found in self.entries
            },
            "curves": [
                {
                    "title": panel.title,
                    "x_label": panel.x_label,
                    "y_label": panel.y_label,
                    "x": panel.x.tolist(),
                    "curves": {name: curve.tolist() for name, curve in panel.curves.items()},
                }
                for panel in self.panels
            ],
            "provenance": dict(self.provenance),
        }
        return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _spread_json(spread: Spread) -> dict[str, Any]:
    """Return a spread as JSON has it: no number is null."""
    document = asdict(spread)
    if not spread.values:
        return {name: value for name, value in document.items() if name != "values"}
    intervals = {"mean_interval": spread.mean_interval, "sigma_interval": spread.sigma_interval}
    return {**document, **intervals, "values": [v if np.isfinite(v) else None for v in spread.values]}


def write_sheet(sheet: DataSheet, path: str | Path) -> None:
    """Write a data sheet as JSON, atomically."""
    write_text(path, sheet.to_json())
