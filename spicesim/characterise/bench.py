"""Testbenches: the netlists that a data sheet needs, how it follows from their results, and what mismatch adds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.sheet import DataSheet, Entry, Panel, Spread
from spicesim.characterise.steps import Step, lengthen
from spicesim.chip import Chip
from spicesim.draws import ChipDraw
from spicesim.errors import SimulationError, SpecError
from spicesim.netlist.mismatch import same_device, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator, ngspice_version
from spicesim.ngspice.outcome import Results
from spicesim.provenance import versions
from spicesim.sampling import netlist_hash, run_all, run_each

__all__ = [
    "Bench",
    "Conditions",
    "Measurement",
    "Outcomes",
    "run_bench",
    "sample_draw",
    "sampled_netlists",
    "spread_entries",
    "waves",
]


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
    steps: Mapping[str, Step] = field(default_factory=dict)
    """Of the netlists whose answer to a step is simulated until it has settled."""
    one_device: bool = False
    """Whether blocks ``xdut_0``, ``xdut_1``, .. of a netlist stand for one device at different inputs."""
    extra: Callable[[Chip, "Conditions"], Measurement] | None = None
    """Measures what needs simulations one after the other, such as a search."""
    draw: Callable[[str, ChipDraw, float], Netlist] | None = None
    """Gives a netlist, by its name, the devices of a chip, and resistors that spread by so much; by default as
    :func:`spicesim.netlist.mismatch.with_mismatch`."""
    notes: tuple[str, ...] = ()
    """For the data sheet."""

    def drawn(self, name: str, chip: Chip, draw: ChipDraw, resistors: float = 0.0) -> Netlist:
        """Return one of its netlists with the devices of a drawn chip, as a sample of the mismatch has them."""
        if self.draw is not None:
            return self.draw(name, draw, resistors)
        own = same_device(draw) if self.one_device else draw
        return with_mismatch(self.netlists[name], chip.process, own, resistors=resistors)

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
    known: Mapping[str, Results | SimulationError] = field(default_factory=dict)
    """Outcomes by the hash of their netlist, which are not asked for again: those that failed."""

    def __post_init__(self) -> None:
        if self.samples < 0 or self.samples == 1:
            raise SpecError(f"a spread needs two samples at least, got {self.samples}; 0 leaves mismatch out")
        if not 0 <= self.resistors < 0.2:
            raise SpecError(f"the spread of resistors must lie in 0..0.2 of their value, got {self.resistors:g}")

    def run(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        """Simulate in parallel, taking from the cache what was simulated before."""
        return run_all(netlists, simulator=BatchSimulator(timeout=self.timeout), jobs=self.jobs, progress=label)

    def run_each(self, netlists: Sequence[Netlist], label: str) -> list[Results | SimulationError]:
        """Simulate as :meth:`run`, where what fails is an outcome, too."""
        simulator = BatchSimulator(timeout=self.timeout)
        if not self.known:
            return run_each(netlists, simulator=simulator, jobs=self.jobs, progress=label)
        digests = [netlist_hash(netlist) for netlist in netlists]
        new = [k for k, digest in enumerate(digests) if digest not in self.known]
        found = run_each([netlists[k] for k in new], simulator=simulator, jobs=self.jobs, progress=label)
        fresh = dict(zip(new, found, strict=True))
        return [fresh[k] if k in fresh else self.known[digest] for k, digest in enumerate(digests)]


class Outcomes(Mapping[str, Results]):
    """Results by the name of their netlist; to take that of a failed simulation raises its error."""

    def __init__(self, found: Mapping[str, Results | SimulationError]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Results:
        outcome = self._found[name]
        if isinstance(outcome, SimulationError):
            raise outcome
        return outcome

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def sample_draw(seed: int, sample: int) -> ChipDraw:
    """Return the numbers of one sample of the mismatch."""
    return ChipDraw(seed, str(sample))


def waves(results: Results) -> dict[str, Floats]:
    """Return the vectors of a simulation's first analysis as real numbers."""
    return {name: np.asarray(np.real(vector), dtype=float) for name, vector in results[0].vectors.items()}


def spread_entries(entries: Sequence[Entry], samples: Sequence[Mapping[str, Entry]]) -> tuple[Entry, ...]:
    """Add to each entry the spread of its values, where they vary, and how many samples failed."""
    result = []
    for entry in entries:
        drawn = [sample[entry.key] for sample in samples]
        every = tuple(found.value for found in drawn)
        values = np.array([value for value in every if np.isfinite(value)])
        if len(values) > 1 and (np.ptp(values) > 0 or len(values) < len(every)):
            spread = Spread(
                mean=float(values.mean()), sigma=float(values.std(ddof=1)), samples=len(values), values=every
            )
            entry = replace(entry, spread=spread)
        failed = [found.failure for found in drawn if found.failure]
        if failed and not entry.failure:
            entry = replace(entry, failure=f"{len(failed)} of {len(drawn)} samples: {failed[0]}")
        result.append(entry)
    return tuple(result)


def _simulate(bench: Bench, conditions: Conditions) -> dict[str, Results | SimulationError]:
    """Simulate the netlists of a testbench, those of steps until they have settled."""
    label = f"characterise {bench.block}"
    found = dict(zip(bench.netlists, conditions.run_each(list(bench.netlists.values()), label), strict=True))
    for name, step in bench.steps.items():
        for longer in lengthen(bench.netlists[name]):
            outcome = found[name]
            if isinstance(outcome, SimulationError) or not step.is_open(waves(outcome)):
                break
            (found[name],) = conditions.run_each([longer], f"{label}, longer")
    return found


def sampled_netlists(bench: Bench, chip: Chip, conditions: Conditions) -> list[Netlist]:
    """Return the netlists of all samples of the mismatch: the varied ones of the first, of the second, .."""
    draws = [sample_draw(conditions.seed, sample) for sample in range(conditions.samples)]
    return [bench.drawn(name, chip, draw, conditions.resistors) for draw in draws for name in bench.varied]


def _sample(
    bench: Bench, chip: Chip, conditions: Conditions, nominal: Mapping[str, Results | SimulationError]
) -> list[dict[str, Entry]]:
    """Measure every sample of the mismatch."""
    plan = sampled_netlists(bench, chip, conditions)
    outcomes: Sequence[Results | SimulationError]
    try:
        outcomes = conditions.run_each(plan, f"characterise {bench.block}, mismatch")
    except SimulationError as error:  # given up, for nearly all failed
        outcomes = [error] * len(plan)
    width = len(bench.varied)
    found = []
    for k in range(conditions.samples):
        own = dict(zip(bench.varied, outcomes[k * width : (k + 1) * width], strict=True))
        found.append({entry.key: entry for entry in bench.measure(Outcomes({**nominal, **own})).entries})
    return found


def run_bench(bench: Bench, chip: Chip, conditions: Conditions) -> DataSheet:
    """Simulate a testbench and make its data sheet.

    A quantity whose simulation fails, or that cannot be found in what came out, is an entry with its
    :attr:`~Entry.failure`; all others stand.

    Raises
    ------
    MissingDependencyError, StorageError
        As :func:`spicesim.sampling.run_each`.
    """
    nominal = _simulate(bench, conditions)
    measured = bench.measure(Outcomes(nominal))
    entries = measured.entries
    if conditions.samples:
        entries = spread_entries(entries, _sample(bench, chip, conditions, nominal))
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
        notes=bench.notes,
        provenance=versions(ngspice_version()),
    )
