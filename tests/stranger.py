"""A stranger's folder, as if files were unpacked there, and what a command that is given them may do: nothing.

Beside that folder lies another with a secret, and with room for what an attack would write.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from spicesim.chip import format_chip, preset
from spicesim.chip.library import library_text
from spicesim.cli.main import main

__all__ = ["CARDS", "OPAMP", "SECRET", "SHIPPED", "World", "names", "refused"]

SHIPPED = preset("generic-1t1r").changed(array={"rows": 16, "columns": 16}, cell={"access_length": 0.35e-6})
CARDS = library_text("generic_models.cir")
OPAMP = library_text("opamp.cir")
SECRET = "secret_of_the_user"


class World:
    """The stranger's folder, the folder outside, and what a command did."""

    def __init__(self, folder: Path) -> None:
        self.inside, self.outside = folder / "inside", folder / "outside"
        for place in (self.inside, self.outside):
            place.mkdir()
        self.canary = self.outside / "canary"
        (self.outside / "secret.lib").write_text(f"{CARDS}\n.param {SECRET}=1\n")

    @property
    def attack(self) -> str:
        return f".control\nshell touch {self.canary}\n.endc"

    def write(self, name: str, text: str) -> str:
        path = self.inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return name

    def chip(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> list[str]:
        """Write a description, changed, and return a command that builds a netlist of it."""
        document = tomlkit.parse(format_chip(SHIPPED)).unwrap()
        change(document)
        self.write("chip.toml", tomlkit.dumps(document))
        return ["netlist", "senseamp", "--chip", "chip.toml", "-o", "out.cir"]

    def models(self, text: str, **entry: str) -> list[str]:
        self.write("models.lib", text)
        return self.chip(lambda d: d["process"].update(models=[{"path": "models.lib", **entry}]))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(world: World, command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with one line, and have done nothing."""
    outside = names(world.outside)
    with pytest.raises(SystemExit) as ended:
        main(command)
    printed = capsys.readouterr()
    assert not world.canary.exists()
    assert names(world.outside) == outside
    assert SECRET not in printed.out + printed.err
    for path in world.inside.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path
    assert ended.value.code == 2, printed.err
    assert printed.err.endswith("\n")
    line = printed.err[:-1]
    assert line.isprintable(), repr(line)
    assert not line.startswith(("internal failure", "UsageError"))
    assert ";" in line or "must" in line or "wanted" in line, f"no remedy: {line}"
    assert len(line) < 1000
    return line
