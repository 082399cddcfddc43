"""What converters' arrays receive of amplifiers, and what is told of too short a time."""

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.hand_over import HandOverCurves, HandOverMismatch, HandOverModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.calibration import amplifier_hand_over
from spicesim.calibration.amplifier_hand_over import BETWEEN, shift_amplifiers
from spicesim.calibration.amplifier_hand_over import LOADS as LOADS_HERE
from spicesim.calibration.sampled import parted, source_outputs
from spicesim.chip import preset
from spicesim.coding import AdcRange
from spicesim.draws import AMPLIFIER, CONVERTER, ChipDraw
from spicesim.engine import HandOverEngine, HandOverTile, IdealEngine, PartialConverterEngine, Tile
from spicesim.engine.hand_over import APART, CellLoads
from spicesim.errors import SpecError
from spicesim.experiment.plan import make_plan
from spicesim.netlist.hand_over import HandOver, build_hand_overs
from spicesim.netlist.macro import AT_REST, MacroRead, build_macro
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.netlist.step import CodeStep

CHIP = preset("generic-1t1r").changed(adc={"kind": "sar", "bits": 4})
OUTPUTS = np.linspace(-0.8, 1.5, 5)
LOADS = np.array([0.1, 1.0, 10.0])
RESISTANCES = np.array([5e3, 80e3])


@pytest.fixture(scope="module")
def model():
    errors = 1e-3 * np.random.default_rng(0).normal(size=(2, 3, 5))
    needed = np.array([[20e-9, 90e-9, 200e-9], [30e-9, 80e-9, 800e-9]])
    return HandOverModel(
        sample=100e-9, r_feedback=RESISTANCES, loads=LOADS, outputs=OUTPUTS, errors=errors, needed=needed,
        watched=800e-9,
    )  # fmt: skip


@pytest.mark.parametrize("k", range(2))
def test_arrays_receive_what_was_calibrated(model, k):
    curves = model.curves(RESISTANCES[k], LOADS / RESISTANCES[k], 4)
    received = curves.received(np.repeat(OUTPUTS[:, None], len(LOADS), axis=1))
    np.testing.assert_allclose(received - OUTPUTS[:, None], model.errors[k].T, rtol=1e-9, atol=1e-15)


def test_batches_lead_and_one_column_is_enough(model):
    curves = model.curves(20e3, np.array([3e-5]), 4)
    volts = np.linspace(-0.7, 1.4, 12)
    whole = curves.received(volts.reshape(3, 4, 1))
    np.testing.assert_array_equal(whole.ravel(), [curves.received(np.array([v]))[0] for v in volts])


def test_one_load_stands_for_all(model):
    alone = model.model_copy(update={"loads": np.ones(1), "errors": model.errors[:, :1], "needed": model.needed[:, :1]})
    columns, volts = np.array([0.0, 1e-6, 1e-3]), np.array([[-0.3], [0.9]])
    received = alone.curves(RESISTANCES[0], columns, 4).received(volts)
    assert received.shape == (2, 3)
    np.testing.assert_array_equal(received, received[:, :1] * np.ones(3))
    np.testing.assert_array_equal(alone.needed_for(RESISTANCES[0], columns), np.full(3, 30e-9))


def test_errors_of_a_tile_are_those_of_its_rows(model):
    """Through those that are known, by a polynomial, and no farther than the largest tile."""
    rows, pattern = np.array([2.0, 8.0, 16.0]), model.errors
    of_rows = model.model_copy(
        update={"rows": rows, "errors": np.stack([pattern * (1 + n + 0.1 * n**2) for n in rows])}
    )
    columns, volts = LOADS / 5e3, OUTPUTS[:, None]
    for n, more in ((1, 2.1), (2, 3.4), (5, 8.5), (16, 42.6), (40, 42.6)):
        found = of_rows.curves(5e3, columns, n).received(volts) - volts
        np.testing.assert_allclose(found, more * pattern[0].T, rtol=1e-9, atol=1e-15)


