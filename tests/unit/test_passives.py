"""Resistors and capacitors of the process, in the place of ideal ones, where the chip says so."""

import dataclasses
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from spicesim.calibration.mismatch_bench import draw_chip
from spicesim.calibration.realism import describe_realism
from spicesim.chip import Chip, format_chip, load_chip, preset
from spicesim.chip.passives import Capacitor, Resistor
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.netlist import build_tile
from spicesim.netlist.area import Layout, block_areas
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.mismatch import drawn_devices
from spicesim.netlist.passives import CAPACITOR, RESISTOR, passive_blocks, with_passives
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.statements import parse_statements

IDEAL = preset("gf180-1t1r").changed({"array.rows": 3, "array.columns": 2})
CHIP = preset("gf180-passives").changed({"array.rows": 3, "array.columns": 2})
ELEMENT = re.compile(r"^(?!rnoise|r[wb]l_)[rc]\w* .*", re.MULTILINE)


def tile(chip: Chip) -> str:
    g, codes = np.full((3, 2), 2e-5), np.array([3, 200, 77])
    return build_tile(chip, g, codes, polarity="unipolar", r_feedback=1e4).body


def test_a_chip_without_the_sections_stays_as_it_was():
    assert preset("gf180-1t1r").hash == "6d8017cafbbcfe5f"
    assert not {"resistor", "capacitor"} & set(IDEAL.model_dump(mode="json")["process"])
    text = ".subckt a vss\nr1 b vss 1k\nc1 b vss {c}\n.ends a"
    assert with_passives(text, IDEAL.process) == text
    assert not passive_blocks(IDEAL.process)
    assert RESISTOR not in tile(IDEAL)
    assert CAPACITOR not in tile(IDEAL)


def test_all_resistors_and_capacitors_of_blocks_are_the_process_s():
    body = tile(CHIP)
    parse_statements(body)  # which all dialects have
    blocks = body[: body.rindex("\n.ends")]
    assert [line.split()[0] for line in ELEMENT.findall(blocks)] == ["c1"]  # of the capacitor itself
    assert "xrleg3 n3 s3 vss process_resistor ohm=40000.0" in body
    assert "xrf  out in  vss process_resistor ohm={rf}" in body
    assert "xcf  out in  process_capacitor farad={cf}" in body
    assert body.count(".subckt process_resistor") == body.count(".subckt process_capacitor") == 1
    assert "rnoise  p n" in body  # memory devices stay what is programmed
    head = body[: body.index("\n\n")]
    assert "*   process's resistors  opamp, tia, dac\n" in head
    assert "ideal resistors" not in head
    assert "ideal capacitors" not in head


def test_arrays_of_converters_are_of_its_capacitors_and_their_stand_ins_are_not():
    body = build_sar_adc(CHIP.changed(adc={"kind": "sar"}), [1.65]).body
    assert len(re.findall(r"^xc(end|\d) top \S+ process_capacitor farad=", body, re.MULTILINE)) == 9
    assert "ridle idle " in body  # what is there for the simulator alone
    assert "coutp outp 0 5f" in body


def test_descriptions_come_back_from_files_and_corners_move_all_of_it(tmp_path):
    path = tmp_path / "chip.toml"
    path.write_text(format_chip(CHIP), encoding="utf-8")
    assert load_chip(path) == CHIP
    slow = CHIP.at(corner="ss").process
    assert slow.resistor.models[0].section == "res_ss"
    assert slow.capacitor.factor == 1.1
    assert CHIP.at(corner="ss").at(corner="typical") == CHIP
    assert CHIP.at(corner="fs").process.resistor == CHIP.process.resistor
    assert "res_ss" in build_sense_amplifier(CHIP.at(corner="ss"), 1e4, 1e-5).body
    assert len({CHIP.hash, IDEAL.hash, CHIP.at(corner="ss").hash}) == 3


def test_the_page_says_what_the_preset_has():
    page = (Path(__file__).parents[2] / "netlists" / "processes.md").read_text(encoding="utf-8")
    said = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    assert IDEAL.changed({f"process.{key}": value for key, value in said["process"].items()}).process == CHIP.process


def test_relative_model_files_start_at_the_description(tmp_path):
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "r.lib").write_text(".subckt res p n w=1u l=1u\nr1 p n 1k\n.ends\n", encoding="utf-8")
    own = CHIP.changed({"process.resistor.models": [{"path": "kit/r.lib"}], "process.resistor.model": "res"})
    (tmp_path / "chip.toml").write_text(format_chip(own), encoding="utf-8")
    read = load_chip(tmp_path / "chip.toml")
    assert read.process.resistor.models[0].resolve() == (tmp_path / "kit" / "r.lib").resolve()


def test_plain_numbers_are_an_element_with_coefficients():
    keys = {"model": "", "models": [], "tc1": -9e-5, "factor": 1.2}
    plain = CHIP.changed({f"process.resistor.{key}": value for key, value in keys.items()})
    resistor, capacitor = passive_blocks(plain.process)
    assert "r1 p n {1.2*ohm}\n" in resistor
    assert "c1 p n {farad}\n" in capacitor
    hot = passive_blocks(plain.at(temperature_c=127.0).process)[0]
    assert float(re.findall(r"\{(\S+)\*ohm\}", hot)[0]) == pytest.approx(1.2 * (1 - 9e-3), rel=1e-12)
    assert "xrf  out in  process_resistor ohm={rf}" in tile(plain)  # without a bulk


def test_resistors_lie_above_the_ground_of_their_block():
    assert "r1 a b vss process" in with_passives(".subckt x a b vdd vss\nr1 a b 1k\n.ends x", CHIP.process)
    assert "r1 a b 0 process" in with_passives(".subckt x a b gnd\nr1 a b 1k\n.ends x", CHIP.process)


