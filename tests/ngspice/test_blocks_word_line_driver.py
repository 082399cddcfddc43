"""The word-line driver puts one of two levels on a row, through the resistance of its switches."""

import numpy as np
import pytest

from simulation import run
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.waveform import crossing
from spicesim.characterise.word_line_driver import word_line_driver_bench
from spicesim.chip import preset
from spicesim.chip.blocks import WordLineDriver
from spicesim.errors import SpecError
from spicesim.netlist.word_line_driver import build_word_line_driver

GENERIC = preset("generic-1t1r")


def test_a_pulse_has_its_levels_and_its_energy(chip):
    sheet = run_bench(word_line_driver_bench(chip), chip, Conditions())
    row = 1 / (chip.array.columns * chip.cell.g_max / 2)
    span = chip.dac.v_span
    assert sheet["droop"] == pytest.approx(span * sheet["r_high"] / (row + sheet["r_high"]), rel=0.01)
    expected = span**2 * 100e-9 / (row + sheet["r_high"]) + 1e-12 * span * (span - sheet["droop"])
    assert sheet["energy_row"] == pytest.approx(expected, rel=0.02)
    assert 0 < sheet["delay"] < 2e-9


def test_the_switches_have_the_resistance_of_the_square_law():
    """Level 1 at small drain voltages: g = beta (vgs - vth) of both transistors, vth with body effect."""
    sheet = run_bench(word_line_driver_bench(GENERIC), GENERIC, Conditions())
    length = 0.35e-6 - 40e-9
    for key, level in (("r_high", 1.85), ("r_low", 1.65)):
        v_n = 0.7 + 0.45 * (np.sqrt(0.8 + level) - np.sqrt(0.8))
        v_p = 0.75 + 0.4 * (np.sqrt(0.8 + 3.3 - level) - np.sqrt(0.8))
        g = 100e-6 * 40e-6 / length * (3.3 - level - v_n) + 30e-6 * 100e-6 / length * (level - v_p)
        assert sheet[key] == pytest.approx(1 / g, rel=5e-3)


def test_a_large_row_rises_as_one_pole():
    found = run(build_word_line_driver(GENERIC, r_load=1e9, c_load=100e-12, width=100e-9))
    rest, top = 1.65, 1.65 + GENERIC.dac.v_span
    low, high = (
        crossing(found["time"], found["v(out)"], rest + part * (top - rest), after=50e-9) for part in (0.1, 0.9)
    )
    # about 70 ohm at either end of the swing
    assert high - low == pytest.approx(np.log(9) * 71 * 100e-12, rel=0.05)


def test_impossible_drivers_are_refused():
    with pytest.raises(SpecError, match="first inverter"):
        GENERIC.changed(word_line_driver={"width": 2e-6})
    with pytest.raises(SpecError, match=r"wider than the models cover.*several drivers"):
        build_word_line_driver(GENERIC, sizes=WordLineDriver(width=60e-6))
