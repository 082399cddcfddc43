"""The settling model, against transients of whole tiles at transistor level."""

import json

import numpy as np
import onnx
import pytest

from spicesim.behavioural.settling import SettlingModel
from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.transients import build_step_cases
from spicesim.cli.infer import infer
from spicesim.engine import ExactEngine, SampledEngine, Tile, sampled
from spicesim.errors import CalibrationError, SpecError, ValidityError
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.report import write_calibration_report
from spicesim.report.numbers import percent

SIZE = 6


@pytest.fixture(scope="module")
def calibration(whole_calibration):
    return whole_calibration


@pytest.fixture(scope="module")
def transient(calibration):
    chip = calibration.chip
    g = random_conductances((SIZE, SIZE), chip.cell.g_min, chip.cell.g_max, np.random.default_rng(5))
    return calibration.transient(g, "unipolar", 160e3)


@pytest.fixture
def tile(calibration):
    g = np.random.default_rng(6).uniform(*calibration.conductance_range, (SIZE, SIZE))
    return Tile(name="fc:0", g=g, polarity="unipolar", r_feedback=160e3)


BEFORE, AFTER = np.array([[31, 30, 31, 0, 5, 9], [0] * SIZE]), np.array([[2, 0, 17, 9, 31, 3], [31] * SIZE])


def require_promise(checks):
    for check in checks:
        assert check.t_settle > 10e-9, check
        assert check.max_early <= 0.025, check
        assert check.rms_early <= 0.008, check
        assert check.max_late <= 0.003, check
        assert check.max_settled <= 0.0015, check


def test_held_out_tiles_follow_ngspice_into_and_out_of_the_rails(calibration):
    checks = calibration.settling.checks
    assert {check.name.split(",")[0].split(" ", 1)[1] for check in checks} == {
        "unipolar linear", "unipolar saturating", "unipolar far corner alone",
        "bipolar linear", "bipolar saturating", "bipolar far corner alone",
    }  # fmt: skip
    require_promise(checks)


def test_supplies_deliver_in_the_same_runs_what_the_energies_of_the_blocks_add_up_to(calibration):
    for check in calibration.settling.checks:
        assert check.energy > 0
        assert abs(check.energy_error) < 0.02, check.name


def test_courses_that_are_kept_are_those_of_the_errors(calibration):
    for check in calibration.settling.checks:
        errors = np.abs(check.predicted - check.measured)[check.times >= 0.2 * check.t_settle] / check.full_scale
        assert errors.max() == pytest.approx(check.max_early, abs=1e-6)


def test_a_calibrations_page_shows_settling_noise_and_energy(calibration, tmp_path):
    write_calibration_report(calibration, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f'<section id="{name}">' in text for name in ("settling", "noise", "energy"))
    for check in calibration.settling.checks:
        numbers = (check.max_early, check.rms_early, check.max_late, check.max_settled)
        assert all(f">{percent(number)}</td>" in text for number in numbers)


