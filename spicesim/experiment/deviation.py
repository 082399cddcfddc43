"""What an engine leaves out, measured: products that it did are done again by the engine exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.engine import ExactEngine, SampledMvm
from spicesim.metrics import rms

__all__ = ["Deviation", "measure_deviation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far outputs of sampled products lie from those of the engine exact, as fractions of converters' ranges."""

    count: int
    """Products."""
    max_error: float
    """The largest."""
    rms_error: float
    """Their root mean square."""
    layer: str
    """Where the largest is."""

    def format(self, engine: str) -> str:
        """Return it in a sentence."""
        return (
            f"the engine {engine} differs from exact by {100 * self.rms_error:.2g} % of the converters' range (RMS), "
            f"and by {100 * self.max_error:.2g} % at most, in {self.count} products of the run, most in {self.layer!r}"
        )

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {
            "products": self.count, "max_error": self.max_error, "rms_error": self.rms_error, "layer": self.layer,
        }  # fmt: skip


def measure_deviation(samples: Sequence[SampledMvm], exact: ExactEngine) -> Deviation:
    """Do products again by the engine exact, on the same devices and blocks.

    Parameters
    ----------
    samples : sequence of SampledMvm
        What an engine did, one product at least.
    exact : ExactEngine
        The circuit of the chip.
    """
    found: list[tuple[float, str, Floats]] = []
    for tile in dict.fromkeys(sample.tile for sample in samples):
        own = [sample for sample in samples if sample.tile is tile]
        truth = exact.prepare(tile).mvm(np.stack([sample.codes for sample in own]))
        for sample, volts in zip(own, truth, strict=True):
            adc = sample.adc
            low, high = adc.low - 0.5 * adc.lsb, adc.high + 0.5 * adc.lsb  # what is beyond is clipped on both sides
            errors = np.abs(np.clip(sample.volts, low, high) - np.clip(volts, low, high)) / (adc.high - adc.low)
            found.append((float(errors.max()), sample.layer, errors))
    largest, layer, _ = max(found, key=lambda item: item[0])
    return Deviation(
        count=len(found), max_error=largest, rms_error=rms(np.concatenate([errors for *_, errors in found])),
        layer=layer,
    )  # fmt: skip
