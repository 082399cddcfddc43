"""The benchmark: every way it compares solves the same array, and the table says what was measured."""

import json
import sys
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.bench import measurement
from spicesim.bench.contenders import CONTENDERS, run_contender
from spicesim.bench.measurement import in_own_process, median_seconds
from spicesim.bench.mlp import run_network
from spicesim.bench.peers import NodalEquations, import_peer
from spicesim.bench.run import find_left_out
from spicesim.bench.work import make_work
from spicesim.cells import Polynomial
from spicesim.cli.bench import bench

CELL = Polynomial([1.0, -0.1, 0.2])


@pytest.mark.parametrize("number", range(len(CONTENDERS)), ids=[c.name for c in CONTENDERS])
def test_every_way_finds_the_same_currents(number):
    found = run_contender(number, 8, CELL, 1)
    if found is None:
        assert CONTENDERS[number].install
        return
    assert found.max_error < 3e-4
    assert found.rms_error <= found.max_error
    assert found.gemm_seconds > 0
    assert found.prepare_seconds or found.vector_seconds


@pytest.mark.parametrize("name", [c.name for c in CONTENDERS if c.install])
def test_a_peer_that_is_not_installed_is_left_out_and_the_table_says_how_to_get_it(monkeypatch, name):
    (number,) = (k for k, c in enumerate(CONTENDERS) if c.name == name)
    for module in ("badcrossbar", "badcrossbar.compute", "cvxopt", "cvxopt.cholmod"):
        monkeypatch.setitem(sys.modules, module, None)
    import_peer.cache_clear()
    assert run_contender(number, 8, CELL, 1) is None
    import_peer.cache_clear()
    (line,) = find_left_out(8, [number], {number}, 2)
    assert line == f"{name}: not installed; {CONTENDERS[number].install}"


def test_a_peer_is_imported_without_its_warnings(monkeypatch, tmp_path):
    noise = "import warnings\nwarnings.simplefilter('always')\nwarnings.warn('no plots', ImportWarning)\n"
    (tmp_path / "noisy_peer.py").write_text(noise)
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as shown:
        assert import_peer("noisy_peer").__name__ == "noisy_peer"
    assert shown == []


def test_what_is_too_slow_for_a_size_or_a_machine_is_said():
    every = range(len(CONTENDERS))
    assert find_left_out(128, every, set(), 2) == ()
    lines = find_left_out(512, every, set(), 1)
    assert [line.partition(",")[0] for line in lines] == [
        "above 128x128", "above 256x256", "two threads: 1 processor available"
    ]  # fmt: skip
    assert "badcrossbar, ngspice .op, ngspice .dc, 8 vectors" in lines[0]
    help_text = " ".join(CliRunner().invoke(bench, ["--help"]).output.split())
    assert "ngspice and badcrossbar run up to 128x128, scipy and CHOLMOD up to 256x256" in help_text
    largest = {word: {c.largest for c in CONTENDERS if word in c.name} for word in ("ngspice", "badc", "splu", "CHOL")}
    assert largest == {"ngspice": {128}, "badc": {128}, "splu": {256}, "CHOL": {256}}


def test_rows_of_two_threads_tell_what_the_second_gains():
    (number,) = (k for k, c in enumerate(CONTENDERS) if c.name == "spicesim exact, single, 2 threads")
    assert float(run_contender(number, 8, CELL, 1).note.partition(" times as fast as one thread")[0]) > 0


def test_the_nodal_equations_give_the_transfer_matrix():
    array = make_work(12, None).array
    np.testing.assert_allclose(NodalEquations(array).transfer_matrix(), array.transfer_matrix(), rtol=1e-10)


def test_a_process_of_its_own_returns_what_the_function_returns():
    assert in_own_process(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        in_own_process(divmod, 7, 0)


def test_the_median_of_a_few_repeats_is_taken(monkeypatch):
    """By a clock of the test's own: the first takes 3, 1 and 50 s, the second 2 s each."""
    now, calls = 0.0, []
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: now)

    def take(name, seconds):
        nonlocal now
        now += seconds
        calls.append(name)

    first = iter([3.0, 1.0, 50.0])
    assert median_seconds(lambda: take(1, next(first)), lambda: take(2, 2.0), repeats=3, least=0.0) == [3.0, 2.0]
    assert calls == [1, 2] * 3


def test_the_network_agrees_with_exact_solutions():
    found = run_network(1)
    assert found.tiles == 30
    assert found.max_error < 1e-5


def test_the_command_prints_a_table_and_writes_json(tmp_path, gf180_calibration):
    gf180_calibration.save(tmp_path / "cal.json")
    out = tmp_path / "bench.json"
    words = ["--quick", "--no-peers", "--calibration", str(tmp_path / "cal.json"), "--json", str(out)]
    result = CliRunner().invoke(bench, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "spicesim fast, cheap" in result.output
    measured = json.loads(out.read_text())
    assert {m["rows"] for m in measured["measurements"]} == {32}
    assert measured["cpu"]


@pytest.mark.parametrize("sizes", ["a", "0", "32,2000", ""])
def test_sizes_that_make_no_sense_are_refused(sizes):
    result = CliRunner().invoke(bench, ["--sizes", sizes])
    assert result.exit_code == 2
    assert "sizes" in result.output
