"""The benchmark: every way it compares solves the same array, and the table says what was measured."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.bench.contenders import CONTENDERS, run_contender
from spicesim.bench.measurement import in_own_process, median_seconds
from spicesim.bench.mlp import run_network
from spicesim.bench.peers import NodalEquations
from spicesim.bench.work import make_work
from spicesim.cells import Polynomial
from spicesim.cli.bench import bench

CELL = Polynomial([1.0, -0.1, 0.2])


@pytest.mark.parametrize("number", range(len(CONTENDERS)), ids=[c.name for c in CONTENDERS])
def test_every_way_finds_the_same_currents(number):
    found = run_contender(number, 8, CELL, 1)
    if found is None:
        assert CONTENDERS[number].name == "badcrossbar"
        return
    assert found.max_error < 3e-4
    assert found.rms_error <= found.max_error
    assert found.gemm_seconds > 0
    assert found.prepare_seconds or found.vector_seconds


def test_the_nodal_equations_give_the_transfer_matrix():
    array = make_work(12, None).array
    np.testing.assert_allclose(NodalEquations(array).transfer_matrix(), array.transfer_matrix(), rtol=1e-10)


def test_a_process_of_its_own_returns_what_the_function_returns():
    assert in_own_process(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        in_own_process(divmod, 7, 0)


def test_the_median_of_a_few_repeats_is_taken():
    calls = []
    one, two = median_seconds(lambda: calls.append(1), lambda: calls.append(2), repeats=3, least=0.0)
    assert max(one, two) < 0.1
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
