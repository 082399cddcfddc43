"""Both ways of running ngspice: the same results, the same rule of success, failures provoked on purpose."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spicesim.errors import (
    MissingDependencyError,
    SimulationError,
    SimulationTimeoutError,
    SpecError,
    StorageError,
)
from spicesim.library import library_text
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator, find_ngspice, ngspice_version
from spicesim.ngspice.outcome import find_problem
from spicesim.ngspice.rawfile import Plot, read_raw
from spicesim.ngspice.shared import SharedSimulator

DIVIDER = "v1 a 0 2\nr1 a b 1k\nr2 b 0 3k"


@pytest.fixture(autouse=True)
def _runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))


@pytest.fixture(params=[BatchSimulator, SharedSimulator], ids=["batch", "shared"])
def simulator(request):
    return request.param(timeout=60.0)


def circuit(body, *, probes=("v(b)",), analyses=(".op",), **more):
    return Netlist(title="test circuit", body=body, probes=probes, analyses=analyses, **more)


def test_ngspice_is_installed():
    assert Path(find_ngspice()).is_file()
    assert ngspice_version()[0].isdigit()


def test_divider(simulator):
    (plot,) = simulator.run(circuit(DIVIDER, probes=("v(b)", "i(v1)")))
    assert plot.name == "Operating Point"
    np.testing.assert_allclose(plot.vectors["v(b)"], [1.5], rtol=1e-12)
    np.testing.assert_allclose(plot.vectors["i(v1)"], [-5e-4], rtol=1e-12)


def test_plots_come_in_the_order_of_the_cards(simulator):
    plots = simulator.run(circuit(DIVIDER, analyses=(".dc v1 0 1 0.5", ".op", ".tran 1u 2u")))
    assert [plot.name for plot in plots] == [
        "DC transfer characteristic",
        "Operating Point",
        "Transient Analysis",
    ]
    np.testing.assert_allclose(plots[0].vectors["v(b)"], [0, 0.375, 0.75], rtol=1e-12)


def test_complex_results(simulator):
    (plot,) = simulator.run(circuit("v1 a 0 0 ac 1\nr1 a b 1k\nc1 b 0 1u", analyses=(".ac lin 1 159.15494 159.15494",)))
    np.testing.assert_allclose(plot.vectors["v(b)"][0], 1 / (1 + 1j), rtol=1e-6)


def test_a_converged_run_with_gmin_stepping_is_a_success(simulator):
    """PySpice alone takes ngspice's notes on gmin stepping for an error."""
    buffer = "\n".join(
        [
            library_text("generic_models.cir"), library_text("opamp.cir"),
            "vdd vdd 0 3.3", "vin a 0 1.65", "x1 a b b vdd 0 opamp drive=4",
        ]
    )  # fmt: skip
    (plot,) = simulator.run(circuit(buffer))
    assert abs(plot.vectors["v(b)"][0] - 1.65) < 0.01


