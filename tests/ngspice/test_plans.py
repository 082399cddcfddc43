"""Plans: complete before anything runs, disjoint, the same when read back, refined only where that was asked for."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.block import Judged
from spicesim.calibration.calibrate import run_plan
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import plan_cell
from spicesim.calibration.dac import plan_dac
from spicesim.calibration.designs import fill, near
from spicesim.calibration.estimate import estimate
from spicesim.calibration.plan import load_plan, plan_calibration
from spicesim.calibration.statics import fit_blocks
from spicesim.chip import preset, save_chip
from spicesim.cli.main import cli
from spicesim.errors import SpecError
from spicesim.ngspice.outcome import Results
from spicesim.sampling import netlist_hash, run_all

pytestmark = pytest.mark.long

CHIP = preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})


def hashes(plan):
    return [netlist_hash(netlist) for block in plan.blocks.values() for netlist in block.netlists(plan.chip)]


def test_designs_fill_the_unit_cube():
    for points in (fill("sobol", 100, 3, [1]), fill("latin hypercube", 100, 3, [1])):
        assert points.min() >= 0
        assert points.max() <= 1
    halves = fill("sobol", 128, 3, [0]) < 0.5
    assert (halves.sum(axis=0) == 64).all(), "a Sobol sequence has as many points in each half"
    strata = np.sort(np.floor(50 * fill("latin hypercube", 50, 2, [0])), axis=0)
    np.testing.assert_array_equal(strata, np.stack([np.arange(50)] * 2, axis=1))
    np.testing.assert_array_equal(fill("sobol", 10, 3, [5, 1]), fill("sobol", 10, 3, [5, 1]))


def test_points_near_a_centre_stay_near_and_inside():
    points = near(np.array([[0.5, 0.5], [0.0, 1.0]]), 16, 0.2, [0])
    assert np.abs(points[:16] - 0.5).max() <= 0.1
    assert points.min() >= 0
    assert points.max() <= 1


def test_a_plan_read_back_simulates_the_same(tmp_path):
    plan = plan_calibration(CHIP, quick=True, seed=3, error=1e-5, aspects=())
    plan.save(tmp_path / "plan.json")
    read = load_plan(tmp_path / "plan.json")
    assert hashes(read) == hashes(plan)
    assert len(set(hashes(plan))) == len(hashes(plan))
    assert (read.error, read.seed, read.quick, read.aspects) == (1e-5, 3, True, ())


@pytest.mark.parametrize("quick", [True, False])
def test_fit_validation_and_test_share_no_point(quick):
    """The models check it themselves when a plan is made or read; here the check is put to the test."""
    plan = plan_calibration(CHIP, quick=quick)
    with pytest.raises(ValueError, match="disjoint"):
        type(plan.cell).model_validate({**dict(plan.cell), "test": plan.cell.validation})
    for block in (*plan.dacs.values(), *plan.senseamps):
        with pytest.raises(ValueError, match="disjoint"):
            type(block).model_validate({**dict(block), "test": block.validation})
    for block in plan.blocks.values():
        assert min(block.points().values()) > 0
        assert len(block.sizes) == len(block.netlists(CHIP))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:1000], "is no plan"),
        (lambda text: "{}", "is no plan"),
        (lambda text: text.replace('"plan_version": 1', '"plan_version": 7'), "plan_version"),
        (lambda text: text.replace('"bits": 8', '"bits": "x"', 1), "bits"),
    ],
    ids=["cut", "empty", "other version", "a word for a number"],
)
def test_damaged_plans_are_refused(tmp_path, damage, said):
    plan_calibration(CHIP, quick=True).save(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text(damage((tmp_path / "plan.json").read_text()))
    with pytest.raises(SpecError, match=said) as caught:
        load_plan(tmp_path / "plan.json")
    assert "--dry-run --plan" in str(caught.value)
    with pytest.raises(SpecError, match="no plan"):
        load_plan(tmp_path / "nothing.json")


def test_a_plan_gives_the_calibration_of_its_chip(generic_calibration, tmp_path):
    plan_calibration(generic_calibration.chip, quick=True, aspects=()).save(tmp_path / "plan.json")
    calibration = run_plan(load_plan(tmp_path / "plan.json"))
    assert calibration.hash == generic_calibration.hash
    assert calibration.plan.designs.keys() == calibration.plan.validation.keys()
    assert calibration.plan.rounds == ()


def test_refinement_meets_the_error_asked_for_and_says_what_it_took(generic_calibration):
    asked = 2.5e-6
    before = generic_calibration.plan.validation
    assert before["cell"] > 2 * asked
    blocks = fit_blocks(plan_calibration(generic_calibration.chip, quick=True, error=asked), Campaign())
    assert max(judged.error for judged in blocks.judged.values()) < asked
    # a richer form of the cell may do without more points
    missed = {name for name, error in before.items() if error > asked}
    assert missed - {"cell"} <= {r.block for r in blocks.rounds} <= missed
    assert all(r.error > asked and r.simulations == 1 for r in blocks.rounds)
    assert blocks.judged["cell"].test["cell current"].max_error < 1.5 * asked


def test_the_test_points_decide_nothing(generic_calibration, monkeypatch):
    """With other test currents the same models come out, refined the same way."""
    chip = generic_calibration.chip
    plan = plan_calibration(chip, quick=True, error=5e-6)
    honest = fit_blocks(plan, Campaign())
    other = plan.model_copy(update={"cell": plan.cell.model_copy(update={"test": plan_cell(chip, seed=9).test})})
    spoilt = fit_blocks(other, Campaign())
    assert [r.block for r in spoilt.rounds] == [r.block for r in honest.rounds]
    np.testing.assert_array_equal(spoilt.judged["cell"].model.coefficients, honest.judged["cell"].model.coefficients)


def test_refinement_ends_at_the_budget_or_where_it_does_not_help(generic_calibration):
    chip = generic_calibration.chip
    first = sum(len(block.netlists(chip)) for block in plan_calibration(chip, quick=True).blocks.values())
    blocks = fit_blocks(plan_calibration(chip, quick=True, error=1e-9, budget=first + 2), Campaign())
    assert sum(r.simulations for r in blocks.rounds) == 2
    assert [r.error for r in blocks.rounds] == sorted((r.error for r in blocks.rounds), reverse=True), "worst first"


def test_a_driver_is_refined_along_the_axis_that_limits_it():
    chip = CHIP
    coarse = plan_dac(chip, "unipolar", quick=True)
    few_loads = coarse.model_copy(update={"load": coarse.load.model_copy(update={"points": 5, "code_step": 15})})
    few_codes = coarse.model_copy(update={"load": coarse.load.model_copy(update={"points": 513, "code_step": 85})})

    def refined(plan):
        judged: Judged = plan.fit(chip, run_all(plan.netlists(chip)))
        return plan.refined(judged).load

    assert refined(few_loads).points == 9
    assert refined(few_codes).code_step < 85


def test_the_estimate_knows_what_is_kept(generic_calibration, tmp_path, monkeypatch):
    plan = plan_calibration(generic_calibration.chip, quick=True, aspects=("energy",))
    found = estimate(plan, Campaign(jobs=1))
    statics = [step for step in found.steps if step.name != "energy"]
    assert sum(step.simulations for step in statics) == generic_calibration.simulations
    assert all(step.kept == step.simulations for step in statics)
    assert sum(step.seconds for step in statics) == 0
    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path))
    fresh = estimate(plan, Campaign(jobs=1))
    assert sum(step.kept for step in fresh.steps) == 0
    assert fresh.unknown == ("energy",)
    assert fresh.seconds > 0


def test_the_estimate_is_what_runs_cost_that_start_slowly_and_go_on_evenly(tmp_path, monkeypatch):
    """Every run takes 20 ms and 100 us a point, so probes of few points tell what many take."""

    class EvenCampaign(Campaign):
        def run(self, netlists, label):
            return [
                Results(plots=found.plots, seconds=20e-3 + 100e-6 * max(map(len, found[0].vectors.values())))
                for found in super().run(netlists, label)
            ]

    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path))
    plan = plan_calibration(CHIP, quick=True, aspects=())
    found = {step.name: step for step in estimate(plan, EvenCampaign(jobs=1)).steps}
    for name, block in plan.blocks.items():
        runs = run_all(block.netlists(CHIP))
        points = sum(max(map(len, run[0].vectors.values())) for run in runs)
        assert found[name].seconds == pytest.approx(20e-3 * len(runs) + 100e-6 * points, rel=0.1), name
    for name, step in found.items():
        if name not in plan.blocks:
            assert step.seconds == pytest.approx(step.simulations * (20e-3 + 100e-6), rel=1e-9), name


def test_the_plan_is_in_the_file(generic_calibration):
    document = json.loads(generic_calibration.model_dump_json())
    assert document["plan"]["designs"]["cell"]["points"] == {"fit": 1560, "validation": 528, "test": 528}
    assert document["plan"]["error"] == 2e-4


@pytest.fixture
def command(tmp_path, monkeypatch, generic_calibration):
    """Run `spicesim calibrate` in a folder with the chip of a calibration; return status and all it said."""
    monkeypatch.chdir(tmp_path)
    save_chip(generic_calibration.chip, "chip.toml")

    def run(*words):
        result = CliRunner().invoke(cli, ["calibrate", *words])
        said = result.output if result.exception is None or isinstance(result.exception, SystemExit) else ""
        return said + (str(result.exception) if result.exception is not None else "")

    return run


def test_a_dry_run_writes_a_plan_and_simulates_no_block(command, tmp_path):
    said = command("chip.toml", "--quick", "--aspects", "", "--dry-run", "--plan", "plan.json")
    count = int(re.search(r"(\d+) simulations, \1 of them kept; about 0 s", said)[1])
    assert count > 100
    assert "1,560" in said
    assert not (tmp_path / "chip.cal.json").exists()
    assert "wrote chip.cal.json" in command("--plan", "plan.json")
    assert (tmp_path / "chip.cal.json").exists()
    assert "settles --seed already" in command("--plan", "plan.json", "--seed", "1")
    assert "settles chip.toml already" in command("chip.toml", "--plan", "plan.json")


def test_what_cannot_be_planned_is_said(command):
    assert "give CHIP.toml, or --plan" in command()
    assert "there are: " in command("chip.toml", "--dry-run", "--aspects", "nonsense")
    assert "dask scheduler" in command("chip.toml", "--quick", "--aspects", "", "--scheduler", "nonsense")
    save_chip(preset("gf180-bits").changed(rails={"r_supply": 1.0}), "rails.toml")
    assert "leave the section rails out" in command("rails.toml", "--quick", "--dry-run")


@pytest.mark.parametrize("reference", [1.0, 1.1, 1.25, 1.5, 1.65, 2.0])
def test_any_reference_can_be_planned_with_disjoint_sweeps(reference):
    """Sweeps by rational shares of the range met at 1 V, and the plan was refused."""
    chip = CHIP.changed(sense_amplifier={"v_reference": reference})
    plan = plan_calibration(chip, quick=True)
    assert all(min(senseamp.sizes) > 1 for senseamp in plan.senseamps)
