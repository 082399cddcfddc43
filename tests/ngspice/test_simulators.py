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

from spicesim.chip.library import library_text
from spicesim.errors import (
    MissingDependencyError,
    SimulationConvergenceError,
    SimulationError,
    SimulationTimeoutError,
    SpecError,
    StorageError,
)
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.aids import AIDS, climb
from spicesim.ngspice.batch import BatchSimulator, find_ngspice, ngspice_version, tie_to_parent
from spicesim.ngspice.outcome import Results, find_problem
from spicesim.ngspice.rawfile import Plot, read_raw
from spicesim.ngspice.shared import SharedSimulator

DIVIDER = "v1 a 0 2\nr1 a b 1k\nr2 b 0 3k"


@pytest.fixture(autouse=True)
def _runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))


@pytest.fixture(params=[BatchSimulator, SharedSimulator], ids=["batch", "shared"])
def simulator(request):
    return request.param(timeout=1800.0)


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
        (".include 'missing.cir'\n" + DIVIDER, {"models": (Path("missing.cir"),)}, ""),
        (DIVIDER, {"probes": ("v(nowhere)",)}, ""),
        ("v1 b 0 1\nv2 b 0 2", {}, ""),
        (DIVIDER + "\nc1 c 0 1p\nc2 c b 1p", {"probes": ("v(c)",)}, "singular"),
        (DIVIDER + "\nc1 c 0 1p\nc2 c b 1p", {"probes": ("v(c)",), "analyses": (".tran 1n 10n",)}, "singular"),
        (DIVIDER + "\n.meas dc x find v(b) at=7", {"analyses": (".dc v1 0 1 0.5",)}, ""),
    ],
    ids=[
        "no model",
        "no subcircuit",
        "no include",
        "no probe",
        "voltage loop",
        "floating node",
        "floating in time",
        "no meas",
    ],
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
        timeout=1800,
    )
    assert again.returncode in (0, 1)


STEEP = circuit("v1 a 0 3\nr1 a b 1\nb1 b 0 i=1e-3*sinh(400*v(b))")
"""Overflows on ngspice's own way to the solution."""
ENDLESS = circuit("v1 a 0 1\nb1 b 0 v=tanh(100*(v(a)-v(c)))*5\nb2 c 0 v=tanh(100*(v(b)-0.1))*5\nr1 b 0 1")
"""Its iteration goes round in a circle."""


def test_a_circuit_that_does_not_converge_is_helped_and_says_how(simulator, tmp_path):
    results = simulator.run(STEEP)
    assert results.aid == "gmin stepping"
    (v,) = results[0].vectors["v(b)"]
    assert (3 - v) / 1 == pytest.approx(1e-3 * np.sinh(400 * v), rel=1e-6)
    assert not (tmp_path / "runs").exists(), "folders of failed attempts are dropped when another succeeds"


def test_a_circuit_that_converges_needs_no_aid(simulator):
    assert simulator.run(circuit(DIVIDER)).aid == ""


def test_what_no_aid_helps_is_an_error_with_all_that_was_tried(simulator, tmp_path):
    with pytest.raises(SimulationConvergenceError, match=r"tried in vain: .*gmin stepping.*rerun: cd"):
        simulator.run(ENDLESS)
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "netlist.cir").read_text() == ENDLESS.format(), "what is kept is the netlist as it was written"


def test_aids_change_the_way_and_never_the_circuit():
    netlist = circuit(DIVIDER, nodesets={"b": 1.0})
    tried = []

    def attempt(changed):
        tried.append(changed)
        raise SimulationConvergenceError("no; rerun: cd nowhere && ngspice")

    with pytest.raises(SimulationConvergenceError):
        climb(netlist, attempt)
    assert len(tried) == len({t.format() for t in tried}) == len(AIDS)  # it has no steps that could be shorter
    assert {(t.body, t.analyses, t.probes) for t in tried} == {(netlist.body, netlist.analyses, netlist.probes)}
    tolerances = netlist.options.removeprefix(".options klu ")
    assert all(tolerances in t.options for t in tried)


