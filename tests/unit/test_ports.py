"""Port tables: exact, monotone, checked; and solved where amplifiers saturate."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from spicesim.cells import BiasedPolynomial, Linear, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError
from spicesim.ports import PortTables


def amplifier(rail=1.5, r_feedback=2e4, knee=1e-3, i_max=3e-3, offset=1e-3, r_in=2.0):
    """A sense amplifier with rails: beyond them its input follows the current through the feedback."""
    current = np.linspace(-i_max, i_max, int(2 * i_max * r_feedback / 3e-3) + 1)
    width, limit = knee / r_feedback, rail / r_feedback

    def beyond(i):
        return width * np.logaddexp(0.0, (i - limit) / width)

    voltage = offset + r_in * current + r_feedback * (beyond(current) - beyond(-current))
    return PortTables.from_samples(current, voltage, name="amplifier")


def test_tables_are_pchip_inside_and_straight_outside():
    x = np.linspace(-1.0, 2.0, 13)
    y = np.stack([np.tanh(x), x**3])
    port = PortTables.from_samples(x, y)
    at = np.linspace(-1, 2, 100)
    for k in range(2):
        reference = PchipInterpolator(x, y[k])
        voltage, slope = port.evaluate(at, k)
        np.testing.assert_allclose(voltage, reference(at), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(slope, reference.derivative()(at), rtol=1e-10, atol=1e-12)
    beyond, slope = port.evaluate([3.0, 4.0], 1)
    np.testing.assert_allclose(np.diff(beyond), slope[0])
    assert port.limits == (-1.0, 2.0)


def test_the_kernel_reads_the_table_as_numpy_does():
    rng = np.random.default_rng(0)
    grid = np.linspace(-2e-3, 2e-3, 57)
    sense = PortTables.from_samples(grid, np.cumsum(rng.uniform(0, 1e-2, (3, 57)), axis=1) - 0.2)
    droop = PortTables.from_samples(grid, np.cumsum(rng.uniform(0, 1e-4, (4, 57)), axis=1))
    g = rng.uniform(1e-6, 1e-4, (6, 3))
    v, index = rng.uniform(-0.3, 0.3, (9, 6)), rng.integers(0, 4, (9, 6))
    array = Crossbar(g, 2.0, 3.0, 1.5, 4.0, cell=Sinh(3.0))
    solution = array.solve(v, senses=sense.chosen([2, 0, 1]), drivers=droop.chosen(index), fields=True)
    feet = solution.bit_line_voltages[:, -1] - 3.0 * solution.currents
    terminal = sense.evaluate(solution.currents, [2, 0, 1])[0]
    np.testing.assert_allclose(feet, terminal + 4.0 * solution.currents, rtol=1e-9, atol=1e-14)
    heads = solution.word_line_voltages[:, :, 0] + (2.0 + 1.5) * solution.row_currents
    np.testing.assert_allclose(heads, v - droop.evaluate(solution.row_currents, index)[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
@pytest.mark.parametrize("knee", [3e-3, 1e-4])
@pytest.mark.parametrize("kind", ["linear", "sinh", "biased", "selected"])
def test_half_the_columns_saturated_converge_from_a_cold_start(size, polarity, knee, kind):
    rng = np.random.default_rng(size)
    coefficients = rng.normal(size=(4, 3, 2)) * 0.05
    coefficients[0, 0, 0] = 1.0
    cell = {
        "linear": Linear(),
        "sinh": Sinh(3.0),
        "biased": BiasedPolynomial(coefficients, 5e-5, (-1.0, 1.0), (-1.0, 1.0)),
        "selected": Selected(i0=1e-9, v0=0.015, kappa=2.0),
    }[kind]
    g = rng.uniform(1e-6, 1e-4, (size, size)) * (rng.random((size, size)) < 0.95)
    v = rng.uniform(0.0 if polarity == "unipolar" else -0.2, 0.2, (32, size))
    v[:4], v[4], v[5, size // 2 :] = 0.2, 0.0, 0.0
    array = Crossbar(g, 1.0, 1.0, cell=cell)
    typical = float(np.median(np.abs(array.solve(v[6:]).currents)))
    port = amplifier(r_feedback=1.5 / typical, knee=knee)
    solution = array.solve(v, senses=port, fields=True)
    saturated = np.abs(solution.currents) > typical
    assert 0.3 < saturated.mean() < 0.7
    assert solution.iterations.max() <= 30
    feet = solution.bit_line_voltages[:, -1] - solution.currents
    np.testing.assert_allclose(feet, port.evaluate(solution.currents)[0], rtol=1e-7, atol=1e-10)
    current = cell.current(g, solution.cell_voltages, solution.bit_line_voltages)
    scale = np.abs(current).max()
    np.testing.assert_allclose(current.sum(axis=1) / scale, solution.currents / scale, atol=1e-9)


def test_a_saturated_column_disturbs_the_others():
    """It draws less from the word lines, so the others get more."""
    g = np.full((16, 8), 5e-5)
    array = Crossbar(g, 2.0, 2.0)
    v = np.full(16, 0.2)
    good = amplifier(rail=10.0)
    bad = amplifier(rail=1.0)
    both = PortTables(
        name="amplifier",
        start=good.start,
        step=good.step,
        values=np.vstack([good.values, bad.values]),
        slopes=np.vstack([good.slopes, bad.slopes]),
    )
    calm = array.solve(v, senses=both.chosen(np.zeros(8, int))).currents[0]
    disturbed = array.solve(v, senses=both.chosen([0, 0, 0, 1, 0, 0, 0, 0])).currents[0]
    assert disturbed[3] < 0.6 * calm[3]
    assert (np.delete(disturbed, 3) > np.delete(calm, 3) * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    ("current", "voltage", "word"),
    [
        ([0.0, 1.0], [0.0, -1.0], "falls"),
        ([0.0, 1.0, 3.0], [0.0, 1.0, 3.0], "uniform"),
        ([1.0, 0.0], [0.0, 1.0], "uniform"),
        ([0.0], [0.0], "wanted"),
        ([0.0, 1.0], [0.0, 1.0, 2.0], "wanted"),
        ([0.0, 1.0], [0.0, np.nan], "finite"),
    ],
)
def test_malformed_samples_are_refused(current, voltage, word):
    with pytest.raises(SpecError, match=word):
        PortTables.from_samples(current, voltage)


def test_the_choice_of_a_table_is_checked():
    array = Crossbar(np.full((2, 3), 1e-5))
    two = PortTables.from_samples([-1e-3, 1e-3], [[-1e-3, 1e-3]] * 2, name="driver")
    with pytest.raises(SpecError, match="has 2 tables"):
        array.solve([0.1, 0.1], drivers=two)
    for wrong in ([[0, 2]], [[0, -1]], [[0.0, 1.0]], [[0, 1, 1]]):
        with pytest.raises(SpecError, match="table numbers"):
            array.solve([0.1, 0.1], drivers=two.chosen(wrong))
    array.solve([0.1, 0.1], drivers=two.chosen([0, 1]), senses=two.chosen([0, 1, 0]))
