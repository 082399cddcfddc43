"""The current-steering DAC divides a current, and errs by the mismatch of its sources."""

import numpy as np
import pytest

from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.current_dac import current_dac_bench
from spicesim.chip import preset
from spicesim.chip.blocks import CurrentDac
from spicesim.errors import SpecError
from spicesim.netlist.current_dac import build_current_dac
from spicesim.netlist.mismatch import read_mismatch, with_mismatch
from spicesim.ngspice.batch import BatchSimulator

GENERIC = preset("generic-1t1r")


def outputs(netlist):
    found = BatchSimulator().run(netlist)[0].vectors
    negative = -found["i(voutn)"]
    return -found["i(voutp)"] - negative, negative


def test_its_data_sheet_is_that_of_matched_sources(chip):
    sheet = run_bench(current_dac_bench(chip), chip, Conditions())
    assert sheet["lsb"] == pytest.approx(1e-6, rel=0.01)
    assert sheet["inl"] < 0.01
    assert sheet["sum_error"] < 0.01
    assert sheet["r_out"] > 1e6
    assert 0.15 < sheet["compliance"] < 1.2
    # 1 kohm, 0.1 pF and the junctions: less than 20 time constants
    assert sheet["t_settle"] < 2e-9


def test_what_one_output_does_not_sink_the_other_does():
    positive, negative = outputs(build_current_dac(GENERIC))
    np.testing.assert_allclose(positive + negative, 63e-6, rtol=5e-3)
    np.testing.assert_allclose(positive / negative[0], np.arange(64) / 63, atol=2e-4)


def test_a_planted_threshold_shift_comes_out_in_the_inl():
    """The largest bit's source shifted by 3 sigma: square law for its current, and INL within 0.01 LSB."""
    sizes = CurrentDac()
    shift = 3 * read_mismatch(GENERIC.process)["nch"].sigma_threshold(2e-6, 4e-6, 32)
    netlist = build_current_dac(GENERIC, sizes)
    planted = with_mismatch(netlist, GENERIC.process, lambda path: (3.0 if path == "xdac.xbit5.m1" else 0.0, 0.0))
    clean, moved = (outputs(circuit)[0] for circuit in (netlist, planted))
    beta = 100e-6 * 2e-6 / (4e-6 - 40e-9)
    # saturated at some 0.4 V; the current raised by channel-length modulation asks for less overdrive
    overdrive = np.sqrt(2e-6 / (beta * (1 + 0.06 * 0.4)))
    levels = clean.copy()
    levels[32:] += (clean[32] - clean[0]) * ((1 - shift / overdrive) ** 2 - 1)

    def inl(values):
        return (values - values[0]) / (values[-1] - values[0]) * 63 - np.arange(64)

    assert np.abs(inl(levels)).max() > 0.1, "the planted error is large against the bound"
    np.testing.assert_allclose(inl(moved), inl(levels), atol=0.01)


def test_mismatch_spreads_the_inl(chip):
    sheet = run_bench(current_dac_bench(chip), chip, Conditions(samples=8, seed=4))
    assert 0.02 < sheet.entry("inl").spread.mean < 1


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: GENERIC.changed(current_dac={"bits": 12}), r"current_dac.bits.*equal to"),
        (lambda: GENERIC.changed(current_dac={"unit": 1.0}), r"current_dac.unit.*0.0001"),
        (lambda: GENERIC.changed(current_dac={"source_width": 1e-6}), r"current_dac.source_width.*1.4 um or more"),
        (lambda: build_current_dac(GENERIC, CurrentDac(length=0.3e-6)), "below the process"),
    ],
)
def test_impossible_converters_are_refused(build, said):
    with pytest.raises(SpecError, match=said):
        build()
