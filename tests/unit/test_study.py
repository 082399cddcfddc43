"""Studies: spaces and grids, names held against those there are, one calibration for many chips, kill and resume."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tomlkit

from spicesim.chip import load_chip, save_chip
from spicesim.cli.main import main
from spicesim.errors import NetworkError, SpecError, ValidityError
from spicesim.study.chips import Calibrations
from spicesim.study.description import load_study, make_study
from spicesim.study.evaluation import Bench, Outcome
from spicesim.study.explore import explore
from spicesim.study.front import find_front
from spicesim.study.goals import Goal, Reading, dominates
from spicesim.study.importance import importance
from spicesim.study.page import write_study_report
from spicesim.study.search import Record
from spicesim.study.space import Axis, apart, grid_points

WIRES = "array.r_word_line, array.r_bit_line"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """
<pre id="probe"></pre>
<script>
const errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("load", () => setTimeout(() => {
  document.getElementById("probe").textContent = JSON.stringify({
    errors, requests: performance.getEntriesByType("resource").map(entry => entry.name),
    drawn: document.querySelectorAll(".plotly-graph-div .main-svg:first-child").length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  });
}, 1000));
</script>
</body>"""
"""Appended to a copy of the page, to ask the browser what it made of it."""


@pytest.fixture(scope="session")
def chip_file(tmp_path_factory, small_calibration):
    """The chip of the small calibration, as a file; what its blocks take is in the cache of this test run."""
    path = tmp_path_factory.mktemp("study") / "chip.toml"
    save_chip(small_calibration.chip, path)
    return path


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    """A network of eight inputs and four classes, and its data: one array of the small chip, so points are quick."""
    folder, rng = tmp_path_factory.mktemp("subject"), np.random.default_rng(3)
    weights, x = rng.normal(size=(8, 4)).astype(np.float32), rng.uniform(size=(40, 8)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "small",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "net.onnx"))
    np.savez(folder / "data.npz", x=x, y=np.argmax(x @ weights, axis=1), x_calibration=x[20:])
    return folder / "net.onnx", folder / "data.npz"


@pytest.fixture
def document(chip_file, subject):
    """Return what makes the content of a study of the small chip, some of it changed."""
    base = {
        "network": str(subject[0]), "data": str(subject[1]), "chip": str(chip_file), "quick": True, "audit": 3,
        "audit_images": 4, "goals": {"accuracy": "max", "tiles": "min"},
        "space": {"adc.bits": [2, 6], WIRES: ["1 ohm", "300 ohm"], "run.mapping.tile_rows": [4, 8]},
        "run": {"images": 20, "engine": "exact"},
    }  # fmt: skip
    return lambda **changes: base | changes


def write(path, study):
    """Write a study as TOML."""
    path.write_text(tomlkit.dumps(study))
    return path


def test_a_grid_holds_every_combination_once_and_conditions_leave_axes_out():
    space = {
        "chip": Axis.model_validate(["a", "b"]), "adc.bits": Axis.model_validate([4, 8]),
        "x": Axis.model_validate({"low": 1, "high": 100, "log": True, "points": 3, "when": {"chip": "b"}}),
    }  # fmt: skip
    found = list(grid_points(space))
    assert found[:2] == [{"chip": "a", "adc.bits": 4}, {"chip": "a", "adc.bits": 8}]
    assert [point["x"] for point in found[2:5]] == [1, 10, 100]
    assert len(found) == 2 + 2 * 3


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_processes_at_work_at_once_have_arrays_of_their_own(jobs):
    axes = {WIRES: [1.0, 2.0, 3.0, 4.0, 5.0], "adc.bits, adc.percentile": [4, 5, 6], "adc.kind": ["ideal", "sar"]}
    points = list(enumerate(grid_points({name: Axis(choices=values) for name, values in axes.items()})))
    ordered = list(apart(points, jobs))
    assert sorted(ordered, key=lambda own: own[0]) == points
    wires = [point[WIRES] for _, point in ordered]
    for k in range(0, 6 * jobs, jobs):
        assert len(set(wires[k : k + jobs])) == jobs
    assert [place for place, _ in apart(points, 1)] == list(range(30)), "one process goes on as the grid does"


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ({"low": 2, "high": 9, "step": 3}, (2, 5, 8)),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, (0.1, 0.2, pytest.approx(0.3))),
        ({"low": "1 kohm", "high": "3 kohm", "points": 2}, (1000.0, 3000.0)),
        ([1, True, "1"], (1, True, "1")),
    ],
)
def test_ranges_and_lists_have_the_values_that_they_say(axis, values):
    assert Axis.model_validate(axis).values("x") == values


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "scripts" / "examples").glob("study*.toml")))
def test_the_example_studies_are_studies(path):
    study = load_study(path)
    assert study.points or len(list(grid_points(study.space))) in (16, 192)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sapce": {}}, "unknown key 'sapce' of a study; the nearest is 'space'"),
        ({"goals": {"acuracy": "max"}}, "no goal 'acuracy'; the nearest is 'accuracy'"),
        ({"goals": {"accuracy": {"direction": "max", "lest": 0.5}}}, "the nearest is 'least'"),
        ({"space": {"adc.bit": [3]}}, "unknown key 'adc.bit'; the nearest is 'adc.bits'"),
        ({"space": {"run.mapping.sign": ["offset"]}}, "the nearest is 'run.mapping.signs'"),
        ({"space": {"process.models": ["x"]}}, "names files"),
        ({"space": {"adc.bits, adc.bits": [3]}}, "in two axes"),
        ({"space": {"adc.bits": {"low": 3, "hihg": 4}}}, "the nearest is 'high'"),
        ({"space": {"adc.percentile": {"low": 60.0, "high": 99.0}}}, "add points = 5"),
        ({"space": {"adc.bits": {"choices": [3], "when": {"chip": "x"}}}}, "which is no axis before it"),
        ({"search": "tpe", "start": [{"adc.bits": 5}]}, "5 is no value of the axis 'adc.bits'"),
        ({"search": "tpe", "start": [{"adc.bit": 5}]}, "no axis 'adc.bit'; the nearest is 'adc.bits'"),
        ({"run": {"enigne": "fast"}}, "the nearest is 'engine'"),
        ({"run": {"audit": 3}}, "by itself"),
        ({"goals": {"my_goals_that_nobody_trusts:cost": "min"}}, "no Python package"),
        ({"space": {"adc.kind": ["json:loads"]}}, "if you trust it"),
    ],
)
def test_a_study_refuses_what_it_does_not_know_in_one_line(document, tmp_path, change, said):
    path = write(tmp_path / "study.toml", document() | change)
    with pytest.raises(SpecError) as found:
        load_study(path)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_the_front_holds_points_that_no_other_beats_within_limits():
    goals = {"accuracy": Goal.model_validate({"direction": "max", "least": 0.3}), "tiles": Goal(direction="min")}
    rng = np.random.default_rng(5)
    values = [(float(a), float(t)) for a, t in zip(rng.integers(0, 9, 60) / 10, rng.integers(1, 30, 60), strict=True)]
    records = [
        Record(
            number=k, point={"k": k},
            outcome=Outcome(
                readings={"accuracy": Reading(value=a), "tiles": Reading(value=t)}, reason="low" if a < 0.3 else ""
            ),
        )
        for k, (a, t) in enumerate(values)
    ]  # fmt: skip
    study = make_study(
        {
            "network": "n",
            "data": "d",
            "goals": {k: g.model_dump() for k, g in goals.items()},
            "space": {"adc.bits": [3]},
        }
    )
    front = find_front(records, study)
    kept = {(one.outcome.values["accuracy"], one.outcome.values["tiles"]) for one in front}
    within = {(a, t) for a, t in values if a >= 0.3}
    assert kept == {(a, t) for a, t in within if not any(b >= a and u <= t and (b, u) != (a, t) for b, u in within)}
    assert len(kept) == len(front)
    assert not dominates(front[0].outcome.values, front[0].outcome.values, study.goals)


def test_chips_that_differ_in_wires_sizes_and_ideal_converters_share_a_calibration(small_calibration, tmp_path):
    chip = small_calibration.chip
    shared = Calibrations(tmp_path, (8, 8), quick=True)
    first = shared.of(chip, ())
    assert first.hash == small_calibration.hash, "as if it had been calibrated by itself"
    keys = {"array.rows": 4, "array.r_word_line": 30.0, "adc.bits": 3, "adc.percentile": 90.0}
    second = shared.of(chip.changed(keys), ())
    assert second.chip == chip.changed(keys)
    assert second.hash != first.hash
    assert len(list(tmp_path.glob("*.cal.json"))) == 1
    assert shared.shared_chip(chip.changed({"dac.v_span": 0.1}), ()).hash != shared.shared_chip(chip, ()).hash
    assert shared.shared_chip(chip.changed({"cell.g_max": 4e-5}), ()).hash != shared.shared_chip(chip, ()).hash
    real = chip.changed({"adc.kind": "sar"})
    assert shared.shared_chip(real.changed({"adc.bits": 6}), ()) != shared.shared_chip(real, ())


def settled(found):
    """What a study found, times left out."""
    points = [{**one.document(), "seconds": 0} for one in found.records]
    return points, [(one.record.number, one.audit) for one in found.front]


@pytest.fixture
def whole(document, tmp_path_factory):
    """The study, whole; made once."""
    folder = tmp_path_factory.getbasetemp() / "whole"
    return explore(make_study(document()), folder)


def test_a_study_tries_all_points_and_audits_every_one_of_its_front(whole):
    assert len(whole.records) == 8
    assert all(record.is_taken for record in whole.records)
    assert whole.front
    for one in whole.front:
        assert one.audit["count"] == 3
        assert one.audit["bound"]["max_error_full_scale"] < 1e-3
    assert json.loads((whole.folder / "study.json").read_text())["tried"] == 8


def test_the_front_is_run_on_inputs_that_no_choice_depended_on(whole, document, subject, tmp_path, capsys):
    """As the same plan with skip gives it; what is there already is taken; without images left nothing is searched."""
    path = write(tmp_path / "study.toml", document(unseen=15))
    shutil.copytree(whole.folder, tmp_path / "out")
    found = explore(path, tmp_path / "out", audit=False)
    assert settled(found)[0] == settled(whole)[0], "the study is the same, with more asked of its front"
    assert set(found.unseen) == {"accuracy"}
    for one in found.front:
        stem = found.folder / "front" / one.stem
        words = ["infer", *map(str, subject), "--chip", f"{stem}.toml", "--plan", f"{stem}.run.toml"]
        with pytest.raises(SystemExit):
            main([*words, "--skip", "20", "--images", "15", "--json", str(tmp_path / "out.json")])
        assert one.unseen["accuracy"].value == json.loads((tmp_path / "out.json").read_text())["accuracy"]
    again = explore(path, tmp_path / "out", audit=False)
    assert [one.unseen for one in again.front] == [one.unseen for one in found.front]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["explore", str(path), "-o", str(tmp_path / "out"), "--no-audit"])
    assert "accuracy, unseen" in capsys.readouterr().out
    stem = found.folder / "front" / found.front[0].stem
    Path(f"{stem}.unseen.json").unlink()
    calls, run = [], Bench.run

    def failing(bench, subject, plan):
        if plan.skip and not calls.append(plan):
            raise ValidityError("beyond the box")
        return run(bench, subject, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bench, "run", failing)
        other = explore(path, tmp_path / "out", audit=False)
    assert len(calls) == 1
    assert "beyond the box" in other.front[0].failure
    assert [one.unseen for one in other.front[1:]] == [one.unseen for one in found.front[1:]]
    with pytest.raises(SpecError, match="add images"):
        make_study(document(unseen=15, run={"engine": "exact"}))
    with pytest.raises(NetworkError, match="no input is left after the first 40"):
        explore(make_study(document(unseen=15, run={"images": 40, "engine": "exact"})), tmp_path / "none", audit=False)


def test_a_study_killed_at_half_goes_on_to_the_same_front(whole, document, tmp_path):
    """Ended by kill -9 in the middle, started again: all points once, the same numbers, the same front."""
    path = write(tmp_path / "study.toml", document())
    words = [sys.executable, "-m", "spicesim", "explore", str(path), "-o", str(tmp_path / "out"), "--no-audit"]
    process = subprocess.Popen(words, env=dict(os.environ), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    database = tmp_path / "out" / "study.db"

    def finished():
        if not database.exists():
            return 0
        try:
            with contextlib.closing(sqlite3.connect(database)) as connection:
                return connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    while process.poll() is None and finished() < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= finished() < 8, "it was killed in the middle"
    again = explore(path, tmp_path / "out", audit=False)
    assert settled(again)[0] == settled(whole)[0]
    assert [number for number, _ in settled(again)[1]] == [number for number, _ in settled(whole)[1]]


def test_a_search_that_was_ended_asks_for_the_same_points(document, tmp_path):
    study = make_study(
        document(
            search="tpe",
            points=13,
            start=[{"adc.bits": 2, "run.mapping.tile_rows": 8}],
            goals={"accuracy": {"direction": "max", "least": 0.2}, "tiles": "min"},
            run={"images": 4, "engine": "ideal"},
        )
    )
    assert study.start == ({"adc.bits": 2, "run.mapping.tile_rows": 8},)
    one = explore(study, tmp_path / "one", audit=False)
    assert one.records[0].point.items() >= study.start[0].items()
    explore(study, tmp_path / "two", points=5, audit=False)
    two = explore(study, tmp_path / "two", audit=False)
    assert settled(two) == settled(one)
    assert len(one.records) == 13


def test_points_that_are_no_chips_or_miss_limits_are_told_and_not_taken(document, tmp_path):
    study = make_study(
        document(
            goals={"accuracy": {"direction": "max", "least": 1.01}}, screen=4,
            space={"cell.g_min": [1e-6, 1.0]}, run={"images": 4, "engine": "ideal"},
        )
    )  # fmt: skip
    found = explore(study, tmp_path / "out")
    assert [one.outcome.stage for one in found.records] == ["ideal", "chip"]
    assert "1.01 is asked for" in found.records[0].outcome.reason
    assert "g_min must lie below g_max" in found.records[1].outcome.reason
    assert found.front == []
    with pytest.raises(SpecError, match="holds another study"):
        explore(make_study(document()), tmp_path / "out")


def test_a_goal_of_ones_own_is_a_function_of_a_run(document, tmp_path, monkeypatch):
    (tmp_path / "study_goals.py").write_text(
        "def columns(run):\n    return sum(t.g.shape[1] for t in run.network.tiles()[0])\n"
    )
    monkeypatch.chdir(tmp_path)
    goals = {"study_goals:columns": "min", "error": {"direction": "min", "most": 10.0}}
    run, space = {"images": 4, "engine": "ideal"}, {"run.mapping.signs": ["differential", "reference"]}
    found = explore(make_study(document(goals=goals, space=space, run=run)), tmp_path / "out", audit=False)
    assert [one.outcome.values["study_goals:columns"] for one in found.records] == [8.0, 5.0]
    with pytest.raises(SpecError, match=r"nearest is 'adc\.bits'"):
        explore(make_study(document(space={"adc.bit": [3]})), tmp_path / "other")


def test_files_of_the_front_run_as_they_are_and_give_the_same(whole, subject, tmp_path, capsys):
    one = whole.front[0]
    stem = whole.folder / "front" / one.stem
    words = ["infer", *map(str, subject), "--chip", f"{stem}.toml"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--plan", f"{stem}.run.toml", "--json", str(tmp_path / "out.json")])
    assert ended.value.code == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["accuracy"] == one.record.outcome.values["accuracy"]
    assert found["provenance"]["chip_hash"] == one.record.outcome.chip
    assert found["provenance"]["calibration_hash"] == one.record.outcome.calibration


@pytest.mark.long
def test_several_processes_find_what_one_does(whole, document, tmp_path):
    found = explore(make_study(document()), tmp_path / "out", jobs=2, audit=False)
    by_point = {json.dumps(one.point): one.outcome.values for one in whole.records}
    assert {json.dumps(one.point): one.outcome.values for one in found.records} == by_point


@pytest.mark.long
def test_two_commands_at_once_share_the_points_of_a_study(whole, document, tmp_path):
    path = write(tmp_path / "study.toml", document())
    words = [sys.executable, "-m", "spicesim", "explore", str(path), "-o", str(tmp_path / "out"), "--no-audit"]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
    said = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    again = explore(path, tmp_path / "out", audit=False)
    assert settled(again)[0] == settled(whole)[0]
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / "study.db")) as connection:
        states = connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
    assert states == 8, "no point was tried twice"


def test_a_genetic_search_that_was_ended_asks_for_the_same_points(document, tmp_path):
    study = make_study(document(search="nsga2", points=24, run={"images": 4, "engine": "ideal"}))
    one = explore(study, tmp_path / "one", audit=False)
    explore(study, tmp_path / "two", points=21, audit=False)
    two = explore(study, tmp_path / "two", audit=False)
    assert settled(two) == settled(one)
    assert len(one.records) == 24


def test_importance_is_the_share_of_variance_of_one_axis_and_chance_has_none():
    rng, axis = np.random.default_rng(1), Axis.model_validate([1, 2, 3])
    points = [{"a": int(a), "b": int(b)} for a, b in rng.integers(1, 4, (400, 2))]
    records = [Record(number=k, point=point, outcome=Outcome()) for k, point in enumerate(points)]
    a, b = (np.array([point[key] for point in points], dtype=float) for key in "ab")
    assert importance(records, "a", axis, a) == pytest.approx(1.0)
    assert importance(records, "b", axis, a) == pytest.approx(0.0, abs=0.02)
    share = (9 * a.var()) / (9 * a.var() + b.var())
    assert importance(records, "a", axis, 3 * a + b) == pytest.approx(share, rel=0.05)
    assert importance(records, "a", axis, np.ones(400)) == 0.0


def test_the_page_is_one_file_with_whole_chips_and_no_ones_markup(whole, tmp_path):
    record = whole.records[0]
    words = "</script><script>alert(1)</script>"
    space = {**whole.study.space, "adc.bits": Axis.model_validate([2, 6, words])}
    whole = replace(whole, study=whole.study.model_copy(update={"space": space}))
    hostile = Record(
        number=99, point={**record.point, "adc.bits": words},
        outcome=replace(record.outcome, reason="<img src=x onerror=alert(1)>"),
    )  # fmt: skip
    write_study_report(replace(whole, records=[*whole.records, hostile]), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert "<img src=x" not in text
    assert re.search(r'(src|href)="(https?:)?//', text.split("<main>")[0]) is None
    links = re.findall(r'download="(point-\d+\.toml)" href="data:application/toml;base64,([^"]+)"', text)
    assert [name for name, _ in links] == [f"{one.stem}.toml" for one in whole.front]
    for one, (name, packed) in zip(whole.front, links, strict=True):
        (tmp_path / name).write_bytes(base64.b64decode(packed))
        assert load_chip(tmp_path / name).hash == one.record.outcome.chip


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: the page is looked at in a browser")
def test_the_page_draws_its_figures_without_asking_for_anything(whole, tmp_path):
    path = tmp_path / "page.html"
    write_study_report(whole, path)
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=9000", "--dump-dom"]
    done = subprocess.run([*words, path.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    said = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1].replace("&quot;", '"'))
    assert said["errors"] == []
    assert said["requests"] == []
    assert said["drawn"] == 3
    assert said["overflow"] <= 0
