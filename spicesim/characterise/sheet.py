"""Data sheets: what was measured of a block, with units and conditions."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.files import write_text
from spicesim.units import format_si

__all__ = ["DataSheet", "Entry", "Panel", "Spread", "entry", "write_sheet"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What mismatch makes of a quantity."""

    mean: float
    sigma: float
    """Standard deviation over the samples."""
    samples: int


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
    """SI unit, or "LSB", "%", "deg"."""
    condition: str = ""
    """Under which it was measured."""
    spread: Spread | None = None

    def format_value(self, number: float) -> str:
        """Format a number in the entry's unit."""
        if not np.isfinite(number):
            return "-"
        if self.unit in {"", "LSB", "%", "deg", "bit"}:
            return f"{number:.4g} {self.unit}".rstrip()
        return format_si(number, self.unit)


def entry(key: str, text: str, value: float, unit: str, condition: str = "") -> Entry:
    """Return an entry without a spread."""
    return Entry(key=key, text=text, value=float(value), unit=unit, condition=condition)


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
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> float:
        return self.entry(key).value

    def entry(self, key: str) -> Entry:
        """Return the entry of that key."""
        return next(found for found in self.entries if found.key == key)

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
            "quantities": {
                found.key: {
                    "text": found.text,
                    "value": found.value if np.isfinite(found.value) else None,
                    "unit": found.unit,
                    "condition": found.condition,
                    **({} if found.spread is None else {"spread": asdict(found.spread)}),
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


def write_sheet(sheet: DataSheet, path: str | Path) -> None:
    """Write a data sheet as JSON, atomically."""
    write_text(path, sheet.to_json())
