"""What a quick calibration simulates less finely, at fewer conditions, and below fewer columns."""

import numpy as np
import pytest

from spicesim.calibration.conditions import Conditions
from spicesim.calibration.integrator import plan_integrator
from spicesim.chip import preset
from spicesim.netlist.together import row_groups, with_rows_together

GF180 = preset("gf180-pulse")


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
