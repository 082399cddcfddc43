"""Engines by the words that users say."""

from spicesim.calibration.calibration import Calibration
from spicesim.engine.exact import ExactEngine
from spicesim.engine.fast import FastEngine
from spicesim.engine.ideal import IdealEngine
from spicesim.engine.protocol import Engine
from spicesim.engine.sampled import SampledEngine
from spicesim.engine.transfer import TransferEngine
from spicesim.engine.transistor import NgspiceEngine
from spicesim.errors import SpecError
from spicesim.files.shelf import Shelf
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["build_engine"]


def build_engine(
    name: str,
    calibration: Calibration,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    tolerance: float | None = None,
    mismatch_seed: int | None = None,
    t_read: float | None = None,
    shelf: Shelf | None = None,
) -> Engine:
    """Build the engine that users ask for by a word.

    Parameters
    ----------
    name : {"ideal", "transfer", "fast", "exact", "ngspice"}
        The word.
    calibration : Calibration
        Of the chip.
    simulator, jobs
        Time-out and parallelism of "ngspice".
    tolerance : float, optional
        Of "fast": largest error of an output as a fraction of its converter's range.
    mismatch_seed : int, optional
        Of the chip whose devices are drawn; by default all are nominal.
    t_read : float, optional
        Sample so long after the change of codes, settled or not [s]; by default settled.
    shelf : Shelf, optional
        Of "fast": where it keeps what tiles were made ready as.

    Raises
    ------
    SpecError
        If there is no such engine, or it cannot do what is asked.
    """
    if name == "ideal":
        return IdealEngine(calibration.chip)
    if name == "transfer" and mismatch_seed is None and t_read is None:
        return _build_transfer(calibration)
    if name == "exact":
        if t_read is not None:
            return SampledEngine(calibration, t_read, mismatch_seed=mismatch_seed)
        return ExactEngine(calibration, mismatch_seed=mismatch_seed)
    if name == "ngspice":
        return NgspiceEngine(calibration, simulator=simulator, jobs=jobs, mismatch_seed=mismatch_seed, t_read=t_read)
    if name == "fast" and t_read is None:
        return FastEngine(calibration, tolerance=tolerance, mismatch_seed=mismatch_seed, shelf=shelf)
    raise SpecError(f"no engine {name!r}; there are: ideal, transfer, fast, exact, ngspice")


def _build_transfer(calibration: Calibration) -> TransferEngine:
    """Build the engine of linear cells, for chips whose product is one settled point of driven lines."""
    chip = calibration.chip
    parts = {
        f"dac.kind = {chip.dac.kind}": chip.dac.kind == "pulse",
        "hold.planes = charge": chip.hold.adds_planes,
        "cell.inputs = gate": chip.cell.is_gated,
        "cell.kind = 1s1r": chip.cell.kind == "1s1r",
        "rails with impedances": not chip.rails.are_ideal,
    }
    for what, is_there in parts.items():
        if is_there:
            raise SpecError(
                f"the engine transfer knows voltages on word lines of linear cells, and this chip has {what}; take the "
                "engine fast"
            )
    return TransferEngine(calibration)
