"""The solvers behind a crossbar agree with each other, whichever is chosen."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Selected, Sinh
from spicesim.crossbar import Crossbar
from spicesim.crossbar.chords import Chords
from spicesim.crossbar.marching import LinearMarch
from spicesim.crossbar.nodal import NodalArray
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import ConvergenceError, SpecError, ValidityError
from spicesim.ports import PortTables

RNG = np.random.default_rng(11)
START = RNG.bit_generator.state
BIASED = BiasedPolynomial(
    [[[0.9, 0.1], [0.2, -0.1], [0.05, 0.02]], [[0.2, -0.05], [0.1, 0.03], [0.0, 0.1]]],
    g_reference=2e-5,
    v_limits=(-0.5, 0.5),
    u_limits=(-0.3, 0.3),
)
CELLS = {
    "linear": Linear(), "sinh": Sinh(3.0), "polynomial": Polynomial([1.0, 0.2, 1.5]), "biased": BIASED,
    "selected": Selected(i0=1e-9, v0=0.02, kappa=2.0),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_ran_before():
    RNG.bit_generator.state = START


def wires(shape, r=5.0):
    return Wiring(
        word=np.full(shape, r), bit=np.full(shape, r), driver=np.full(shape[0], 2.0), sense=np.full(shape[1], 3.0)
    )


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("low", [0.0, -0.3])
def test_many_vectors_agree_with_few(kind, low):
    """Many are solved by marching, few by conjugate gradients."""
    g = RNG.uniform(1e-6, 1e-4, (24, 17))
    array = Crossbar(g, 3.0, 2.0, 1.0, 4.0, cell=CELLS[kind])
    v = RNG.uniform(low, 0.3, (35, 24))
    v[0], v[1], v[2] = 0.3, 0.0, 1e-5
    many = array.solve(v, fields=True)
    few = [array.solve(v[k : k + 7], fields=True) for k in range(0, 35, 7)]
    for name in ("currents", "row_currents", "cell_voltages", "bit_line_voltages", "cell_currents"):
        expected = np.concatenate([getattr(part, name) for part in few])
        np.testing.assert_allclose(getattr(many, name) / expected.max(), expected / expected.max(), atol=1e-10)
    single = array.currents(v, precision="single")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single / many.currents.max(), many.currents / many.currents.max(), atol=1e-5)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("r_feedback", [1e3, 1e4, 2e4])
def test_saturating_ports_agree_with_conjugate_gradients(precision, r_feedback):
    grid = np.linspace(-2e-3, 2e-3, 4001)
    beyond = np.logaddexp(0.0, (grid - 1.5 / r_feedback) * r_feedback / 1e-3) * 1e-3
    senses = PortTables.from_samples(grid, 1e-3 + 8 * grid + beyond - beyond[::-1], name="amplifier")
    droop = grid * np.linspace(1.0, 2.0, 5)[:, None]
    drivers = PortTables.from_samples(grid, droop, name="buffer")
    array = Crossbar(RNG.uniform(1e-6, 1e-4, (24, 17)), 1.0, 1.0, cell=Sinh(2.0))
    v, index = RNG.uniform(0, 0.2, (35, 24)), RNG.integers(0, 5, (35, 24))
    many = array.solve(v, drivers=drivers.chosen(index), senses=senses, precision=precision)
    few = np.concatenate(
        [
            array.solve(v[k : k + 5], drivers=drivers.chosen(index[k : k + 5]), senses=senses).currents
            for k in range(0, 35, 5)
        ]
    )
    if r_feedback == 2e4:
        assert (few > 1.4 / r_feedback).any()
    tolerance = 1e-10 if precision == "double" else 1e-5
    np.testing.assert_allclose(many.currents / few.max(), few / few.max(), atol=tolerance)


def test_a_result_is_the_same_for_any_number_of_threads():
    array = Crossbar(RNG.uniform(1e-6, 1e-4, (20, 30)), 3.0, 2.0, cell=Sinh(3.0))
    v = RNG.uniform(-0.2, 0.2, (130, 20))
    for precision in ("double", "single"):
        one = array.solve(v, precision=precision)
        np.testing.assert_array_equal(array.solve(v, precision=precision, threads=3).currents, one.currents)


def test_threads_of_python_may_share_an_array_and_run_at_the_same_time():
    array = Crossbar(RNG.uniform(1e-6, 1e-4, (48, 40)), 3.0, 2.0, cell=Sinh(3.0))
    batches = [RNG.uniform(-top, top, (300, 48)) for top in np.linspace(0.02, 0.3, 12)]
    expected = [Crossbar(array.g, 3.0, 2.0, cell=Sinh(3.0)).solve(v).currents for v in batches]
    with ThreadPoolExecutor(4) as pool:
        for mine, theirs in zip(pool.map(lambda v: array.solve(v).currents, batches), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("cell", [Linear(), Sinh(3.0), Sinh(9.0)], ids=["field", "march", "conjugate gradients"])
def test_kernels_release_the_interpreter(cell):
    """Another thread counts on while one call of a kernel is under way, in one that takes long enough to tell."""
    array = Crossbar(RNG.uniform(1e-6, 1e-4, (64, 64)), 3.0, 2.0, cell=cell)
    ticks, count = 0, 500
    while ticks <= 10 and count <= 8000:
        count *= 2
        v = RNG.uniform(0.0, 0.5, (count, 64))
        field = np.zeros((64, 64, count), np.float32)
        call = partial(array.fill_voltages, v, field) if isinstance(cell, Linear) else partial(array.solve, v)
        ticks = 0
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(call)
            while not done.done():
                time.sleep(1e-3)
                ticks += 1
    assert ticks > 10


def test_memory_does_not_grow_with_the_batch_beyond_inputs_and_outputs():
    """By marching in both precisions and by conjugate gradients."""
    script = """
