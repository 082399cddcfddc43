"""The table of published macros: what is in the package's data file, read and checked."""

from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import Field

from spicesim.behavioural.arrays import Model
from spicesim.files.documents import read_toml, validate

__all__ = ["Group", "Macro", "Point", "published_macros"]


class Point(Model):
    """What a macro does at one choice of bits."""

    input_bits: float = Field(gt=0)
    """Of an input."""
    output_bits: float = Field(gt=0)
    """Of an output, as it is converted."""
    mode: str = ""
    """What else was chosen."""
    supply: float | None = Field(None, gt=0)
    """Supply, where it is not the macro's [V]."""
    tops: float | None = Field(None, gt=0)
    """Operations in a time, all cores [1e12/s]."""
    tops_per_watt: float | None = Field(None, gt=0)
    """Operations for an energy [1e12/J]."""
    tops_per_mm2: float | None = Field(None, gt=0)
    """Operations in a time by area [1e12/s/mm^2]."""
    energy: dict[str, float] = Field(default_factory=dict)
    """Of an operation by block [J]."""
    adc_energy: float | None = Field(None, gt=0)
    """Of a conversion [J]."""


class Group(Model):
    """Blocks of a macro and of ours that do the same work."""

    name: str
    """What they do."""
    theirs: tuple[str, ...]
    """Names in the energies of its points."""
    ours: tuple[str, ...]
    """Names of blocks of a tile."""


class Macro(Model):
    """A macro as it was published."""

    name: str
    """What it is called."""
    title: str
    """Of the paper."""
    source: str
    """Authors, journal, DOI or arXiv."""
    held: str
    """Where its numbers were read; the data file says what the words mean."""
    made: str
    """Silicon, or a design."""
    ours: str = ""
    """Preset of the same kind; empty where there is none."""
    node: float | None = Field(None, gt=0)
    """Technology [m]."""
    supply: float | None = Field(None, gt=0)
    """Supply [V]."""
    cell: str
    """What holds a weight, and how it is read."""
    rows: int | None = Field(None, gt=0)
    """Of an array."""
    columns: int | None = Field(None, gt=0)
    """Of an array."""
    cores: int | None = Field(None, gt=0)
    """Arrays."""
    weight_bits: float | None = Field(None, gt=0)
    """Of a weight."""
    cells_a_weight: int | None = Field(None, gt=0)
    """Cells that a weight takes, where that is held."""
    core_area: float | None = Field(None, gt=0)
    """Of a core [m^2]."""
    snr_db: tuple[float, float] | None = None
    """Compute SNR, least and most [dB]."""
    accuracy: dict[str, float] = Field(default_factory=dict)
    """Measured accuracy by task, 0 to 1."""
    groups: tuple[Group, ...] = ()
    """Which of its blocks stand beside which of ours."""
    note: str
    """What else is to be known."""
    points: tuple[Point, ...]
    """By bits."""

    def density(self, point: Point) -> float | None:
        """Return operations in a time by area, as published or of the cores' area [1e12/s/mm^2]; None if not held."""
        if point.tops_per_mm2 is not None or not (point.tops and self.cores and self.core_area):
            return point.tops_per_mm2
        return point.tops / (1e6 * self.cores * self.core_area)


class _Table(Model):
    macro: tuple[Macro, ...]


@cache
def published_macros() -> tuple[Macro, ...]:
    """Return the published macros, in the order of the data file."""
    path = Path(str(resources.files("spicesim").joinpath("published", "data", "macros.toml")))
    return validate(_Table, read_toml(path, "table of macros", "install spicesim again"), str(path)).macro
