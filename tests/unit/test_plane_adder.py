"""Bit planes added as charge: what the model says, what a tile makes of codes, and what is refused."""

import numpy as np
import pytest

from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.energy import AdcEnergy, DacEnergy, EnergyModel
from spicesim.behavioural.fast_tile import FastTile
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.hold_mismatch import HOLD, DrawnHolds, HoldMismatch
from spicesim.behavioural.plane_adder import ORDERS, PlaneAdder, split_planes
from spicesim.behavioural.response import Response
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.plan import Plan, load_plan, plan_calibration
from spicesim.chip import Array, load_chip, preset, save_chip
from spicesim.engine import IdealEngine, Tile
from spicesim.engine.device import squared_volts
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist import build_tile
from spicesim.netlist.area import block_areas
from spicesim.netlist.plane_adder import PlaneSteps, build_plane_sums
from spicesim.netlist.step import CodeStep
from spicesim.network.pulses import AT_ONCE, BitPlanes, choose_pulses
from spicesim.report.hold import hold_section

CHIP = preset("gf180-voltage")
RESETS = np.zeros((2, 2, 2))
JOINS = np.zeros((ORDERS, ORDERS))
JOINS[1, 0] = JOINS[0, 1] = 0.125
ADDER = PlaneAdder(bits=4, share=10e-9, c_plane=250e-15, v_limit=0.25, resets=RESETS, joins=JOINS)


def hold(adder=ADDER, settle=1e-3, **changes):
    numbers = {
        "c_hold": 280e-15, "c_cell": 6e-15, "delay": 0.2e-9, "settle": settle, "v_limit": 0.21, "v_span": 0.2,
        "rows": (1, 64), "g_cell": 10e-6, "pedestals": np.zeros((2, 2, 2)),
    }  # fmt: skip
    return HoldModel(**(numbers | changes), adder=adder)


def weights(adder):
    """Return what each plane counts, one at a time, from the least."""
    feet = 0.1 * np.eye(adder.bits)[:, :, None]
    return hold(adder).sums(0.0, np.full(1, 1e-5), 1).of(feet)[:, 0] / 0.1


def test_each_plane_counts_twice_as_much_as_the_one_before():
    np.testing.assert_allclose(weights(ADDER), [1 / 16, 1 / 8, 1 / 4, 1 / 2], rtol=1e-12)


def test_capacitors_that_differ_weigh_all_planes_otherwise():
    joins = JOINS.copy()
    joins[1, 0], joins[0, 1] = 0.25 * 0.51, 0.25 * 0.49
    uneven = ADDER.model_copy(update={"joins": joins})
    np.testing.assert_allclose(weights(uneven), 0.51 * 0.49 ** np.arange(3, -1, -1), rtol=1e-12)


def drawn(sizes, components, joins):
    """Return switches of such components below lines of one cell or more, and of such sizes, one a column."""
    count = len(components)
    kind = HoldMismatch(
        v_limit=0.21, rows=(1,), g_cell=1e-5, components=components, joins=joins, residual=0.0,
        response=Response(
            block=HOLD, devices=("xsample.ch",), names=tuple(f"component {k}" for k in range(count)),
            rest=np.zeros(count), slopes=np.eye(count, 2), directions=np.eye(count, 2),
            bends=np.zeros((count,) * 3), simulated=8,
        ),
    )  # fmt: skip
    return DrawnHolds(kind=kind, sizes=np.asarray(sizes))


def test_each_adder_of_a_drawn_tile_weighs_planes_by_its_own_capacitors():
    """C (1 + d) and C join as (1 + d) / (2 + d) and 1 / (2 + d), which change by d / 4 either way."""
    joins, uneven = np.zeros((1, 2, 2)), np.array([2e-2, -1e-2, 0.0])
    joins[0, 1, 0], joins[0, 0, 1] = 0.21 / 4, -0.21 / 4
    own = drawn(uneven[:, None], np.zeros((1, 1, 1, 1)), joins)
    feet = np.broadcast_to(0.1 * np.eye(4)[:, :, None], (4, 4, 3))  # one plane at a time
    found = hold().sums(0.0, np.full(3, 1e-5), 1, own).of(feet) / 0.1
    new, old = 0.5 + uneven / 4, 0.5 - uneven / 4
    np.testing.assert_allclose(found, new * old ** np.arange(3, -1, -1)[:, None], rtol=1e-12)


