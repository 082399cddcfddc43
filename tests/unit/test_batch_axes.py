"""Networks that count the batch on any axis: voice detectors, time first, tuples of outputs, shared inputs."""

import numpy as np
import onnx
import onnxruntime
import pytest

from spicesim.chip import preset
from spicesim.engine import IdealEngine
from spicesim.errors import NetworkError, SpecError
from spicesim.experiment.plan import MappingPlan, RunPlan
from spicesim.experiment.run import run
from spicesim.network import compile_network
from spicesim.network.dataset import load_dataset

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
RNG = np.random.default_rng(3)
WEIGHTS = {
    "w": RNG.normal(size=(2, 16, 3)) / 2, "r": RNG.normal(size=(2, 16, 4)) / 2, "p": RNG.normal(size=(8, 2)),
    "w1": RNG.normal(size=(1, 16, 3)) / 2, "r1": RNG.normal(size=(1, 16, 4)) / 2, "p3": RNG.normal(size=(3, 2)),
}  # fmt: skip


def make(text):
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> ' + text)
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in WEIGHTS.items() if name in used
    )
    return model


DETECTOR = """g (float[{n},5,3] x, float[2,{n},4] h0, float[2,{n},4] c0{rate}) => ({out}) {{
    t = Transpose<perm=[1,0,2]>(x) h1 = Identity(h0) c1 = Identity(c0)
    s, h, c = LSTM<hidden_size=4, direction="bidirectional">(t, w, r, , , h1, c1)
    k = Transpose<perm=[2,0,1,3]>(s) shape = Constant<value_ints=[0,5,8]>() f = Reshape(k, shape) m = MatMul(f, p)
    {end}
}}"""


def detector(
    n="batch", *, out="float[{n},5,2] y, float[2,{n},4] h2, float[2,{n},4] c2", rate="", end="y = Identity(m)"
):
    """Make a voice detector, whose states go through nodes that say nothing of where the batch is."""
    return make(DETECTOR.format(n=n, out=out.format(n=n), rate=rate, end=f"h2 = Identity(h) c2 = Identity(c) {end}"))


def data(count):
    return {
        name: RNG.normal(size=shape).astype(np.float32)
        for name, shape in {"x": (count, 5, 3), "h0": (2, count, 4), "c0": (2, count, 4)}.items()
    }


def assert_same_as_onnxruntime(model, x, *, batch=None, **options):
    """Run in chunks, and through onnxruntime whole, or input by input where the network fixes the batch to one."""
    network = compile_network(model, FINE, **options)
    found = network.run(x, IdealEngine(FINE), chunk=4)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for name, y in found.outputs.items():
        if batch is None:
            wanted = session.run([name], x)[0]
        else:
            axis, own = batch[name], found.axes
            assert own[name] == axis
            parts = [session.run([name], network._compiled.axes.cut(x, k, k + 1))[0] for k in range(network.count(x))]
            wanted = np.concatenate(parts, axis)
        np.testing.assert_allclose(y, wanted, rtol=0, atol=2e-3 * np.abs(wanted).max(), strict=True)
    return found


@pytest.mark.parametrize("count", [1, 2, 9])  # with 2 the states have the batch's size on two axes
def test_states_have_the_batch_on_the_second_axis_by_the_name_of_the_axis(count):
    found = assert_same_as_onnxruntime(detector(), data(count))
    assert found.axes == {"y": 0, "h2": 1, "c2": 1}
    np.testing.assert_array_equal(found.logits, found.outputs["y"])


