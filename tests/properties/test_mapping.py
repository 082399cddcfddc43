from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spicesim.chip import Array
from spicesim.mapping import MappingOptions, Signs, WeightScale, decode_outputs, map_weights, split_evenly

WEIGHTS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1e3, 1e3))
)
ARRAYS = st.builds(Array, rows=st.integers(1, 8), columns=st.integers(2, 9))
RANGES = st.tuples(st.floats(0, 1e-5), st.floats(1e-6, 1e-4)).map(lambda pair: (pair[0], sum(pair)))


@given(w=WEIGHTS, array=ARRAYS, g=RANGES, seed=st.integers(0, 99))
def test_tiles_together_compute_the_matrix_product(w, array, g, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (3, w.shape[1]))
    y = np.zeros((3, w.shape[0]))
    for tile in map_weights(w, array, g, name="layer"):
        volts = 2e4 * (0.2 * x[:, tile.rows] @ tile.g)
        y[:, tile.outputs] += decode_outputs(volts, tile, r_feedback=2e4, volts_per_input=0.2)
    # a difference of two currents: rounding is relative to them, hence to the largest weight and g_low
    floor = 1e-12 * np.abs(w).max() * w.shape[1] * (1 + g[0] / (g[1] - g[0]))
    np.testing.assert_allclose(y, x @ w.T, rtol=1e-9, atol=floor)


@given(w=WEIGHTS, array=ARRAYS, g=RANGES)
def test_conductances_stay_in_range_and_one_of_a_pair_is_lowest(w, array, g):
    for tile in map_weights(w, array, g, name="layer"):
        assert tile.g.shape[0] <= array.rows
        assert tile.g.shape[1] <= array.columns
        assert tile.g.min() >= g[0]
        assert tile.g.max() <= g[1]
        np.testing.assert_array_equal(np.minimum(tile.g[:, 0::2], tile.g[:, 1::2]), g[0])


@given(w=WEIGHTS, array=ARRAYS)
def test_negated_weights_swap_the_columns_of_each_pair(w, array):
    tiles = map_weights(w, array, (1e-6, 5e-5), name="layer")
    negated = map_weights(-w, array, (1e-6, 5e-5), name="layer")
    for tile, other in zip(tiles, negated, strict=True):
        np.testing.assert_array_equal(tile.g[:, 0::2], other.g[:, 1::2])
        np.testing.assert_array_equal(tile.g[:, 1::2], other.g[:, 0::2])


@given(
    groups=st.integers(1, 6), inputs=st.integers(1, 5), outputs=st.integers(1, 4), array=ARRAYS, seed=st.integers(0, 99)
)
def test_grouped_tiles_together_compute_each_group_by_itself(groups, inputs, outputs, array, seed):
    generator = np.random.default_rng(seed)
    w, x = generator.normal(size=(groups, outputs, inputs)), generator.normal(size=(3, groups, inputs))
    y = np.zeros((3, groups * outputs))
    for tile in map_weights(w.reshape(-1, inputs), array, (1e-6, 5e-5), name="layer", groups=groups):
        assert tile.g.shape[0] <= array.rows
        assert tile.g.shape[1] <= array.columns
        y[:, tile.outputs] += x.reshape(3, -1)[:, tile.rows] @ tile.weights
    np.testing.assert_allclose(y, np.einsum("bgi,goi->bgo", x, w).reshape(3, -1), rtol=1e-9, atol=1e-12)


@given(count=st.integers(1, 5000), limit=st.integers(1, 200))
def test_a_split_is_even_and_as_coarse_as_can_be(count, limit):
    lengths = [s.stop - s.start for s in split_evenly(count, limit)]
    assert sum(lengths) == count
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-count // limit)


OPTIONS = st.builds(
    MappingOptions,
    signs=st.sampled_from(get_args(Signs)),
    scale=st.sampled_from(get_args(WeightScale)),
    slices=st.just(1),
) | st.builds(
    MappingOptions,
    signs=st.sampled_from(get_args(Signs)),
    scale=st.sampled_from(get_args(WeightScale)),
    slices=st.integers(1, 3),
    cell_bits=st.integers(4, 8),
)


@given(
    w=WEIGHTS, rows=st.integers(1, 8), columns=st.integers(6, 15), g=RANGES, options=OPTIONS, seed=st.integers(0, 99)
)
def test_however_mapped_tiles_compute_the_matrix_product_as_far_as_their_cells_resolve(
    w, rows, columns, g, options, seed
):
    x = np.random.default_rng(seed).uniform(-1, 1, (3, w.shape[1]))
    y = np.zeros((3, w.shape[0]))
    for tile in map_weights(w, Array(rows=rows, columns=columns), g, name="layer", options=options):
        assert tile.g.shape[1] <= columns
        assert tile.g.min() >= g[0]
        assert tile.g.max() <= g[1]
        volts_in = 0.2 * x[:, tile.rows]
        y[:, tile.outputs] += decode_outputs(
            2e4 * volts_in @ tile.g, tile, r_feedback=2e4, volts_per_input=0.2, volts_in=volts_in
        )
        owners = [tile.whose(j) for j in range(tile.g.shape[1])]
        assert sum(owner is None for owner, _, _ in owners) == (options.signs == "reference")
        assert {owner for owner, _, _ in owners} - {None} == set(range(tile.outputs.start, tile.outputs.stop))
        assert max(place for _, _, place in owners) == options.slices - 1
    largest, low = max(np.abs(w).max(), 1) * w.shape[1], 1 + g[0] / (g[1] - g[0])
    step = 0.0 if options.cell_bits is None else 2 / (2 ** (options.cell_bits * options.slices) - 1)
    np.testing.assert_allclose(y, x @ w.T, rtol=1e-9, atol=largest * (step / 2 + 1e-11 * low))
