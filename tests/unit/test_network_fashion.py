"""Networks of scripts/train_fashion.py, by both of PyTorch's exporters, run from their files as they are."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.engine import IdealEngine
from spicesim.network import compile_network
from spicesim.network.dataset import load_dataset

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_fashion.py"
PYTHON = os.environ.get("SPICESIM_TORCH_PYTHON")
pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="set SPICESIM_TORCH_PYTHON to a Python with torch and onnx; needs dataset-fashion-mnist"
)


@pytest.fixture(scope="module", params=[["--opset", "13"], ["--opset", "17"], ["--opset", "20", "--dynamo"]], ids=str)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fashion")
    words = [PYTHON, "-W", "ignore", str(SCRIPT), "--output", str(folder), "--epochs", "3", "--train-images", "4000"]
    subprocess.run([*words, *request.param], check=True, capture_output=True, timeout=600)
    return folder


@pytest.mark.parametrize(
    ("name", "layers", "digital"), [("mlp", 3, 0), ("lenet", 5, 0), ("residual", 9, 0), ("vit", 10, 4)]
)
def test_trained_networks_run_unchanged_and_fine_converters_reproduce_them(folder, name, layers, digital):
    chip = preset("gf180-1t1r").changed(dac={"bits": 16}, adc={"bits": 16})
    data = load_dataset(folder / f"{folder.name}.npz").first(200)
    network = compile_network(folder / f"{name}.onnx", chip, x_calibration=data.calibration_inputs)
    assert len(network.layers) == layers
    assert sum("multiplies two computed values" in note for note in network.notes) == digital
    logits, wanted = network.run(data.inputs["x"], IdealEngine(chip)).logits, network.run_digital(data.inputs["x"])
    assert np.sqrt(np.mean((logits - wanted) ** 2) / np.mean(wanted**2)) < 1e-3
    assert np.mean(logits.argmax(axis=1) == wanted.argmax(axis=1)) >= 0.999
    assert np.mean(wanted.argmax(axis=1) == data.labels) > 0.5
