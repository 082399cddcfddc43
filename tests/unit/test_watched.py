"""A watched chip computes as the chip itself, and notes every key that was read, whatever way."""

import copy
import pickle

import numpy as np
import pytest

from spicesim.calibration.carried import free_keys
from spicesim.calibration.plan import plan_calibration
from spicesim.calibration.watched import Reads, values_hash
from spicesim.chip import PRESETS, Chip, preset
from spicesim.netlist.tile import build_tile


def watched(name="gf180-1t1r"):
    reads = Reads(preset(name))
    return reads.watch(), reads


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_netlists_of_a_watched_chip_are_those_of_the_chip(name):
    chip, reads = watched(name)
    codes = np.arange(4) % 2
    for kind in (chip, chip.at(temperature_c=50.0)):
        plain = preset(name) if kind is chip else preset(name).at(temperature_c=50.0)
        arguments = {"polarity": "unipolar", "r_feedback": plain.settings[0]}
        if plain.hold.adds_planes or plain.dac.kind == "pulse":
            continue  # their courses are no codes at rest
        g = np.full((4, 2), plain.cell.g_max)
        assert build_tile(kind, g, codes, **arguments).format() == build_tile(plain, g, codes, **arguments).format()
        assert "array.r_word_line" in reads.keys
        assert not {"", "adc", "adc.bits", "array", "array.rows", "name"} & reads.keys


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        (lambda chip: chip.array.rows, {"array.rows"}),
        (lambda chip: chip.array, set()),
        (lambda chip: chip.array.model_dump(), {"array"}),
        (lambda chip: chip.array.model_copy(update={"rows": 3}).columns, {"array"}),
        (lambda chip: dict(chip.array), {"array"}),
        (lambda chip: chip.array == chip.array, {"array"}),
        (lambda chip: preset("gf180-1t1r").array == chip.array, {"array"}),
        (lambda chip: hash(chip.array), {"array"}),
        (lambda chip: repr(chip.array), {"array"}),
        (lambda chip: f"{chip.array}", {"array"}),
        (lambda chip: vars(chip.array), {"array"}),
        (lambda chip: copy.copy(chip.array).rows, {"array"}),
        (lambda chip: copy.deepcopy(chip.array).rows, {"array"}),
        (lambda chip: pickle.loads(pickle.dumps(chip.array)).rows, {"array"}),
        (lambda chip: chip.sar_adc.dac.unit, {"sar_adc.dac.unit"}),
        (lambda chip: chip.cell.has_gate, {"cell.kind"}),
        (lambda chip: chip.model_dump_json(), {""}),
        (lambda chip: chip == preset("gf180-1t1r"), {""}),
        (lambda chip: (chip.name, chip.hash), set()),
        (lambda chip: chip.process.name, {"process.name"}),
        (lambda chip: chip.library, {"library"}),
        (lambda chip: chip.changed({"adc.bits": 5}).adc.bits, set()),
        (lambda chip: chip.changed(adc={"bits": 5}).adc.percentile, {"adc.percentile"}),
        (lambda chip: chip.changed({"adc.bits": 5}).adc.model_dump(), {"adc"}),
        (lambda chip: chip.changed({"adc.bits": 5}).changed({"array.rows": 4}).adc.bits, set()),
        (lambda chip: chip.changed(array=chip.array).array.rows, {"array"}),
        (lambda chip: chip.at(temperature_c=3.0).process.temperature_c, set()),
    ],
)  # fmt: skip
def test_every_way_to_read_a_key_is_noted(read, keys):
    chip, reads = watched()
    plain = read(preset("gf180-1t1r"))
    found = read(chip)
    assert reads.keys == keys
    assert isinstance(chip, Chip)
    if not isinstance(found, type(chip.array)):
        assert found == plain


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_blocks_that_are_carried_read_no_key_that_may_differ(name):
    chip = preset(name).changed({"array.rows": 16, "array.columns": 16})
    reads = Reads(chip)
    for block in plan_calibration(chip, quick=True, aspects=()).blocks.values():
        block.netlists(reads.watch())
    assert "cell.kind" in reads.keys
    assert not reads.keys & (free_keys(chip) | {"", "array", "adc", "array.rows", "array.columns"})


def test_what_holds_a_watched_chip_is_written_as_with_the_chip(small_calibration):
    reads = Reads(small_calibration.chip)
    held = small_calibration.model_copy(update={"chip": reads.watch()})
    assert not reads.keys
    assert held.model_dump_json() == small_calibration.model_dump_json()
    assert "" in reads.keys
    assert held.hash == small_calibration.hash
    fields = {name: getattr(held, name) for name in type(held).model_fields}
    assert type(held).model_validate(fields).chip == small_calibration.chip


def test_values_of_keys_are_told_apart():
    chip = preset("gf180-1t1r")
    keys = ("array.rows", "process.models", "library", "sar_adc")
    same = chip.changed({"name": "other", "array.columns": 3})
    others = [
        chip.changed({"array.rows": 3}),
        chip.changed({"sar_adc.dac.unit": 1e-15}),
        chip.at(corner="ss"),
    ]
    assert values_hash(same, keys) == values_hash(chip, keys)
    assert len({values_hash(other, keys) for other in (chip, *others)}) == 4
    assert values_hash(chip, ("library",)) != values_hash(chip, ("library.files",)), (
        "a key that is not there is no None"
    )
    assert values_hash(same, ("",)) != values_hash(chip, ("",))
    assert values_hash(chip.changed({"name": "other"}), ("",)) == values_hash(chip, ("",))
