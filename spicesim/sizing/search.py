"""The search: circuits one after the other, each measured in ngspice, until the limits hold everywhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from spicesim.characterise import BLOCKS, Conditions, DataSheet, Place, Verdict, judge, measure_matrix
from spicesim.characterise.limits import Limits
from spicesim.chip import Chip
from spicesim.errors import MissingDependencyError, SimulationError, SpecError, quote
from spicesim.sizing.description import Range, Sizing

__all__ = ["Sized", "Trial", "miss", "size"]

NOTHING = 10.0
"""What counts as missed of a limit whose quantity could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One circuit."""

    sizes: Mapping[str, float]
    """By name, as in the description."""
    chip: Chip
    """The chip with it."""
    sheets: Sequence[tuple[str, DataSheet]]
    """Where, in words, and what was measured; of circuits that fail at the first place as much as is known."""
    verdicts: Sequence[Verdict]
    """The worst of every limited quantity."""
    missed: float
    """Sum over limits of what is missing, as parts of them; 0 if all hold."""
    cost: float
    """Largest of the quantity to make small; 0 without one."""

    @property
    def rank(self) -> tuple[float, float]:
        """Order of merit, the best first."""
        return self.missed, self.cost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sized:
    """What came out."""

    sizing: Sizing
    """What was asked."""
    start: Trial
    """The circuit as it was, measured everywhere."""
    best: Trial
    """The best one, measured everywhere."""
    trials: int
    """Circuits tried."""
    failed: int
    """Circuits that no data sheet could be measured of."""

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {
            "schema_version": 1,
            "sizing": self.sizing.model_dump(mode="json", exclude_none=True),
            "trials": self.trials,
            "failed": self.failed,
            "circuits": {
                name: {
                    "sizes": dict(trial.sizes), "chip": trial.chip.hash, "missed": trial.missed,
                    "limits": {v.key: {"worst": v.value, "at": v.where, "met": v.is_met} for v in trial.verdicts},
                }
                for name, trial in (("start", self.start), ("best", self.best))
            },
        }  # fmt: skip


def miss(verdicts: Sequence[Verdict]) -> float:
    """Return by how much limits are missed, each as a part of itself, in sum."""
    total = 0.0
    for verdict in verdicts:
        margin, limit = verdict.limit.margin(verdict.value), verdict.limit
        unit = max(abs(end) for end in (limit.min, limit.max) if end is not None) or 1.0
        total += min(max(-margin, 0.0) / unit, NOTHING) if math.isfinite(margin) else NOTHING
    return total


def size(
    sizing: Sizing, chip: Chip, *, jobs: int | None = None, timeout: float = 300.0, progress: bool = False
) -> Sized:
    """Size a block.

    Circuits are drawn by optuna's TPE, the chip's own first. Each is measured at the first place; what misses more
    there than the best does anywhere cannot be better and is measured no further. Simulations are kept: the same call
    goes the same way, and simulates only what is new.

    Parameters
    ----------
    sizing : Sizing
        What may change, and what is wanted.
    chip : Chip
        Where it begins.
    jobs : int, optional
        Simulations at a time; by default one a processor.
    timeout : float
        Longest simulation [s].
    progress : bool
        Whether to show progress on stderr.

    Returns
    -------
    Sized
        The circuit as it was, and the best one.

    Raises
    ------
    MissingDependencyError
        Without optuna.
    SpecError
        If the data sheet has no such quantity.
    SimulationError, StorageError
        If the circuit as it is cannot be measured.
    """
    optuna = _optuna()
    bench = _Bench(sizing=sizing, chip=chip, conditions=Conditions(jobs=jobs, timeout=timeout))
    start = bench.measure(sizing.start(chip), None)
    best, failed, done = start, 0, 1
    sampler = optuna.samplers.TPESampler(seed=sizing.seed, multivariate=True, n_startup_trials=8)
    study = optuna.create_study(sampler=sampler)
    space = {name: _distribution(optuna, own) for name, own in sizing.sizes.items()}
    inside = {name: own.take(start.sizes[name]) for name, own in sizing.sizes.items()}
    study.add_trial(optuna.trial.create_trial(params=inside, distributions=space, value=_score(start)))
    bar = tqdm(total=sizing.trials, initial=1, desc="circuits", disable=None if progress else True)
    while done < sizing.trials and (best.missed > 0 or sizing.minimise is not None):
        asked = study.ask(space)
        sizes = {name: own.take(asked.params[name]) for name, own in sizing.sizes.items()}
        done += 1
        try:
            trial = bench.measure(sizes, best)
        except (SimulationError, SpecError):  # such sizes make no circuit that works; the others tell where to look
            failed += 1
            study.tell(asked, NOTHING * len(sizing.limits))
        else:
            study.tell(asked, _score(trial))
            if len(trial.sheets) == len(sizing.places) and trial.rank < best.rank:
                best = trial
        bar.update()
        bar.set_postfix_str(_words(best))
    bar.close()
    return Sized(sizing=sizing, start=start, best=best, trials=done, failed=failed)


def _words(best: Trial) -> str:
    missed = [verdict.key for verdict in best.verdicts if not verdict.is_met]
    return f"missed: {', '.join(missed)}" if missed else "all limits hold"


def _score(trial: Trial) -> float:
    """Return what the search makes small: what is missed, and where nothing is, the cost, below all of these."""
    return trial.missed if trial.missed > 0 else -1 / (1 + trial.cost)


def _distribution(optuna: Any, own: Range) -> Any:
    if own.whole:
        return optuna.distributions.IntDistribution(math.ceil(own.low), math.floor(own.high), log=True)
    return optuna.distributions.FloatDistribution(own.low, own.high, log=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bench:
    """Measures circuits."""

    sizing: Sizing
    chip: Chip
    conditions: Conditions

    def measure(self, sizes: Mapping[str, float], best: Trial | None) -> Trial:
        """Measure a circuit everywhere, or where it is seen to be no better than the best so far."""
        chip = self.sizing.place(self.chip, sizes) if best is not None else self.chip
        first, others = self.sizing.places[:1], self.sizing.places[1:]
        trial = self._trial(sizes, chip, self._sheets(chip, first))
        if not others or (best is not None and trial.missed > best.missed):
            return trial
        return self._trial(sizes, chip, [*trial.sheets, *self._sheets(chip, others)])

    def _sheets(self, chip: Chip, where: Sequence[Place]) -> list[tuple[str, DataSheet]]:
        return measure_matrix(BLOCKS[self.sizing.block], chip, where, self.conditions)

    def _trial(self, sizes: Mapping[str, float], chip: Chip, sheets: Sequence[tuple[str, DataSheet]]) -> Trial:
        verdicts, name = judge(sheets, Limits({sheets[0][1].block: self.sizing.limits})), self.sizing.minimise
        keys = [entry.key for entry in sheets[0][1].entries]
        if name is not None and name not in keys:
            raise SpecError(
                f"{self.sizing.block} has no quantity {quote(name)} to minimise; there are: {', '.join(keys)}"
            )
        cost = 0.0 if name is None else float(np.max([sheet.entry(name).value for _, sheet in sheets]))
        return Trial(sizes=dict(sizes), chip=chip, sheets=sheets, verdicts=verdicts, missed=miss(verdicts), cost=cost)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError("optuna is not installed; run: pip install 'spicesim[explore]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
