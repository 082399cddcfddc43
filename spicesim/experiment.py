"""One run of a network on a chip: its result, its audit, and the document that keeps their numbers."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.audit import Audit, audit_samples
from spicesim.bound import share_interval
from spicesim.calibration.calibration import Calibration
from spicesim.engine import Engine
from spicesim.network import Network, Result
from spicesim.network.compiled import CHUNK, Inputs
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip, calibrated
from spicesim.ngspice.batch import BatchSimulator
from spicesim.provenance import cpu_name, now

__all__ = ["Experiment", "run_experiment"]

MAPPED = 32
"""Products to keep of a run without an audit, for maps of voltages."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """What came out of a run."""

    calibration: Calibration | UncalibratedChip
    """Of the chip, or the chip itself where nobody calibrated it."""
    dataset: Dataset
    """What was run."""
    result: Result
    """Outputs and statistics."""
    digital: npt.NDArray[Any]
    """First output of the network, computed digitally."""
    audit: Audit | None
    """Its audit, if one was asked for."""
    seconds: float
    """Time of the run, preparation, audit and digital run left out [s]."""
    seed: int
    """Seed of the audit's sample."""

    @property
    def accuracy(self) -> float | None:
        """Fraction of inputs whose largest output is their label; None without labels."""
        return _accuracy(self.result.logits, self.dataset.labels)

    @property
    def digital_accuracy(self) -> float | None:
        """The same of the digital run."""
        return _accuracy(self.digital, self.dataset.labels)

    def interval(self, accuracy: float) -> tuple[float, float]:
        """Return the interval of an accuracy, the inputs being a sample of all there could be."""
        images = self.result.stats.images
        return share_interval(round(accuracy * images), images)

    @property
    def product_seconds(self) -> float:
        """Time of one tile product, converters and the digital remainder included [s]."""
        return self.seconds / max(1, self.result.stats.mvms)

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        stats = self.result.stats
        layers = [
            {
                "name": s.name,
                "op": s.op,
                "tiles": s.tiles,
                "rows": s.rows,
                "columns": s.columns,
                "products": s.mvms,
                "snr_db": s.snr_db if math.isfinite(s.snr_db) else None,
                "adc_clipped": s.adc_clipped,
                "dac_clipped": s.dac_clipped,
                "r_feedback": s.r_feedback,
                "inputs": s.polarity,
                "input_scale": s.input_scaling,
                "adc_range": s.adc_fit,
                "adc_low": s.adc.low,
                "adc_high": s.adc.high,
                "gain": None if s.gain is None else dict(zip(("min", "median", "max"), s.gain, strict=True)),
            }
            for s in stats.layers
        ]
        chip = self.calibration.chip
        return {
            "schema_version": 1,
            "engine": self.result.engine,
            "images": stats.images,
            "accuracy": self.accuracy,
            "accuracy_interval": None if self.accuracy is None else self.interval(self.accuracy),
            "digital_accuracy": self.digital_accuracy,
            "seconds": self.seconds,
            "tile_products": stats.mvms,
            "seconds_per_product": self.product_seconds,
            "layers": layers,
            "notes": list(stats.notes),
            "audit": None if self.audit is None else _audit_document(self.audit),
            "provenance": {
                "chip": chip.name,
                "chip_hash": chip.hash,
                "calibration_hash": self.calibration.hash,
                "calibration_verdict": None if self.calibration.verdict is None else self.calibration.verdict.format(),
                "seed": self.seed,
                "versions": self.calibration.versions,
                "cpu": cpu_name(),
                "created": now(),
            },
        }


def _accuracy(outputs: npt.NDArray[Any], labels: npt.NDArray[Any] | None) -> float | None:
    if labels is None or outputs.ndim != 2:
        return None
    return float(np.mean(np.argmax(outputs, axis=1) == labels))


def _audit_document(audit: Audit) -> dict[str, Any]:
    identical, off_by_one, worse = audit.codes
    bound = audit.bound
    return {
        "count": audit.count,
        "outputs": int(audit.measured.size),
        "max_error_full_scale": audit.max_error,
        "rms_error_full_scale": audit.rms_error,
        "max_error_lsb": audit.max_error_lsb,
        "rms_error_lsb": audit.rms_error_lsb,
        "codes_identical": identical,
        "codes_off_by_one": off_by_one,
        "codes_worse": worse,
        "error_quantiles_full_scale": audit.quantiles,
        "bound": {
            "max_error_full_scale": bound.limit,
            "share_of_products_above": bound.share,
            "share_of_products_with_other_codes": list(audit.other_codes),
            "confidence": bound.confidence,
        },
        "ngspice_seconds_per_product": audit.ngspice_seconds,
    }


def run_experiment(
    network: Network,
    dataset: Dataset,
    calibration: Calibration | UncalibratedChip,
    engine: Engine,
    *,
    gains: Engine | None = None,
    audit: int = 0,
    seed: int = 0,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: bool = False,
    worst_path: str | Path | None = None,
) -> Experiment:
    """Run a network on a data set, digitally beside it, and audit it.

    Parameters
    ----------
    network : Network
        Compiled for the chip.
    dataset : Dataset
        Inputs and labels.
    calibration : Calibration or UncalibratedChip
        Of the chip.
    engine : Engine
        What multiplies vectors by tiles.
    gains : Engine, optional
        On which to fit digital gains first, of the calibration inputs or else of the first ones; none by default.
    audit : int
        Products to do again in ngspice.
    seed : int
        Seed of their sample.
    simulator, jobs
        Time-out and parallelism of the audit.
    progress : bool
        Whether to show progress on standard error.
    worst_path : str or Path, optional
        Where to write the netlist of the audited product with the largest error.

    Raises
    ------
    NetworkError
        If the data do not fit the network, or an audit is asked for of a chip that nobody calibrated.
    SimulationError
        If a simulation of the audit fails.
    """
    typical: Inputs | None = dataset.calibration_inputs
    if network.ranges is None:
        if typical is None:
            typical = network.fit_on_first(dataset.inputs)
        else:
            network.fit_ranges(typical)
    network.clear_gains()
    if gains is not None:
        network.fit_gains(dataset.first(CHUNK).inputs if typical is None else typical, gains)
    network.prepare(engine, progress=progress)
    start = time.monotonic()
    result = network.run(dataset.inputs, engine, sample=audit or MAPPED, seed=seed, progress=progress)
    seconds = time.monotonic() - start
    audited = None
    if audit:
        audited = audit_samples(
            result.samples, calibrated(calibration), simulator=simulator, jobs=jobs,
            progress="audit" if progress else "", worst_path=worst_path,
        )  # fmt: skip
    return Experiment(
        calibration=calibration,
        dataset=dataset,
        result=result,
        digital=network.run_digital(dataset.inputs),
        audit=audited,
        seconds=seconds,
        seed=seed,
    )
