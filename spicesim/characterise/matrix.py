"""A data sheet over process, voltage and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from tqdm import tqdm

from spicesim.characterise.bench import Conditions
from spicesim.characterise.catalogue import Block
from spicesim.characterise.sheet import DataSheet
from spicesim.chip import Chip

__all__ = ["Place", "measure_matrix", "places"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One corner of all: None where the chip's own counts."""

    corner: str | None = None
    temperature_c: float | None = None
    supply: float | None = None

    def chip(self, chip: Chip) -> Chip:
        """Return a chip there; its reference stays where it is."""
        there = chip.at(corner=self.corner, temperature_c=self.temperature_c)
        return there if self.supply is None else there.changed(process={"supply": self.supply})

    def words(self, chip: Chip) -> str:
        """Say where it is."""
        there = self.chip(chip).process
        corner = self.corner or there.name.rpartition(", ")[2]
        return f"{corner}, {there.temperature_c:g} C, {there.supply:g} V"


def places(
    corners: Sequence[str] = (), temperatures: Sequence[float] = (), supplies: Sequence[float] = ()
) -> list[Place]:
    """Return all combinations; what is not given is the chip's own."""
    own: tuple[None] = (None,)
    return [
        Place(corner=corner, temperature_c=temperature, supply=supply)
        for corner, temperature, supply in product(corners or own, temperatures or own, supplies or own)
    ]


def measure_matrix(
    block: Block, chip: Chip, wanted: Sequence[Place], conditions: Conditions, *, progress: bool = False
) -> list[tuple[str, DataSheet]]:
    """Measure a block everywhere; what was simulated before comes from the cache.

    Parameters
    ----------
    block : Block
        What to measure.
    chip : Chip
        Of it.
    wanted : sequence of Place
        Where.
    conditions : Conditions
        How.
    progress : bool
        Whether to show progress on stderr.

    Returns
    -------
    list of str and DataSheet
        Where, in words, and the sheet.

    Raises
    ------
    SpecError
        If a corner, a temperature or a supply cannot be.
    """
    chips = [(place.words(chip), place.chip(chip)) for place in wanted]  # all are refused before any is measured
    bar = tqdm(chips, unit="sheet", desc="data sheets", disable=None if progress and len(chips) > 1 else True)
    return [(where, block.bench(there).run(there, conditions)) for where, there in bar]
