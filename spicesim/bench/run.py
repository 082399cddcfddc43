"""The benchmark as a whole."""

import dataclasses
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from spicesim.bench.contenders import CONTENDERS, run_contender
from spicesim.bench.measurement import Measurement, in_own_process
from spicesim.bench.mlp import NetworkMeasurement, run_network
from spicesim.cells import Cell
from spicesim.ngspice.batch import ngspice_version
from spicesim.provenance import cpu_name, now, versions

__all__ = ["Benchmark", "find_left_out", "run_benchmark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """All measurements of one run, one thread each unless their names say otherwise."""

    cpu: str
    """The processor."""
    created: str
    """When, UTC."""
    versions: dict[str, str]
    """Of everything that took part."""
    measurements: tuple[Measurement, ...]
    """One a way and size."""
    network: NetworkMeasurement | None
    """The network, if it was run."""
    left_out: tuple[str, ...] = ()
    """What was not run, and why."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


def run_benchmark(
    sizes: Sequence[int],
    cell: Cell,
    *,
    repeats: int = 5,
    peers: bool = True,
    network: bool = True,
    progress: bool = False,
) -> Benchmark:
    """Time every way of solving arrays of some sizes.

    Parameters
    ----------
    sizes : sequence of int
        Rows, and columns, of the arrays.
    cell : Cell
        Law of the nonlinear cells.
    repeats : int
        Least number of repeats, of which the median counts.
    peers : bool
        Whether others are run, too: ngspice, scipy, CHOLMOD, badcrossbar.
    network : bool
        Whether the network is run.
    progress : bool
        Whether to show a bar with the remaining time.

    Raises
    ------
    SimulationError, MissingDependencyError
        If ngspice fails or is missing.
    """
    processors = len(os.sched_getaffinity(0))
    chosen = [
        number
        for number, contender in enumerate(CONTENDERS)
        if contender.threads <= processors and (peers or contender.name.startswith("spicesim"))
    ]
    work = [(number, size) for size in sizes for number in chosen if size <= CONTENDERS[number].largest]
    measurements, absent = list[Measurement](), set[int]()
    bar = tqdm(
        work, desc="benchmark", unit="row", disable=not progress, leave=False,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )  # fmt: skip
    for number, size in bar:
        contender = CONTENDERS[number]
        bar.set_postfix_str(f"{contender.name}, {size}x{size}")
        found = in_own_process(run_contender, number, size, None if contender.linear else cell, repeats)
        if found is None:
            absent.add(number)
        else:
            measurements.append(found)
    return Benchmark(
        cpu=cpu_name(),
        created=now(),
        versions=versions(ngspice_version() if peers else "not run"),
        measurements=tuple(measurements),
        network=in_own_process(run_network, repeats) if network else None,
        left_out=find_left_out(max(sizes), chosen, absent, processors),
    )


def find_left_out(size: int, chosen: Sequence[int], absent: Collection[int], processors: int) -> tuple[str, ...]:
    """Say what was not run up to a size: too slow above another size, not installed, or for want of processors."""
    found = [f"{c.name}: not installed; {c.install}" for c in (CONTENDERS[number] for number in sorted(absent))]
    slow: dict[int, dict[str, None]] = {}
    for contender in (CONTENDERS[number] for number in chosen if number not in absent):
        if contender.largest < size:
            slow.setdefault(contender.largest, {})[contender.name] = None  # once, in the order of the table
    found += [f"above {n}x{n}, where they take too long or too much memory: {', '.join(slow[n])}" for n in sorted(slow)]
    if processors < max(contender.threads for contender in CONTENDERS):
        found.append(f"two threads: {processors} processor available")
    return tuple(found)
