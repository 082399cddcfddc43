"""Which imperfection of a chip costs a network how much: each alone, each taken away, and whether they add up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit
from tqdm import tqdm

from spicesim.arrays import Array, Floats, Integers
from spicesim.engine import CONVERTER_PARTS
from spicesim.errors import NetworkError, SpecError
from spicesim.experiment.ablation import (
    CIRCUIT,
    SOURCES,
    ablate_calibration,
    ablate_device,
    circuit_sources,
    device_sources,
    mismatch_sources,
)
from spicesim.experiment.chip import ChipMaker, compile_options
from spicesim.experiment.metric import accuracy_of, load_metric
from spicesim.network import Network, compile_network
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import calibrated

__all__ = ["CONFIDENCE", "Budget", "Estimate", "Variant", "run_budget"]

CONFIDENCE = 0.95
"""Of the intervals."""
RESAMPLES = 1000
"""Of the bootstrap."""
_SUMS = ("floor", "total")
"""Powers of a whole chip, which are never negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the interval in which it lies."""

    value: float
    """As found."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """The network on a chip with some imperfections."""

    sources: tuple[str, ...]
    """Those it has."""
    errors: Floats
    """First output less the digital one, (chips, inputs, numbers)."""
    snr_db: tuple[float, ...]
    """Of each layer, for the inputs it got, all chips together [dB]."""
    cosine: float
    """Mean cosine between first output and digital one."""
    accuracy: float | None
    """Fraction of right answers, mean of the chips; None without labels."""
    metric: float | None = None
    """The user's own metric, mean of the chips; None without."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budget:
    """The error budget of a network on a chip.

    All powers are mean squares over those of the digital output. With f the error of a chip without any imperfection,
    a_i that of a chip with one alone, less f, and e that of the real chip: the powers of f and all a_i, the
    correlation, which is that of their sum less the sum of theirs, and the interaction, which is what e has beyond
    their sum, make the power of e. Sources that do not depend on each other have no correlation; systematic ones, such
    as wires and amplifiers, have. An interaction other than 0 says that sources change each other's effect.
    """

    layers: tuple[str, ...]
    """Names."""
    sources: tuple[str, ...]
    """What the real chip has."""
    digital: Floats
    """First output computed digitally, (inputs, numbers)."""
    none: Variant
    """Without any imperfection but the ranges of the converters and 12 and 16 bits."""
    whole: Variant
    """The real chip."""
    alone: dict[str, Variant]
    """With one imperfection alone, by its name."""
    without: dict[str, Variant]
    """With all but one, by its name."""
    chips: int
    """Chips run, if anything in them is random."""
    seed: int
    """Of the first, and of the bootstrap."""
    title: str = ""
    """The run that is explained."""

    def _powers(self, rows: Integers, chips: Integers) -> dict[str, float]:
        """Return all powers of some inputs and chips, each with the multiplicity it has there."""
        scale = float(np.mean(self.digital[rows] ** 2))

        def take(variant: Variant) -> Floats:
            errors = variant.errors[:, rows]
            return errors if len(errors) == 1 else errors[chips]

        def power(errors: Floats) -> float:
            return float(np.mean(errors**2)) / scale

        floor, whole = take(self.none), take(self.whole)
        shares = {name: take(variant) - floor for name, variant in self.alone.items()}
        powers = {name: power(share) for name, share in shares.items()}
        total, added = power(whole), power(floor + sum(shares.values()))
        parts = power(floor) + sum(powers.values())
        found = {f"alone {name}": value for name, value in powers.items()}
        found |= {f"without {name}": total - power(take(variant)) for name, variant in self.without.items()}
        return found | {
            "floor": power(floor),
            "correlation": added - parts,
            "interaction": total - added,
            "remainder": total - parts,
            "total": total,
        }

    def estimates(self) -> dict[str, Estimate]:
        """Return powers with intervals over inputs and chips.

        Inputs and chips are resampled apart (bootstrap), and their reaches add as squares; that of the chips is
        widened by what Student's distribution of so few has beyond the normal one.

        Returns
        -------
        dict of str to Estimate
            "floor", "alone X" of each source, "correlation" and "interaction" add up to "total"; "remainder" is the
            sum of the last two, "without X" what the total loses if X is taken away.
        """
        generator = np.random.default_rng(self.seed)
        inputs, chips = np.arange(len(self.digital)), np.arange(self.chips)

        def resample(of: Integers) -> Integers:
            return of[generator.integers(len(of), size=len(of))]

        def resample_inputs() -> Integers:
            while True:  # powers are relative to the digital output's, and of few inputs a draw may have none
                rows = resample(inputs)
                if self.digital[rows].any():
                    return rows

        value = self._powers(inputs, chips)
        reach = self._reach(value, [self._powers(resample_inputs(), chips) for _ in range(RESAMPLES)])
        if self.chips > 1:  # so few that their own spread is hardly known
            few = math.sqrt(self.chips / (self.chips - 1))
            few *= stdtrit(self.chips - 1, 0.5 + CONFIDENCE / 2) / ndtri(0.5 + CONFIDENCE / 2)
            drawn = self._reach(value, [self._powers(inputs, resample(chips)) for _ in range(RESAMPLES)])
            reach = {name: np.hypot(reach[name], few * drawn[name]) for name in value}
        return {
            name: Estimate(
                value=found,
                low=max(found - float(reach[name][0]), 0.0 if name in _SUMS or "alone" in name else -math.inf),
                high=found + float(reach[name][1]),
            )
            for name, found in value.items()
        }

    @staticmethod
    def _reach(value: dict[str, float], draws: list[dict[str, float]]) -> dict[str, Floats]:
        """Return how far the ends of the intervals are below and above the values."""
        tail = 50 * (1 - CONFIDENCE)
        ends = {name: np.percentile([draw[name] for draw in draws], [tail, 100 - tail]) for name in value}
        return {name: np.maximum((ends[name] - found) * (-1, 1), 0.0) for name, found in value.items()}

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        estimates = self.estimates()

        def plain(key: str) -> dict[str, float]:
            found = estimates[key]
            return {"power": found.value, "low": found.low, "high": found.high}

        def describe(variant: Variant) -> dict[str, Any]:
            snr = {n: s if math.isfinite(s) else None for n, s in zip(self.layers, variant.snr_db, strict=True)}
            return {"accuracy": variant.accuracy, "metric": variant.metric, "cosine": variant.cosine, "snr_db": snr}

        return {
            "run": self.title,
            "confidence": CONFIDENCE,
            "inputs": len(self.digital),
            "chips": self.chips,
            "seed": self.seed,
            "total": plain("total") | describe(self.whole),
            "floor": plain("floor") | describe(self.none),
            "sources": [
                {
                    "name": name,
                    "meaning": SOURCES[name],
                    "alone": plain(f"alone {name}") | describe(self.alone[name]),
                    "taken_away": plain(f"without {name}") | describe(self.without[name]),
                }
                for name in self.sources
            ],
            "correlation": plain("correlation"),
            "interaction": plain("interaction"),
            "remainder": plain("remainder"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What all variants share."""

    maker: ChipMaker
    network: Network
    model: Any
    dataset: Dataset
    digital: Floats
    sources: tuple[str, ...]

    def run(self, sources: tuple[str, ...]) -> Variant:
        """Run the network on chips that have these imperfections."""
        plan, real = self.maker.plan, calibrated(self.maker.calibration)
        device = None if self.maker.device is None else ablate_device(self.maker.device, plan.time, sources)
        # what is absent of a chip is nothing to take away
        kept = [part for part in CONVERTER_PARTS if part in sources or part not in self.sources]
        maker = self.maker.without(
            ablate_calibration(real, sources),
            device,
            converter_parts=kept,
            mismatch=plan.mismatch if set(mismatch_sources(real)) & set(sources) else None,
            noise="circuit noise" in sources,
            early="early sampling" in sources,
            time=plan.time if "drift" in sources else 0.0,
        )
        network = compile_network(self.model, maker.calibration, **compile_options(plan))
        assert self.network.ranges is not None
        network.use_ranges(self.network.ranges)
        typical = self.network.typical
        metric, metrics, accuracies = load_metric(plan.metric), list[float](), list[float | None]()
        errors, signal, noise = [], np.zeros(len(network.layers)), np.zeros(len(network.layers))
        random = [name for name in sources if name not in CIRCUIT]
        for seed in plan.seeds if random else plan.seeds[:1]:
            chip = maker.make(network, seed)
            network.clear_gains()
            if plan.has_gains and typical is not None:
                network.fit_gains(typical, chip.fitted)
            result = network.run(self.dataset.inputs, chip.engine)
            found = _flat(result.logits)
            answers = None if result.answers is None else result.outputs[result.answers]
            accuracies.append(accuracy_of(result.logits, answers, self.dataset.labels))
            if metric is not None:
                metrics.append(metric(result.logits, self.dataset.labels))
            errors.append(found - self.digital)
            ratios = np.array([10 ** (-layer.snr_db / 10) for layer in result.stats.layers])
            signal, noise = signal + 1, noise + ratios
        outputs = np.stack(errors) + self.digital
        lengths = np.linalg.norm(outputs, axis=2) * np.linalg.norm(self.digital, axis=1)
        cosines = np.sum(outputs * self.digital, axis=2) / np.where(lengths > 0, lengths, 1.0)
        known = [own for own in accuracies if own is not None]
        with np.errstate(divide="ignore"):
            snr = -10 * np.log10(noise / signal)
        return Variant(
            sources=sources, errors=np.stack(errors), snr_db=tuple(map(float, snr)), cosine=float(cosines.mean()),
            accuracy=float(np.mean(known)) if known else None, metric=float(np.mean(metrics)) if metrics else None,
        )  # fmt: skip


def _flat(outputs: Array) -> Floats:
    return np.asarray(outputs, dtype=float).reshape(len(outputs), -1)


def run_budget(
    maker: ChipMaker,
    network: Network,
    model: Any,
    dataset: Dataset,
    *,
    sources: Sequence[str] | None = None,
    progress: bool = False,
) -> Budget:
    """Run a network on the chips of a plan with all, none, each alone and all but each of their imperfections.

    Parameters
    ----------
    maker : ChipMaker
        Of the plan's chips. The circuit's model, the engine exact, stands for ngspice.
    network : Network
        As it runs on them, with ranges fitted.
    model : str, Path or ModelProto
        What it was compiled from.
    dataset : Dataset
        Inputs; labels and calibration inputs if there are any.
    sources : sequence of str, optional
        Of :data:`spicesim.experiment.ablation.SOURCES`, those to tell apart; by default all that the chips have.
    progress : bool
        Whether to show progress on standard error.

    Returns
    -------
    Budget
        With as many runs as twice the sources and two, times the chips where there is anything random.

    Raises
    ------
    SpecError
        If the chips cannot have a source.
    CalibrationError
        If mismatch or noise are asked for and were not calibrated.
    NetworkError
        If the digital output is 0 for all inputs.
    """
    plan, calibration = maker.plan, calibrated(maker.calibration)
    if plan.mismatch is not None:
        calibration.require_mismatch()
    if plan.noise and calibration.hold is None:
        calibration.require_noise()
    if plan.engine == "ngspice":
        maker = maker.without(calibration, maker.device, engine="exact")
    digital = _flat(network.run_digital(dataset.inputs))
    if not digital.any():
        raise NetworkError(
            f"the digital output is 0 for all {len(digital)} inputs, and errors are told relative to it; explain more"
        )
    own = () if maker.device is None else device_sources(maker.device, plan.time)
    drawn = () if plan.mismatch is None else mismatch_sources(calibration)
    left_out = {
        "wires": not plan.wires, "early sampling": not plan.early,
        "cells": {plan.engine, *plan.places.values()} == {"transfer"},  # whose cells are resistors
    }  # fmt: skip
    circuit = [name for name in circuit_sources(calibration) if not left_out.get(name)]
    has = {*circuit, *own, *drawn, *(("circuit noise",) if plan.noise else ())}
    possible = tuple(name for name in SOURCES if name in has)
    if strange := [name for name in sources or () if name not in possible]:
        raise SpecError(f"this chip has no imperfection {strange[0]!r}; it has: {', '.join(possible)}")
    bench = _Bench(maker=maker, network=network, model=model, dataset=dataset, digital=digital, sources=possible)
    sources = tuple(name for name in possible if sources is None or name in sources)
    wanted = {"none": (), "whole": sources}
    wanted |= {f"alone {name}": (name,) for name in sources}
    wanted |= {f"without {name}": tuple(other for other in sources if other != name) for name in sources}
    disable = None if progress else True
    found = {key: bench.run(kept) for key, kept in tqdm(wanted.items(), unit="variant", disable=disable)}
    return Budget(
        layers=tuple(layer.name for layer in network.layers),
        sources=sources,
        digital=digital,
        none=found["none"],
        whole=found["whole"],
        alone={name: found[f"alone {name}"] for name in sources},
        without={name: found[f"without {name}"] for name in sources},
        chips=plan.chips if set(sources) - set(CIRCUIT) else 1,
        seed=plan.seed,
        title=plan.title,
    )
