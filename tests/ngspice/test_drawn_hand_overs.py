"""Hand-overs of drawn amplifiers, whose arrays are cut off while they still ring."""

import numpy as np
import pytest

from spicesim.calibration.amplifier_hand_over import find_amplifiers
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.drawn_hand_over import check_drawn, find_drawn, shift_drawn
from spicesim.calibration.mismatch_bench import RESISTORS
from spicesim.chip import preset
from spicesim.draws import AMPLIFIER
from spicesim.metrics import rms
from spicesim.netlist.ensemble import build_sense_amplifiers
from spicesim.netlist.mismatch import drawn_devices

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def chip():
    return preset("generic-1t1r").changed(
        array={"rows": 1, "columns": 1}, cell={"g_min": 50e-6, "g_max": 500e-6}, sense_amplifier={"r_feedback": [20e3]},
        adc={"kind": "sar", "bits": 6}, sar_adc={"sample": 15e-9, "dac": {"unit": 40e-15}},
    )  # fmt: skip


def typical(errors):
    """Return the rms of all but the three largest, which are of outputs next to the rail."""
    return rms(np.sort(np.abs(errors))[:-3])


@pytest.fixture(scope="module")
def nominal(chip):
    return find_amplifiers(chip, chip.converter, Campaign())


@pytest.fixture(scope="module")
def drawn(chip, nominal):
    netlist = build_sense_amplifiers(chip, chip.settings[0], range(1), [1.0], [-1e-6, 1e-6])
    paths = drawn_devices(netlist, chip.process, resistors=RESISTORS)
    devices = tuple(path.partition(".")[2] for path in paths if path.startswith(f"{AMPLIFIER}_0."))
    return find_drawn(chip, nominal, devices, Campaign())


def test_what_drawn_amplifiers_hand_over_follows_from_their_numbers(chip, nominal, drawn):
    """Amplifiers, columns and outputs are others than those of the fit; of loads below 1 two fifths are left."""
    alike = drawn.model_copy(update={"slopes": 0 * drawn.slopes})
    left, before = (typical(check_drawn(chip, nominal, own, Campaign())) for own in (drawn, alike))
    np.testing.assert_allclose(left, typical(drawn.residuals), rtol=1e-6)
    assert before > 100e-6  # or there is nothing to be seen: steps in time leave 20 uV
    assert left < 0.2 * before


def test_hand_overs_of_drawn_amplifiers_are_others_elsewhere(chip, nominal, drawn):
    """At 125 C; what is told of the chip's own temperature is worse there."""
    hot = chip.at(temperature_c=125.0)
    (added,) = shift_drawn(drawn, nominal, [hot], Campaign())
    there = drawn.model_copy(update={"slopes": drawn.slopes + added})
    left, before = (typical(check_drawn(hot, nominal, own, Campaign())) for own in (there, drawn))
    assert left < 0.5 * before
