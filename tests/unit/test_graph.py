import numpy as np
import onnx
import pytest

from spicesim.errors import NetworkError
from spicesim.network.graph import find_analog_nodes
from spicesim.network.loading import load_model
from spicesim.network.model import find_constants
from spicesim.network.segments import Segment, cut_network

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def make(text, **constants):
    """Make a model from ONNX's text form and arrays."""
    model = onnx.parser.parse_model(HEADER + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return model


def parse(model, digital=()):
    loaded = load_model(model)
    return find_analog_nodes(loaded, find_constants(loaded), digital)


def outline(model):
    """Return the steps: operators of each digital segment in a list, names of analog outputs as they are."""
    loaded = load_model(model)
    constants = find_constants(loaded)
    nodes, _ = find_analog_nodes(loaded, constants)
    return [
        step.outputs if isinstance(step, Segment) else step.output
        for step in cut_network(loaded, constants, nodes).steps
    ]


W = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("trans_b", [0, 1])
def test_a_gemm_keeps_its_factors_in_weights_and_bias(trans_b):
    text = f"g (float[n,4] x) => (float[n,3] y) {{ y = Gemm<alpha=2.0, beta=0.5, transB={trans_b}>(x, w, b) }}"
    (node,), _ = parse(make(text, w=W.T if trans_b else W, b=np.float32([2, 4, 6])))
    np.testing.assert_array_equal(node.weights, 2 * W.T)
    np.testing.assert_array_equal(node.bias, [1, 2, 3])


def test_a_bias_of_one_number_serves_all_outputs():
    (node,), _ = parse(make("g (float[n,4] x) => (float[n,3] y) { y = Gemm(x, w, b) }", w=W, b=np.float32(7)))
    np.testing.assert_array_equal(node.bias, [7, 7, 7])


def test_weights_may_come_through_constant_identity_and_transpose():
    text = """g (float[n,2] x) => (float[n,2] y) {
        c = Constant<value = float[2,2] {1., 2., 3., 4.}>()
        i = Identity(c) t = Transpose(i) y = MatMul(x, t) }"""
    (node,), notes = parse(make(text))
    np.testing.assert_array_equal(node.weights, [[1, 2], [3, 4]])
    assert notes == []


def test_quantised_weights_are_dequantised():
    text = "g (float[n,2] x) => (float[n,1] y) { w = DequantizeLinear(q, s) y = MatMul(x, w) }"
    (node,), _ = parse(make(text, q=np.int8([[3], [-2]]), s=np.float32(0.5)))
    np.testing.assert_array_equal(node.weights, [[1.5, -1.0]])


@pytest.mark.parametrize(
    ("operation", "note"),
    [
        ("y = MatMul(x, x)", "MatMul 'MatMul_0' multiplies two computed values and stays digital"),
        ("y = Gemm(x, x)", "Gemm 'Gemm_0' multiplies computed values and stays digital"),
        ("y = Conv(x, x)", "Conv 'Conv_0' multiplies computed values and stays digital"),
        ('y = Einsum<equation="ij,jk->ik">(x, x)', "Einsum 'Einsum_0' multiplies computed values and stays digital"),
        ('y = Einsum<equation="ij,kj->k">(x, w)', "'ij,kj->k', is no product of vectors by a matrix and stays digital"),
        ("y = MatMul(x, b)", "MatMul 'MatMul_0' has weights of shape (2,), no matrix, and stays digital"),
        ("y = ConvTranspose(x, w)", "ConvTranspose 'ConvTranspose_0' stays digital: arrays do Gemm, MatMul, Einsum"),
        ("y = LSTM(x, w, w)", "LSTM 'LSTM_0' has weights of shapes (2, 2) and (2, 2) and stays digital"),
    ],
)
def test_other_products_stay_digital_and_are_reported(operation, note):
    nodes, notes = parse(make(f"g (float[2,2] x) => (float[2,2] y) {{ {operation} }}", w=np.eye(2), b=np.ones(2)))
    assert nodes == []
    assert len(notes) == 1
    assert note in notes[0]


def test_a_node_asked_to_stay_digital_does():
    model = make("g (float[n,4] x) => (float[n,3] y) { y = Gemm(x, w) }", w=W)
    nodes, notes = parse(model, digital=["Gemm_0"])
    assert nodes == []
    assert notes == ["Gemm 'Gemm_0' stays digital, as asked"]
    with pytest.raises(NetworkError, match=r"no node 'fc' to keep digital; there are: Gemm_0"):
        parse(model, digital=["fc"])


def test_equal_names_are_told_apart():
    model = make("g (float[n,4] x) => (float[n,4] z) { y = MatMul(x, w) z = MatMul(y, w) }", w=np.eye(4, dtype="f"))
    for node in model.graph.node:
        node.name = "fc"
    assert [node.name for node in parse(model)[0]] == ["fc", "fc_1"]


CONV = "g (float[n,2,5,5] x) => (float[n,c,h,k] y) {{ y = Conv<{0}>(x, w) }}"


@pytest.mark.parametrize(
    ("text", "weights", "problem"),
    [
        ("g (float[n,4] x, float[3] b) => (float[n,3] y) { y = Gemm(x, w, b) }", W, "the bias is computed"),
        (CONV.format("pads=[-1,0,0,0]"), np.ones((2, 2, 3, 3), "f"), "are negative"),
    ],
)
def test_what_arrays_cannot_do_is_refused_with_node_and_remedy(text, weights, problem):
    with pytest.raises(NetworkError, match=problem) as caught:
        parse(make(text, w=weights))
    assert "keep it digital with digital=['" in str(caught.value)


def test_a_matrix_with_axes_of_one_before_it_is_a_matrix():
    (node,), notes = parse(make("g (float[n,t,4] x) => (float[n,t,3] y) { y = MatMul(x, w) }", w=W[None]))
    np.testing.assert_array_equal(node.weights, W.T)
    assert notes == []


def test_files_that_are_no_networks_are_refused(tmp_path):
    with pytest.raises(NetworkError, match="no network"):
        load_model(tmp_path / "absent.onnx")
    for content in (b"", b"\x00\xff not an onnx file", b"{}"):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(NetworkError, match=r"bad.onnx is no ONNX model.*export it again"):
            load_model(tmp_path / "bad.onnx")


def test_a_model_in_memory_is_not_changed():
    model = make("g (float[n,4] x) => (float[n,3] y) { y = Gemm(x, w) }", w=W)
    before = model.SerializeToString(deterministic=True)
    outline(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_chain_of_products_needs_no_segment_between():
    square = np.eye(4, dtype=np.float32)
    text = "g (float[n,4] x) => (float[n,4] z) { y = MatMul(x, w) z = MatMul(y, w) }"
    assert outline(make(text, w=square)) == ["y", "z"]


def test_parallel_branches_share_their_segments():
    text = """g (float[n,4] x) => (float[n,4] out) {
        a = MatMul(x, w) b = MatMul(x, w) ra = Relu(a) rb = Relu(b)
        c = MatMul(ra, w) r = Add(c, rb) d = MatMul(rb, w) out = Add(r, d) }"""
    assert outline(make(text, w=np.eye(4, dtype=np.float32))) == ["a", "b", ("ra", "rb"), "c", "d", ("out",)]


def test_integers_may_pass_between_segments():
    text = """g (float[n,4] x) => (float[n,4] y, int64[n] k) {
        k = ArgMax<axis=1, keepdims=0>(x) a = MatMul(x, w) s = Shape(x) r = Relu(a) y = Reshape(r, s) }"""
    assert outline(make(text, w=np.eye(4, dtype=np.float32))) == [("k", "s"), "a", ("y",)]
