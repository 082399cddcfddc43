"""Parts of calibrations are reused where nothing that they depend on has changed, and made anew where it has."""

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.behavioural.cell import CellModel
from spicesim.calibration.calibrate import calibrate_from, run_plan
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.parts import Parts, _write
from spicesim.calibration.plan import TilePlan, plan_calibration
from spicesim.chip import preset, save_chip
from spicesim.cli.main import cli
from spicesim.errors import CalibrationError, SpecError
from spicesim.files import cache_folder

pytestmark = pytest.mark.long

CHIP = preset("generic-1t1r").changed(
    {"array.rows": 4, "array.columns": 4, "dac.bits": 4, "sense_amplifier.r_feedback": (20e3,)}
)
ABOUT = {"created", "seconds", "reuse", "costs", "chip"}


@pytest.fixture(scope="module", autouse=True)
def _own_parts(tmp_path_factory):
    """Keep parts in a folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPICESIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def calibrated(chip, **options):
    plan = plan_calibration(chip, quick=True, aspects=options.pop("aspects", ()), **options)
    return run_plan(plan.model_copy(update={"tiles": TilePlan(sizes=(3,), random_vectors=0, part=5)}), jobs=1)


@pytest.fixture(scope="module")
def base(_own_parts):
    return calibrated(CHIP)


def from_scratch(chip, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "find", lambda *_: None)
        return calibrated(chip, **options)


def made(calibration):
    return {name.partition(" ")[0].rstrip(",") for name in calibration.reuse.made}


@pytest.mark.parametrize(
    ("keys", "anew"),
    [
        ({"name": "other", "adc.bits": 5, "adc.percentile": 99.0}, set()),
        ({"array.c_bit_line": "1 fF"}, {"check"}),
        ({"array.r_word_line": 3.0}, {"check"}),
        ({"array.columns": 5}, {"DAC", "check"}),
        ({"array.rows": 3}, {"check"}),
        ({"cell.access_width": 3e-6}, {"cell", "check"}),
        ({"dac.switch_width": 21e-6}, {"DAC", "check"}),
        ({"sense_amplifier.drive": 1.5}, {"TIA", "check"}),
        ({"process.temperature_c": 30.0}, {"cell", "DAC", "TIA", "check"}),
    ],
)
def test_a_changed_chip_s_calibration_is_that_from_scratch_and_only_what_may_differ_is_made(
    base, keys, anew, monkeypatch
):
    chip = CHIP.changed(keys)
    found = calibrated(chip)
    assert made(found) == anew
    scratch = from_scratch(chip, monkeypatch)
    assert not scratch.reuse.reused
    assert scratch.reuse.simulated == 0, "no simulation is run twice"
    assert found.model_dump_json(exclude=ABOUT) == scratch.model_dump_json(exclude=ABOUT)
    assert found.hash == scratch.hash
    assert {label: cost.simulations for label, cost in found.costs.items()} == {
        label: cost.simulations for label, cost in scratch.costs.items()
    }


def test_aspects_are_taken_and_made_as_blocks_are(base, monkeypatch):
    aspects = ("parameters", "energy")
    first = calibrated(CHIP, aspects=aspects)
    assert made(first) == {"parameters", "energy"}, "blocks are those of the base"
    chip = CHIP.changed({"adc.bits": 5})
    found = calibrated(chip, aspects=aspects)
    assert made(found) == {"energy"}, "an ideal converter's energy is that of one of as many bits"
    scratch = from_scratch(chip, monkeypatch, aspects=aspects)
    assert found.model_dump_json(exclude=ABOUT) == scratch.model_dump_json(exclude=ABOUT)
    assert found.energy.adc != first.energy.adc


def entries(pattern):
    return sorted((cache_folder() / "parts-1").glob(f"*/{pattern}"))


@pytest.mark.parametrize("pattern", ["*.keys", "*.part"])
def test_entries_that_are_cut_changed_or_from_anybody_are_taken_away_and_made_anew(base, pattern):
    files = entries(pattern)
    assert len(files) > 5
    whole = {path: path.read_bytes() for path in files}
    for k, (path, data) in enumerate(whole.items()):
        head, _, content = data.partition(b"\n")
        other = next(iter(whole.values())) if k else list(whole.values())[-1]
        path.write_bytes(
            [
                b"", data[: len(data) // 2], data[:-1], data.replace(b"1", b"2"), b"[" * 100_000, content, other,
                head + b"\n" + b'{"keys":[],"runs":[],"digests":[],"content":null}',
            ][k % 8]
        )  # fmt: skip
    again = calibrated(CHIP)
    assert not again.reuse.reused
    assert again.reuse.simulated == 0
    assert again.model_dump_json(exclude=ABOUT) == base.model_dump_json(exclude=ABOUT)
    assert not calibrated(CHIP).reuse.made


def test_an_entry_with_a_right_checksum_that_is_no_such_part_is_made_anew(base):
    for path in entries("*.part"):
        _write(path, path.read_bytes().partition(b"\n")[2].replace(b'"content":{', b'"content":{"more":1,'))
    again = calibrated(CHIP)
    assert not again.reuse.reused
    assert again.hash == base.hash


def test_what_was_done_without_a_failed_simulation_is_not_kept(base):
    parts = Parts(CHIP, campaign := Campaign())

    def make(chip):
        campaign.failures.append("one")
        return base.cell

    for _ in range(2):
        parts.recall("spoilt", "", CellModel, make)
    assert parts.made == ["spoilt", "spoilt"]


def test_code_of_one_s_own_is_never_taken_from_before(base):
    chip = CHIP.changed({"adc.kind": "mine:Adc"})
    parts = Parts(chip, Campaign())
    for _ in range(2):
        parts.recall("own", "", CellModel, lambda _: base.cell)
    assert parts.made == ["own", "own"]


def test_blocks_are_carried_to_other_wires_and_smaller_arrays_and_checked_there(base):
    chip = CHIP.changed({"adc.bits": 6, "array.r_word_line": 40.0, "array.rows": 3, "array.columns": 2})
    found = calibrate_from(base, chip)
    assert found.chip == chip
    assert found.reuse.base == base.hash
    assert found.plan == base.plan
    assert found.costs["calibrate blocks"] == base.costs["calibrate blocks"]
    assert made(found) == {"check"}
    checked = found.costs["check whole tiles"].simulations
    assert found.reuse.simulated == checked == sum(len(check.pattern) for check in found.checks) > 0
    assert {(check.rows, check.columns) for check in found.checks} == {(2, 2), (3, 2)}
    assert found.verdict.tiles.error >= max(base.verdict.tiles.error, *(check.max_error for check in found.checks))
    again = calibrate_from(base, chip.changed({"adc.bits": 7}))
    assert (again.reuse.made, again.reuse.simulated) == ((), 0)
    assert base.hash in found.reuse.format()
    g = np.full((3, 2), chip.cell.g_max)
    assert (
        found.tile(g, "unipolar", 20e3).solve(np.full((1, 3), 15)).v_out.max()
        < base.tile(g, "unipolar", 20e3).solve(np.full((1, 3), 15)).v_out.max()
    ), "its own wires"


def test_the_larger_error_of_a_base_is_claimed(base):
    worse = base.verdict.model_copy(update={"tiles": base.verdict.tiles.model_copy(update={"error": 9e-5})})
    found = calibrate_from(base.model_copy(update={"verdict": worse}), CHIP.changed({"adc.bits": 6}))
    assert found.verdict.tiles.error == 9e-5
    assert base.hash in found.verdict.tiles.where


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"array.rows": 5}, "array.rows = 5 is more than the 4"),
        ({"cell.access_width": 3e-6}, "cell.access_width differs"),
        ({"adc.kind": "sar"}, "adc.kind differs"),
        ({"process.temperature_c": 30.0}, "process.temperature_c differs"),
        ({"sar_adc.dac.unit": 3e-15}, "sar_adc.dac.unit differs"),
    ],
)
def test_a_chip_outside_of_the_box_is_refused(base, keys, said):
    with pytest.raises(CalibrationError, match=said):
        calibrate_from(base, CHIP.changed(keys))


def test_models_of_another_version_are_refused(base):
    other = base.model_copy(update={"versions": base.versions | {"models in generic_models.cir": "0"}})
    with pytest.raises(CalibrationError, match=r"models in generic_models\.cir of 0"):
        calibrate_from(other, CHIP)


def test_the_command_takes_a_base_and_says_what_it_took(base, tmp_path):
    base.save(tmp_path / "wide.cal.json")
    save_chip(CHIP.changed({"adc.bits": 6}), tmp_path / "chip.toml")
    arguments = ["calibrate", str(tmp_path / "chip.toml"), "--base", str(tmp_path / "wide.cal.json")]
    done = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "chip.cal.json")])
    assert done.exit_code == 0, done.output
    assert f"blocks of calibration {base.hash}; " in done.output
    assert load_calibration(tmp_path / "chip.cal.json").chip.adc.bits == 6
    refused = CliRunner().invoke(cli, [*arguments, "--seed", "3"])
    assert isinstance(refused.exception, SpecError)
