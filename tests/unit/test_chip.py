"""The chip description: TOML both ways, validation that says what, where and wanted, a hash of its content."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicesim.characterise import BLOCKS
from spicesim.chip import PRESETS, Chip, ModelFile, format_chip, load_chip, preset, save_chip
from spicesim.chip.change import list_keys
from spicesim.chip.process import SOURCES
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.units import format_si, parse_quantity, spice_number


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_its_file(tmp_path, name):
    chip = preset(name)
    save_chip(chip, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml") == chip
    assert load_chip(tmp_path / "chip.toml").hash == chip.hash


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_key_of_a_file_has_a_comment_with_its_unit(name):
    lines = format_chip(preset(name)).splitlines()
    keys = [k for k, line in enumerate(lines) if re.match(r"\w+ = ", line)]
    assert all(lines[k - 1].startswith("# ") for k in keys)
    quantities = [k for k in keys if re.search(r"= \d[\d.]*e-\d+$", lines[k])]
    assert all("[" in lines[k - 1] for k in quantities)


def test_values_may_be_text_with_units(tmp_path):
    text = format_chip(preset("generic-1t1r"))
    written = text.replace("g_max = 5e-05", 'g_max = "50 uS"').replace("r_unit = 20000.0", 'r_unit = "20 kohm"')
    assert written != text
    (tmp_path / "chip.toml").write_text(written)
    assert load_chip(tmp_path / "chip.toml") == preset("generic-1t1r")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_blocks_outside_the_tile_stand_in_a_file_as_comments_to_be_uncommented(tmp_path, name):
    head, _, blocks = format_chip(preset(name)).partition("# Other blocks (spicesim characterise)")
    lines = [line.removeprefix("# ") for line in blocks.splitlines() if re.match(r"# (\[|\w+ = )", line)]
    assert len(lines) >= 30
    path = tmp_path / "chip.toml"
    path.write_text("\n".join([head, *lines]))
    assert load_chip(path) == preset(name)
    assert load_chip(path).hash == preset(name).hash
    path.write_text(path.read_text().replace("latch_width = 4e-06", 'latch_width = "5 um"'))
    changed = load_chip(path)
    assert changed.comparator.latch_width == 5e-6
    assert changed.hash != preset(name).hash
    save_chip(changed, path)
    assert load_chip(path) == changed
    assert "\n[comparator]" in path.read_text()


def test_sizes_of_a_chip_reach_its_netlists():
    chip = preset("generic-1t1r").changed(
        comparator={"input_width": 7.7e-6}, integrator={"capacitor": 3.3e-12}, mirror={"width": 11e-6},
        word_line_driver={"width": 31e-6}, current_dac={"bits": 4}, charge_dac={"unit": 33e-15},
        sar_adc={"dac": {"bits": 3}, "comparator": {"input_width": 6.6e-6}},
    )  # fmt: skip
    said = {
        "comparator": "w=7.7e-06", "integrator": "c=3.3e-12", "mirror": "w=1.1e-05", "word_line_driver": "w=3.1e-05",
        "current_dac": "4-bit", "charge_dac": "3.3e-14", "sar_adc": "w=6.6e-06",
    }  # fmt: skip
    for block, text in said.items():
        assert any(text in netlist.format() for netlist in BLOCKS[block].bench(chip).netlists.values()), block


def test_the_hash_follows_the_content_and_nothing_else():
    chip = preset("generic-1t1r")
    assert chip.changed().hash == chip.hash
    assert chip.changed(cell={"kappa": 1.5}).hash != chip.hash
    assert len({preset(name).hash for name in PRESETS}) == len(PRESETS)


def test_a_chip_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        preset("generic-1t1r").array.rows = 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"array": {"rows": 0}}, r"array.rows.*greater than or equal to 1.*got 0"),
        ({"array": {"rows": 2.5}}, r"array.rows"),
        ({"array": {"r_word_line": -1}}, r"array.r_word_line"),
        ({"cell": {"g_min": 1e-3}}, r"cell.*g_min must lie below g_max"),
        ({"cell": {"kind": "1t"}}, r"cell.kind.*'1s1r' or '2t2r'"),
        ({"cell": {"kind": "2t2r"}, "array": {"columns": 5}}, "takes two columns; make array.columns even, got 5"),
        ({"cell": {"kappa": 4.0}, "dac": {"v_span": 0.4}}, "kappa \\* dac.v_span = 1.6 exceeds 1.5"),
        ({"cell": {"access_length": 1e-7}}, r"access_length.*min_length"),
        ({"dac": {"bits": 40}}, r"dac.bits"),
        ({"dac": {"v_span": 3.0}}, r"within the supply"),
        ({"sense_amplifier": {"r_feedback": []}}, r"r_feedback"),
        ({"sense_amplifier": {"r_feedback": [-1.0]}}, r"r_feedback"),
        ({"process": {"nmos": "bad name"}}, r"process.nmos.*letters"),
        ({"process": {"models": []}}, r"process.models"),
        ({"cell": {"colour": 1}}, r"unknown key 'cell.colour'"),
        ({"cell": {"kappa": "1 furlong"}}, r"cell.kappa.*furlong"),
        ({"cell": {"kappa": float("nan")}}, r"cell.kappa"),
    ],
)
def test_impossible_values_are_refused_with_where_and_wanted(change, said):
    with pytest.raises(SpecError, match=said):
        preset("generic-1t1r").changed(**change)


def test_keys_are_changed_as_they_stand_in_a_file():
    chip = preset("generic-1t1r")
    changed = chip.changed({"adc.bits": 6, "array.r_word_line": "2 ohm", "sar_adc.dac.unit": 3e-15, "name": "other"})
    assert (changed.adc.bits, changed.array.r_word_line, changed.sar_adc.dac.unit) == (6, 2.0, 3e-15)
    by_section = chip.changed(adc={"bits": 6}, array={"r_word_line": 2.0}, name="other")
    assert changed.changed({"sar_adc.dac.unit": chip.sar_adc.dac.unit}) == by_section
    assert changed.sar_adc.dac.span == chip.sar_adc.dac.span
    wire = {"width": "50 nm", "thickness": "50 nm", "length": "100 nm"}
    assert chip.changed({"array.r_bit_line": wire}) == chip.changed(array={"r_bit_line": wire})
    assert chip.changed({"array": {"rows": 5}, "array.columns": 7}).array == chip.changed(
        array={"rows": 5, "columns": 7}
    ).array  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"adc.bit": 6}, r"unknown key 'adc.bit' of a chip; the nearest is 'adc.bits'"),
        ({"rows": 6}, r"unknown key 'rows'"),
        ({"adc.": 6}, r"unknown key 'adc.'"),
        ({"": 6}, r"unknown key ''"),
        ({5: 6}, r"unknown key 5"),
        ({"name.x": 6}, r"unknown key 'name.x'"),
        ({"array": 3, "array.rows": 4}, r"'array.rows' of a chip is within one that is changed to 3"),
        ({"array": {"rows": 4, "nothing": 1}}, r"unknown key 'array.nothing'"),
        ({"array.rows": {"a": 1}}, r"array.rows"),
        ({"array.rows": 0}, r"array.rows.*greater than or equal to 1.*got 0"),
    ],
)
def test_keys_that_cannot_be_changed_are_refused_with_the_nearest(keys, said):
    with pytest.raises(SpecError, match=said):
        preset("generic-1t1r").changed(keys)


def test_models_that_are_not_there_say_how_to_get_them(tmp_path):
    with pytest.raises(MissingDependencyError, match="pip install --no-deps no-such-pdk"):
        ModelFile(path="package:no-such-pdk/a.lib").resolve()
    with pytest.raises(MissingDependencyError, match="correct its path"):
        ModelFile(path=str(tmp_path / "a.lib")).resolve()
    with pytest.raises(SpecError, match="no library file"):
        ModelFile(path="library:nothing.cir").resolve()


def test_relative_model_paths_start_at_the_chips_folder(tmp_path):
    (tmp_path / "mine.lib").write_text("* models\n")
    chip = preset("generic-1t1r").changed(process={"models": [{"path": "mine.lib"}]})
    save_chip(chip, tmp_path / "chip.toml")
    assert load_chip(tmp_path / "chip.toml").process.models[0].resolve() == tmp_path / "mine.lib"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_in_a_netlist_reads_back_as_the_same_double(x):
    assert float(spice_number(x)) == x


@given(st.floats(min_value=1e-15, max_value=1e11))
def test_numbers_for_people_read_back(x):
    assert parse_quantity(format_si(x, "V", digits=12)) == pytest.approx(x, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10u", 1e-5), ("1.5 kohm", 1500.0), ("2M", 2e6), ("1m", 1e-3), ("3 mV", 3e-3), ("-1e-3", -1e-3), (7, 7.0)],
)
def test_quantities(text, value):
    assert parse_quantity(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "ten", "1 furlong", "1e999", "nan", "m", True, "1uu"])
def test_what_is_no_quantity(text):
    with pytest.raises(SpecError):
        parse_quantity(text)


def test_netlists_hold_no_infinity():
    with pytest.raises(SpecError, match="inf"):
        spice_number(float("inf"))


def test_the_model_of_a_chip_is_public():
    assert Chip.model_validate(preset("generic-1t1r").model_dump()) == preset("generic-1t1r")


class TestProcessesOfOtherKits:
    def test_corners_are_read_by_the_names_that_the_files_give_them(self):
        chip = preset("sky130-1t1r")
        assert [model.section for model in chip.process.models] == ["tt"]
        assert [model.section for model in chip.at(corner="ss").process.models] == ["ss"]
        back = chip.at(corner="ss").at(corner="typical").process
        assert [model.section for model in back.models] == ["tt"]
        renamed = chip.changed(process={"corners": {"typical": "tt", "ss": "slow"}}).at(corner="ss").process
        assert [model.section for model in renamed.models] == ["slow"]

    def test_sources_to_compile_stay_as_they_are_named(self, tmp_path):
        chip = preset("ihp130-1t1r")
        save_chip(chip, tmp_path / "chip.toml")
        assert load_chip(tmp_path / "chip.toml").process.sources == SOURCES
        with pytest.raises(SpecError, match=r"no source that spicesim compiles; there are: .*psp103"):
            chip.changed(process={"osdi": ["package:numpy/model.va"]})

    def test_what_is_usual_of_a_process_is_not_written(self):
        assert "corners" not in format_chip(preset("gf180-1t1r"))
        assert "matching" not in format_chip(preset("gf180-1t1r"))

    def test_a_chip_of_another_kit_survives_its_file(self, tmp_path):
        chip = preset("sky130-1t1r")
        save_chip(chip, tmp_path / "chip.toml")
        assert load_chip(tmp_path / "chip.toml") == chip
        assert load_chip(tmp_path / "chip.toml").hash == chip.hash

    @pytest.mark.parametrize("name", ["a_threshold_n", "a_gain_p"])
    def test_a_mismatch_below_nothing_is_refused(self, name):
        law = preset("sky130-1t1r").process.matching.model_dump() | {name: -1e-9}
        with pytest.raises(SpecError, match=name):
            preset("sky130-1t1r").changed(process={"matching": law})


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_number_of_every_preset_can_be_set_by_its_key(name):
    chip = preset(name)
    for key in list_keys(chip):
        value = chip
        for part in key.split("."):
            value = getattr(value, part)
        if isinstance(value, int | float | str):
            assert chip.changed({key: value}) == chip, key
