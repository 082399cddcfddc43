"""What tests of circuits share."""

from collections.abc import Callable

import pytest

from fuzz.calibrations import sar_chip
from simulation import PROCESSES
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip, preset


@pytest.fixture(params=PROCESSES)
def chip(request: pytest.FixtureRequest) -> Chip:
    """Return each chip that ships, one after the other."""
    return preset(request.param)


@pytest.fixture(scope="session")
def sar_calibration(calibrate_once: Callable[..., Calibration]) -> Calibration:
    """Return a quick calibration of a generic chip with 8x4 cells and converters."""
    aspects = ("converter", "noise", "mismatch")
    return calibrate_once("sar-8x4", lambda: calibrate(sar_chip(), quick=True, aspects=aspects, accept="a test"))
