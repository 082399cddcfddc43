"""A run: the chips of a plan, one after the other, and the document that keeps all their numbers."""

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from scipy.special import stdtrit
from tqdm import tqdm

from spicesim.arrays import Array, Floats
from spicesim.audit import audit_samples, expected_seconds
from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.devices import DeviceModel
from spicesim.errors import NetworkError, SpecError
from spicesim.experiment.budget import CONFIDENCE, run_budget
from spicesim.experiment.chip import BuiltChip, ChipMaker, chip_variant, compile_options, find_device
from spicesim.experiment.deviation import measure_deviation
from spicesim.experiment.findings import Findings, gather_findings
from spicesim.experiment.fitting import Fitting
from spicesim.experiment.footprint import estimate_footprint
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.metric import Metric, judge, load_metric, missing_accuracy
from spicesim.experiment.outcome import Experiment
from spicesim.experiment.plan import RunPlan
from spicesim.network import Network, compile_network
from spicesim.network.compiled import Inputs
from spicesim.network.dataset import Dataset, load_dataset
from spicesim.network.loading import load_model
from spicesim.network.uncalibrated import UncalibratedChip, calibrated
from spicesim.ngspice.batch import BatchSimulator
from spicesim.provenance import hash_arrays

__all__ = ["AnyCalibration", "Run", "Subject", "run", "run_subject"]

MAPPED = 32
"""Products to keep of a run without an audit, for maps of voltages."""
TYPICAL = 16
"""Inputs whose products stand for all in energies."""

