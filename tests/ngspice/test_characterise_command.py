"""The characterise command: a data sheet in the terminal, as JSON, as a page; the testbenches as files."""

import json
import re
import subprocess

import pytest
from click.testing import CliRunner

from spicesim.characterise import BLOCKS
from spicesim.cli.characterise import characterise
from spicesim.cli.main import main


@pytest.fixture
def call(capsys):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["characterise", *map(str, words)])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def refused(result, *said):
    code, _, error = result
    lines = [line for line in error.splitlines() if line.strip()]
    assert code == 2, error
    assert len(lines) == 1, error
    for word in said:
        assert word in lines[0]


def test_a_data_sheet_is_printed_kept_and_drawn(call, tmp_path):
    page, data, figure = tmp_path / "cell.html", tmp_path / "cell.json", tmp_path / "cell.svg"
    words = ("cell", "--chip", "generic-1t1r", "--corner", "ss", "--temperature", "125", "--samples", 3, "--seed", 7)
    code, out, _ = call(*words, "--json", data, "--plot", page)
    assert code == 0
    assert "level 1, ss, 125 C" in out
    assert "3 samples of mismatch, seed 7" in out
    assert re.search(
        r"resistance of the access transistor +[\d.]+ kohm +[\d.]+ kohm \+- [\d.]+ k?ohm +[\d.]+ k?ohm", out
    )
    document = json.loads(data.read_text())
    assert document["block"] == "cell"
    assert document["temperature_c"] == 125
    assert document["quantities"]["r_access"]["unit"] == "ohm"
    assert document["quantities"]["r_access"]["spread"]["samples"] == 3
    assert document["provenance"]["ngspice"]
    (curve,) = document["curves"]
    assert all(len(y) == len(curve["x"]) for y in curve["curves"].values())
    assert "<svg" in page.read_text()
    assert "resistance of the access transistor" in page.read_text()
    assert call("cell", "--chip", "generic-1t1r", "--plot", figure)[0] == 0
    assert figure.read_text().startswith("<svg")


def test_the_same_seed_gives_the_same_file(call, tmp_path):
    texts = []
    for k, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{k}.json"
        assert call("2t2r", "--chip", "generic-1t1r", "--samples", 4, "--seed", seed, "--json", path)[0] == 0
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_the_testbenches_run_in_plain_ngspice(call, tmp_path):
    assert call("word_line_driver", "--chip", "generic-1t1r", "--netlists", tmp_path)[0] == 0
    files = sorted(tmp_path.glob("*.cir"))
    assert [file.name for file in files] == ["word_line_driver_load.cir", "word_line_driver_pulse.cir"]
    for file in files:
        subprocess.run(["ngspice", "-b", "-r", "out.raw", file.name], cwd=tmp_path, check=True, capture_output=True)


def test_the_list_names_every_block_and_what_is_measured(call):
    code, out, _ = call("--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(BLOCKS)
    assert "INL" in out


def test_mistakes_are_one_line_with_a_remedy(call, tmp_path):
    refused(call("amplifier"), "no block 'amplifier'", "dac, sense_amplifier", "--list")
    refused(call("cell", "--corner", "tt"), "'tt' is not one of")
    refused(call("cell", "--temperature", "400"), "400")
    refused(call("cell", "--samples", "1"), "two samples")
    refused(call("cell", "--plot", "out.png"), ".html or .svg")
    refused(call("cell", "--chip", tmp_path / "none.toml"), "no chip description")


def test_a_design_kit_that_is_not_there_is_named(call, tmp_path):
    from spicesim.chip import preset, save_chip

    chip = preset("gf180-1t1r").changed(process={"models": [{"path": "/nowhere/models.lib", "section": "typical"}]})
    save_chip(chip, tmp_path / "chip.toml")
    refused(call("cell", "--chip", tmp_path / "chip.toml"), "/nowhere/models.lib", "correct its path")


def test_a_transistor_wider_than_the_models_is_refused(call, tmp_path):
    from spicesim.chip import preset, save_chip

    chip = preset("generic-1t1r").changed(process={"max_width": 50e-6})
    save_chip(chip, tmp_path / "chip.toml")
    refused(call("word_line_driver", "--chip", tmp_path / "chip.toml"), "wider than the models cover", "smaller width")


def test_limits_are_held_against_the_worst_corner_and_decide_the_exit_status(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "limits.toml").write_text('[comparator]\ntau = { max = "1n" }\ndelay_1mv = { max = "0.4n" }\n')
    words = ["comparator", "--chip", "generic-1t1r", "--limits", "limits.toml", "--corner", "ff", "--temperature", "0"]
    fast = CliRunner().invoke(characterise, words)
    assert fast.exit_code == 0, fast.output
    assert fast.output.count("pass") == 2
    both = CliRunner().invoke(characterise, [*words, "--corner", "ss", "--supply", "3.0", "--json", "pvt.json"])
    assert both.exit_code == 1
    assert "FAIL" in both.output
    assert "1 of 2 limits are missed: delay at 1 mV" in both.output
    sheets = json.loads((tmp_path / "pvt.json").read_text())["sheets"]
    assert [one["where"] for one in sheets] == ["ff, 0 C, 3 V", "ss, 0 C, 3 V"]
    slow, quick = (one["quantities"]["delay_1mv"]["value"] for one in reversed(sheets))
    assert slow > quick
