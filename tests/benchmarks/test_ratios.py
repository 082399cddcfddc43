"""What the solvers promise as ratios of times in one run, with their errors; on a quiet machine, by scripts/bench."""

import os

import numpy as np
import pytest

from spicesim.bench.measurement import GEMM_BATCH, matrix_product, median_seconds
from spicesim.bench.mlp import run_network
from spicesim.bench.peers import NodalEquations, import_peer, ngspice_currents
from spicesim.bench.work import make_work
from spicesim.cells import Sinh
from spicesim.crossbar import Crossbar
from spicesim.fast.crossbar import FastCrossbar
from spicesim.fast.trial import measure
from spicesim.ngspice.batch import BatchSimulator

SIZE = 128
CHEAP, FINE = 3e-4, 1e-4
VECTORS = 64
PRODUCT = matrix_product(SIZE, SIZE)


@pytest.fixture(scope="module")
def work(gf180_calibration):
    return make_work(SIZE, gf180_calibration.cell.cell)


def ratio_of(benchmark, one, other, *, repeats=11, least=1.0):
    """Return the time of one over that of the other, called in turn; the report keeps it."""

    def compare():
        first, second = median_seconds(one, other, repeats=repeats, least=least)
        return first / second

    ratio = benchmark.pedantic(compare, rounds=1)
    benchmark.extra_info["ratio"] = ratio
    return ratio


def error_of(found, work):
    reference = work.reference()
    return measure(found, reference, float(np.abs(reference).max()))


def test_the_transfer_matrix_takes_a_tenth_of_a_sparse_factorisation(benchmark):
    array = make_work(SIZE, None).array
    equations = NodalEquations(array)

    def mine():
        return Crossbar(array.g, array.r_word_line, array.r_bit_line).transfer_matrix()

    theirs = equations.transfer_matrix()
    assert np.abs(mine() - theirs).max() <= 1e-10 * theirs.max()
    assert ratio_of(benchmark, equations.transfer_matrix, mine, repeats=3) >= 10


def test_linear_cells_take_the_time_of_a_matrix_product(benchmark):
    linear = make_work(SIZE, None)
    batch = linear.batch.astype(np.float32)
    linear.array.currents(batch, precision="single")
    assert ratio_of(benchmark, lambda: linear.array.currents(batch, precision="single"), PRODUCT) <= 1.3


def test_the_cheap_setting_takes_eight_matrix_products(benchmark, work):
    fast = FastCrossbar(work.array, tolerance=CHEAP, v_range=work.v_range)
    batch = work.batch.astype(np.float32)
    largest, rms = error_of(fast.currents(work.checks), work)
    assert largest <= 1.5e-3
    assert rms <= 1.5e-4
    assert ratio_of(benchmark, lambda: fast.currents(batch), PRODUCT) <= 8


@pytest.mark.parametrize("bipolar", [False, True])
def test_the_fine_setting_is_within_its_errors_and_several_times_faster_than_exact(benchmark, work, bipolar):
    fine = make_work(SIZE, work.array.cell, bipolar=bipolar)
    fast = FastCrossbar(fine.array, tolerance=FINE, v_range=fine.v_range)
    batch = fine.batch.astype(np.float32)
    largest, rms = error_of(fast.currents(fine.checks), fine)
    assert largest <= 3e-4
    assert rms <= 6e-5
    ratio = ratio_of(
        benchmark, lambda: fine.array.solve(batch[:VECTORS], precision="single"), lambda: fast.currents(batch)
    )
    assert ratio * GEMM_BATCH / VECTORS >= 3


@pytest.mark.parametrize("peer", ["splu", "CHOLMOD"])
def test_the_exact_solver_is_forty_times_faster_than_chord_newton(benchmark, work, peer):
    if peer == "CHOLMOD" and import_peer("cvxopt.cholmod") is None:
        pytest.skip("pip install cvxopt")
    equations, array = NodalEquations(work.array), work.array
    slopes = array.cell.slope(array.g, np.full(array.shape, 0.5 * work.v_range[1]))
    factor = (equations.factor if peer == "splu" else equations.factor_cholmod)(slopes)
    batch = work.batch[:VECTORS]
    assert error_of(array.solve(work.checks, precision="single").currents, work)[0] <= 1e-5
    ratio = ratio_of(
        benchmark, lambda: equations.chord(factor, batch[0], 1e-7), lambda: array.solve(batch, precision="single")
    )
    assert ratio * VECTORS >= 40


@pytest.mark.parametrize(("vectors", "least"), [(1, 4000), (8, 1500)], ids=[".op", ".dc"])
def test_the_exact_solver_is_thousands_of_times_faster_than_ngspice(benchmark, work, vectors, least):
    simulator, batch = BatchSimulator(timeout=600), work.batch[:VECTORS]
    ratio = ratio_of(
        benchmark,
        lambda: ngspice_currents(work.array, work.checks[:vectors], simulator),
        lambda: work.array.solve(batch, precision="single"),
        repeats=3,
        least=0.0,
    )
    assert ratio * VECTORS / vectors >= least


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
@pytest.mark.parametrize("tier", ["fast", "exact"])
def test_a_second_thread_nearly_doubles_the_speed(benchmark, work, tier):
    if tier == "fast":
        fast, batch = FastCrossbar(work.array, tolerance=CHEAP, v_range=work.v_range), work.batch.astype(np.float32)
        ratio = ratio_of(benchmark, lambda: fast.currents(batch), lambda: fast.currents(batch, 2))
    else:
        batch = work.batch[: 2 * VECTORS]
        ratio = ratio_of(
            benchmark,
            lambda: work.array.solve(batch, precision="single"),
            lambda: work.array.solve(batch, precision="single", threads=2),
        )
    assert ratio >= 1.8


def test_strong_drops_along_the_wires_cost_little(benchmark):
    """On/off ratio 1000, 20 ohm a segment against 1 ohm."""
    rng = np.random.default_rng(SIZE)
    g, v = 10 ** rng.uniform(-7, -4, (SIZE, SIZE)), rng.uniform(0.0, 0.2, (VECTORS, SIZE))
    strong, weak = (Crossbar(g, r, r, cell=Sinh(3.0)) for r in (20.0, 1.0))
    found, reference = strong.solve(v, tolerance=1e-6).currents, strong.solve(v).currents
    assert np.abs(found - reference).max() <= 1e-6 * reference.max()
    ratio = ratio_of(benchmark, lambda: strong.solve(v, tolerance=1e-6), lambda: weak.solve(v, tolerance=1e-6))
    assert ratio <= 6


def test_a_network_takes_three_times_its_ideal(benchmark):
    found = benchmark.pedantic(run_network, args=(5,), rounds=1)
    benchmark.extra_info["ratio"] = found.run_seconds / found.ideal_seconds
    assert found.max_error <= 1e-6
    assert found.run_seconds <= 3 * found.ideal_seconds
    assert found.prepare_seconds <= 1.2