def test_what_drawn_switches_add_to_lines_is_in_every_plane_once():
    own = drawn([[1.0], [-2.0]], np.full((1, 1, 1, 1), 1e-4), np.zeros((1, 2, 2)))
    found = hold().sums(0.0, np.full(2, 1e-5), 1, own).of(np.zeros((4, 1, 2)))
    np.testing.assert_allclose(found, [[1e-4 * (1 - 1 / 16), -2e-4 * (1 - 1 / 16)]], rtol=1e-12)


def test_another_unit_of_voltage_is_the_same_adder():
    joins = np.random.default_rng(2).uniform(-1e-2, 1e-2, (ORDERS, ORDERS))
    adder = ADDER.model_copy(update={"joins": joins})
    x, y = np.random.default_rng(3).uniform(-0.2, 0.2, (2, 5))
    other = adder.in_units(0.2)
    assert other.v_limit == 0.2
    np.testing.assert_allclose(other.joined(x, y), adder.joined(x, y), rtol=1e-12)


def test_pedestals_of_planes_add_up_and_that_of_the_reset_fades():
    pedestals, resets = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    pedestals[:, 0, 0], resets[:, 0, 0] = 8e-3, 16e-3
    model = hold(ADDER.model_copy(update={"resets": resets}), pedestals=pedestals)
    found = model.sums(0.0, np.full(1, 1e-5), 1).of(np.zeros((4, 1, 1)))
    np.testing.assert_allclose(found, 8e-3 * (1 - 1 / 16) + 16e-3 / 16, rtol=1e-12)


def test_a_line_that_has_not_settled_is_pulled_by_the_sum_it_was_joined_with():
    """What is left is of the plane before, and of the first capacitor, which went on with the sum."""
    model, total = hold(settle=50e-9), np.full(1, 2e-6)
    left, tau = model.unsettled(total, 2)[0], model.time_constants(total, 2)[0]
    mine = 250 / (280 + 12)
    line, stored, out = 0.0, 0.0, []
    for foot in (0.2, -0.2, 0.2, 0.2):
        line = foot + left * (line - foot)
        stored = (line + stored) / 2
        line = foot + np.exp(-10e-9 / (tau * (1 - mine))) * (line - foot)
        line += mine * (stored - line)
        out.append(stored)
    feet = np.array([0.2, -0.2, 0.2, 0.2])[:, None, None]
    assert 0.1 < left < 0.9
    np.testing.assert_allclose(model.sums(0.0, total, 2).of(feet)[0], out[-1], rtol=1e-12)


def test_what_was_not_calibrated_is_refused():
    with pytest.raises(ValidityError, match=r"an adder is 0\.26 V off the reference, beyond the calibrated 0\.25 V"):
        ADDER.joined([0.26], [0.0])
    with pytest.raises(ValueError, match="shape of pedestals"):
        hold(ADDER.model_copy(update={"resets": np.zeros((1, 2, 2))}))


def build_model(polarity="bipolar", shape=(6, 3), adder=ADDER, **changes):
    cell = CellModel(
        coefficients=np.array([1.0, 0.0, 0.1])[:, None, None], g_reference=1e-3, g_limits=(1e-6, 1e-5),
        v_limits=(-0.5, 0.5), u_limits=(-0.25, 0.25), v_read=0.1,
    )  # fmt: skip
    load, low = np.linspace(-5e-3, 5e-3, 5), 0.0 if polarity == "unipolar" else -0.2
    dac = DacModel(
        polarity=polarity, v_open=np.array([low, 0.2]), knots=(0, 1), i_limit=5e-3,
        droop=np.stack([54.0 * load, 55.0 * load]),
    )  # fmt: skip
    g = np.random.default_rng(0).uniform(1e-6, 1e-5, shape)
    array = Array(rows=shape[0], columns=shape[1], r_word_line=1.0, r_bit_line=1.0)
    return BehaviouralTile(g, array=array, cell=cell, dac=dac, readout=hold(adder, **changes))


def test_planes_of_codes_are_their_bits():
    codes = np.array([[5, 0], [10, 15]])
    planes = split_planes(codes, 4).reshape(4, 2, 2)
    np.testing.assert_array_equal((planes << np.arange(4)[:, None, None]).sum(axis=0), codes)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("shape", [(6, 3), (1, 4), (5, 1)])
