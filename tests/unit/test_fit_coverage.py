"""Intervals of resistances cover planted truths, whatever errors the readings have and share.

``python tests/unit/test_fit_coverage.py 100`` prints the whole table: every kind of error, three sizes, both cells.
"""

import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom

from spicesim.calibration.wires import fit_wires
from spicesim.cells import Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError

NOISE = {"noise": 1e-3}
KINDS = {
    "noise .1 %": NOISE,
    "noise of .3 % of each current": {"relative": 3e-3},
    "conductances to 1 %": {**NOISE, "g": 0.01},
    "conductances to 3 %": {**NOISE, "g": 0.03},
    "conductances to 1 % of the largest": {**NOISE, "g_absolute": 0.01},
    "offsets by column": {**NOISE, "offset": 3e-3},
    "conductances to 3 %, offsets by column": {**NOISE, "g": 0.03, "offset": 3e-3},
    "conductances to 1 %, relative noise": {"relative": 3e-3, "g": 0.01},
    "gains by column": {**NOISE, "gain": 0.01},
    "one offset": {**NOISE, "shift": 3e-3},
    "gains by row": {**NOISE, "row": 0.01},
    "offsets by vector": {**NOISE, "vector": 3e-3},
}
"""Standard deviations; of currents relative to the largest."""


def plant(seed, kind, rows, vectors, cell=None):
    """Return a truth and the fit of its currents, read with errors."""
    errors, rng = KINDS[kind], np.random.default_rng([seed, rows, list(KINDS).index(kind)])
    g, v = rng.uniform(1e-6, 1e-4, (rows, rows)), rng.uniform(0, 0.2, (vectors, rows))
    truth = dict(zip(("r_word_line", "r_bit_line"), rng.uniform(0.3, 10, 2), strict=True))

    def draw(name, shape):
        return errors.get(name, 0.0) * rng.standard_normal(shape)

    made = g * (1 + draw("g", g.shape)) + 1e-4 * draw("g_absolute", g.shape)
    i = Crossbar(np.maximum(made, 0), *truth.values(), cell=cell).currents(v * (1 + draw("row", rows)))
    full = np.abs(i).max()
    i = i * (1 + draw("gain", rows) + draw("relative", i.shape))
    i = i + full * (
        draw("offset", rows) + draw("noise", i.shape) + draw("vector", (vectors, 1)) + errors.get("shift", 0)
    )
    return truth, fit_wires(g, v, i, cell=cell)


def covered(count, *case) -> Iterator[bool]:
    """Yield whether each interval that is given holds its truth."""
    for seed in range(count):
        truth, fit = plant(seed, *case)
        for name, parameter in fit.parameters.items():
            low, high = parameter.interval
            yield low <= truth[name] <= high


@pytest.mark.parametrize("kind", [
    "conductances to 1 %",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("conductances to 3 %", "offsets by column")),
])  # fmt: skip
def test_intervals_cover_whatever_errors_are_shared(kind):
    """Of 100 truths 90 to 99 %; here fewer, with as much as chance allows in one of 1000 such tests."""
    inside = list(covered(24, kind, 8, 6))
    assert len(inside) >= 26
    assert binom.ppf(1e-3, len(inside), 0.90) <= sum(inside)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("conductances to 3 %", r"the conductances given miss by [2-4]\.\d %|the conductances given miss by 3 %"),
        ("offsets by column", "the currents of columns have offsets of"),
        ("gains by column", "the currents of columns have gains that differ by"),
        ("gains by row", "the voltages of rows have gains that differ by"),
        ("offsets by vector", "all currents of a vector share an offset"),
        ("one offset", "all currents share an offset of"),
    ],
)
def test_shared_errors_are_named(kind, said):
    _, fit = plant(0, kind, 12, 16)
    assert any(re.match(said, warning) for warning in fit.warnings)


@pytest.mark.parametrize(("name", "value"), [("r_driver", 100.0), ("r_sense", 100.0), ("g_scale", 1.02)])
def test_a_parameter_that_was_forgotten_is_named(name, value):
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 1e-4, (12, 12)), rng.uniform(0, 0.2, (16, 12))
    more = {"r_driver": 0.0, "r_sense": 0.0, "g_scale": 1.0} | {name: value}
    i = Crossbar(g * more["g_scale"], 3.0, 2.0, more["r_driver"], more["r_sense"]).currents(v)
    fit = fit_wires(g, v, i + 1e-3 * i.max() * rng.standard_normal(i.shape))
    assert any(f"{name} was held at" in warning for warning in fit.warnings)


def test_errors_of_conductances_that_are_known_widen_the_intervals():
    """One vector says nothing of errors that only repetition shows; then the user's word counts."""
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-5, 1e-4, (8, 8)), rng.uniform(0.1, 0.2, (6, 8))
    i = Crossbar(g, 6.0, 6.0).currents(v)
    i = i + 1e-3 * i.max() * rng.standard_normal(i.shape)
    plain, told = fit_wires(g, v, i), fit_wires(g, v, i, g_error=0.01)
    for name, parameter in told.parameters.items():
        assert parameter.standard_error > 1.5 * plain.parameters[name].standard_error
    assert told.errors["conductances"].value == pytest.approx(0.01)
    with pytest.raises(SpecError, match="error of the conductances"):
        fit_wires(g, v, i, g_error=3.0)


def test_outliers_do_not_pull_a_robust_fit_of_an_array():
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-5, 1e-4, (12, 12)), rng.uniform(0, 0.2, (20, 12))
    i = Crossbar(g, 6.0, 4.0).currents(v)
    i = i + 1e-3 * i.max() * rng.standard_normal(i.shape)
    i[rng.random(i.shape) < 0.05] *= 1.3
    robust = fit_wires(g, v, i, loss="huber")
    for name, value in {"r_word_line": 6.0, "r_bit_line": 4.0}.items():
        low, high = robust.parameters[name].interval
        assert low <= value <= high
        assert high - low < 0.3 * value


if __name__ == "__main__":
    sizes = [tuple(map(int, size.split("x"))) for size in sys.argv[2:]] or [(8, 6), (16, 12), (32, 16)]
    for rows, vectors in sizes:
        for cell in (None, Sinh(2.0)):
            for kind in KINDS:
                inside = list(covered(int(sys.argv[1]), kind, rows, vectors, cell))
                print(
                    f"{rows}x{rows}, {vectors:2} vectors, {'linear' if cell is None else 'sinh  '}: {kind:40}"
                    f" {100 * np.mean(inside):5.1f} % of {len(inside)}",
                    flush=True,
                )