def test_what_cannot_be_drawn_is_refused_before_a_simulator_stumbles():
    wide = CHIP.changed({"process.resistor.width": 10e-6, "process.resistor.sheet": 3e3})
    with pytest.raises(SpecError, match=r"resistor of 1 kohm .* less than half of that; lower process.resistor.width"):
        tile(wide)
    with pytest.raises(SpecError, match="not above d_width"):
        CHIP.changed({"process.resistor.d_width": 2e-6})
    with pytest.raises(SpecError, match="temperature coefficients of its own"):
        CHIP.changed({"process.resistor.tc1": 1e-3})
    with pytest.raises(SpecError, match="name that of this kind"):
        CHIP.changed({"process.resistor.model": ""})


def with_coefficients(tc1: float, tc2: float) -> Chip:
    return IDEAL.changed({"process": {"resistor": {"width": 1e-6, "sheet": 100.0, "tc1": tc1, "tc2": tc2}}})


@pytest.mark.parametrize(("tc1", "tc2"), [(0.02, 0.0), (-0.02, 1e-4)])
def test_coefficients_that_leave_nothing_at_an_end_or_between_are_refused(tc1, tc2):
    with pytest.raises(SpecError, match="nothing somewhere between"):
        with_coefficients(tc1, tc2)


def test_coefficients_that_leave_a_hundredth_between_are_taken():
    assert with_coefficients(-0.02, 1.01e-4).process.resistor.at(126.0) == pytest.approx(0.0099, abs=1e-4)


def test_parameters_that_ngspice_would_take_for_others_are_refused():
    with pytest.raises(SpecError, match="has a value by 'ohm'"):
        with_passives(".subckt a n vss ohm=1k\nr1 n vss {2*ohm}\n.ends a", CHIP.process)


def test_sizes_are_those_of_sheets_with_their_ends_and_edges():
    resistor = Resistor(width=2e-6, sheet=1e3, d_width=0.1e-6, ends=2e-4)
    length = resistor.length(20e3)
    assert (2e-4 + 1e3 * length) / 1.9e-6 == pytest.approx(20e3, rel=1e-12)
    capacitor = Capacitor(density=2e-3, fringe=3e-10)
    side = capacitor.side(1e-13)
    assert 2e-3 * side**2 + 4 * 3e-10 * side == pytest.approx(1e-13, rel=1e-12)


def test_areas_are_those_of_the_devices():
    bare = Layout(overhead=1.0)
    ideal = dataclasses.replace(bare, r_sheet=349.938, resistor_width=1e-6, c_density=1.99e-3)
    found, plain = block_areas(CHIP, bare), block_areas(IDEAL, ideal)
    assert found.amplifier == pytest.approx(plain.amplifier, rel=0.05)  # ends, edges
    assert found.dac == pytest.approx(plain.dac, rel=0.05)


def test_draws_are_those_of_ideal_devices_by_the_matching_of_the_process():
    """A path has the same numbers, whatever the device is."""
    netlist, plain = build_sense_amplifier(CHIP, 1e4, 1e-5), build_sense_amplifier(IDEAL, 1e4, 1e-5)
    paths = drawn_devices(netlist, CHIP.process)
    assert set(paths) == set(drawn_devices(plain, IDEAL.process, resistors=0.005))
    draw = ChipDraw(4)
    body = draw_chip(netlist, CHIP, draw).body
    assert ".subckt process_resistor p n bulk" in body  # shared, as it was
    (factor,) = re.findall(r"xrf  out in  vss process_resistor ohm=\{\(rf\)\*\(1\+\((\S+?)\)\*(\S+)\)\}", body)
    resistor = CHIP.process.resistor
    sigma = resistor.matching / math.sqrt(resistor.width * resistor.length(1e4))
    assert factor[0] == "rf_value"
    assert drawn_number(body) == draw("xsenseamp.rf")[0]
    assert evaluate_expression(factor[1], {"rf": 1e4}) == pytest.approx(sigma, rel=1e-9)
    unmatched = CHIP.changed({"process.resistor.matching": 0.0})
    body = draw_chip(build_sense_amplifier(unmatched, 1e4, 1e-5), unmatched, draw).body
    assert "xrf  out in  vss process_resistor ohm={(rf)*(1+rf_value*0.005)}" in body
    assert drawn_number(body) == draw("xsenseamp.rf")[0]


def drawn_number(body):
    """Return what the resistor of the amplifier is called with."""
    (number,) = re.findall(r"^xsenseamp .* rf_value=(\S+)", body, re.MULTILINE)
    return float(number)


def test_capacitors_of_the_process_match_by_their_area():
    chip = CHIP.changed({"process.capacitor.matching": 6e-9, "adc.kind": "sar"})
    unit = chip.sar_adc.dac.unit
    assert chip.converter.dac.mismatch == pytest.approx(6e-9 / chip.process.capacitor.side(unit), rel=1e-12)
    assert CHIP.changed({"adc.kind": "sar"}).converter.dac.mismatch == chip.sar_adc.dac.mismatch


def test_the_table_says_what_they_are():
    ideal, real = (
        {row.piece: row.netlist for row in describe_realism(chip.changed(adc={"kind": "sar"}))}
        for chip in (IDEAL, CHIP)
    )
    assert (ideal["their capacitors"], real["their capacitors"]) == ("ideal capacitors", "process's capacitors")
    for piece, kind in (("ladder", "resistors"), ("feedback", "resistors"), ("feedback", "capacitors")):
        assert ideal[f"{piece} {kind}"] == f"ideal {kind}"
        assert real[f"{piece} {kind}"] == f"process's {kind}"
