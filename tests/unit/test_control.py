"""If, Loop and Scan: products in their bodies on arrays, or digital with a note."""

import numpy as np
import onnx
import onnxruntime
import pytest

from spicesim.chip import preset
from spicesim.errors import NetworkError
from spicesim.network import compile_network

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
RNG = np.random.default_rng(13)


def w(*shape):
    return (RNG.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def model(text, **constants):
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return made


X = RNG.normal(size=(9, 8)).astype(np.float32)


def assert_same(made, x, network=None):
    network = compile_network(made, FINE, x_calibration=x) if network is None else network
    found = network.run(x, "ideal", chunk=len(x))
    wanted = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})
    for y, own in zip(found.outputs.values(), wanted, strict=True):
        np.testing.assert_allclose(y, own, rtol=0, atol=3e-3 * np.abs(own).max(), strict=True)
    return network, found


IF = """g (float[n,8] x) => (float[n,3] y) {
    h = Relu(x) m = ReduceSum<keepdims=0>(x) c = Greater(m, zero)
    b = If (c) <then_branch = one () => (float[n,3] p) { p = MatMul(h, w1) },
                else_branch = two () => (float[n,3] q) { k = Neg(h) a = MatMul(k, w2) q = Add(a, x3) }>
    y = Tanh(b)
}"""


def branching(**more):
    return model(IF, w1=w(8, 3), w2=w(8, 3), zero=np.float32(0), x3=np.float32([1, 2, 3]), **more)


def test_an_if_runs_the_branch_that_its_condition_says():
    made, mean = branching(), X.mean()
    network = compile_network(made, FINE)
    assert [layer.node.op for layer in network.layers] == ["MatMul", "MatMul"]
    with pytest.raises(NetworkError, match="is not reached by the typical inputs, and nothing says its ranges; give"):
        network.fit_ranges(X - mean + 1)
    for x in (X - mean + 1, X - mean - 1):
        name = network.layers[1 if x.sum() > 0 else 0].name
        alone = compile_network(made, FINE, x_calibration=x, digital=[name])
        assert [layer.name for layer in alone.layers] == [layer.name for layer in network.layers if layer.name != name]
        _, found = assert_same(made, x, alone)
        assert found.stats.mvms == 9
    assert any("stays digital, as asked" in note for note in alone.notes)


def test_an_if_whose_branches_depend_on_the_chunk_sees_both():
    both = np.concatenate([np.abs(RNG.normal(size=(64, 8))), -np.abs(RNG.normal(size=(64, 8)))]).astype(np.float32)
    made = branching()
    network = compile_network(made, FINE, x_calibration=both)  # in chunks of 64
    for x in (np.abs(X), -np.abs(X)):
        _, found = assert_same(made, x, network)
        assert sorted(layer.mvms for layer in found.stats.layers) == [0, 9]


def test_a_decided_if_takes_the_tiles_of_its_branch_only():
    made = branching()
    node = next(node for node in made.graph.node if node.op_type == "If")
    node.input[0] = "decided"
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(False), "decided"))
    network, _ = assert_same(made, X)
    np.testing.assert_array_equal(
        network.layers[0].node.weights.T, onnx.numpy_helper.to_array(made.graph.initializer[1])
    )
    assert len(network.layers) == 1


LOOP = """g (float[n,8] x) => (float[n,8] y, float[s,n,8] all) {
    y, all = Loop (limit, go, x) <body = b (int64 i, bool go_in, float[n,8] h) => (bool go_out, float[n,8] next, float[n,8] out) {
        go_out = Identity(go_in) a = MatMul(h, w1) r = Tanh(a) f = Cast<to=1>(i) s = Add(r, f) next = MatMul(s, w2)
        out = Identity(next)
    }>
}"""  # noqa: E501


def test_a_loop_multiplies_by_the_same_arrays_every_time():
    made = model(LOOP, w1=w(8, 8), w2=w(8, 8), limit=np.int64(5), go=np.array(True))
    network = compile_network(made, FINE, x_calibration=X, batch_axes={"all": 1})
    network, found = assert_same(made, X, network)
    assert found.axes == {"y": 0, "all": 1}
    assert [layer.own_tiles for layer in network.layers] == [1, 1]
    assert [layer.mvms for layer in found.stats.layers] == [45, 45]
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == 2
    assert all(name.startswith("Loop_0.") for name in names)


def test_a_body_that_stays_digital_does_so_whole_or_by_name():
    made = model(LOOP, w1=w(8, 8), w2=w(8, 8), limit=np.int64(5), go=np.array(True))
    made.graph.node.append(onnx.helper.make_node("MatMul", ["y", "w1"], ["z"]))
    made.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    axes = {"all": 1}
    inner = compile_network(made, FINE, batch_axes=axes).layers[1].name
    for digital, layers in (((), 3), ((inner,), 2), (("Loop_0",), 1)):
        network = compile_network(made, FINE, x_calibration=X, batch_axes=axes, digital=digital)
        assert_same(made, X, network)
        assert len(network.layers) == layers
    assert "Loop 'Loop_0' stays digital with the products in it (MatMul 'a', MatMul 'next'), as asked" in network.notes
    with pytest.raises(NetworkError, match=r"no node 'MatMul_7' to keep digital; there are: .*Loop_0"):
        compile_network(made, FINE, digital=["MatMul_7"])