import resource
import numpy as np
from spicesim.cells import Sinh
from spicesim.crossbar import Crossbar

v = np.random.default_rng(1).uniform(0, 0.3, (20_000, 32))
for kappa, precision in ((2.0, "double"), (2.0, "single"), (12.0, "double")):
    array = Crossbar(np.random.default_rng(0).uniform(1e-6, 1e-4, (32, 32)), 1.0, 1.0, cell=Sinh(kappa))
    array.solve(v[:100], precision=precision)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    array.solve(v, precision=precision)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=1800, check=True)
    grown = [int(number) for number in done.stdout.split()]
    assert len(grown) == 3
    assert max(grown) < 0.5 * 20_000 * 32 * 32 * 8  # half of what one voltage a cell and vector would take


def test_cells_that_bend_too_much_for_chords_are_solved_all_the_same():
    g = RNG.uniform(1e-6, 1e-4, (10, 8))
    v = RNG.uniform(0.5, 1.0, (20, 10))
    array = Crossbar(g, 10.0, 10.0, cell=Sinh(6.0))
    assert Chords.fit(Sinh(6.0).kernel(g), (-1.0, 1.0), (0.0, 0.1), 1e-12) is None
    one = np.concatenate([array.solve(x).currents for x in v])
    np.testing.assert_array_equal(array.solve(v).currents, one)


def test_economised_terms_keep_their_accuracy():
    g = RNG.uniform(1e-6, 1e-4, (4, 3))
    for accuracy in (1e-3, 1e-6):
        chords = Chords.fit(BIASED.kernel(g), (-0.1, 0.2), (0.0, 0.02), accuracy)
        v, u = RNG.uniform(-0.1, 0.2, (100, 1, 1)), RNG.uniform(0.0, 0.02, (100, 1, 1))
        k = chords.coefficients
        current = np.einsum("ijab,zija,zijb->zij", k, v[..., None] ** np.arange(1, k.shape[2] + 1) + 0 * g[..., None],
                            u[..., None] ** np.arange(k.shape[3]) + 0 * g[..., None])  # fmt: skip
        error = np.abs(current - BIASED.current(g, v, u)).max()
        assert error <= accuracy * chords.largest * 0.2
        slope = BIASED.slope(g, v, u)
        assert (np.abs(slope - chords.slope) <= chords.defect * (1 + 1e-9) + accuracy * chords.largest).all()
    assert k.shape[2:] < (3, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (9, 1), (31, 18)])
def test_linear_maps_agree_by_marching_elimination_and_nodal_analysis(shape):
    g = RNG.uniform(1e-6, 1e-4, shape)
    march = LinearMarch.prepare(wires(shape), g)
    transfer, inputs = NodalArray(wires(shape), g, Linear()).linear_maps()
    np.testing.assert_allclose(march.matrix, transfer, rtol=1e-10)
    np.testing.assert_allclose(march.input_matrix, inputs, rtol=1e-9, atol=1e-12 * inputs.max())
    array = Crossbar(g, 5.0, 5.0, 2.0, 3.0)
    np.testing.assert_allclose(array.transfer_matrix(), transfer.T, rtol=1e-10)
    output = array.output_admittance()
    np.testing.assert_allclose(output, output.T, rtol=1e-9, atol=1e-12 * output.max())
    turned = Wiring(
        word=np.full(shape[::-1], 5.0), bit=np.full(shape[::-1], 5.0), driver=np.full(shape[1], 3.0),
        sense=np.full(shape[0], 2.0),
    )  # fmt: skip
    expected = NodalArray(turned, g[::-1, ::-1].T, Linear()).linear_maps()[1][::-1, ::-1]
    np.testing.assert_allclose(output, expected, rtol=1e-9, atol=1e-12 * output.max())


