"""Engines by the words that users say."""

from spicesim.calibration.calibration import Calibration
from spicesim.engine.exact import ExactEngine
from spicesim.engine.fast import FastEngine
from spicesim.engine.ideal import IdealEngine
from spicesim.engine.protocol import Engine
from spicesim.engine.transistor import NgspiceEngine
from spicesim.errors import SpecError
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["build_engine"]


def build_engine(
    name: str,
    calibration: Calibration,
    *,
    wires: bool = True,
    threads: int = 1,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    tolerance: float | None = None,
    mismatch_seed: int | None = None,
) -> Engine:
    """Build the engine that users ask for by a word.

    Parameters
    ----------
    name : {"ideal", "fast", "exact", "ngspice"}
        The word.
    calibration : Calibration
        Of the chip.
    wires : bool
        Whether lines have resistance; only "exact" can leave it out.
    threads : int
        Threads of "fast" and "exact".
    simulator, jobs
        Time-out and parallelism of "ngspice".
    tolerance : float, optional
        Of "fast": largest error of an output as a fraction of its converter's range.
    mismatch_seed : int, optional
        Of the chip whose devices are drawn; by default all are nominal.

    Raises
    ------
    SpecError
        If there is no such engine, or it cannot do what is asked.
    """
    if mismatch_seed is not None and name == "ideal":
        raise SpecError("the engine 'ideal' has no blocks that could differ; leave the seed of mismatch out")
    if not wires and name != "exact":
        raise SpecError(f"only the engine 'exact' can leave out the wires, not {name!r}")
    if tolerance is not None and name != "fast":
        raise SpecError(f"only the engine 'fast' takes a tolerance, not {name!r}; leave it out")
    if name == "ideal":
        return IdealEngine(calibration.chip)
    if name == "exact":
        return ExactEngine(calibration, wires=wires, threads=threads, mismatch_seed=mismatch_seed)
    if name == "ngspice":
        return NgspiceEngine(calibration, simulator=simulator, jobs=jobs, mismatch_seed=mismatch_seed)
    if name == "fast":
        return FastEngine(calibration, tolerance=tolerance, threads=threads, mismatch_seed=mismatch_seed)
    raise SpecError(f"no engine {name!r}; there are: ideal, fast, exact, ngspice")