def test_names_of_axes_may_differ_from_input_to_input_and_of_outputs_be_anything():
    model = detector()
    for value in (*model.graph.input, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = f"{value.name}_dynamic_axes_1"
    assert assert_same_as_onnxruntime(model, data(2)).axes == {"y": 0, "h2": 1, "c2": 1}


def test_states_of_any_number_of_layers_have_the_batch_where_its_name_is():
    model = detector()
    for value in model.graph.input[1:]:
        value.type.tensor_type.shape.dim[0].dim_param = "layers"
        value.type.tensor_type.shape.dim[1].dim_param = f"batch_of_{value.name}"
    assert assert_same_as_onnxruntime(model, data(2)).axes == {"y": 0, "h2": 1, "c2": 1}


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_that_is_fixed_to_one_is_found_by_its_size(count):
    assert_same_as_onnxruntime(detector("1"), data(count), batch={"y": 0, "h2": 1, "c2": 1})


def test_a_fixed_batch_of_one_number_an_input_is_where_it_would_be_if_it_were_free():
    end = "a = ReduceMean<axes=[1,2], keepdims=0>(m) y = Unsqueeze(a, one)"
    model = detector("1", out="float[{n},1] y, float[2,{n},4] h2, float[2,{n},4] c2", end=end)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64([1]), "one"))
    assert_same_as_onnxruntime(model, data(3), batch={"y": 0, "h2": 1, "c2": 1})


def test_a_fixed_batch_of_states_that_could_be_on_two_axes_is_that_of_the_state_taken():
    text = """g (float[1,5,3] x, float[1,1,4] h0, float[1,1,4] c0)
        => (float[5,1,1,4] y, float[1,1,4] h, float[1,1,4] c) {
        t = Transpose<perm=[1,0,2]>(x) y, h, c = LSTM<hidden_size=4>(t, w1, r1, , , h0, c0)
    }"""
    x = data(3)
    x |= {name: x[name][:1] for name in ("h0", "c0")}
    assert_same_as_onnxruntime(make(text), x, batch={"y": 2, "h": 1, "c": 1})


@pytest.mark.parametrize("steps", ["steps", "7"])
def test_time_comes_first(steps):
    model = make(
        f"g (float[{steps},n,3] x) => (float[{steps},1,n,4] y, float[1,n,4] h) "
        "{ y, h = LSTM<hidden_size=4>(x, w1, r1) }"
    )
    found = assert_same_as_onnxruntime(model, {"x": RNG.normal(size=(7, 9, 3)).astype(np.float32)})
    assert found.axes == {"y": 2, "h": 1}
    assert found.logits.shape == (9, 7, 1, 4)


def test_time_first_without_a_recurrent_node_is_known_by_names_or_told():
    text = "g (float[{names},3] x) => (float[{names},2] y) {{ y = MatMul(x, p3) }}"
    x = {"x": RNG.normal(size=(7, 9, 3)).astype(np.float32)}
    assert assert_same_as_onnxruntime(make(text.format(names="time,batch_size")), x).axes == {"y": 1}
    assert assert_same_as_onnxruntime(make(text.format(names="u,v")), x).axes == {"y": 0}  # for want of a sign
    told = assert_same_as_onnxruntime(make(text.format(names="u,v")), x, batch_axes={"x": 1})
    assert told.axes == {"y": 1}
    assert told.stats.images == 9


def test_all_inputs_of_a_batch_may_share_a_number():
    model = detector(rate=", float rate", end="y = Mul(m, rate)")
    found = assert_same_as_onnxruntime(model, data(9) | {"rate": np.array(2.5, np.float32)})
    assert found.axes == {"y": 0, "h2": 1, "c2": 1}
    model = detector(rate=", float[1] rate", end="y = Mul(m, rate)")
    assert_same_as_onnxruntime(model, data(9) | {"rate": np.float32([2.5])}, batch_axes={"rate": None})


def test_an_output_without_batch_is_left_out_if_told_so():
    model = detector(out="float[{n},5,2] y, float z", end="y = Identity(m) z = ReduceMean<keepdims=0>(m)")
    with pytest.raises(NetworkError, match=r"output 'z' has shape \(\) for 4 inputs;.*leave the output out \(z=none\)"):
        assert_same_as_onnxruntime(model, data(9))
    assert set(assert_same_as_onnxruntime(model, data(9), batch_axes={"z": None}).outputs) == {"y"}