def test_where_marching_loses_its_digits_elimination_steps_in():
    g = np.full((60, 40), 1e-4)
    assert LinearMarch.prepare(wires((60, 40), 3000.0), g) is None
    array = Crossbar(g, 3000.0, 3000.0, 2.0, 3.0)
    transfer, inputs = NodalArray(wires((60, 40), 3000.0), g, Linear()).linear_maps()
    np.testing.assert_allclose(array.transfer_matrix(), transfer.T, rtol=1e-8, atol=1e-13 * transfer.max())
    np.testing.assert_allclose(array.input_admittance(), inputs, rtol=1e-9)
    v = RNG.uniform(0, 0.2, (20, 60))
    np.testing.assert_allclose(array.solve(v).currents / transfer.max(), v @ transfer / transfer.max(), atol=1e-9)


def test_a_cell_of_ones_own_needs_two_methods():
    class Square:
        def current(self, g, v, u=0.0):
            return g * (v + np.sign(v) * v**2)

        def slope(self, g, v, u=0.0):
            return g * (1 + 2 * np.abs(v))

    g = RNG.uniform(1e-6, 1e-4, (5, 6))
    v = RNG.uniform(0, 0.3, (3, 5))
    mine = Crossbar(g, 5.0, 5.0, cell=Square())
    np.testing.assert_allclose(mine.currents(v), Crossbar(g, 5.0, 5.0, cell=Polynomial([1.0, 1.0])).currents(v))
    with pytest.raises(SpecError, match="element"):
        mine.netlist(v[0])
    with pytest.raises(SpecError, match="port tables"):
        mine.solve(v, senses=PortTables.from_samples([0, 1], [0, 1]))
    with pytest.raises(SpecError, match="current and slope"):
        Crossbar(g, cell=object())


@pytest.mark.parametrize("kernel", [False, True])
def test_cells_with_numbers_of_their_own_keep_them_when_driven_from_the_right(kernel):
    k = RNG.uniform(0.5, 2.0, (4, 6, 3))
    polynomial = Polynomial(k)

    class Own:
        def current(self, g, v, u=0.0):
            return polynomial.current(np.broadcast_to(g, k.shape[:2]), v, u)

        def slope(self, g, v, u=0.0):
            return polynomial.slope(np.broadcast_to(g, k.shape[:2]), v, u)

    g, v = RNG.uniform(1e-6, 1e-4, (4, 6)), RNG.uniform(0, 0.3, (3, 4))
    right = Crossbar(g, 9.0, 4.0, cell=polynomial if kernel else Own(), drive="right").solve(v, fields=True)
    mirrored = Crossbar(g[:, ::-1], 9.0, 4.0, cell=Polynomial(k[:, ::-1])).solve(v, fields=True)
    np.testing.assert_allclose(right.currents, mirrored.currents[:, ::-1], rtol=1e-9)
    np.testing.assert_allclose(right.cell_currents, mirrored.cell_currents[..., ::-1], rtol=1e-8)


@pytest.mark.parametrize("options", [{"drive": "both"}, {"sense": "both"}, {"drive": "right", "sense": "both"}])
def test_few_vectors_many_vectors_and_nodal_analysis_agree_for_lines_with_two_ends(options):
    array = Crossbar(RNG.uniform(1e-6, 1e-4, (9, 7)), 20.0, 15.0, 2.0, 3.0, cell=BIASED, **options)
    v = RNG.uniform(-0.2, 0.2, (20, 9))
    many = array.solve(v)
    few, nodal = array.solve(v[:3]), array.solve(v[:3], mask=np.ones(9))
    for found in (few, nodal):
        np.testing.assert_allclose(found.currents, many.currents[:3], rtol=0, atol=1e-10 * np.abs(many.currents).max())


def test_nodal_analysis_falls_back_on_newton_where_cells_bend():
    r = np.full((10, 8), 10.0)
    r[4, 3] = np.inf
    g = RNG.uniform(1e-6, 1e-4, (10, 8))
    mild, steep = (Crossbar(g, r, 10.0, cell=Sinh(k)).solve(np.full(10, 0.6), fields=True) for k in (1.0, 12.0))
    for kappa, found in ((1.0, mild), (12.0, steep)):
        current = Sinh(kappa).current(g, found.cell_voltages)
        np.testing.assert_allclose(current.sum(axis=(1, 2)), found.currents.sum(axis=1), rtol=1e-9)
        assert found.iterations[0] < 40


