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
