import contextlib
import io
import time
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from spicesim.chip import Chip, preset
from spicesim.engine import IdealEngine, IdealTile
from spicesim.errors import ConvergenceError, MappingError, NetworkError
from spicesim.network import compile_network, digits_network, load_digits

CHIP = preset("gf180-1t1r").changed(array={"rows": 32, "columns": 32})
DIGITS = load_digits()


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip = CHIP
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def make(text, **constants):
    """Make a model from ONNX's text form and arrays."""
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    return model


@pytest.fixture(scope="module")
def network():
    return compile_network(digits_network("cnn"), FakeCalibration(), x_calibration=DIGITS.x_calibration)


NAN = np.where(np.arange(64).reshape(1, 1, 8, 8) == 5, np.nan, 0)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 1, 9, 9)), r"input 'x' has shape \(3, 1, 9, 9\), the network wants \(any, 1, 8, 8\)"),
        (np.zeros((3, 64)), r"input 'x' has shape \(3, 64\), the network wants \(any, 1, 8, 8\)"),
        (np.zeros(()), r"input 'x' has shape \(\)"),
        (np.zeros((0, 1, 8, 8)), "at least one"),
        ([[1], [1, 2]], "input 'x' is no array"),
        (np.zeros((1, 1, 8, 8), complex), "is of type complex128, the network wants float32"),
        (np.full((1, 1, 8, 8), "0"), "is of type <U1, the network wants float32"),
        (NAN, "input 'x': 1 of 64 values are NaN or infinite"),
        ({"images": np.zeros((1, 1, 8, 8))}, "no array for input 'x', got 'images'; name it 'x'"),
        ({}, "no array for input 'x', got nothing"),
        (
            {"x": np.zeros((1, 1, 8, 8)), "mask": np.zeros(3)},
            "unknown input 'mask'; the network has the inputs 'x'",
        ),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(network, x, message):
    for run in (
        lambda: network.run(x, IdealEngine(CHIP)),
        lambda: network.run_digital(x),
        lambda: network.fit_ranges(x),
    ):
        with pytest.raises(NetworkError, match=message) as caught:
            run()
        assert "\n" not in str(caught.value)


def test_labels_beside_the_inputs_are_passed_over(network):
    data = {"x": DIGITS.x[:2], "y": DIGITS.y[:2], "x_calibration": DIGITS.x_calibration}
    np.testing.assert_array_equal(network.run_digital(data), network.run_digital(DIGITS.x[:2]))


def test_a_float_for_an_integer_input_is_refused():
    model = make("g (int64[n,2] k) => (float[n,1] y) { f = Cast<to=1>(k) y = MatMul(f, w) }", w=np.ones((2, 1), "f"))
    network = compile_network(model, FakeCalibration())
    with pytest.raises(NetworkError, match="is of type float64, the network wants int64"):
        network.run_digital(np.zeros((1, 2)))
    assert network.run_digital({"x": np.ones((1, 2), np.int32)}) == 2  # a sole input also goes by the name x


def test_several_inputs_need_names_and_equal_lengths():
    model = make(
        "g (float[n,2] a, float[n,2] b) => (float[n,1] y) { s = Add(a, b) y = MatMul(s, w) }",
        w=np.ones((2, 1), "f"),
    )
    network = compile_network(model, FakeCalibration())
    with pytest.raises(NetworkError, match="got one array, but the network has the inputs 'a', 'b'"):
        network.run_digital(np.zeros((1, 2)))
    with pytest.raises(NetworkError, match="inputs differ in length"):
        network.run_digital({"a": np.zeros((1, 2)), "b": np.zeros((3, 2))})


def test_nan_weights_are_refused_by_layer():
    model = make("g (float[n,2] x) => (float[n,1] y) { y = MatMul(x, w) }", w=np.float32([[np.nan], [1]]))
    with pytest.raises(MappingError, match="layer 'MatMul_0': 1 of 2 weights are NaN"):
        compile_network(model, FakeCalibration())


def test_nan_made_inside_the_network_is_traced_to_its_layer():
    model = make("g (float[n,2] x) => (float[n,1] y) { l = Log(x) y = MatMul(l, w) }", w=np.ones((2, 1), "f"))
    with pytest.raises(NetworkError, match="input of 'MatMul_1' is NaN or infinite"):
        compile_network(model, FakeCalibration(), x_calibration=-np.ones((1, 2)))
    network = compile_network(model, FakeCalibration(), x_calibration=np.ones((1, 2)))
    with pytest.raises(NetworkError, match="input of 'MatMul_1' is NaN or infinite"):
        network.run(np.zeros((1, 2)), IdealEngine(CHIP))


def test_a_network_without_products_is_refused():
    with pytest.raises(NetworkError, match="nothing for arrays to do"):
        compile_network(make("g (float[n,2] x) => (float[n,2] y) { y = Relu(x) }"), FakeCalibration())


def test_a_constant_output_is_refused():
    model = make(
        "g (float[n,2] x) => (float[n,1] y, float[2,1] v) { y = MatMul(x, w) v = Neg(w) }",
        w=np.ones((2, 1), "f"),
    )
    with pytest.raises(NetworkError, match="output 'v' does not depend on the inputs"):
        compile_network(model, FakeCalibration())


