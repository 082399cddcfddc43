"""Tiles kept in a folder: found by all that they depend on, the same to the last bit, and made anew if damaged."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from spicesim.behavioural.fast_tile import FastTile
from spicesim.coding import AdcRange
from spicesim.engine import FastEngine, Tile
from spicesim.errors import SpecError
from spicesim.files.shelf import Shelf
from tests.unit.test_fast_tile import TOLERANCE, conductances, tile_of
from tests.unit.test_floating_forms import _tile as floating_tile
from tests.unit.test_gates import calibration as gates  # noqa: F401 -- a fixture


def assert_restored(make, tolerance, codes):
    first = FastTile(make(), tolerance=tolerance)
    again = FastTile(make(), tolerance=tolerance, kept=first.numbers)
    assert (again.form, again.max_error, again.trials) == (first.form, first.max_error, first.trials)
    for name in ("v_out", "v_in", "v_word_line", "currents", "row_currents"):
        one, other = (getattr(tile.solve(codes), name) for tile in (first, again))
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert set(again.numbers) == set(first.numbers)
    for name, array in first.numbers.items():
        np.testing.assert_array_equal(again.numbers[name], array, err_msg=name)
    return first.numbers


@pytest.mark.parametrize("saturating", [False, True])
def test_a_tile_of_amplifiers_is_restored_to_the_last_bit(gf180_calibration, saturating):
    codes = np.random.default_rng(3).integers(0, 256, (60, 32))
    assert_restored(lambda: tile_of(gf180_calibration, "bipolar", saturating), TOLERANCE, codes)


def test_a_tile_of_floating_lines_is_restored_to_the_last_bit():
    assert_restored(lambda: floating_tile(16), 3e-3, np.random.default_rng(3).integers(0, 2, (60, 16)))


def test_a_tile_of_gates_is_restored_to_the_last_bit(gates):  # noqa: F811
    g = np.random.default_rng(6).uniform(2e-6, 40e-6, (8, 6))
    codes = np.random.default_rng(3).integers(0, 2, (60, 8))
    assert_restored(lambda: gates.tile(g, "unipolar", 20e3), 2e-3, codes)


def test_a_tile_that_is_solved_exactly_is_kept_as_such():
    numbers = assert_restored(lambda: floating_tile(8), 1e-9, np.random.default_rng(3).integers(0, 2, (9, 8)))
    assert "taken" not in numbers


@pytest.mark.parametrize("change", ["missing", "shape", "type", "nan", "orders"])
def test_numbers_of_another_tile_are_refused(gf180_calibration, change):
    """Kernels trust shapes, so that a file that anybody wrote must not reach them."""
    numbers = FastTile(tile_of(gf180_calibration, "unipolar", False), tolerance=TOLERANCE).numbers
    for name in numbers:
        other = dict(numbers)
        if change == "missing":
            if name == "taken":  # which says that there is a form at all
                continue
            del other[name]
        elif change == "shape":
            other[name] = np.concatenate([np.atleast_1d(other[name]).ravel()] * 2)
        elif change == "type":
            other[name] = np.asarray(other[name]).astype("S8" if other[name].dtype.kind == "U" else np.int16)
        elif change == "nan" and other[name].dtype.kind == "f":
            other[name] = np.full_like(other[name], np.nan)
        elif change == "orders" and name in ("model.form.rank", "model.form.orders"):
            other[name] = other[name] + 9
        else:
            continue
        if name == "taken" or (change == "type" and name in ("model.form.rank", "model.form.orders")):
            continue  # values alone count
        with pytest.raises(SpecError, match="kept of a tile"):
            FastTile(tile_of(gf180_calibration, "unipolar", False), tolerance=TOLERANCE, kept=other)


def tile(calibration, **changes):
    g = conductances(calibration, (16, 8))
    made = Tile(name="a:0", g=g, polarity="unipolar", r_feedback=20e3, adc=AdcRange(low=0.0, high=1.0, bits=8))
    return replace(made, **changes)


def test_an_engine_finds_again_what_it_kept_and_nothing_else(gf180_calibration, tmp_path):
    def prepare(wanted, calibration=gf180_calibration, **options):
        shelf = Shelf(tmp_path)
        made = FastEngine(calibration, **{"tolerance": 2e-3, "shelf": shelf, **options}).prepare(wanted)
        return made, shelf.found

    own = tile(gf180_calibration)
    first, found = prepare(own)
    assert found == 0
    codes = np.random.default_rng(3).integers(0, 256, (30, 16))
    chip = gf180_calibration.chip.changed({"name": "coarse", "adc.bits": 3, "adc.percentile": 99})
    coarse = gf180_calibration.model_copy(update={"chip": chip})
    for wanted, calibration in (
        (own, gf180_calibration),
        (replace(own, name="other:3"), gf180_calibration),  # the same weights in another network
        (replace(own, adc=AdcRange(low=0.0, high=1.0, bits=3)), coarse),
    ):
        again, found = prepare(wanted, calibration)
        assert found == 1
        np.testing.assert_array_equal(again.mvm(codes), first.mvm(codes))
    others = [
        {"g": own.g * (1 + 1e-15 + np.finfo(float).eps)}, {"polarity": "bipolar"}, {"r_feedback": 40e3},
        {"adc": AdcRange(low=0.0, high=1.1, bits=8)}, {"adc": None},
    ]  # fmt: skip
    assert [prepare(replace(own, **change))[1] for change in others] == [0] * len(others)
    assert [prepare(own, **change)[1] for change in ({"tolerance": 3e-3}, {"seed": 1})] == [0, 0]
    wires = gf180_calibration.model_copy(update={"chip": gf180_calibration.chip.changed({"array.r_bit_line": 2.0})})
    assert prepare(own, wires)[1] == 0


@pytest.mark.parametrize("damage", ["cut", "turned", "renamed", "empty", "foreign"])
def test_a_damaged_tile_is_made_anew_and_noted(gf180_calibration, tmp_path, damage):
    own, codes = tile(gf180_calibration), np.random.default_rng(3).integers(0, 256, (30, 16))
    first = FastEngine(gf180_calibration, tolerance=2e-3, shelf=Shelf(tmp_path)).prepare(own)
    (path,) = tmp_path.glob("*/*.safetensors")
    data = path.read_bytes()
    if damage == "foreign":
        Shelf(tmp_path / "other").keep(path.stem, floating_numbers())
        (tmp_path / "other" / path.parent.name / path.name).rename(path)
    else:
        middle = len(data) // 2
        turned = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        renamed = data.replace(b"model.coupling.lift", b"model.coupling.lost")
        path.write_bytes({"cut": data[:middle], "turned": turned, "renamed": renamed, "empty": b""}[damage])
    engine = FastEngine(gf180_calibration, tolerance=2e-3, shelf=Shelf(tmp_path))
    np.testing.assert_array_equal(engine.prepare(own).mvm(codes), first.mvm(codes))
    assert engine.notes == ("1 of the files kept from before were damaged, and made anew",)
    assert FastEngine(gf180_calibration, tolerance=2e-3, shelf=Shelf(tmp_path)).notes == ()


def floating_numbers():
    return FastTile(floating_tile(8), tolerance=3e-3).numbers


def test_a_full_shelf_gives_up_what_was_used_longest_ago(tmp_path):
    shelf, array = Shelf(tmp_path, limit=25_000), {"x": np.zeros(1000)}
    for k in range(5):
        shelf.keep(f"{k}{k}key", array)
        os.utime(tmp_path / f"{k}{k}" / f"{k}{k}key.safetensors", (k, k))
    assert shelf.find("00key") is not None  # used now
    shelf.trim()
    assert [shelf.find(f"{k}{k}key") is not None for k in range(5)] == [True, False, False, True, True]
    Shelf(tmp_path).trim()  # without a limit
    assert shelf.find("33key") is not None


def test_many_threads_read_a_shelf_at_once(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.keep("00key", {f"a{k}": np.full((1, 3), float(k)) for k in range(200)})
    with ThreadPoolExecutor(8) as workers:
        for found in workers.map(lambda _: Shelf(tmp_path).find("00key"), range(64)):
            assert found["a199"][0, 0] == 199
