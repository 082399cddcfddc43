"""Stacks of arrays and what they share, as a frozen description; its table in a TOML file is [stacks]."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spicesim.chip.section import NonNegative, Positive, Section
from spicesim.errors import SpecError
from spicesim.files.documents import read_toml, validate

__all__ = ["Stacks", "load_stacks", "read_table"]

Count = Annotated[int, Field(ge=1, le=10**9)]


class Stacks(Section):
    """Arrays above each other, over one set of drivers and amplifiers, and what all stacks share.

    One tier of a stack is active at a time. Times and energies of products are the calibration's; those of this
    description are assumptions, whose defaults stand for a 180 nm process at 3.3 V.
    """

    tiers: Count = 4
    """Arrays of a stack that holds experts; all other tiles have a stack of one tier each."""
    t_tier: NonNegative = 20e-9
    """Time of a change of tier, before the product [s]."""
    e_tier: NonNegative = 30e-12
    """Energy of a change of tier [J]: gates of 256 selectors and their lines, 10 fF each, at 3.3 V."""
    converters: Count | None = None
    """Banks of converters that all stacks share, each as many as a tile has; a product holds one from its change of
    codes to its last conversion. By default one a stack."""
    digital_units: Count = 8
    """Digital units, which scale and add up what converters give."""
    digital_rate: Positive = 16e9
    """Operations of a unit in a time [1/s], one a converted column; 1e30 takes no time."""
    digital_energy: NonNegative = 1e-12
    """Energy of an operation [J]."""
    memory_channels: Count = 4
    """Channels to the memory of activations."""
    memory_rate: Positive = 8e9
    """Bytes of a channel in a time [1/s]; 1e30 takes no time."""
    memory_energy: NonNegative = 5e-12
    """Energy of a byte, there or back [J]."""
    in_flight: Count = 8
    """Tokens, or inputs, that are under way at a time: of texts that do not wait for each other."""

    def changed(self, **fields: object) -> "Stacks":
        """Return the description with other fields, validated.

        Raises
        ------
        SpecError
            If a field is unknown or its value impossible.
        """
        return validate(Stacks, {**self.model_dump(), **fields}, "stacks")


def load_stacks(path: str | Path) -> Stacks:
    """Read a TOML file with one table, [stacks].

    Raises
    ------
    SpecError
        If the file is not there, is no TOML, has no such table, or does not describe possible stacks.
    """
    return validate(Stacks, read_table(path, "stacks"), f"{path}, [stacks]")


def read_table(path: str | Path, name: str) -> dict[str, Any]:
    """Read the one table that a TOML file has.

    Raises
    ------
    SpecError
        If the file is not there, is no TOML, or has other tables.
    """
    data = read_toml(Path(path), "description", f"write one with a table [{name}]")
    if set(data) != {name} or not isinstance(data[name], dict):
        raise SpecError(f"{path}: one table [{name}] is wanted, got {', '.join(sorted(data)) or 'nothing'}")
    return dict(data[name])
