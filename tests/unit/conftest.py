"""What tests of strangers' files share."""

import pytest

from stranger import World


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.chdir(made.inside)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPICESIM_TRUSTED", raising=False)
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))
    return made