def test_a_transient_that_got_stuck_is_tried_with_shorter_steps():
    stuck = circuit(DIVIDER, analyses=(".tran 1n 1e-06 0 2n",))

    def attempt(netlist):
        if netlist == stuck:
            raise SimulationConvergenceError("no; rerun: cd nowhere && ngspice")
        assert (netlist.body, netlist.options) == (stuck.body, stuck.options)
        assert float(netlist.analyses[0].split()[-1]) == pytest.approx(1.8e-9)
        return Results(plots=(), seconds=0.0)

    assert climb(stuck, attempt).aid == "shorter steps"


def test_a_circuit_that_is_wrong_gets_no_aid():
    """An aid would hide a node without a path to ground."""
    tried = []

    def attempt(netlist):
        tried.append(netlist)
        return BatchSimulator()._attempt(netlist, time.monotonic() + 1800)

    for body in ("v1 a 0 1\nm1 b a 0 0 missing w=1u l=1u", DIVIDER + "\nc1 c 0 1p\nc2 c b 1p"):
        with pytest.raises(SimulationError):
            climb(circuit(body), attempt)
    assert len(tried) == 2


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
    with pytest.raises(SimulationTimeoutError, match="within 1 s"):
        kind(timeout=1.0).run(HANGING)
    (plot,) = kind(timeout=1800.0).run(circuit(DIVIDER))
    np.testing.assert_allclose(plot.vectors["v(b)"], [1.5], rtol=1e-12)


