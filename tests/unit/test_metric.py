"""Metrics of the user's own beside accuracy, with intervals over inputs; and why there is no accuracy."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import scipy.stats

from spicesim.chip import preset, save_chip
from spicesim.cli.main import main
from spicesim.errors import SpecError
from spicesim.experiment.metric import Metric, accuracy_of, judge, load_metric, missing_accuracy
from spicesim.experiment.plan import load_plan
from spicesim.report import NetworkReport

RNG = np.random.default_rng(11)
CHIP = preset("gf180-1t1r").changed(array={"rows": 32, "columns": 32})
OWN = """
import numpy as np
from scipy.stats import rankdata

def perplexity(outputs, y):
    z = outputs - outputs.max(axis=-1, keepdims=True)
    log = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return np.exp(-np.take_along_axis(log, y[..., None], -1).mean())

def spearman(outputs, y):
    return np.corrcoef(rankdata(outputs[:, 0, 0]), rankdata(y))[0, 1]

def f1(outputs, y):
    found, true = outputs[:, 0, 0] > 0, y > 0
    return 2 * (found & true).sum() / (found.sum() + true.sum())

def broken(outputs, y):
    raise KeyError("no such\\nthing")

number = 3
"""


def metric(function):
    return Metric(name="own:f", function=function)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    digital = RNG.normal(size=400)
    analog = digital + RNG.normal(0.1, 0.2, size=400)
    found = judge(metric(lambda outputs, y: outputs.mean()), analog, digital, None, seed=1)
    for estimate, own in ((found.analog, analog), (found.digital, digital), (found.difference, analog - digital)):
        assert estimate.value == pytest.approx(own.mean())
        reach = 1.96 * own.std() / 20
        assert estimate.low == pytest.approx(own.mean() - reach, abs=0.2 * reach)
        assert estimate.high == pytest.approx(own.mean() + reach, abs=0.2 * reach)
    again = judge(metric(lambda outputs, y: outputs.mean()), analog, digital, None, seed=1)
    assert again == found
    assert judge(metric(lambda outputs, y: outputs.mean()), analog, digital, None, seed=2) != found


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(100):
        outputs = np.random.default_rng([5, seed]).exponential(size=60)
        found = judge(metric(lambda own, y: own.mean()), outputs, outputs, None, seed=seed).analog
        covered += found.low <= 1 <= found.high
    assert 86 <= covered <= 99


def test_labels_are_drawn_with_their_outputs():
    outputs = RNG.normal(size=(50, 3))
    found = judge(metric(lambda own, y: float(np.abs(own - y).max())), outputs, outputs + 1, outputs, seed=0)
    assert (found.analog.low, found.analog.high) == (0, 0)
    assert found.digital.low == pytest.approx(1)


def test_draws_without_a_value_are_left_out_and_many_leave_no_interval():
    y = np.arange(40) < 20

    def mostly(outputs, own):
        return 1.0 if own[:20].any() else np.nan  # a draw without the class is rare

    assert judge(metric(mostly), y, y, y, seed=0).analog.low == 1
    found = judge(metric(lambda outputs, own: 1 / (outputs[0] == 0)), np.arange(9), np.arange(9), None, seed=0).analog
    assert found.low is None
    assert "no interval" in found.format()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs, y: np.inf, "the metric 'own:f' of all inputs is inf, digital inf, not finite"),
        (lambda outputs, y: "good", "fails on outputs of shape .4,. and y missing: ValueError: could not convert"),
        (lambda outputs: 1, "TypeError: .*; it is called with .outputs, y. and returns a number"),
    ],
)
def test_a_metric_that_is_none_is_refused_in_a_line(function, message):
    with pytest.raises(SpecError, match=message) as caught:
        judge(metric(function), np.arange(4), np.arange(4), None, seed=0)
    assert "\n" not in str(caught.value)


SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]])


@pytest.mark.parametrize(
    ("scores", "answers", "labels", "accuracy", "reason"),
    [
        (SCORES, None, None, None, None),
        (SCORES, None, np.array([1, 0, 1]), 2 / 3, None),
        (SCORES, None, np.array([1.0, 0.0, 0.0]), 1, None),
        (SCORES, np.array([7, 9, 9]), np.array([7, 9, 7]), 2 / 3, None),
        (SCORES, np.array(["a", "b", "b"]), np.array(["a", "b", "b"]), 1, None),
        (SCORES, np.array([[7], [9], [9]]), np.array([7, 9, 9]), 1, None),
        (SCORES, None, np.array(["a", "b", "b"]), None, "y holds texts"),
        (SCORES, None, np.array([0.5, 0, 1]), None, "y holds no classes"),
        (SCORES, None, np.zeros((3, 2), int), None, r"y has shape \(3, 2\)"),
        (SCORES, np.zeros((3, 2), int), np.array([1, 0, 1]), None, r"answers in shape \(3, 2\)"),
        (SCORES[:, :1], None, np.array([1, 0, 1]), None, r"has shape \(3, 1\), not \(inputs, classes\)"),
        (SCORES[:, None], None, np.array([1, 0, 1]), None, r"has shape \(3, 1, 2\)"),
    ],
)
def test_accuracy_is_told_or_why_not(scores, answers, labels, accuracy, reason):
    found = accuracy_of(scores, answers, labels)
    assert found == (accuracy if accuracy is None else pytest.approx(accuracy))
    missing = missing_accuracy(scores, answers, labels)
    if reason is None:
        assert missing is None
    else:
        assert re.search(reason, missing)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Path("my_metrics.py").write_text(OWN, encoding="utf-8")
    save_chip(CHIP, "chip.toml")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n,4,8] x) => (float[n,4,5] y) { y = MatMul(x, w) }'
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(RNG.normal(size=(8, 5)).astype(np.float32), "w"))
    onnx.save(model, "lm.onnx")
    np.savez("text.npz", x=RNG.normal(size=(30, 4, 8)).astype(np.float32), y=RNG.integers(0, 5, (30, 4)))
    return tmp_path


def infer(*words):
    with pytest.raises(SystemExit) as ended:
        main(["infer", "lm.onnx", "text.npz", "--chip", "chip.toml", "--engine", "ideal", *words])
    return ended.value.code


def test_the_command_tells_a_metric_with_its_interval(folder, capsys):
    assert infer("--metric", "my_metrics:perplexity", "--json", "out.json") == 0
    out = capsys.readouterr().out
    document = json.loads(Path("out.json").read_text(encoding="utf-8"))
    found = document["metric"]
    assert f"my_metrics:perplexity, ideal: {found['value']:.6g}, 95% confidence {found['interval'][0]:.6g}.." in out
    assert f"my_metrics:perplexity, digital: {found['digital']['value']:.6g}, 95% confidence" in out
    assert "my_metrics:perplexity, change: " in out
    assert "no accuracy" not in out
    low, high = found["interval"]
    assert low < found["value"] < high
    assert abs(found["difference"]["value"]) < found["value"] / 20
    assert document["chips"]["metrics"] == [found["value"]]
    # without it the run says what it lacks
    assert infer() == 0
    assert "note: no accuracy: y has shape (30, 4), not one class an input; name a metric" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["spearman", "f1"])
def test_ranks_and_f1_are_those_of_the_outputs_written(folder, word):
    with np.load("text.npz") as data:
        x = data["x"]
    y = x[:, 0].sum(axis=1) + RNG.normal(size=30)
    np.savez("text.npz", x=x, y=y)
    assert infer("--metric", f"my_metrics:{word}", "--json", "out.json", "--output", "out.npz") == 0
    with np.load("out.npz") as written:
        first = written["y"][:, 0, 0]
    found = json.loads(Path("out.json").read_text(encoding="utf-8"))["metric"]["value"]
    both = np.count_nonzero((first > 0) & (y > 0))
    wanted = {
        "spearman": scipy.stats.spearmanr(first, y).statistic,
        "f1": both / (both + np.count_nonzero((first > 0) != (y > 0)) / 2),
    }
    assert found == pytest.approx(wanted[word])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("my_metrics:nothing", "cannot import 'my_metrics:nothing'"),
        ("my_metrics:number", "'my_metrics:number' must be a function of outputs and labels, got int"),
        (
            "my_metrics:broken",
            "the metric 'my_metrics:broken' fails on outputs of shape (30, 4, 5) and y of shape (30, 4)",
        ),
        ("perplexity", "a metric of your own is called package.module:Name"),
    ],
)
def test_the_command_refuses_what_is_no_metric(folder, capsys, word, message):
    assert infer("--metric", word) != 0
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_file_names_no_code_that_runs(folder):
    Path("run.toml").write_text('metric = "my_metrics:perplexity"\n', encoding="utf-8")
    with pytest.raises(SpecError, match="is Python code that 'my_metrics:perplexity' would run"):
        load_plan("run.toml")


def test_the_page_of_a_run_begins_with_the_metric():
    outputs = np.arange(9.0)
    verdict = judge(metric(lambda own, y: own.mean()), outputs + 1, outputs, None, seed=0)
    report = NetworkReport(model="m", engine="exact", images=9, layers=(), verdict=verdict)
    assert report.highlights == (
        ("own:f, digital", verdict.digital.format()),
        ("own:f, exact", verdict.analog.format()),
    )
    assert verdict.analog.format().startswith("5, 95% confidence ")


def test_no_word_is_no_metric():
    assert load_metric(None) is None
