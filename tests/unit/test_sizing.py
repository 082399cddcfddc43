"""Sizes of subcircuits: found in their text, written back, and refused where there are none."""

from pathlib import Path

import pytest

from spicesim.characterise import Verdict
from spicesim.characterise.limits import Limit
from spicesim.characterise.sheet import Entry
from spicesim.chip import library, preset
from spicesim.errors import SpecError
from spicesim.sizing.description import Range, Sizing, load_sizing
from spicesim.sizing.search import NOTHING, miss
from spicesim.sizing.text import read_size, write_sizes

TEXT = library.library_text("opamp.cir")
FILE = """
block = "opamp"
chip = "generic-1t1r"
corners = ["typical"]
[limits]
gain = { min = 70 }
[sizes]
"m1.w, m2.w" = { low = "5u", high = "40u" }
cc = { low = "0.2p", high = "4p" }
"chip.sense_amplifier.drive" = { low = 0.5, high = 4 }
"""


def test_sizes_are_read_and_written_where_they_stand():
    assert read_size(TEXT, "opamp", "m1.w") == 10e-6
    assert read_size(TEXT, "opamp", "M10.L") == 0.5e-6
    assert read_size(TEXT, "opamp", "cc") == 0.4e-12
    changed = write_sizes(TEXT, "opamp", {"m1.w": 37.4e-6, "cc": 1.06e-12, "rz": 4.85e6})
    before, after = TEXT.splitlines(), changed.splitlines()
    assert [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [21, 23]
    assert "cc=1.06p rz=4.85meg" in after[21]
    assert "w=37.4u l=0.6u m=2" in after[23]
    assert read_size(changed, "opamp", "rz") == 4.85e6
    third = 1e-5 / 3  # not to be written in four digits
    assert read_size(write_sizes(TEXT, "opamp", {"m1.l": third}), "opamp", "m1.l") == third


@pytest.mark.parametrize(("size", "why"), [
    ("m99.w", "no element 'm99'"), ("m1.nf", "no number 'nf'"), ("m12.m", r"\{4\*drive\}; size what stands in it"),
    ("c1.value", "no number"), ("phase", r"the \.subckt line of subcircuit opamp has no number 'phase'"),
    ("m1", "no number"), (".*.w", "no element"),
])  # fmt: skip
def test_what_is_no_size_is_refused(size, why):
    with pytest.raises(SpecError, match=why):
        read_size(TEXT, "opamp", size)


@pytest.mark.parametrize(("before", "after", "why"), [
    ('block = "opamp"', 'block = "amp"', "no block 'amp'; there are: "),
    ("typical", "tt", "no corner 'tt'"),
    ('high = "4p"', 'high = "0.1p"', "must be below"),
    ("gain = { min = 70 }", "", "limits"),
    ("cc =", "ccc =", "no number 'ccc'"),
    ("chip.sense_amplifier.drive", "chip.sense_amplifier.drives", "no number 'sense_amplifier.drives'"),
    ("cc =", "ibias =", "set by what calls opamp"),
])  # fmt: skip
def test_a_wrong_description_is_refused(before, after, why, tmp_path):
    assert before in FILE
    path = tmp_path / "sizing.toml"
    path.write_text(FILE.replace(before, after))
    with pytest.raises(SpecError, match=why):
        load_sizing(path)


def test_the_example_is_a_sizing():
    sizing, chip = load_sizing(Path(__file__).parents[2] / "scripts" / "examples" / "sizing.toml")
    inside = {name: sizing.sizes[name].take(value) for name, value in sizing.start(chip).items()}
    assert inside == sizing.start(chip)  # the search begins with the library's own


def test_a_chip_is_placed_with_all_its_sizes(tmp_path):
    path = tmp_path / "sizing.toml"
    path.write_text(FILE)
    sizing, chip = load_sizing(path)
    assert sizing.start(chip) == {"m1.w, m2.w": 10e-6, "cc": 0.4e-12, "chip.sense_amplifier.drive": 1.0}
    placed = sizing.place(chip, {"m1.w, m2.w": 20e-6, "cc": 1e-12, "chip.sense_amplifier.drive": 2.0})
    text = placed.library_text("opamp.cir")
    assert [read_size(text, "opamp", size) for size in ("m1.w", "m2.w", "m3.w", "cc")] == [20e-6, 20e-6, 10e-6, 1e-12]
    assert placed.sense_amplifier.drive == 2
    assert placed.hash != chip.hash == preset("generic-1t1r").hash


def test_values_lie_in_their_range_with_the_digits_of_a_mask():
    assert Range(low=1e-6, high=2e-6).take(1.23456e-6) == 1.23e-6
    assert Range(low=1e-6, high=2e-6).take(5e-6) == 2e-6
    assert Range(low=1, high=9, whole=True).take(3.7) == 4


def verdict(value, **limit):
    return Verdict(
        key="x", limit=Limit(**limit), entry=Entry(key="x", text="x", value=value, unit="V"), value=value, where=""
    )


def test_what_is_missed_counts_as_parts_of_limits():
    assert miss([verdict(61.0, min=60), verdict(1.0, max=2)]) == 0
    assert miss([verdict(45.0, min=60), verdict(3.0, max=2)]) == pytest.approx(0.25 + 0.5)
    assert miss([verdict(float("nan"), min=60)]) == NOTHING
    assert miss([verdict(-1e9, min=60)]) == NOTHING


def test_a_sizing_wants_limits_and_sizes():
    with pytest.raises(ValueError, match="sizes"):
        Sizing(limits={"gain": Limit(min=1)}, sizes={})
