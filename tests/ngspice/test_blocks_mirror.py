"""The current-mirror readout copies a bit line's current, and errs by what its transistors say."""

import numpy as np
import pytest

from simulation import run
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.mirror import mirror_bench
from spicesim.chip import preset
from spicesim.chip.blocks import Mirror
from spicesim.errors import SpecError
from spicesim.netlist.mirror import build_mirror, build_mirror_step
from spicesim.netlist.mismatch import read_mismatch, with_mismatch

GENERIC = preset("generic-1t1r")


@pytest.mark.parametrize("ratio", [1, 3])
def test_it_copies_the_current_and_holds_the_bit_line(chip, ratio):
    found = run(build_mirror(chip, 100e-6, sizes=Mirror(ratio=ratio), points=21))
    i = np.linspace(5e-6, 100e-6, 20)
    # with the output at the reference both transistors have the same voltages
    np.testing.assert_allclose(-found["i(vout)"], ratio * i, rtol=2e-4)
    assert np.abs(found["v(in)"] - chip.sense_amplifier.v_reference).max() < 1e-3


def test_a_column_takes_no_current_from_a_held_bit_line(chip):
    light, heavy = (run(build_mirror(chip, 100e-6, r_column=r, points=11))["i(vout)"] for r in (1e6, 1e3))
    np.testing.assert_allclose(heavy, light, rtol=2e-2)


def test_output_resistance_is_that_of_channel_length_modulation():
    """Level 1: I = I0 (1 + lambda V), so dV/dI = (1 + lambda V)/(lambda I) with lambda 0.06/V."""
    sheet = run_bench(mirror_bench(GENERIC), GENERIC, Conditions())
    assert sheet["r_out"] == pytest.approx((1 + 0.06 * 1.65) / (0.06 * 50e-6), rel=2e-3)
    # it saturates at the overdrive, sqrt(2 I/beta)
    beta = 100e-6 * 20e-6 / (1e-6 - 40e-9)
    assert sheet["compliance"] == pytest.approx(np.sqrt(2 * 50e-6 / beta), rel=0.2)


def test_a_planted_threshold_shift_is_the_error_of_the_square_law():
    sigma = read_mismatch(GENERIC.process)["nch"].sigma_threshold(20e-6, 1e-6)
    netlist = build_mirror(GENERIC, 100e-6, points=11)
    planted = with_mismatch(netlist, GENERIC.process, lambda path: (2.0 if path == "xmirror.m2" else 0.0, 0.0))
    i = np.linspace(10e-6, 100e-6, 10)
    beta = 100e-6 * 20e-6 / (1e-6 - 40e-9) * (1 + 0.06 * 1.65)
    expected = i * (1 - 2 * sigma / np.sqrt(2 * i / beta)) ** 2
    np.testing.assert_allclose(-run(planted)["i(vout)"], expected, rtol=1e-3)


def test_it_settles_with_any_column(chip):
    for r_column in (300.0, 1e5):
        found = run(build_mirror_step(chip, 25e-6, 75e-6, r_column=r_column))
        late = found["i(vout)"][found["time"] > 1.5e-6]
        np.testing.assert_allclose(late, -75e-6, rtol=1e-2)
        assert np.ptp(late) < 1e-9, "no ringing is left"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda c: c.changed(mirror={"ratio": 0}), r"mirror.ratio.*greater than or equal to 1"),
        (lambda c: c.changed(mirror={"width": -1.0}), r"mirror.width.*greater than 0"),
        (lambda c: build_mirror(c, 0.0), "positive"),
        (lambda c: build_mirror(c, 1e-6, sizes=Mirror(length=0.1e-6)), "below the process"),
    ],
)
def test_impossible_mirrors_are_refused(build, said):
    with pytest.raises(SpecError, match=said):
        build(GENERIC)
