"""Whatever a file, a program or a user does: one line that says what is wrong, and what to do."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import spicesim
from fuzz import calibrations, descriptions, networks
from fuzz.verdict import find_verdict
from spicesim.calibration.sense_amplifier import linear_range
from spicesim.chip import format_chip, load_chip, preset
from spicesim.cli.main import run
from spicesim.errors import CalibrationError, MissingDependencyError, NetworkError, SpecError, quote
from spicesim.files.arrays import read_archive, read_array
from spicesim.files.documents import read_json
from spicesim.network.dataset import load_dataset
from spicesim.ngspice import batch
from spicesim.ngspice.outcome import failed_to_converge

TEXT = format_chip(preset("generic-1t1r"))
MODELS = TEXT[TEXT.index("models = [") : TEXT.index("]", TEXT.index("models = [")) + 1]
PACKAGE = Path(spicesim.__file__).parent


def refuse(action, *said, kind=SpecError):
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 600
    for words in said:
        assert words in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (MODELS, "models = 3", "process.models"),
        ("g_min = 1e-06", 'g_min = "1e999999999"', "expected a finite number, got '1e999999999'"),
        ("g_min = 1e-06", f"g_min = 1{'0' * 400}", "cell.g_min is an integer of 1329 bits"),
        ("g_min = 1e-06", f"g_min = 1{'0' * 5000}", "limit"),
        ("g_min = 1e-06", f'g_min = "{"x" * 100_000}"', "expected a number"),
        ("g_min = 1e-06", "g_min = inf", "cell.g_min is no finite number"),
        ("g_min = 1e-06", "g_min = {}", "cell.g_min"),
        ("g_min = 1e-06", "g_min = 2020-01-01", "cell.g_min"),
        ("g_min = 1e-06", "g_min = " + "[" * 200_000, "nested"),
        ("g_min = 1e-06", ".".join("a" * 20_000) + " = 1", "nested more than 32 deep"),
        ("g_min = 1e-06", "g_min = 1e-6\ng_min = 2e-6", "not valid TOML"),
        ("rows = 64", "rows = 10000000000", "array.rows"),
        ("supply = 3.3", "supply = 65536.0", "process.supply"),
        ("r_word_line = 1.0", 'r_word_line = {width = 1e-300, thickness = 1.0, length = 1.0}', "wire geometry"),
        ("[cell]", "[cell]\n" + "y" * 100_000 + " = 1", "unknown key"),
    ],
    ids=[
        "3", "exponent", "400 digits", "5000 digits", "long text", "infinity", "table", "date", "brackets",
        "dotted key", "twice", "rows", "supply", "geometry", "unknown key",
    ],
)  # fmt: skip
def test_a_mutated_description_is_refused_with_what_and_where(tmp_path, old, new, said):
    assert old in TEXT
    (tmp_path / "chip.toml").write_text(TEXT.replace(old, new, 1))
    start = time.monotonic()
    refuse(lambda: load_chip(tmp_path / "chip.toml"), said)
    assert time.monotonic() - start < 10


def test_a_description_is_text_in_utf_8_of_bounded_size_and_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "chip.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert load_chip(path) == preset("generic-1t1r")
    path.write_bytes(TEXT.encode("utf-16"))
    refuse(lambda: load_chip(path), "cannot read chip description")
    path.write_bytes(TEXT.encode() + b"#" * 10**6)
    refuse(lambda: load_chip(path), "too much for a chip description")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, "nested"), ('{"a": ' * 200_000, "nested"), ('{"a": NaN}', "NaN is no number"),
        ('{"a": {"b": [0, 1e999]}}', "a.b.1 is no finite number"), ('{"a": 1, "a": 2}', "'a' stands there twice"),
        (f'{{"a": 1{"0" * 400}}}', "a is an integer of 1329 bits"), ("[1]", "an object is wanted, got [1]"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
    ],
    ids=["brackets", "braces", "NaN", "1e999", "twice", "400 digits", "a list", "40 deep"],
)  # fmt: skip
def test_a_document_holds_finite_numbers_once_and_not_too_deep(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    refuse(lambda: read_json(tmp_path / "a.json", "plan", "make one"), said, "make one")


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, 10**5000, ["x" * 1000] * 1000, {"a" * 500: [[1] * 500] * 9}, "a\nb\x1b[2J"],
    ids=["letters", "integer", "list", "dictionary", "escapes"],
)
def test_a_quoted_value_is_a_part_of_one_line(value):
    assert len(quote(value)) <= 80
    assert quote(value).isprintable()


def test_mutated_descriptions_are_right_or_refused():
    fail_on([find_verdict(descriptions, descriptions.case(seed)) for seed in range(300)])


def test_mutated_networks_are_right_or_refused():
    fail_on([find_verdict(networks, networks.case(seed)) for seed in range(300)])


@pytest.fixture(scope="module")
def calibration_text(one_at_a_time):
    """A calibration of the small chip, whose simulations other tests want, too."""
    with one_at_a_time("whole"):
        return calibrations.text(everywhere=False)


@pytest.fixture(scope="module")
def climate_text(one_at_a_time):
    """The same with conditions."""
    with one_at_a_time("climate"):
        return calibrations.text()


@pytest.mark.usefixtures("calibration_text")
def test_mutated_calibrations_are_right_or_refused():
    fail_on([find_verdict(calibrations, calibrations.case(seed, everywhere=False)) for seed in range(25)])


@pytest.mark.long
@pytest.mark.usefixtures("climate_text")
def test_mutated_calibrations_of_all_conditions_are_right_or_refused():
    fail_on([find_verdict(calibrations, calibrations.case(seed)) for seed in range(25)])


def fail_on(verdicts):
    assert [(k, v.kind, v.detail) for k, v in enumerate(verdicts) if v.kind not in ("right", "refused")] == []
    assert {v.kind for v in verdicts} == {"right", "refused"}


@pytest.mark.long
def test_a_climate_that_makes_no_amplifier_is_refused(tmp_path, climate_text):
    document, path = json.loads(climate_text), tmp_path / "cal.json"
    outputs = document["climate"]["temperatures"][3]["senseamps"][0][1]
    currents = document["climate"]["sense_currents"][0]  # more of them near one rail than near the other
    outputs[np.abs(currents).argmin()] = 7.0  # at rest, a spike in the linear range
    calibrations.seal(document)
    path.write_text(json.dumps(document))
    calibration, temperature = spicesim.load_calibration(path), document["climate"]["temperatures_c"][3]
    refuse(lambda: calibration.at(temperature_c=temperature), "climate makes no amplifier", kind=CalibrationError)


@pytest.mark.long
def test_a_climate_that_leaves_no_feedback_is_refused(tmp_path, climate_text):
    document, path = json.loads(climate_text), tmp_path / "cal.json"
    for condition in document["climate"]["temperatures"]:
        condition["feedbacks"] = [-1.0] * len(condition["feedbacks"])
    calibrations.seal(document)
    path.write_text(json.dumps(document))
    calibration, temperature = spicesim.load_calibration(path), document["climate"]["temperatures_c"][3]
    refuse(lambda: calibration.at(temperature_c=temperature), "climate makes no amplifier", kind=CalibrationError)


@pytest.mark.parametrize("value", [255, 0.5, []])
@pytest.mark.parametrize("path", [("cell", "coefficients"), ("cell", "leakage")])
def test_a_number_in_the_place_of_an_array_is_refused(tmp_path, calibration_text, path, value):
    refuse_in_place(path, value, json.loads(calibration_text), tmp_path / "cal.json")


@pytest.mark.long
@pytest.mark.parametrize("value", [255, 0.5, []])
def test_a_number_in_the_place_of_an_array_at_a_corner_is_refused(tmp_path, climate_text, value):
    path = ("climate", "settling", "corners", "ss", 2, "driver", "loads")
    refuse_in_place(path, value, json.loads(climate_text), tmp_path / "cal.json")


def refuse_in_place(path, value, document, file):
    node = document
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    calibrations.seal(document)
    file.write_text(json.dumps(document))
    refuse(lambda: spicesim.load_calibration(file), path[-1], kind=CalibrationError)


@pytest.mark.parametrize("v_out", [np.ones(9), np.zeros(9), np.sign(np.arange(-4, 5)) * 1.0, np.eye(9)[4]])
def test_an_amplifier_without_a_linear_range_is_refused(v_out):
    refuse(lambda: linear_range(np.linspace(-1e-6, 1e-6, 9), v_out), "no linear range", kind=CalibrationError)


def test_arrays_that_are_none_are_refused(tmp_path):
    good, header = tmp_path / "g.npy", io.BytesIO()
    np.save(good, np.ones((2, 2)))
    np.testing.assert_array_equal(read_array(good, "conductances"), np.ones((2, 2)))
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**20)})
    archive = io.BytesIO()
    np.savez(archive, x=np.ones(3))
    path = tmp_path / "bad.npy"
    for data in (
        b"",
        good.read_bytes()[:-3],
        good.read_bytes()[:40],
        header.getvalue(),
        archive.getvalue(),
        b"\x80\x04].",
    ):
        path.write_bytes(data)
        refuse(lambda: read_array(path, "conductances"), "cannot read the conductances")
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    refuse(lambda: read_array(path, "conductances"), "cannot read the conductances")
    np.save(path, np.array(["x"]))
    refuse(lambda: read_array(path, "conductances"), "are no numbers")


def test_data_that_are_none_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones((3, 2)))
    whole = path.read_bytes()
    for data in (b"", whole[:-30], whole[: len(whole) // 2], b"PK\x03\x04"):
        path.write_bytes(data)
        refuse(lambda: load_dataset(path), "savez", kind=NetworkError)
    for arrays in ({"x": np.array([{}, 1], dtype=object)}, {"x": np.float64(3)}, {}):
        np.savez(path, **arrays)
        refuse(lambda: load_dataset(path), kind=NetworkError)


def test_an_archive_larger_than_memory_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x.npy", b"\x00" * 1000)
    path = tmp_path / "bomb.npz"
    size = (1000).to_bytes(4, "little")
    place = path.read_bytes().rindex(size)  # in the directory, behind the packed size
    path.write_bytes(path.read_bytes()[:place] + b"\xfe\xff\xff\xff" + path.read_bytes()[place + 4 :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sysconf", lambda name: 2**16)  # a machine of 4 GB
        refuse(lambda: read_archive(path, "data file", "write one"), "unpacked, and this machine has 4 GB of memory")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hello", "answered 'hello', where ngspice tells its version"),
        (r"printf '\377\376ngspice'", "answered"),
        ("exec yes ngspice", "where ngspice tells its version"),
        ("exit 3", "answered ''"),
        ("sleep 60 & sleep 60", "gave no answer within 0.3 s and was stopped"),
    ],
)
def test_a_program_that_does_not_tell_a_version_is_no_ngspice(tmp_path, monkeypatch, script, said):
    program = tmp_path / "ngspice"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(batch, "_PATIENCE", 0.3)
    message = refuse(lambda: batch.ngspice_version(str(program)), said, kind=MissingDependencyError)
    assert "install ngspice" in message


def test_the_installed_ngspice_tells_its_version():
    assert int(batch.ngspice_version().split(".")[0].split("+")[0]) > 20


def test_a_dash_is_standard_output_and_all_else_goes_to_standard_error(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    chip = ("--chip", "generic-1t1r")
    np.save(tmp_path / "g.npy", np.full((2, 2), 1e-5))
    np.save(tmp_path / "v.npy", np.full(2, 0.1))
    array = ("--conductance", "g.npy", "--voltages", "v.npy")
    for words in (("netlist", "cell", *chip), ("netlist", "crossbar", *chip, *array), ("init",)):
        assert run(list(words), debug=True) == 0
        printed = capfd.readouterr().out
        for dash in (["-o", "-"], ["-o-"], ["--output=-"]):
            assert run([*words, *dash], debug=True) == 0
            assert capfd.readouterr().out == printed != ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.npy", "v.npy"]


def test_a_copy_that_was_not_built_says_what_to_do(tmp_path):
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "spicesim", ignore=ignore)
    shutil.copytree(PACKAGE / "_cext", tmp_path / "spicesim" / "_cext", ignore=ignore, dirs_exist_ok=True)
    script = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'scikit' not in repr(f).lower()]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\nimport spicesim"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: spicesim was not built for this Python")
    assert "scripts/setup" in last


@pytest.mark.parametrize("words", [["doctor"], ["calibrate", "generic-1t1r", "--quick"]])
def test_an_interrupt_at_any_moment_ends_a_command_in_one_line(tmp_path, words):
    """From the first import of the package on; before, Python itself is starting."""
    environment = {**os.environ, "SPICESIM_CACHE": str(tmp_path / "cache"), "SPICESIM_RUNS": str(tmp_path / "runs")}
    script = (
        "import os, signal, sys, threading\nfrom spicesim.cli import main\nsys.argv[1:] = {words}\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # tests in the background are started without
        "threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGINT)).start()\nmain()"
    )
    for delay in (0.02, 0.3, 1.0, 2.0):
        done = subprocess.run(
            [sys.executable, "-c", script.format(words=words, delay=delay)], capture_output=True, text=True,
            check=False, timeout=100, env=environment, cwd=tmp_path,
        )  # fmt: skip
        if words == ["doctor"] and done.returncode in (0, 2):  # it was quicker
            continue
        assert done.returncode == 130, (delay, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("interrupted; finished simulations are kept")


def test_an_interrupt_that_the_shell_ignores_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(
            [sys.executable, "-c",
             "import os, signal, sys\nfrom spicesim.cli import main\nsys.argv[1:] = ['init', '--list']\n"
             "try: main()\nfinally: os.kill(os.getpid(), signal.SIGINT)"],
            capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 0
    assert "generic-1t1r" in done.stdout


@pytest.mark.parametrize(
    ("nodes", "may_help"),
    [(["n.x1.xm1.nmos#GP"], True), (["g"], False), (["n.x1.xm1.nmos#GP", "g"], False), ([], False)],
)
def test_a_matrix_that_is_singular_within_transistors_is_tried_otherwise_and_a_floating_node_is_not(nodes, may_help):
    said = "\n".join(f"Warning: singular matrix:  check node {node}" for node in nodes)
    assert failed_to_converge(0, said) is may_help
