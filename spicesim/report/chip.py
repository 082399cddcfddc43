"""The section on what a chip is."""

import re
from typing import Any

from spicesim.calibration.realism import HEADINGS, describe_realism
from spicesim.chip import Chip, ModelFile
from spicesim.chip import Section as ChipSection
from spicesim.report.numbers import quantity
from spicesim.report.page import Column, Section, Table

__all__ = ["chip_section"]

_UNIT = re.compile(r"\s*\[([^\]]+)\]")
_PREFIXED = {"V", "A", "S", "ohm", "F", "m"}
_SHOWN = {"degree Celsius": "°C", "1/V": "V⁻¹"}


def _format_value(value: Any, unit: str) -> str:
    if isinstance(value, tuple):
        return ", ".join(_format_value(entry, unit) for entry in value) or "none"
    if isinstance(value, ModelFile):
        return value.path + (f", section {value.section}" if value.section else "")
    if isinstance(value, float) and unit in _PREFIXED:
        return quantity(value, unit)
    if isinstance(value, float):
        return f"{value:g} {_SHOWN.get(unit, unit)}".rstrip()
    return f"{value} {unit}".rstrip()


def chip_section(chip: Chip) -> Section:
    """Describe a chip, every key with its meaning."""
    tables = [
        Table(
            caption="What is real and what is ideal, piece by piece: in the netlist of a tile, and in each aspect of "
            "its calibrated model.",
            columns=tuple(Column(title=word, text=True) for word in HEADINGS),
            rows=tuple(tuple(getattr(piece, word) for word in HEADINGS) for piece in describe_realism(chip)),
        )
    ]
    for name, part in chip:
        if not isinstance(part, ChipSection):
            continue
        rows = []
        for key, meaning in part.meanings().items():
            unit = found[1] if (found := _UNIT.search(meaning)) else ""
            rows.append((f"{name}.{key}", _UNIT.sub("", meaning).rstrip("."), _format_value(getattr(part, key), unit)))
        about_part = (type(part).__doc__ or "").splitlines()[0]
        columns = (Column(title="key", text=True), Column(title="meaning", text=True), Column(title="value"))
        tables.append(Table(caption=about_part, columns=columns, rows=tuple(rows)))
    return Section(
        anchor="chip",
        title="The chip",
        text=f"Everything in this report belongs to the description of {chip.name} with hash {chip.hash}.",
        blocks=tuple(tables),
    )
