"""Intervals of resistances cover planted truths, whatever errors the readings have and share.

``python tests/unit/test_fit_coverage.py 100`` prints the whole table: every kind of error, three sizes, both cells.
"""

import sys
from collections.abc import Iterator

import numpy as np

from spicesim.calibration.wires import fit_wires
from spicesim.cells import Sinh
from spicesim.crossbar import Crossbar

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
