"""Speed of the array kernels on one core; run with ``pytest --benchmark-only tests/benchmarks``."""

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Sinh
from spicesim.crossbar import Crossbar
from spicesim.ports import PortTables

BATCH = 32
BIASED = BiasedPolynomial(
    np.array([[[1.0, 0.05], [0.05, 0.02]], [[0.02, 0.01], [0.03, 0.0]], [[0.1, 0.02], [0.0, 0.01]]]),
    5e-5,
    (-1.0, 1.0),
    (-1.0, 1.0),
)
CELLS = {"linear": Linear(), "sinh": Sinh(3.0), "polynomial": Polynomial([1.0, 0.02, 0.1]), "biased": BIASED}


def case(size, resistance, cell):
    rng = np.random.default_rng(size)
    g = rng.uniform(1e-6, 1e-4, (size, size))
    return Crossbar(g, resistance, resistance, cell=cell), rng.uniform(0.0, 0.2, (BATCH, size))


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("tolerance", [1e-11, 1e-6])
def test_exact_solution_by_size(benchmark, size, tolerance):
    array, v = case(size, 1.0, CELLS["sinh"])
    solution = benchmark(array.solve, v, tolerance=tolerance)
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.min / BATCH * 1e6
    assert solution.iterations.max() < 10


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_exact_solution_by_cell(benchmark, kind):
    array, v = case(64, 1.0, CELLS[kind])
    benchmark(array.solve, v)
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.min / BATCH * 1e6


def test_exact_solution_with_half_the_columns_saturated(benchmark):
    array, v = case(64, 1.0, CELLS["sinh"])
    limit = float(np.median(array.solve(v).currents))
    current = np.linspace(-20 * limit, 20 * limit, 20001)
    rise = 1.5 / limit * limit / 500 * np.logaddexp(0.0, (current - limit) / (limit / 500))
    port = PortTables.from_samples(current, 2.0 * current + rise, name="amplifier")
    benchmark(array.solve, v, senses=port)
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.min / BATCH * 1e6


@pytest.mark.parametrize("size", [64, 128, 256])
def test_transfer_matrix(benchmark, size):
    array, _ = case(size, 1.0, CELLS["linear"])
    parts = array.g, array.r_word_line, array.r_bit_line, array.r_driver, array.r_sense
    benchmark(lambda: Crossbar(*parts).transfer_matrix())
