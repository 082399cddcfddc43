"""How many bits do the converters of a 32x32 array need to read handwritten digits?

An ideal engine stands in for the array, so no calibration is needed, only its limits.
"""

from dataclasses import dataclass

import numpy as np

import spicesim.chip
from spicesim.engine import IdealEngine
from spicesim.network import compile_network, digits_network, load_digits


@dataclass(frozen=True)
class Limits:
    """What a network asks of a calibrated chip."""

    chip: spicesim.chip.Chip
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback: float) -> float:
        return 1.2

    def require_converter(self) -> None:
        return None


def main() -> None:
    digits = load_digits()
    for kind in ("mlp", "cnn"):
        for bits in (3, 4, 5, 6, 8):
            chip = spicesim.chip.preset("gf180-1t1r").changed(
                array={"rows": 32, "columns": 32}, dac={"bits": bits}, adc={"bits": bits}
            )
            network = compile_network(digits_network(kind), Limits(chip), x_calibration=digits.x_calibration)
            result = network.run(digits.x, IdealEngine(chip))
            accuracy = np.mean(result.logits.argmax(axis=1) == digits.y)
            snr = min(layer.snr_db for layer in result.stats.layers)
            print(f"{kind} {bits} bits: accuracy {accuracy:.4f}, worst layer {snr:.1f} dB")


if __name__ == "__main__":
    main()