Model = str | Path | onnx.ModelProto
Data = str | Path | Dataset | Inputs
AnyCalibration = Calibration | UncalibratedChip | str | Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """What a plan is run on; hashes say whether it is the same another time."""

    model: Model
    """The network."""
    dataset: Dataset
    """All inputs, and labels if there are any."""
    calibration: Calibration | UncalibratedChip
    """Of the chip, at its own condition."""
    names: dict[str, str]
    """Paths of "model", "data" and "calibration", of those that are files."""

    @classmethod
    def of(
        cls,
        network: Model | Network,
        data: Data,
        calibration: AnyCalibration | None = None,
        *,
        names: Mapping[str, str] | None = None,
    ) -> "Subject":
        """Read what is not read yet; arguments as for :func:`run`, and paths of what is, by what it is."""
        model: Model
        if isinstance(network, Network):
            model = network.model
            calibration = network.calibration if calibration is None else calibration
        else:
            model = network
        if calibration is None:
            raise NetworkError("a run needs the calibration of a chip; give calibration=")
        files = {"model": model, "data": data, "calibration": calibration}
        found = {what: str(one) for what, one in files.items() if isinstance(one, str | Path)}
        if isinstance(calibration, str | Path):
            calibration = load_calibration(calibration)
        return cls(model=model, dataset=_dataset(data), calibration=calibration, names={**(names or {}), **found})

    def document(self) -> dict[str, Any]:
        """Return paths and hashes."""
        hashes = {
            "model": _hash_model(self.model),
            "data": hash_arrays(self.dataset.arrays()),
            "calibration": self.calibration.hash,
        }
        return {what: {"path": self.names.get(what), "hash": found} for what, found in hashes.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What came out of a plan."""

    plan: RunPlan
    """The plan."""
    subject: Subject
    """What it was run on."""
    calibration: Calibration | UncalibratedChip
    """The variant of the chip that ran."""
    device: DeviceModel | None
    """Statistics of its devices."""
    network: Network
    """As it ran on the last chip."""
    experiments: tuple[Experiment, ...]
    """One a chip; the first is the one that is audited."""
    findings: Findings
    """What more is known of the first chip."""

    @property
    def first(self) -> Experiment:
        """The first chip."""
        return self.experiments[0]

    @property
    def accuracies(self) -> Floats | None:
        """Accuracy of each chip; None without labels."""
        found = [one.accuracy for one in self.experiments]
        return None if None in found else np.array(found, dtype=float)

    @property
    def logit_errors(self) -> Floats:
        """Of each chip, the root mean square of (analog - digital) over that of digital, of the first output."""
        digital = self.first.digital.astype(float)
        errors = [float(np.mean((one.result.logits - digital) ** 2)) for one in self.experiments]
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
        """Return all numbers as plain data, ready for JSON: those of the first chip, and of all under "chips"."""
        accuracies, device = self.accuracies, self.device
        return {
            "schema_version": 2,
            "plan": self.plan.document(),
            "subject": self.subject.document(),
            **self.first.document(),
            "chips": {
                "seeds": list(self.plan.seeds),
                "accuracies": None if accuracies is None else accuracies.tolist(),
                "accuracy_mean": None if accuracies is None else float(accuracies.mean()),
                "accuracy_interval": self.interval,
                "confidence": CONFIDENCE,
                "metrics": [None if one.verdict is None else one.verdict.analog.value for one in self.experiments],
                "logit_errors": self.logit_errors.tolist(),
                "outputs_hashes": [hash_arrays(one.result.outputs) for one in self.experiments],
            },
            "device": None
            if device is None
            else {
                "name": device.name,
                "time": self.plan.time,
                "drift_compensated": self.plan.drift_compensation and device.drift is not None,
                "sources": list(device.sources),
            },
            **self.findings.document(),
        }


def run(
    plan: RunPlan,
    network: Model | Network,
    data: Data,
    calibration: AnyCalibration | None = None,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    keeping: Keeping | None = None,
    progress: bool = False,
) -> Run:
    """Run a network on the chips of a plan, digitally beside them, and audit the first.

    Parameters
    ----------
    plan : RunPlan
        What decides the result.
    network : str, Path, ModelProto or Network
        The network. A compiled one is compiled anew, by the plan, for the chip it was compiled for.
    data : str, Path, Dataset, array_like or mapping of str to array_like
        Inputs; a file or data set may hold labels and calibration inputs, too.
    calibration : Calibration, UncalibratedChip, str or Path, optional
        Of the chip; by default that of a compiled network.
    simulator : BatchSimulator, optional
        Gives the time-out of ngspice.
    jobs : int, optional
        Simulations at a time.
    keeping : Keeping, optional
        How much memory it takes, and where it keeps tiles that were made ready.
    progress : bool
        Whether to show progress on standard error.

    Returns
    -------
    Run
        All that came out.

    Raises
    ------
    CalibrationError
        If the plan asks for what was not calibrated.
    NetworkError
        If the data do not fit the network, or the plan asks a chip that nobody calibrated for more than ideal runs.
    SpecError
        If code of one's own is not what it must be.
    SimulationError
        If a simulation fails.
    """
    subject = Subject.of(network, data, calibration)
    return run_subject(plan, subject, simulator=simulator, jobs=jobs, keeping=keeping, progress=progress)


def run_subject(
    plan: RunPlan,
    subject: Subject,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    keeping: Keeping | None = None,
    progress: bool = False,
) -> Run:
    """Run a plan on what has been read already; see :func:`run`."""
    keeping = keeping or Keeping()
    if plan.audit or plan.energy or plan.explain:
        calibrated(subject.calibration)
    variant, device = chip_variant(plan, subject.calibration), find_device(plan)
    network = compile_network(subject.model, variant, **compile_options(plan))
    if plan.skip and plan.skip >= (total := network.count(subject.dataset.inputs)):
        raise NetworkError(f"no input is left after the first {plan.skip} of {total}; leave out fewer (skip, --skip)")
    dataset = subject.dataset.first(plan.images, network.batch_axes, plan.skip)
    if dataset.labels is not None and len(dataset.labels) != (count := network.count(dataset.inputs)):
        raise NetworkError(
            f"y must hold one label for each of the {count} inputs, got shape {dataset.labels.shape}; give as many, or "
            "name the axis that counts the inputs with --batch-axis"
        )
    seen = subject.dataset.first(None if plan.images is None else plan.skip + plan.images, network.batch_axes)
    fitting = Fitting(plan=plan, network=network, dataset=seen, shelf=keeping.shelf)
    typical = fitting.ranges()
    bench = _Bench(
        metric=load_metric(plan.metric), plan=plan, subject=subject, dataset=dataset, network=network, fitting=fitting,
        typical=typical, simulator=simulator, jobs=jobs, keeping=keeping, progress=progress, maker=ChipMaker(
            plan=plan, calibration=variant, device=device, simulator=simulator, jobs=jobs, shelf=keeping.shelf
        ),
    )  # fmt: skip
    first, findings = bench.run_first()
    others = [bench.run(bench.maker.make(network, seed), seed) for seed in plan.seeds[1:]]
    return Run(
        plan=plan, subject=subject, calibration=variant, device=device, network=network,
        experiments=(first, *others), findings=findings,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    """What all chips of a run share."""

    plan: RunPlan
    subject: Subject
    dataset: Dataset
    network: Network
    fitting: Fitting
    typical: Inputs
    metric: Metric | None
    maker: ChipMaker
    simulator: BatchSimulator | None
    jobs: int | None
    keeping: Keeping
    progress: bool

    @cached_property
    def digital(self) -> Array:
        """The scores of the digital network: after the first chip's, whose products need not wait for it."""
        return self.network.run_digital(self.dataset.inputs)

    @cached_property
    def answers(self) -> Array | None:
        """The classes of the digital network, where an output holds them."""
        name = self.network.answers
        return None if name is None else self.network.run_digital(self.dataset.inputs, output=name)

    def run(self, chip: BuiltChip, seed: int) -> Experiment:
        """Run the network on one chip."""
        plan, network, start = self.plan, self.network, time.monotonic()
        seeds = seed, self.maker.mismatch(seed)
        self.fitting.gains(self.typical, chip, seeds, memory=self.keeping.memory, progress=self.progress)
        fitted = time.monotonic()
        result = network.run(
            self.dataset.inputs,
            chip.engine,
            sample=plan.audit or MAPPED,
            by_layer=self.by_layer,
            seed=plan.seed,
            memory=self.keeping.memory,
            progress=self.progress,
        )
        preparing = result.stats.preparation_seconds
        seconds = time.monotonic() - fitted - preparing
        found = None if result.answers is None else result.outputs[result.answers]
        if (missing := missing_accuracy(result.logits, found, self.dataset.labels)) is not None and self.metric is None:
            result = replace(result, stats=replace(result.stats, notes=(*result.stats.notes, missing)))
        verdict = None
        if self.metric is not None:
            verdict = judge(self.metric, result.logits, self.digital, self.dataset.labels, seed=plan.seed)
        return Experiment(
            calibration=self.maker.calibration,
            dataset=self.dataset,
            result=replace(result, engine=plan.title),
            digital=self.digital,
            digital_answers=self.answers,
            verdict=verdict,
            audit=None,
            seconds=seconds,
            preparation_seconds=fitted - start + preparing,
            seed=seed,
        )

    @property
    def by_layer(self) -> bool:
        """Whether each layer gives products of its own: an audit's where there is one for each at least."""
        return self.plan.audit >= len(self.network.layers) or (self.plan.is_linear and not self.plan.audit)

    def run_first(self) -> tuple[Experiment, Findings]:
        """Run the network on the first chip, audit it, and find what more the plan asks for."""
        plan, seed = self.plan, self.plan.seed
        chip = self.maker.make(self.network, seed)
        experiment, deviation = self.run(chip, seed), None
        if plan.is_linear and chip.exact is not None:
            deviation = measure_deviation(experiment.result.samples, chip.exact)
            experiment = experiment.noted(deviation.format("transfer"))
        if plan.audit:
            if self.progress:
                _announce(experiment, None if plan.macros or plan.early else self.maker.calibration)
            audit = audit_samples(
                experiment.result.samples, calibrated(self.maker.calibration), simulator=self.simulator,
                jobs=self.jobs, progress="audit" if self.progress else "", mismatch_seed=self.maker.mismatch(seed),
                t_read=plan.t_read if plan.early else None, macros=plan.macros,
            )  # fmt: skip
            if self.by_layer:
                audit = audit.of_layers({layer.name: layer.mvms for layer in experiment.result.stats.layers})
            experiment = replace(experiment, audit=audit)
        budget = footprint = None
        if plan.explain is not None:
            few = self.dataset.first(plan.explain, self.network.batch_axes)
            budget = run_budget(self.maker, self.network, self.subject.model, few, progress=self.progress)
        if plan.energy:
            footprint = estimate_footprint(
                self.network, self.dataset.first(TYPICAL, self.network.batch_axes).inputs, chip, t_read=plan.t_read,
                columns_per_adc=plan.shared_columns(calibrated(self.maker.calibration).chip), seed=plan.seed,
            )  # fmt: skip
        findings = gather_findings(self.network, experiment, chip.exact, budget=budget, footprint=footprint)
        return experiment, replace(findings, deviation=deviation)


def _announce(experiment: Experiment, checked: Calibration | UncalibratedChip | None) -> None:
    """Tell on standard error what is known before an audit, which may take long."""
    found = "" if experiment.accuracy is None else f"accuracy {experiment.accuracy:.4f}; "
    samples = experiment.result.samples
    seconds = expected_seconds(samples, checked) if isinstance(checked, Calibration) else None
    about = ""
    if seconds is not None:
        wanted = f"{max(seconds, 1):.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        about = f", about {wanted} of a processor"
    count = f"{len(samples)} of {experiment.result.stats.mvms} tile products"
    tqdm.write(f"{found}now {count} in ngspice{about}", file=sys.stderr)


def _dataset(data: Data) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return load_dataset(data)
    arrays = data if isinstance(data, Mapping) else {"x": data}
    inputs = {name: np.asarray(array) for name, array in arrays.items()}
    if not inputs:
        raise SpecError("there are no inputs to run")
    return Dataset(inputs=inputs, labels=None, calibration_inputs=None)


def _hash_model(model: Model) -> str:
    """Hash the network with its weights, wherever they lie."""
    loaded = load_model(model)
    total = hashlib.sha256()
    for tensor in loaded.graph.initializer:
        total.update(tensor.SerializeToString(deterministic=True))
    for node in loaded.graph.node:
        total.update(node.SerializeToString(deterministic=True))
    return total.hexdigest()[:16]
