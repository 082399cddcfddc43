"""Every example runs to its end, and makes the assertions in it come true."""

import importlib.util
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "scripts" / "examples"
EXAMPLES = sorted((*FOLDER.glob("[0-9][0-9]_*.py"), *FOLDER.glob("own_*.py")))


DOWNLOADS = {"06_minilm": "SPICESIM_MINILM"}
"""Examples that need big downloads, and the variables that name their folders, with chip.cal.json among the rest."""


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, capsys, monkeypatch):
    monkeypatch.chdir(FOLDER)  # where the command line would look for own_*.py, too
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if path.stem not in DOWNLOADS:
        module.main()
    elif folder := os.environ.get(DOWNLOADS[path.stem]):
        module.main([folder, "--calibration", str(Path(folder) / "chip.cal.json")])
    else:
        pytest.skip(f"set {DOWNLOADS[path.stem]} to the folder that its first lines tell of")
    assert capsys.readouterr().out