def test_a_tile_rests_before_and_long_after_where_the_operating_point_is(transient):
    v = transient.outputs(BEFORE, AFTER, [0.0, 5e-6])
    np.testing.assert_allclose(v[:, 0], transient.tile.solve(BEFORE).v_out, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(v[:, 1], transient.tile.solve(AFTER).v_out, rtol=1e-5, atol=1e-5)


def test_times_asked_for_do_not_change_the_course(transient):
    fine = transient.outputs(BEFORE, AFTER, np.arange(1, 101) * 2e-9)
    coarse = transient.outputs(BEFORE, AFTER, np.arange(1, 5) * 50e-9)
    np.testing.assert_allclose(coarse, fine[:, 24::25], atol=5e-4 * transient.tile.senseamp.full_scale)


def test_changes_do_not_know_of_each_other(transient):
    times = [10e-9, 50e-9, 100e-9]
    together = transient.outputs(BEFORE, AFTER, times)
    alone = transient.outputs(BEFORE[1:], AFTER[1:], times)
    np.testing.assert_allclose(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_outputs_stay_in_their_band_from_the_settling_time_on(transient):
    band = 5e-3
    t_settle = transient.t_settle(BEFORE, AFTER, band=band)
    assert t_settle.shape == (2, SIZE)
    times = np.linspace(1e-9, 1.5 * t_settle.max(), 300)
    end = transient.tile.solve(AFTER).v_out[:, None]
    outside = np.abs(transient.outputs(BEFORE, AFTER, times) - end) > band * transient.tile.senseamp.full_scale
    for k in range(2):
        for j in range(SIZE):
            moving = times[outside[k, :, j]]
            assert (moving.max() if moving.size else 0.0) == pytest.approx(t_settle[k, j], abs=2 * times[1])


def test_a_wider_band_and_an_unchanged_code_settle_sooner(transient):
    assert (transient.t_settle(BEFORE, AFTER, band=2e-2) <= transient.t_settle(BEFORE, AFTER, band=2e-3)).all()
    assert (transient.t_settle(BEFORE, BEFORE) == 0).all()


def test_line_capacitance_slows_the_outputs(transient):
    model = transient.model
    slower = model.model_copy(update={"c_bit_line": model.c_bit_line + 100e-15})
    t_slower, t_settle = (
        np.median(each.t_settle(BEFORE[1:], AFTER[1:])) for each in (TileTransient(transient.tile, slower), transient)
    )
    assert t_slower > 1.02 * t_settle


def test_lines_that_are_no_lumped_capacitance_are_refused(transient):
    long = transient.model.model_copy(update={"c_word_line": 1e-9})
    with pytest.raises(ValidityError, match="a word line of 6 cells has a time constant"):
        TileTransient(transient.tile, long)


@pytest.mark.parametrize("times", [[], [-1e-9], [2e-9, 1e-9], [np.nan]])
def test_times_that_make_no_sense_are_refused(transient, times):
    with pytest.raises(SpecError, match="times must"):
        transient.outputs(BEFORE, AFTER, times)


def test_shapes_and_bands_that_make_no_sense_are_refused(transient):
    with pytest.raises(SpecError, match="one shape"):
        transient.outputs(BEFORE, AFTER[:1], [1e-9])
    with pytest.raises(SpecError, match="band must be"):
        transient.t_settle(BEFORE, AFTER, band=0.0)


def test_settling_must_have_been_calibrated(generic_calibration):
    with pytest.raises(CalibrationError, match="--aspects settling"):
        generic_calibration.transient(np.full((2, 2), 1e-5), "unipolar", 20e3)


def test_the_model_survives_its_file(calibration, transient):
    loaded = Calibration.model_validate_json(calibration.model_dump_json()).settling
    assert isinstance(loaded, SettlingModel)
    again = TileTransient(transient.tile, loaded).outputs(BEFORE, AFTER, [30e-9])
    np.testing.assert_array_equal(again, transient.outputs(BEFORE, AFTER, [30e-9]))


def test_an_engine_that_samples_late_is_exact_and_one_that_samples_early_is_not(calibration, tile):
    late, early, exact = SampledEngine(calibration, 5e-6), SampledEngine(calibration, 30e-9), ExactEngine(calibration)
    settled = exact.prepare(tile).mvm(AFTER)
    np.testing.assert_allclose(late.prepare(tile).mvm(AFTER), settled, rtol=1e-5, atol=1e-5)
    prepared = early.prepare(tile)
    sampled = prepared.mvm(AFTER)
    np.testing.assert_array_equal(sampled, prepared.transient.outputs(np.zeros_like(AFTER), AFTER, [30e-9])[:, 0])
    assert np.abs(sampled - settled).max() > 0.1


def test_early_samples_do_not_know_of_each_other(calibration, tile, monkeypatch):
    engine = SampledEngine(calibration, 50e-9)
    prepared = engine.prepare(tile)
    together = prepared.mvm(AFTER)
    monkeypatch.setattr(sampled, "_AT_ONCE", 1)
    np.testing.assert_allclose(prepared.mvm(AFTER), together, rtol=1e-4, atol=1e-5)


@pytest.fixture
def network(tmp_path):
    """One product, and eight inputs, as files."""
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.standard_normal((4, 3)).astype(np.float32), "w")
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 4), ("y", 3))
    )
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=rng.random((8, 4)).astype(np.float32))
    return tmp_path / "net.onnx", tmp_path / "data.npz"


