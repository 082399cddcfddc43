"""Speed of the fast tier on one core; run with ``pytest --benchmark-only tests/benchmarks``."""

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial
from spicesim.crossbar import Crossbar
from spicesim.fast.crossbar import FastCrossbar
from spicesim.fast.expansion import Expansion
from spicesim.fast.form import FORMS

BATCH = 1000
BIASED = BiasedPolynomial(
    np.array([[[1.0, 0.05], [0.05, 0.02]], [[0.02, 0.01], [0.03, 0.0]], [[0.1, 0.02], [0.0, 0.01]]]),
    5e-4,
    (-0.5, 0.5),
    (-0.3, 0.3),
)


def case(size):
    rng = np.random.default_rng(size)
    return Crossbar(rng.uniform(1e-6, 5e-5, (size, size)), 1.0, 1.0, cell=BIASED), rng.random((BATCH, size)) * 0.2


@pytest.fixture(scope="module")
def expansion():
    return Expansion(case(128)[0], 0.0, 0.2)


@pytest.mark.parametrize("orders", FORMS, ids=str)
def test_forms(benchmark, expansion, orders):
    form, v = expansion.build(orders), case(128)[1].astype(np.float32)
    benchmark(form.evaluate, v)
    benchmark.extra_info["us_a_vector"] = benchmark.stats.stats.min / BATCH * 1e6


@pytest.mark.parametrize("size", [64, 128, 256])
def test_preparation(benchmark, size):
    array, _ = case(size)
    fast = benchmark(FastCrossbar, array, tolerance=1e-3)
    assert fast.form != "exact"


def test_the_matrix_product_they_are_measured_by(benchmark):
    v = np.random.default_rng(0).random((BATCH, 128), dtype=np.float32)
    t, out = v[:128].copy(), np.empty_like(v)
    benchmark(np.matmul, v, t, out=out)
