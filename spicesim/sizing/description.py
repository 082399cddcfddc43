"""The description of a sizing: the block, what may change of it, and what its data sheet must hold; a TOML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from spicesim.characterise import BLOCKS, Place, places
from spicesim.characterise.limits import Limit
from spicesim.chip import CORNERS, PRESETS, Chip, load_chip, preset
from spicesim.chip.section import Quantity, Section
from spicesim.errors import SpecError, quote
from spicesim.files.documents import read_toml, validate
from spicesim.sizing.text import read_size, write_sizes

__all__ = ["Range", "Sizing", "load_sizing"]

CHIP = "chip."
"""What names of sizes begin with that are keys of the chip."""
DIGITS = 3
"""Significant digits of sizes: no mask has more."""


class Range(Section):
    """Between what a size may lie; it is drawn evenly over its logarithm."""

    low: Quantity = Field(gt=0)
    """Least."""
    high: Quantity = Field(gt=0)
    """Most."""
    whole: bool = False
    """Whether it is a whole number, such as a count of fingers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        return self

    def take(self, value: float) -> float:
        """Return the nearest value that it has."""
        inside = min(max(value, self.low), self.high)
        return float(round(inside)) if self.whole else float(f"{inside:.{DIGITS}g}")


class Sizing(Section):
    """A sizing, whole."""

    schema_version: Literal[1] = 1
    """Version of this file's format."""
    block: str = "opamp"
    """The block, as spicesim characterise names it; its subcircuit has the same name."""
    chip: str = "gf180-1t1r"
    """The chip, a description or a preset."""
    corners: tuple[str, ...] = ("typical", "ff", "ss", "fs", "sf")
    """Corners of the process at which limits must hold."""
    temperatures: tuple[float, ...] = ()
    """Temperatures at which they must [C]; by default the chip's own."""
    trials: int = Field(default=60, ge=1, le=100_000)
    """Circuits to try."""
    seed: int = Field(default=0, ge=0)
    """Of the search."""
    minimise: str | None = None
    """A quantity of the data sheet to make small once all limits hold; by default the search ends there."""
    limits: dict[str, Limit] = Field(min_length=1)
    """What quantities of the data sheet may be."""
    sizes: dict[str, Range] = Field(min_length=1)
    """What may change: "m1.w" of the subcircuit, "cc" of its parameters, "chip.sense_amplifier.drive" of the chip;
    commas give several one value."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.block not in BLOCKS:
            raise ValueError(f"no block {quote(self.block)}; there are: {', '.join(BLOCKS)}")
        if wrong := [corner for corner in self.corners if corner not in CORNERS]:
            raise ValueError(f"no corner {quote(wrong[0])}; there are: {', '.join(CORNERS)}")
        return self

    @property
    def places(self) -> list[Place]:
        """Where the data sheet is measured, the first as a sample of all."""
        return places(self.corners, self.temperatures)

    def start(self, chip: Chip) -> dict[str, float]:
        """Return the sizes that a chip has; of several with one value those of the first.

        Raises
        ------
        SpecError
            If there is no such size, or the testbench sets the parameter by itself.
        """
        text, found = chip.library_text(f"{self.block}.cir"), dict[str, float]()
        calls = [line for netlist in BLOCKS[self.block].bench(chip).netlists.values() for line in _calls(netlist.body)]
        for name in self.sizes:
            for key in _keys(name):
                if key.startswith(CHIP):
                    value: object = chip
                    for part in key.removeprefix(CHIP).split("."):
                        value = getattr(value, part, None)
                    if isinstance(value, bool) or not isinstance(value, int | float):
                        raise SpecError(f"sizes: the chip has no number {quote(key.removeprefix(CHIP))}")
                else:
                    if "." not in key and any(f" {key}=" in line for line in calls):
                        raise SpecError(
                            f"sizes: {key} is set by what calls {self.block}, from the chip; give the chip's key, "
                            f"such as {CHIP}sense_amplifier.bias_current"
                        )
                    value = read_size(text, self.block, key)
                found.setdefault(name, float(value))
        return found

    def place(self, chip: Chip, sizes: Mapping[str, float]) -> Chip:
        """Return the chip with other sizes.

        Raises
        ------
        SpecError
            If there is no such chip.
        """
        inner, outer = dict[str, float](), dict[str, object]()
        for name, value in sizes.items():
            for key in _keys(name):
                if key.startswith(CHIP):
                    outer[key.removeprefix(CHIP)] = value
                else:
                    inner[key] = value
        changed = chip.changed(outer) if outer else chip
        if not inner:
            return changed
        file = f"{self.block}.cir"
        own = {} if chip.library is None else dict(chip.library.files)
        own[file] = write_sizes(chip.library_text(file), self.block, inner)
        path = "" if chip.library is None else chip.library.path
        return changed.changed(library={"path": path, "files": tuple(sorted(own.items()))})


def _keys(name: str) -> list[str]:
    return [key.strip() for key in name.split(",")]


def _calls(body: str) -> list[str]:
    return [line.lower() for line in body.splitlines() if line[:1].lower() == "x"]


def load_sizing(path: str | Path) -> tuple[Sizing, Chip]:
    """Read a sizing from a TOML file, and its chip; paths in it begin at its folder.

    Raises
    ------
    SpecError
        If there is no such file, it is no sizing, or sizes nothing that there is.
    """
    file = Path(path)
    sizing = validate(Sizing, read_toml(file, "sizing", "see: spicesim size --help"), str(file))
    chip = preset(sizing.chip) if sizing.chip in PRESETS else load_chip(file.parent / sizing.chip)
    sizing.start(chip)
    return sizing, chip
