"""Every product with constant weights, cut out of its graph, makes the numbers that onnxruntime makes."""

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from spicesim.network.graph import find_analog_nodes
from spicesim.network.loading import load_model
from spicesim.network.model import find_constants

SIZES = st.integers(1, 4)
OPSETS = st.integers(13, 20)
SOURCES = st.sampled_from(["initializer", "Constant", "Identity", "Transpose", "Cast"])
KINDS = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.float64): onnx.TensorProto.DOUBLE}


def numbers(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def weights_nodes(weights, source):
    """Return initialisers and nodes that make the weights "w" in one of the ways of exporters."""
    if source == "Constant":
        return [], [helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(weights))]
    if source == "Identity":
        return [onnx.numpy_helper.from_array(weights, "v")], [helper.make_node("Identity", ["v"], ["w"])]
    if source == "Transpose":
        node = helper.make_node("Transpose", ["v"], ["w"], perm=list(range(weights.ndim))[::-1])
        return [onnx.numpy_helper.from_array(np.ascontiguousarray(weights.T), "v")], [node]
    if source == "Cast":
        node = helper.make_node("Cast", ["v"], ["w"], to=onnx.TensorProto.FLOAT)
        return [onnx.numpy_helper.from_array(weights.astype(np.float64), "v")], [node]
    return [onnx.numpy_helper.from_array(weights, "w")], []


def check(node, x, weights, *, source="initializer", opset=17, bias=None):
    """Hold the node's vectors, weights and output shape against onnxruntime; return what was found."""
    initialisers, nodes = weights_nodes(weights, source)
    if bias is not None:
        initialisers.append(onnx.numpy_helper.from_array(bias, "b"))
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([*nodes, node], "product", infos[:1], infos[1:], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    loaded = load_model(model)
    (found,), notes = find_analog_nodes(loaded, find_constants(loaded))
    assert notes == []
    blocks = list(found.vectors(x, 3))
    assert sum(map(len, blocks)) == found.count(x)
    y = found.multiply(np.concatenate(blocks)) + (0 if found.bias is None else found.bias)
    np.testing.assert_allclose(found.restore(y, x), wanted, rtol=1e-4, atol=1e-5, strict=False)  # it sums in float32
    assert found.restore(y, x).shape == wanted.shape
    return found


@given(
    stack=st.lists(SIZES, max_size=2), rows=SIZES, columns=SIZES, vectors=SIZES, before=st.lists(SIZES, max_size=2),
    missing=st.integers(0, 2), left=st.booleans(), source=SOURCES, opset=OPSETS, seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=120)
def test_a_matmul_with_a_matrix_or_a_stack_on_either_side(
    stack, rows, columns, vectors, before, missing, left, source, opset, seed
):
    shared = [1 if seed % 2 and k == 0 else size for k, size in enumerate(stack)]  # stacks broadcast
    leading = shared[missing:] if not before else [*before, *shared]
    matrix, value = ((columns, rows), (rows, vectors)) if left else ((rows, columns), (vectors, rows))
    operands = ["w", "x"] if left else ["x", "w"]
    node = helper.make_node("MatMul", operands, ["y"])
    found = check(
        node, numbers((*leading, *value), seed), numbers((*stack, *matrix), seed + 1), source=source, opset=opset
    )
    assert found.weights.size == np.prod(stack, dtype=int) * rows * columns


@given(
    rows=SIZES, columns=SIZES, vectors=SIZES, flip=st.tuples(st.booleans(), st.booleans()),
    factors=st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)), bias=st.sampled_from([None, "number", "row", "vector"]),
    source=SOURCES, opset=OPSETS,
)  # fmt: skip
@settings(max_examples=80)
def test_a_gemm_with_any_attributes(rows, columns, vectors, flip, factors, bias, source, opset):
    shapes = {"number": (), "row": (1, columns), "vector": (columns,)}
    node = helper.make_node(
        "Gemm", ["x", "w"] if bias is None else ["x", "w", "b"], ["y"],
        transA=int(flip[0]), transB=int(flip[1]), alpha=factors[0], beta=factors[1],
    )  # fmt: skip
    x, w = numbers((vectors, rows), 0), numbers((rows, columns), 1)
    check(
        node, x.T.copy() if flip[0] else x, w.T.copy() if flip[1] else w, source=source, opset=opset,
        bias=None if bias is None else numbers(shapes[bias], 2),
    )  # fmt: skip


@given(
    dimensions=st.integers(1, 2), groups=st.integers(1, 3), inputs=SIZES, outputs=st.integers(1, 2),
    kernel=st.tuples(SIZES, SIZES), strides=st.tuples(SIZES, SIZES), dilations=st.tuples(SIZES, SIZES),
    pads=st.tuples(*[st.integers(0, 2)] * 4), biased=st.booleans(), source=SOURCES, opset=OPSETS,
)  # fmt: skip
@settings(max_examples=120)
def test_a_convolution_with_any_attributes(
    dimensions, groups, inputs, outputs, kernel, strides, dilations, pads, biased, source, opset
):
    size = [d * (k - 1) + 1 + extra for d, k, extra in zip(dilations, kernel, (2, 3), strict=True)][:dimensions]
    node = helper.make_node(
        "Conv", ["x", "w", "b"] if biased else ["x", "w"], ["y"], group=groups, strides=strides[:dimensions],
        dilations=dilations[:dimensions], pads=pads[: 2 * dimensions],
    )  # fmt: skip
    weights = numbers((groups * outputs, inputs, *kernel[:dimensions]), 1)
    found = check(
        node, numbers((2, groups * inputs, *size), 0), weights, source=source, opset=opset,
        bias=numbers(groups * outputs, 2) if biased else None,
    )  # fmt: skip
    assert found.groups == groups


@given(
    equation=st.sampled_from([
        ("bi,io->bo", 1), ("bi,oi->bo", 1), ("io,bi->bo", 0), ("bhti,hio->bhto", 1), ("...hi,hio->...oh", 1),
        ("bti,hio->bhto", 1), ("bthi,hio->bto", 1), ("bij,ijo->ob", 1), ("b...i,oi->b...o", 1), ("ghi,bih->ghb", 0),
    ]),
    sizes=st.fixed_dictionaries(dict.fromkeys("bihotjg", SIZES)), others=st.lists(SIZES, max_size=2), opset=OPSETS,
)  # fmt: skip
@settings(max_examples=80)
def test_an_einsum_of_a_value_and_weights(equation, sizes, others, opset):
    text, position = equation
    terms = text.split("->")[0].split(",")
    weights = numbers([sizes[axis] for axis in terms[position]], 1)
    head, dots, tail = terms[1 - position].partition("...")
    shape = [*(sizes[axis] for axis in head), *(others if dots else []), *(sizes[axis] for axis in tail)]
    operands = ["w", "x"] if position == 0 else ["x", "w"]
    check(helper.make_node("Einsum", operands, ["y"], equation=text), numbers(shape, 0), weights, opset=opset)
