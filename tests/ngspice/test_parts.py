"""Parts of calibrations are reused where nothing that they depend on has changed, and made anew where it has."""

import pytest

from spicesim.behavioural.cell import CellModel
from spicesim.calibration.calibrate import run_plan
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.parts import Parts, _write
from spicesim.calibration.plan import TilePlan, plan_calibration
from spicesim.chip import preset
from spicesim.files import cache_folder

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