def test_an_output_without_batch_axis_is_refused():
    model = make(
        "g (float[n,2] x) => (float y) { p = MatMul(x, w) y = ReduceMean<keepdims=0>(p) }",
        w=np.ones((2, 1), "f"),
    )
    with pytest.raises(NetworkError, match=r"output 'y' has shape \(\) for 3 inputs"):
        compile_network(model, FakeCalibration()).run(np.ones((3, 2)), IdealEngine(CHIP))


def test_an_unknown_operator_is_refused_by_name():
    with pytest.raises(NetworkError, match=r"Frobnicate.*export it again"):
        compile_network(
            make(
                "g (float[n,2] x) => (float[n,1] y) { z = Frobnicate(x) y = MatMul(z, w) }",
                w=np.ones((2, 1), "f"),
            ),
            FakeCalibration(),
        )


def test_an_image_that_the_digital_part_cannot_take_is_refused():
    text = """g (float[n,k] x) => (float[n,1] y) {
        s = Constant<value_ints=[-1,2]>() r = Reshape(x, s) y = MatMul(r, w) }"""
    network = compile_network(make(text, w=np.ones((2, 1), "f")), FakeCalibration())
    with pytest.raises(NetworkError, match=r"onnxruntime failed on x \(3, 5\)"):
        network.run_digital(np.ones((3, 5)))


def test_an_image_smaller_than_the_kernel_is_refused():
    model = make(
        "g (float[n,1,h,k] x) => (float[n,1,p,q] y) { r = Relu(x) y = Conv(r, w) }",
        w=np.ones((1, 1, 3, 3), "f"),
    )
    network = compile_network(model, FakeCalibration(), x_calibration=np.ones((1, 1, 4, 4)))
    with pytest.raises(NetworkError, match="image of 2x4 pixels is smaller than a convolution's patch of 3x3"):
        network.run(np.ones((1, 1, 2, 4)), IdealEngine(CHIP))


def test_tiles_want_ranges_first():
    with pytest.raises(NetworkError, match="call fit_ranges"):
        compile_network(digits_network("mlp"), FakeCalibration()).prepare(IdealEngine(CHIP))


def test_chunks_hold_one_input_at_least(network):
    with pytest.raises(NetworkError, match="chunk must be at least 1 input, got 0"):
        network.run(DIGITS.x, IdealEngine(CHIP), chunk=0)


@pytest.mark.parametrize("spoil", [lambda v: v * np.nan, lambda v: v[:, :-1]])
def test_an_engine_that_answers_nonsense_is_stopped(network, spoil):
    class BrokenEngine(IdealEngine):
        name = "broken"

        def prepare(self, tile):
            class BrokenTile(IdealTile):
                def mvm(self, codes):
                    return spoil(super().mvm(codes))

            return BrokenTile(tile=tile, dac=CHIP.dac)

    with pytest.raises(ConvergenceError, match=r"BrokenTile gave outputs .* for tile /0/Conv:0"):
        network.run(DIGITS.x[:1], BrokenEngine(CHIP))


class TerminalStandIn(io.StringIO):
    """Standard error as a terminal: a log file gets no bars."""

    def isatty(self):
        return True


def test_progress_goes_to_standard_error_only_when_asked(network):
    class SlowEngine(IdealEngine):
        def prepare(self, tile):
            class SlowTile(IdealTile):
                def mvm(self, codes):
                    time.sleep(0.4)
                    return super().mvm(codes)

            return SlowTile(tile=tile, dac=CHIP.dac)

    for progress, engine in ((False, IdealEngine(CHIP)), (True, SlowEngine(CHIP))):
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(TerminalStandIn()) as err,
        ):
            network.run(DIGITS.x[:2], engine, progress=progress, chunk=1)
        assert out.getvalue() == ""
        assert ("running" in err.getvalue()) is progress


@pytest.mark.parametrize(
    ("text", "weights", "message"),
    [
        ("y = Conv<pads=[-1,0]>(x, w)", (1, 2, 3), r"Conv .* pads \(-1, 0\) are negative; crop its input"),
        ("k = Relu(x) y = Gemm(x, w, k)", (2, 1), "Gemm .* the bias is computed"),
    ],
)
def test_an_operator_that_arrays_cannot_do_is_refused_with_a_way_out(text, weights, message):
    model = make(f"g (float[n,2] x) => (float[n,1] y) {{ {text} }}", w=np.ones(weights, "f"))
    with pytest.raises(NetworkError, match=message) as caught:
        compile_network(model, FakeCalibration())
    assert "\n" not in str(caught.value)
    assert "keep it digital with digital=[" in str(caught.value)


def test_a_recurrent_layer_that_stays_digital_leaves_nothing_for_arrays():
    generator = np.random.default_rng(0)
    w, r = (generator.normal(size=shape).astype(np.float32) for shape in ((1, 16, 3), (1, 16, 4)))
    text = "g (float[s,n,3] x) => (float[s,1,n,4] h) { h, last = LSTM<hidden_size=4, clip=1.0>(x, w, r) }"
    with pytest.raises(NetworkError, match=r"nothing for arrays to do; LSTM 'LSTM_0' clips its gates and stays"):
        compile_network(make(text, w=w, r=r), FakeCalibration())
