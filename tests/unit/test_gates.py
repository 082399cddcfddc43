"""Rows turned on and off by their gates: descriptions, solvers with masks, planes of bits, what is refused."""

import numpy as np
import pytest

import spicesim
from spicesim.behavioural.fast_tile import FastTile
from spicesim.calibration.dac import read_supply
from spicesim.cells import BiasedPolynomial, Linear, Sinh
from spicesim.chip import Chip, load_chip, preset, save_chip
from spicesim.crossbar import Crossbar
from spicesim.engine import IdealEngine, Tile
from spicesim.errors import CalibrationError, NetworkError, SpecError
from spicesim.fast.gates import GATE_FORMS, GateExpansion
from spicesim.mapping import MappingOptions
from spicesim.netlist.tile import build_tile
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.pulses import GatePlanes, choose_pulses
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.ports import PortTables

CHIP = preset("generic-1t1r").changed(
    array={"rows": 24, "columns": 33}, dac={"kind": "bits"}, cell={"inputs": "gate"}, adc={"bits": 16}
)
POLYNOMIAL = BiasedPolynomial(
    np.array([[[1.0, 0.05], [-0.3, 0.0]], [[0.2, 0.0], [0.0, 0.0]], [[0.1, 0.0], [0.0, 0.0]]]),
    g_reference=1e-3,
    v_limits=(-1.0, 1.0),
    u_limits=(-1.0, 1.0),
    folds=1,
)
CELLS = {"linear": Linear(), "sinh": Sinh(2.0), "polynomial": POLYNOMIAL}


def masks(rows, random=20, seed=0):
    """Return the masks that hurt most, and random ones: all on, none, one row, every second, halves."""
    row, rng = np.arange(rows), np.random.default_rng(seed)
    special = [
        row >= 0,
        row < 0,
        row == 0,
        row == rows - 1,
        row % 2 == 0,
        row % 2 == 1,
        row < rows // 2,
        row >= rows // 2,
    ]
    return np.concatenate([special, rng.random((random, rows)) < rng.random((random, 1))]).astype(float)


