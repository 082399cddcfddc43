"""What a quick calibration leaves out, simulates at fewer conditions, and below fewer columns."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.calibrate import wanted_aspects
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.integrator import plan_integrator
from spicesim.calibration.plan import load_plan, plan_calibration
from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.netlist.hold import build_holds
from spicesim.netlist.pace import PRECISE, converting
from spicesim.netlist.together import row_groups, with_rows_together

GF180 = preset("gf180-pulse")
WIDE = preset("gf180-bits").converter


@pytest.fixture
def ran(monkeypatch):
    """Keep what campaigns would run."""
    kept = []

    def run(netlists, **_):
        kept.extend(netlists)
        return []

    for name in ("run_all", "run_each"):
        monkeypatch.setattr(f"spicesim.calibration.campaign.{name}", run)
    return kept


def transient(card, options=PRECISE):
    return replace(build_holds(preset("gf180-voltage"), [1e-6], [1], [0.1]), options=options, analyses=(card,))


def test_transients_of_which_differences_matter_are_three_times_coarser_in_quick_campaigns(ran):
    Campaign(quick=True).run([transient(".tran 0.5n 1e-06 0 1n")], "x", coarse=True)
    assert "reltol=3e-5" in ran[0].options
    *same, longest = ran[0].analyses[0].split()
    assert same == [".tran", "0.5n", "1e-06", "0"]
    assert float(longest) == pytest.approx(3e-9)


@pytest.mark.parametrize("quick", [True, False])
def test_all_else_runs_as_it_is_given(ran, quick):
    given, gear = transient(".tran 0.5n 1e-06 0 1n"), transient(".tran 1n 1e-06 0 1n", ".options klu method=gear")
    campaign = Campaign(quick=quick)
    campaign.run([given], "x", coarse=not quick)
    campaign.try_run([given], "x")
    campaign.run([gear], "x", coarse=True)
    assert ran == [given, given, gear]


def test_transients_of_wide_steps_have_longer_time_steps_as_it_is(ran):
    given = transient(".tran 0.5n 1e-06 0 1n", converting(GF180, WIDE))
    Campaign(quick=True).run([given], "x", coarse=True)
    assert ran == [given]


@pytest.mark.parametrize(
    ("sizes", "longer"), [(WIDE, True), (WIDE.over(0.1), False), (WIDE.model_copy(update={"spans": (0.1,)}), False)]
)
def test_the_narrowest_step_of_a_converter_says_how_long_time_steps_may_be(sizes, longer):
    assert converting(GF180, sizes).startswith(PRECISE)
    assert ("trtol" in converting(GF180, sizes)) == longer
    assert converting(preset("generic-1t1r"), sizes) == PRECISE  # transistors that do not conserve charge


@pytest.mark.parametrize(("ends_alone", "temperatures"), [(True, 2), (False, 3)])
def test_conditions_say_where_corners_are(ends_alone, temperatures):
    conditions = Conditions.of(GF180, 3, ends_alone=ends_alone)
    assert len(conditions.pairs) == 2 + 4 * temperatures
    assert (27.0 in conditions.of_corners) != ends_alone
    assert set(conditions.of_corners) <= {27.0, -40.0, 125.0}


@pytest.mark.parametrize("cells", [(1,), (1, 2, 4, 8, 16, 32, 64, 128), (5, 62, 62, 30), (128, 1)])
def test_groups_of_rows_hold_all_rows_and_end_where_columns_do(cells):
    groups = row_groups(cells)
    assert groups.sum() == max(cells)
    assert set(cells) <= set(np.cumsum(groups[::-1]).tolist())
    assert groups[-1] == 1


def test_rows_together_have_one_driver_and_as_many_currents():
    columns = plan_integrator(GF180, quick=True).fits[0]
    netlist = columns.netlist(GF180, together=True)
    assert netlist.body.count("\nxdac_") < 30
    groups = row_groups(columns.rows)
    beyond = np.cumsum(groups[::-1])[::-1]
    for j, cells in enumerate(columns.rows):
        lines = netlist.body.splitlines()
        many = [
            int(line.split()[-1]) for line in lines if line.startswith("gcell_") and line.split()[0].endswith(f"_{j}")
        ]
        assert (beyond <= cells).sum() + sum(many) == cells


def test_rows_that_stand_for_themselves_change_nothing():
    columns = plan_integrator(GF180, quick=True).test[0]
    netlist = columns.netlist(GF180)
    assert with_rows_together(netlist, np.ones(max(columns.rows), dtype=int)) == netlist


@pytest.mark.parametrize("name", ["generic-1t1r", "gf180-voltage", "gf180-pulse", "gf180-gate"])
def test_a_quick_calibration_leaves_climate_out_unless_it_is_named(name):
    chip = preset(name)
    every = list(possible_aspects(chip)[0])
    assert wanted_aspects(plan_calibration(chip)) == every
    assert wanted_aspects(plan_calibration(chip, quick=True)) == [own for own in every if own != "climate"]
    assert wanted_aspects(plan_calibration(chip, quick=True, aspects=["climate"])) == ["climate"]


def test_all_aspects_have_a_word(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["calibrate", "gf180-voltage", "--quick", "--dry-run", "--plan", "plan.json"]
    monkeypatch.setattr("spicesim.cli.calibrate._show", lambda *_: None)
    assert CliRunner().invoke(cli, [*words, "--aspects", "all"], catch_exceptions=False).exit_code == 0
    assert "climate" in (plan := load_plan("plan.json")).aspects
    assert wanted_aspects(plan) == list(possible_aspects(plan.chip)[0])
