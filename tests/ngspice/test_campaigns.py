"""Many simulations: on threads, processes and a cluster alike, and whatever is killed, nothing is lost."""

import contextlib
import errno
import io
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib.externals.loky import reusable_executor

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import load_calibration
from spicesim.chip import preset, save_chip
from spicesim.errors import MissingDependencyError, SimulationError, SimulationTimeoutError, SpecError, StorageError
from spicesim.files import cache_folder
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.ngspice.rawfile import Plot, read_raw
from spicesim.sampling import find_kept, netlist_hash, run_all, run_each, use_scheduler
from spicesim.sampling import run as sampling
from spicesim.sampling.cache import DAMAGES, entry_path, keep, results_folder

WRONG = Netlist(title="wrong", body="v1 a 0 1\nx1 a b missing\nr1 b 0 1", probes=("v(b)",))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))


def filters(count, points=200):
    """Low-pass filters, each with another resistor."""
    return [
        Netlist(
            title=f"filter {k}",
            body=f"v1 a 0 sin(0 1 1meg)\nr1 a b {k + 1}k\nc1 b 0 1n",
            analyses=(f".tran 1n {points}n 0 1n",),
            probes=("v(b)",),
        )
        for k in range(count)
    ]


def kept():
    return sorted(path.name for path in results_folder().glob("*.kept"))


def same(a, b):
    """Whether two lists of results agree to the last bit."""
    return all((x[0].vectors["v(b)"] == y[0].vectors["v(b)"]).all() for x, y in zip(a, b, strict=True))


def simulated_elsewhere(netlists, tmp_path, monkeypatch):
    """What threads find, with a cache of their own."""
    with monkeypatch.context() as patch:
        patch.setenv("SPICESIM_CACHE", str(tmp_path / "other"))
        return run_all(netlists, jobs=2)


def test_one_at_a_time_finds_the_same(tmp_path, monkeypatch):
    netlists = filters(4)
    assert same(run_all(netlists, jobs=1), simulated_elsewhere(netlists, tmp_path, monkeypatch))


def test_one_failure_stops_no_other_run():
    netlists = [*filters(2), WRONG, *filters(4)[2:]]
    outcomes = run_each(netlists, jobs=2)
    assert [isinstance(outcome, Results) for outcome in outcomes] == [True, True, False, True, True]
    assert len(kept()) == 4
    with pytest.raises(SimulationError, match=r"'wrong' failed.*rerun: cd"):
        run_all(netlists)


def test_several_failures_are_listed_each_with_its_rerun_command():
    with pytest.raises(SimulationError, match="2 of 4 simulations failed, what was finished is kept") as caught:
        run_all([*filters(2), WRONG, WRONG])
    assert str(caught.value).count("rerun: cd") == 2
    assert len(kept()) == 2


def test_a_campaign_in_which_all_fails_is_given_up():
    with pytest.raises(SimulationError, match="gave up, as 8 of 100 simulations failed"):
        run_all([WRONG] * 100, jobs=1)


def test_timeouts_stay_timeouts():
    endless = filters(2, points=10**9)
    with pytest.raises(SimulationTimeoutError, match=r"2 of 2 .*within 0\.5 s"):
        run_all(endless, simulator=BatchSimulator(timeout=0.5))


def test_a_truncated_cache_entry_is_simulated_again():
    netlists = filters(3)
    first = run_all(netlists)
    for length, name in zip((0, 100, -10), kept(), strict=True):
        path = results_folder() / name
        path.write_bytes(path.read_bytes()[:length])
    assert find_kept(netlists[0]) is None
    assert same(run_all(netlists), first)
    assert find_kept(netlists[0]) is not None


def damages():
    """Notes on entries that were set aside, and the entries."""
    folder = results_folder()
    notes = (folder / DAMAGES).read_text().splitlines() if (folder / DAMAGES).exists() else []
    return notes, sorted(path.name for path in folder.glob("*.damaged-*"))


