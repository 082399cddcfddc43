"""Ngspice as it is started: no start-up file but ours, an environment of its own, and a wall behind the gate."""

import contextlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from spicesim.errors import SimulationConvergenceError, SimulationError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.aids import climb
from spicesim.ngspice.batch import BatchSimulator, find_ngspice
from spicesim.ngspice.confinement import _works
from spicesim.ngspice.folder import failure
from spicesim.ngspice.outcome import Results
from spicesim.ngspice.rawfile import Plot

DIVIDER = "v1 a 0 2\nr1 a b 1k\nr2 b 0 3k"
RUN = f"""
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.shared import SharedSimulator
netlist = Netlist(title="t", body={DIVIDER!r}, probes=("v(b)",))
for simulator in (BatchSimulator(), SharedSimulator()):
    assert abs(simulator.run(netlist)[0].vectors["v(b)"][0] - 1.5) < 1e-9
"""
needs_wall = pytest.mark.skipif(not _works(find_ngspice()), reason="no Landlock, or setpriv older than 2.40")


def circuit(body):
    return Netlist(title="test circuit", body=f"{DIVIDER}\n{body}", probes=("v(b)",))


def test_no_start_up_file_of_user_folder_or_environment_is_read(tmp_path):
    canary = tmp_path / "canary"
    for name in ("home", "work", "scripts"):
        folder = tmp_path / name
        folder.mkdir()
        for file in (".spiceinit", "spinit", "spice.rc"):
            (folder / file).write_text(f"* x\nshell touch {canary}-{name}-{file}\n")
    environment = {
        **os.environ, "HOME": str(tmp_path / "home"), "SPICE_SCRIPTS": str(tmp_path / "scripts"),
        "SPICE_USERINIT_DIR": str(tmp_path / "home"), "SPICE_LIB_DIR": str(tmp_path),
        "SPICESIM_RUNS": str(tmp_path / "runs"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path / "work", env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("canary*")] == []


@needs_wall
@pytest.mark.parametrize(
    "command", ["shell touch {}", "echo `touch {}`", "echo x > {}", "write {}", "shell sh -c 'touch {}'"]
)
def test_a_command_that_passes_the_gate_meets_the_wall(monkeypatch, tmp_path, command):
    canary = os.path.expanduser(f"~/spicesim-canary-{os.getpid()}")  # noqa: PTH111  # /tmp is not behind the wall
    monkeypatch.setattr(Netlist, "require_data", lambda self: None)
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))
    try:
        with contextlib.suppress(SimulationError):
            BatchSimulator().run(circuit(f".control\nop\n{command.format(canary)}\n.endc"))
        assert not os.path.lexists(canary)
    finally:
        if os.path.lexists(canary):
            os.unlink(canary)  # noqa: PTH108


def test_a_code_model_that_passes_the_gate_is_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(Netlist, "require_data", lambda self: None)
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))
    (tmp_path / "table").write_text("0 1\n1 1\n")
    model = f'a1 %vd([c 0]) f\nr3 c 0 1k\n.model f filesource (file="{tmp_path / "table"}")'
    with pytest.raises(SimulationError, match="rerun: cd"):
        BatchSimulator().run(circuit(model))


def test_what_a_failed_run_says_deletes_nothing(tmp_path):
    """A run folder is dropped by the error's own word for it, never by its text, which quotes the netlist."""
    kept, dropped = tmp_path / "kept", tmp_path / "runs" / "run-1"
    kept.mkdir()
    dropped.mkdir(parents=True)
    plots = (Plot(name="Operating Point", vectors={}),)

    def attempt(netlist):
        if netlist.nodesets:
            raise failure(SimulationConvergenceError, f"x; rerun: cd {kept} && y failed", dropped)
        return Results(plots=plots, seconds=0.0)

    assert climb(replace(circuit(""), nodesets={"b": 1.0}), attempt).aid == "no nodesets"
    assert kept.is_dir()
    assert not dropped.exists()