def test_a_chip_says_that_its_gates_take_the_inputs(tmp_path):
    save_chip(CHIP, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml") == CHIP
    assert 'inputs = "gate"' in (tmp_path / "chip.toml").read_text()
    plain = CHIP.changed(cell={"inputs": "word_line"})
    assert "inputs" not in plain.model_dump()["cell"]
    assert plain.hash != CHIP.hash
    assert CHIP.polarities == ("unipolar",)
    assert plain.polarities == ("unipolar", "bipolar")


def test_presets_kept_their_hashes():
    assert preset("gf180-1t1r").hash == "6d8017cafbbcfe5f"


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"cell": {"kind": "1r"}}, "have no gates"),
        ({"cell": {"kind": "1s1r"}}, "have no gates"),
        ({"dac": {"kind": "r2r"}}, "inputs of gates are bits"),
        ({"sense_amplifier": {"kind": "voltage"}}, "all word lines have one voltage"),
    ],
)
def test_what_gates_cannot_drive_is_refused_with_its_reason(sections, why):
    with pytest.raises(SpecError, match=why):
        CHIP.changed(**sections)
    assert isinstance(CHIP.changed(cell={"kind": "2t2r"}, array={"columns": 32}), Chip)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 7), (9, 1), (24, 17)])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_rows_that_are_off_are_rows_without_cells(cell, shape, precision):
    rng = np.random.default_rng(1)
    g = rng.uniform(1e-6, 50e-6, shape) * (rng.random(shape) < 0.9)
    mask, v = masks(shape[0]), rng.uniform(-0.2, 0.2, (28, shape[0]))
    wires = {"r_word_line": 3.0, "r_bit_line": 5.0, "r_driver": 2.0, "r_sense": 7.0, "cell": CELLS[cell]}
    found = spicesim.Crossbar(g, **wires).solve(v, mask=mask, precision=precision, fields=True)
    scale = 0.2 * 50e-6 * shape[0]
    for k, own in enumerate(mask):
        alone = spicesim.Crossbar(g * own[:, None], **wires).solve(v[k], fields=True)
        np.testing.assert_allclose(
            found.currents[k], alone.currents[0], rtol=0, atol=(1e-9, 1e-5)[precision == "single"] * scale
        )
        assert not found.row_currents[k][own == 0].any()
        np.testing.assert_allclose(
            found.row_currents[k].sum(),
            found.currents[k].sum(),
            rtol=0,
            atol=(1e-9, 1e-5)[precision == "single"] * scale,
        )
        if precision == "double":
            np.testing.assert_allclose(found.cell_voltages[k], alone.cell_voltages[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("ends", [{"drive": "both"}, {"sense": "both"}, {"drive": "right"}])
def test_lines_with_other_ends_know_rows_that_are_off(ends):
    rows, columns = 12, 9
    g, mask = np.random.default_rng(2).uniform(1e-6, 50e-6, (rows, columns)), masks(12)
    v = np.full(mask.shape, 0.2)
    array = spicesim.Crossbar(g, 3.0, 5.0, r_driver=2.0, r_sense=7.0, cell=Sinh(1.0), **ends)
    found = array.solve(v, mask=mask).currents
    one_by_one = np.concatenate([array.solve(v[k : k + 1], mask=mask[k]).currents for k in range(len(v))])
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-9 * 0.2 * g.sum())


@pytest.mark.parametrize("feedback", [1e3, 2e4, 2e5])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_amplifiers_that_saturate_are_solved_with_rows_off(feedback, precision):
    rows, columns = 32, 12
    g, mask = np.random.default_rng(3).uniform(1e-6, 50e-6, (rows, columns)), masks(rows, 30)
    current = np.linspace(-2e-3, 2e-3, 2001)
    beyond = np.maximum(np.abs(current) * feedback - 1.6, 0.0) * np.sign(current)
    senses = PortTables.from_samples(current, (5.0 * current + beyond)[None], name="sense amplifier").chosen(
        np.zeros(columns, int)
    )
    array, v = spicesim.Crossbar(g, 1.0, 1.0, cell=Sinh(1.0)), np.full(mask.shape, 0.2)
    found = array.solve(v, mask=mask, senses=senses, precision=precision).currents
    one_by_one = np.concatenate([array.solve(v[:1], mask=own, senses=senses).currents for own in mask])
    assert (np.abs(one_by_one) * feedback > 1.6).any() == (feedback > 1e4)
    np.testing.assert_allclose(
        found, one_by_one, rtol=0, atol=(1e-8, 1e-5)[precision == "single"] * np.abs(one_by_one).max()
    )


def test_results_do_not_depend_on_threads_or_neighbours():
    g, mask = np.random.default_rng(4).uniform(1e-6, 50e-6, (20, 10)), masks(20, 60)
    array, v = spicesim.Crossbar(g, 1.0, 1.0, cell=Sinh(1.0)), np.full(mask.shape, 0.2)
    np.testing.assert_array_equal(array.currents(v, mask=mask), array.currents(v, mask=mask, threads=3))
    np.testing.assert_allclose(array.currents(v[:20], mask=mask[40:60]), array.currents(v, mask=mask)[40:60], rtol=1e-9)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("bits", [2, 3, 8, 16])
def test_planes_of_gates_add_up_to_the_code_and_0_turns_nothing_on(bits, polarity):
    codes = np.unique(np.linspace(0, 2**bits - 1, 1000).astype(np.int64))[None]
    pulses = choose_pulses(CHIP, None, polarity)
    assert pulses == GatePlanes()
    assert pulses.levels(polarity) == "unipolar"
    planes = list(pulses.planes(codes, bits, polarity))
    assert len(planes) == pulses.count(bits, polarity) == bits
    assert all(set(np.unique(plane)) <= {0, 1} for _, plane in planes)
    dac = CHIP.changed(dac={"bits": bits}).dac
    total = sum(weight * dac.volts(plane, "unipolar") for weight, plane in planes)
    wanted = CHIP.changed(dac={"bits": bits, "kind": "r2r"}, cell={"inputs": "word_line"}).dac.volts(codes, polarity)
    np.testing.assert_allclose(total, wanted, rtol=1e-12, atol=1e-15 * dac.v_span)
    assert pulses.constant(bits, polarity) == 0.0
    zero = np.array([[0 if polarity == "unipolar" else 2 ** (bits - 1)]])
    assert not any(plane.any() for _, plane in pulses.planes(zero, bits, polarity))


@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize("signs", ["differential", "reference", "offset"])
def test_a_network_on_gates_computes_what_it_does_with_whole_codes(signs, shift):
    digits, options = load_digits(), {"mapping": MappingOptions(signs=signs)}
    x = digits.x[:60] - np.float32(shift)
    gated = compile_network(digits_network("mlp"), UncalibratedChip(CHIP), x_calibration=x, **options)
    whole = CHIP.changed(dac={"kind": "r2r"}, cell={"inputs": "word_line"})
    usual = compile_network(digits_network("mlp"), UncalibratedChip(whole), x_calibration=x, **options)
    found, wanted = (net.run(x, IdealEngine(net.calibration.chip), sample=4) for net in (gated, usual))
    np.testing.assert_allclose(found.logits, wanted.logits, rtol=0, atol=5e-3 * np.abs(wanted.logits).max())
    assert {sample.tile.polarity for sample in found.samples} == {"unipolar"}
    assert {sample.tile.adc.low for sample in found.samples} == {0.0}
    assert gated.ranges[0].polarity == ("bipolar" if shift else "unipolar")


def test_digits_of_inputs_are_refused_on_gates():
    with pytest.raises(NetworkError, match="no digits to choose"):
        compile_network(digits_network("mlp"), UncalibratedChip(CHIP), input_digit=2)


def test_netlists_name_every_gate_and_one_supply():
    netlist = build_tile(CHIP, np.full((3, 2), 1e-5), np.array([1, 0, 1]), polarity="unipolar", r_feedback=2e4)
    lines = netlist.body.splitlines()
    assert sum(line.startswith("vread read vref 0.2") for line in lines) == 1
    assert [line.split()[1:3] for line in lines if line.startswith("vrow_")] == [
        ["read", f"read_{i}"] for i in range(3)
    ]
    drivers = [line.split()[:6] for line in lines if line.startswith("xdac_")]
    assert drivers == [[f"xdac_{i}", bit, f"gate_{i}", "vdd", "0", "vdd"] for i, bit in enumerate(["vdd", "0", "vdd"])]
    assert all(line.split()[3] == f"gate_{line.split('_')[1]}" for line in lines if line.startswith("xc_"))
    assert netlist.nodesets == {"gate_0": 3.3, "gate_1": 0.0, "gate_2": 3.3}
    with pytest.raises(SpecError, match="driven by the codes"):
        build_tile(CHIP, np.full((1, 1), 1e-5), [1], polarity="unipolar", r_feedback=2e4, gates=[3.3])
    with pytest.raises(SpecError, match="codes are unipolar"):
        build_tile(CHIP, np.full((1, 1), 1e-5), [1], polarity="bipolar", r_feedback=2e4)


def test_an_ideal_tile_takes_bits():
    g = np.array([[1e-5, 2e-5], [3e-5, 4e-5]])
    tile = IdealEngine(CHIP).prepare(Tile(name="a:0", g=g, polarity="unipolar", r_feedback=1e4))
    np.testing.assert_allclose(tile.mvm(np.array([[1, 0], [0, 1]])), 0.2 * 1e4 * g)


@pytest.fixture(scope="module")
def calibration(small_calibration):
    """Return blocks of a chip whose word lines are driven as one's whose gates are: but for drivers they are alike."""
    chip = small_calibration.chip.changed(dac={"kind": "bits"}, cell={"inputs": "gate"})
    changes = {
        "chip": chip,
        "dacs": {"unipolar": read_supply(chip)},
        "checks": (),
        "held_out": {},
        "errors": {},
        "verdict": None,
    }
    return type(small_calibration).model_validate(small_calibration.model_copy(update=changes).model_dump())


@pytest.mark.parametrize("shape", [(1, 1), (8, 1), (1, 8), (3, 5), (8, 8)])
def test_a_row_that_is_off_draws_nothing_and_its_line_stays_up(calibration, shape):
    g = np.random.default_rng(5).uniform(2e-6, 40e-6, shape)
    tile, codes = calibration.tile(g, "unipolar", 20e3), masks(shape[0]).astype(int)
    state = tile.solve(codes)
    np.testing.assert_allclose(state.v_word_line, 0.2, rtol=1e-12)
    assert not state.solution.row_currents[codes == 0].any()
    if shape[0] > 1:
        assert (state.solution.row_currents[codes == 1] > 0).all()
    # a row at 0 V would draw from the bit lines what these rise by
    driven, gated = tile.crossbar.currents(0.2 * codes), tile.crossbar.currents(np.full(codes.shape, 0.2), mask=codes)
    half = codes.any(axis=1) & ~codes.all(axis=1)
    assert (driven[half] < gated[half]).all()
    # each row alone, added: more than all together, as wires and amplifiers bear a part of the voltage
    if shape[0] > 1:
        alone = tile.solve(np.eye(shape[0], dtype=int)).solution.currents.sum(axis=0)
        assert (alone > state.solution.currents[0]).all()


@pytest.mark.parametrize(
    ("shape", "r_wire"), [((1, 1), 1.0), ((1, 8), 1.0), ((8, 1), 1.0), ((8, 8), 1.0), ((24, 16), 5.0)]
)
def test_fast_tiles_of_gates_keep_their_promise(calibration, shape, r_wire):
    """Every second row, halves, one row alone, none: masks in no trial, with amplifiers at their rails and not."""
    chip = calibration.chip.changed(array={"r_word_line": r_wire, "r_bit_line": r_wire})
    g = np.random.default_rng(6).uniform(2e-6, 40e-6, shape)
    for r_feedback in (10e3, 40e3):
        exact = calibration.model_copy(update={"chip": chip}).tile(g, "unipolar", r_feedback)
        fast = FastTile(exact, tolerance=2e-3)
        assert "rank" in fast.form
        assert 0 < fast.max_error <= 2e-3
        codes = masks(shape[0], random=200, seed=9).astype(int)
        state, truth = fast.solve(codes), exact.solve(codes)
        twice = fast.outputs(np.concatenate([codes, codes[::-1]]))
        np.testing.assert_allclose(twice, np.concatenate([state.v_out, state.v_out[::-1]]), rtol=0, atol=2e-6)
        error = np.abs(state.v_out - truth.v_out).max() / exact.readout.full_scale
        assert error <= fast.max_error
        rows = truth.solution.row_currents
        np.testing.assert_allclose(state.row_currents, rows, rtol=0, atol=0.04 * rows.max())
        assert not state.row_currents[codes == 0].any()
        np.testing.assert_array_equal(state.v_word_line, truth.v_word_line)


def test_what_rows_do_to_each_other_along_the_lines_is_in_the_form(calibration):
    """Where wires take a tenth of the voltage, the sum of rows alone is off by percents, the form by a hundredth."""
    chip = calibration.chip.changed(array={"r_word_line": 10.0, "r_bit_line": 10.0})
    g = np.full((24, 16), 20e-6)
    exact = calibration.model_copy(update={"chip": chip}).tile(g, "unipolar", 10e3)
    fast = FastTile(exact, tolerance=1e-3)
    codes = masks(24).astype(int)
    alone = codes @ exact.solve(np.eye(24, dtype=int)).solution.currents
    truth = exact.solve(codes).solution.currents
    scale = np.abs(truth).max()
    summed, found = (np.abs(currents - truth).max() / scale for currents in (alone, fast.solve(codes).currents))
    assert summed > 0.03
    assert found < 0.01 * summed


def test_without_wires_rows_add_up():
    """Of linear cells at ideal terminals currents are sums of g v, and one product with a matrix tells them."""
    g, v_on = np.random.default_rng(2).uniform(1e-6, 5e-5, (6, 4)), np.full(6, 0.2)
    ideal = PortTables.from_samples(np.linspace(-1e-3, 1e-3, 3), np.zeros(3))
    form = GateExpansion(Crossbar(g), v_on, senses=ideal).build(GATE_FORMS[0])
    on = masks(6)
    np.testing.assert_allclose(form.evaluate(on)[0], on @ (0.2 * g), rtol=1e-5, atol=1e-6 * g.max())


def test_a_tolerance_that_no_form_meets_is_met_by_the_exact_solution(calibration):
    g = np.random.default_rng(6).uniform(2e-6, 40e-6, (8, 8))
    exact = calibration.tile(g, "unipolar", 20e3)
    fast = FastTile(exact, tolerance=1e-8)
    codes = masks(8).astype(int)
    assert (fast.form, fast.max_error) == ("exact", 0.0)
    np.testing.assert_allclose(fast.solve(codes).v_out, exact.solve(codes).v_out, rtol=0, atol=1e-8)


def test_gates_have_no_other_sign(calibration):
    with pytest.raises(CalibrationError, match="unipolar bits alone"):
        calibration.tile(np.full((2, 2), 1e-5), "bipolar", 20e3)