def test_any_flipped_bit_is_found_and_the_entry_set_aside_and_simulated_again():
    (netlist,) = filters(1, points=20)
    first = run_all([netlist])
    path = results_folder() / kept()[0]
    whole = path.read_bytes()
    places = [*range(0, 200, 7), *range(200, len(whole), 41), len(whole) - 1]
    for number, place in enumerate(places):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1 :])
        assert find_kept(netlist) is None, f"bit {number % 8} of byte {place}"
        assert not path.exists()
    notes, aside = damages()
    assert len(notes) == len(aside) == len(places)
    assert all("does not match its checksum; renamed to" in note for note in notes)
    assert same(run_all([netlist]), first)
    assert len(kept()) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path, other: path.write_bytes(b""),
        lambda path, other: path.write_bytes(path.read_bytes() + b"x"),
        lambda path, other: path.write_bytes(os.urandom(300)),
        lambda path, other: path.write_text("{}"),
        lambda path, other: np.savez(path, x=np.ones(3)) or path.with_suffix(".kept.npz").rename(path),
        lambda path, other: shutil.copy(other, path),
    ],
    ids=["empty", "longer", "noise", "JSON", "another archive", "the result of another netlist"],
)
def test_what_is_no_entry_of_its_netlist_is_set_aside(spoil):
    netlists = filters(2)
    first = run_all(netlists)
    spoil(*(entry_path(netlist_hash(netlist)) for netlist in netlists))
    assert find_kept(netlists[0]) is None
    assert [len(found) for found in damages()] == [1, 1]
    assert same(run_all(netlists), first)


def test_a_sealed_entry_of_the_wrong_size_is_set_aside():
    """As a version without that check may have kept it."""
    netlist = Netlist(title="t", body="v1 a 0 1\nr1 a 0 1", analyses=(".dc v1 0 1 0.1",), probes=("i(v1)",))
    (results,) = run_all([netlist])
    short = Results(plots=(Plot(name=results[0].name, vectors={"i(v1)": np.zeros(10)}),), seconds=0.0)
    keep(netlist_hash(netlist), netlist, short)
    assert find_kept(netlist) is None
    assert "gave 10 points instead of 11" in damages()[0][0]


def test_a_whole_entry_that_another_process_put_in_place_of_a_damaged_one_stays(monkeypatch):
    (netlist,) = filters(1)
    first = run_all([netlist])
    path = entry_path(netlist_hash(netlist))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    rename = Path.rename

    def rename_later(self, target):
        if self == path:
            path.write_bytes(whole)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_later)
    assert same([find_kept(netlist)], first)
    assert path.read_bytes() == whole
    assert damages() == ([], [])


def test_a_result_of_the_wrong_size_fails_and_is_not_kept(monkeypatch):
    """A simulator that gives one point too few, or too many."""
    netlist = Netlist(title="t", body="v1 a 0 1\nr1 a 0 1", analyses=(".dc v1 0 1 0.1",), probes=("i(v1)",))

    def spoilt(change):
        def read(path):
            return [Plot(name=p.name, vectors={n: change(v) for n, v in p.vectors.items()}) for p in read_raw(path)]

        monkeypatch.setattr("spicesim.ngspice.batch.read_raw", read)

    for change, said in [
        (lambda v: v[:-1], "gave 10 points instead of 11"),
        (lambda v: np.append(v, v[-1]), "gave 12 points instead of 11"),
    ]:
        spoilt(change)
        with pytest.raises(SimulationError, match=f"{said}.*rerun: cd"):
            run_all([netlist])
        assert kept() == []


def test_the_cache_remembers_the_aid():
    steep = Netlist(title="steep", body="v1 a 0 3\nr1 a b 1\nb1 b 0 i=1e-3*sinh(400*v(b))", probes=("v(b)",))
    assert [run_all([steep])[0].aid for _ in range(2)] == ["gmin stepping"] * 2
    assert find_kept(steep).aid == "gmin stepping"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a script in the place of ngspice that does something else for the netlist "filter 2"."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("ngspice")

    def put(script):
        program = folder / "ngspice"
        program.write_text(f'#!/bin/sh\n[ -f netlist.cir ] && grep -q "filter 2" netlist.cir && {script}\n'
                           f'exec {real} "$@"\n')  # fmt: skip
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


class Impatient(BatchSimulator):
    """Gives the stand-in two seconds, and all others as long as a busy machine takes."""

    def run(self, netlist):
        return BatchSimulator(timeout=2.0 if netlist.title == "filter 2" else 300.0).run(netlist)


def test_a_hanging_ngspice_is_given_up_and_all_others_are_kept(stand_in, tmp_path):
    stand_in(f"echo $$ >{tmp_path}/pid && exec sleep 600")
    with pytest.raises(SimulationTimeoutError, match=r"'filter 2' within 2 s and was stopped.*; rerun: cd"):
        run_all(filters(5), simulator=Impatient(), jobs=2)
    assert len(kept()) == 4
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")  # noqa: PTH110


