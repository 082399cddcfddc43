"""A data sheet over process, voltage and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from tqdm import tqdm

from spicesim.characterise.bench import Bench, Conditions, sampled_netlists
from spicesim.characterise.catalogue import Block
from spicesim.characterise.sheet import DataSheet
from spicesim.chip import Chip
from spicesim.errors import SimulationError
from spicesim.ngspice.outcome import Results
from spicesim.sampling import netlist_hash

__all__ = ["Place", "matrix_rows", "measure_all", "measure_matrix", "places"]


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

    @property
    def options(self) -> str:
        """What commands call it."""
        named = {"corner": self.corner, "temperature": self.temperature_c, "supply": self.supply}
        return "".join(f" --{name} {value}" for name, value in named.items() if value is not None)

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
    return measure_all([(where, there, block.bench(there)) for where, there in chips], conditions, progress=progress)


def measure_all(
    wanted: Sequence[tuple[str, Chip, Bench]], conditions: Conditions, *, progress: bool = False
) -> list[tuple[str, DataSheet]]:
    """Run testbenches, each of its own chip, with where it is; all that can run at once does."""
    if len(wanted) > 1:
        conditions = replace(conditions, known=_failures(wanted, conditions))
    bar = tqdm(wanted, unit="sheet", desc="data sheets", disable=None if progress and len(wanted) > 1 else True)
    return [(where, bench.run(there, conditions)) for where, there, bench in bar]


def _failures(
    wanted: Sequence[tuple[str, Chip, Bench]], conditions: Conditions
) -> dict[str, Results | SimulationError]:
    """Simulate all testbenches at once; results are kept where each finds its own, failures are returned."""
    netlists = {
        netlist_hash(netlist): netlist
        for _, there, bench in wanted
        for netlist in [*bench.netlists.values(), *sampled_netlists(bench, there, conditions)]
    }
    try:
        outcomes = conditions.run_each(list(netlists.values()), "characterise")
    except SimulationError:  # given up, for nearly all failed; each place says how
        return {}
    return {k: found for k, found in zip(netlists, outcomes, strict=True) if isinstance(found, SimulationError)}


def matrix_rows(sheets: Sequence[tuple[str, DataSheet]]) -> list[list[str]]:
    """Return, of every quantity, the least and the largest over a matrix, and where they are."""
    rows = []
    for entry in sheets[0][1].entries:
        found = [(own.entry(entry.key).value, where) for where, own in sheets]
        known = [(value, where) for value, where in found if np.isfinite(value)]
        low, high = (min(known), max(known)) if known else ((float("nan"), ""), (float("nan"), ""))
        rows.append([entry.text, entry.format_value(low[0]), low[1], entry.format_value(high[0]), high[1]])
    return rows
