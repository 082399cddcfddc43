"""Chips of differential cells: a pair is two cells with transistors on one word-line node, in every model."""

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.mismatch import cell_responses
from spicesim.calibration.mismatch_bench import MismatchBench, with_chip_mismatch
from spicesim.calibration.tiles import TileCase, check_tiles
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.engine import TransferEngine
from spicesim.engine.protocol import Tile
from spicesim.errors import NetworkError
from spicesim.mapping import MappingOptions
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.ensemble import build_cells
from spicesim.network import compile_network
from spicesim.network.digits import digits_network, load_digits
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

WIRES = {"rows": 8, "columns": 8, "r_word_line": 12.0, "r_bit_line": 5.0}
SINGLE = preset("generic-1t1r").changed(array=WIRES, sense_amplifier={"r_feedback": (10e3, 80e3)})
PAIRS = SINGLE.changed(cell={"kind": "2t2r"})


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    return calibrate_once("pairs-8", lambda: calibrate(PAIRS, quick=True, aspects=()))


def test_whole_tiles_are_right_to_a_twenty_thousandth_of_full_scale(calibration):
    for check in calibration.checks:
        assert check.max_error <= 5e-5, check.name


def test_a_half_of_a_cell_is_a_cell_with_one_transistor(calibration):
    """Its points alternate between both halves, so the fit is of both; the same points of 1t1r cells fit as well."""
    rng = np.random.default_rng(0)
    g, v, u = rng.uniform(1e-6, 50e-6, 64), rng.uniform(-0.3, 0.3, 64), rng.uniform(-0.2, 0.2, 64)
    (pair,), (single,) = run_all([build_cell_samples(chip, g, v, u) for chip in (PAIRS, SINGLE)])
    for k in range(64):
        name = f"i(vsense_{k})"
        assert pair.vectors[name][0].real == pytest.approx(single.vectors[name][0].real, rel=1e-6, abs=1e-14)


def test_a_segment_within_a_pair_is_none(calibration):
    """Tiles of a model that has one are off by a hundred times as much."""
    g = np.full((8, 8), PAIRS.cell.g_max)
    single = calibration.model_copy(update={"chip": SINGLE})
    codes = np.full((1, 8), 2**PAIRS.dac.bits - 1)
    own, other = (c.tile(g, "unipolar", 10e3).solve(codes).v_out for c in (calibration, single))
    assert np.abs(own - other).max() > 1e-3 * calibration.senseamps[0].full_scale
    case = TileCase(name="full", tile=calibration.tile(g, "unipolar", 10e3), codes={"all on": codes[0]})
    assert check_tiles(PAIRS, [case])[0].max_error <= 5e-5
    adc = calibration.conductance_range
    tile = Tile(name="t", g=np.full((8, 8), adc[1]), polarity="unipolar", r_feedback=10e3, adc=None)
    transfer = TransferEngine(calibration).prepare(tile).transfer
    assert np.allclose(transfer[0], transfer[1], rtol=1e-12), "both halves see the same word-line nodes"


def test_each_half_follows_its_own_transistor(calibration):
    """Drawn cells at transistor level against the resistances that follow from the same numbers."""
    bench = MismatchBench(calibration=calibration, campaign=Campaign(quick=True, jobs=1))
    halves = cell_responses(bench)
    assert len(halves) == 2
    draw, g = ChipDraw(seed=3), np.full((2, 8), PAIRS.cell.g_max)
    netlist = build_cells(PAIRS, range(2), g, PAIRS.cell.v_read)
    (drawn,) = run_all([with_chip_mismatch(netlist, calibration, draw)])[0]
    found = np.array([[drawn.vectors[f"i(vsense_{i}_{j})"][0].real for j in range(8)] for i in range(2)])
    r = np.stack([np.stack([h.draw(draw, 4, f"xc_{i}")[:, 0] for h in halves], axis=1).ravel() for i in range(2)])
    expected = calibration.cell.current(g / (1 + g * r), PAIRS.cell.v_read)
    nominal = calibration.cell.current(PAIRS.cell.g_max, PAIRS.cell.v_read)
    assert np.abs(found / nominal - 1).max() > 1e-3, "the draw changes something"
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("signs", ["reference", "offset"])
def test_weights_without_two_signs_are_refused(calibration, signs):
    with pytest.raises(NetworkError, match=r"2t2r cell holds the two signs of a weight.*signs = differential"):
        compile_network(digits_network("mlp"), calibration, mapping=MappingOptions(signs=signs))


@pytest.mark.parametrize("predistort", [False, True])
def test_a_network_runs_and_its_products_are_those_of_transistors(calibration, predistort):
    digits = load_digits()
    network = compile_network(digits_network("cnn"), calibration, mapping=MappingOptions(predistort=predistort))
    network.fit_ranges(digits.x_calibration)
    found = network.run(digits.x[:24], "fast")
    assert np.mean(np.argmax(found.logits, axis=1) == digits.y[:24]) >= 0.9
    audit = network.audit(digits.x[:2], count=3)
    assert np.abs((audit.measured - audit.predicted) / audit.full_scale).max() <= 5e-5
