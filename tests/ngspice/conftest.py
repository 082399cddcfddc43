"""What tests of circuits share."""

from collections.abc import Callable
from typing import Any

import pytest

from fuzz.calibrations import sar_chip
from simulation import PROCESSES
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.rails import calibrate_rails
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


@pytest.fixture(scope="session")
def on_rails(gf180_calibration: Calibration) -> Callable[..., Calibration]:
    """Return what puts two columns of that chip on rails, with two feedbacks, and what of these no fit has seen."""

    def put(rails: dict[str, Any], feedbacks: tuple[float, float]) -> Calibration:
        chip = gf180_calibration.chip.changed(
            array={"columns": 2}, rails=rails, sense_amplifier={"r_feedback": feedbacks}
        )
        senseamps = tuple(gf180_calibration.senseamp(r) for r in feedbacks)
        model, held_out = calibrate_rails(chip, gf180_calibration.dacs, senseamps, Campaign())
        update = {"chip": chip, "senseamps": senseamps, "rails": model, "held_out": held_out}
        return gf180_calibration.model_copy(update=update)

    return put
