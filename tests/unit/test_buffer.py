"""Buffers behind hold capacitors: what the model says, their netlists, what they cost, and what is refused."""

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.behavioural.buffer import BUFFER, BufferMismatch, BufferModel, DrawnBuffers
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.response import Response
from spicesim.calibration.plan import Plan, load_plan, plan_calibration
from spicesim.chip import load_chip, preset, save_chip
from spicesim.cli.main import cli
from spicesim.engine import MacroBench
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist import build_tile
from spicesim.netlist.area import block_areas
from spicesim.netlist.buffer import build_buffers
from spicesim.netlist.hand_over import BufferedOver, build_hand_overs
from spicesim.netlist.hold import build_holds
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.noise import build_buffer_noise
from spicesim.netlist.plane_adder import PlaneSteps, build_plane_sums, summed_times
from spicesim.netlist.step import STEP_TIME, CodeStep

IDEAL = preset("gf180-voltage").changed(array={"rows": 4, "columns": 3}, dac={"bits": 3})
CHIP = IDEAL.changed(hold={"buffer": "opamp"})
DIGITAL = CHIP.changed(hold={"planes": "digital"})
MODEL = BufferModel(v_limit=0.25, settle=60e-9, added=np.array([-1e-3, 2e-3, 0.0, 4e-4]), noise=1e-4)
G = np.full((3, 2), 5e-6)


def test_a_buffer_adds_its_polynomial():
    held = np.array([[0.0, 0.125], [-0.25, 0.25]])
    added = [[-1e-3, -1e-3 + 1e-3 + 0.5e-4], [-1e-3 - 2e-3 - 4e-4, -1e-3 + 2e-3 + 4e-4]]
    np.testing.assert_allclose(MODEL.output(held) - held, added, rtol=1e-9)
    np.testing.assert_array_equal(MODEL.ideal().output(held), held)
    assert MODEL.output(np.zeros((0, 2))).shape == (0, 2)


def test_voltages_beyond_the_calibrated_ones_are_refused():
    for volts in (0.2501, -0.2501, np.nan):
        with pytest.raises(ValidityError, match=r"beyond the calibrated 0\.25 V"):
            MODEL.output([volts])


def test_buffers_elsewhere_are_mixed_with_all_their_numbers():
    def hold(buffer):
        return HoldModel(
            c_hold=250e-15, c_cell=5e-15, delay=0.0, settle=1e-7, v_limit=0.21, v_span=0.2, rows=(1, 8), g_cell=1e-5,
            pedestals=np.zeros((2, 2, 2)), buffer=buffer,
        )  # fmt: skip

    hot = MODEL.model_copy(update={"added": 3 * MODEL.added, "noise": 2e-4})
    places = Elsewhere[HoldModel](
        temperatures_c=(27.0, 127.0), temperatures=(hold(hot),), corner_temperatures_c=(), corners={}
    )
    found = places.at(hold(MODEL), None, 77.0)
    np.testing.assert_allclose(found.buffer.added, 2 * MODEL.added, rtol=1e-9)
    assert found.buffer.noise == pytest.approx(1.5e-4, rel=1e-9)
    assert (found.buffer.v_limit, found.buffer.settle) == pytest.approx((MODEL.v_limit, MODEL.settle), rel=1e-12)
    volts = np.array([0.1, -0.05])
    np.testing.assert_array_equal(found.output(volts), found.buffer.output(volts))
    np.testing.assert_array_equal(hold(None).output(volts), volts)
    wanted = np.hypot(hold(None).noise(250e-15, 27.0), 1.5e-4)
    assert found.output_noise(250e-15, 27.0) == pytest.approx(wanted, rel=1e-9)


def test_drawn_buffers_add_to_the_nominal_one_in_any_unit():
    response = Response(
        block=BUFFER, devices=("m1",), names=("a", "b"), rest=np.zeros(2), slopes=np.eye(2), directions=np.eye(2),
        bends=np.zeros((2, 2, 2)), simulated=8,
    )  # fmt: skip
    kind = BufferMismatch(v_limit=0.1, response=response, residual=0.0)
    drawn = DrawnBuffers(kind=kind, parameters=np.array([[3e-3, 1e-3], [-2e-3, 0.0]])).added(MODEL.v_limit)
    held = np.array([[0.05, 0.05], [-0.2, 0.1]])
    more = MODEL.output(held, drawn) - MODEL.output(held)
    np.testing.assert_allclose(more, [[3.5e-3, -2e-3], [1e-3, -2e-3]], rtol=1e-9)


