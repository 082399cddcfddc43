"""Floating bit lines of drawn chips and at other conditions, against the same transistors in ngspice."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.audit import audit_samples
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.hold import HoldPoints, plan_hold, read_held
from spicesim.calibration.hold_elsewhere import holds_elsewhere
from spicesim.calibration.mismatch_bench import with_chip_mismatch
from spicesim.calibration.mismatch_check import check_mismatch
from spicesim.calibration.noise import integrate_noise
from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.draws import ChipDraw
from spicesim.engine import ExactEngine, FastEngine, NgspiceEngine, Tile, TransferEngine
from spicesim.errors import CalibrationError, SpecError
from spicesim.experiment.ablation import ablate_calibration
from spicesim.netlist.hold import build_holds, build_line_steps
from spicesim.netlist.noise import build_noise
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.report import write_calibration_report
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

GENERIC = preset("generic-1t1r").changed(
    array={"rows": 8, "columns": 4}, dac={"kind": "bits", "bits": 4}, sense_amplifier={"kind": "voltage"},
    hold={"settle": 150e-9},
)  # fmt: skip
SPAN = 0.2
DRAWN = 5e-4
"""Largest error of what is held on drawn chips, as a fraction of the inputs' span."""
LEVEL_1 = 1e-2
"""The same of level-1 transistors, which do not conserve charge: in no climate, and drawn or not."""


@pytest.fixture(scope="module")
def generic(calibrate_once):
    """The generic chip, drawn and anywhere."""
    aspects = ("mismatch", "climate")
    return calibrate_once(
        "floating-generic-everywhere", lambda: calibrate(GENERIC, quick=True, aspects=aspects, accept="level 1")
    )


def test_drawn_switches_hold_what_their_devices_say(gf180_floating):
    """On columns that took no part in a fit, of the least and the most cells, rail to rail."""
    chip, switches = gf180_floating.chip, gf180_floating.mismatch.hold
    rows, g = [1, 8, 8, 3], np.array([1e-5, 1e-6, 1e-5, 3e-6])
    v = np.array([-SPAN, SPAN, -SPAN, 0.03])
    draw = ChipDraw(11, "tile")
    netlist = build_holds(chip, g, rows, v)

    def holds(path):
        return draw(path) if path.startswith("xhold") else (0.0, 0.0)

    plain, drawn = run_all([
        with_chip_mismatch(netlist, gf180_floating, of) for of in (lambda path: (0.0, 0.0), holds)
    ])  # fmt: skip
    measured = read_held(chip, drawn, 4) - read_held(chip, plain, 4)
    sizes = switches.response.draw(draw, 4)
    found = [float(switches.added(sizes[k : k + 1], v[k], g[k] * rows[k], rows[k])[0]) for k in range(4)]
    assert np.abs(found - measured).max() <= 3e-5 * SPAN
    assert np.abs(measured).max() >= 1e-4 * SPAN
    assert switches.residual <= 5e-5 * SPAN


def test_groups_of_cells_hold_what_each_of_them_would(monkeypatch):
    """Long and short lines, of the least and the most conductance, with wires that matter."""
    chip = preset("gf180-voltage").changed(array={"r_bit_line": 3.0, "c_bit_line": 1e-16})
    points = HoldPoints(
        rows=(64, 64, 17, 2), g=np.array([1e-6, 1e-5, 1e-5, 3e-6]), v=np.array([-SPAN, SPAN, -SPAN, 0.1])
    )
    grouped = points.netlist(chip)
    monkeypatch.setattr("spicesim.netlist.hold.NEAR", 10**6)  # each cell a group
    alone = points.netlist(chip)
    assert alone.body.count("cell_1t1r g=") > 2 * grouped.body.count("cell_1t1r g=")
    one, other = (read_held(chip, results, 4) for results in run_all([grouped, alone]))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * SPAN)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_drawn_floating_tiles_are_predicted_from_their_seed(gf180_floating, polarity):
    check = check_mismatch(gf180_floating, Campaign(seed=5), draws=3, size=8, polarity=polarity)
    assert check.name == f"8x8 {polarity} floating"
    error = np.abs(check.errors).max()
    assert error <= DRAWN
    assert np.abs(check.nominal - check.measured).max() / check.full_scale > 3 * error
    assert (check.p_values > 1e-3).all()
    assert check.spreading.mean() > 0.5  # of three draws each


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (3, 5)])
def test_drawn_tiles_of_odd_shapes_are_those_of_ngspice(gf180_floating, shape):
    """Halves that cancel and one row alone among their vectors; fewer cells share the charge less evenly."""
    g = np.random.default_rng(3).uniform(2e-6, 9e-6, shape)
    tile = Tile(name="layer:0", g=g, polarity="bipolar", r_feedback=1.0)
    codes = np.stack([np.arange(shape[0]) % 2, (np.arange(shape[0]) == 0).astype(int), np.ones(shape[0], dtype=int)])
    circuit, model = (
        kind(gf180_floating, mismatch_seed=2).prepare(tile).mvm(codes) for kind in (NgspiceEngine, ExactEngine)
    )
    assert np.abs(model - circuit).max() <= 2 * DRAWN * SPAN
    fast = FastEngine(gf180_floating, mismatch_seed=2).prepare(tile).mvm(codes)
    np.testing.assert_allclose(fast, model, rtol=0, atol=1e-4 * SPAN)


