"""Calibrations: good where they say, refused where they must be, the same file back."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import _HEAD, _VERSION, _checksum, load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import plan_cell
from spicesim.calibration.tiles import build_cases, check_tiles, random_matrices, tile_netlist
from spicesim.chip import preset
from spicesim.errors import CalibrationError, MappingError, SimulationError, SpecError, ValidityError
from spicesim.sampling import run_all


def test_held_out_errors_of_all_blocks(gf180_calibration):
    """As fractions of full scale: of the largest cell, of the DAC's span, of the amplifiers' swing."""
    assert gf180_calibration.errors.keys() == gf180_calibration.held_out.keys()
    for name, held_out in gf180_calibration.held_out.items():
        assert gf180_calibration.errors[name].max == held_out.max_error
        assert held_out.max_error < (1e-4 if name == "cell current" else 2e-5), name
        assert held_out.p99_error <= held_out.max_error
        assert held_out.rms_error <= held_out.max_error


def test_named_amplifier_parameters_are_plausible_and_have_errors(gf180_calibration):
    for model in gf180_calibration.senseamps:
        parameters = model.parameters
        assert parameters["gain"].value == pytest.approx(1, rel=5e-3)
        assert 0 < parameters["gain"].standard_error < 1e-3
        assert 0 < parameters["r_in"].value < 30
        assert abs(parameters["offset_in"].value) < 10e-3
        assert parameters["rail_high"].value < -1.4
        assert parameters["rail_low"].value > 1.4
        assert 1.3 < model.linear_swing < model.full_scale * 1.01


def test_a_saved_calibration_is_the_same_when_loaded(generic_calibration, tmp_path):
    generic_calibration.save(tmp_path / "cal.json")
    loaded = load_calibration(tmp_path / "cal.json")
    assert loaded.hash == generic_calibration.hash
    codes = np.random.default_rng(0).integers(0, 256, (5, 8))
    g = np.random.default_rng(1).uniform(1e-6, 50e-6, (8, 4))
    before, after = (c.tile(g, "bipolar", 20e3).solve(codes).v_out for c in (generic_calibration, loaded))
    np.testing.assert_array_equal(before, after)


def test_the_same_seed_gives_the_same_calibration_from_the_cache(generic_calibration):
    again = calibrate(generic_calibration.chip, quick=True, aspects=())
    assert again.hash == generic_calibration.hash
    for name, held_out in again.held_out.items():
        np.testing.assert_array_equal(held_out.predicted, generic_calibration.held_out[name].predicted)


def test_write_verify_is_exact(gf180_calibration):
    cell = gf180_calibration.cell
    low, high = cell.conductance_range
    wanted = np.linspace(low, high, 50)
    np.testing.assert_allclose(cell.read_conductance(cell.program(wanted)), wanted, rtol=1e-9)
    with pytest.raises(MappingError, match="must lie in"):
        cell.program(1.1 * high)


def test_resistive_cells_need_few_orders():
    chip = preset("generic-1t1r").changed(cell={"kind": "1r", "kappa": 0.0})
    plan = plan_cell(chip, quick=True)
    judged = plan.fit(chip, run_all(plan.netlists(chip)))
    assert judged.model.coefficients.shape == (1, 1, 1)
    assert judged.test["cell current"].max_error < 1e-8


def seal(document):
    """Write the checksum anew, as somebody who edits a file on purpose may."""
    return {**document, "checksum": _checksum({name: document[name] for name in document if name not in _HEAD})}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "{}", "no calibration"),
        (lambda text: "", "no calibration"),
        (lambda text: text.replace(f'"schema_version": {_VERSION}', '"schema_version": 99', 1), "reads version"),
        (lambda text: text.replace('"v_out": [', '"v_out": ["x", ', 1), "checksum"),
        (lambda text: text.replace('"seed": 0', '"seed": 1', 1), "checksum"),
        (lambda text: '{"layers": [], "accuracy": 0.9}', "no calibration"),
        (lambda text: "[1, 2, 3]", "no calibration"),
        (lambda text: "\x93NUMPY\x01", "no calibration"),
    ],
    ids=[
        "cut", "empty object", "empty file", "other schema", "a word for a number", "a number edited",
        "another JSON file", "a list", "a binary file",
    ],
)  # fmt: skip
def test_damaged_and_foreign_files_are_refused(generic_calibration, tmp_path, damage, said):
    path = tmp_path / "cal.json"
    generic_calibration.save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(CalibrationError, match=said) as caught:
        load_calibration(path)
    assert "spicesim calibrate" in str(caught.value)


def test_a_file_without_its_checksum_or_with_hashes_of_others_is_refused(generic_calibration, tmp_path):
    path = tmp_path / "cal.json"
    generic_calibration.save(path)
    whole = json.loads(path.read_text())
    edited = {**whole, "cell": {**whole["cell"], "v_read": 0.2}}
    for document, said in [
        ({name: value for name, value in whole.items() if name != "checksum"}, "has no checksum"),
        ({name: value for name, value in edited.items() if name not in _HEAD}, "has no checksum"),
        ({**edited, "checksum": None}, "has no checksum"),
        (edited, "does not match its checksum"),
        ({**whole, "chip_hash": "0123456789abcdef"}, "its chip_hash is '0123456789abcdef'"),
        ({**whole, "calibration_hash": 1}, "its calibration_hash is 1"),
        ({name: value for name, value in whole.items() if name != "chip_hash"}, "its chip_hash is None"),
        (seal({**edited, "calibration_hash": whole["calibration_hash"]}), "its calibration_hash is"),
    ]:
        path.write_text(json.dumps(document))
        with pytest.raises(CalibrationError, match=said) as caught:
            load_calibration(path)
        assert "run: spicesim calibrate" in str(caught.value)


def test_a_file_of_version_1_is_refused_as_nothing_tells_whether_it_is_whole(generic_calibration, tmp_path):
    old = json.loads(generic_calibration.model_dump_json(exclude_none=True))
    (tmp_path / "old.json").write_text(json.dumps({**old, "schema_version": 1}))
    said = rf"schema_version 1, .*reads version {_VERSION}; run: spicesim calibrate"
    with pytest.raises(CalibrationError, match=said):
        load_calibration(tmp_path / "old.json")


def test_a_failed_check_is_left_out_and_said(generic_calibration, monkeypatch):
    """One vector in eleven; a tenth is the limit."""
    chip = generic_calibration.chip
    matrices = random_matrices(chip, (4,), 0)
    cases = build_cases(chip, generic_calibration.tile, matrices, random_vectors=6, seed=0)[:2]
    broken = 1

    def break_netlist(*arguments):
        nonlocal broken
        netlist = tile_netlist(*arguments)
        broken -= 1
        return netlist if broken < 0 else replace(netlist, body="x1 a 0 missing")

    monkeypatch.setattr("spicesim.calibration.tiles.tile_netlist", break_netlist)
    campaign = Campaign()
    checks = check_tiles(chip, cases, campaign)
    assert len(checks[0].pattern) == len(cases[0].codes) - 1 == len(checks[0].measured) == len(checks[0].predicted)
    assert "rerun: cd" in campaign.failures[0]
    assert len(campaign.failures) == 1
    broken = 5
    with pytest.raises(SimulationError, match="more than a tenth"):
        check_tiles(chip, cases, Campaign())


def test_a_fit_refuses_to_do_without_a_simulation(monkeypatch):
    netlists = [
        replace(n, body="x1 a 0 missing") for n in plan_cell(preset("generic-1t1r")).netlists(preset("generic-1t1r"))
    ]
    with pytest.raises(SimulationError, match="rerun: cd"):
        Campaign().run(netlists, "broken")


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(CalibrationError, match="run: spicesim calibrate"):
        load_calibration(tmp_path / "cal.json")


def test_another_chip_is_refused(generic_calibration):
    other = generic_calibration.chip.changed(cell={"kappa": 2.0})
    with pytest.raises(CalibrationError, match="belongs to chip"):
        generic_calibration.require_chip(other)
    with pytest.raises(CalibrationError, match="choose one of"):
        generic_calibration.senseamp(12345.0)


def test_devices_beyond_the_calibrated_range_are_refused(generic_calibration):
    for g in (200e-6, 1e-9, np.nan):
        with pytest.raises(SpecError, match="calibrated"):
            generic_calibration.tile(np.full((2, 2), g), "unipolar", 20e3)


def test_currents_beyond_the_drivers_box_raise_by_name(generic_calibration):
    """A calibration of narrow arrays does not cover the row currents of wide ones."""
    wide = np.full((2, 80), 50e-6)
    tile = generic_calibration.tile(wide, "unipolar", 5e3)
    with pytest.raises(ValidityError, match=r"word-line driver.*row"):
        tile.solve(np.full((1, 2), 255))


def test_an_interrupted_calibration_goes_on_where_it_was(tmp_path):
    """Kill the whole process in the middle; what was finished is in the cache, and the result is the same."""
    environment = {**os.environ, "SPICESIM_CACHE": str(tmp_path / "cache"), "SPICESIM_RUNS": str(tmp_path / "runs")}
    script = (
        "import os, signal, spicesim.sampling.run as s\n"
        "from spicesim.calibration.calibrate import calibrate\n"
        "from spicesim.chip import preset\n"
        "keep, kept = s.keep, []\n"
        "def keep_and_die(*a):\n"
        "    keep(*a); kept.append(a[0])\n"
        "    if len(kept) == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "s.keep = keep_and_die\n"
        "calibrate(preset('generic-1t1r').changed(array={'rows': 16, 'columns': 16}), quick=True, jobs=1, aspects=())\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=1800)
    assert killed.returncode == -9
    kept = list((tmp_path / "cache").rglob("*.kept"))
    assert len(kept) == 7
    finish = script.replace("== 7", "== -1") + "print(len(set(kept)))\n"
    done = subprocess.run(
        [sys.executable, "-c", finish], env=environment, check=True, timeout=1800, capture_output=True, text=True
    )
    assert int(done.stdout) == len(list((tmp_path / "cache").rglob("*.kept"))) - 7


def test_a_damaged_cache_entry_is_simulated_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path))
    chip = preset("generic-1t1r")
    netlists = plan_cell(chip, quick=True).netlists(chip)
    first = run_all(netlists)
    for entry in tmp_path.rglob("*.kept"):
        entry.write_bytes(entry.read_bytes()[:100])
    second = run_all(netlists)
    for a, b in zip(first, second, strict=True):
        for probe, vector in a[0].vectors.items():
            np.testing.assert_array_equal(vector, b[0].vectors[probe])


def test_the_file_is_json_with_provenance(generic_calibration, tmp_path):
    generic_calibration.save(tmp_path / "cal.json")
    document = json.loads((tmp_path / "cal.json").read_text())
    assert document["chip"]["name"] == "generic-1t1r"
    assert {"ngspice", "numpy", "spicesim", "models in generic_models.cir"} <= set(document["versions"])
    assert document["schema_version"] == _VERSION
    chip = generic_calibration.chip
    assert (document["chip_hash"], document["calibration_hash"]) == (chip.hash, generic_calibration.hash)
    assert document["cell"]["v_limits"][1] > 0, "the box in which it holds"
    assert {"points", "max", "p99", "rms"} == set(document["errors"]["cell current"])
    assert sum(cost["simulations"] for cost in document["costs"].values()) == document["simulations"]
    assert load_calibration(tmp_path / "cal.json").hash == generic_calibration.hash
    (tmp_path / "compact.json").write_text(json.dumps(document))
    assert load_calibration(tmp_path / "compact.json").hash == generic_calibration.hash, "layout is no content"


def test_a_span_that_drivers_cannot_put_out_is_refused_with_a_remedy():
    chip = preset("generic-1t1r").changed(
        array={"rows": 4, "columns": 4},
        dac={"v_span": 1.6},
        cell={"kappa": 0.5},
        sense_amplifier={"r_feedback": (5e3,)},
    )
    with pytest.raises(CalibrationError, match=r"lower dac\.v_span"):
        calibrate(chip, quick=True, aspects=())
