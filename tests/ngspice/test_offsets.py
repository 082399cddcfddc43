"""Offsets of drawn amplifiers against ngspice, of devices that took no part in any fit."""

import numpy as np

from spicesim.calibration.campaign import Campaign
from spicesim.calibration.mismatch_bench import MismatchBench, Planned
from spicesim.metrics import rms


def test_offsets_of_drawn_amplifiers_are_told_by_their_devices(sar_calibration):
    """A load of many cells multiplies what is left."""
    amplifier, (mismatch,) = sar_calibration.senseamps[0], sar_calibration.mismatch.senseamps
    devices, rng = mismatch.response.devices, np.random.default_rng(31)
    drawn = Planned(devices=devices, numbers=rng.standard_normal((30, 2 * len(devices))))
    bench = MismatchBench(calibration=sar_calibration, campaign=Campaign())
    offsets = bench.amplifier_lines(amplifier, drawn)[:, 1]
    left = offsets - mismatch.response.parameters(drawn.numbers)[:, 1]
    assert rms(left) < 1e-3 * rms(offsets)
