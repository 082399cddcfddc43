"""Arrays of extreme or senseless numbers: right currents and powers, or an error, and never for long."""

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fuzz import oracle
from spicesim.cells import Linear, Sinh
from spicesim.crossbar import Crossbar
from spicesim.crossbar.star_mesh import StarMesh
from spicesim.errors import ConvergenceError, SpecError, ValidityError

SHORT = [0.0, 1e-18, 1e-14, 1e-12, 1e-10, 1e-6]


@pytest.mark.parametrize("z", SHORT)
@pytest.mark.parametrize("ends", [{}, {"drive": "both"}, {"sense": "both"}, {"drive": "both", "sense": "both"}])
def test_a_tiny_resistance_beside_a_broken_segment_is_harmless(z, ends):
    g = np.zeros((5, 4))
    g[2, 1] = g[4, 2] = 1e-5
    word, bit = np.zeros((5, 4)), np.zeros((5, 4))
    word[2, 0], word[2, 1] = 100.0, z
    bit[4, 1], bit[4, 2] = 1.0, math.inf
    if "drive" in ends:
        word = np.column_stack([word, np.full(5, math.inf)])
    if "sense" in ends:
        bit = np.vstack([np.full(4, math.inf), bit])
    array, v = Crossbar(g, word, bit, **ends), [0, 0, 0.1, 0, 0]
    wanted = 0.1 / (1e5 + 101)
    for found in (array.currents(v), array.solve(v).currents[0], array.currents(v, mask=np.ones(5))):
        np.testing.assert_allclose(found[1], wanted, rtol=1e-11)
        np.testing.assert_allclose(found[[0, 2, 3]], 0.0, atol=1e-20)
    np.testing.assert_allclose(array.solve(v).row_currents[0], [0, 0, wanted, 0, 0], rtol=1e-11, atol=1e-20)


def test_power_balances_where_the_right_end_has_no_resistance():
    array = Crossbar([[1e-4, 2e-4], [3e-4, 1e-4]], [[1, 1, 0], [1, 1, 1]], 1.0, drive="both")
    power = array.solve([[0.2, 0.1]], fields=True).power
    np.testing.assert_allclose(power.lost, power.sources, rtol=1e-12)


@pytest.mark.parametrize("cell", [Linear(), Sinh(3.0)])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("seed", range(6))
def test_power_balances_whichever_segments_have_no_resistance(cell, count, seed):
    rng = np.random.default_rng(seed)
    g = rng.uniform(1e-5, 1e-3, (3, 4))
    word, bit = rng.choice([0.0, 1.0, 30.0], (3, 5)), rng.choice([0.0, 1.0, 30.0], (4, 4))
    driver, sense = rng.choice([0.0, 5.0], 3), rng.choice([0.0, 5.0], 4)
    array = Crossbar(g, word, bit, driver, sense, cell, drive="both", sense="both")
    solution = array.solve(rng.uniform(-0.3, 0.3, (count, 3)), fields=True)
    np.testing.assert_allclose(solution.power.lost, solution.power.sources, rtol=1e-8)
    np.testing.assert_allclose(solution.top_currents + solution.bottom_currents, solution.currents, rtol=1e-9)


def test_a_star_mesh_is_right_in_each_entry_whatever_lies_between_the_conductances():
    g = np.array([[1e-18, 1e6, 0.0], [1e-5, 1e-12, 1.0]])
    word, bit = [[1e-18, 1e6, 1e-9], [math.inf, 1e-14, 100.0]], [[1e-12, 0.0, 1e6], [1.0, 1e-18, 1e-3]]
    _, wanted = oracle.solve_linear(oracle.Network(g, word, bit, 1e-6, 100.0), [0.1, 0.2])
    array = Crossbar(g, word, bit, 1e-6, 100.0)
    np.testing.assert_allclose(array.transfer_matrix(), np.array(wanted, dtype=float), rtol=1e-12)


