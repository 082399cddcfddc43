import numpy as np
import pytest

from spicesim.chip import Array
from spicesim.errors import MappingError
from spicesim.mapping import MappingOptions, decode_outputs, map_weights, split_evenly

RANGE = (1e-6, 51e-6)


def test_positive_and_negative_weights_take_alternate_columns():
    (tile,) = map_weights([[0.5, -1.0], [2.0, 0.0]], Array(rows=4, columns=4), RANGE, name="fc")
    np.testing.assert_allclose(tile.g, [[26e-6, 1e-6, 51e-6, 1e-6], [1e-6, 51e-6, 1e-6, 1e-6]], rtol=1e-12)
    np.testing.assert_allclose(tile.weight_per_siemens, [1 / 50e-6, 2 / 50e-6], rtol=1e-12)


def test_inputs_that_do_not_fit_are_split_evenly():
    tiles = map_weights(np.ones((3, 65)), Array(rows=64, columns=64), RANGE, name="fc")
    assert [(t.rows.start, t.rows.stop) for t in tiles] == [(0, 32), (32, 65)]
    assert [t.g.shape for t in tiles] == [(32, 6), (33, 6)]


def test_outputs_that_do_not_fit_are_split_evenly():
    tiles = map_weights(np.ones((5, 2)), Array(rows=2, columns=5), RANGE, name="fc")
    assert [t.outputs for t in tiles] == [slice(0, 1), slice(1, 3), slice(3, 5)]


def test_an_output_without_weights_reads_zero():
    (tile,) = map_weights([[0.0, 0.0]], Array(rows=2, columns=2), RANGE, name="fc")
    volts = [1.0, 2.0] @ tile.g
    np.testing.assert_array_equal(decode_outputs(volts[None], tile, r_feedback=1.0, volts_per_input=1.0), [[0]])


def test_groups_that_fit_share_a_tile_on_its_diagonal():
    w = np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]])  # three groups of two inputs and one output
    tiles = map_weights(w, Array(rows=4, columns=8), RANGE, name="conv", groups=3)
    assert [(t.rows, t.outputs) for t in tiles] == [(slice(0, 2), slice(0, 1)), (slice(2, 6), slice(1, 3))]
    np.testing.assert_allclose(tiles[1].weights, [[3, 0], [4, 0], [0, 5], [0, 6]], atol=1e-12)
    assert (tiles[1].g[:2, 2:] == 1e-6).all()


def test_a_group_that_does_not_fit_is_split_by_itself():
    w = np.arange(1.0, 13.0).reshape(4, 3)  # two groups of three inputs and two outputs
    tiles = map_weights(w, Array(rows=2, columns=4), RANGE, name="conv", groups=2)
    assert [(t.rows.start, t.rows.stop) for t in tiles] == [(0, 1), (1, 3), (3, 4), (4, 6)]
    assert [t.outputs.start for t in tiles] == [0, 0, 2, 2]
    np.testing.assert_allclose(tiles[3].weights, w[2:, 1:].T, rtol=1e-12)


def test_tiles_take_as_few_word_lines_as_asked():
    """Dense weights are split over more tiles, and fewer groups share one; together they are what they were."""
    rng = np.random.default_rng(5)
    dense, grouped = rng.standard_normal((3, 20)), rng.standard_normal((8, 4))
    few = MappingOptions(tile_rows=9)
    tiles = map_weights(dense, Array(rows=64, columns=64), RANGE, name="dense", options=few)
    assert [tile.g.shape[0] for tile in tiles] == [6, 7, 7]
    np.testing.assert_allclose(np.concatenate([tile.weights for tile in tiles]), dense.T, rtol=1e-12, atol=1e-12)
    tiles = map_weights(grouped, Array(rows=64, columns=64), RANGE, name="grouped", groups=4, options=few)
    assert [tile.g.shape for tile in tiles] == [(8, 8), (8, 8)]  # two groups each of four inputs and two outputs
    with pytest.raises(MappingError, match="tile_rows = 0"):
        MappingOptions(tile_rows=0)


def test_outputs_that_do_not_fall_into_groups_are_refused():
    with pytest.raises(MappingError, match="layer conv: 3 outputs do not fall into 2 equal groups"):
        map_weights(np.ones((3, 2)), Array(rows=4, columns=4), RANGE, name="conv", groups=2)


def test_each_vector_may_have_an_input_scale_of_its_own():
    (tile,) = map_weights([[1.0]], Array(rows=1, columns=2), RANGE, name="fc")
    volts = np.array([[0.1], [0.2]]) @ tile.g
    y = decode_outputs(volts, tile, r_feedback=1.0, volts_per_input=[[0.1], [0.05]])
    np.testing.assert_allclose(y, [[1], [4]], rtol=1e-12)


def test_slices_cover_the_range_in_order():
    slices = split_evenly(10, 4)
    assert [k for s in slices for k in range(10)[s]] == list(range(10))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_layer(bad):
    with pytest.raises(MappingError, match=r"layer fc7: 1 of 2 weights are NaN or infinite"):
        map_weights([[bad, 0.0]], Array(rows=2, columns=2), RANGE, name="fc7")


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 4)])
def test_weights_that_are_no_matrix_are_refused(shape):
    with pytest.raises(MappingError, match="must be a matrix"):
        map_weights(np.ones(shape), Array(rows=2, columns=2), RANGE, name="fc")


def test_an_array_of_one_column_holds_no_pair():
    with pytest.raises(MappingError, match=r"array.columns >= 2, got 1"):
        map_weights([[1.0]], Array(rows=2, columns=1), RANGE, name="fc")


@pytest.mark.parametrize("bad", [(2e-6, 1e-6), (-1e-6, 1e-6), (1e-6, 1e-6), (np.nan, 1e-6)])
def test_an_empty_conductance_range_is_refused(bad):
    with pytest.raises(MappingError, match="conductance range"):
        map_weights([[1.0]], Array(rows=2, columns=2), bad, name="fc")
