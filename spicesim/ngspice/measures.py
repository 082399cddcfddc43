"""What ngspice prints of the measures of a netlist: numbers by name, and of the others why not."""

import re

import numpy as np

from spicesim.errors import quote
from spicesim.netlist.measured import MEASURE_PREFIX, MEASURED, MeasuredNetlist
from spicesim.ngspice.rawfile import Plot

__all__ = ["read_measures"]

_VALUE = re.compile(rf"^{MEASURE_PREFIX}(\w+)\s*=\s*(\S+)", re.IGNORECASE)
_FAILED = re.compile(r"^\s*\.meas(?:ure)?\s+\w+\s+(\w+)\s.*failed!", re.IGNORECASE)
_NAMED = re.compile(r"^\s*Error: measure\s+(\w+)\s+(.*)", re.IGNORECASE)
_NO_VECTOR = re.compile(r"^\s*Error: no such vector as\s+(.*?)\.?\s*$", re.IGNORECASE)


def read_measures(netlist: MeasuredNetlist, output: str) -> tuple[list[Plot] | None, dict[str, str], str]:
    """Find the measures of a run in what ngspice printed.

    Returns
    -------
    plots : list of Plot, or None
        One plot of one number a measure, NaN where it found none; None if there is no trace of any.
    remarks : dict of str to str
        Why a measure found nothing, by name.
    rest : str
        What was printed without what concerns single measures.
    """
    values: dict[str, float] = {}
    failed: set[str] = set()
    reasons: dict[str, str] = {}
    lines, missing = [], []
    for line in output.splitlines():
        if found := _VALUE.match(line):
            values[found[1].lower()] = _number(found[2])
        elif found := _FAILED.match(line):
            failed.add(found[1].lower())
        elif found := _NAMED.match(line):
            reasons[found[1].lower()] = " ".join(found[2].split())
        elif found := _NO_VECTOR.match(line):
            missing.append(found[1].lower())
        else:
            lines.append(line)
    if not values and not failed:
        return None, {}, "\n".join(lines)
    remarks = {}
    for measure in netlist.measures:
        if np.isfinite(values.get(measure.name, np.nan)):
            continue
        task = re.sub(r"\s", "", measure.task.lower())
        gone = next((vector for vector in missing if re.sub(r"\s", "", vector) in task), "")
        said = f"there is no {gone}" if gone else reasons.get(measure.name, "ngspice found no number")
        remarks[measure.name] = f".measure {measure.name}: {quote(said)[1:-1]}"
    plot = Plot(
        name=MEASURED, vectors={name: np.array([values.get(name, np.nan)]) for name in netlist.probes}
    )  # fmt: skip
    return [plot], remarks, "\n".join(lines)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
