"""How long the largest netlists take to write and to solve; scripts/bench runs this."""

import numpy as np
import pytest

from spicesim.calibration.tiles import predicted_nodesets
from spicesim.chip import preset
from spicesim.netlist import DIALECTS, build_crossbar, build_tile, format_netlist
from spicesim.ngspice.batch import BatchSimulator


@pytest.fixture(scope="module")
def cells():
    return np.random.default_rng(1).uniform(1e-6, 50e-6, (128, 128))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_write_a_tile(benchmark, cells, dialect):
    chip, codes = preset("generic-1t1r"), np.arange(128)

    def write():
        return format_netlist(build_tile(chip, cells, codes, polarity="unipolar", r_feedback=5e3), dialect)

    assert "xc_127_127" in benchmark.pedantic(write, rounds=2)


def test_write_a_large_array(benchmark):
    chip = preset("generic-1t1r").changed(cell={"kind": "1r", "kappa": 0.0})
    g = np.random.default_rng(1).uniform(1e-6, 50e-6, (512, 512))
    text = benchmark.pedantic(lambda: build_crossbar(chip, g, np.full(512, 0.1)).format(), rounds=2)
    assert "xc_511_511" in text


def test_solve_a_tile(benchmark, cells, generic_calibration):
    chip, codes = generic_calibration.chip, np.arange(128)
    state = generic_calibration.tile(cells, "unipolar", 5e3).solve(codes[None, :])
    guesses = predicted_nodesets(state, 0, chip)
    netlist = build_tile(chip, cells, codes, polarity="unipolar", r_feedback=5e3, nodesets=guesses)
    (plot,) = benchmark.pedantic(lambda: BatchSimulator(timeout=600).run(netlist), rounds=1)
    out = np.array([plot.vectors[f"v(out_{j})"][0] for j in range(128)])
    np.testing.assert_allclose(chip.sense_amplifier.v_reference - out, state.v_out[0], atol=5e-3)
