"""What a quick calibration leaves out, simulates at fewer conditions, and below fewer columns."""

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.calibrate import wanted_aspects
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.integrator import plan_integrator
from spicesim.calibration.plan import load_plan, plan_calibration
from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.netlist.together import row_groups, with_rows_together

GF180 = preset("gf180-pulse")


@pytest.mark.parametrize(("at", "temperatures"), [("ends", 2), ("own and ends", 3), ("all", 4)])
def test_conditions_say_where_corners_are(at, temperatures):
    conditions = Conditions.of(GF180, 4, at)
    assert len(conditions.pairs) == 3 + 4 * temperatures
    assert (27.0 in conditions.of_corners) == (at != "ends")
    assert {-40.0, 125.0} <= set(conditions.of_corners) <= {27.0, *conditions.temperatures}


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
