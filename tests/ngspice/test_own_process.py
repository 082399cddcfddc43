"""A process kit of one's own, made up here, brought as netlists/processes.md says; and the SKY130 cards."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.characterise import Conditions, find_block
from spicesim.chip import format_chip, load_chip, preset
from spicesim.cli.netlist import netlist
from spicesim.netlist import build_cell, build_tile
from spicesim.ngspice.batch import BatchSimulator

PAGE = Path(__file__).parents[2] / "netlists" / "processes.md"

CARDS = """\
.model n25 nmos level=1 vto={n} kp=150u gamma=0.4 phi=0.8 lambda=0.08 tox=5n ld=15n cgdo=0.25n cgso=0.25n
.model p25 pmos level=1 vto=-{p} kp=45u gamma=0.4 phi=0.8 lambda=0.1 tox=5n ld=15n cgdo=0.25n cgso=0.25n
"""
CORNERS = {"tt": (0.5, 0.55), "ff": (0.42, 0.47), "ss": (0.58, 0.63), "fs": (0.42, 0.63), "sf": (0.58, 0.47)}


@pytest.fixture
def chip(tmp_path, monkeypatch):
    """Follow the page: the kit's files, the process in place of that of a preset, the rest fitted to the supply."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kit").mkdir()
    sections = [f".lib {name}\n{CARDS.format(n=n, p=p)}.endl {name}\n" for name, (n, p) in CORNERS.items()]
    (tmp_path / "kit" / "models.lib").write_text("".join(sections))
    process, _ = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    usual = format_chip(preset("gf180-1t1r"))
    text = usual[: usual.index("[process]")] + process + usual[usual.index("\n# The crossbar") :]
    text = re.sub(r"^v_reference = .*$", "v_reference = 1.2", text, flags=re.MULTILINE)
    text = re.sub(r"^access_length = .*$", "access_length = 0.25e-6", text, flags=re.MULTILINE)
    (tmp_path / "chip.toml").write_text(text)
    return load_chip("chip.toml")


def test_a_kit_of_one_s_own_has_corners_sheets_and_drawn_chips(chip):
    block = find_block("comparator")
    sheet = block.bench(chip.at(corner="ss")).run(chip.at(corner="ss"), Conditions(samples=3, seed=1))
    assert not sheet.failures
    offset = next(entry for entry in sheet.entries if "offset" in entry.text)
    assert 0 < offset.spread.sigma < 0.1

    def current(corner):
        circuit = chip.at(corner=corner)
        (plot,) = BatchSimulator().run(build_cell(circuit, circuit.cell.g_max))
        return max(float(np.max(np.abs(values))) for name, values in plot.vectors.items() if name.startswith("i("))

    assert current("ss") < current("typical") < current("ff")


def test_a_tile_of_a_kit_of_one_s_own_is_written_by_the_command_and_runs(chip, tmp_path):
    np.save("g.npy", np.full((3, 2), 2e-5))
    np.save("codes.npy", np.array([0, 128, 255]))
    words = ["tile", "--chip", "chip.toml", "--conductance", "g.npy", "--codes", "codes.npy", "--mismatch", "2"]
    said = CliRunner().invoke(netlist, [*words, "-o", "tile.cir"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    built = build_tile(chip, np.full((3, 2), 2e-5), np.array([0, 128, 255]), polarity="unipolar", r_feedback=40e3)
    (plot,) = BatchSimulator().run(built)
    wanted = 1.2 - 40e3 * 2e-5 * chip.dac.v_span * (128 + 255) / 256
    assert float(plot.vectors["v(out_0)"][0]) == pytest.approx(wanted, rel=0.03)  # cells in series, offsets


@pytest.mark.parametrize("corner", ["typical", "ss"])
def test_sky130_tiles_multiply(corner):
    chip = preset("sky130-1t1r").at(corner=corner, temperature_c=27.0 if corner == "typical" else 85.0)
    g = np.random.default_rng(5).uniform(1e-6, 5e-5, (4, 2))
    codes = np.array([255, 0, 130, 17])
    (plot,) = BatchSimulator().run(build_tile(chip, g, codes, polarity="unipolar", r_feedback=20e3))
    found = 0.8 - np.array([float(plot.vectors[f"v(out_{j})"][0]) for j in range(2)])
    ideal = 20e3 * chip.dac.v_span / 256 * codes @ g
    np.testing.assert_allclose(found, ideal, rtol=0.05)  # transistors in series, offsets of the amplifiers