def test_a_star_mesh_agrees_with_the_other_solvers_on_an_ordinary_array():
    rng = np.random.default_rng(5)
    g = rng.uniform(1e-6, 1e-4, (6, 9))
    for ends in ({}, {"drive": "right"}, {"drive": "both", "sense": "both"}):
        array = Crossbar(g, 2.0, 3.0, 5.0, 7.0, **ends)
        transfer, inputs, _ = StarMesh(array._solver.wiring, array._solver.g).linear_maps()
        order = slice(None, None, -1) if ends.get("drive") == "right" else slice(None)
        np.testing.assert_allclose(transfer.T[order], array.transfer_matrix(), rtol=1e-10)
        np.testing.assert_allclose(inputs, array.input_admittance(), rtol=1e-9, atol=1e-13)


def test_gradients_hold_for_extreme_wires():
    g = np.array([[1e-5, 2e-5], [3e-5, 1e-6]])
    word = np.array([[100.0, 1e-14], [math.inf, 1.0]])
    for cell in (Linear(), Sinh(2.0)):
        array, v, grad = Crossbar(g, word, 1.0, cell=cell), np.array([0.1, 0.2]), np.array([1.0, -2.0])
        grad_v, grad_g = array.vjp(v, grad)
        assert not array._solver.is_ordinary
        for place in np.ndindex(g.shape):
            step = np.zeros(g.shape)
            step[place] = 1e-4 * g[place]
            change = [grad @ Crossbar(g + s * step, word, 1.0, cell=cell).currents(v) for s in (1, -1)]
            np.testing.assert_allclose(grad_g[place], (change[0] - change[1]) / (2 * step[place]), rtol=1e-5, atol=1e-9)
        change = [grad @ array.currents(v + s * np.array([1e-5, 0])) for s in (1, -1)]
        np.testing.assert_allclose(grad_v[0], (change[0] - change[1]) / 2e-5, rtol=1e-5)


def _weak_beside_strong():
    return Crossbar([[1e-5], [1e-9]], [[20.0], [0.0]], 0.0, 0.0, 1.0, drive="right"), [1.0, 0.0], None


def _weak_above_strong():
    g, word, bit = [[1e-5], [1.0], [1.0], [1e-3]], [[1.0], [20.0], [0.5], [20.0]], [[1.0], [20.0], [0.5], [1.0]]
    return Crossbar(g, word, bit, [0.5, 0.5, 0.0, 20.0]), [0.1, 0.0, 1.0, -0.2], None


def _off_behind_a_large_resistance():
    g, word, bit = [[1e-5, 0.0], [1e-5, 0.0]], [[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1e6, 0.0]]
    return Crossbar(g, word, bit, drive="right"), [0.0, 1.0], [0, 1]


def _off_beside_one_that_is_on():
    g, bit = [[0, 0, 1], [0, 1, 1e-5], [0, 0, 1e-3]], [[20.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 20.0]]
    array = Crossbar(g, 0.5, bit, [1.0, 1.0, 0.5], [1.0, 1.0, 20.0], drive="right")
    return array, [0.058, 0.136, -0.256], [0, 1, 0]


def _off_beside_an_open_driver():
    g, word = [[6.5e-5], [0.0], [9.2e-5], [2.5e-5]], [[1e-6], [1e6], [0.0], [0.0]]
    return Crossbar(g, word, 1e-6, [1e6, 0, 1, 0], 100.0), [1.0, -0.2, 0.1, 0.0], [1, 1, 0, 0]


@pytest.mark.parametrize("count", [1, 17])
@pytest.mark.parametrize(
    "make",
    [
        _weak_beside_strong,
        _weak_above_strong,
        _off_behind_a_large_resistance,
        _off_beside_one_that_is_on,
        _off_beside_an_open_driver,
    ],
)
def test_voltages_of_cells_that_carry_little_are_those_of_the_wires(make, count):
    array, v, mask = make()
    network = oracle.Network(
        array.g, array.r_word_line, array.r_bit_line, array.r_driver, array.r_sense, array.drive, array.sense
    )
    wanted = np.array(oracle.solve_linear(network, v, mask)[0].cell_voltages, dtype=float)
    found = array.solve(np.tile(v, (count, 1)), mask=mask, fields=True).cell_voltages[-1]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * np.abs(v).max())


def test_a_cell_into_a_piece_of_wire_that_leads_nowhere_carries_nothing():
    """A rounding error of the wires' conductances, a million times the cell's, flows through no cell."""
    g, bit = [[1.1e-6], [0.0]], [[1.0], [math.inf]]
    solution = Crossbar(g, 0.0, bit).solve([1.0, 0.0], fields=True)
    np.testing.assert_allclose(solution.row_currents, 0.0, atol=1e-12 * 1.1e-6)
    np.testing.assert_allclose(solution.bit_line_voltages[0], 1.0, rtol=1e-12)


