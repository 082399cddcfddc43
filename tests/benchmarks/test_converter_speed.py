"""Speed of calibrated converters on one thread; run with ``pytest --benchmark-only tests/benchmarks``."""

import numpy as np
import pytest

from spicesim.behavioural.sar import SarSearch

BITS, SPAN, COLUMNS = 8, 1.6, 128


@pytest.mark.parametrize("drawn", [False, True])
def test_conversions_by_nominal_and_by_drawn_converters(benchmark, drawn):
    rng = np.random.default_rng(0)
    weights = SPAN * 2.0 ** (np.arange(BITS) - BITS) * (1 + rng.normal(0, 0.002, BITS))
    search = SarSearch(
        sampled=128, middle=0.0, curve=(1e-3, SPAN / 2, 1e-3, 3e-4, 2e-4, 1e-4), weights=weights,
        trials=rng.normal(0, 1e-4, BITS), rejected=rng.normal(0, 1e-4, BITS), low=-SPAN / 2, high=SPAN / 2,
    )  # fmt: skip
    tables = search.tables
    if drawn:
        own = weights * (1 + rng.normal(0, 0.002, (COLUMNS, BITS)))
        tables = search.drawn(rng.normal(0, 0.01, COLUMNS), own, np.arange(COLUMNS))
    volts = rng.uniform(-0.9, 0.9, (1000, COLUMNS))
    codes = benchmark(tables.codes, volts, search, SPAN / 2)
    benchmark.extra_info["ns_a_conversion"] = benchmark.stats.stats.median / volts.size * 1e9
    assert codes.shape == volts.shape