@pytest.mark.parametrize("limit", ["limit", ""])
def test_a_loop_ends_when_its_condition_says_so(limit):
    text = """g (float[n,8] x) => (float[n,8] y) {
        y = Loop (%s, go, x) <body = b (int64 i, bool go_in, float[n,8] h) => (bool go_out, float[n,8] next) {
            next = MatMul(h, w1) m = ReduceMax<keepdims=0>(next) go_out = Less(m, top)
        }>
    }"""
    made = model(text % limit, w1=1.7 * np.eye(8, dtype=np.float32), limit=np.int64(50), go=np.array(True),
                 top=np.float32(30))  # fmt: skip
    _, found = assert_same(made, np.abs(X) + 0.3)
    assert 9 * 3 < found.stats.mvms < 9 * 20


def test_weights_around_and_within_a_loop_share_arrays():
    text = """g (float[n,8] x) => (float[n,8] y) {
        t = Transpose(w1) a = MatMul(x, t)
        y = Loop (limit, , a) <body = b (int64 i, bool go_in, float[n,8] h) => (bool go_out, float[n,8] next) {
            go_out = Identity(go_in) r = Tanh(h) next = MatMul(r, t)
        }>
    }"""
    network, _ = assert_same(model(text, w1=w(8, 8), limit=np.int64(3)), X)
    assert [layer.own_tiles for layer in network.layers] == [1, 0]


def test_a_loop_may_begin_with_a_constant_and_declare_no_types():
    text = """g (float[n,8] x) => (float[n,8] y) {
        y = Loop (limit, , h0) <body = b (int64 i, bool go_in, float[k,8] h) => (bool go_out, float[l,8] next) {
            go_out = Identity(go_in) a = MatMul(h, w1) b = Add(a, x) next = Tanh(b)
        }>
    }"""
    made = model(text, w1=w(8, 8), h0=np.zeros((1, 8), np.float32), limit=np.int64(4))
    body = made.graph.node[0].attribute[0].g
    for value in (*body.input[2:], *body.output[1:]):
        value.type.tensor_type.ClearField("shape")
    _, found = assert_same(made, X)
    assert found.stats.mvms == 1 + 3 * 9
    for value in body.input[2:]:
        value.ClearField("type")
    assert compile_network(made, FINE, x_calibration=X).layers


def test_a_scan_runs_over_slices_both_ways():
    text = """g (float[n,5,8] x) => (float[n,8] y, float[n,5,2] out) {
        z = ReduceSum<keepdims=0>(x, one) h0 = Mul(z, zero)
        y, out = Scan<num_scan_inputs=1, scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[1],
            scan_output_directions=[1], body = b (float[n,8] h, float[n,8] v) => (float[n,8] next, float[n,2] o) {
                a = MatMul(h, w1) b = MatMul(v, w2) s = Add(a, b) next = Tanh(s) o = MatMul(next, w3)
            }>(h0, x)
    }"""
    made = model(text, w1=w(8, 8), w2=w(8, 8), w3=w(8, 2), one=np.int64([1]), zero=np.float32(0))
    network, found = assert_same(made, RNG.normal(size=(9, 5, 8)).astype(np.float32))
    assert [layer.mvms for layer in found.stats.layers] == [45, 45, 45]
    assert len(network.layers) == 3


def test_bodies_may_hold_bodies():
    text = """g (float[n,8] x) => (float[n,8] y) {
        y = Loop (limit, , x) <body = b (int64 i, bool go_in, float[n,8] h) => (bool go_out, float[n,8] next) {
            go_out = Identity(go_in) c = Less(i, two)
            next = If (c) <then_branch = p () => (float[n,8] u) { a = MatMul(h, w1) u = Tanh(a) },
                           else_branch = q () => (float[n,8] v) { v = MatMul(h, w2) }>
        }>
    }"""
    made = model(text, w1=w(8, 8), w2=w(8, 8), limit=np.int64(5), two=np.int64(2))
    _, found = assert_same(made, X)
    assert [layer.mvms for layer in found.stats.layers] == [18, 27]


