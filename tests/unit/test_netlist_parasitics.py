"""Wires with resistance and capacitance: what stands in the netlist is what was asked for."""

import re

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.errors import SpecError
from spicesim.netlist import Parasitics, build_crossbar, build_tile, read_parasitics

CHIP = preset("generic-1t1r").changed(cell={"kind": "1r", "kappa": 0.0})
G = np.full((2, 3), 1e-5)


def write_csv(path, rows, columns, far=0, values=lambda name: "1.5, 2e-16"):
    names = [f"rwl_{i}_{j}" for i in range(rows) for j in range(columns + far)]
    names += [f"rbl_{i}_{j}" for i in range(rows) for j in range(columns)]
    lines = ["segment, resistance, capacitance", *(f"{name}, {values(name)}" for name in names)]
    path.write_text("\n".join(lines) + "\n")
    return path


def total(text, name, values):
    """Sum up elements whose name starts so; braces are looked up among `values`."""
    found = re.findall(rf"^{name}\S* \S+ \S+ (\S+)", text, re.MULTILINE)
    return sum(eval(value.strip("{}"), {}, values) for value in found)


@pytest.mark.parametrize("both_ends", [False, True])
def test_all_capacitance_of_the_chip_is_there(both_ends):
    values = {"c_word_line": 3e-16, "c_bit_line": 5e-16}
    chip = CHIP.changed(array=values)
    wires = Parasitics.of_chip(chip, 2, 3, both_ends=both_ends)
    text = build_crossbar(chip, G, [0.1, 0.2], parasitics=wires).body
    assert total(text, "cwl_", values) == pytest.approx(2 * (3 + both_ends) * 3e-16)
    assert total(text, "cbl_", values) == pytest.approx(2 * 3 * 5e-16)


def test_no_capacitance_means_no_capacitor():
    assert not re.search(r"^c[wb]l_", build_crossbar(CHIP, G, [0.1, 0.2]).body, re.MULTILINE)


def test_shared_values_stand_once():
    text = build_tile(CHIP, G, [1, 2], polarity="unipolar", r_feedback=1e4).body
    assert text.count(".param r_word_line=1.0") == 1
    assert len(re.findall(r"^rwl_\d_\d \S+ \S+ \{r_word_line\}$", text, re.MULTILINE)) == 6


def test_extracted_values_reach_their_segment(tmp_path):
    path = write_csv(tmp_path / "p.csv", 2, 3, values=lambda name: "7.25, 4e-16" if name == "rbl_1_2" else "1.5, 0")
    text = build_crossbar(CHIP, G, [0.1, 0.2], parasitics=read_parasitics(path, 2, 3)).body
    assert re.search(r"^rbl_1_2 bl_1_2 foot_2 7.25$", text, re.MULTILINE)
    assert text.count(" 1.5\n") == 11
    assert re.search(r"^cbl_1_2 bl_1_2 0 2e-16\ncbl_2_2 foot_2 0 2e-16$", text, re.MULTILINE)


def test_far_segments_in_a_file_mean_drivers_at_both_ends(tmp_path):
    found = read_parasitics(write_csv(tmp_path / "p.csv", 2, 3, far=1), 2, 3)
    assert found.both_ends
    text = build_tile(CHIP, G, [1, 2], polarity="unipolar", r_feedback=1e4, parasitics=found).body
    assert len(re.findall(r"^xdac(?:far)?_\d ", text, re.MULTILINE)) == 4


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("rwl_0_1, 1.5, 2e-16\n", ""), "no segment rwl_0_1"),
        (("rwl_0_1", "rwl_0_0"), "twice"),
        (("rwl_0_1", "rwl_9_1"), "not in an array of 2 x 3"),
        (("rwl_0_1", "metal"), "no segment 'metal'"),
        (("rwl_0_1, 1.5", "rwl_0_1, -1.5"), "must be a number >= 0"),
        (("rwl_0_1, 1.5", "rwl_0_1, many"), "must be a number >= 0"),
        (("resistance", "ohm"), "wanted the columns"),
    ],
)
def test_a_bad_file_is_refused(edit, said, tmp_path):
    path = write_csv(tmp_path / "p.csv", 2, 3)
    path.write_text(path.read_text().replace(*edit, 1))
    with pytest.raises(SpecError, match=re.escape(said)):
        read_parasitics(path, 2, 3)


def test_impossible_wires_are_refused(tmp_path):
    with pytest.raises(SpecError, match="cannot read"):
        read_parasitics(tmp_path / "none.csv", 2, 3)
    with pytest.raises(SpecError, match="parasitics are for"):
        build_crossbar(CHIP, G, [0.1, 0.2], parasitics=Parasitics.of_chip(CHIP, 3, 3))
    short = CHIP.changed(array={"r_word_line": 0.0})
    with pytest.raises(SpecError, match="far end"):
        build_crossbar(short, G, [0.1, 0.2], parasitics=Parasitics.of_chip(short, 2, 3, both_ends=True))


@pytest.mark.parametrize("counts", [(1, 1, 1), (64, 32, 16, 8, 4, 2, 1, 1), (5, 1, 3)])
def test_groups_of_rows_are_in_their_middle_and_have_all_capacitance(counts):
    """The mean distance from the foot of a column's rows, and all that its line has."""
    rows, chip = sum(counts), CHIP.changed(array={"c_bit_line": 2e-16})
    whole, few = (Parasitics.of_chip(chip, count, 1) for count in (rows, len(counts)))
    grouped = few.grouped(counts)
    distances = np.cumsum(grouped.r_bit_line[::-1, 0])[::-1] / few.r_bit_line[0, 0]
    each = np.split(np.arange(rows, 0, -1), np.cumsum(counts)[:-1])
    np.testing.assert_allclose(distances, [own.mean() for own in each])
    assert grouped.c_bit_line.sum() == pytest.approx(whole.c_bit_line.sum())
