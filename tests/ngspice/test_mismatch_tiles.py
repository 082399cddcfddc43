"""Chips with every transistor and resistor drawn: predicted one by one, and by their statistics."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.audit import audit_samples
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.mismatch import calibrate_mismatch
from spicesim.calibration.mismatch_bench import with_chip_mismatch
from spicesim.calibration.mismatch_check import RESOLUTION, check_mismatch
from spicesim.cli.main import cli
from spicesim.draws import ChipDraw
from spicesim.engine import ExactEngine, NgspiceEngine, Tile
from spicesim.engine.write_verify import WriteVerify
from spicesim.errors import CalibrationError, SpecError
from spicesim.netlist.ensemble import build_cells
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.report import write_calibration_report
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

DRAWS = 3


@pytest.fixture(scope="module")
def calibration(gf180_everywhere):
    """GF180MCU, and what its devices make of its blocks."""
    return gf180_everywhere


@pytest.fixture(scope="module")
def generic(generic_calibration, calibrate_once):
    """The same of the generic chip."""

    def make():
        mismatch = calibrate_mismatch(generic_calibration, Campaign(quick=True))
        return generic_calibration.model_copy(update={"mismatch": mismatch})

    return calibrate_once("generic-mismatch", make)


@pytest.fixture(scope="module")
def calibration_file(calibration, tmp_path_factory):
    path = tmp_path_factory.mktemp("mismatch") / "chip.cal.json"
    calibration.save(path)
    return path


@pytest.mark.parametrize(("chip", "polarity"), [("calibration", "unipolar"), ("generic", "bipolar")])
@pytest.mark.parametrize(("saturating", "limit"), [(False, 2e-4), (True, 5e-4)], ids=["linear", "saturating"])
def test_drawn_tiles_are_predicted_from_their_seed(request, chip, polarity, saturating, limit):
    calibration = request.getfixturevalue(chip)
    check = check_mismatch(calibration, Campaign(seed=5), draws=DRAWS, polarity=polarity, saturating=saturating)
    assert check.measured.shape == (DRAWS, 2, 16)
    assert np.abs(check.errors).max() <= limit
    spread = np.abs(check.nominal - check.measured).max() / check.full_scale
    assert spread > 20 * np.abs(check.errors).max()
    assert check.drawn.std(axis=0).min() > 0
    sigma = np.maximum(check.drawn.std(axis=0), RESOLUTION * check.full_scale)  # on a rail it is some microvolts
    assert (
        np.abs(check.measured - check.drawn.mean(axis=0)) / sigma
    ).max() < 5  # of 96 outputs; at the knee of a rail they have tails
    assert (check.p_values > 1e-3).all()
    assert check.spreading.mean() > (0.3 if saturating else 0.9)
    assert len(check.sigma_ratios) == len(check.sigma_errors) == check.spreading.sum()


@pytest.mark.parametrize("chip", ["calibration", "generic"])
def test_blocks_that_took_no_part_follow_from_their_devices(request, chip):
    calibration = request.getfixturevalue(chip)
    for polarity, dac in calibration.mismatch.dacs.items():
        assert dac.residual < 4e-4 * calibration.chip.dac.v_span, polarity
    for amplifier in calibration.mismatch.senseamps:
        assert len(amplifier.response.names) <= 7
        assert amplifier.residual < 2e-4 * calibration.senseamp(amplifier.r_feedback).full_scale


def test_tiles_at_transistor_level_are_the_chip_that_the_model_draws(generic):
    """Each is programmed by its own cells: the one by the model's, the other by those of the circuit."""
    g = np.random.default_rng(0).uniform(*generic.conductance_range, (6, 5))
    tile, codes = Tile(name="layer:3", g=g, polarity="bipolar", r_feedback=20e3), np.array([[0, 40, 90, 140, 200, 255]])
    circuits, models = (
        [engine.prepare(tile).mvm(codes) for engine in (kind(generic, mismatch_seed=seed) for seed in (1, 2))]
        for kind in (NgspiceEngine, ExactEngine)
    )
    full_scale = generic.senseamp(20e3).full_scale
    for circuit, model in zip(circuits, models, strict=True):
        assert np.abs(model - circuit).max() < 2e-4 * full_scale
    assert np.abs(circuits[0] - circuits[1]).max() > 1e-3 * full_scale


