"""Sizing in ngspice: an amplifier that misses its limits becomes one that holds them."""

import json

import pytest

from spicesim.chip import load_chip
from spicesim.cli.size import write_sized
from spicesim.errors import SpecError
from spicesim.sizing import load_sizing, size

pytestmark = pytest.mark.long

SIZING = """
block = "opamp"
chip = "generic-1t1r"
corners = ["typical"]
trials = 12
[limits]
phase_margin_2 = { min = 30 }
[sizes]
cc = { low = "0.2p", high = "4p" }
rz = { low = 200, high = "5k" }
"""


def test_a_sized_amplifier_holds_limits_that_the_librarys_misses(tmp_path):
    path = tmp_path / "sizing.toml"
    path.write_text(SIZING)
    sizing, chip = load_sizing(path)
    found = size(sizing, chip)
    assert found.start.missed > 0 == found.best.missed
    assert found.trials <= sizing.trials
    assert found.best.sizes["cc"] != found.start.sizes["cc"]
    again = size(sizing, chip)  # from kept simulations: the same way
    assert again.document() == found.document()
    write_sized(found, tmp_path / "sized")
    saved = load_chip(tmp_path / "sized" / "chip.toml")
    assert saved.hash == found.best.chip.hash
    (own,) = json.loads((tmp_path / "sized" / "sheets.json").read_text())["sheets"]
    assert own["quantities"]["phase_margin_2"]["value"] >= 30


def test_a_quantity_that_is_none_is_refused(tmp_path):
    path = tmp_path / "sizing.toml"
    path.write_text(SIZING.replace("phase_margin_2", "phase"))
    with pytest.raises(SpecError, match="no quantity 'phase' to limit; there are: gain"):
        size(*load_sizing(path))
    path.write_text(SIZING.replace("trials = 12", 'trials = 12\nminimise = "weight"'))
    with pytest.raises(SpecError, match="no quantity 'weight' to minimise; there are: gain"):
        size(*load_sizing(path))