def test_a_tile_adds_what_its_lines_are_in_each_plane(polarity, shape):
    """So its output is what whole codes make of drivers of as many levels, the rest of a half step included."""
    model, codes = build_model(polarity, shape), np.random.default_rng(1).integers(0, 16, (5, shape[0]))
    state = model.solve(codes, tolerance=1e-11)
    assert state.v_in.shape == (4 * 5, shape[1])
    feet = state.v_in.reshape(4, 5, -1)
    wanted = np.tensordot([1 / 16, 1 / 8, 1 / 4, 1 / 2], feet, 1) + model.rest_voltage / 16
    np.testing.assert_allclose(state.v_out, wanted, rtol=1e-9, atol=1e-12)
    ideal = Tile(name="a", g=model.g, polarity=polarity, r_feedback=1.0)
    chip = CHIP.changed(dac={"bits": 4})
    # cells bend by a tenth at 1 V, drivers have 54 ohm
    assert np.abs(IdealEngine(chip).prepare(ideal).mvm(codes) - state.v_out).max() < 2e-2 * 0.2


def test_one_plane_more_or_less_is_refused():
    with pytest.raises(SpecError, match=r"DAC codes must lie in 0\.\.15"):
        build_model().solve(np.full((1, 6), 16))


def test_a_fast_tile_of_added_planes_keeps_its_promise_and_the_order_of_its_planes():
    model = build_model(shape=(24, 20), settle=100e-9)
    fast = FastTile(model, tolerance=1e-3)
    assert fast.form.startswith("floating")
    codes = np.random.default_rng(5).integers(0, 16, (600, 24))  # more than a portion
    codes[0], codes[1], codes[2], codes[3] = 10, 8, 1, 15 * (np.arange(24) % 2)
    state, truth = fast.solve(codes), model.solve(codes, tolerance=1e-10)
    assert np.abs(state.v_out - truth.v_out).max() / 0.2 <= fast.max_error <= 1e-3
    assert np.abs(state.v_in - truth.v_in).max() / 0.2 <= 1e-3


def test_no_vectors_make_no_outputs():
    model = build_model(shape=(24, 20))
    for found in (model, FastTile(model, tolerance=1e-3)):
        assert found.solve(np.empty((0, 24), dtype=np.int64)).v_out.shape == (0, 20)


def test_an_ideal_adder_has_equal_capacitors():
    joins = JOINS.copy()
    joins[0, 0], joins[1, 0] = 1e-3, 0.13
    ideal = hold(ADDER.model_copy(update={"joins": joins})).ideal()
    np.testing.assert_allclose(weights(ideal.adder), [1 / 16, 1 / 8, 1 / 4, 1 / 2], rtol=1e-12)


def test_energy_follows_the_planes_from_rest_to_rest():
    """A driver pays for the bits that change from plane to plane, a line for its steps, and rest costs nothing."""
    model = build_model()
    driver = DacEnergy(
        power_open=np.zeros(2), knots=(0, 1), i_limit=5e-3, power_loaded=np.zeros((2, 3)), rise=np.array([1e-12]),
        fall=np.array([2e-12]),
    )  # fmt: skip
    energy = EnergyModel(
        v_reference=0.0, dacs={"unipolar": driver, "bipolar": driver}, amplifiers=(), hold=1e-13,
        adc=AdcEnergy(bits=8, energy=5e-12, time=1e-7, inputs=3),
    )  # fmt: skip
    codes = np.array([[0] * 6, [15] * 6, [5] * 6, [10] * 6])
    state = model.solve(codes)
    found = energy.tile_energy(model, codes, state, 1e-6)
    into_rows = (state.v_word_line * state.solution.row_currents).sum(axis=1).reshape(4, 4).sum(axis=0)
    into_rows *= hold().duration / 4
    np.testing.assert_allclose(found["dac"] + into_rows, 6 * 3e-12 * np.array([0, 1, 2, 2]), rtol=1e-9, atol=1e-24)
    line = (280 + 6 * 6) * 1e-15
    np.testing.assert_allclose(
        found["array"] - into_rows, 3 * line * 0.4**2 * np.array([0, 1, 2, 2]), rtol=1e-3, atol=1e-24
    )
    np.testing.assert_allclose(found["amplifier"], 4 * 3 * 1e-13)
    np.testing.assert_allclose(found["adc"], 3 * 5e-12)


def test_whole_codes_are_one_product_of_a_network():
    assert choose_pulses(CHIP, None, "bipolar") is AT_ONCE
    assert isinstance(
        choose_pulses(preset("gf180-voltage").changed(hold={"planes": "digital"}), None, "bipolar"), BitPlanes
    )
    assert CHIP.code_bits == 8
    np.testing.assert_allclose(CHIP.inputs.volts([0, 128, 192], "bipolar"), [-0.2, 0.0, 0.1])


