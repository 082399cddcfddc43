"""A designer edits the op-amp's file, measures it, calibrates anew, and sees what that does to a network."""

import json

import numpy as np
import pytest

from spicesim.cli.main import main
from spicesim.network import digits_network, load_digits


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def test_less_bias_in_the_op_amp_is_seen_from_the_data_sheet_to_the_network(call, tmp_path):
    digits = load_digits()
    np.savez("digits.npz", x=digits.x, y=digits.y, x_calibration=digits.x_calibration)
    infer = (
        "infer", digits_network("mlp"), "digits.npz",
        "--chip", "chip.toml", "--calibration", "chip.cal.json", "--no-gain",
    )  # fmt: skip

    def measure(name):
        """Characterise, calibrate, run."""
        for words in (
            ("characterise", "senseamp", "--chip", "chip.toml", "--json", f"{name}.sheet.json"),
            ("calibrate", "chip.toml", "--quick", "--aspects", "", "-o", "chip.cal.json"),
            (*infer, "--json", f"{name}.json"),
        ):
            code, _, error = call(*words)
            assert code == 0, error
        sheet, result = (json.loads((tmp_path / f"{name}{end}").read_text()) for end in (".sheet.json", ".json"))
        return sheet["quantities"], result

    assert call("init", "--preset", "generic-1t1r", "--library", "mine", "-o", "chip.toml")[0] == 0
    before, shipped = measure("before")

    # a tenth of the current in the tail of the first stage
    amplifier = tmp_path / "mine" / "opamp.cir"
    text = amplifier.read_text()
    starved = text.replace(
        "m5   tail  bn   vss   vss  nch  w=20u l=2u m=2", "m5   tail  bn   vss   vss  nch  w=4u l=2u m=1"
    )
    assert starved != text
    amplifier.write_text(starved)

    code, _, error = call(*infer)
    assert code == 2
    assert "chip.cal.json belongs to chip generic-1t1r" in error
    assert "run: spicesim calibrate" in error
    assert len(error.splitlines()) == 1

    after, edited = measure("after")
    assert after["r_in"]["value"] > 1.5 * before["r_in"]["value"]
    assert after["loop_gain"]["value"] < before["loop_gain"]["value"]
    assert after["power"]["value"] < before["power"]["value"]
    for first, second in zip(shipped["layers"], edited["layers"], strict=True):
        assert second["snr_db"] < first["snr_db"] - 0.5
    assert edited["accuracy"] != shipped["accuracy"]
    assert edited["digital_accuracy"] == shipped["digital_accuracy"]
    assert edited["provenance"]["chip_hash"] != shipped["provenance"]["chip_hash"]

    # and back: the old chip, the old hash, all simulations kept
    amplifier.write_text(text)
    assert measure("again")[1]["provenance"]["chip_hash"] == shipped["provenance"]["chip_hash"]


def test_an_edited_library_is_not_overwritten(call, tmp_path):
    assert call("init", "--library", "mine", "-o", "chip.toml")[0] == 0
    (tmp_path / "mine" / "tia.cir").write_text("* mine\n")
    code, _, error = call("init", "--library", "mine", "-o", "other.toml")
    assert code == 2
    assert "tia.cir is there already, edited; choose another folder or add --force" in error
    assert not (tmp_path / "other.toml").exists()
    assert call("init", "--library", "mine", "-o", "other.toml", "--force")[0] == 0
    assert "subckt" in (tmp_path / "mine" / "tia.cir").read_text()


def test_a_library_that_does_not_fit_is_one_line(call, tmp_path):
    assert call("init", "--library", "mine", "-o", "chip.toml")[0] == 0
    text = (tmp_path / "mine" / "opamp.cir").read_text()
    (tmp_path / "mine" / "opamp.cir").write_text(text.replace("opamp inp inn out", "opamp inn inp out"))
    code, _, error = call("netlist", "senseamp", "--chip", "chip.toml")
    assert code == 2
    assert "chip.toml: library:" in error
    assert "wanted 'inp inn out vdd vss'" in error
    assert len(error.splitlines()) == 1
