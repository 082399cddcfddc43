"""Which aspects a chip's calibration can have, and what is said of one that it lacks."""

import pytest

from spicesim.calibration.aspects import ASPECT_NAMES, lacks, possible_aspects
from spicesim.calibration.calibrate import ASPECTS
from spicesim.chip import PRESETS, preset


def test_every_aspect_has_what_calibrates_it():
    assert tuple(ASPECTS) == ASPECT_NAMES


@pytest.mark.parametrize("name", PRESETS)
def test_no_remedy_is_refused(name):
    """What is told to be calibrated can be; of the rest it is said that there is none."""
    chip = preset(name)
    there, where = possible_aspects(chip)
    for aspect in ASPECT_NAMES:
        said = str(lacks(chip, aspect))
        assert (f"--aspects {aspect}" in said) == (aspect in there)
        assert (where in said) == (aspect not in there)
