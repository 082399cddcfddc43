"""Ngspice's binary raw files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.errors import SimulationError

__all__ = ["Plot", "read_raw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The vectors of one analysis."""

    name: str
    """Ngspice's name, such as "Operating Point"."""
    vectors: dict[str, npt.NDArray[np.inexact[Any]]]
    """One array of shape (points,) a variable, by its lower-case name."""

    @property
    def points(self) -> int:
        """Points of the analysis."""
        return min((len(vector) for vector in self.vectors.values()), default=0)


def read_raw(path: Path) -> list[Plot]:
    """Read all plots of a binary raw file, in the order they stand there.

    Raises
    ------
    SimulationError
        If the file is not a whole binary raw file.
    """
    data = path.read_bytes()
    plots: list[Plot] = []
    start = 0
    while start < len(data):
        marker = data.find(b"Binary:\n", start)
        if marker < 0:
            raise SimulationError(f"{path} is no binary raw file of ngspice")
        plot, start = _read_plot(path, data, data[start:marker].decode(errors="replace"), marker + 8)
        plots.append(plot)
    return plots


def _read_plot(path: Path, data: bytes, header: str, start: int) -> tuple[Plot, int]:
    fields: dict[str, str] = {}
    names: list[str] = []
    lines = iter(header.splitlines())
    for line in lines:
        key, _, value = line.partition(":")
        if key == "Variables":
            names = [words[1].lower() for words in map(str.split, lines) if len(words) > 1]
        else:
            fields[key] = value.strip()
    try:
        points, count = int(fields["No. Points"]), int(fields["No. Variables"])
        dtype: np.dtype[np.inexact[Any]] = np.dtype("<c16" if "complex" in fields["Flags"] else "<f8")
        name = fields["Plotname"]
    except (KeyError, ValueError):
        raise SimulationError(f"{path} has a damaged header") from None
    if points < 0 or count < 1 or len(set(names)) != count:
        raise SimulationError(
            f"{path} has a damaged header: {count} variables, named {len(set(names))}, {points} points"
        )
    end = start + points * count * dtype.itemsize
    if end > len(data):
        raise SimulationError(f"{path} is cut short: {count} variables x {points} points do not fit")
    table = np.frombuffer(data[start:end], dtype).reshape(points, count)
    return Plot(name=name, vectors={n: table[:, k].copy() for k, n in enumerate(names)}), end