def test_a_seed_is_a_chip_and_a_switch_spreads_as_its_statistics(gf180_floating):
    model, options = gf180_floating.mismatch, {"polarity": "bipolar", "r_feedback": 1.0}
    one, same, two = (model.draw(4, 3, seed=seed, name="a", **options).holds.sizes for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, two)
    many = model.draw(1, 4000, seed=3, **options).holds
    added = many.added(np.zeros(4000), np.full(4000, 8 * model.hold.g_cell), 8)
    assert added.std() == pytest.approx(model.hold.sigma(8), rel=0.05)
    assert 2e-4 * SPAN < model.hold.sigma(8) < 2e-3 * SPAN


def test_noise_of_what_is_held_is_that_of_its_own_capacitor(gf180_floating):
    """Whatever the line before it has for capacitance, and whether currents flow there."""
    chip = gf180_floating.chip
    netlists = []
    for rows, g, v in ((1, 1e-6, 0.0), (8, 1e-5, SPAN)):
        columns = build_line_steps(chip, [g], [rows], [-v], stop=1e-9)
        body = f"{columns.body}\niin 0 out_0 dc 0 ac 1"
        netlists.append(build_noise(replace(columns, body=body, analyses=(".ac dec 20 1k 1e13",)), "out_0", "iin"))
    wanted = gf180_floating.hold.noise(chip.hold.capacitor, chip.process.temperature_c)
    for results in run_all(netlists):
        assert np.sqrt(integrate_noise(results)) == pytest.approx(wanted, rel=0.02)


def test_hold_switches_elsewhere_follow_from_few_conditions():
    """At a corner and a temperature in no fit, against columns there."""
    chip = preset("gf180-voltage").changed(array={"rows": 4, "columns": 2}, hold={"settle": 5e-7, "planes": "digital"})
    campaign = Campaign(quick=True)
    own, there = (
        (plan, at, campaign.run(plan.netlists(at), "test"))
        for at in (chip, chip.at(corner="ss", temperature_c=85.0))
        for plan in (plan_hold(at, quick=True),)
    )
    nominal = own[0].fit(own[1], own[2]).model
    found = holds_elsewhere(chip, nominal, campaign).at(nominal, "ss", 85.0)
    plan, at, results = there
    measured = read_held(at, results[-1], len(plan.test.rows))
    points = zip(plan.test.v, plan.test.g, plan.test.rows, strict=True)
    predicted, plain = (
        np.array([float(model.held(v, g * rows, rows)) for v, g, rows in points])
        for model, points in ((found, points), (nominal, zip(plan.test.v, plan.test.g, plan.test.rows, strict=True)))
    )
    assert np.abs(predicted - measured).max() <= 3e-4 * SPAN
    assert np.abs(plain - measured).max() > 5 * np.abs(predicted - measured).max()
    refitted = plan.fit(at, results).model
    np.testing.assert_allclose(found.time_constants(4e-6, 4), refitted.time_constants(4e-6, 4), rtol=1.5e-2)


def test_tiles_in_climates_in_no_fit_are_as_right_as_level_1_allows(generic):
    assert max(generic.climate.errors.values()) <= LEVEL_1
    at = generic.at(corner="ss", temperature_c=85.0)
    assert at.hold.pedestals.shape == generic.hold.pedestals.shape
    assert np.abs(at.hold.pedestals - generic.hold.pedestals).max() > 1e-3 * SPAN
    assert at.hold.v_span == pytest.approx(SPAN, rel=1e-12)
    assert at.require_mismatch().hold == generic.mismatch.hold


