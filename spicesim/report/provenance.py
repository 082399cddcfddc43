"""Who made the numbers: hashes, versions, seeds."""

from collections.abc import Mapping
from typing import Any

from spicesim.calibration.calibration import Calibration
from spicesim.report.page import Column, Facts, Section, Table

__all__ = ["calibration_facts", "provenance_section"]


def calibration_facts(calibration: Calibration) -> Facts:
    """Name the calibration."""
    return Facts(
        items=(
            ("chip", calibration.chip.name),
            ("chip hash", calibration.chip.hash),
            ("calibration hash", calibration.hash),
            ("calibrated", calibration.created[:16].replace("T", " ") + " UTC"),
            ("kind", "quick" if calibration.quick else "full"),
            ("seed", f"{calibration.seed}"),
            ("process", calibration.chip.process.name),
            ("ngspice", calibration.versions.get("ngspice", "unknown")),
            ("verdict", calibration.verdict.format() if calibration.verdict else "never checked on whole tiles"),
        )
    )


def provenance_section(versions: Mapping[str, str], run: Mapping[str, Any] | None = None) -> Section:
    """List the versions behind a calibration, and what a run says of itself."""

    def table(items: Mapping[str, Any], caption: str) -> Table:
        columns = (Column(title="name", text=True), Column(title="value"))
        return Table(caption=caption, columns=columns, rows=tuple(_flat(items)), wide=False)

    tables = [table(versions, "Versions behind the calibration.")]
    if run:
        tables.insert(0, table(run, "What the run says of itself."))
    return Section(anchor="provenance", title="Provenance", blocks=tuple(tables))


def _flat(items: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in items.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{name}.")
        else:
            rows.append((above + str(name), str(value)))
    return rows
