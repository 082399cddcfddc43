"""The ways to solve an array that a benchmark compares; each runs in a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats, Reals
from spicesim.bench.measurement import GEMM_BATCH, Measurement, matrix_product, median_seconds, peak_memory
from spicesim.bench.peers import NodalEquations, badcrossbar_currents, import_peer, ngspice_currents
from spicesim.bench.work import Work, make_work
from spicesim.cells import Cell, Linear
from spicesim.crossbar import Crossbar
from spicesim.crossbar.operating_point import Precision
from spicesim.fast.crossbar import FastCrossbar
from spicesim.fast.trial import measure
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["CONTENDERS", "Contender", "run_contender"]

CHEAP, FINE = 3e-4, 1e-4
"""Tolerances of the two settings of the fast tier, as fractions of full scale."""
TIMED = 64
"""Vectors by which the exact solver is timed."""
NGSPICE_VECTORS = 8
"""Vectors of a .dc analysis."""
ENOUGH = 20.0
"""Time after which a run of ngspice is not repeated [s]."""
TIMEOUT = 600.0
"""Longest run of ngspice [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way."""

    name: str
    """For the table."""
    linear: bool
    """Whether the cells are linear."""
    largest: int
    """Size beyond which it takes too long or too much memory."""
    run: Callable[[Work, int], "Found | None"]
    """Solves the work with a number of repeats; None if it is not installed."""
    bipolar: bool = False
    """Inputs of both signs."""
    threads: int = 1
    """Threads; a machine with fewer processors leaves it out."""
    install: str = ""
    """How to install what it needs, if it may be absent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a way found."""

    prepare: float | None = None
    """Preparation [s]."""
    vector: float | None = None
    """Time a vector [s]."""
    gemm: float | None = None
    """Time a vector of the matrix product, called in turn with it [s]."""
    currents: Reals
    """Of the first checks [A]."""
    note: str = ""
    """For the table."""
    ngspice: bool = False
    """Whether the memory is that of ngspice."""


def _timed(
    work: Work, repeats: int, run: Callable[[int], object], vectors: int, threads: int
) -> tuple[float, float, str]:
    """Time a way that takes a number of threads: a vector, a vector of the matrix product, and the gain by threads."""
    product = matrix_product(*work.array.shape)
    if threads == 1:
        seconds, gemm = median_seconds(lambda: run(1), product, repeats=repeats)
        return seconds / vectors, gemm / GEMM_BATCH, ""
    one, seconds, gemm = median_seconds(lambda: run(1), lambda: run(threads), product, repeats=repeats)
    return seconds / vectors, gemm / GEMM_BATCH, f"{one / seconds:.2f} times as fast as one thread"


def _exact(precision: Precision, threads: int = 1) -> Callable[[Work, int], Found]:
    def run(work: Work, repeats: int) -> Found:
        def solve(v: Floats, threads: int) -> Floats:
            return work.array.solve(v, precision=precision, threads=threads).currents

        batch = work.batch[: TIMED * threads]
        vector, gemm, note = _timed(work, repeats, lambda n: solve(batch, n), len(batch), threads)
        return Found(vector=vector, gemm=gemm, currents=solve(work.checks, threads), note=note)

    return run


def _fast(tolerance: float, threads: int = 1) -> Callable[[Work, int], Found]:
    def run(work: Work, repeats: int) -> Found:
        array = work.array

        def prepare() -> FastCrossbar:
            return FastCrossbar(array.changed(), tolerance=tolerance, v_range=work.v_range)

        (seconds,), fast = median_seconds(prepare, repeats=min(repeats, 3)), prepare()
        batch = work.batch.astype(np.float32)
        vector, gemm, note = _timed(work, repeats, lambda n: fast.currents(batch, n), len(batch), threads)
        currents = fast.currents(work.checks, threads)
        return Found(prepare=seconds, vector=vector, gemm=gemm, currents=currents, note=note or fast.form)

    return run


def _transfer_matrix(work: Work, repeats: int) -> Found:
    array = work.array

    def prepare() -> Crossbar:
        fresh = array.changed(cell=Linear())
        fresh.transfer_matrix()
        return fresh

    (seconds,), ready = median_seconds(prepare, repeats=min(repeats, 3)), prepare()
    batch = work.batch.astype(np.float32)

    def run() -> object:
        return ready.currents(batch, precision="single")

    vector, gemm = (t / GEMM_BATCH for t in median_seconds(run, matrix_product(*array.shape), repeats=repeats))
    currents = ready.currents(work.checks, precision="single")
    return Found(prepare=seconds, vector=vector, gemm=gemm, currents=currents, note="inputs and outputs in float32")


def _splu(work: Work, repeats: int) -> Found:
    equations = NodalEquations(work.array)
    (seconds,) = median_seconds(equations.transfer_matrix, repeats=min(repeats, 3))
    return Found(prepare=seconds, currents=work.checks @ equations.transfer_matrix().T, note="as a matrix")


def _chord(cholmod: bool) -> Callable[[Work, int], Found | None]:
    def run(work: Work, repeats: int) -> Found | None:
        if cholmod and import_peer("cvxopt.cholmod") is None:
            return None
        equations, array = NodalEquations(work.array), work.array
        factorise = equations.factor_cholmod if cholmod else equations.factor
        slopes = array.cell.slope(array.g, np.full(array.shape, 0.5 * work.v_range[1]))
        (prepare,), factor = median_seconds(lambda: factorise(slopes), repeats=min(repeats, 3)), factorise(slopes)
        (vector,) = median_seconds(lambda: equations.chord(factor, work.batch[0], 1e-7), repeats=min(repeats, 3))
        currents = np.stack([equations.chord(factor, v, 1e-7) for v in work.checks[:4]])
        return Found(prepare=prepare, vector=vector, currents=currents, note="to 1e-7 V")

    return run


def _ngspice(vectors: int) -> Callable[[Work, int], Found]:
    def run(work: Work, repeats: int) -> Found:
        simulator, times = BatchSimulator(timeout=TIMEOUT), list[float]()
        while len(times) < min(repeats, 3) and sum(times) < ENOUGH:
            currents, seconds = ngspice_currents(work.array, work.checks[:vectors], simulator)
            times.append(seconds)
        return Found(vector=float(np.median(times)) / vectors, currents=currents, ngspice=True, note="KLU, reltol 1e-6")

    return run


def _badcrossbar(work: Work, repeats: int) -> Found | None:
    currents = badcrossbar_currents(work.array, work.checks)
    if currents is None:
        return None
    (seconds,) = median_seconds(lambda: badcrossbar_currents(work.array, work.checks), repeats=1, least=0.0)
    return Found(vector=seconds / len(work.checks), currents=currents, note=f"batch {len(work.checks)}")


CONTENDERS = (
    Contender(name="spicesim, transfer matrix", linear=True, largest=1024, run=_transfer_matrix),
    Contender(name="scipy splu and a solve a row", linear=True, largest=256, run=_splu),
    Contender(
        name="badcrossbar",
        linear=True,
        largest=128,
        run=_badcrossbar,
        install="pip install pathvalidate sigfig && pip install --no-deps badcrossbar",
    ),
    Contender(name="ngspice .op", linear=True, largest=128, run=_ngspice(1)),
    Contender(name="spicesim fast, cheap", linear=False, largest=512, run=_fast(CHEAP)),
    Contender(name="spicesim fast, cheap, 2 threads", linear=False, largest=512, run=_fast(CHEAP, 2), threads=2),
    Contender(name="spicesim fast, fine", linear=False, largest=512, run=_fast(FINE)),
    Contender(name="spicesim fast, fine", linear=False, largest=512, run=_fast(FINE), bipolar=True),
    Contender(name="spicesim exact, single", linear=False, largest=512, run=_exact("single")),
    Contender(name="spicesim exact, single, 2 threads", linear=False, largest=512, run=_exact("single", 2), threads=2),
    Contender(name="spicesim exact, 1e-11", linear=False, largest=512, run=_exact("double")),
    Contender(name="chord Newton on splu", linear=False, largest=256, run=_chord(cholmod=False)),
    Contender(
        name="chord Newton on CHOLMOD",
        linear=False,
        largest=256,
        run=_chord(cholmod=True),
        install="pip install cvxopt",
    ),
    Contender(name="ngspice .dc, 8 vectors", linear=False, largest=128, run=_ngspice(NGSPICE_VECTORS)),
    Contender(name="ngspice .op", linear=False, largest=128, run=_ngspice(1)),
)
"""All ways, in the order of the table."""


def run_contender(number: int, size: int, cell: Cell | None, repeats: int) -> Measurement | None:
    """Run one of :data:`CONTENDERS` on arrays of one size; None if it is not installed.

    Parameters
    ----------
    number : int
        Which.
    size : int
        Rows and columns.
    cell : Cell, optional
        Law of nonlinear cells.
    repeats : int
        Least number of repeats.
    """
    contender = CONTENDERS[number]
    work = make_work(size, None if contender.linear else cell, bipolar=contender.bipolar)
    found = contender.run(work, repeats)
    if found is None:
        return None
    own, memory = peak_memory(), peak_memory(children=found.ngspice)
    gemm = found.gemm
    if gemm is None:
        gemm = median_seconds(matrix_product(size, size), repeats=repeats)[0] / GEMM_BATCH
    reference = work.reference(len(found.currents))
    largest, rms = measure(found.currents, reference, float(np.abs(reference).max()))
    return Measurement(
        name=contender.name,
        cells="linear" if contender.linear else "nonlinear",
        rows=size,
        columns=size,
        inputs=work.inputs,
        prepare_seconds=found.prepare,
        vector_seconds=found.vector,
        gemm_seconds=gemm,
        max_error=largest,
        rms_error=rms,
        memory=memory if not found.ngspice or memory > own else None,  # a child starts as large as its parent
        note=found.note,
    )
