"""What came out of one chip: the network's result, its audit, and the document that keeps their numbers."""

import math
from dataclasses import dataclass, replace
from typing import Any

from spicesim.arrays import Array
from spicesim.audit import Audit
from spicesim.bound import share_interval
from spicesim.calibration.calibration import Calibration
from spicesim.experiment.metric import Verdict, accuracy_of
from spicesim.network import Result
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.provenance import cpu_name, now

__all__ = ["Experiment", "audit_document"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """What came out of a run."""

    calibration: Calibration | UncalibratedChip
    """Of the chip, or the chip itself where nobody calibrated it."""
    dataset: Dataset
    """What was run."""
    result: Result
    """Outputs and statistics."""
    digital: Array
    """Scores of the network, computed digitally, the batch first."""
    digital_answers: Array | None
    """Its answers, if it names classes itself; see :class:`spicesim.network.Result`."""
    verdict: Verdict | None
    """What the user's own metric says, if there is one."""
    audit: Audit | None
    """Its audit, if one was asked for."""
    seconds: float
    """Time of the run, preparation, audit and digital run left out [s]."""
    preparation_seconds: float
    """Time in which tiles were prepared, and gains fitted [s]."""
    seed: int
    """Seed of the chip."""

    def noted(self, note: str) -> "Experiment":
        """Return the same with one more note."""
        stats = self.result.stats
        return replace(self, result=replace(self.result, stats=replace(stats, notes=(*stats.notes, note))))

    @property
    def accuracy(self) -> float | None:
        """Fraction of inputs whose largest output is their label; None without labels."""
        answers = None if self.result.answers is None else self.result.outputs[self.result.answers]
        return accuracy_of(self.result.logits, answers, self.dataset.labels)

    @property
    def digital_accuracy(self) -> float | None:
        """The same of the digital run."""
        return accuracy_of(self.digital, self.digital_answers, self.dataset.labels)

    def interval(self, accuracy: float) -> tuple[float, float]:
        """Return the interval of an accuracy, the inputs being a sample of all there could be."""
        images = self.result.stats.images
        return share_interval(round(accuracy * images), images)

    @property
    def product_seconds(self) -> float:
        """Time of one tile product, converters and the digital remainder included [s]."""
        return self.seconds / max(1, self.result.stats.mvms)

    def _converter(self) -> dict[str, Any]:
        """Return what quantised the outputs."""
        model = self.calibration.require_converter()
        if model is None:
            return {"kind": "ideal"}
        identical = {name: check.identical for name, check in model.checks.items()}
        noise = dict(model.noises)  # root mean squares [V]
        return {"kind": self.calibration.chip.adc.kind, "codes_identical": identical, "noise": noise}

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        stats = self.result.stats
        layers = [
            {
                "name": s.name,
                "op": s.op,
                "tiles": s.tiles,
                "array": s.array,
                "forms": list(s.forms),
                "promised_error": s.promised_error,
                "memory": s.held,
                "processor_seconds": s.seconds,
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
            "engine": self.result.engine,
            "images": stats.images,
            "accuracy": self.accuracy,
            "accuracy_interval": None if self.accuracy is None else self.interval(self.accuracy),
            "digital_accuracy": self.digital_accuracy,
            "metric": None if self.verdict is None else self.verdict.document(),
            "seconds": self.seconds,
            "seconds_preparation": self.preparation_seconds,
            "tile_products": stats.mvms,
            "seconds_per_product": self.product_seconds,
            "layers": layers,
            "notes": list(stats.notes),
            "converter": self._converter(),
            "audit": None if self.audit is None else audit_document(self.audit),
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


def audit_document(audit: Audit) -> dict[str, Any]:
    """Return all numbers of an audit as plain data, ready for JSON."""
    identical, off_by_one, worse = audit.codes
    bound = audit.bound
    return {
        "count": audit.count,
        "outputs": int(audit.measured.size),
        "codes": int(audit.code_differences.size),
        "in_ngspice": audit.pieces,
        "max_error_full_scale": audit.max_error,
        "rms_error_full_scale": audit.rms_error,
        "max_error_lsb": audit.max_error_lsb,
        "rms_error_lsb": audit.rms_error_lsb,
        "codes_identical": identical,
        "codes_off_by_one": off_by_one,
        "codes_worse": worse,
        "codes_missed_by_lsb": float(audit.code_misses.max(initial=0.0)),
        "quantiser": audit.quantiser,
        "code_bound": audit.code_bound.document(),
        "error_quantiles_full_scale": audit.quantiles,
        "bound": {
            "max_error_full_scale": bound.limit,
            "share_of_products_above": bound.share,
            "share_of_products_with_other_codes": list(audit.other_codes),
            "confidence": bound.confidence,
        },
        "ngspice_seconds_per_product": audit.ngspice_seconds,
        "by_layer": [
            {
                "name": name,
                "products": own.products,
                "count": own.bound.count,
                "max_error_full_scale": own.bound.limit,
                "share_of_products_above": own.bound.share,
                "share_of_products_with_other_codes": list(own.other_codes),
                "code_bound": own.codes.document(),
            }
            for name, own in audit.by_layer.items()
        ],
    }
