"""Circuits of one's own: drivers named by code, cells and read-outs in a library; what of them is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.plan import load_plan, plan_calibration
from spicesim.calibration.sense_amplifier import linear_range, plan_sense_amplifier
from spicesim.characterise import find_block
from spicesim.chip import format_chip, load_chip, preset
from spicesim.errors import SpecError
from spicesim.netlist.area import Layout, block_areas
from spicesim.netlist.dac import build_dac, dac_blocks
from spicesim.netlist.driver import Driver
from spicesim.netlist.process import block_text
from spicesim.netlist.tile import build_tile

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
CHIP = preset("generic-1t1r").changed(array={"rows": 4, "columns": 2})


@pytest.fixture
def own(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return CHIP.changed(dac={"kind": "own_driver:StringDac", "bits": 4})


def readout():
    return CHIP.changed(library=str(EXAMPLES / "own_readout"))


def tile(chip):
    g, codes = np.full((4, 2), 1e-5), np.arange(4)
    return build_tile(chip, g, codes, polarity="unipolar", r_feedback=chip.settings[0]).format()


class Named(Driver):
    """Gives whatever text it is told."""

    words = "named"
    text = ""

    def blocks(self, chip):
        return [self.text]


@pytest.fixture
def named(monkeypatch):
    monkeypatch.setitem(sys.modules, "named_driver", sys.modules[__name__])
    monkeypatch.setattr("spicesim.own_code._find", lambda word: Path(__file__))
    return CHIP.changed(dac={"kind": "named_driver:Named", "bits": 2})


@pytest.mark.parametrize("section", ["dac", "adc"])
def test_code_in_a_file_runs_only_if_it_is_trusted(world, monkeypatch, section):
    Path("strange_code.py").write_text("raise SystemExit('it ran')\n")
    chip = CHIP.changed(**{section: {"kind": "strange_code:Part"}})
    Path("chip.toml").write_text(format_chip(chip))
    Path("plan.json").write_text(json.dumps(plan_calibration(CHIP, quick=True).model_dump(mode="json")
                                            | {"chip": chip.model_dump(mode="json")}))  # fmt: skip
    for load, file in ((load_chip, "chip.toml"), (load_plan, "plan.json")):
        with pytest.raises(SpecError, match=f"{section}.kind: .* is Python code that 'strange_code:Part' would run"):
            load(Path(file))
    monkeypatch.setenv("SPICESIM_TRUSTED", str(Path("strange_code.py").absolute()))
    assert load_chip(Path("chip.toml")) == chip  # named, and not run before it is needed


def test_a_driver_of_ones_own_takes_whole_codes(own):
    assert own.dac.is_dac
    assert (own.code_bits, own.dac.level_bits) == (4, 4)
    assert own.hash != CHIP.changed(dac={"bits": 4}).hash


def test_unknown_drivers_are_refused_with_those_there_are():
    with pytest.raises(SpecError, match=r"no driver 'string'; there are: r2r, bits, pulse, or package.module:Name"):
        CHIP.changed(dac={"kind": "string"})
    for word, why in (("nowhere:Dac", "no Python package"), ("spicesim.coding:AdcRange", "must be a subclass")):
        with pytest.raises(SpecError, match=why):
            build_dac(CHIP.changed(dac={"kind": word}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* nothing", "need a subcircuit: .subckt dac out b0 b1 vlo vhi vdd vss; got none of that name"),
        (".subckt dac out b0 vlo vhi vdd vss\n.ends dac", "got the ports out b0 vlo vhi vdd vss"),
        (
            ".subckt dac out b0 b1 vlo vhi vdd vss\n.ends dac\n.subckt switch a b\n.ends switch",
            "switch is a subcircuit of the library; rename yours",
        ),
    ],
)
def test_a_driver_that_no_tile_could_call_is_refused(named, monkeypatch, text, why):
    monkeypatch.setattr(Named, "text", text)
    with pytest.raises(SpecError, match=why):
        dac_blocks(named)


def test_every_subcircuit_of_a_tile_stands_once(own):
    for chip in (CHIP, own, readout(), own.changed(library=str(EXAMPLES / "own_readout"))):
        text = tile(chip)
        names = [line.split()[1] for line in text.splitlines() if line.startswith(".subckt")]
        assert len(names) == len(set(names))
        assert {"opamp", "dac", "tia"} <= set(names)  # the buffer of either driver is the library's amplifier


def test_a_driver_of_ones_own_has_an_area(own):
    areas = [block_areas(own.changed(dac={"bits": bits})).dac for bits in (4, 5)]
    switch = (2.5e-6 + 1e-6 + 2 * 3.5 * own.dac.switch_width / 8) * own.process.min_length
    np.testing.assert_allclose(areas[1] - areas[0], 16 * Layout().overhead * switch, rtol=1e-9)  # the string is as long


def test_what_is_known_of_the_library_s_circuits_alone_is_no_aspect_of_others(own):
    assert possible_aspects(own) == (("converter", "energy", "noise", "climate"), "drivers are your own")
    assert possible_aspects(readout())[0] == ("converter", "energy", "noise", "climate")
    assert "settling" in possible_aspects(CHIP)[0]


def test_an_amplifier_of_ones_own_is_swept_by_what_a_column_carries():
    """It may hold its line whatever its output does; one around a resistor passes no more than its rails make."""
    column = 4 * CHIP.cell.g_max * CHIP.dac.v_span
    assert plan_sense_amplifier(readout(), 160e3).table.i_limit > 1.2 * column
    assert plan_sense_amplifier(CHIP, 160e3).table.i_limit < column


def test_a_bent_curve_is_linear_around_zero():
    i = np.linspace(-1e-4, 1e-4, 2001)
    bent = 1e4 * i - 2e7 * i**2
    found = linear_range(i, bent)
    assert found.start < 1000 < found.stop
    slope = np.polyfit(i[found], bent[found], 1)[0]
    assert abs(slope / 1e4 - 1) < 0.01
    assert linear_range(i, 1e4 * i) == slice(0, 2001)


def test_conductances_that_cannot_have_a_mean_are_uniform():
    rng = np.random.default_rng(0)
    g = random_conductances((50, 50), 20e-6, 60e-6, rng, 15e-6)
    assert 20e-6 < g.min() < g.max() < 60e-6
    assert abs(g.mean() / 40e-6 - 1) < 0.02


def test_a_data_sheet_is_of_a_record(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert find_block("own_block:FOLLOWER").title == "source follower"
    with pytest.raises(SpecError, match=r"must be a record, a spicesim.characterise.Block, got function"):
        find_block("own_block:follower_bench")
    with pytest.raises(SpecError, match=r"no block 'follower'; there are: dac, .*, or package.module:NAME"):
        find_block("follower")


def test_blocks_of_the_library_may_be_called(own):
    opamp, switch, dac = dac_blocks(own)
    assert (opamp, switch) == (block_text("opamp", own), block_text("switch", own))
    assert dac.count(" switch ") == 15