def drawn_mismatch(model, **changes):
    """Return one of two amplifiers' devices, of whose four numbers two sums matter."""
    slopes = 1e-4 * np.random.default_rng(2).normal(size=(2, *model.errors.shape))
    return HandOverMismatch(
        sample=model.sample, rows=model.rows, r_feedback=RESISTANCES, loads=LOADS, outputs=OUTPUTS,
        devices=(f"{AMPLIFIER}.xbias.m1", f"{CONVERTER}.xsample.m2"),
        directions=np.array([[1.0, 0, 0, 0], [0, 0, 0.6, 0.8]]), slopes=slopes,
        simulated=4, residuals=np.array([1e-6, -3e-6]),
        **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ringing(model):
    return model.model_copy(update={"rows": np.array([2.0, 8.0]), "errors": np.stack([model.errors, 2 * model.errors])})


def test_arrays_on_drawn_amplifiers_receive_more_by_the_sums_of_their_numbers(ringing):
    differ = drawn_mismatch(ringing)
    numbers, columns = np.array([[1.0, 9.0, 0.0, 0.0], [0.0, -7.0, 1.0, 2.0], [0.0] * 4]), LOADS / 5e3
    more = differ.errors(numbers, OUTPUTS, 5e3, columns, 8)
    np.testing.assert_allclose(more[0], differ.slopes[0, 1, 0, 0], rtol=1e-9)
    np.testing.assert_allclose(more[1], 2.2 * differ.slopes[1, 1, 0, 1], rtol=1e-9)
    np.testing.assert_array_equal(more[2], 0.0)
    ends = differ.errors(numbers, np.array([-9.0, 9.0]), 5e3, columns, 8)
    np.testing.assert_allclose(ends, more[:, [0, -1]], rtol=1e-9)
    at_even = differ.errors(numbers, ringing.even, 5e3, columns, 8)
    nominal, drawn = (
        ringing.curves(5e3, columns, 8, own).received(OUTPUTS[:, None]) - OUTPUTS[:, None] for own in (None, at_even)
    )
    np.testing.assert_allclose(drawn - nominal, more.T, rtol=1e-6, atol=1e-12)
    assert differ.residual == 3e-6


def test_a_drawn_chip_has_the_numbers_of_its_netlist_in_its_hand_overs(ringing):
    """Another seed or tile gives others; columns 0 and 1 share a converter, and with it a sampling switch."""
    differ, shared = drawn_mismatch(ringing), np.array([0, 0, 1])
    numbers = differ.draw(ChipDraw(5, "a"), shared)
    for k, converter in enumerate(shared):
        paths = [f"{AMPLIFIER}_{k}.xbias.m1", f"{CONVERTER}_{converter}.xsample.m2"]
        np.testing.assert_array_equal(numbers[k], np.ravel([ChipDraw(5, "a")(path) for path in paths]))
    assert not np.isclose(numbers, differ.draw(ChipDraw(6, "a"), shared)).any()
    assert not np.isclose(numbers, differ.draw(ChipDraw(5, "b"), shared)).any()


def test_without_read_outs_that_differ_hand_overs_are_nominal(ringing):
    differ = drawn_mismatch(ringing)
    mismatch = MismatchModel.model_construct(
        dacs={}, senseamps=(), cell=None, hold=None, integrator=None, buffer=None, converter=None, other_half=None,
        hand_over=differ,
    )  # fmt: skip
    assert mismatch.within(array=True, readouts=False).hand_over is None
    assert mismatch.within(array=True, readouts=True).hand_over is differ


def test_drawn_hand_overs_of_another_sampling_time_are_refused(ringing):
    differ, response = drawn_mismatch(ringing), SimpleNamespace(names=("r",))
    mismatch = MismatchModel.model_construct(
        dacs={}, senseamps=(), cell=response, hold=None, integrator=None, buffer=None, converter=None, other_half=None,
        hand_over=differ,
    )  # fmt: skip
    mismatch.require_chip(CHIP.changed(sar_adc={"sample": 100e-9}))
    for chip in (CHIP, preset("generic-1t1r")):
        with pytest.raises(ValueError, match=r"sar_adc\.sample"):
            mismatch.require_chip(chip)


def test_beyond_the_calibrated_outputs_and_loads_the_error_is_that_of_the_end(model):
    near, far = (model.curves(5e3, np.array([g]), 4) for g in (LOADS[-1] / 5e3, 1.0))
    volts = np.array([[-3.0], [-0.8], [0.3], [1.5], [3.0]])
    np.testing.assert_allclose(near.received(volts), far.received(volts), rtol=1e-12)
    errors = near.received(volts) - volts
    np.testing.assert_allclose(errors[[0, -1]], errors[[1, -2]], rtol=1e-9)
    open_column = model.curves(5e3, np.array([0.0]), 4).received(volts)
    np.testing.assert_allclose(open_column, model.curves(5e3, np.array([0.1 / 5e3]), 4).received(volts), rtol=1e-12)


def test_the_time_needed_is_the_longest_beside_a_load_and_unknown_beyond(model):
    loads = np.array([0.0, 0.1, 0.5, 1.0, 4.0, 10.0, 30.0])
    found = model.needed_for(5e3, loads / 5e3)
    np.testing.assert_allclose(found, 1e-9 * np.array([30, 30, 90, 90, 800, 800, 800]), rtol=1e-12)


def test_tables_of_other_shapes_are_refused(model):
    document = model.model_dump(mode="json")
    for change in (
        {"errors": [[0.0]]},
        {"needed": [[1e-9]]},
        {"loads": [1.0, 0.5, 2.0]},
        {"rows": [2.0, 1.0]},
        {"sample": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(change))):
            HandOverModel.model_validate(document | change)


@pytest.mark.parametrize("drive", [0.0, 0.1, 0.3])
def test_cells_conduct_of_small_changes_what_their_law_says(drive):
    """The derivative of g (V + a V^3), over what write-verify reads of it; a resistor's is what is read."""
    a, v_read = 2.0, 0.1
    cell = CellModel(
        coefficients=np.array([1.0, 0.0, a]).reshape(3, 1, 1), g_reference=1.0, g_limits=(1e-6, 1e-4),
        v_limits=(-0.5, 0.5), u_limits=(-0.1, 0.1), v_read=v_read,
    )  # fmt: skip
    g = cell.read_conductance(np.array([[1e-6, 3e-5], [2e-5, 1e-4]]))
    expected = (1 + 3 * a * drive**2) / (1 + a * v_read**2)
    np.testing.assert_allclose(cell.small_signal(g, drive), expected * g, rtol=1e-5)
    np.testing.assert_allclose(cell.ideal().small_signal(g, drive), g, rtol=1e-9)


@pytest.fixture(scope="module")
def cubic():
    """Cells of current g (V + 2 V^3), which conduct g (1 + 6 V^2) of small changes."""
    return CellModel(
        coefficients=np.array([1.0, 0.0, 2.0]).reshape(3, 1, 1), g_reference=1.0, g_limits=(1e-6, 1e-4),
        v_limits=(-0.5, 0.5), u_limits=(-0.1, 0.1), v_read=0.1,
    )  # fmt: skip


def test_the_kernel_adds_cubics_and_is_linear_between_loads():
    """Of any shape and order of memory, at, between and beyond the pieces; what is no number stays none."""
    rng = np.random.default_rng(5)
    start, step, loads, columns, count = -0.6, 0.25, 3, 4, 6
    curves = HandOverCurves(start=start, step=step, pieces=rng.normal(size=(loads, columns, count, 4)))
    volts = np.asfortranarray(rng.uniform(-1.2, 1.5, (5, 7, columns)))
    volts[0, 0] = [start, start + step, start + count * step, np.nan]
    places = rng.uniform(0, loads - 1, (5, 7))
    places[0, :3] = 0.0, 1.0, loads - 1
    found = curves.received(volts, places)
    for index in np.ndindex(5, 7, columns):
        v, column = volts[index], index[-1]
        x = np.clip(v - start, 0.0, count * step)
        k = min(int(x / step + 1e-12), count - 1) if v == v else 0
        errors = [np.polyval(curves.pieces[n, column, k], x - k * step) for n in range(loads)]
        expected = v + np.interp(places[index[:2]], np.arange(loads), errors)
        np.testing.assert_allclose(found[index], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(curves.received(volts), curves.received(volts, np.zeros((5, 7))))
    assert curves.received(volts[:0]).shape == (0, 7, columns)
    with pytest.raises(ValueError, match="broadcast"):
        curves.received(volts, places[:2])


def tile_of(g, polarity="bipolar"):
    return Tile(name="a", g=np.asarray(g), polarity=polarity, r_feedback=5e3)


@pytest.mark.parametrize("polarity", ["bipolar", "unipolar"])
def test_columns_are_loaded_by_the_squares_of_their_inputs(cubic, polarity):
    """Rows count by what they conduct."""
    chip, g = CHIP.changed(dac={"v_span": 0.3}), np.array([[1e-5, 3e-5], [4e-5, 4e-5], [8e-5, 2e-6]])
    loads = CellLoads.of(tile_of(g, polarity), cubic, chip)
    codes = np.random.default_rng(3).integers(0, 256, (20, 3))
    volts = chip.dac.volts(codes, polarity)
    as_read = 1 + 2 * 0.1**2
    np.testing.assert_allclose(loads.columns, g.sum(axis=0) * (1 + 6 * 0.3**2) / as_read, rtol=1e-5)
    expected = (1 + 6 * volts**2) @ g.sum(axis=1) / as_read
    np.testing.assert_allclose(loads.of_inputs(codes) * loads.columns.sum(), expected, rtol=1e-3)
    alone = [loads.of_inputs(own[None])[0] for own in codes]
    np.testing.assert_array_equal(loads.of_inputs(codes), alone)
    assert loads.nodes[0] <= loads.of_inputs(codes).min()
    assert loads.nodes[-1] >= loads.of_inputs(codes).max()


def test_rows_whose_gates_are_off_load_nothing(cubic):
    chip = preset("gf180-1t1r").changed(dac={"kind": "bits"}, cell={"inputs": "gate"})
    loads = CellLoads.of(tile_of([[1e-5], [3e-5]], "unipolar"), cubic, chip)
    np.testing.assert_allclose(loads.of_inputs(np.array([[0, 0], [1, 0], [0, 1], [1, 1]])), [0, 0.25, 0.75, 1])
    assert all(high < APART * low * (1 + 1e-9) for low, high in pairwise(loads.nodes))


def test_linear_cells_load_the_same_whatever_their_inputs(cubic):
    loads = CellLoads.of(tile_of([[1e-5, 2e-5]]), cubic.ideal(), CHIP)
    assert len(loads.nodes) == 1
    np.testing.assert_allclose(loads.columns, [1e-5, 2e-5], rtol=1e-9)


def received_of(model, shares, factors):
    """Return what arrays have of 1 V by inputs all 0, all 1 and half of each, and of nodes alone."""
    tile = tile_of(np.full((2, 1), 2e-4))
    loads = CellLoads(columns=np.array([4e-4]), shares=np.array(shares), factors=np.array(factors))
    under = IdealEngine(CHIP).prepare(tile)
    nodes = [model.curves(5e3, f * loads.columns, 2) for f in loads.nodes]
    ready = HandOverTile(tile=tile, under=under, loads=loads, curves=HandOverCurves.beside(nodes))
    found = ready.received(np.array([[0, 0], [1, 1], [0, 1], [1, 0]]), np.ones((4, 1)))
    return found[:, 0], [own.received(np.ones((1, 1)))[0, 0] for own in nodes]


def test_hand_overs_are_linear_between_loads_and_exact_at_them(model):
    found, nodes = received_of(model, [0.25, 0.75], [0.9, 1.0])
    assert len(nodes) == 2
    np.testing.assert_allclose(found[:2], nodes, rtol=1e-12)
    np.testing.assert_allclose(
        found[2:], [nodes[0] + 0.75 * (nodes[1] - nodes[0]), nodes[0] + 0.25 * (nodes[1] - nodes[0])]
    )


def test_no_inputs_at_all_have_the_hand_over_of_the_least_load(model):
    found, nodes = received_of(model, [0.5, 0.5], [0.0, 1.0])
    assert len(nodes) > 20
    np.testing.assert_allclose(found[:2], [nodes[0], nodes[-1]], rtol=1e-12)


def test_converters_without_imperfections_receive_all(model):
    """And those with them what is beneath hands over, whatever else they have."""
    tile = Tile(
        name="a", g=np.full((2, 1), 2e-4), polarity="bipolar", r_feedback=5e3, adc=AdcRange(low=-0.8, high=0.8, bits=4)
    )
    curves = model.curves(5e3, np.array([4e-4]), 2)
    handed = HandOverTile(
        tile=tile, under=IdealEngine(CHIP).prepare(tile), loads=CellLoads.as_read(tile), curves=curves
    )
    engine = SimpleNamespace(name="", prepare=lambda _: handed)
    codes, volts = np.zeros((1, 2), dtype=np.int64), np.array([[0.3]])
    for parts, expected in ((["output bits"], volts), (["converters"], curves.received(volts))):
        ready = PartialConverterEngine(engine, parts).prepare(tile)
        np.testing.assert_array_equal(ready.received(codes, volts), expected)


def test_ideal_converters_receive_all_and_nothing_is_told(model):
    engine = HandOverEngine(IdealEngine(CHIP), model)
    adc = AdcRange(low=-0.8, high=0.8, bits=4)
    tile = Tile(name="a", g=np.full((4, 2), 40e-6), polarity="bipolar", r_feedback=80e3, adc=adc)
    assert engine.prepare(tile).adc is adc
    assert engine.notes == ()


def test_a_plan_with_macros_but_no_audit_is_refused():
    with pytest.raises(SpecError, match="--audit"):
        make_plan({"macros": True})
    assert make_plan({"macros": True, "audit": 1}).macros


def read(**changes):
    return MacroRead(**{"converters": {0: CHIP.converter}, "polarity": "unipolar"} | changes)


def test_impossible_macros_are_refused_with_a_reason():
    g, codes = np.full((2, 1), 10e-6), np.array([1, 2])
    floating = CHIP.changed(sense_amplifier={"kind": "voltage"})
    with pytest.raises(SpecError, match="cannot drive"):
        build_macro(floating, g, codes, read(), polarity="unipolar", r_feedback=1.0)
    with pytest.raises(SpecError, match="1 columns only"):
        build_macro(CHIP, g, codes, read(converters={1: CHIP.converter}), polarity="unipolar", r_feedback=5e3)
    for changes in ({"converters": {}}, {"t_read": 0.0}, {"t_read": np.inf}):
        with pytest.raises(SpecError, match=r"convert"):
            read(**changes)
    slower = CHIP.converter.model_copy(update={"bit": 20e-9})
    with pytest.raises(SpecError, match="column 1 differs"):
        read(converters={0: CHIP.converter, 1: slower})
    with pytest.raises(SpecError, match="cases"):
        build_hand_overs(CHIP, CHIP.converter, [], 1e-6)


def shared(columns, **changes):
    return MacroRead(converters=dict.fromkeys(columns, CHIP.converter), polarity="unipolar", shared=3, **changes)


def test_columns_that_share_a_converter_take_turns():
    read = shared([0, 1, 2, 4, 5], t_read=50e-9)
    assert read.groups == {0: [0, 1, 2], 4: [4, 5]}
    assert [read.turn(j) for j in read.converters] == [0, 1, 2, 0, 1]
    period = CHIP.converter.conversion
    np.testing.assert_allclose([read.end(j) - read.start for j in (0, 2, 5)], [period, 3 * period, 2 * period])
    assert read.stop == pytest.approx(read.end(2), rel=1e-12)
    assert read.bit_nodes(2)[0] == read.bit_nodes(0)[0] == "xconverter_0.q_0"
    dac = CHIP.converter.dac.varied([0.01, 0.0, 0.0, 0.0])
    other = CHIP.converter.model_copy(update={"dac": dac})
    with pytest.raises(SpecError, match=r"columns \[0, 1\] share a converter"):
        read.__class__(converters={0: CHIP.converter, 1: other}, polarity="unipolar", shared=2)
    with pytest.raises(SpecError, match="1 column or more"):
        read.__class__(converters={0: CHIP.converter}, polarity="unipolar", shared=0)


def test_a_multiplexer_puts_one_column_after_the_other_on_its_converter():
    chip = CHIP.changed(adc={"columns": 3})
    step, g = CodeStep(before=[0, 0], after=[3, 200], stop=1e-9), np.full((2, 5), 10e-6)
    text = build_macro(chip, g, step, shared(range(5), t_read=50e-9), polarity="unipolar", r_feedback=5e3).format()
    assert text.count("\nxconverter_") == 2
    for j in range(5):
        assert f"xmux_{j} out_{j} idle_mux_{j} common_{j - j % 3} turn_{j % 3} vdd" in text
    turns = {}
    for line in text.splitlines():
        if line.startswith("vturn_"):
            first, second, start, edge, _, width, _ = map(float, line.split("pulse(")[1].rstrip(")").split())
            # the first is on from the beginning
            turns[line.split()[1]] = (0.0, start + edge) if first else (start, start + width + 2 * edge)
            assert {first, second} == {0.0, 3.3}
    ends = sorted(turns.values())
    assert [a[1] < b[0] for a, b in pairwise(ends)] == [True, True]  # never two at a time
    assert "bclear clear 0 v=v(clear_0)+v(clear_1)" in text
    alone = build_macro(CHIP, g, step, read(t_read=50e-9), polarity="unipolar", r_feedback=5e3).format()
    assert "mux" not in alone
    assert "vclear clear 0" in alone
    bench = build_hand_overs(chip, chip.converter, [HandOver(r_feedback=5e3, g=1e-5, v_out=0, held=0)], 1e-7)
    assert "xmux_0 out_0 idle_mux_0 common_0 vdd vdd" in bench.format()
    assert "xsample_0 common_0 " in bench.format()


def test_multiplexers_are_of_sar_converters_and_decide_how_many_columns_share_one():
    with pytest.raises(SpecError, match=r"adc\.columns = 4 shares a sar converter"):
        CHIP.changed(adc={"kind": "ramp", "columns": 4})
    assert CHIP.changed(adc={"columns": 1}).hash == CHIP.hash
    chip = CHIP.changed(adc={"columns": 8})
    assert make_plan({}).shared_columns(chip) == make_plan({"columns_per_adc": 8}).shared_columns(chip) == 8
    assert make_plan({"columns_per_adc": 4}).shared_columns(CHIP) == 4
    with pytest.raises(SpecError, match=r"multiplexers put adc\.columns = 8 columns on a converter"):
        make_plan({"columns_per_adc": 4}).shared_columns(chip)


@pytest.mark.parametrize("t_read", [AT_REST, 0.5e-9, 200e-9])
def test_comparators_of_a_macro_strobe_before_their_arrays_sample_to_the_end(t_read):
    """Each has strobed where a converter's testbench converts one voltage after the other."""
    own = read(t_read=t_read)
    body = build_macro(CHIP, [[10e-6]], [1], own, polarity="unipolar", r_feedback=5e3).body
    clock = next(line for line in body.splitlines() if line.startswith("bclk "))
    assert clock.count("v(strobe_") == own.sizes.dac.bits + 1
    strobe = next(line for line in body.splitlines() if line.startswith("vstrobe_before "))
    _, _, start, _, _, width, _ = map(float, strobe.partition("pulse(")[2].rstrip(")").split())
    assert start > 0
    assert start + width < own.start + 0.5 * own.sizes.sample
    assert "strobe_before" not in build_sar_adc(CHIP, [1.0]).body


def test_a_macro_has_a_subcircuit_for_each_kind_of_converter():
    dac = CHIP.converter.dac.varied([0.01, 0.0, 0.0, 0.0])
    other = CHIP.converter.model_copy(update={"dac": dac})
    converters = {0: CHIP.converter, 2: other, 3: CHIP.converter}
    step = CodeStep(before=[0, 0], after=[3, 200], stop=1e-9)
    netlist = build_macro(
        CHIP, np.full((2, 4), 10e-6), step, read(converters=converters, t_read=50e-9), polarity="unipolar",
        r_feedback=5e3,
    )  # fmt: skip
    assert netlist.body.count(".subckt converter") == 2
    assert netlist.body.count("\nxconverter_") == 3
    assert netlist.body.count(".subckt switch ") == 1
    assert "v(xconverter_1.q_0)" not in netlist.probes


def test_arrays_have_what_sources_have_whose_plates_are_the_same():
    """However these bend, which a straight line through them would be 1 mV off."""

    def plate(v):
        return 0.98 * v + 6e-3 * np.sin(3 * v) - 2e-3 * np.exp(-2 * v)

    inputs = -source_outputs(np.array([-0.8, 1.5]), 3.3, 1.65)
    held = np.linspace(-1.4, 0.8, 23)
    more = 30e-3 * np.cos(4 * held)
    np.testing.assert_allclose(parted(held, plate(held + more), inputs, plate(inputs)), more, rtol=0, atol=5e-6)
    straight = np.polyfit(plate(inputs), inputs, 1)
    assert np.abs(np.polyval(straight, plate(held + more)) - held - more).max() > 1e-3


@pytest.mark.parametrize("sample", [20e-9, 40e-9, 450e-9])
def test_benches_of_hand_overs_switch_and_step_as_macros_do(sample):
    """In a bench that sampled for 50 ps more arrays had .5 mV more after 20 ns; with steps of 2 ns up to .6 mV."""
    sizes = CHIP.converter.model_copy(update={"sample": sample})
    bench = build_hand_overs(
        CHIP, sizes, [HandOver(r_feedback=20e3, g=1e-4, v_out=0.3, held=0.0)], 0.6e-6, opens=sample
    )
    whole = build_macro(
        CHIP, np.full((2, 1), 10e-6), [3, 200], MacroRead(converters={0: sizes}, polarity="bipolar", t_read=AT_REST),
        polarity="bipolar", r_feedback=20e3,
    )  # fmt: skip
    gate = re.search(r"^vsample sample 0 pwl\(0 0 (.*)\)$", bench.body, re.MULTILINE)[1].split()
    pulse = re.search(r"^vsample sample 0 pulse\((.*)\)$", whole.body, re.MULTILINE)[1].split()
    on, _, risen, _, off, _, fallen, _ = map(float, gate)
    start, edge, width = (float(pulse[k]) for k in (2, 3, 5))
    np.testing.assert_allclose([risen - on, fallen - off, off - on], [edge, edge, edge + width], rtol=1e-9)
    longest, of_whole = (float(one.analyses[0].split()[-1]) for one in (bench, whole))
    assert start > 0
    assert longest == of_whole <= sample / 50


def made_up_change(column, wanted):
    return (column.r_feedback + 1e18 * column.line) * 1e-9 * np.sin(column.load + 9 * wanted)


def test_changes_elsewhere_are_found_for_every_line_feedback_load_and_output(model, monkeypatch):
    """Where amplifiers still ring; changes of the line in the middle told codes of short ones by up to .8 of a step.

    What is simulated is made up here.
    """
    rows, loads, outputs = np.array([2.0, 8.0, 16.0]), np.sort(LOADS_HERE + BETWEEN), np.linspace(-0.8, 1.5, 21)
    errors = 1e-3 * np.random.default_rng(1).normal(size=(3, 2, len(loads), len(outputs)))
    own = model.model_copy(
        update={
            "rows": rows, "loads": loads, "outputs": outputs, "errors": errors, "unipolar": 2 * errors,
            "needed": np.full((2, 16), 8e-7),
        }
    )  # fmt: skip
    asked, coded = [], {"bipolar": 1.0, "unipolar": 1.5}

    def made_up_errors(chips, campaign, columns, wanted, switches=None, polarity="bipolar"):
        everywhere = len(wanted) >= (outputs >= 0).sum()
        if everywhere:
            asked.extend(columns if polarity == "bipolar" else ())
            assert (wanted < 0).sum() == (1 if polarity == "unipolar" else 7)
        assert not everywhere or switches is not None
        change = coded[polarity] * np.array([made_up_change(column, wanted) for column in columns])
        by_switches = 2e-4 * wanted if switches is None else 0.0
        return [k * (change + by_switches) for k in range(3)]

    monkeypatch.setattr(amplifier_hand_over, "amplifier_errors", made_up_errors)
    monkeypatch.setattr(amplifier_hand_over, "plate_switches", lambda converters, campaign, polarity: [np.ones(8)] * 3)
    monkeypatch.setattr(amplifier_hand_over, "find_line_capacitance", lambda chip, campaign: 1e-15)
    found = shift_amplifiers(own, [CHIP] * 3, None)
    assert len(asked) == errors[..., 0].size
    expected = np.reshape([made_up_change(column, outputs) for column in asked], errors.shape)
    by_switches = 2e-4 * outputs
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
    for k, there in enumerate(found, 1):
        np.testing.assert_allclose(there.errors - errors, k * (expected + by_switches), rtol=1e-9, atol=1e-15)
        changed = (there.unipolar - 2 * errors)[..., outputs >= 0]
        wanted = k * (1.5 * expected + by_switches)[..., outputs >= 0]
        np.testing.assert_allclose(changed, wanted, rtol=1e-9, atol=1e-15)
    assert {column.r_feedback for column in asked} == set(RESISTANCES)