@pytest.mark.parametrize("rows", [2, 60])
def test_currents_through_pieces_of_wire_that_only_cells_hold_keep_their_digits(rows):
    """From source 0 through a cell, a bit line without a ground, a cell, a word line without a source, and a cell."""
    g, word, bit = np.zeros((rows, 2)), np.ones((rows, 2)), np.ones((rows, 2))
    g[0, 0], g[-1, 0], g[-1, 1] = 1e-5, 2e-5, 3e-5
    word[-1, 0] = bit[-1, 0] = math.inf
    array, v = Crossbar(g, word, bit), np.eye(rows)[0]
    assert array._solver.is_ordinary
    wanted = 1 / (1e5 + 1e5 / 2 + 1e5 / 3 + 1 + (rows - 1) + 1 + 1)
    solution = array.solve(v)
    for found in (array.transfer_matrix()[1, 0], array.input_admittance()[0, 0], solution.currents[0, 1]):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
    np.testing.assert_allclose(solution.row_currents[0, 0], wanted, rtol=1e-11)


@pytest.mark.parametrize("kappa", [1e300, 1e7, math.inf, math.nan, 0.0, -1.0])
def test_a_cell_steeper_than_any_is_refused(kappa):
    with pytest.raises(SpecError, match="kappa of a sinh cell"):
        Sinh(kappa)


def test_inputs_beyond_any_voltage_are_refused():
    for cell in (Linear(), Sinh(3.0)):
        for precision in ("single", "double"):
            with pytest.raises(SpecError, match="v must hold finite voltages of at most"):
                Crossbar([[1e-5]], cell=cell).currents([1e300], precision=precision)


def test_currents_beyond_single_precision_are_refused():
    with pytest.raises(SpecError, match="single precision"):
        Crossbar([[1e30]]).currents([1.0], precision="single")


def test_resistances_whose_conductance_overflows_are_refused():
    with pytest.raises(SpecError, match="make extreme ones 0 or infinite"):
        Crossbar([[1e-5]], 1e-310, math.inf).transfer_matrix()


def test_the_class_of_a_cell_is_no_cell():
    for kind in (Linear, Sinh):
        with pytest.raises(SpecError, match=rf"cell must be an instance, got the class {kind.__name__}"):
            Crossbar([[1e-5]], cell=kind)


def test_an_open_sinh_cell_carries_nothing_at_any_voltage():
    assert Sinh(1e4).current(0.0, 1e3) == 0
    assert Sinh(1e4).slope(0.0, 1e3) == 0
    solution = Crossbar([[0.0, 1e-5]], 1.0, 1.0, cell=Sinh(1e4)).solve([0.2], fields=True)
    assert solution.cell_currents[0, 0, 0] == 0


def test_steep_cells_on_small_arrays_have_an_operating_point():
    """Where the cells bend so much, the wires decide: all of the drop is theirs."""
    solution = Crossbar([[1e-5]], 100.0, 100.0, cell=Sinh(1e4)).solve([0.5], fields=True)
    current, across = solution.currents[0, 0], solution.cell_voltages[0, 0, 0]
    np.testing.assert_allclose(200 * current + across, 0.5, rtol=1e-9)
    np.testing.assert_allclose(across, np.arcsinh(1e4 * current / 1e-5) / 1e4, rtol=1e-6)


def test_steep_cells_without_wires_are_refused_and_not_infinite():
    for options in ({}, {"drive": "both"}):
        with pytest.raises(ConvergenceError, match="the cells' currents overflow"):
            Crossbar([[1e-5]], cell=Sinh(1e4), **options).solve([0.2])


def test_cells_that_are_off_carry_nothing_at_any_voltage():
    for options in ({}, {"drive": "both"}, {"sense": "both"}):
        array = Crossbar([[1e-5], [1e-5]], 1.0, 1.0, cell=Sinh(1e4), **options)
        solution = array.solve([1.0, 0.001], mask=[0, 1], fields=True)
        np.testing.assert_array_equal(solution.cell_currents[0, 0], 0.0)
        assert np.isfinite(solution.power.lost).all()