@pytest.mark.parametrize(
    ("body", "more", "said"),
    [
        ("v1 a 0 1\nm1 b a 0 0 missing w=1u l=1u", {}, ""),
        ("v1 a 0 1\nx1 a b missing\nr1 b 0 1", {}, ""),
        (".include 'missing.cir'\n" + DIVIDER, {}, ""),
        (DIVIDER, {"probes": ("v(nowhere)",)}, ""),
        ("v1 b 0 1\nv2 b 0 2", {}, ""),
        (DIVIDER + "\nc1 c 0 1p\nc2 c b 1p", {"probes": ("v(c)",)}, "singular"),
        (DIVIDER + "\n.meas dc x find v(b) at=7", {"analyses": (".dc v1 0 1 0.5",)}, ""),
        ("v1 a 0 3\nr1 a b 1\nb1 b 0 i=1e-3*sinh(400*v(b))", {}, ""),
    ],
    ids=["no model", "no subcircuit", "no include", "no probe", "voltage loop", "floating node", "no meas", "overflow"],
)
def test_failures_are_errors_that_name_a_folder_to_rerun(simulator, body, more, said):
    with pytest.raises(SimulationError) as caught:
        simulator.run(circuit(body, **more))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    folder = Path(message.split("rerun: cd ")[1].split(" && ")[0])
    assert (folder / "netlist.cir").is_file()
    again = subprocess.run(
        ["ngspice", "-b", "-r", "again.raw", "netlist.cir"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert again.returncode in (0, 1)


def test_a_transient_that_stops_early_is_no_success(simulator):
    """Ngspice leaves the points up to there in the raw file."""
    body = "b1 b 0 v=time > 1e-6 ? (v(b) > 0.5 ? 0 : 1) : 0\nr1 b 0 1"
    with pytest.raises(SimulationError):
        simulator.run(circuit(body, analyses=(".tran 1n 10u",)))


def test_the_simulator_stays_usable_after_a_failure(simulator):
    with pytest.raises(SimulationError):
        simulator.run(circuit("v1 b 0 1\nv2 b 0 2"))
    (plot,) = simulator.run(circuit(DIVIDER))
    np.testing.assert_allclose(plot.vectors["v(b)"], [1.5], rtol=1e-12)


HANGING = circuit("v1 a 0 sin(0 1 1g)\nr1 a b 1k\nc1 b 0 1p", analyses=(".tran 1p 1 0 1p uic",))


@pytest.mark.parametrize("kind", [BatchSimulator, SharedSimulator], ids=["batch", "shared"])
def test_a_hanging_ngspice_is_stopped(kind):
    start = time.monotonic()
    with pytest.raises(SimulationTimeoutError, match="within 1 s"):
        kind(timeout=1.0).run(HANGING)
    assert time.monotonic() - start < 20
    (plot,) = kind(timeout=60.0).run(circuit(DIVIDER))
    np.testing.assert_allclose(plot.vectors["v(b)"], [1.5], rtol=1e-12)


def test_a_wrapper_that_hangs_leaves_no_process_behind(tmp_path):
    wrapper = tmp_path / "hanging_ngspice_stand_in"
    pid_file = tmp_path / "pid"
    wrapper.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {pid_file}\nwait\n")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SimulationTimeoutError):
        BatchSimulator(timeout=1.0, program=str(wrapper)).run(circuit(DIVIDER))
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]:
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the wrapper's child survived")


def test_a_missing_program_says_how_to_get_it():
    with pytest.raises(MissingDependencyError, match="apt-get install ngspice"):
        BatchSimulator(program="no_such_ngspice").run(circuit(DIVIDER))


def test_successful_runs_leave_nothing_behind(tmp_path):
    BatchSimulator().run(circuit(DIVIDER))
    assert not (tmp_path / "runs").exists()


def test_an_unwritable_run_folder_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("SPICESIM_RUNS", "/dev/null/runs")
    with pytest.raises(StorageError, match="SPICESIM_RUNS"):
        BatchSimulator().run(circuit(DIVIDER))


@pytest.mark.parametrize("keep", [0, 40, 300, -8])
def test_a_damaged_raw_file_is_refused(tmp_path, keep):
    BatchSimulator()
    (tmp_path / "c.cir").write_text(circuit(DIVIDER, analyses=(".dc v1 0 1 0.01",)).format())
    subprocess.run(["ngspice", "-b", "-r", "c.raw", "c.cir"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    whole = (tmp_path / "c.raw").read_bytes()
    (tmp_path / "cut.raw").write_bytes(whole[:keep])
    if keep == 0:
        assert read_raw(tmp_path / "cut.raw") == []
    else:
        with pytest.raises(SimulationError):
            read_raw(tmp_path / "cut.raw")


def test_rule_of_success_needs_finite_probes():
    netlist = circuit(DIVIDER)
    plot = Plot(name="Operating Point", vectors={"v(b)": np.array([np.nan])})
    assert "not finite" in find_problem(netlist, 0, [plot], "")[0]
    assert "no points" in find_problem(netlist, 0, [], "")[0]
    assert "wrote no results" in find_problem(netlist, 0, None, "")[0]
    assert "status 1" in find_problem(netlist, 1, [plot], "")[0]


def test_a_netlist_without_probe_or_with_an_unknown_analysis_is_refused():
    with pytest.raises(SpecError, match="no probe"):
        circuit(DIVIDER, probes=())
    with pytest.raises(SpecError, match="unknown analysis"):
        circuit(DIVIDER, analyses=(".opp",))


def test_in_process_runs_do_not_leak():
    simulator = SharedSimulator()
    page = os.sysconf("SC_PAGE_SIZE")

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    for _ in range(50):
        simulator.run(circuit(DIVIDER))
    before = resident()
    for _ in range(300):
        simulator.run(circuit(DIVIDER))
    assert resident() - before < 10e6, "300 runs without cleaning up would keep about 100 MB"


def test_a_pyspice_circuit_of_a_netlist_can_be_extended():
    python = (
        "from spicesim.netlist.netlist import Netlist\n"
        f"n = Netlist(title='t', body={DIVIDER!r}, probes=('v(b)',))\n"
        "c = n.circuit(); c.R('3', 'b', c.gnd, 3e3)\n"
        "print(str(c))"
    )
    said = subprocess.run([sys.executable, "-P", "-c", python], capture_output=True, text=True, check=True, timeout=60)
    assert "r2 b 0 3k" in said.stdout
    assert "R3 b 0" in said.stdout