def test_an_ideal_buffer_is_the_default_and_changes_no_hash_and_no_netlist(tmp_path):
    assert IDEAL.changed(hold={"buffer": "ideal"}).hash == IDEAL.hash != CHIP.hash
    text = build_tile(IDEAL, G, [5, 0, 7], polarity="bipolar", r_feedback=1.0).format()
    assert "\nxbuffer" not in text  # a folder of model cards may be called so
    assert "opamp" not in text
    save_chip(CHIP, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml").hash == CHIP.hash


@pytest.mark.parametrize("kind", ["tia", "integrator"])
def test_what_has_no_hold_switch_has_no_buffer(kind):
    other = preset("gf180-pulse" if kind == "integrator" else "gf180-1t1r")
    with pytest.raises(SpecError, match=r"hold\.buffer = opamp stands behind the hold switches"):
        other.changed(hold={"buffer": "opamp"})


def test_every_column_of_a_tile_has_its_buffer_and_both_capacitors_the_same_load():
    text = build_tile(CHIP, G, [5, 0, 7], polarity="bipolar", r_feedback=1.0).format()
    for j in range(2):
        assert f"\nxbuffer_{j} kept_hold_{j} out_{j} out_{j} vdd 0 opamp ibias=2e-05 drive=4" in text
        assert f"\ncbalance_hold_{j} held_hold_{j} 0 1.45e-14" in text
    assert text.count(".subckt opamp") == 1
    alone = CHIP.changed(hold={"balance": 0.0})
    assert "cbalance" not in build_tile(alone, G, [5, 0, 7], polarity="bipolar", r_feedback=1.0).format()
    step = CodeStep(before=[0] * 3, after=[1] * 3, stop=1e-7)
    digital = build_tile(DIGITAL, G, step, polarity="bipolar", r_feedback=1.0).format()
    assert "xbuffer_1 kept_hold_1 out_1" in digital
    assert "cbalance" not in digital


@pytest.mark.parametrize("chip", [CHIP, DIGITAL], ids=["charge", "digital"])
def test_benches_of_capacitors_have_the_load_of_the_buffer_and_read_before_it(chip):
    text = build_holds(chip, [5e-6], [2], [0.1]).format()
    node = "sum_0" if chip.hold.adds_planes else "out_0"
    assert f"\nxbuffer_0 {node} buffered_0 buffered_0 vdd" in text
    assert ("buffered" in build_holds(IDEAL, [5e-6], [2], [0.1]).format()) is False


def test_sums_are_read_when_buffers_have_followed():
    assert "\nxbuffer_0 out_0 buffered_0" in build_plane_sums(CHIP, [0.1], [0.0]).format()
    slow = CHIP.changed(hold={"buffer_settle": 90e-9})
    assert PlaneSteps.of(slow, [1], 0).read - PlaneSteps.of(CHIP, [1], 0).read == pytest.approx(30e-9, rel=1e-9)
    before, after = (np.subtract(*summed_times(chip)[::-1]) for chip in (CHIP, slow))
    assert after - before == pytest.approx(30e-9, rel=1e-9)


def test_buffers_take_area():
    one, two = block_areas(IDEAL), block_areas(CHIP)
    assert two.amplifier > 1.2 * one.amplifier
    assert (one.dac, one.adc, one.cell) == (two.dac, two.adc, two.cell)
    stronger = block_areas(CHIP.changed(hold={"buffer_drive": 8.0}))
    assert stronger.amplifier > two.amplifier


@pytest.mark.parametrize("chip", [CHIP, DIGITAL], ids=["charge", "digital"])
def test_a_macro_samples_the_buffers_after_all_bits(chip):
    start = sampling_start(chip, chip.converter, "bipolar")
    planes = chip.dac.bits if chip.hold.adds_planes else 1
    assert start > planes * chip.hold.settle + chip.hold.buffer_settle - 1e-15
    with pytest.raises(SpecError, match="leave t_read out"):
        sampling_start(chip, chip.converter, "bipolar", 1e-6)
    read = MacroRead(converters={1: chip.converter}, polarity="bipolar", t_read=start)
    codes = PlaneSteps.of(chip, [5, 0, 7], 0) if chip.hold.adds_planes else CodeStep(
        before=[0] * 3, after=[1, 0, 1], stop=1e-7
    )  # fmt: skip
    text = build_macro(chip, G, codes, read, polarity="bipolar", r_feedback=1.0).format()
    assert "\nxconverter_1 out_1 " in text
    assert "xbuffer_1 kept_hold_1 out_1" in text


def test_ideal_buffers_have_no_macros():
    read = MacroRead(converters={0: IDEAL.converter}, polarity="bipolar")
    with pytest.raises(SpecError, match=r"set hold\.buffer = opamp"):
        build_macro(IDEAL, G, [5, 0, 7], read, polarity="bipolar", r_feedback=1.0)

    class Calibrated:
        chip = IDEAL

    with pytest.raises(SpecError, match=r"of this chip buffers are ideal, hold\.buffer = ideal"):
        MacroBench(Calibrated())


@pytest.mark.parametrize("chip", [CHIP, DIGITAL], ids=["charge", "digital"])
def test_the_command_line_writes_macros_whose_lines_are_held_before_they_are_sampled(chip, tmp_path):
    shared = chip.changed(adc={"columns": 2})
    save_chip(shared, tmp_path / "chip.toml")
    np.save(tmp_path / "g.npy", G)
    np.save(tmp_path / "codes.npy", np.array([1, 0, 1]))
    files = [str(tmp_path / name) for name in ("chip.toml", "g.npy", "codes.npy", "macro.cir")]
    options = [
        "--chip",
        files[0],
        "--conductance",
        files[1],
        "--codes",
        files[2],
        "--polarity",
        "bipolar",
        "-o",
        files[3],
    ]
    done = CliRunner().invoke(cli, ["netlist", "macro", *options])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "macro.cir").read_text()
    assert text.count("\nxconverter_") == 1
    assert "\nxmux_1 out_1 idle_mux_1 common_0 turn_1" in text
    track = next(line for line in text.splitlines() if line.startswith("vtrack track"))
    opens = float(track.split("pwl(")[1].rstrip(")").split()[-2])  # the last plane's, or the only one
    sample = float(
        next(line for line in text.splitlines() if line.startswith("vsample ")).split("pulse(")[1].split()[2]
    )
    assert opens < sample
    assert sample == pytest.approx(sampling_start(shared, shared.converter, "bipolar") + STEP_TIME, rel=1e-9)


