"""Axis order, current sign, polarity, drive side and sense side, pinned by one 2 x 3 example."""

import numpy as np
import pytest

from spicesim.crossbar import Crossbar

G = np.array([[1e-5, 2e-5, 3e-5], [4e-5, 5e-5, 6e-5]])
V = np.array([0.1, -0.2])


def test_arrays_of_cells_are_rows_by_columns():
    array = Crossbar(G)
    assert array.shape == (2, 3)
    assert array.transfer_matrix().shape == (3, 2)
    np.testing.assert_allclose(array.transfer_matrix(), G.T)


def test_batches_lead_and_one_vector_stays_one_vector():
    assert Crossbar(G).currents(np.ones((7, 2))).shape == (7, 3)
    assert Crossbar(G).currents(V).shape == (3,)


def test_a_positive_voltage_drives_current_into_the_virtual_ground():
    assert (Crossbar(G, 1.0, 1.0).currents([0.1, 0.1]) > 0).all()
    np.testing.assert_allclose(Crossbar(G).currents(V), V @ G)


def test_word_lines_are_driven_at_column_0():
    """A segment's resistance is felt by its own column and all further from the driver."""
    r = np.zeros((2, 3))
    r[0, 1] = 1e4
    ratio = Crossbar(G, r_word_line=r).currents([0.1, 0.0]) / Crossbar(G).currents([0.1, 0.0])
    np.testing.assert_allclose(ratio, [1, 1 / (1 + 1e4 * 5e-5), 1 / (1 + 1e4 * 5e-5)])


def test_bit_lines_are_sensed_below_the_last_row():
    """The segment below row 0 carries the current of row 0 only, that below row 1 all."""
    above = np.zeros((2, 3))
    above[0] = 1e4
    np.testing.assert_allclose(Crossbar(G, r_bit_line=above).currents(V), V[0] * G[0] / (1 + 1e4 * G[0]) + V[1] * G[1])
    below = np.zeros((2, 3))
    below[1] = 1e4
    np.testing.assert_allclose(Crossbar(G, r_bit_line=below).currents(V), (V @ G) / (1 + 1e4 * G.sum(axis=0)))


def test_driver_resistance_belongs_to_rows_and_sense_resistance_to_columns():
    r = 1e4
    driven = Crossbar(G, r_driver=[r, 0.0]).currents([0.1, 0.1])
    np.testing.assert_allclose(driven, 0.1 * G[0] / (1 + r * G[0].sum()) + 0.1 * G[1])
    sensed = Crossbar(G, r_sense=[0.0, r, 0.0]).currents([0.1, 0.1])
    np.testing.assert_allclose(sensed, 0.1 * G.sum(axis=0) / (1 + np.array([0, r, 0]) * G.sum(axis=0)))


@pytest.mark.parametrize("solve", [True, False])
def test_one_cell_is_in_series_with_one_segment_of_each_line(solve):
    array = Crossbar([[1e-4]], r_word_line=3.0, r_bit_line=5.0, r_driver=7.0, r_sense=11.0)
    current = array.solve([0.2], tolerance=1e-14).currents[0] if solve else array.currents([0.2])
    np.testing.assert_allclose(current, [0.2 / (1e4 + 3 + 5 + 7 + 11)], rtol=1e-12)


def test_fields_have_their_signs():
    """A cell's voltage is word line minus bit line; drivers deliver what the columns take."""
    solution = Crossbar(G, 10.0, 10.0).solve([0.1, 0.2], fields=True)
    assert solution.cell_voltages.shape == solution.bit_line_voltages.shape == (1, 2, 3)
    assert (solution.bit_line_voltages > 0).all()
    assert (np.diff(solution.bit_line_voltages, axis=1) < 0).all()
    assert (np.diff(solution.word_line_voltages, axis=2) < 0).all()
    np.testing.assert_allclose(solution.row_currents.sum(), solution.currents.sum(), rtol=1e-12)
    np.testing.assert_allclose((G * solution.cell_voltages).sum(axis=1), solution.currents, rtol=1e-9)


def test_the_netlist_names_its_parts():
    text = Crossbar(G, 1.0, 2.0, 3.0, 4.0).netlist(V)
    for line in (
        "vin_1 in_1 0 dc -0.2",
        "rdriver_1 in_1 wl_1 3.0",
        "rwl_1_0 wl_1 wl_1_0 1.0",
        "rwl_1_2 wl_1_1 wl_1_2 1.0",
        "rbl_0_2 bl_0_2 bl_1_2 2.0",
        "rbl_1_2 bl_1_2 bl_2 2.0",
        "rsense_2 bl_2 sense_2 4.0",
        "vsense_2 sense_2 0 dc 0",
        ".op",
    ):
        assert line in text.splitlines()
    assert text == text.lower()


def test_a_segment_without_resistance_is_no_element_and_an_open_cell_no_line():
    text = Crossbar([[0.0, 1e-5]]).netlist([0.1])
    assert "rwl" not in text.split("* wires")[1]
    assert "cell_0_0" not in text
    assert "rcell_0_1 in_0 bl_1" in text
