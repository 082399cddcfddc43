"""Laws that hold for every array."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spicesim.cells import Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar

CELLS = (Linear(), Sinh(4.0), Polynomial([1.0, 0.3, 2.0]), Selected(i0=1e-9, v0=0.02, kappa=2.0))


@st.composite
def arrays(draw, cells=CELLS):
    """Return arguments of an array and a batch of inputs between 0 and 0.3 V."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    most = draw(st.sampled_from([0.1, 10.0, 1000.0]))
    drive, sense = draw(st.sampled_from(["left", "right", "both"])), draw(st.sampled_from(["bottom", "both"]))
    word, bit = (shape[0], shape[1] + (drive == "both")), (shape[0] + (sense == "both"), shape[1])
    open_cells = rng.random(shape) < draw(st.sampled_from([0.0, 0.3]))
    arguments = {
        "g": np.where(open_cells, 0.0, rng.uniform(1e-7, 1e-4, shape)),
        "r_word_line": rng.uniform(0, most, word) * draw(st.booleans()),
        "r_bit_line": rng.uniform(0, most, bit) * draw(st.booleans()),
        "r_driver": rng.uniform(0, most, shape[0]) * draw(st.booleans()),
        "r_sense": rng.uniform(0, most, shape[1]) * draw(st.booleans()),
        "cell": draw(st.sampled_from(cells)),
        "drive": drive,
        "sense": sense,
    }
    return arguments, rng.uniform(0.0, 0.3, (5, shape[0]))


LINEAR = arrays(cells=(Linear(),))


@given(LINEAR)
def test_linear_cells_superpose_and_agree_with_the_transfer_matrix(drawn):
    arguments, v = drawn
    array = Crossbar(**arguments)
    each = array.solve(v).currents
    scale = each.sum() + 1e-30
    np.testing.assert_allclose(array.solve(v.sum(axis=0)).currents[0] / scale, each.sum(axis=0) / scale, atol=1e-10)
    np.testing.assert_allclose(v @ array.transfer_matrix().T / scale, each / scale, atol=1e-10)


@given(LINEAR)
def test_linear_cells_are_reciprocal(drawn):
    """Driven from the feet of its bit lines, the array has the transposed matrix."""
    arguments, _ = drawn
    order = 1 if arguments["drive"] == "right" else -1  # columns from the sensed ends on
    turned = Crossbar(
        arguments["g"][::-1, ::order].T,
        arguments["r_bit_line"][::-1, ::order].T,
        arguments["r_word_line"][::-1, ::order].T,
        arguments["r_sense"][::order],
        arguments["r_driver"][::-1],
        drive="both" if arguments["sense"] == "both" else "left",
        sense="both" if arguments["drive"] == "both" else "bottom",
    )
    matrix = Crossbar(**arguments).transfer_matrix()
    np.testing.assert_allclose(turned.transfer_matrix()[::-1, ::order].T, matrix, rtol=1e-10, atol=1e-13 * matrix.max())


@given(arrays())
def test_charge_is_kept_and_power_only_lost(drawn):
    arguments, v = drawn
    solution = Crossbar(**arguments).solve(v)
    total = solution.currents.sum(axis=1)
    floor = np.full(len(arguments["g"]), 1e-25)
    if arguments["drive"] == "both":  # what rounding of a node's voltage makes in the segment to its source
        end = arguments["r_word_line"][:, -1] + arguments["r_driver"]
        floor += 1e-15 * v.max() * np.divide(1, end, out=np.zeros_like(end), where=end > 0)
    np.testing.assert_allclose(solution.row_currents.sum(axis=1), total, rtol=1e-10, atol=floor.sum())
    assert ((v * solution.row_currents).sum(axis=1) >= -(v @ floor)).all()


@given(arrays())
def test_wires_only_lower_the_currents_of_positive_inputs(drawn):
    arguments, v = drawn
    with_wires = Crossbar(**arguments).solve(v).currents
    ideal = arguments["cell"].current(arguments["g"], v[:, :, None]).sum(axis=1)
    assert (with_wires <= ideal * (1 + 1e-9) + 1e-25).all()


@given(arrays())
def test_without_resistance_the_array_is_a_dot_product(drawn):
    arguments, v = drawn
    g, cell = arguments["g"], arguments["cell"]
    ideal = cell.current(g, v[:, :, None]).sum(axis=1)
    np.testing.assert_allclose(Crossbar(g, cell=cell).currents(v), ideal, rtol=1e-12)
    nearly = Crossbar(g, 1e-9, 1e-9, 1e-9, 1e-9, cell=cell).currents(v)
    np.testing.assert_allclose(nearly, ideal, rtol=1e-9)
