"""Published macros: what the table holds, what numbers are brought to, and how ours stand beside them."""

import json

import pytest

from spicesim.calibration.campaign import Campaign
from spicesim.cli.main import run
from spicesim.errors import SpecError
from spicesim.published.comparison import compare_macros
from spicesim.published.macros import published_macros
from spicesim.published.norms import adc_floor, adc_survey, node_factor, one_bit
from spicesim.published.own import KINDS, OwnPoint, measure_macros
from spicesim.report.published import write_comparison_report

MACROS = {macro.name: macro for macro in published_macros()}
HELD = {"abstract", "cimloop", "zigzag-imc", "imc-benchmarking", "second hand"}


def own(inputs, outputs, times=1.0, *, mode="bits added as charge", name="gf180-voltage"):
    energy = {"dac": 1e-12 / times, "array": 2e-12 / times, "amplifier": 1e-12 / times, "adc": 4e-12 / times}
    return OwnPoint(
        preset=name, mode=mode, input_bits=inputs, output_bits=outputs, rows=16, columns=8, energy=energy, time=1e-6,
        area=1e-8, adc_energy=5e-13, adc_time=1e-7,
    )  # fmt: skip


@pytest.mark.parametrize("name", MACROS)
def test_every_macro_says_where_its_numbers_were_read(name):
    macro = MACROS[name]
    assert macro.held in HELD
    assert macro.source
    assert macro.ours in {"", "gf180-voltage", "gf180-pulse", "gf180-bits"}
    for point in macro.points:
        for group in macro.groups:
            assert {*group.theirs} <= {*point.energy}


def test_energies_of_neurram_by_block_are_about_what_its_efficiency_says():
    for point in MACROS["NeuRRAM"].points:
        assert sum(point.energy.values()) == pytest.approx(1e-12 / point.tops_per_watt, rel=0.16)


def test_a_design_is_never_told_as_silicon():
    assert "no silicon" in MACROS["ISAAC"].made


def test_digital_macros_are_told_as_such_and_stand_beside_none_of_ours():
    digital = [macro for name, macro in MACROS.items() if name.startswith("DIMC")]
    assert len(digital) == 4
    assert all("digital" in macro.made and not macro.ours for macro in digital)
    # 64 banks of 32 inputs and 6 outputs, two operations each, a fourth of 8 bits a cycle of 195 MHz
    assert digital[0].points[0].tops == pytest.approx(2 * 64 * 32 * 6 * 195e6 / 4 * 1e-12)


def test_operations_of_one_bit_undo_those_of_more():
    # 11025 is what the benchmark of Shanbhag and Roy has for the macro of Papistas et al. at .8 V
    point, macro = MACROS["AIMC1 of ZigZag-IMC"].points[0], MACROS["AIMC1 of ZigZag-IMC"]
    assert one_bit(point.tops_per_watt, point.input_bits, macro.weight_bits) == pytest.approx(11025)


def test_an_energy_goes_with_node_and_square_of_supply_and_back():
    assert node_factor(130e-9, 1.8, 180e-9, 3.3) == pytest.approx(180 / 130 * (3.3 / 1.8) ** 2)
    assert node_factor(130e-9, 1.8, 180e-9, 3.3) * node_factor(180e-9, 3.3, 130e-9, 1.8) == pytest.approx(1)


def test_bounds_of_converters_rise_with_bits_and_rate():
    assert adc_floor(8) == adc_floor(10.5) == pytest.approx(0.3e-12)
    assert adc_floor(12) == pytest.approx(1e-12 * 10**0.399, rel=1e-9)
    # a Walden figure of .67 fJ a step rules few bits, Schreier's 184.76 dB many
    assert adc_survey(8, 1.0) == pytest.approx(0.67e-15 * 256)
    assert adc_survey(16, 1.0) == pytest.approx(10 ** ((6.02 * 16 + 1.76 - 184.76) / 10) / 2)
    assert adc_survey(8, 1e9) > 2 * adc_survey(8, 1e6)


def test_pairs_meet_at_the_same_bits_only_and_tell_the_ratio():
    comparison = compare_macros(published_macros(), [own(4, 6), own(5, 8)])
    assert [(pair.macro.name, pair.own.input_bits) for pair in comparison.pairs] == [("NeuRRAM", 4)]
    (pair,) = comparison.pairs
    # 128 operations for 8 pJ are 16 TOPS/W
    assert pair.ratio == pytest.approx(16 / 15.95409517)
    assert pair.scaled_ratio == pytest.approx(pair.ratio * node_factor(130e-9, 1.8, 180e-9, 3.3))
    theirs, ours = pair.groups()["read-out and converters"]
    assert (theirs, ours) == pytest.approx((29.1084171e-15, 5e-12 / 128))
    assert comparison.trends == ()


def test_a_trend_tells_how_far_pairs_are_from_one_factor():
    points = {(point.input_bits, point.output_bits): point.tops_per_watt for point in MACROS["NeuRRAM"].points}
    same = [own(*map(int, bits), 3 * points[bits] / 16) for bits in ((2, 4), (4, 6), (8, 10))]
    (trend,) = compare_macros(published_macros(), same).trends
    assert (trend.common, trend.largest) == pytest.approx((3, 1))
    assert trend.falls == pytest.approx((trend.falls[0], trend.falls[0]))
    flat = compare_macros(published_macros(), [own(2, 4), own(8, 10)]).trends[0]
    assert flat.falls[1] == pytest.approx(1)
    assert flat.largest == pytest.approx((points[2, 4] / points[8, 10]) ** 0.5)


def test_outputs_finer_than_ours_stand_beside_our_finest():
    comparison = compare_macros(published_macros(), [own(8, 8, mode="pulses", name="gf180-pulse")])
    assert {pair.macro.name for pair in comparison.pairs} == {
        "HERMES core", "HERMES project chip", "AnalogNets, AON-CiM"
    }  # fmt: skip


def test_a_macro_nobody_compares_is_refused():
    with pytest.raises(SpecError, match="gf180-gate"):
        measure_macros(["gf180-gate"], Campaign())
    with pytest.raises(SpecError, match="2 rows"):
        measure_macros([*KINDS], Campaign(), size=1)


def test_the_page_and_the_command_show_all_that_is_held(tmp_path, capsys):
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    assert run(["compare", "-o", str(page), "--json", str(numbers)], debug=False) == 0
    told, shown, plain = capsys.readouterr().out, page.read_text(), json.loads(numbers.read_text())
    assert [macro["name"] for macro in plain["macros"]] == [*MACROS]
    for macro in MACROS.values():
        assert macro.name in told
        assert macro.name in shown
        assert macro.note.split(";")[0] in shown.replace("&#39;", "'")
    assert plain["own"] == plain["pairs"] == plain["trends"] == []


def test_the_page_of_ours_names_what_is_not_counted(tmp_path):
    comparison = compare_macros(published_macros(), [own(2, 4), own(4, 6), own(8, 10)])
    write_comparison_report(comparison, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Not counted are logic" in text
    assert text.count("<svg") == 2
