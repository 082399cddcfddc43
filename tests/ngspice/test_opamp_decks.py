"""The op-amp's sheet against ten decks written by hand, each with another method than the sheet's, on three processes.

Decks run in ngspice by itself. Of spicesim they have the amplifier and the names of the process's files.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from simulation import needs_compiler
from spicesim.characterise import BLOCKS, Conditions
from spicesim.chip import preset
from spicesim.netlist.process import block_text, model_section, start_up_lines
from spicesim.ngspice.verilog_a import loadable

pytestmark = pytest.mark.long

DECKS = sorted((Path(__file__).parent.parent / "decks" / "opamp").glob("*.cir"))
CHIPS = ["gf180-1t1r", "sky130-1t1r", pytest.param("ihp130-1t1r", marks=needs_compiler)]


@pytest.fixture(scope="module", params=CHIPS)
def measured(request, tmp_path_factory):
    """Return a chip's sheet, and the folder of what its decks include."""
    chip = preset(request.param)
    own, folder = chip.sense_amplifier, tmp_path_factory.mktemp(request.param)
    lines = [
        model_section(chip.process), block_text("opamp", chip), ".subckt dut inp inn out vdd vss",
        f"x1 inp inn out vdd vss opamp ibias={own.bias_current} drive={own.drive}", ".ends dut",
        f".param vsupply={chip.process.supply} vcm={own.v_reference}",
    ]  # fmt: skip
    (folder / "dut.inc").write_text("\n".join([*lines, ""]))
    (folder / ".spiceinit").write_text("\n".join(["set num_threads=1", *loadable(start_up_lines(chip.process)), ""]))
    return BLOCKS["opamp"].bench(chip).run(chip, Conditions()), folder


def run_deck(deck, folder):
    """Run a deck; return what it says it found, by the keys of the sheet."""
    ran = subprocess.run(
        ["ngspice", "-b", str(deck)], cwd=folder, env=os.environ | {"HOME": str(folder)}, capture_output=True,
        text=True, timeout=300, check=True,
    )  # fmt: skip
    found = dict(re.findall(r"^deck: (\w+) (\S+)$", ran.stdout, re.MULTILINE))
    assert found, ran.stdout + ran.stderr
    return {key: float(value) for key, value in found.items()}


def test_there_are_ten_decks_and_they_cover_the_sheet(measured):
    keys = {key for deck in DECKS for key in re.findall(r"^ *echo deck: ([a-z]\w+)", deck.read_text(), re.MULTILINE)}
    keys = keys - {"phase_margin_"} | {f"phase_margin_{k}" for k in range(3)}
    assert len(DECKS) == 10
    assert keys == {found.key for found in measured[0].entries}


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.stem)
def test_the_sheet_agrees_with_a_deck(measured, deck):
    sheet, folder = measured
    for key, found in run_deck(deck, folder).items():
        own = sheet.entry(key)
        print(f"{folder.name:14} {deck.stem:18} {key:16} sheet {own.value:.5g}, deck {found:.5g} {own.unit}")
        if own.unit == "dB":  # one per cent of the ratio
            assert abs(own.value - found) < 0.086, key
        else:
            assert own.value == pytest.approx(found, rel=0.01), key
