"""The command line as users meet it: what it makes, and one line with a remedy for each mistake."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spicesim.chip import format_chip, load_chip, preset
from spicesim.network import digits_network, load_digits


@pytest.fixture
def spicesim(tmp_path):
    """Run the command line in a folder of its own."""

    def run(*words, path=None, preexec_fn=None, **environment):
        more = {"SPICESIM_RUNS": str(tmp_path / "runs"), **environment}
        if path is not None:
            more["PATH"] = path
        return subprocess.run(
            [sys.executable, "-P", "-m", "spicesim", *map(str, words)],
            cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **more}, timeout=1800, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=preexec_fn,
        )  # fmt: skip

    return run


@pytest.fixture
def calibration_file(generic_calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    generic_calibration.save(path)
    return path


@pytest.fixture
def data_file(tmp_path):
    digits = load_digits()
    path = tmp_path / "data.npz"
    np.savez(path, x=digits.x[:20], y=digits.y[:20], x_calibration=digits.x_calibration)
    return path


def refused(result, *said, status=2):
    """One line on standard error, which says what and how to mend it; no traceback."""
    lines = [line for line in result.stderr.replace("\r", "\n").splitlines() if line.strip() and "run/s" not in line]
    assert result.returncode == status, result.stderr
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in said:
        assert word in lines[0]


def nothing_written(folder, *names):
    for name in names:
        assert not (folder / name).exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_init_writes_a_chip_that_loads(spicesim, tmp_path):
    result = spicesim("init", "--preset", "generic-1t1r", "-o", "chip.toml")
    assert result.returncode == 0
    chip = load_chip(tmp_path / "chip.toml")
    assert chip.name == "generic-1t1r"
    text = (tmp_path / "chip.toml").read_text()
    assert text.count("#") > 30, "every key is explained"
    refused(spicesim("init", "-o", "chip.toml"), "there already", "--force")
    assert "gf180-1t1r" in spicesim("init", "--list").stdout
    refused(spicesim("init", "--preset", "nothing"), "no preset", "generic-1t1r")


@pytest.mark.parametrize(
    "command", ["init", "doctor", "netlist", "calibrate", "fit", "infer", "audit", "report", "demo"]
)
def test_every_command_has_help_with_an_example(spicesim, command):
    result = spicesim(command, "--help")
    assert result.returncode == 0
    assert "example: spicesim" in result.stdout


def test_doctor_finds_everything(spicesim):
    result = spicesim("doctor")
    assert result.returncode == 0, result.stdout
    assert "MISSING" not in result.stdout


def test_doctor_says_what_is_missing(spicesim, tmp_path):
    result = spicesim("doctor", path=str(tmp_path))
    assert result.returncode == 2
    assert "apt-get install ngspice" in result.stdout


def test_calibrate_infer_audit_report(spicesim, tmp_path, data_file):
    """The whole job on the generic chip: calibrate, run the network, audit it, look at the page."""
    text = spicesim("init", "--preset", "generic-1t1r").stdout
    for given, wanted in (
        ("rows = 64", "rows = 16"), ("columns = 64", "columns = 16"),
        ("5000.0, 10000.0, 20000.0, 40000.0, 80000.0, 160000.0", "5000.0, 20000.0, 80000.0"),
    ):  # fmt: skip
        assert given in text
        text = text.replace(given, wanted)
    (tmp_path / "chip.toml").write_text(text)
    # all aspects together are calibrated in whole_calibration
    result = spicesim("calibrate", "chip.toml", "--quick", "--aspects", "parameters,energy,noise", "-o", "cal.json")
    assert result.returncode == 0, result.stderr
    assert "16x16 random" in result.stdout
    result = spicesim(
        "infer", digits_network("mlp"), data_file, "--chip", "chip.toml", "--calibration", "cal.json",
        "--audit", "3", "--worst", "worst.cir", "--json", "out.json", "--output", "out.npz", "--report", "out.html",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert re.search(r"now 3 of \d+ tile products in ngspice, about \d+ s of a processor", result.stderr)
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["engine"] == "exact"
    assert document["images"] == 20
    assert document["accuracy"] >= 0.8
    assert document["digital_accuracy"] >= 0.8
    assert all({"name", "tiles", "snr_db"} <= set(layer) for layer in document["layers"])
    audit = document["audit"]
    assert audit["count"] == 3
    assert audit["max_error_full_scale"] == audit["bound"]["max_error_full_scale"] < 5e-4
    assert 0.95 == audit["bound"]["confidence"] <= 1 - (1 - audit["bound"]["share_of_products_above"]) ** 3 + 1e-9
    assert [layer["count"] for layer in audit["by_layer"]] == [2, 1]
    assert sum(layer["products"] for layer in audit["by_layer"]) == document["tile_products"]
    assert audit["max_error_full_scale"] == max(layer["max_error_full_scale"] for layer in audit["by_layer"])
    assert ".end" in (tmp_path / "worst.cir").read_text()
    bound = audit["code_bound"]
    assert bound["codes"] == sum(layer["code_bound"]["codes"] for layer in audit["by_layer"]) == audit["codes"]
    assert bound["identical"] == audit["codes_identical"] > bound["least_identical"]
    assert bound["largest_lsb"] == max(layer["code_bound"]["largest_lsb"] for layer in audit["by_layer"])
    assert audit["quantiser"] == "ideal quantiser"
    assert f"at least {100 * bound['least_identical']:.2f} % identical" in result.stdout
    assert "codes, ideal quantiser" in result.stdout
    assert "of all, at least" in (tmp_path / "out.html").read_text()
    assert audit["codes_identical"] + audit["codes_off_by_one"] + audit["codes_worse"] == pytest.approx(1)
    assert document["provenance"]["chip_hash"] == load_chip(tmp_path / "chip.toml").hash
    assert np.load(tmp_path / "out.npz")[np.load(tmp_path / "out.npz").files[0]].shape == (20, 10)
    assert "<svg" in (tmp_path / "out.html").read_text()
    result = spicesim("report", "cal.json")
    assert result.returncode == 0
    assert (tmp_path / "cal.html").is_file()
    result = spicesim("audit", "cal.json", "--sizes", "4", "--vectors", "1")
    assert result.returncode == 0, result.stderr
    assert "4x4 trained bipolar saturating" in result.stdout


@pytest.mark.parametrize("engine", ["ideal", "exact", "ngspice"])
def test_all_engines_run_a_network(spicesim, tmp_path, calibration_file, data_file, engine):
    result = spicesim(
        "infer", digits_network("mlp"), data_file, "--calibration", calibration_file, "--engine", engine,
        "--images", "2", "--json", "out.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out.json").read_text())["images"] == 2


@pytest.mark.parametrize("kind", ["cell", "senseamp", "dac", "column", "crossbar", "tile"])
def test_netlist_commands_write_what_ngspice_runs(spicesim, tmp_path, kind, calibration_file):
    np.save(tmp_path / "g.npy", np.full((2, 3), 2e-5))
    np.savetxt(tmp_path / "v.csv", [0.1, 0.2])
    np.save(tmp_path / "codes.npy", np.array([3, 200]))
    np.save(tmp_path / "g1.npy", np.full(2, 2e-5))
    words = {
        "column": ["--conductance", "g1.npy", "--voltages", "v.csv"],
        "crossbar": ["--conductance", "g.npy", "--voltages", "v.csv"],
        "tile": ["--conductance", "g.npy", "--codes", "codes.npy", "--calibration", calibration_file],
    }
    chip = [] if kind == "tile" else ["--chip", "generic-1t1r"]
    result = spicesim("netlist", kind, *chip, "-o", "it.cir", *words.get(kind, []))
    assert result.returncode == 0, result.stderr
    run = subprocess.run(["ngspice", "-b", "-r", "o.raw", "it.cir"], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout


# --- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.replace("[array]", "[array"), "not valid TOML"),
        (lambda t: t.replace("rows = 64", 'rows = "many"'), "array.rows"),
        (lambda t: t.replace("rows = 64", "rowz = 64"), "array.rowz"),
        (lambda t: t.replace("g_min = 1e-06", "g_min = 1.0"), "g_min must lie below g_max"),
        (lambda t: t.replace("v_reference = 1.65", "v_reference = 3.25"), "within the supply"),
        (lambda t: t.replace("generic_models.cir", "nothing.cir"), "nothing.cir"),
        (lambda t: t.replace("r_word_line = 1.0", "r_word_line = -1.0"), "array.r_word_line"),
        (lambda t: t.replace("r_word_line = 1.0", "r_word_line = nan"), "array.r_word_line"),
    ],
    ids=["syntax", "type", "unknown key", "order", "supply", "models", "negative", "nan"],
)
def test_a_malformed_chip(spicesim, tmp_path, edit, said):
    text = spicesim("init", "--preset", "generic-1t1r").stdout
    assert edit(text) != text
    (tmp_path / "chip.toml").write_text(edit(text))
    refused(spicesim("calibrate", "chip.toml", "-o", "cal.json"), said)
    nothing_written(tmp_path, "cal.json")


def test_a_chip_that_is_not_there(spicesim):
    refused(spicesim("calibrate", "chip.toml"), "no chip description", "spicesim init")


def test_a_missing_ngspice(spicesim, tmp_path):
    refused(
        spicesim("calibrate", "generic-1t1r", "-o", "cal.json", path=str(tmp_path), SPICESIM_CACHE=str(tmp_path / "c")),
        "not installed", "apt-get install ngspice",
    )  # fmt: skip
    nothing_written(tmp_path, "cal.json")


def test_a_hanging_ngspice(spicesim, tmp_path):
    """The stand-in answers --version and then sleeps."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in = folder / "ngspice"
    stand_in.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo "** ngspice-44.2 : stand-in"; exit; }\nsleep 600\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    result = spicesim(
        "calibrate", "generic-1t1r", "--timeout", "1", "-o", "cal.json",
        path=f"{folder}:{os.environ['PATH']}", SPICESIM_CACHE=str(tmp_path / "c"),
    )  # fmt: skip
    refused(result, "within 1 s", "was stopped", "allow more time")
    nothing_written(tmp_path, "cal.json")
    end = time.monotonic() + 300  # the kernel ends what workers started a moment after the workers
    while left := [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(stand_in).encode() in _read(p)]:
        assert time.monotonic() < end, f"a simulation outlived the command: {left}"
        time.sleep(0.05)


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""  # ended meanwhile