def test_a_cell_without_a_solution_is_refused():
    class Falling:
        def current(self, g, v, u=0.0):
            return g * np.where(v > 0.05, np.nan, v)

        def slope(self, g, v, u=0.0):
            return g * np.ones_like(v)

    for drive, order, worst in (("left", 1, 0), ("right", -1, 2)):
        r = np.array([[1.0, 1.0, 1.0], [1.0, 1e9, 1.0]])[:, ::order]
        array = Crossbar(np.full((2, 3), 1e-5), r, 1.0, cell=Falling(), drive=drive)
        with pytest.raises(ConvergenceError, match=f"batch item 1 .* worst at the cell of row 1, column {worst}"):
            array.solve([[0.01, 0.01], [0.01, 0.2]])


def test_limits_of_cells_hold_for_every_wiring():
    for options in ({}, {"drive": "right"}, {"drive": "both"}, {"sense": "both"}):
        array = Crossbar(np.full((2, 3), 1e-5), 1.0, 1.0, cell=BIASED, **options)
        with pytest.raises(ValidityError, match="voltage across the cell of row 1"):
            array.solve(np.tile([0.1, 0.6], (20, 1)))


def test_a_thousand_rows_and_columns_are_solved():
    g = np.random.default_rng(0).uniform(1e-7, 2e-6, (1024, 1024))
    solution = Crossbar(g, 0.1, 0.1, cell=Sinh(2.0)).solve(np.full(1024, 0.1), tolerance=1e-8)
    ideal = Sinh(2.0).current(g, 0.1).sum(axis=0)
    assert (solution.currents[0] < ideal).all()
    assert (solution.currents[0] > 0.8 * ideal).all()


@pytest.mark.parametrize("drive", ["left", "right", "both"])
@pytest.mark.parametrize("sense", ["bottom", "both"])
@pytest.mark.parametrize("case", ["marched", "growing", "broken"])
def test_voltages_with_the_batch_last_are_those_of_the_solver(drive, sense, case):
    rng = np.random.default_rng(1)
    rows, columns = 11, 13
    word, bit = (rows, columns + (drive == "both")), (rows + (sense == "both"), columns)
    top = 1e5 if case == "growing" else 5.0
    r_word, r_bit = rng.uniform(1.0, top, word), rng.uniform(1.0, top, bit)
    if case == "broken":
        r_word[3, 4] = r_bit[5, 6] = np.inf
    g, driver, foot = rng.uniform(1e-6, 1e-4, (rows, columns)), rng.uniform(1, 9, rows), rng.uniform(1, 9, columns)
    array = Crossbar(g, r_word, r_bit, driver, foot, drive=drive, sense=sense)
    v = rng.uniform(-0.2, 0.2, (19, rows))
    whole = np.zeros((columns, rows, 19), np.float32)  # filled through a view, turned about
    across, bits = np.zeros((2, rows, columns, 19), np.float32)
    rows_of_view = array.fill_voltages(v, whole[::-1].transpose(1, 0, 2))
    row_currents = array.fill_voltages(v, across, bits, threads=2)
    solution = array.solve(v, fields=True)
    np.testing.assert_allclose(across.transpose(2, 0, 1), solution.cell_voltages, rtol=0, atol=1e-7)  # single precision
    np.testing.assert_allclose(bits.transpose(2, 0, 1), solution.bit_line_voltages, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(whole[::-1].transpose(1, 0, 2), across)
    np.testing.assert_allclose(row_currents, solution.row_currents, rtol=1e-6, atol=1e-9 * solution.row_currents.max())
    np.testing.assert_array_equal(row_currents, rows_of_view)


@pytest.mark.parametrize("shape", [(3, 2, 4), (2, 3, 5), (2, 3, 8)])
def test_voltages_go_into_arrays_of_their_shape_only(shape):
    array, field = Crossbar(np.full((2, 3), 1e-5), 1.0, 1.0), np.zeros(shape, np.float32)
    with pytest.raises(SpecError, match="dense last axis"):
        array.fill_voltages(np.zeros((4, 2)), field[..., ::2] if shape[-1] == 8 else field)
    with pytest.raises(SpecError, match="strides"):
        array.fill_voltages(np.zeros((4, 2)), np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 8), np.float32)[..., :4])