def test_an_ngspice_that_is_killed_again_and_again_is_named_and_all_others_are_kept(stand_in):
    stand_in("kill -9 $$")
    with pytest.raises(SimulationError, match=r"'filter 2' failed: ngspice was killed by signal 9.*; rerun: cd"):
        run_all(filters(5), jobs=2)
    assert len(kept()) == 4


def test_a_disk_that_is_full_for_ngspice_is_said_and_what_was_finished_is_kept(stand_in, tmp_path, monkeypatch):
    """Its raw file is /dev/full, where every write finds no space."""
    netlists = filters(5)
    stand_in("ln -s /dev/full out.raw")
    with pytest.raises(StorageError, match=r"disk was full.*is kept; free some space or set SPICESIM_RUNS"):
        run_all(netlists, jobs=1)
    assert len(kept()) == 2
    assert not (tmp_path / "runs").exists(), "a failed run keeps no space that is needed"
    (tmp_path / "bin" / "ngspice").unlink()
    assert same(run_all(netlists), simulated_elsewhere(netlists, tmp_path, monkeypatch))


def test_a_disk_that_is_full_for_the_cache_is_said_and_what_was_finished_is_kept(tmp_path, monkeypatch):
    netlists, written = filters(5), []

    def no_space(path, mode):
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", no_space)  # after it was written, before it has its name
        with pytest.raises(StorageError, match=r"cannot write .*results.*: No space left on device; free some space"):
            run_all(netlists, jobs=1)
    assert [path.name for path in sorted(results_folder().iterdir())] == kept(), "no half-written files"
    assert len(kept()) == 2
    assert same(run_all(netlists), simulated_elsewhere(netlists, tmp_path, monkeypatch))


