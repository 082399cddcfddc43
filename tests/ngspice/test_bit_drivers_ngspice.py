"""Word lines driven a bit at a time, against the transistors."""

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.chip import preset

CHIP = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 4}, sense_amplifier={"r_feedback": (10e3, 80e3)}
)  # fmt: skip


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    return calibrate_once("bits-8x4", lambda: calibrate(CHIP, quick=True, aspects=()))


def test_each_level_has_its_own_resistance(calibration):
    dac = calibration.dacs["bipolar"]
    np.testing.assert_allclose(dac.v_open, [-0.2, 0.2], atol=1e-6)
    low, high = (float(np.interp(1e-5, dac.currents, droop)) / 1e-5 for droop in dac.droop)
    assert 40 < low < high < 100  # the switch of the lower level has more of its gate's voltage
    assert high - low > 1


def test_whole_tiles_are_those_of_the_transistors(calibration):
    assert {check.polarity for check in calibration.checks} == {"unipolar", "bipolar"}
    assert max(check.max_error for check in calibration.checks) < 2e-4
    linear = [check.max_error for check in calibration.checks if "linear" in check.name]
    assert max(linear) < 1e-5