@pytest.mark.parametrize(
    ("batch_axes", "message"),
    [
        ({"h": 1}, "no input or output 'h' whose batch axis could be told; there are: x, h0, c0, y, h2, c2"),
        ({"h0": 3}, "input 'h0' has 3 axes, 0..2, got 3"),
        ({"x": None, "h0": None, "c0": None}, "no input of the network has an axis that counts the batch"),
        (
            {"h0": 2},
            "inputs differ in length: 9 of 'x' .axis 0., 4 of 'h0' .axis 2., 9 of 'c0' .axis 1.;.*--batch-axis h0=1",
        ),
        ({"y": 1}, r"output 'y' has shape \(9, 5, 2\) for 9 inputs; export .*--batch-axis y=0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(batch_axes, message):
    with pytest.raises(NetworkError, match=message) as caught:
        compile_network(detector(), FINE, batch_axes=batch_axes).run(data(9), "ideal")
    assert "\n" not in str(caught.value)


def test_a_batch_fixed_to_several_sizes_is_refused_with_a_way_out():
    model = make("g (float[1,4] a, float[3,4] b) => (float[1,2] y) { s = MatMul(b, q) t = MatMul(a, q) y = Add(t, s) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 2), np.float32), "q"))
    with pytest.raises(NetworkError, match="fixes the batch to several sizes: 'a' 1, 'b' 3; name the axes"):
        compile_network(model, FINE)


def test_an_output_whose_batch_could_be_on_two_axes_is_not_guessed():
    end = "y = Identity(m) a = Shape(m) b = Slice(a, zero, one) i = Concat<axis=0>(b, b) q = Expand(u, i)"
    model = detector(out="float[{n},5,2] y, float q", end=end)
    for name, value in {"zero": np.int64([0]), "one": np.int64([1]), "u": np.float32(1)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    with pytest.raises(
        NetworkError, match=r"output 'q' has shape \(9, 9\).*axes 0, 1 could count the batch; say which"
    ):
        compile_network(model, FINE).run(data(9), "ideal")
    assert compile_network(model, FINE, batch_axes={"q": 1}).run(data(9), "ideal").axes["q"] == 1


@pytest.mark.parametrize("word", ["h0", "=1", "h0=-1", "h0=one"])
def test_a_word_for_an_axis_is_a_name_and_a_number(word):
    with pytest.raises(SpecError, match="told as NAME=AXIS"):
        RunPlan().changed(mapping={"batch_axis": [word]})
    assert MappingPlan(batch_axis=("a=b=1", "rate=none")).options["batch_axes"] == {"a=b": 1, "rate": None}


def test_a_plan_takes_the_first_inputs_on_whatever_axis_they_are(tmp_path):
    arrays = data(9) | {"rate": np.float32(2), "y": np.arange(9)}
    np.savez(tmp_path / "data.npz", **arrays)
    model = detector(rate=", float rate", end="y = Mul(m, rate)")
    plan = RunPlan(engine="ideal", images=4)
    found = run(plan, model, load_dataset(tmp_path / "data.npz"), _uncalibrated())
    assert found.first.result.outputs["h2"].shape == (2, 4, 4)
    assert found.first.dataset.labels.shape == (4,)
    np.savez(tmp_path / "data.npz", **arrays | {"y": np.arange(5)})
    with pytest.raises(NetworkError, match=r"one label for each of the 9 inputs, got shape \(5,\)"):
        run(plan.changed(images=None), model, load_dataset(tmp_path / "data.npz"), _uncalibrated())


def test_typical_inputs_of_several_go_by_their_names(tmp_path):
    rate, typical = {"rate": np.float32(2)}, {f"{name}_calibration": 3 * array for name, array in data(20).items()}
    model, plan = detector(rate=", float rate", end="y = Mul(m, rate)"), RunPlan(engine="ideal")
    np.savez(tmp_path / "data.npz", **data(9), **rate, **typical)
    dataset = load_dataset(tmp_path / "data.npz")
    assert set(dataset.inputs) == {"x", "h0", "c0", "rate"}
    assert {name: len(array) for name, array in dataset.arrays().items() if "calibration" in name} == {
        "x_calibration": 20, "h0_calibration": 2, "c0_calibration": 2,
    }  # fmt: skip
    found = run(plan, model, dataset, _uncalibrated())
    assert not any("no calibration inputs" in note for note in found.first.result.stats.notes)
    wanted = compile_network(
        model, FINE, x_calibration=rate | {k.removesuffix("_calibration"): v for k, v in typical.items()}
    )
    assert found.network.ranges == wanted.ranges


def _uncalibrated():
    from spicesim.network.uncalibrated import UncalibratedChip

    return UncalibratedChip(FINE)