def stand_in(folder, script):
    """Write a program that takes the place of ngspice."""
    path = folder / "stand_in"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def gone(pid):
    """Whether a process ends, for which a busy machine may take a while."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_simulation_whose_parent_died_before_it_began_does_not_run(tmp_path):
    command = tie_to_parent(["touch", str(tmp_path / "ran")])
    subprocess.run(["sh", "-c", '"$@"; true', "another parent", *command], check=True)
    assert not (tmp_path / "ran").exists()
    subprocess.run(command, check=True)
    assert (tmp_path / "ran").exists()


def test_a_killed_ngspice_is_run_again(tmp_path):
    program = stand_in(tmp_path, f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; kill -9 $$; }}\nexec ngspice $@")
    (plot,) = BatchSimulator(program=program).run(circuit(DIVIDER))
    np.testing.assert_allclose(plot.vectors["v(b)"], [1.5], rtol=1e-12)


def test_an_ngspice_that_is_killed_again_is_an_error(tmp_path):
    program = stand_in(tmp_path, f"echo run >>{tmp_path}/runs.txt; kill -9 $$")
    with pytest.raises(SimulationError, match=r"killed by signal 9 \(Killed\); rerun: cd"):
        BatchSimulator(program=program).run(circuit(DIVIDER))
    assert (tmp_path / "runs.txt").read_text().split() == ["run", "run"]


def test_ngspice_dies_with_a_parent_that_is_killed(tmp_path):
    program = stand_in(tmp_path, f"echo $$ >{tmp_path}/pid.part; mv {tmp_path}/pid.part {tmp_path}/pid; exec sleep 600")
    python = (
        "from spicesim.ngspice.batch import BatchSimulator\n"
        "from spicesim.netlist.netlist import Netlist\n"
        f"BatchSimulator(program={program!r}).run(Netlist(title='t', body={DIVIDER!r}, probes=('v(b)',)))"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", python])
    while not (tmp_path / "pid").exists():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert gone(int((tmp_path / "pid").read_text())), "ngspice outlived its parent"


def test_a_wrapper_that_hangs_leaves_no_process_behind(tmp_path):
    pid_file = tmp_path / "pid"
    program = stand_in(tmp_path, f"sleep 600 &\necho $! > {pid_file}\nwait")
    with pytest.raises(SimulationTimeoutError):
        BatchSimulator(timeout=1.0, program=program).run(circuit(DIVIDER))
    assert gone(int(pid_file.read_text())), "the wrapper's child survived"


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
    subprocess.run(
        ["ngspice", "-b", "-r", "c.raw", "c.cir"], cwd=tmp_path, capture_output=True, check=True, timeout=1800
    )
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
    full = "ERROR: N_SUBCKT_W_PARMS overflow, more than 4000 subcircuits\n"  # as ngspice 44 ends at some 2000
    assert "take fewer rows or columns" in find_problem(netlist, 1, None, full)[0]
    assert "killed by signal 9" in find_problem(netlist, -9, None, "")[0]


@pytest.mark.parametrize(
    ("card", "points"),
    [
        (".dc v1 0 255 1", 256), (".dc v1 1 0 -0.1", 11), (".dc v1 0 1 0.1 i1 0 3m 1m", 44),
        (".dc v1 -1u 1.05u .1u", 21),
        (".ac lin 7 1k 1meg", 7), (".ac dec 7 3 8765", 0), (".ac oct 3 1 100", 0), (".tran 1n 200n 0 1n", 0),
        (".op", 1),
    ],
)  # fmt: skip
def test_every_analysis_gives_the_size_it_asks_for_and_one_point_less_is_seen(card, points):
    """Ngspice itself is asked; steps in time and frequency are its own choice, so there the end counts."""
    body = "v1 a 0 dc 1 ac 1\nr1 a b 1k\nc1 b 0 1n\ni1 0 b 0"
    scale = {".a": ["frequency"], ".t": ["time"]}.get(card[:2], [])
    netlist = Netlist(title="size", body=body, analyses=(card,), probes=("v(b)", *scale))
    (plot,) = BatchSimulator().run(netlist)
    assert not points or plot.points == points
    less = Plot(name=plot.name, vectors={name: vector[:-1] for name, vector in plot.vectors.items()})
    problem, found = find_problem(netlist, 0, [less], "")
    assert found == ()
    assert "no points" in problem or "instead of" in problem
    odd = Plot(name=plot.name, vectors={**plot.vectors, "v(b)": plot.vectors["v(b)"][:-1]})
    assert find_problem(netlist, 0, [odd], "")[0]


def test_a_netlist_without_probe_or_with_an_unknown_analysis_is_refused():
    with pytest.raises(SpecError, match="no probe"):
        circuit(DIVIDER, probes=())
    with pytest.raises(SpecError, match="unknown analysis"):
        circuit(DIVIDER, analyses=(".opp",))


def test_in_process_runs_do_not_leak():
    """In a process of its own, where no other test's memory counts."""
    python = (
        "import os\n"
        "from spicesim.netlist.netlist import Netlist\n"
        "from spicesim.ngspice.shared import SharedSimulator\n"
        f"netlist, simulator = Netlist(title='t', body={DIVIDER!r}, probes=('v(b)',)), SharedSimulator()\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "for _ in range(50): simulator.run(netlist)\n"
        "before = resident()\n"
        "for _ in range(300): simulator.run(netlist)\n"
        "print(resident() - before)"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", python], capture_output=True, text=True, check=True, timeout=1800)
    assert int(ran.stdout.split()[-1]) < 10e6, "300 runs without cleaning up would keep about 100 MB"


def test_a_pyspice_circuit_of_a_netlist_can_be_extended():
    python = (
        "from spicesim.netlist.netlist import Netlist\n"
        f"n = Netlist(title='t', body={DIVIDER!r}, probes=('v(b)',))\n"
        "c = n.circuit(); c.R('3', 'b', c.gnd, 3e3)\n"
        "print(str(c))"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", python], capture_output=True, text=True, check=True, timeout=1800
    )
    assert "R2 b 0 3k" in said.stdout
    assert "R3 b 0" in said.stdout


SINGULAR = "Warning: singular matrix:  check node a\n"


@pytest.mark.parametrize(
    ("output", "is_fine"),
    [
        (SINGULAR + "Note: Starting dynamic gmin stepping\nNote: Dynamic gmin stepping completed\n", True),
        (SINGULAR + "Note: Starting true gmin stepping\nNote: True gmin stepping completed\n" + SINGULAR, False),
        (SINGULAR + "Note: Transient op started\nNote: Dynamic gmin stepping completed\n", False),
        (SINGULAR, False),
    ],
    ids=["steps came to a solution", "singular again", "no steps helped", "no steps"],
)
def test_a_matrix_that_is_singular_only_where_steps_begin_is_no_floating_node(output, is_fine):
    """As SG13G2's array of capacitors at rest: singular at a bottom plate in the first iteration, then solved."""
    netlist = circuit("v1 a 0 1\nr1 a b 1")
    plot = Plot(name="Operating Point", vectors={"v(b)": np.ones(1)})
    assert (find_problem(netlist, 0, [plot], output)[0] == "") is is_fine