def test_a_bench_of_hand_overs_has_what_is_held_and_the_buffer():
    cases = [BufferedOver(v=-0.1, held=0.05)]
    text = build_hand_overs(CHIP, CHIP.converter, cases, 1e-7).format()
    assert "\nckept_0 kept_0 0 2.5e-13" in text
    assert "*v(reset)*(1.75-v(kept_0))" in text
    assert "xbuffer_0 kept_0 out_0 out_0" in text
    assert ".subckt tia" not in text


def test_buffers_alone_need_voltages():
    for volts in ([], [[0.1]]):
        with pytest.raises(SpecError, match="need a voltage each"):
            build_buffers(CHIP, volts)
    assert "carray out 0" in build_buffer_noise(CHIP).body
    assert "carray" not in build_buffer_noise(CHIP.changed(adc={"kind": "ideal"})).body


def test_a_plan_of_buffers_is_kept_whole_and_belongs_to_such_chips(tmp_path):
    plan = plan_calibration(CHIP, quick=True)
    plan.save(tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    assert len(again.hold.sizes) == len(again.hold.netlists(plan.chip)) == 12
    assert len(again.hold.follows.held) > again.hold.follows.fitted
    with pytest.raises(ValueError, match=r"hold must have buffers to follow for a chip of hold\.buffer = opamp"):
        Plan.model_validate(plan.model_dump() | {"chip": plan.chip.changed(hold={"buffer": "ideal"})})
