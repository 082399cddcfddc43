"""What a command waits for before its first product: said in modules, bytes and order, never in seconds."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from spicesim.chip.section import Section
from spicesim.experiment.plan import MappingPlan, RunPlan
from spicesim.experiment.run import run
from spicesim.network import Network, compile_network
from spicesim.network.loading import FEW, load_model, without_weights
from spicesim.network.run import _Course
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.schedule.stack import Stacks
from tests.unit.test_network import FINE

SLOW = ("asyncio", "distributed", "jinja2", "joblib", "matplotlib", "optuna", "scipy.integrate", "scipy.ndimage",
        "scipy.signal", "scipy.stats", "torch")  # fmt: skip
"""Modules that take long to import, and that a run of a network without a page and without simulations does not use."""


def two_layers(outputs=48):
    """Return a network of two layers on arrays, and a digital one that is named; all have more than FEW weights."""
    rng = np.random.default_rng(4)
    shapes = {"w1": (40, outputs), "w2": (outputs, 30), "w3": (30, 40)}
    weights = [numpy_helper.from_array(rng.normal(size=own).astype(np.float32), name) for name, own in shapes.items()]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"], name="second"),
        helper.make_node("MatMul", ["c", "w3"], ["y"], name="third"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 40]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_infer_imports_nothing_that_only_other_work_needs():
    code = f"import sys, spicesim.cli.infer; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_model_that_onnxruntime_parses_holds_large_weights(monkeypatch):
    parsed, session = [], onnxruntime.InferenceSession

    def watched(packed, *rest, **words):
        parsed.append(len(packed))
        return session(packed, *rest, **words)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    made = compile_network(two_layers(), FINE, digital=["third"])
    made.fit_ranges(np.ones((3, 40), np.float32))
    assert parsed
    assert max(parsed) < 4 * FEW  # bytes of the smallest of its weights, in single precision


def test_what_onnxruntime_is_handed_is_what_the_file_holds():
    """Whole and in part: kept digital, weights come to a session of their own. What no node takes is no trouble."""
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(two_layers().SerializeToString()).run(None, {"x": x})[0]
    model = two_layers()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((40, 40), np.float32), "unused"))
    made = compile_network(model, FINE, digital=["third"], x_calibration=x)
    np.testing.assert_array_equal(made.run_digital(x), wanted)
    assert 10 * np.sqrt(np.mean((made.run(x, "ideal").logits - wanted) ** 2)) < np.sqrt(np.mean(wanted**2))


@pytest.mark.parametrize("name", ["w1", "w3"])
def test_any_weight_changes_the_hash_of_a_network(name):
    """Those on arrays and digital ones, by their last bit."""
    changed = two_layers()
    tensor = next(own for own in changed.graph.initializer if own.name == name)
    data = bytearray(tensor.raw_data)
    data[-4] ^= 1
    tensor.raw_data = bytes(data)
    networks = [compile_network(model, FINE, digital=["third"]) for model in (two_layers(), two_layers(), changed)]
    same, again, other = (own._compiled.hash for own in networks)
    assert same == again != other


def test_the_checker_sees_all_of_a_model_but_its_large_weights():
    light = without_weights(two_layers())
    assert not light.graph.initializer
    assert [own.name for own in light.graph.input] == ["x", "w1", "w2", "w3"]
    broken = two_layers()
    broken.graph.initializer.append(broken.graph.initializer[0])  # twice
    with pytest.raises(Exception, match="valid ONNX"):
        load_model(broken)


def test_the_first_product_comes_before_the_digital_network_runs(monkeypatch):
    order, multiply, digital = [], _Course._multiply, Network.run_digital

    def watched_product(self, *given):
        order.append("product")
        return multiply(self, *given)

    def watched_digital(self, *given, **words):
        order.append("digital")
        return digital(self, *given, **words)

    monkeypatch.setattr(_Course, "_multiply", watched_product)
    monkeypatch.setattr(Network, "run_digital", watched_digital)
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    run(RunPlan(engine="ideal"), two_layers(), {"x": x}, UncalibratedChip(FINE.chip))
    assert order[0] == "product"
    assert order.count("digital") == 1


@pytest.mark.parametrize("section", [RunPlan, MappingPlan, Stacks])
def test_every_field_says_what_it_means(section):
    meanings = section.meanings()
    assert list(meanings) == list(section.model_fields)
    assert all(meanings.values())


def test_meanings_are_those_of_the_class_and_of_what_it_extends():
    class Longer(Stacks):
        """Of a test: no text stands under its field at the top of this module."""

        more: int = 0

    assert Longer.meanings() == {**Stacks.meanings(), "more": ""}
    assert Section.meanings() == {}


def test_a_model_of_onnx_is_left_as_it_was():
    model = two_layers()
    before = onnx.ModelProto()
    before.CopyFrom(model)
    compile_network(model, FINE)
    assert model == before
