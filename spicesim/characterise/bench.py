"""Testbenches: the netlists that a data sheet needs, how it follows from their results, and what mismatch adds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.mismatch import draw_normal, same_device, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.ngspice.outcome import Results
from spicesim.provenance import versions
from spicesim.sampling import run_all

__all__ = ["Bench", "Conditions", "Measurement", "run_bench", "spread_entries", "waves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one set of results says."""

    entries: tuple[Entry, ...]
    panels: tuple[Panel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A testbench."""

    block: str
    title: str
    netlists: Mapping[str, Netlist]
    """What to simulate, by name."""
    measure: Callable[[Mapping[str, Results]], Measurement]
    """Makes numbers of the results."""
    varied: tuple[str, ...] = ()
    """Names of the netlists that are simulated again for each sample of the mismatch."""
    one_device: bool = False
    """Whether blocks ``xdut_0``, ``xdut_1``, .. of a netlist stand for one device at different inputs."""
    extra: Callable[[Chip, "Conditions"], Measurement] | None = None
    """Measures what needs simulations one after the other, such as a search."""

    def run(self, chip: Chip, conditions: "Conditions") -> DataSheet:
        """Simulate it and make its data sheet; see :func:`run_bench`."""
        return run_bench(self, chip, conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How to run a testbench."""

    samples: int = 0
    """Samples of the mismatch; 0 for none."""
    seed: int = 0
    """Seed of the mismatch."""
    resistors: float = 0.0
    """Relative standard deviation of resistors [1]."""
    jobs: int | None = None
    """Simulations at a time; by default one a processor."""
    timeout: float = 300.0
    """Longest simulation [s]."""

    def __post_init__(self) -> None:
        if self.samples < 0 or self.samples == 1:
            raise SpecError(f"a spread needs two samples at least, got {self.samples}; 0 leaves mismatch out")
        if not 0 <= self.resistors < 0.2:
            raise SpecError(f"the spread of resistors must lie in 0..0.2 of their value, got {self.resistors:g}")

    def run(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        """Simulate in parallel, taking from the cache what was simulated before."""
        return run_all(netlists, simulator=BatchSimulator(timeout=self.timeout), jobs=self.jobs, progress=label)


def waves(results: Results) -> dict[str, npt.NDArray[np.float64]]:
    """Return the vectors of a simulation's first analysis as real numbers."""
    return {name: np.asarray(np.real(vector), dtype=float) for name, vector in results[0].vectors.items()}


def spread_entries(entries: Sequence[Entry], samples: Sequence[Mapping[str, float]]) -> tuple[Entry, ...]:
    """Add to each entry the spread of its values, where they vary."""
    result = []
    for entry in entries:
        values = np.array([sample[entry.key] for sample in samples])
        if np.ptp(values) > 0:
            spread = Spread(mean=float(values.mean()), sigma=float(values.std(ddof=1)), samples=len(values))
            entry = replace(entry, spread=spread)
        result.append(entry)
    return tuple(result)


def run_bench(bench: Bench, chip: Chip, conditions: Conditions) -> DataSheet:
    """Simulate a testbench and make its data sheet.

    Raises
    ------
    SimulationError, MissingDependencyError, StorageError
        As :func:`spicesim.sampling.run_all`.
    ValidityError
        If a quantity cannot be measured, because the block does not settle or has no linear range.
    """
    plan = list(bench.netlists.values())
    for sample in range(conditions.samples):
        draw = draw_normal(conditions.seed, sample)
        draw = same_device(draw) if bench.one_device else draw
        plan += [
            with_mismatch(bench.netlists[name], chip.process, draw, resistors=conditions.resistors)
            for name in bench.varied
        ]
    results = conditions.run(plan, f"characterise {bench.block}")
    nominal = dict(zip(bench.netlists, results, strict=False))
    measured = bench.measure(nominal)
    entries = measured.entries
    if conditions.samples:
        varied = results[len(nominal) :]
        width = len(bench.varied)
        samples = [
            {
                entry.key: entry.value
                for entry in bench.measure(
                    {**nominal, **dict(zip(bench.varied, varied[k * width : (k + 1) * width], strict=True))}
                ).entries
            }
            for k in range(conditions.samples)
        ]
        entries = spread_entries(entries, samples)
    panels = measured.panels
    if bench.extra is not None:
        more = bench.extra(chip, conditions)
        entries, panels = entries + more.entries, panels + more.panels
    return DataSheet(
        block=bench.block,
        title=bench.title,
        chip=chip.name,
        chip_hash=chip.hash,
        process=chip.process.name,
        temperature_c=chip.process.temperature_c,
        entries=entries,
        panels=panels,
        seed=conditions.seed if conditions.samples else None,
        provenance=versions(ngspice_version()),
    )
