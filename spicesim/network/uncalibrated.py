"""A chip that nobody has calibrated: as much as the ideal engine needs to know."""

import hashlib
import math

from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.errors import NetworkError
from spicesim.provenance import versions

__all__ = ["UncalibratedChip", "calibrated"]


class UncalibratedChip:
    """A chip by its description alone, in place of its calibration; only the engine ideal can run it.

    Parameters
    ----------
    chip : Chip
        The chip.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.versions = versions("none")
        self.verdict = None  # there is nothing to judge
        self.hash = hashlib.sha256(f"uncalibrated {chip.hash}".encode()).hexdigest()[:16]

    @property
    def conductance_range(self) -> tuple[float, float]:
        """Conductances of a device, the access transistor left out [S]."""
        return self.chip.cell.g_min, self.chip.cell.g_max

    @property
    def conductance_limits(self) -> tuple[float, float]:
        """Conductances that a device may have [S]: any that is not negative."""
        return 0.0, math.inf

    @property
    def mismatch(self) -> None:
        """None: nobody knows how drawn chips differ."""
        return None

    def linear_swing(self, r_feedback: float) -> float:
        """Return the distance of the reference from the nearer rail; of floating bit lines the drivers' span [V]."""
        reference = self.chip.sense_amplifier.v_reference
        if self.chip.sense_amplifier.kind == "voltage":
            return self.chip.dac.v_span
        return min(reference, self.chip.process.supply - reference)

    def require_converter(self) -> None:
        """Return None: nobody knows the converters, and ideal ones stand in their place."""
        return None


def calibrated(calibration: object) -> Calibration:
    """Return a calibration from which every engine, audit and report can be made.

    Raises
    ------
    NetworkError
        If it is a chip alone, or a stand-in.
    """
    if not isinstance(calibration, Calibration):
        raise NetworkError(
            "without a calibration of the chip only the engine ideal runs, and without audit and report; "
            "run: spicesim calibrate CHIP.toml -o chip.cal.json"
        )
    return calibration
