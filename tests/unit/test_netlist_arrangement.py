"""Signed weights on columns: what is written is what is read, up to the levels of a cell."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spicesim.chip import preset
from spicesim.errors import SpecError
from spicesim.netlist import ARRANGEMENTS, arrange_weights, build_crossbar, format_trace

RANGE = (1e-6, 50e-6)
weights = arrays.arrays(
    float,
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    elements=st.floats(-2, 2).map(lambda x: round(x, 6)),
)


@settings(max_examples=50)
@given(weights, st.sampled_from(ARRANGEMENTS))
def test_unquantised_weights_come_back(w, kind):
    found = arrange_weights(w, kind, RANGE)
    np.testing.assert_allclose(found.weights, w, rtol=0, atol=1e-13 * 2)
    assert RANGE[0] * (1 - 1e-12) <= found.g.min() <= found.g.max() <= RANGE[1] * (1 + 1e-12)


@settings(max_examples=50)
@given(weights, st.sampled_from(ARRANGEMENTS), st.integers(1, 3), st.integers(1, 4))
def test_sliced_weights_come_back_to_half_a_level(w, kind, slices, bits):
    found = arrange_weights(w, kind, RANGE, slices=slices, bits=bits)
    levels = 2 ** (bits * slices) - 1
    step = np.abs(w).max(axis=1, keepdims=True) / levels * (1 if kind == "differential" else 2)
    assert (np.abs(found.weights - w) <= step / 2 + 1e-9).all()
    digits = (found.g - RANGE[0]) / (RANGE[1] - RANGE[0]) * (2**bits - 1)
    cells = digits[:, : len(digits[0]) - (kind == "reference")]
    np.testing.assert_allclose(cells, np.rint(cells), atol=1e-9)


def test_columns_say_what_they_are_for():
    w = [[1.0, -0.5], [0.25, 0.0]]
    pairs = arrange_weights(w, "differential", RANGE, slices=2, bits=2)
    assert [(c.output, c.slice, c.sign) for c in pairs.columns] == [
        (k, s, sign) for k in range(2) for s in range(2) for sign in (1, -1)
    ]
    shared = arrange_weights(w, "reference", RANGE)
    assert [(c.output, c.sign) for c in shared.columns] == [(0, 1), (1, 1), (None, -1)]
    np.testing.assert_allclose(shared.g[:, -1], 25.5e-6)


def test_the_netlist_and_its_table_say_it_too():
    shared = arrange_weights([[1.0, -0.5], [0.25, 0.0]], "reference", RANGE)
    netlist = build_crossbar(preset("generic-1t1r"), shared, [0.1, 0.2])
    assert "vsense_1 foot_1 vref 0 $ output 1, +, slice 0" in netlist.body
    assert "vsense_2 foot_2 vref 0 $ reference of all outputs, -, slice 0" in netlist.body
    lines = list(csv.DictReader(io.StringIO(format_trace(netlist, layer="fc", mapped=shared))))
    assert [line["output"] for line in lines[:3]] == ["0", "1", "all"]
    assert {line["input"] for line in lines} == {"0", "1"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: arrange_weights([1.0], "differential", RANGE), "matrix"),
        (lambda: arrange_weights([[np.nan]], "differential", RANGE), "finite"),
        (lambda: arrange_weights([[1.0]], "ternary", RANGE), "no arrangement 'ternary'"),
        (lambda: arrange_weights([[1.0]], "reference", (2e-5, 1e-5)), "low < high"),
        (lambda: arrange_weights([[1.0]], "reference", RANGE, slices=2), "slices need bits"),
        (lambda: arrange_weights([[1.0]], "reference", RANGE, slices=5, bits=8), "32 in all"),
    ],
)
def test_impossible_arrangements_are_refused(call, said):
    with pytest.raises(SpecError, match=said):
        call()
