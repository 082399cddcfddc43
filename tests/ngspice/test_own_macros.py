"""Macros of ours beside published ones, simulated."""

import pytest

from spicesim.calibration.campaign import Campaign
from spicesim.published.own import measure_macros


def test_a_conversion_a_bit_takes_more_than_one_an_input():
    digital, charge = measure_macros(["gf180-voltage"], Campaign(quick=True, jobs=1), size=4, bits=((4, 6),))
    assert (digital.mode, charge.mode) == ("bits added digitally", "bits added as charge")
    assert digital.adc_energy == pytest.approx(charge.adc_energy)
    assert digital.energy["adc"] == pytest.approx(4 * charge.energy["adc"])
    assert charge.energy["adc"] == pytest.approx(4 * charge.adc_energy)
    assert digital.tops_per_watt < charge.tops_per_watt
    assert digital.time > charge.time
