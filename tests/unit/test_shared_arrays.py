"""A weight that a network uses several times sits on one set of tiles: drawn once, counted once, busy every time."""

import numpy as np
import onnx
import onnxruntime
import pytest

from spicesim.chip import preset, save_chip
from spicesim.cli.main import main
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, IdealEngine
from spicesim.errors import MappingError
from spicesim.experiment.footprint import Footprint, LayerFootprint
from spicesim.network import compile_network
from spicesim.network.tile_map import format_cells, layer_uses, place_tiles

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
"""Sixteen outputs a tile, of 32 inputs."""
RNG = np.random.default_rng(5)


def w(*shape):
    return (RNG.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def model(head, body, /, **constants):
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {head} {{ {body} }}')
    made.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    return made


X20 = RNG.normal(size=(6, 20)).astype(np.float32)
STEPS = RNG.normal(size=(6, 5, 12)).astype(np.float32)
ONE = "(float[n,20] x) => (float[n,2] y)"
SEQUENCE = "(float[n,5,12] x) => (float[n,2] y)"
INDICES = {f"i{k}": np.int64(k) for k in range(5)}


def unrolled(cell):
    """Call a cell five times."""
    steps = [f"x{k} = Gather<axis=1>(x, i{k}) " + cell.format(k=k, n=k + 1) for k in range(5)]
    return "z = Gather<axis=1>(x, i0) h0 = Mul(z, zero) c0 = Identity(h0) " + " ".join(steps) + " y = MatMul(h5, head)"


LSTM_CELL = """a{k} = Gemm<transB=1>(x{k}, wi, bi) b{k} = Gemm<transB=1>(h{k}, wh, bh) g{k} = Add(a{k}, b{k})
    p{k}, q{k}, r{k}, s{k} = Split<axis=1>(g{k}, four) e{k} = Sigmoid(p{k}) f{k} = Sigmoid(q{k}) t{k} = Tanh(r{k})
    o{k} = Sigmoid(s{k}) u{k} = Mul(f{k}, c{k}) v{k} = Mul(e{k}, t{k}) c{n} = Add(u{k}, v{k}) d{k} = Tanh(c{n})
    h{n} = Mul(o{k}, d{k})"""
GRU_CELL = """a{k} = MatMul(x{k}, wit) b{k} = MatMul(h{k}, wht) e{k}, f{k}, g{k} = Split<axis=1>(a{k}, three)
    j{k}, l{k}, m{k} = Split<axis=1>(b{k}, three) r{k} = Add(e{k}, j{k}) s{k} = Sigmoid(r{k}) u{k} = Add(f{k}, l{k})
    v{k} = Sigmoid(u{k}) o{k} = Mul(s{k}, m{k}) p{k} = Add(g{k}, o{k}) q{k} = Tanh(p{k}) d{k} = Sub(h{k}, q{k})
    t{k} = Mul(v{k}, d{k}) h{n} = Add(q{k}, t{k})"""
RNN_CELL = """wt{k} = Transpose(wi) vt{k} = Transpose(wh) a{k} = MatMul(x{k}, wt{k}) b{k} = MatMul(h{k}, vt{k})
    s{k} = Add(a{k}, b{k}) h{n} = Tanh(s{k})"""
BLOCK = """q{k} = MatMul(h{k}, wq) k{k} = MatMul(h{k}, wk) v{k} = MatMul(h{k}, wv) t{k} = Transpose<perm=[0,2,1]>(k{k})
    s{k} = MatMul(q{k}, t{k}) p{k} = Softmax(s{k}) a{k} = MatMul(p{k}, v{k}) o{k} = MatMul(a{k}, wo)
    r{k} = Add(h{k}, o{k}) f{k} = MatMul(r{k}, w1) g{k} = Relu(f{k}) d{k} = MatMul(g{k}, w2) h{n} = Add(r{k}, d{k})"""
ZERO, FOUR, THREE = np.float32(0), np.int64([12] * 4), np.int64([12] * 3)

NETWORKS = {
    # name: (model, inputs, tiles of each array in the order of its first use, layers)
    "linear twice": (
        model(ONE, "a = Gemm(x, l, b) r = Relu(a) c = Gemm(r, l, b) y = MatMul(c, o)", l=w(20, 20), b=w(20),
              o=w(20, 2)),
        X20, [2, 1], 3,
    ),
    "linear twice, its weights by another name": (
        model(ONE, "m = Identity(l) a = MatMul(x, l) r = Relu(a) c = MatMul(r, m) y = MatMul(c, o)", l=w(20, 20),
              o=w(20, 2)),
        X20, [2, 1], 3,
    ),
    "LSTM cell, five steps": (
        model(SEQUENCE, unrolled(LSTM_CELL), wi=w(48, 12), wh=w(48, 12), bi=w(48), bh=w(48), head=w(12, 2), zero=ZERO,
              four=FOUR, **INDICES),
        STEPS, [3, 3, 1], 11,
    ),
    "GRU cell, five steps": (
        model(SEQUENCE, unrolled(GRU_CELL), wit=w(12, 36), wht=w(12, 36), head=w(12, 2), zero=ZERO, three=THREE,
              **INDICES),
        STEPS, [3, 3, 1], 11,
    ),
    "RNN cell, five steps, its weights transposed in each": (
        model(SEQUENCE, unrolled(RNN_CELL), wi=w(12, 12), wh=w(12, 12), head=w(12, 2), zero=ZERO, **INDICES),
        STEPS, [1, 1, 1], 11,
    ),
    "tied embedding and head": (
        model("(int64[n,3] x) => (float[n,3,40] y)", """e = Gather(table, x) a = MatMul(e, l) t = Transpose(table)
              y = MatMul(a, t)""", table=w(40, 20), l=w(20, 20)),
        RNG.integers(0, 40, (6, 3)), [2, 3], 2,
    ),
    "LSTM node twice": (
        model(SEQUENCE, """t = Transpose<perm=[1,0,2]>(x) a, ha = LSTM<hidden_size=12>(t, wi, wh) s = Squeeze(a, axis)
              b, hb = LSTM<hidden_size=12>(s, wi, wh) f = Squeeze(hb, zero) y = MatMul(f, head)""",
              wi=w(1, 48, 12), wh=w(1, 48, 12), head=w(12, 2), axis=np.int64([1]), zero=np.int64([0])),
        STEPS, [3, 3, 1], 5,
    ),
    "GRU node, both directions": (
        model(SEQUENCE, """t = Transpose<perm=[1,0,2]>(x) a, h = GRU<hidden_size=8, direction="bidirectional",
              linear_before_reset=1>(t, wi, wh) m = ReduceMean<axes=[0], keepdims=0>(h) y = MatMul(m, head)""",
              wi=w(2, 24, 12), wh=w(2, 24, 8), head=w(8, 2)),
        STEPS, [3, 4, 1], 3,
    ),
    "twins": (
        model("(float[n,2,5,5] a, float[n,2,5,5] b) => (float[n,1] y)", """p = Conv(a, k) q = Conv(b, k) d = Sub(p, q)
              f = Flatten(d) y = MatMul(f, o)""", k=w(6, 2, 3, 3), o=w(54, 1)),
        {name: RNG.normal(size=(6, 2, 5, 5)).astype(np.float32) for name in "ab"}, [1, 2], 3,
    ),
    "three blocks of one transformer": (
        model(SEQUENCE, "h0 = Identity(x) " + " ".join(BLOCK.format(k=k, n=k + 1) for k in range(3))
              + " m = ReduceMean<axes=[1], keepdims=0>(h3) y = MatMul(m, head)",
              **{f"w{name}": w(12, 12) for name in "qkvo"}, w1=w(12, 40), w2=w(40, 12), head=w(12, 2)),
        STEPS, [1, 1, 1, 1, 3, 2, 1], 19,
    ),
    "the same weights there and back are two arrays": (
        model(ONE, "a = Gemm(x, l) r = Relu(a) c = Gemm<transB=1>(r, l) y = MatMul(c, o)", l=w(20, 7), o=w(20, 2)),
        X20, [1, 2, 1], 3,
    ),
    "parts of one tensor are arrays of their own": (
        model(ONE, "p, q = Split<axis=1>(l, halves) a = MatMul(x, p) b = MatMul(x, q) s = Add(a, b) y = MatMul(s, o)",
              l=w(20, 20), halves=np.int64([10, 10]), o=w(10, 2)),
        X20, [1, 1, 1], 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_each_weight_takes_its_tiles_once(name):
    made, x, tiles, layers = NETWORKS[name]
    network = compile_network(made, FINE, x_calibration=x)
    assert len(network.layers) == layers
    assert [layer.own_tiles for layer in network.layers if layer.own_tiles] == tiles
    places, uses = place_tiles(network), layer_uses(network, (32, 32))
    assert len(places) == sum(tiles)
    assert len({tile.place for layer in network.tiles() for tile in layer}) == sum(tiles)
    assert sum(use.cells for use in uses if use.array == use.name) == format_cells(network).count("\n") - 1
    shared = sum("counted once" in note for note in network.notes)
    assert shared == len({use.array for use in uses if use.array != use.name})
    y = network.run(x, IdealEngine(FINE)).logits
    feeds = x if isinstance(x, dict) else {"x": x}
    (wanted,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, feeds)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max(), strict=True)


def test_all_uses_meet_the_same_devices():
    made, x, *_ = NETWORKS["LSTM cell, five steps"]
    network = compile_network(made, FINE, x_calibration=x)
    engine = DeviceEngine(
        IdealEngine(FINE), FINE, device_preset("typical"), network.calibration.conductance_range, seed=3
    )
    drawn = {}
    for layer in network.prepare(engine):
        for ready in layer:
            np.testing.assert_array_equal(ready.tile.g, drawn.setdefault(ready.tile.place, ready.tile.g))
    assert len(drawn) == 7
    assert not np.array_equal(drawn["Gemm_4:0"], network.layers[0].mapped[0].g)


def test_a_chip_needs_no_more_tiles_than_weights():
    made, *_ = NETWORKS["LSTM cell, five steps"]
    assert compile_network(made, FINE, max_tiles=7).layers
    with pytest.raises(MappingError, match="takes 7 tiles of 32x32, allowed are 6"):
        compile_network(made, FINE, max_tiles=6)


def test_shared_arrays_are_busy_with_one_product_after_the_other():
    def layer(name, array, vectors):
        return LayerFootprint(
            name=name, array=array, tiles=1, vectors=vectors, products=vectors, macs=1.0, energy={}, standard_error=0.0,
            sampled=1, t_product=1e-7, area={},
        )  # fmt: skip

    found = Footprint(
        layers=(layer("a", "a", 3), layer("b", "b", 4), layer("c", "a", 2)), t_read=1e-7, columns_per_adc=1
    )
    assert found.interval == pytest.approx(5e-7)  # of a and c; b alone takes 4e-7
    assert found.latency == pytest.approx(9e-7)


def test_the_commands_count_tiles_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made, x, *_ = NETWORKS["linear twice"]
    onnx.save(made, "twice.onnx")
    np.savez("data.npz", x=x)
    save_chip(FINE, "chip.toml")
    for words in ("map twice.onnx --chip chip.toml", "infer twice.onnx data.npz --chip chip.toml --engine ideal"):
        with pytest.raises(SystemExit, match="0"):
            main(words.split())
    mapped, run = capsys.readouterr().out.split("network  ", 1)
    assert "0-1" in mapped
    assert run.split()[0] == "3"
    assert "(2)" in run
    assert "the arrays of 'Gemm_0' hold the weights of 1 more: 'Gemm_2'; they are counted once" in run
