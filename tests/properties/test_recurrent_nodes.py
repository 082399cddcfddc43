"""Every LSTM, GRU and RNN with its weights on ideal arrays makes the numbers that onnxruntime makes."""

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from spicesim.chip import Chip, preset
from spicesim.engine import IdealEngine
from spicesim.network import compile_network
from spicesim.network.node import AnalogNode

FINE = preset("gf180-1t1r").changed(
    array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16, "percentile": 100}
)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FLOAT = onnx.TensorProto.FLOAT
SIZES = st.integers(1, 5)


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip = FINE
    conductance_range: tuple[float, float] = (1e-6, 45e-6)

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def build(op, sizes, *, direction, biased, states, wanted, length, layout, attributes, seed=0):
    """Return a network of one recurrent node, the batch first in all that goes in and out, and inputs for it."""
    batch, steps, inputs, hidden = sizes
    directions, parts = 1 + (direction == "bidirectional"), 1 + (op == "LSTM")
    generator = np.random.default_rng(seed)
    width = GATES[op] * hidden
    shapes = {
        "w": (directions, width, inputs), "r": (directions, width, hidden), "b": (directions, 2 * width),
        "x": (batch, steps, inputs), "first0": (batch, directions, hidden), "first1": (batch, directions, hidden),
    }  # fmt: skip
    arrays = {
        name: (generator.normal(size=shape) / np.sqrt(shape[-1] if name in "wr" else 1)).astype(np.float32)
        for name, shape in shapes.items()  # larger recurrent weights would make errors grow from step to step
    }
    constants = [onnx.numpy_helper.from_array(arrays[name], name) for name in "wrb"]
    names = ["x", *(f"first{k}" for k in range(parts if states else 0))]
    made = [f"out{k}" if wanted[k] else "" for k in range(1 + parts)]
    lengths = "lengths" if length else ""
    if length:
        constants.append(onnx.numpy_helper.from_array(np.full(batch, min(length, steps), np.int32), lengths))
    turned = [name if layout else f"{name}_t" for name in names]
    node = helper.make_node(
        op, [turned[0], "w", "r", "b" if biased else "", lengths, *turned[1:]],
        [name and (name if layout else f"{name}_t") for name in made],
        hidden_size=hidden, direction=direction, layout=layout, **attributes,
    )  # fmt: skip
    nodes = [node]
    if not layout:
        before = [helper.make_node("Transpose", [name], [f"{name}_t"], perm=[1, 0, 2]) for name in names]
        after = [
            helper.make_node("Transpose", [f"{name}_t"], [name], perm=perm)
            for name, perm in zip(made, ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2]), strict=False)
            if name
        ]
        nodes = [*before, node, *after]
    graph = helper.make_graph(
        nodes, "recurrence",
        [helper.make_tensor_value_info(name, FLOAT, ["n", *shapes[name][1:]]) for name in names],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in made if name], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, {name: arrays[name] for name in names}


@given(
    op=st.sampled_from(sorted(GATES)), sizes=st.tuples(SIZES, SIZES, SIZES, st.integers(1, 9)),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]), before=st.booleans(), biased=st.booleans(),
    states=st.booleans(), wanted=st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(lambda w: any(w[:2])),
    length=st.sampled_from([0, 0, 2]), layout=st.integers(0, 1), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60)
def test_a_recurrent_node_of_any_kind(op, sizes, direction, before, biased, states, wanted, length, layout, seed):
    options = {
        "direction": direction, "biased": biased, "states": states, "wanted": wanted, "length": length, "seed": seed,
        "attributes": {"linear_before_reset": int(before)} if op == "GRU" else {},
    }  # fmt: skip
    time_first, x = build(op, sizes, layout=0, **options)  # onnxruntime has no other
    reference = compile_network(time_first, FakeCalibration())
    network = compile_network(build(op, sizes, layout=layout, **options)[0], FakeCalibration(), x_calibration=x)
    parts = ["input", "recurrent", "candidate"] if op == "GRU" and not before else ["input", "recurrent"]
    assert [layer.name.rpartition(".")[2] for layer in network.layers] == parts
    assert network.notes == ()
    values = dict(x)
    for step in network._compiled.steps:
        step.run(values, AnalogNode.apply)
    for name, y in network.run(x, IdealEngine(FINE)).outputs.items():
        wanted = reference._compiled.values([name], x)[name]
        scale = max(np.abs(wanted).max(), 0.1)  # a state may vanish where products, whose errors count, do not
        np.testing.assert_allclose(values[name], wanted, rtol=0, atol=1e-5 * scale, strict=True)
        np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-3 * scale, strict=True)
