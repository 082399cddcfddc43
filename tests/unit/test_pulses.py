"""Pulses: which operating points a product passes through, what chips can have them, and what their netlists say."""

import itertools

import numpy as np
import pytest

from spicesim.calibration.tiles import random_matrices
from spicesim.chip import Chip, preset
from spicesim.errors import SpecError
from spicesim.fast.pulses import superpose
from spicesim.mapping import map_weights
from spicesim.netlist.integrator import build_integrators
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.pulses import PulseProduct, PulseSchedule
from spicesim.netlist.step import CodeStep
from spicesim.netlist.tile import build_column, build_tile
from spicesim.network.pulses import AT_ONCE, choose_pulses


def pulsed(**changes: object) -> Chip:
    """Return a generic chip of pulses with 5 bits."""
    sections: dict[str, object] = {
        "array": {"rows": 4, "columns": 4},
        "cell": {"g_max": 5e-6},
        "dac": {"kind": "pulse", "bits": 5, "unit": 2e-9, "v_span": 0.1},
        "sense_amplifier": {"kind": "integrator"},
        "integrator": {"capacitor": 1e-12},
    }
    return preset("generic-1t1r").changed(**sections | changes)


def integral(values: dict[tuple[bool, ...], float], lengths: np.ndarray) -> float:
    """Integrate what depends on which rows are on, over the time of a product."""
    edges = np.unique(np.concatenate([[0.0], lengths]))
    return sum((b - a) * values[tuple(lengths > (a + b) / 2)] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize(
    ("rows", "columns", "found"), [(16, None, (16, 4)), (16, 16, (16, 16)), (16, 32, (16, 16)), (64, 64, (20, 18))]
)
def test_tiles_of_pulses_have_few_columns_unless_others_are_asked_for(rows, columns, found):
    chip = pulsed(array={"rows": 20, "columns": 18})
    asked = {} if columns is None else {"columns": columns}
    (g,) = random_matrices(chip, [rows], 0, **asked).values()
    assert g.shape == found
    square = preset("generic-1t1r").changed(array={"rows": 20, "columns": 18})
    (g,) = random_matrices(square, [rows], 0, **asked).values()
    assert g.shape == (min(rows, 18),) * 2


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_as_many_points_as_lengths_integrate_anything_exactly(rows):
    rng = np.random.default_rng(rows)
    values = {on: float(rng.normal()) for on in itertools.product((False, True), repeat=rows)}
    values[(False,) * rows] = 0.0
    lengths = rng.integers(0, 9, (20, rows)) + rng.choice([0.0, 0.5], (20, 1))
    found = superpose(lengths, rows)
    for one, on, weights in zip(lengths, found.on, found.weights, strict=True):
        got = sum(w * values[tuple(bool(x) for x in pattern)] for w, pattern in zip(weights, on, strict=True))
        assert got == pytest.approx(integral(values, one), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("points", [2, 3, 4, 8])
def test_few_points_integrate_polynomials_of_third_order_in_the_rows_on_exactly(points):
    """Of those that are 0 with one row on, as with none."""
    rng = np.random.default_rng(points)
    rows = 24
    lengths = np.concatenate([
        rng.integers(0, 256, (8, rows)), np.where(rng.random((4, rows)) < 0.6, rng.integers(1, 256, (4, rows)), 0),
        np.sort(rng.integers(100, 140, (2, rows))),
    ]).astype(float)  # fmt: skip
    found = superpose(lengths, points)
    for power in (2, 3):
        falling = -np.sort(-lengths, axis=1)
        lasts = falling - np.append(falling[:, 1:], np.zeros((len(lengths), 1)), axis=1)
        n, on = np.arange(1, rows + 1.0), found.on.sum(axis=2).astype(float)
        wanted = (lasts * (n**power - n)).sum(axis=1)
        got = (found.weights * (on**power - on)).sum(axis=1)
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_equal_lengths_take_one_point_whatever_is_asked_for():
    found = superpose(np.full((1, 7), 100.0), 4)
    assert found.weights[0].tolist() == [0.0, 0.0, 0.0, 0.0, 100.0]
    assert found.on[0, -1].all()


def test_what_lasts_longest_is_solved_however_many_lengths_there_are():
    lengths = np.random.default_rng(0).uniform(1, 60, (5, 32))
    lengths[:, :12] = 255.0
    found = superpose(lengths, 3)
    counts = np.where(found.weights != 0, found.on.sum(axis=2), 0)
    assert (counts == 12).any(axis=1).all()


def test_pulses_and_integrators_come_together_only():
    with pytest.raises(SpecError, match="pulses need integrators"):
        pulsed(sense_amplifier={"kind": "tia"})
    with pytest.raises(SpecError, match="pulses need integrators"):
        pulsed(dac={"kind": "r2r"})
    with pytest.raises(SpecError, match="have no integrators yet"):
        pulsed(cell={"kind": "2t2r"})


@pytest.mark.parametrize(("bits", "word"), [(2, "too little"), (16, "too much")])
def test_the_time_for_all_pulses_has_limits(bits, word):
    with pytest.raises(SpecError, match=word):
        pulsed(dac={"kind": "pulse", "bits": bits, "unit": 1e-9 if bits == 2 else 1e-8})


def test_the_setting_of_integrators_is_time_by_capacitor():
    assert pulsed().settings == pytest.approx((32 * 2e-9 / 1e-12,), rel=1e-12)


def test_chips_without_pulses_keep_their_content():
    content = preset("gf180-1t1r").model_dump()
    assert "unit" not in content["dac"]
    assert not {"reset", "settle", "r_input"} & set(content["integrator"])


def test_inputs_are_driven_at_once():
    assert choose_pulses(pulsed(), None, "unipolar") is AT_ONCE


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_pulses_are_as_long_as_their_codes_and_lie_within_the_window(polarity):
    chip = pulsed()
    schedule = PulseSchedule.of_chip(chip, polarity)
    assert schedule.lasts(7) - schedule.lasts(3) == pytest.approx(4 * 2e-9, rel=1e-12)
    assert schedule.window.start < schedule.start
    assert schedule.start + schedule.lasts(31) < schedule.window.end < schedule.read


def test_with_both_signs_the_middle_code_is_as_long_up_as_down():
    schedule = PulseSchedule.of_chip(pulsed(), "bipolar")
    assert 2 * schedule.lasts(16) == pytest.approx(schedule.window.length, rel=1e-12)


def test_a_tile_has_one_source_for_each_length_and_none_for_none():
    netlist = build_tile(pulsed(), np.full((4, 3), 2e-6), [0, 5, 5, 9], polarity="unipolar", r_feedback=1.0)
    sources = [line.split()[0] for line in netlist.body.splitlines() if line.startswith("vpulse_")]
    assert sources == ["vpulse_5", "vpulse_9"]
    assert "xdac_0 0 dac_0" in netlist.body
    assert netlist.analyses[0].startswith(".tran")
    assert netlist.body.count("\nxintegrator_") == 3


def test_integrators_have_the_sampling_switches_of_their_converters_once():
    """In a tile and a bench as they stand open, in a macro as they are, and open on columns without a converter."""
    chip = pulsed(adc={"kind": "sar"})
    tile = build_tile(chip, np.full((4, 3), 2e-6), [0, 5, 5, 9], polarity="unipolar", r_feedback=1.0)
    assert tile.body.count("\nxload_") == 3
    read = MacroRead(
        converters={0: chip.converter, 2: chip.converter},
        polarity="unipolar",
        t_read=sampling_start(chip, chip.converter, "unipolar"),
    )
    macro = build_macro(chip, np.full((4, 3), 2e-6), [0, 5, 5, 9], read, polarity="unipolar", r_feedback=1.0)
    assert [line.split()[0] for line in macro.body.splitlines() if line.startswith("xload_")] == ["xload_1"]
    assert macro.body.count("\nxconverter_") == 2
    assert read.start == pytest.approx(PulseSchedule.of_chip(chip, "unipolar").read, rel=1e-12)
    assert build_integrators(chip, [1e-6, 0.0]).body.count("\nxload_") == 2
    assert "xload_" not in build_integrators(pulsed(), [1e-6, 0.0]).body


def test_pulses_have_no_steps():
    step = CodeStep(before=[0], after=[1], stop=1e-8)
    with pytest.raises(SpecError, match="pulses have no steps"):
        build_tile(pulsed(), [[2e-6]], step, polarity="unipolar", r_feedback=1.0)


def test_a_pulse_longer_than_all_are_is_refused():
    with pytest.raises(SpecError, match="longer than the window"):
        PulseProduct(codes=[40], schedule=PulseSchedule.of_chip(pulsed(), "unipolar"))


def test_a_column_ends_in_its_integrator():
    netlist = build_column(pulsed(), [2e-6, 3e-6], [0.1, 0.0], 1.0)
    assert "xintegrator_0 sense_0 out_0" in netlist.body
    assert netlist.analyses[0].startswith(".tran")


def test_lines_are_made_up_for_by_their_conductance():
    chip = pulsed(integrator={"capacitor": 1e-12, "r_input": 2000.0})
    mapped = map_weights(np.array([[0.5], [1.0]]), chip.array, (chip.cell.g_min, chip.cell.g_max), name="a")[0]
    ohm = chip.transresistance(mapped.g, chip.settings[0])
    np.testing.assert_allclose(ohm * chip.held_lines(mapped.g), chip.settings[0], rtol=1e-12)
    np.testing.assert_allclose(chip.held_lines(mapped.g), 1 + 2000 * mapped.g.sum(axis=0), rtol=1e-12)