def test_a_recurrent_node_in_a_body_takes_any_layout():
    text = """g (float[n,5,8] x) => (float[n,5,4] y) {
        c = Greater(k, zero)
        y = If (c) <then_branch = p () => (float[n,5,4] u) {
                        a, b = GRU<hidden_size=4, layout=1>(x, wi, wh) u = Squeeze(a, two) },
                    else_branch = q () => (float[n,5,4] v) { v = MatMul(x, w2) }>
    }"""
    made = model(
        text, wi=w(1, 12, 8), wh=w(1, 12, 4), w2=w(8, 4), k=np.float32(1), zero=np.float32(0), two=np.int64([2])
    )
    network = compile_network(made, FINE, x_calibration=RNG.normal(size=(9, 5, 8)).astype(np.float32))
    assert [layer.node.op for layer in network.layers] == ["GRU"] * 3


def test_a_loop_may_carry_a_sequence():
    text = """g (float[n,8] x) => (float[n,8] y, float[n,3] z, float[n,4,8] all) {
        e = SequenceEmpty() q = SequenceInsert(e, x)
        s = Loop (limit, , q) <body = b (int64 i, bool go_in, seq(float[n,8]) h)
            => (bool go_out, seq(float[n,8]) next) {
            go_out = Identity(go_in) l = SequenceAt(h, last) a = MatMul(l, w1) next = SequenceInsert(h, a)
        }>
        y = SequenceAt(s, last) z = MatMul(y, w2) all = ConcatFromSequence<axis=1, new_axis=1>(s)
    }"""
    made = model(text, w1=w(8, 8), w2=w(8, 3), limit=np.int64(3), last=np.int64(-1))
    network, found = assert_same(made, X)
    assert [layer.node.weights.shape for layer in network.layers] == [(8, 8), (3, 8)]
    assert [layer.mvms for layer in found.stats.layers] == [27, 9]


def test_what_cannot_be_read_runs_digitally_and_is_named():
    text = """g (float[n,8] x) => (float[n,8] y, float[n,3] z) {
        q = SequenceConstruct(x, x)
        s = SequenceMap (q) <body = b (float[n,8] h) => (float[n,8] a) { a = MatMul(h, w1) }>
        y = SequenceAt(s, last) z = MatMul(y, w2)
    }"""
    made = model(text, w1=w(8, 8), w2=w(8, 3), last=np.int64(-1))
    network, found = assert_same(made, X)
    assert [layer.node.weights.shape for layer in network.layers] == [(3, 8)]
    (note,) = [note for note in network.notes if "SequenceMap" in note]
    assert note.startswith("SequenceMap 'SequenceMap_1' stays digital with the products in it (MatMul 'a'")
    assert note.endswith("): arrays do those in If, Loop, Scan only")
    assert found.stats.mvms == 9


def test_a_loop_without_steps_and_shapes_is_refused_in_a_line():
    none = "{ z0 = Shape(x) z1 = Gather(z0, at) k = Sub(z1, z1) y,"
    made = model(LOOP.replace("limit, go", "k, go").replace("{\n    y,", none, 1),
                 w1=w(8, 8), w2=w(8, 8), at=np.int64(0), go=np.array(True))  # fmt: skip
    with pytest.raises(NetworkError, match=r"Loop .* runs no step, .* keep the products in it digital") as caught:
        compile_network(made, FINE, x_calibration=X)
    assert "\n" not in str(caught.value)


def test_names_and_constants_of_bodies_are_checked_as_all_others():
    made = branching()
    body = next(node for node in made.graph.node if node.op_type == "If").attribute[0].g
    body.node[0].name = "evil\nname"
    with pytest.raises(NetworkError, match="a name in the network"):
        compile_network(made, FINE)
    body.node[0].name = "good"
    tensor = onnx.numpy_helper.from_array(np.float32([1, 2, 3]), "t")
    tensor.raw_data = tensor.raw_data[:-1]
    body.initializer.append(tensor)
    with pytest.raises(NetworkError, match=r"constant 't' of shape .* holds 11 bytes"):
        compile_network(made, FINE)


@pytest.mark.parametrize("chunk", [2, 9])
def test_bodies_run_the_same_within_any_memory(chunk):
    text = """g (float[n,8] x) => (float[n,8] y, float[n,4,8] all) {
        e = SequenceEmpty() q = SequenceInsert(e, x)
        s = Loop (limit, , q) <body = b (int64 i, bool go_in, seq(float[n,8]) h)
            => (bool go_out, seq(float[n,8]) next) {
            go_out = Identity(go_in) l = SequenceAt(h, last) a = MatMul(l, w1) next = SequenceInsert(h, a)
        }>
        z = SequenceAt(s, last) y = MatMul(z, w2) all = ConcatFromSequence<axis=1, new_axis=1>(s)
    }"""
    made = model(text, w1=w(8, 8), w2=w(8, 8), limit=np.int64(3), last=np.int64(-1))
    runs = [
        compile_network(made, FINE, x_calibration=X).run(X, "ideal", chunk=chunk, memory=memory)
        for memory in (1000, 10**9)
    ]
    for name, y in runs[0].outputs.items():
        np.testing.assert_array_equal(y, runs[1].outputs[name])
    assert [layer.mvms for layer in runs[0].stats.layers] == [27, 9]
