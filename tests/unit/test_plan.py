"""Plans of runs: one value, checked in one place, in TOML and JSON, and on the command line."""

import json

import click
import numpy as np
import pytest
import tomlkit
from click.testing import CliRunner

import spicesim
from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.cli.plan_options import plan_options
from spicesim.engine import IdealEngine
from spicesim.errors import SpecError
from spicesim.experiment.plan import MappingPlan, RunPlan, load_plan, make_plan
from spicesim.experiment.replay import replay
from spicesim.experiment.run import run
from spicesim.files import write_json
from spicesim.network import digits_network, load_digits
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip

DIGITS = load_digits()
CHIP = preset("gf180-1t1r").changed(array={"rows": 64, "columns": 64}, dac={"bits": 10}, adc={"bits": 12})
FULL = RunPlan(
    engine="fast", places={"layer1": "exact", "layer0:0": "ngspice"}, tolerance=1e-4, wires=False, gains=False,
    mapping=MappingPlan(signs="reference", input_digit=1, weight_clip=99.0, digital=("a", "b"), batch_axis=("h0=1",)),
    corner="ss",
    temperature_c=85.0, mismatch=3, noise=True, device="pcm", time=86400.0, drift_compensation=False, t_read=1e-7,
    images=7, skip=3, chips=2, seed=5, audit=3, macros=True, explain=4, energy=True, columns_per_adc=8,
)  # fmt: skip


def test_a_plan_is_the_same_in_toml_and_json(tmp_path):
    (tmp_path / "run.toml").write_text(tomlkit.dumps(FULL.document()), encoding="utf-8")
    write_json(tmp_path / "run.json", FULL.document())
    assert load_plan(tmp_path / "run.toml") == load_plan(tmp_path / "run.json") == FULL
    assert RunPlan().document() == {"schema_version": 1}


def test_times_and_quantities_have_units_in_files(tmp_path):
    (tmp_path / "run.toml").write_text('device = "pcm"\ntime = "1d"\nt_read = "100 ns"\n', encoding="utf-8")
    plan = load_plan(tmp_path / "run.toml")
    assert (plan.time, plan.t_read) == (86400.0, 1e-7)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"engine": "slow"}, "there are: ideal, transfer, fast, exact, ngspice"),
        ({"engine": "ideal", "corner": "ss"}, "no corner"),
        ({"engine": "ideal", "mismatch": 1}, "no mismatch"),
        ({"engine": "ideal", "wires": False}, "no wires to leave out"),
        ({"engine": "ideal", "early": True, "t_read": 1e-7}, "no early sample"),
        ({"engine": "ideal", "explain": 4}, "none to take away"),
        ({"tolerance": 1e-3}, "only the engine 'fast'"),
        ({"engine": "mine:Engine", "mismatch": 1}, "it draws no mismatch"),
        ({"places": {"layer0": "mine:Engine"}, "early": True, "t_read": 1e-7}, "samples nothing early"),
        ({"early": True}, "needs a time"),
        ({"engine": "fast", "early": True, "t_read": 1e-7}, "settled outputs only"),
        ({"places": {"layer0": "fast"}, "early": True, "t_read": 1e-7}, "settled outputs only"),
        ({"time": 60}, "needs devices"),
        ({"drift_compensation": False}, "nothing drifts"),
        ({"chips": 2}, "something that differs"),
        ({"device": "flash"}, "there are: "),
        ({"corner": "xx"}, "no corner .xx.; there are: "),
        ({"mapping": {"slices": 2}}, "slices need the bits of a cell"),
        ({"lucky": 1}, "unknown key 'lucky'"),
        ({"time": "soon", "device": "pcm"}, "such as 30s"),
        ({"schema_version": 9}, "schema_version"),
        ({"places": {"layer0\n.control": "exact"}}, "line"),
    ],
)
def test_what_physics_forbids_is_refused_in_a_line(document, why):
    with pytest.raises(SpecError, match=why) as caught:
        make_plan(document)
    assert "\n" not in str(caught.value)


