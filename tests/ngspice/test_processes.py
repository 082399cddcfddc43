"""Whole tiles of a process at the ends of its corners and temperatures, calibrated there by themselves."""

import numpy as np
import pytest

from simulation import needs_compiler
from spicesim.calibration.calibrate import calibrate
from spicesim.chip import preset

pytestmark = pytest.mark.long

SMALL = {"array": {"rows": 8, "columns": 4}, "dac": {"bits": 4}, "sense_amplifier": {"r_feedback": (20e3, 160e3)}}
PLACES = [
    pytest.param("ihp130-1t1r", "ss", -40.0, 5e-5, 2e-4, marks=needs_compiler),
    pytest.param("ihp130-1t1r", "ff", 125.0, 1e-5, 1e-5, marks=needs_compiler),
]
"""Where a kit was hardest: its op-amps have least room there; its gates leak most, .17 nA a cell, by an exponential of
the line's voltage. Errors of linear outputs and of all, as fractions of full scale."""


@pytest.mark.parametrize(("name", "corner", "temperature_c", "linear", "every"), PLACES)
def test_whole_tiles_are_the_models_at_a_corner(name, corner, temperature_c, linear, every):
    chip = preset(name).changed(SMALL).at(corner=corner, temperature_c=temperature_c)
    checks = calibrate(chip, quick=True, aspects=(), jobs=1).checks
    saturated = np.concatenate([np.array(check.saturated).ravel() for check in checks])
    errors = np.concatenate([np.abs(check.errors).ravel() for check in checks])
    assert saturated.any()
    assert errors[~saturated].max() <= linear
    assert errors.max() <= every
