"""Circuits of one's own as a user has them: a description, and a file beside it."""

import shutil
from pathlib import Path

import pytest

from spicesim.chip import format_chip, preset
from spicesim.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
CHIP = preset("generic-1t1r").changed(array={"rows": 4, "columns": 2})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPICESIM_TRUSTED", raising=False)
    return tmp_path


def call(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return stop.value.code, said.out + said.err


def test_a_driver_beside_its_description_has_a_data_sheet_once_it_is_trusted(folder, capsys, monkeypatch):
    shutil.copy(EXAMPLES / "own_driver.py", folder / "own_driver_here.py")
    chip = CHIP.changed(dac={"kind": "own_driver_here:StringDac", "bits": 4})
    Path("chip.toml").write_text(format_chip(chip))
    words = ("characterise", "dac", "--chip", "chip.toml")
    code, said = call(capsys, *words)
    assert code == 2
    assert "is Python code that 'own_driver_here:StringDac' would run" in said
    monkeypatch.setenv("SPICESIM_TRUSTED", str(folder / "own_driver_here.py"))
    code, said = call(capsys, *words)
    assert code == 0
    assert "4-bit string DAC, unipolar" in said
    (inl,) = (line for line in said.splitlines() if line.startswith("INL"))
    assert float(inl.split()[2]) < 0.05  # equal resistors, and a buffer


@pytest.mark.parametrize(
    ("name", "command", "wanted"),
    [("own_cell", "cell", "vfg  fg  gate"), ("own_readout", "sense_amplifier", ".subckt conveyor")],
)
def test_a_library_beside_its_description_is_data(folder, capsys, name, command, wanted):
    shutil.copytree(EXAMPLES / name, folder / name)
    text = format_chip(CHIP).replace('# library = "my_library"', f'library = "{name}"')
    assert f'library = "{name}"' in text
    Path("chip.toml").write_text(text)
    code, _ = call(capsys, "netlist", command, "--chip", "chip.toml", "-o", "out.cir")
    assert code == 0
    assert wanted in Path("out.cir").read_text()