def test_every_field_is_an_option_of_both_commands_once():
    plans = []

    @click.command()
    @plan_options()
    def command(plan):
        plans.append(plan)

    words = (
        "--engine fast --engine-for layer1=exact --ngspice layer0:0 --tolerance 1e-4 --no-wires --no-gain",
        "--signs reference --input-digit 1 --weight-clip 99 --digital a --digital b --batch-axis h0=1 --corner ss",
        "--temperature 85",
        "--mismatch 3 --noise --device pcm --time 1d --no-drift-compensation --t-read 100ns --images 7 --seeds 2",
        "--skip 3 --seed 5 --audit 3 --macros --explain 4 --energy --columns-per-adc 8",
    )
    words = " ".join(words).split()
    assert CliRunner().invoke(command, words, catch_exceptions=False).exit_code == 0
    assert plans == [FULL]
    left_out = {"schema_version", "mapping", "early", "converter", "metric"}  # early forbids the engine fast
    assert set(FULL.document()) - left_out == set(RunPlan.model_fields) - left_out
    for name in ("infer", "explain"):
        flags = [flag for parameter in cli.get_command(None, name).params for flag in parameter.opts]
        assert len(flags) == len(set(flags))


def test_options_go_before_a_plan_and_a_plan_before_defaults(tmp_path):
    plans = []

    @click.command()
    @plan_options(engine="fast", images=200)
    def command(plan):
        plans.append(plan)

    (tmp_path / "run.toml").write_text('images = 9\ndevice = "pcm"\n[mapping]\nslices = 2\ncell_bits = 2\n')
    words = ["--plan", str(tmp_path / "run.toml"), "--device", "rram", "--cell-bits", "3"]
    assert CliRunner().invoke(command, words, catch_exceptions=False).exit_code == 0
    (plan,) = plans
    assert (plan.engine, plan.images, plan.device) == ("fast", 9, "rram")
    assert (plan.mapping.slices, plan.mapping.cell_bits) == (2, 3)


class HalfEngine(IdealEngine):
    """An engine of one's own: ideal, by half a tile's feedback."""

    name = "half"

    def __init__(self, calibration):
        super().__init__(calibration.chip)


def test_code_in_a_plan_runs_only_where_it_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nModel = 1\n")
    (tmp_path / "run.toml").write_text('device = "mine:Model"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="if you trust it"):
        load_plan("run.toml")
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("SPICESIM_TRUSTED", str(tmp_path))
    plan = load_plan("run.toml")
    with pytest.raises(SpecError, match=r"must be a spicesim\.devices\.DeviceModel"):
        run(plan.changed(engine="ideal"), digits_network("mlp"), DIGITS.x[:2], UncalibratedChip(CHIP))
    with pytest.raises(SpecError, match="no Python package 'nowhere'"):
        run(RunPlan(engine="ideal", device="nowhere:X"), digits_network("mlp"), DIGITS.x[:2], UncalibratedChip(CHIP))


def test_a_result_is_replayed_from_its_document_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=DIGITS.x[:9], y=DIGITS.y[:9], x_calibration=DIGITS.x_calibration)
    (tmp_path / "chip.toml").write_text(preset_text())
    words = ["infer", str(digits_network("mlp")), "data.npz", "--engine", "ideal", "--chip", "chip.toml"]
    words += ["--device", "pcm", "--time", "1h", "--seeds", "2", "--json", "out.json"]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    found = CliRunner().invoke(cli, ["replay", "out.json"], catch_exceptions=False)
    assert "the same to the last bit" in found.output
    document = json.loads((tmp_path / "out.json").read_text())
    document["chips"]["outputs_hashes"][1] = "0" * 16
    write_json("spoilt.json", document)
    again = replay("spoilt.json")
    assert [one.where for one in again.differences] == ["chips.outputs_hashes[1]"]
    np.savez("other.npz", x=DIGITS.x[1:10])
    with pytest.raises(SpecError, match="is not the data of"):
        replay("out.json", data="other.npz")
    write_json("old.json", {"accuracy": 1.0})
    with pytest.raises(SpecError, match="holds no plan"):
        replay("old.json")


def preset_text():
    found = CliRunner().invoke(cli, ["init", "--preset", "gf180-1t1r"], catch_exceptions=False)
    return found.output


def test_command_python_and_compiled_network_agree(small_calibration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_calibration.save("chip.cal.json")
    np.savez("data.npz", x=DIGITS.x[:9], y=DIGITS.y[:9], x_calibration=DIGITS.x_calibration)
    words = ["infer", str(digits_network("mlp")), "data.npz", "--output", "out.npz"]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    dataset = Dataset(inputs={"x": DIGITS.x[:9]}, labels=DIGITS.y[:9], calibration_inputs=DIGITS.x_calibration)
    network = spicesim.compile_network(digits_network("mlp"), small_calibration, x_calibration=DIGITS.x_calibration)
    with np.load("out.npz") as arrays:
        wanted = next(iter(arrays.values()))
    np.testing.assert_array_equal(spicesim.run(RunPlan(), network, dataset).first.result.logits, wanted)
    np.testing.assert_array_equal(network.run(DIGITS.x[:9]).logits, wanted)