def test_drawn_cells_conduct_what_was_wanted_of_them(generic):
    g = np.random.default_rng(1).uniform(*generic.conductance_range, (3, 4))
    write, v = WriteVerify(generic.chip, generic.cell.g_limits), generic.chip.cell.v_read
    devices = write.program_drawn(g, lambda netlist: with_chip_mismatch(netlist, generic, ChipDraw(4, "t")))
    netlist = with_chip_mismatch(build_cells(generic.chip, range(3), devices, v), generic, ChipDraw(4, "t"))
    (results,) = run_all([netlist])
    found = [[results[0].vectors[f"i(vsense_{i}_{j})"][0].real / v for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(found, g, rtol=1e-7)
    assert np.abs(write.program(g) / devices - 1).max() > 1e-4


def test_products_of_a_drawn_chip_are_audited_on_its_own_transistors(generic):
    network = compile_network(digits_network("mlp"), generic)
    result = network.run(load_digits().x[:4], ExactEngine(generic, mismatch_seed=3), sample=2, seed=1)
    right, wrong = (audit_samples(result.samples, generic, mismatch_seed=seed) for seed in (3, 4))
    assert right.max_error < 5e-4
    assert wrong.max_error > 10 * right.max_error


def test_feedback_resistors_spread_as_planted(calibration):
    model = calibration.mismatch
    for amplifier in model.senseamps:
        gain = amplifier.response.distribution
        assert gain.sigma[0] == pytest.approx(model.resistors, rel=2e-3)
        assert gain.mean[0] == pytest.approx(1, abs=1e-5)


def test_a_seed_is_a_chip_and_a_name_a_tile(calibration):
    model, options = calibration.mismatch, {"polarity": "unipolar", "r_feedback": 20e3}
    first, again, chip, tile = (
        model.draw(4, 3, seed=seed, name=name, **options)
        for seed, name in ((1, "layer:0"), (1, "layer:0"), (2, "layer:0"), (1, "layer:1"))
    )
    np.testing.assert_array_equal(first.r_cell, again.r_cell)
    for other in (chip, tile):
        assert not np.array_equal(first.amplifier_parameters, other.amplifier_parameters)
    many = model.draw(4, 4000, seed=3, **options).amplifier_parameters
    joint = model.senseamp(20e3).response.distribution
    np.testing.assert_allclose(many.std(axis=0), joint.sigma, rtol=0.06)
    np.testing.assert_allclose(np.corrcoef(many.T), joint.correlation, atol=0.08)


def test_engines_draw_chips_and_need_the_statistics(calibration, gf180_calibration):
    g = np.full((8, 4), 2e-5)
    tile, codes = Tile(name="t", g=g, polarity="unipolar", r_feedback=20e3), np.full((2, 8), 90)
    engines = [ExactEngine(calibration, mismatch_seed=seed) for seed in (None, 1, 1, 2)]
    nominal, one, same, two = (engine.prepare(tile).mvm(codes) for engine in engines)
    np.testing.assert_array_equal(one, same)
    for volts in (one, two):
        assert 1e-3 < np.abs(volts / nominal - 1).max() < 0.2
    with pytest.raises(CalibrationError, match="--aspects mismatch"):
        ExactEngine(gf180_calibration, mismatch_seed=1)
    with pytest.raises(SpecError, match="2 chips or more"):
        check_mismatch(calibration, Campaign(), draws=1)


def test_a_network_runs_on_a_drawn_chip(calibration_file, tmp_path):
    digits, outputs = load_digits(), []
    np.savez(tmp_path / "data.npz", x=digits.x[:20], y=digits.y[:20], x_calibration=digits.x_calibration)
    words = ["infer", str(digits_network("mlp")), str(tmp_path / "data.npz"), "--calibration", str(calibration_file)]
    for seed in (1, 2):
        more = ["--mismatch", str(seed), "--json", str(tmp_path / "o.json"), "--output", str(tmp_path / "o.npz")]
        found = CliRunner().invoke(cli, words + more, catch_exceptions=False)
        assert found.exit_code == 0, found.output
        assert json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["accuracy"] >= 0.9
        with np.load(tmp_path / "o.npz") as arrays:
            outputs.append(next(iter(arrays.values())))
    assert not np.array_equal(*outputs)


def test_audits_of_drawn_chips_tell_both_comparisons(calibration_file, tmp_path):
    words = ["audit", str(calibration_file), "--mismatch", "2", "--sizes", "4", "--json", str(tmp_path / "a.json")]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    for word in ("4x4 unipolar linear", "4x4 unipolar saturating", "sigma ratio", "KS p"):
        assert word in found.output
    for check in json.loads((tmp_path / "a.json").read_text(encoding="utf-8")):
        assert np.shape(check["measured"]) == np.shape(check["predicted"]) == (2, 2, 4)


def test_distributions_survive_their_file_and_are_on_the_page(calibration, calibration_file, tmp_path):
    loaded = load_calibration(calibration_file)
    assert loaded.hash == calibration.hash
    write_calibration_report(loaded, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = re.search(r'<section id="mismatch">.*?</section>', text, re.DOTALL)[0]
    assert section.count("<figure") == 5
    assert section.count("amplifier, ") >= len(calibration.senseamps)