@pytest.mark.parametrize("t_read", [10e-9, pytest.param(5e-6, marks=pytest.mark.long)])
def test_what_an_early_sample_costs_is_a_row_of_the_budget(calibration, network, t_read):
    early = RunPlan(early=True, t_read=t_read, gains=False, explain=8)
    found, settled = (run(plan, *network, calibration) for plan in (early, early.changed(early=False)))
    budget = found.findings.budget
    assert "early sampling" in budget.sources
    assert "early sampling" not in settled.findings.budget.sources
    whole, rest = (one.first.result.logits.astype(float) - one.first.digital for one in (found, settled))
    np.testing.assert_array_equal(budget.whole.errors[0], whole)
    np.testing.assert_array_equal(budget.without["early sampling"].errors[0], rest)
    powers = budget.estimates()
    others = [powers[f"alone {name}"].value for name in settled.findings.budget.sources]
    if t_read == 10e-9:
        assert powers["alone early sampling"].low > 3 * max(others)
        assert powers["without early sampling"].value > 0.5 * powers["total"].value
    else:
        assert powers["alone early sampling"].value < 0.1 * max(others)


def test_a_network_sampled_before_it_settles_errs_more(calibration, network, tmp_path):
    calibration.save(tmp_path / "chip.cal.json")
    command = [*network, "--calibration", tmp_path / "chip.cal.json", "--no-gain"]
    command = [str(word) for word in (*command, "--json", tmp_path / "out.json")]
    snr = []
    for options in ([], ["--early", "--t-read", "5us"], ["--early", "--t-read", "10ns"]):
        infer.main([*command, *options], standalone_mode=False)
        document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        snr.append(document["layers"][0]["snr_db"])
    assert document["engine"] == "exact, sampled at 10 ns"
    assert snr[1] == pytest.approx(snr[0], abs=0.1)
    assert snr[2] < snr[0] - 3
    # an audit follows the same products in time, at transistor level
    infer.main([*command, "--early", "--t-read", "40ns", "--audit", "2"], standalone_mode=False)
    audit = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["audit"]
    assert audit["max_error_full_scale"] < 1e-2
    with pytest.raises(SpecError, match="early"):
        infer.main([*command, "--early"], standalone_mode=False)


def test_samples_at_no_time_or_of_what_was_not_calibrated_are_refused(calibration, generic_calibration):
    with pytest.raises(SpecError, match="t_read must be"):
        SampledEngine(calibration, 0.0)
    with pytest.raises(CalibrationError, match="--aspects settling"):
        SampledEngine(generic_calibration, 50e-9)


def test_open_cells_load_no_bit_line(calibration):
    """A cell alone among open ones, rail to rail: with all counted as cells, the error is thrice as large."""
    checks = {check.name: check for check in calibration.settling.checks}
    right, wrong = [], []
    for case in build_step_cases(calibration, 8, calibration.seed, 1):
        if not case.name.endswith("far corner alone"):
            continue
        transient, loaded = (TileTransient(case.tile, calibration.settling) for _ in range(2))
        loaded._c_in = np.full(SIZE, SIZE * calibration.settling.c_bit_line)
        for name, (before, after) in case.changes.items():
            check = checks[f"{case.name}, {name}"]
            settled = check.times >= check.t_settle
            for model, errors in ((transient, right), (loaded, wrong)):
                predicted = model.outputs(before[None], after[None], check.times)[0][:, check.columns]
                errors.append(np.abs(predicted - check.measured)[settled].max() / check.full_scale)
    assert len(right) == 6
    assert max(right) < 0.5 * max(wrong)