def test_networks_run_on_drawn_chips_anywhere_and_are_audited(generic, tmp_path):
    path, data = tmp_path / "chip.cal.json", tmp_path / "data.npz"
    generic.save(path)
    assert load_calibration(path).hash == generic.hash
    digits = load_digits()
    np.savez(data, x=digits.x[:4], y=digits.y[:4], x_calibration=digits.x_calibration)
    words = ["infer", str(digits_network("mlp")), str(data), "--calibration", str(path), "--mismatch", "1", "--noise"]
    words += ["--corner", "ss", "--temperature", "85", "--audit", "2", "--json", str(tmp_path / "out.json")]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["audit"]["max_error_full_scale"] <= LEVEL_1


def test_the_right_seed_is_the_chip_that_ran(gf180_floating):
    network = compile_network(digits_network("mlp"), gf180_floating)
    digits = load_digits()
    network.fit_ranges(digits.x_calibration)
    result = network.run(digits.x[:4], ExactEngine(gf180_floating, mismatch_seed=3), sample=2, seed=1)
    right, wrong = (audit_samples(result.samples, gf180_floating, mismatch_seed=seed) for seed in (3, 4))
    assert right.max_error <= DRAWN
    assert wrong.max_error > 2 * right.max_error


def test_pages_and_audits_tell_of_drawn_switches_and_climates(generic, tmp_path):
    write_calibration_report(generic, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("hold switch", "what it adds to a line of 1; of 8 cells", "line of all rows, capacitance"):
        assert words in text
    generic.save(tmp_path / "chip.cal.json")
    words = ["audit", str(tmp_path / "chip.cal.json"), "--mismatch", "2", "--sizes", "3"]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert "3x3 unipolar floating" in found.output
    assert "saturating" not in found.output


def test_what_drawn_and_other_floating_lines_do_not_have_is_refused_by_name(gf180_floating):
    ladder = GENERIC.changed(dac={"kind": "r2r"})
    with pytest.raises(SpecError, match="below R-2R drivers there is no aspect 'mismatch'"):
        calibrate(ladder, aspects=("mismatch",))
    with pytest.raises(CalibrationError, match="no climate"):
        gf180_floating.at(corner="ss")


def test_the_linear_map_of_floating_lines_is_the_chip_within_a_per_cent(gf180_floating):
    """Cells as resistors; with wires, drivers, and lines that have not settled."""
    g = np.random.default_rng(0).uniform(*gf180_floating.conductance_range, (8, 6))
    codes = np.random.default_rng(1).integers(0, 2, (20, 8))
    tile = Tile(name="t", g=g, polarity="bipolar", r_feedback=1.0)
    transfer, exact = (engine(gf180_floating).prepare(tile) for engine in (TransferEngine, ExactEngine))
    assert np.abs(transfer.mvm(codes) - exact.mvm(codes)).max() <= 1e-2 * SPAN
    np.testing.assert_allclose(transfer.linear_map, g.T, rtol=0.02)


@pytest.mark.torch
def test_training_through_floating_lines_goes_down_the_chip_s_own_slope(gf180_floating):
    """Directional derivatives by differences of the chip, of 12 bits in and out."""
    torch = pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    from spicesim.torch import AnalogLinear, TrainingChip

    torch.manual_seed(0)
    x = 0.2 + 0.6 * torch.rand(20, 11)
    chip = gf180_floating.chip.changed(adc={"bits": 12})
    kept = ["wires", "cells", "drivers", "output bits"]
    fine = ablate_calibration(gf180_floating.model_copy(update={"chip": chip}), kept)
    layer = AnalogLinear(11, 3, chip=TrainingChip(calibration=fine, gains=False)).eval()
    layer(torch.cat([torch.eye(11), x]))  # fits the ranges
    direction = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    inputs = x.clone().requires_grad_()
    (layer(inputs) * direction).sum().backward()
    step = 0.15 * torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    weight, gradient = layer.weight.detach().clone(), layer.weight.grad
    change = 0.05 * weight * torch.rand(weight.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ends = [float((layer(x + s * step) * direction).sum()) for s in (-1, 1)]
        assert float((inputs.grad * step).sum()) == pytest.approx((ends[1] - ends[0]) / 2, rel=0.03)
        ends = []
        for s in (-1, 1):
            layer.weight.copy_(weight + s * change)
            ends.append(float((layer(x) * direction).sum()))
    assert float((gradient * change).sum()) == pytest.approx((ends[1] - ends[0]) / 2, rel=0.1)