def test_what_does_not_arrive_is_given_up_after_a_bounded_number_of_steps():
    rng = np.random.default_rng(0)
    array = Crossbar(rng.uniform(1e-6, 1e-4, (26, 27)), 1.0, 1.0, cell=Sinh(1e4))
    with pytest.raises(ConvergenceError, match="ask for a larger tolerance"):
        array.solve(rng.uniform(0.1, 0.3, (40, 26)))


def test_an_interrupt_ends_a_long_solution():
    """A batch that takes minutes, interrupted: the kernels come back between parts of it."""
    script = """
        import _thread, signal, threading
        import numpy as np
        from spicesim.cells import Sinh
        from spicesim.crossbar import Crossbar
        array = Crossbar(np.full((256, 256), 1e-5), 1.0, 1.0, cell=Sinh(20.0))
        v = np.random.default_rng(0).uniform(0, 0.5, (100_000, 256))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are started without
        threading.Timer(0.5, _thread.interrupt_main).start()
        try:
            array.solve(v)
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "interrupted\n"


def test_currents_whose_last_digit_no_wire_could_carry_are_refused():
    """Found at random: 5e22 A went round two cells, and .007 A into the ground came out as 3e8 A."""
    array = Crossbar([[1e-5], [1.0]], 0.0, 0.0, 0.0, 1.0, drive="both", cell=Sinh(1e4))
    with pytest.raises(ValidityError, match=r"carries 5e\+22 A, .* segment of 1 ohm; lower inputs"):
        array.solve([0.0, 0.013585125328635594])


def test_the_far_end_of_a_bit_line_is_right_where_the_near_one_holds_it():
    """Found at random: a march rounded the voltage at one end of a line, and the other had 3 % and 1e-8 of its own."""
    array = Crossbar(
        [[0.0, 1e-5], [0.0, 0.0], [8.844068117152544e-05, 1e-5]], [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]],
        [[0.0, 0.0], [0.0, 1e6], [0.0, 0.0], [0.0, 0.0]], 0.0, [1.0, 1e-9], sense="both",
    )  # fmt: skip
    near = 1e-5 * 1e-9  # what the source leaves at the near end [V]
    far = near * 1e-9 / 1e6
    row = far * 1e-5 / (1 + 1e-5 + 1 / (1 / 8.844068117152544e-05 + 0.5))
    wanted = row / (1 / 8.844068117152544e-05 + 0.5)
    np.testing.assert_allclose(array.transfer_matrix()[0, 0], wanted, rtol=1e-9)


def test_what_cells_alone_hold_beside_small_resistances_is_right_to_1e_9():
    """Found at random: 1.7e-9 off; half of a broken bit line hangs on cells of 15 kohm and a segment of 1 mohm."""
    arguments = {
        "g": [[0.0, 6.406983044919281e-05], [7.499122111366643e-05, 6.75034665419655e-05]],
        "r_word_line": [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]], "r_bit_line": [[math.inf, 0.001], [100.0, math.inf]],
        "r_driver": [0.0, 0.0], "r_sense": [100.0, 1.0], "drive": "both",
    }  # fmt: skip
    _, wanted = oracle.solve_linear(oracle.Network(**arguments), [1.0, 1.0])
    matrix = Crossbar(**arguments).transfer_matrix()
    np.testing.assert_allclose(matrix, np.array(wanted, dtype=float), rtol=1e-9, atol=1e-37)


def test_a_broken_line_of_many_cells_is_held_by_all_of_them_and_needs_no_star_mesh():
    """Its weakest cell alone, 10 Mohm, would send it there: 43 s for 128x128, where nodal analysis takes one."""
    g = np.geomspace(1e-7, 1e-4, 24 * 24).reshape(24, 24)
    word, bit = np.ones((24, 24)), np.ones((24, 24))
    word[12, 12] = bit[8, 8] = math.inf
    array, v = Crossbar(g, word, bit, 1.0), np.linspace(-0.2, 0.2, 24)
    assert array._solver.is_ordinary
    wanted = StarMesh(array._solver.wiring, g).linear_maps()[0].T @ v
    np.testing.assert_allclose(array.currents(v), wanted, rtol=1e-9, atol=1e-12 * np.abs(wanted).max())
