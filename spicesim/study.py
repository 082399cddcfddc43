"""The same run on several chips whose devices differ: accuracy with a confidence interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from spicesim.calibration.calibration import Calibration
from spicesim.devices import DeviceModel
from spicesim.engine import DeviceEngine, Engine
from spicesim.errors import SpecError
from spicesim.experiment import Experiment, run_experiment
from spicesim.network import Network
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip

__all__ = ["CONFIDENCE", "Study", "run_study"]

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """What came out of the chips."""

    model: DeviceModel
    """Statistics of their devices."""
    time: float
    """Time from programming to use [s]."""
    compensated: bool
    """Whether drift was compensated."""
    seeds: tuple[int, ...]
    """Seeds of the chips."""
    experiments: tuple[Experiment, ...]
    """Their runs."""

    @property
    def accuracies(self) -> npt.NDArray[np.float64] | None:
        """Accuracy of each chip; None without labels."""
        found = [run.accuracy for run in self.experiments]
        return None if None in found else np.array(found, dtype=float)

    @property
    def logit_errors(self) -> npt.NDArray[np.float64]:
        """Of each chip, the root mean square of (analog - digital) over that of digital, of the first output."""
        digital = self.experiments[0].digital.astype(float)
        errors = [float(np.mean((run.result.logits - digital) ** 2)) for run in self.experiments]
        return np.asarray(np.sqrt(np.array(errors) / np.mean(digital**2)))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's confidence interval of the mean accuracy over such chips; None of one chip or without labels."""
        accuracies = self.accuracies
        if accuracies is None or len(accuracies) < 2:
            return None
        quantile = stdtrit(len(accuracies) - 1, (1 + CONFIDENCE) / 2)
        reach = float(quantile * accuracies.std(ddof=1) / np.sqrt(len(accuracies)))
        mean = float(accuracies.mean())
        return max(mean - reach, 0.0), min(mean + reach, 1.0)

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON: those of the first chip, and of all under "device"."""
        accuracies = self.accuracies
        mean = None if accuracies is None else float(accuracies.mean())
        return {
            **self.experiments[0].document(),
            "device": {
                "name": self.model.name,
                "time": self.time,
                "drift_compensated": self.compensated,
                "seeds": list(self.seeds),
                "accuracies": None if accuracies is None else accuracies.tolist(),
                "accuracy_mean": mean,
                "accuracy_interval": self.interval,
                "confidence": CONFIDENCE,
                "logit_errors": self.logit_errors.tolist(),
                "sources": list(self.model.sources),
            },
        }


def run_study(
    network: Network,
    dataset: Dataset,
    calibration: Calibration | UncalibratedChip,
    engine: Engine | Callable[[int], tuple[Engine, Engine | None]],
    model: DeviceModel,
    *,
    seeds: Sequence[int],
    time: float = 0.0,
    compensate: bool = True,
    gains: Engine | None = None,
    **options: Any,
) -> Study:
    """Run a network on chips that differ in their devices.

    Parameters
    ----------
    network, dataset, calibration, engine
        As for :func:`spicesim.experiment.run_experiment`; `engine` multiplies what the devices hold, on all chips,
        or, if it is a function, makes of a chip's seed what multiplies on it, and `gains` of that chip.
    model : DeviceModel
        Statistics of the devices.
    seeds : sequence of int
        One a chip.
    time : float
        Time from programming to use [s].
    compensate : bool
        Whether to compensate for the mean drift of each tile.
    gains : Engine, optional
        On which to fit digital gains for each chip, right after its devices were programmed; none by default.
    **options
        As for :func:`spicesim.experiment.run_experiment`; an audit is made of the first chip alone.

    Raises
    ------
    SpecError
        If there is no seed.
    """
    if not seeds:
        raise SpecError("a study needs one seed at least")
    limits, audit = calibration.conductance_range, options.pop("audit", 0)
    box = calibration.conductance_limits
    compensate = compensate and model.drift is not None
    runs: list[Experiment] = []
    chips = engine if callable(engine) else lambda _: (engine, gains)
    for seed in seeds:
        circuit, fitted = chips(seed)
        chip = DeviceEngine(
            circuit, calibration.chip, model, limits, seed=seed, time=time, compensate=compensate, box=box
        )
        start = None if fitted is None else DeviceEngine(fitted, calibration.chip, model, limits, seed=seed, box=box)
        if fitted is circuit and time == 0:
            start = chip  # prepared once
        runs.append(
            run_experiment(network, dataset, calibration, chip, gains=start, audit=0 if runs else audit, **options)
        )
    return Study(
        model=model,
        time=time,
        compensated=compensate,
        seeds=tuple(seeds),
        experiments=tuple(runs),
    )