def test_every_plane_is_a_read_with_noise_of_its_own():
    """At the middle code the planes cancel, and their noise does not."""
    found = squared_volts(CHIP, "bipolar")[[128, 255]]
    np.testing.assert_allclose(found, np.full(2, 0.04 * (1 - 4.0**-8) / 3), rtol=1e-9)


def test_other_chips_keep_their_hash_and_this_one_is_written_and_read(tmp_path):
    save_chip(CHIP, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml").hash == CHIP.hash
    plain = preset("gf180-1t1r").changed(hold={"settle": 1e-7})
    assert not {"planes", "share"} & set(plain.model_dump()["hold"])
    assert plain.changed(hold={"planes": "digital"}).hash == plain.hash


@pytest.mark.parametrize(
    "changes", [{"dac": {"kind": "r2r"}}, {"sense_amplifier": {"kind": "tia"}}], ids=["ladders", "amplifiers"]
)
def test_what_has_no_bits_or_no_floating_lines_is_refused_with_the_reason(changes):
    with pytest.raises(SpecError, match=r"hold\.planes = charge adds the bits of inputs as their lines float"):
        CHIP.changed(**changes)


def test_a_plan_of_the_adder_is_kept_whole_and_belongs_to_such_chips(tmp_path):
    plan = plan_calibration(CHIP.changed(array={"rows": 4, "columns": 4}), quick=True)
    plan.save(tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    assert again.hold.joins is not None
    assert len(again.hold.sizes) == len(again.hold.netlists(plan.chip)) == 10
    with pytest.raises(ValueError, match="hold must have joins for a chip whose planes are added as charge"):
        Plan.model_validate(plan.model_dump() | {"chip": plan.chip.changed(hold={"planes": "digital"})})


def test_a_second_capacitor_takes_area_and_a_report_says_what_bits_count():
    one = block_areas(CHIP.changed(hold={"planes": "digital"}))
    two = block_areas(CHIP)
    assert 1.9 * one.amplifier < two.amplifier < 2.2 * one.amplifier
    assert (one.dac, one.adc) == (two.dac, two.adc)
    line = np.linspace(-0.2, 0.2, 4)
    points = {"line [V]": line, "cell [S]": np.full(4, 5e-6), "cells": np.full(4, 8.0)}
    held_out = HeldOut(unit="V", full_scale=0.2, coordinates=points, measured=line, predicted=line)
    assert "the new bit counts 0.5000 and those before 0.5000" in hold_section(hold(), held_out).text


def test_controls_never_overlap_once_the_first_plane_has_begun():
    steps = PlaneSteps.of(CHIP.changed(dac={"bits": 3}), [5, 0, 7, 5], 0)
    found = {}
    for line in steps.controls(3.3).splitlines()[1:]:
        numbers = np.array(line.split("pwl(")[1].rstrip(")").split(), dtype=float)
        found[line.split()[1]] = numbers[::2], numbers[1::2]
    time = np.linspace(steps.begin, steps.read, 20_001)
    track, share = (np.interp(time, *found[name]) for name in ("track", "share"))
    assert np.minimum(track, share).max() == 0
    assert steps.source_names == ("vbits_0", "vbits_5", "vbits_7")
    rises = [np.count_nonzero(np.diff((wave > 1.65).astype(int)) == 1) for wave in (track, share)]
    assert rises == [2, 3]


def test_a_tile_netlist_is_a_transient_of_all_bits():
    chip = CHIP.changed(dac={"bits": 3})
    text = build_tile(chip, np.full((3, 2), 5e-6), [5, 0, 7], polarity="bipolar", r_feedback=1.0).format()
    assert all(
        word in text for word in ("xhold_1", "plane_adder", "vbits_5 bits_5 0 pwl(", "vshare share 0 pwl(", ".tran")
    )
    step = CodeStep(before=[0] * 3, after=[1] * 3, stop=1e-7)
    with pytest.raises(SpecError, match="no one step of codes"):
        build_tile(chip, np.full((3, 2), 5e-6), step, polarity="bipolar", r_feedback=1.0)
    with pytest.raises(SpecError, match="need two voltages each"):
        build_plane_sums(chip, [0.1], [0.1, 0.2])


def test_planes_without_time_to_share_are_refused():
    with pytest.raises(SpecError, match=r"hold\.share of 3e-09 s or more"):
        PlaneSteps.of(CHIP.changed(hold={"share": 2e-9}), [1], 0)