def test_progress_shows_rate_and_remaining_time(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_all(filters(24), jobs=1, progress="probe")
    shown = terminal.getvalue().split("\r")
    assert any(re.search(r"probe: .* \d+/24 \[\d\d:\d\d<\d\d:\d\d, .*run", line) for line in shown), shown


def kill_after(monkeypatch, count, pid):
    """Kill a process once so many results are kept; return the list of those."""
    keep, done = sampling.keep, []

    def keep_and_kill(path, netlist, results):
        keep(path, netlist, results)
        done.append(path)
        if len(done) == count:
            os.kill(pid(), signal.SIGKILL)

    monkeypatch.setattr(sampling, "keep", keep_and_kill)
    return done


def test_processes_find_the_same_even_if_one_is_killed(tmp_path, monkeypatch):
    netlists = filters(12)
    expected = simulated_elsewhere(netlists, tmp_path, monkeypatch)
    done = kill_after(monkeypatch, 2, lambda: next(iter(reusable_executor._executor._processes)))
    with joblib.parallel_config(backend="loky"):
        assert same(run_all(netlists, jobs=2), expected)
    assert len(set(done)) == len(kept()) == 12


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two workers on loopback, each a process of its own."""
    where = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    python = [sys.executable, "-P", "-m"]
    file = tmp_path / "scheduler.json"
    processes = [
        subprocess.Popen(
            [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
             "--scheduler-file", file], **where,
        )
    ]  # fmt: skip
    processes += [
        subprocess.Popen(
            [*python, "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1", "--no-nanny",
             "--no-dashboard"],
            # a worker has no access to the cache of the parent
            env={**os.environ, "SPICESIM_CACHE": "/dev/null/none"}, **where,
        )
        for _ in range(2)
    ]  # fmt: skip
    import distributed

    deadline = time.monotonic() + 300
    while not (file.exists() and file.read_text().endswith("}")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=1800)
        address = client.scheduler.address
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()


def test_a_cluster_finds_the_same_even_if_it_loses_a_worker(tmp_path, monkeypatch, cluster):
    address, workers = cluster
    netlists = [*filters(10, points=20000), WRONG]
    expected = simulated_elsewhere(netlists[:-1], tmp_path, monkeypatch)
    done = kill_after(monkeypatch, 3, lambda: workers[0].pid)
    with use_scheduler(address):
        outcomes = run_each(netlists)
    assert workers[0].wait(300) == -signal.SIGKILL
    assert workers[1].poll() is None
    assert same(outcomes[:-1], expected)
    assert isinstance(outcomes[-1], SimulationError)
    assert len(done) == len(kept()) == 10


def numbers(calibration):
    """All that a calibration computes and says, without when, how long and from what."""
    return calibration.model_dump_json(exclude={"created", "seconds", "costs", "reuse"})


@pytest.mark.long
def test_a_calibration_is_the_same_on_threads_on_processes_and_on_a_cluster_that_loses_a_worker(
    tmp_path, monkeypatch, cluster
):
    address, workers = cluster
    chip = preset("generic-1t1r").changed(array={"rows": 4, "columns": 4})
    found = []
    for name in ("threads", "loky", "dask"):
        with monkeypatch.context() as patch:
            patch.setenv("SPICESIM_CACHE", str(tmp_path / name))
            done = kill_after(patch, 10, lambda: workers[0].pid) if name == "dask" else []
            with (
                use_scheduler(address if name == "dask" else None),
                joblib.parallel_config(backend="loky") if name == "loky" else contextlib.nullcontext(),
            ):
                found.append(calibrate(chip, quick=True, aspects=(), jobs=2))
    assert workers[0].wait(300) == -signal.SIGKILL
    assert len(done) == found[2].simulations
    assert len({numbers(calibration) for calibration in found}) == 1


@pytest.mark.long
def test_two_calibrations_in_one_folder_at_once_give_the_same_file(tmp_path):
    save_chip(preset("generic-1t1r").changed(array={"rows": 4, "columns": 4}), tmp_path / "chip.toml")
    command = [sys.executable, "-P", "-m", "spicesim", "calibrate", "chip.toml", "--quick", "--aspects", "", "--jobs=1"]
    told = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    names = "chip.cal.json", "chip.cal.json", "other.cal.json"
    three = [subprocess.Popen([*command, "-o", name], **told) for name in names]
    said = [process.communicate(timeout=1800)[0] for process in three]
    assert [process.returncode for process in three] == [0, 0, 0], said
    first, second = (load_calibration(tmp_path / f"{name}.cal.json") for name in ("chip", "other"))
    assert numbers(first) == numbers(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "chip.cal.json", "chip.toml", "other.cal.json"]


def test_a_scheduler_that_is_not_there_is_a_clear_error(monkeypatch):
    with pytest.raises(SpecError, match="dask scheduler"), use_scheduler("nonsense"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match="pip install"), use_scheduler("tcp://127.0.0.1:1"):
        pass


def test_two_campaigns_share_a_cache_at_once():
    python = (
        "from tests_netlists import *\n"
        "from spicesim.sampling import run_all\n"
        "print(sum(float(abs(r[0].vectors['v(b)']).sum()) for r in run_all(filters(8))))"
    )
    folder = cache_folder().parent
    (folder / "tests_netlists.py").write_text(
        "from spicesim.netlist.netlist import Netlist\n"
        f"NETLISTS = {[(n.title, n.body, n.analyses, n.probes) for n in filters(8)]!r}\n"
        "def filters(count):\n"
        "    return [Netlist(title=t, body=b, analyses=a, probes=p) for t, b, a, p in NETLISTS[:count]]\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", python], cwd=folder, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=1800)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert said == {f"{sum(float(abs(r[0].vectors['v(b)']).sum()) for r in run_all(filters(8)))}\n"}
    assert len(kept()) == 8


def test_a_killed_parent_loses_nothing_finished_and_leaves_no_simulation(tmp_path):
    """Ngspice is slow for the fifth run; the parent is killed in it."""
    program = tmp_path / "slow_ngspice"
    slow = f'grep -q "filter 4" netlist.cir && echo $$ >{tmp_path}/pid && exec sleep 600'
    program.write_text(f'#!/bin/sh\n{slow}\nexec ngspice "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    python = (
        "import sys; from spicesim.netlist.netlist import Netlist\n"
        "from spicesim.ngspice.batch import BatchSimulator\n"
        "from spicesim.sampling import run_all\n"
        f"netlists = [Netlist(title=t, body=b, analyses=a, probes=p) for t, b, a, p in "
        f"{[(n.title, n.body, n.analyses, n.probes) for n in filters(6)]!r}]\n"
        f"run_all(netlists, simulator=BatchSimulator(program={str(program)!r}), jobs=1)"
    )
    parent = subprocess.Popen([sys.executable, "-c", python])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert len(kept()) == 4
    slow = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and os.path.exists(f"/proc/{slow}"):  # noqa: PTH110
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{slow}"), "ngspice outlived its parent"  # noqa: PTH110
    before = {name: (results_folder() / name).stat().st_mtime_ns for name in kept()}
    results = run_all(filters(6))
    assert all(np.isfinite(r[0].vectors["v(b)"]).all() for r in results)
    after = {name: (results_folder() / name).stat().st_mtime_ns for name in kept()}
    assert len(after) == 6
    assert {name: after[name] for name in before} == before, "what was finished is not simulated again"
