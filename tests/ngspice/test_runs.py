"""Any combination of conditions runs or is refused by the plan, and is replayed from its document bit for bit."""

import json

import numpy as np
import onnx
import pytest

from spicesim.errors import SpecError
from spicesim.experiment.plan import make_plan
from spicesim.experiment.replay import replay
from spicesim.experiment.run import run
from spicesim.files import write_json

pytestmark = pytest.mark.long

COMBINATIONS = 300
CHOICES = {
    "engine": ("exact", "exact", "fast", "ideal"),
    "places": ({}, {}, {"layer1": "exact"}, {"layer0:0": "ideal"}, {"layer1:tile0": "fast"}),
    "corner": (None, "ss", "ff", "fs", "typical"),
    "temperature_c": (None, -25.0, 85.0),
    "mismatch": (None, 0, 7),
    "device": (None, None, "pcm", "rram", "typical"),
    "time": (0.0, 3600.0),
    "noise": (False, True),
    "early": (False, False, False, True),
    "t_read": (None, 40e-9),
    "wires": (True, True, False),
    "gains": (None, False),
    "chips": (1, 1, 2),
    "seed": (0, 5),
    "mapping": (
        {}, {}, {"slices": 2, "cell_bits": 3}, {"input_digit": 1}, {"signs": "reference"}, {"input_scale": "vector"},
        {"predistort": True},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def calibration(climate_calibration):
    return climate_calibration


@pytest.fixture(scope="module")
def folder(tmp_path_factory, calibration):
    """A network of two layers, inputs, and the calibration."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 6])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 4), (4, 3))]
    constants = [onnx.numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)]
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w0"], ["h"]), onnx.helper.make_node("Relu", ["h"], ["r"]),
        onnx.helper.make_node("MatMul", ["r", "w1"], ["y"]),
    ]  # fmt: skip
    graph = onnx.helper.make_graph(nodes, "two layers", [x], [y], constants)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "net.onnx")
    np.savez(
        folder / "data.npz", x=rng.random((3, 6)).astype(np.float32), y=np.array([0, 1, 2]),
        x_calibration=rng.random((32, 6)).astype(np.float32),
    )  # fmt: skip
    calibration.save(folder / "chip.cal.json")
    return folder


def draw(seed):
    rng = np.random.default_rng(seed)
    document = {key: choices[rng.integers(len(choices))] for key, choices in CHOICES.items()}
    if document["device"] is None and rng.random() < 0.8:
        document["time"] = 0.0
    if document["mismatch"] is None and document["device"] is None and not document["noise"]:
        document["chips"] = 1
    return {key: value for key, value in document.items() if value is not None}


@pytest.mark.parametrize("part", range(10))
def test_any_combination_runs_and_replays_or_is_refused_by_the_plan(folder, calibration, part):
    files = folder / "net.onnx", folder / "data.npz", calibration
    done = 0
    for seed in range(part, COMBINATIONS, 10):
        try:
            plan = make_plan(draw(seed))
        except SpecError:
            continue
        found = run(plan, *files)
        assert len(found.experiments) == plan.chips
        assert np.isfinite(found.first.result.logits).all()
        write_json(folder / f"{seed}.json", found.document())
        assert make_plan(json.loads((folder / f"{seed}.json").read_text())["plan"]) == plan
        again = replay(folder / f"{seed}.json", calibration=calibration)
        assert again.differences == (), seed
        assert again.surroundings == ()
        done += 1
    assert done >= 12


def test_every_condition_changes_the_outputs(folder, calibration):
    """None is dropped on the way; each is a change of one thing from all at once, seen before or behind converters."""
    files = folder / "net.onnx", folder / "data.npz", calibration
    whole = {
        "corner": "ss", "temperature_c": 85.0, "mismatch": 3, "device": "pcm", "time": 3600.0, "noise": True,
        "early": True, "t_read": 40e-9, "gains": False,
    }  # fmt: skip

    def numbers(document):
        result = run(make_plan(document), *files).first.result
        return [result.logits, *(sample.volts for sample in result.samples)]

    before = numbers(whole)
    for name, other in {
        "corner": None, "temperature_c": None, "mismatch": None, "device": "typical", "time": 0.0, "noise": False,
        "early": False, "gains": True, "wires": False, "seed": 1, "drift_compensation": False,
        "mapping": {"signs": "reference"}, "places": {"layer0": "ideal"},
    }.items():  # fmt: skip
        after = numbers({key: value for key, value in (whole | {name: other}).items() if value is not None})
        same = len(before) == len(after) and all(map(np.array_equal, before, after))
        assert not same, name


def test_all_conditions_at_once_are_audited_at_transistor_level(folder, calibration):
    """Drawn transistors, slow corner, hot, aged devices: settled outputs, against the circuit itself."""
    files = folder / "net.onnx", folder / "data.npz", calibration
    plan = make_plan(
        {"corner": "ss", "temperature_c": 85.0, "mismatch": 3, "device": "pcm", "time": 3600.0, "audit": 4}
    )
    audit = run(plan, *files).first.audit
    nominal = run(plan.changed(mismatch=None), *files).first.audit
    assert nominal.max_error < 2e-4
    assert audit.max_error < 5e-4