@pytest.fixture
def full_disk(tmp_path):
    """A file system of its own with a few kilobytes left; needs the right to mount."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root; the next test limits file sizes instead")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("what", ["SPICESIM_CACHE", "SPICESIM_RUNS"])
def test_a_full_disk_during_calibration(spicesim, tmp_path, full_disk, what):
    environment = {"SPICESIM_CACHE": str(tmp_path / "c"), "SPICESIM_RUNS": str(tmp_path / "r"), what: str(full_disk)}
    refused(spicesim("calibrate", "generic-1t1r", "-o", "cal.json", **environment), "free some space")
    nothing_written(tmp_path, "cal.json")


def test_a_file_that_cannot_grow_during_calibration(spicesim, tmp_path):
    """What a full disk does, without the right to mount one: no file may exceed 30 kB."""

    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    result = spicesim(
        "calibrate", "generic-1t1r", "--quick", "-o", "cal.json", preexec_fn=limit,
        SPICESIM_CACHE=os.environ["SPICESIM_CACHE"],
    )  # fmt: skip
    refused(result, "free some space")
    nothing_written(tmp_path, "cal.json")


def test_a_result_that_cannot_be_written_keeps_the_old_one(spicesim, tmp_path, calibration_file, data_file):
    words = ["infer", digits_network("mlp"), data_file, "--calibration", calibration_file]
    refused(spicesim(*words, "--json", "/dev/full"), "cannot write /dev/full", "free some space")
    refused(spicesim(*words, "--json", "chip.cal.json/out.json"), "cannot write")


def test_the_engine_ideal_needs_no_calibration(spicesim, tmp_path, data_file):
    (tmp_path / "chip.toml").write_text(format_chip(preset("gf180-1t1r").changed(dac={"bits": 16}, adc={"bits": 16})))
    words = ["infer", digits_network("mlp"), data_file, "--engine", "ideal", "--chip", "chip.toml"]
    result = spicesim(*words, "--json", "out.json")
    assert result.returncode == 0, result.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["accuracy"] == out["digital_accuracy"]
    assert all(layer["snr_db"] > 60 for layer in out["layers"])
    refused(spicesim(*words, "--audit", "2"), "without a calibration", "spicesim calibrate")
    refused(spicesim("calibrate", "chip.toml", "-o", "no.json"), "at most 12 bits", "engine ideal")
    nothing_written(tmp_path, "no.json")


def test_nan_weights(spicesim, tmp_path, calibration_file, data_file):
    model = onnx.load(digits_network("mlp"))
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.flat[3] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    onnx.save(model, tmp_path / "nan.onnx")
    refused(spicesim("infer", "nan.onnx", data_file, "--json", "out.json"), "NaN", "export it again")
    nothing_written(tmp_path, "out.json")


def small_model(nodes, initialisers, shape):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(a, n) for n, a in initialisers.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("op", [("Teleport", "com.example"), ("Loopy", "")])
def test_an_unsupported_op(spicesim, tmp_path, calibration_file, data_file, op):
    nodes = [
        helper.make_node(op[0], ["x"], ["h"], domain=op[1]),
        helper.make_node("MatMul", ["h", "w"], ["out"]),
    ]
    onnx.save(small_model(nodes, {"w": np.ones((4, 2), np.float32)}, ["batch", 4]), tmp_path / "odd.onnx")
    refused(spicesim("infer", "odd.onnx", data_file, "--json", "out.json"), op[0])
    nothing_written(tmp_path, "out.json")


def test_a_wrong_image_shape(spicesim, tmp_path, calibration_file):
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 1, 9, 9), np.float32))
    refused(spicesim("infer", digits_network("cnn"), "wide.npz", "--json", "out.json"), "(3, 1, 9, 9)", "8, 8")
    nothing_written(tmp_path, "out.json")


@pytest.mark.parametrize("text", [b"", b"not a network", b"\x08\x07garbage\xff\xfe"])
def test_a_file_that_is_no_network(spicesim, tmp_path, calibration_file, data_file, text):
    (tmp_path / "bad.onnx").write_bytes(text)
    refused(spicesim("infer", "bad.onnx", data_file), "bad.onnx")


@pytest.mark.parametrize("text", [b"", b"not an archive", b"PK\x03\x04cut"])
def test_a_file_that_holds_no_data(spicesim, tmp_path, calibration_file, text):
    (tmp_path / "bad.npz").write_bytes(text)
    refused(spicesim("infer", digits_network("cnn"), "bad.npz"), "bad.npz", "numpy.savez")


def test_a_calibration_of_another_chip(spicesim, tmp_path, calibration_file, data_file):
    spicesim("init", "--preset", "gf180-1t1r", "-o", "other.toml")
    result = spicesim("infer", digits_network("cnn"), data_file, "--chip", "other.toml", "--json", "out.json")
    refused(result, "belongs to chip", "spicesim calibrate")
    nothing_written(tmp_path, "out.json")


def test_an_engine_that_is_not_there(spicesim, calibration_file, data_file):
    words = ["infer", digits_network("cnn"), data_file, "--engine"]
    refused(spicesim(*words, "slow"), "no engine", "ideal")


@pytest.mark.long
def test_infer_on_real_devices(spicesim, tmp_path, data_file, calibration_file):
    words = ["infer", digits_network("mlp"), data_file, "--calibration", calibration_file, "--engine", "fast"]
    result = spicesim(*words, "--device", "pcm", "--time", "1d", "--seeds", "3", "--json", "out.json")
    assert result.returncode == 0, result.stderr
    assert "3 chips of pcm devices 86400 s after programming, mean drift compensated" in result.stdout
    assert "95% confidence" in result.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    low, high = document["chips"]["accuracy_interval"]
    assert 0 <= low <= document["chips"]["accuracy_mean"] <= high <= 1
    assert document["layers"][0]["gain"] is not None
    refused(spicesim(*words, "--device", "flash"), "no device 'flash'", "pcm")
    refused(spicesim(*words, "--device", "pcm", "--time", "soon"), "'soon'", "1d")
    refused(spicesim(*words, "--time", "1d"), "--device")


@pytest.mark.long
def test_infer_says_which_settings_it_used(spicesim, tmp_path, data_file, calibration_file):
    words = ["infer", digits_network("mlp"), data_file, "--calibration", calibration_file, "--json", "out.json"]
    for extra, gain, scale, adc_range in (
        ((), True, "static", "percentile"),
        (("--no-gain", "--input-scale", "vector", "--adc-range", "mse"), False, "vector", "mse"),
        (("--engine", "ideal"), False, "static", "percentile"),
    ):
        result = spicesim(*words, *extra)
        assert result.returncode == 0, result.stderr
        layer = json.loads((tmp_path / "out.json").read_text())["layers"][0]
        assert (layer["gain"] is not None, layer["input_scale"], layer["adc_range"]) == (gain, scale, adc_range)


def test_words_the_command_line_does_not_know(spicesim):
    refused(spicesim("calibrate"), "nothing to calibrate", "CHIP.toml")
    refused(spicesim("infer"), "Missing argument", "--help")
    refused(spicesim("nothing"), "nothing", "--help")
    refused(spicesim("infer", "--nothing"), "--nothing", "--help")


def test_debug_shows_the_traceback(spicesim):
    result = spicesim("--debug", "calibrate", "nowhere.toml")
    assert result.returncode == 2
    assert "Traceback" in result.stderr


def test_a_failed_simulation_is_status_1_and_keeps_its_folder(spicesim, tmp_path):
    text = spicesim("init", "--preset", "generic-1t1r").stdout
    (tmp_path / "chip.toml").write_text(text.replace('nmos = "nch"', 'nmos = "missing"'))
    result = spicesim("calibrate", "chip.toml", SPICESIM_CACHE=str(tmp_path / "c"))
    refused(result, "rerun: cd", status=1)
    folder = Path(result.stderr.split("rerun: cd ")[1].split(" && ")[0])
    assert (folder / "netlist.cir").is_file()
