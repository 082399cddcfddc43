"""What a crossbar accepts, what it refuses, and what it says then."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import ConvergenceError, SpecError, ValidityError
from spicesim.fast.crossbar import FastCrossbar
from spicesim.ports import PortTables

RNG = np.random.default_rng(7)
G = RNG.uniform(1e-6, 1e-4, (5, 4))
V = RNG.uniform(-0.2, 0.2, (11, 5))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"g": [1e-5, 2e-5]}, "rows, columns"),
        ({"g": np.zeros((0, 3))}, "at least 1x1"),
        ({"g": [[1e-5, -1e-9]]}, "g must be finite"),
        ({"g": [[math.nan]]}, "g must be finite"),
        ({"g": [[math.inf]]}, "g must be finite"),
        ({"g": [[1j]]}, "real numbers"),
        ({"g": [["one"]]}, "real numbers"),
        ({"g": [[1, 2], [3]]}, "real numbers"),
        ({"g": None}, "g must"),
        ({"r_word_line": -1.0}, "r_word_line"),
        ({"r_word_line": np.ones(4)}, "shape"),
        ({"r_bit_line": np.ones((4, 5))}, "shape"),
        ({"r_bit_line": math.nan}, "r_bit_line"),
        ({"r_driver": np.ones(4)}, "shape"),
        ({"r_sense": np.ones(5)}, "shape"),
        ({"r_sense": -1e-12}, "r_sense"),
        ({"cell": Polynomial(np.ones((2, 2, 3)))}, "polynomial coefficients"),
        ({"drive": "top"}, "drive must be 'left' or 'right' or 'both'"),
        ({"sense": "top"}, "sense must be"),
        ({"drive": "both", "r_word_line": np.ones((5, 4))}, r"shape \(5, 5\)"),
        ({"sense": "both", "r_bit_line": np.ones((5, 4))}, r"shape \(6, 4\)"),
        ({"r_driver": math.inf}, "r_driver must be finite"),
    ],
)
def test_a_malformed_array_is_refused_by_name(change, word):
    with pytest.raises(SpecError, match=word):
        Crossbar(**{"g": G, **change})


@pytest.mark.parametrize(
    "v", [0.1, [0.1] * 4, np.zeros((2, 4)), np.zeros((2, 3, 5)), [math.nan] * 5, [math.inf] * 5, ["a"] * 5, [1j] * 5]
)
def test_malformed_inputs_are_refused(v):
    for call in (Crossbar(G).currents, Crossbar(G).solve, Crossbar(G).netlist):
        with pytest.raises(SpecError, match="v must"):
            call(v)


@pytest.mark.parametrize(("drive", "sense"), [("left", "bottom"), ("right", "bottom"), ("both", "both")])
def test_a_changed_array_is_the_same_but_for_what_was_changed(drive, sense):
    word, bit = RNG.uniform(1, 9, (5, 4 + (drive == "both"))), RNG.uniform(1, 9, (5 + (sense == "both"), 4))
    ends = {"drive": drive, "sense": sense}
    array = Crossbar(G, word, bit, 2.0, 3.0, Sinh(2.0), **ends)
    np.testing.assert_array_equal(array.changed().currents(V), array.currents(V))
    expected = Crossbar(2 * G, word, bit, 2.0, 5.0, Linear(), **ends).currents(V)
    np.testing.assert_array_equal(array.changed(g=2 * G, r_sense=5.0, cell=Linear()).currents(V), expected)


def test_a_changed_array_is_checked():
    with pytest.raises(SpecError, match="r_driver"):
        Crossbar(G).changed(r_driver=-1.0)
    with pytest.raises(TypeError, match="r_row"):
        Crossbar(G).changed(r_row=1.0)


def test_other_options_are_refused():
    array = Crossbar(G)
    with pytest.raises(SpecError, match="one input vector"):
        array.netlist(V)
    with pytest.raises(SpecError, match="threads"):
        array.solve(V, threads=0)
    for tolerance in (0.0, -1.0, math.nan):
        with pytest.raises(SpecError, match="tolerance"):
            array.solve(V, tolerance=tolerance)
    with pytest.raises(SpecError, match="linear cells"):
        Crossbar(G, cell=Sinh(3.0)).transfer_matrix()


@pytest.mark.parametrize("mask", [0.5, [1] * 4, [0.5] * 5, np.ones((3, 5)), [math.nan] * 5, ["on"] * 5])
def test_malformed_masks_are_refused(mask):
    for call in (Crossbar(G).currents, Crossbar(G).solve):
        with pytest.raises(SpecError, match="mask must"):
            call(V, mask=mask)


def test_precision_is_a_word():
    for call in (Crossbar(G).currents, Crossbar(G, cell=Sinh(1.0)).solve):
        with pytest.raises(SpecError, match="precision must be 'single' or 'double'"):
            call(V, precision="half")


def test_a_row_that_is_off_and_broken_lines_carry_nothing():
    array = Crossbar(G, 1.0, 1.0, cell=Sinh(2.0))
    solution = array.solve(np.full(5, 0.1), mask=[1, 1, 0, 1, 1], fields=True)
    assert solution.row_currents[0, 2] == 0
    np.testing.assert_array_equal(solution.cell_currents[0, 2], 0.0)
    r = np.ones((5, 4))
    r[3, 0] = math.inf
    broken = Crossbar(G, r, 0.0, cell=Sinh(2.0)).solve(np.full(5, 0.1), fields=True)
    assert abs(broken.row_currents[0, 3]) < 1e-18
    r[:] = math.inf
    np.testing.assert_allclose(Crossbar(G, r, r).currents(V), np.zeros((11, 4)), atol=1e-18)


@settings(max_examples=60)
@given(st.data())
def test_any_numbers_give_an_error_or_a_finite_answer(data):
    """Shapes, types, strides, NaN, infinities, negative numbers, in every argument."""
    numbers = st.sampled_from([0.0, 1e-5, 1.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf])
    types = st.sampled_from([np.float64, np.float32, np.float16, np.int32, np.bool_, object, np.complex64])

    def array(shape):
        values = data.draw(st.lists(numbers, min_size=1, max_size=6))
        odd = data.draw(st.sampled_from([shape, shape, shape, shape[::-1], (*shape, 1), (0, *shape[1:])]))
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = np.resize(np.array(values), [2 * n for n in odd]).astype(data.draw(types))
        return whole[tuple(slice(None, None, 2) for _ in odd)]

    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    count = data.draw(st.sampled_from([0, 1, 17]))
    ends = {"drive": data.draw(st.sampled_from(["left", "right", "both"])),
            "sense": data.draw(st.sampled_from(["bottom", "both"]))}  # fmt: skip
    shapes = {"g": (rows, columns), "r_word_line": (rows, columns + (ends["drive"] == "both")),
              "r_bit_line": (rows + (ends["sense"] == "both"), columns), "r_driver": (rows,), "r_sense": (columns,),
              "v": (count, rows), "mask": (count, rows), "gradient": (count, columns)}  # fmt: skip
    spoilt = data.draw(st.sampled_from([*shapes, "none"]))
    values = {name: np.full(shape, {"g": 1e-5, "v": 0.1}.get(name, 1.0)) for name, shape in shapes.items()}
    if spoilt != "none":
        values[spoilt] = array(shapes[spoilt])
    v, mask, gradient = (values.pop(name) for name in ("v", "mask", "gradient"))
    cell = data.draw(st.sampled_from([Linear(), Sinh(2.0), Selected(i0=1e-9, v0=0.02)]))
    try:
        crossbar = Crossbar(**values, **ends, cell=cell)
        for precision in ("double", "single"):
            found = crossbar.currents(v, precision=precision)
            assert np.isfinite(found).all()
            assert np.isfinite(crossbar.solve(v, mask=mask, precision=precision, fields=True).cell_voltages).all()
        assert all(np.isfinite(part).all() for part in crossbar.vjp(v, gradient, mask=mask))
        assert np.isfinite(FastCrossbar(crossbar, tolerance=1e-2).currents(v)).all()
    except (SpecError, ConvergenceError, ValidityError):
        pass


@pytest.mark.parametrize("cell", [Linear(), Sinh(2.0)])
def test_an_empty_batch_gives_an_empty_result(cell):
    array = Crossbar(G, 1.0, 1.0, cell=cell)
    assert array.currents(np.zeros((0, 5))).shape == (0, 4)
    assert array.solve(np.zeros((0, 5)), fields=True).cell_voltages.shape == (0, 5, 4)


@pytest.mark.parametrize("cell", [Linear(), Sinh(2.0)])
def test_layout_and_type_of_the_arrays_do_not_matter(cell):
    expected = Crossbar(G, 1.0, 1.0, cell=cell).currents(V)
    wide = np.zeros((10, 8))
    wide[::2, ::2] = G
    for g, v in ((np.asfortranarray(G), V.T.copy().T), (wide[::2, ::2], V[::-1][::-1]), (G.tolist(), V.tolist())):
        np.testing.assert_array_equal(Crossbar(g, 1.0, 1.0, cell=cell).currents(v), expected)
    single = Crossbar(G.astype(np.float32), 1.0, 1.0, cell=cell).currents(V.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    integers = Crossbar(np.ones((2, 2), int), cell=cell).currents(np.zeros(2, bool))
    np.testing.assert_array_equal(integers, [0.0, 0.0])


def test_the_caller_keeps_its_arrays():
    g = G.copy()
    array = Crossbar(g)
    g[:] = 0
    np.testing.assert_array_equal(array.g, G)
    with pytest.raises(ValueError, match="read-only"):
        array.g[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        array.transfer_matrix()[0, 0] = 1.0


@pytest.mark.parametrize(
    "cell", [Linear(), Sinh(3.0), Polynomial([1.0, 0.1, 2.0]), Selected(i0=1e-9, v0=0.02, kappa=2.0)]
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 3), (3, 17)])
def test_the_solver_agrees_with_a_dense_nodal_solution(shape, cell):
    """Newton in numpy, with the wires as dense matrices of shared resistance."""
    rng = np.random.default_rng(sum(shape))
    rows, columns = shape
    g = rng.uniform(1e-6, 1e-4, shape)
    rw, rb = rng.uniform(0, 20, shape), rng.uniform(0, 20, shape)
    v = rng.uniform(-0.3, 0.3, rows)
    word, bit = np.cumsum(rw, axis=1), np.cumsum(rb[::-1], axis=0)[::-1]
    i, j = (x.ravel() for x in np.indices(shape))
    shared = np.where(i[:, None] == i, word[i[:, None], np.minimum(j[:, None], j)], 0.0)
    shared = shared + np.where(j[:, None] == j, bit[np.maximum(i[:, None], i), j], 0.0)
    across = v[i].copy()
    for _ in range(50):
        f = across + shared @ cell.current(g, across.reshape(shape)).ravel() - v[i]
        slope = cell.slope(g, across.reshape(shape)).ravel()
        across -= np.linalg.solve(np.eye(rows * columns) + shared * slope, f)
    expected = cell.current(g, across.reshape(shape)).sum(axis=0)
    scale = np.abs(v) @ g
    solution = Crossbar(g, rw, rb, cell=cell).solve(v, fields=True)
    np.testing.assert_allclose(solution.currents[0] / scale, expected / scale, atol=1e-10)
    np.testing.assert_allclose(solution.cell_voltages[0].ravel(), across, atol=1e-10)


def test_a_result_depends_neither_on_threads_nor_on_its_neighbours():
    array = Crossbar(G, 50.0, 50.0, 5.0, 5.0, cell=Sinh(8.0))
    v = np.random.default_rng(1).uniform(-0.5, 0.5, (37, 5))
    together = array.solve(v)
    np.testing.assert_array_equal(array.solve(v, threads=3).currents, together.currents)
    for k in (0, 8, 36):
        alone = array.solve(v[k])
        np.testing.assert_array_equal(alone.currents[0], together.currents[k])
        assert alone.iterations[0] == together.iterations[k]


def test_the_residual_is_kirchhoffs_law_at_the_worst_cell():
    solution = Crossbar(G, 5.0, 5.0, cell=Sinh(3.0)).solve(V, fields=True)
    assert (solution.residual <= 1e-11 * 1e-4 * 2 * 0.2).all()
    assert (solution.iterations >= 2).all()
    np.testing.assert_allclose(
        Sinh(3.0).current(G, solution.cell_voltages).sum(axis=2), solution.row_currents, rtol=1e-12
    )


def test_an_impossible_tolerance_is_said_not_hidden():
    array = Crossbar(np.random.default_rng(1).uniform(1e-6, 1e-4, (40, 40)), 3.3, 1.7, cell=Sinh(3.0))
    with pytest.raises(ConvergenceError, match=r"batch item 0 .* worst at the cell of row \d+, column \d+"):
        array.solve(np.full((1, 40), 0.1), tolerance=1e-30)


def test_overflow_is_refused():
    with pytest.raises(SpecError, match="double precision"):
        Crossbar(np.full((2, 2), 1e308)).transfer_matrix()
    np.testing.assert_allclose(Crossbar([[1e200]], 1e200, 1e200).transfer_matrix(), [[5e-201]])  # nothing overflows
    with pytest.raises(ConvergenceError):
        Crossbar([[1e200]], 0.0, 0.0, cell=Sinh(1.0)).solve([1e10])


def test_an_open_array_carries_nothing():
    for cell in (Linear(), Sinh(3.0)):
        solution = Crossbar(np.zeros((3, 2)), 1.0, 1.0, cell=cell).solve([0.1, 0.2, 0.3], fields=True)
        np.testing.assert_array_equal(solution.currents, [[0.0, 0.0]])
        np.testing.assert_array_equal(solution.cell_voltages[0], [[0.1] * 2, [0.2] * 2, [0.3] * 2])


def test_a_cell_outside_its_box_is_refused_by_name():
    cell = BiasedPolynomial([[[1.0], [0.1]]], 1e-5, v_limits=(-0.15, 0.15), u_limits=(-0.01, 0.01))
    array = Crossbar(np.full((2, 2), 1e-5), cell=cell)
    array.solve([0.1, 0.1])
    with pytest.raises(ValidityError, match=r"voltage across the cell of row 1, column 0 .*-0.15..0.15 V.*item 1"):
        array.solve([[0.1, 0.1], [0.1, 0.2]])
    lifted = Crossbar(np.full((2, 2), 1e-5), r_sense=[0.0, 1e4], cell=cell)
    with pytest.raises(ValidityError, match=r"bit-line voltage at the cell of row ., column 1"):
        lifted.solve([0.14, 0.14])


def test_a_port_outside_its_table_is_refused_by_name():
    array = Crossbar(np.full((2, 2), 1e-4), 1.0, 1.0)
    weak = PortTables.from_samples([-1e-5, 0, 1e-5], [-1e-5, 0, 1e-5], name="buffer")
    array.solve([0.01, 0.01], drivers=weak, senses=weak)
    with pytest.raises(ValidityError, match=r"buffer, driver of row 1: batch item 0 needs .*e-05 A"):
        array.solve([0.0, 0.2], drivers=weak)
    with pytest.raises(ValidityError, match="buffer, sense amplifier of column 0"):
        array.solve([0.0, 0.2], senses=weak)
