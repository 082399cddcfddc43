import numpy as np
import onnx
import onnxruntime
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spicesim.network.convolution import ConvGeometry

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def convolve(x, w, geometry):
    """Convolve with onnxruntime."""
    options = {"strides": geometry.strides, "dilations": geometry.dilations, "auto_pad": geometry.auto_pad}
    if geometry.auto_pad == "NOTSET":
        options["pads"] = geometry.pads
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], **options)
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xwy"]
    graph = onnx.helper.make_graph([node], "conv", infos[:2], infos[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x, "w": w})[0]


@given(
    geometry=st.builds(
        ConvGeometry, kernel=PAIRS, strides=PAIRS, dilations=PAIRS,
        pads=st.tuples(*[st.integers(0, 2)] * 4),
        auto_pad=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
    ),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 3), limit=st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=150)
def test_patches_times_kernel_is_the_convolution_of_onnxruntime(geometry, size, channels, limit):
    if geometry.auto_pad.startswith("SAME"):  # onnxruntime refuses the two together
        assume(geometry.dilations == (1, 1))
    top, left, bottom, right = geometry.padding(*size)
    assume(size[0] + top + bottom >= geometry.extent[0])
    assume(size[1] + left + right >= geometry.extent[1])
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, channels, *size)).astype(np.float32)
    w = generator.normal(size=(4, channels, *geometry.kernel)).astype(np.float32)
    blocks = list(geometry.patches(x, limit))
    height, width = geometry.output_size(*size)
    assert all(len(block) <= max(limit, width) for block in blocks)
    y = (np.concatenate(blocks) @ w.reshape(4, -1).T).reshape(2, height, width, 4).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, convolve(x, w, geometry), rtol=1e-4, atol=1e-5)  # onnxruntime sums in float32


@given(
    dimensions=st.integers(1, 4), auto_pad=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
    limit=st.integers(1, 40), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60)
def test_patches_have_any_number_of_axes(dimensions, auto_pad, limit, seed):
    assume(dimensions < 4 or auto_pad == "VALID")  # numbers enough
    generator = np.random.default_rng(seed)

    def draw(low, high, count=dimensions):
        return tuple(int(k) for k in generator.integers(low, high + 1, count))

    dilations = (1,) * dimensions if auto_pad.startswith("SAME") else draw(1, 2)
    geometry = ConvGeometry(
        kernel=draw(1, 3), strides=draw(1, 3), dilations=dilations, pads=draw(0, 2, 2 * dimensions), auto_pad=auto_pad
    )
    sizes = draw(5, 7)
    x = generator.normal(size=(2, 3, *sizes)).astype(np.float32)
    w = generator.normal(size=(4, 3, *geometry.kernel)).astype(np.float32)
    y = np.concatenate(list(geometry.patches(x, limit))) @ w.reshape(4, -1).T
    y = np.moveaxis(y.reshape(2, *geometry.output_size(*sizes), 4), -1, 1)
    if dimensions > 3:  # onnxruntime has none; sums over windows by hand
        windows = np.lib.stride_tricks.sliding_window_view(x, geometry.extent, axis=tuple(range(2, 2 + dimensions)))
        steps = tuple(slice(None, None, step) for step in (*geometry.strides, *geometry.dilations))
        wanted = np.tensordot(windows[:, :, *steps], w, [[1, *range(6, 10)], [1, 2, 3, 4, 5]])
        wanted = np.moveaxis(wanted, -1, 1)
    else:
        wanted = convolve(x, w, geometry)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
