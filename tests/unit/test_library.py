"""A designer's own subcircuits: they replace the shipped ones, a chip's hash follows them, and misfits are refused."""

import pytest

from spicesim.chip import Chip, load_chip, preset, save_chip
from spicesim.chip.library import library_text, subcircuit_names
from spicesim.errors import SpecError
from spicesim.netlist import build_dac, build_sense_amplifier, build_tile
from spicesim.netlist.subcircuits import split_subcircuits

CHIP = preset("generic-1t1r")
SHIPPED = library_text("opamp.cir")
STARVED = SHIPPED.replace("i1   vdd   bn   {ibias}", "i1   vdd   bn   {ibias/10}")
assert STARVED != SHIPPED


def own(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.cir").write_text(text)
    return CHIP.changed(library=str(folder))


def test_every_netlist_that_calls_a_block_takes_the_own_one(tmp_path):
    chip = own(tmp_path, opamp=STARVED)
    netlists = [
        build_sense_amplifier(chip, 20e3, 1e-4),
        build_dac(chip),
        build_tile(chip, [[1e-5]], [3], polarity="unipolar", r_feedback=20e3),
    ]
    for netlist in netlists:
        assert "{ibias/10}" in netlist.format()
    assert library_text("tia.cir").strip() in netlists[0].format()  # what is not replaced is as shipped


def test_transistors_of_an_own_block_are_those_of_the_process(tmp_path):
    chip = own(tmp_path, opamp=STARVED).changed(process=preset("gf180-1t1r").process.model_dump())
    blocks, _ = split_subcircuits(build_sense_amplifier(chip, 20e3, 1e-4).body)
    assert any(line.startswith("m5 ") and "nfet_03v3" in line for line in blocks["opamp"].lines)


def test_the_hash_follows_the_content_and_not_the_place(tmp_path):
    first, second = own(tmp_path / "a", opamp=STARVED), own(tmp_path / "b", opamp=STARVED)
    assert first.hash == second.hash != CHIP.hash
    assert own(tmp_path / "b", opamp=STARVED.replace("/10", "/20")).hash != first.hash
    assert first.hash == second.hash  # a chip that was read is what it was, whatever becomes of the folder


def test_a_copied_library_is_the_shipped_one_until_it_is_edited(tmp_path):
    chip = own(tmp_path, **{name.removesuffix(".cir"): library_text(name) for name in subcircuit_names()})
    assert chip.hash == CHIP.hash
    assert chip.library.files == ()


def test_a_description_names_the_folder_from_where_it_lies_itself(tmp_path, monkeypatch):
    own(tmp_path / "mine", opamp=STARVED)
    text = 'library = "mine"\n'
    save_chip(CHIP, tmp_path / "chip.toml")
    lines = (tmp_path / "chip.toml").read_text().replace('# library = "my_library"\n', text)
    assert text in lines
    (tmp_path / "chip.toml").write_text(lines)
    monkeypatch.chdir("/")
    chip = load_chip(tmp_path / "chip.toml")
    assert chip.library_text("opamp.cir") == STARVED
    assert Chip.model_validate_json(chip.model_dump_json()) == chip
    save_chip(chip, tmp_path / "again.toml")
    assert load_chip(tmp_path / "again.toml").hash == chip.hash


def test_parameters_may_be_added_and_lines_continued(tmp_path):
    text = SHIPPED.replace(" cc=0.4p rz=1k", "\n+ cc = 0.4p rz = 1k $ as drawn\n+ extra=3")
    assert text != SHIPPED
    assert "extra=3" in build_sense_amplifier(own(tmp_path, opamp=text), 20e3, 1e-4).format()
    cell = library_text("cell_1t1r.cir").replace(" w=2u l=0.28u\nxd", "\n+ w=2u l=0.28u\nxd")
    chip = own(tmp_path / "cell", cell_1t1r=cell)
    assert cell != library_text("cell_1t1r.cir")
    assert "w=2e-06 l=3.5e-07" in build_tile(chip, [[1e-5]], [3], polarity="unipolar", r_feedback=2e4).format()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("opamp", SHIPPED.replace(" vdd vss ibias", " vss vdd ibias"), "has the ports 'inp inn out vss vdd'; wanted"),
        ("opamp", SHIPPED.replace(" drive=1", ""), "no parameter 'drive'.*keep it"),
        (
            "opamp",
            SHIPPED.replace(".subckt opamp", ".subckt amplifier"),
            "holds no subcircuit 'opamp'; wanted: .subckt",
        ),
        ("opamp", f"{SHIPPED}\n{library_text('tia.cir')}", "'tia', too, which is the library's; rename it"),
        ("opmap", SHIPPED, "replaces no subcircuit.*subcircuits are: .*opamp.cir"),
        ("generic_models", library_text("generic_models.cir"), "process.models"),
    ],
    ids=["ports", "parameter", "other name", "a second block", "misspelt", "model cards"],
)
def test_files_that_cannot_stand_in_are_refused_in_one_line(tmp_path, name, text, said):
    with pytest.raises(SpecError, match=said) as caught:
        own(tmp_path, **{name: text})
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_folders_that_are_not_there_or_empty_say_how_to_fill_them(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(SpecError, match="spicesim init --library"):
            CHIP.changed(library=str(folder))


def test_text_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "opamp.cir").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"cannot read .*opamp\.cir"):
        CHIP.changed(library=str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "m1   d1    inn  tail  vss  nch  w=10u",
            "m1   d1    inn  tail  vss  nch  w=150u",
            "m1 of opamp is 150 um wide.*m= of",
        ),
        ("nch  w=10u l=0.6u m=2\nm2", "nch  w={30u*drive*4} l=0.6u m=2\nm2", "m1 of opamp is (120|480) um wide"),
        (
            "nch  w=10u l=0.6u m=2\nm2",
            "nch  w=10u\n+ l=0.1u m=2 $ short\nm2",
            "m1 of opamp has a gate of 100 nm.*min_length",
        ),
    ],
    ids=["wide", "by a parameter", "short"],
)
def test_transistors_beyond_the_models_are_named_with_a_remedy(tmp_path, old, new, said):
    chip = own(tmp_path, opamp=SHIPPED.replace(old, new, 1))
    for build in (
        lambda: build_sense_amplifier(chip, 20e3, 1e-4),
        lambda: build_tile(chip, [[1e-5]], [3], polarity="unipolar", r_feedback=2e4),
    ):
        with pytest.raises(SpecError, match=said) as caught:
            build()
        assert "\n" not in str(caught.value)


def test_sizes_that_an_instance_gives_count_and_not_the_defaults():
    wide = CHIP.changed(cell={"access_width": 200e-6})
    with pytest.raises(
        SpecError, match=r"m1 of cell_1t1r is 200 um wide, and the models of generic 3.3 V.*cover 100 um"
    ):
        build_tile(wide, [[1e-5]], [3], polarity="unipolar", r_feedback=2e4)
    with pytest.raises(SpecError, match="m4 of switch is 125 um wide"):
        build_dac(CHIP.changed(dac={"switch_width": 50e-6}))
    build_dac(CHIP.changed(process={"max_width": 50e-6}))  # 2.5 times 20 um


def test_transistors_that_are_subcircuits_are_checked_too():
    process = {"call": "X", "nmos": "fet_n", "pmos": "fet_p", "max_width": 30e-6}
    with pytest.raises(SpecError, match=r"xm\d+ of opamp is 40 um wide"):
        build_sense_amplifier(CHIP.changed(process=process), 20e3, 1e-4)
