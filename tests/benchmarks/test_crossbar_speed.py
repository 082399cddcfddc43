"""Speed of the array kernels on one core; run with ``pytest --benchmark-only tests/benchmarks``."""

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Sinh
from spicesim.crossbar import Crossbar
from spicesim.ports import PortTables

BATCH = 64
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


def measure(benchmark, array, v, **options):
    """Measure after preparation, which the first call does."""
    array.solve(v, **options)
    solution = benchmark(array.solve, v, **options)
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.median / len(v) * 1e6
    return solution


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("resistance", [1.0, 20.0])
def test_exact_solution_by_size(benchmark, size, precision, resistance):
    array, v = case(size, resistance, CELLS["sinh"])
    assert measure(benchmark, array, v, precision=precision).iterations.max() <= 30


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("precision", ["double", "single"])
def test_exact_solution_by_cell(benchmark, kind, precision):
    measure(benchmark, *case(128, 1.0, CELLS[kind]), precision=precision)


def test_few_vectors_by_conjugate_gradients(benchmark):
    array, v = case(128, 1.0, CELLS["sinh"])
    measure(benchmark, array, v[:8])


@pytest.mark.parametrize("precision", ["double", "single"])
def test_exact_solution_with_half_the_columns_saturated(benchmark, precision):
    array, v = case(64, 1.0, CELLS["sinh"])
    limit = float(np.median(array.solve(v).currents))
    current = np.linspace(-2 * limit, 2 * limit, 2001)
    rise = 3e-3 * np.logaddexp(0.0, (current - limit) / (limit / 500))
    port = PortTables.from_samples(current, 2.0 * current + rise, name="amplifier")
    measure(benchmark, array, v, senses=port, precision=precision)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_transfer_matrix(benchmark, size):
    array, _ = case(size, 1.0, CELLS["linear"])
    parts = array.g, array.r_word_line, array.r_bit_line, array.r_driver, array.r_sense
    benchmark(lambda: Crossbar(*parts).transfer_matrix())


@pytest.mark.parametrize("size", [64, 128])
def test_gradient(benchmark, size):
    array, v = case(size, 1.0, CELLS["biased"])
    benchmark(array.vjp, v, np.ones((BATCH, size)))
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.median / BATCH * 1e6
