"""Every block is measured at every corner and temperature.

One hard combination runs by default; set SPICESIM_CORNERS=all for five corners by three temperatures.
"""

import os

import numpy as np
import pytest

from simulation import PROCESSES
from spicesim.characterise import BLOCKS, Conditions
from spicesim.characterise.ramp_adc import ramp_adc_bench
from spicesim.characterise.sar_adc import sar_adc_bench
from spicesim.chip import CORNERS, preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.errors import SpecError

pytestmark = pytest.mark.long

TEMPERATURES = (-40, 27, 125)
EVERY = [(corner, celsius) for corner in CORNERS for celsius in TEMPERATURES]
ALL = os.environ.get("SPICESIM_CORNERS") == "all"
CHOSEN = EVERY if ALL else [("ss", -40)]

BENCHES = {name: block.bench for name, block in BLOCKS.items()}
BENCHES["sar_adc"] = lambda chip: sar_adc_bench(chip, SarAdc(dac=ChargeDac(bits=3)), rounds=1)
BENCHES["ramp_adc"] = lambda chip: ramp_adc_bench(chip, bits=3)
"""ADCs with few bits: the same circuits in a fraction of the time."""


@pytest.mark.parametrize("block", BENCHES)
@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("corner", "celsius"), CHOSEN)
def test_a_block_converges_and_is_measured(block, name, corner, celsius):
    chip = preset(name).at(corner=corner, temperature_c=celsius)
    sheet = BENCHES[block](chip).run(chip, Conditions())
    assert all(np.isfinite(entry.value) for entry in sheet.entries)
    assert sheet.temperature_c == celsius
    assert corner == "typical" or sheet.process.endswith(f", {corner}")


@pytest.mark.parametrize("block", BENCHES if ALL else sorted(set(BENCHES) - {"sar_adc", "ramp_adc"}))
@pytest.mark.parametrize("name", PROCESSES if ALL else ["generic-1t1r"])
def test_a_block_is_measured_with_mismatch(block, name):
    chip = preset(name)
    bench = BENCHES[block](chip)
    sheet = bench.run(chip, Conditions(samples=2, seed=11))
    spreads = [entry.spread for entry in sheet.entries if entry.spread]
    assert all(np.isfinite([spread.mean, spread.sigma]).all() for spread in spreads)
    assert spreads or not (bench.varied or bench.extra)


@pytest.mark.parametrize("name", PROCESSES)
def test_corners_order_the_speed_of_transistors(name):
    resistance = {}
    for corner in CORNERS:
        chip = preset(name).at(corner=corner)
        resistance[corner] = BLOCKS["cell"].bench(chip).run(chip, Conditions())["r_access"]
    assert resistance["ff"] < resistance["typical"] < resistance["ss"]
    # the access transistor is an n-channel one, of which the first letter speaks
    assert resistance["fs"] < resistance["typical"] < resistance["sf"]


def test_unknown_corners_and_processes_without_corners_say_so():
    with pytest.raises(SpecError, match=r"no corner 'tt'; there are: typical, ff"):
        preset("gf180-1t1r").at(corner="tt")
    chip = preset("gf180-1t1r")
    bare = chip.changed(process={"models": [{"path": chip.process.models[0].path, "section": "init"}]})
    with pytest.raises(SpecError, match="has no corners"):
        bare.at(corner="ss")


def test_the_typical_corner_is_the_preset():
    for name in PROCESSES:
        assert preset(name).at(corner="typical").hash == preset(name).hash
        assert preset(name).at(corner="ss").at(corner="typical").process.models == preset(name).process.models
