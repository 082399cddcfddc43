"""Wires from their geometry: resistance with size effect, capacitance, and both in a chip description."""

import math

import pytest

from spicesim.chip import format_chip, load_chip, preset
from spicesim.chip.geometry import WireGeometry
from spicesim.errors import SpecError

NINE_NM = {"width": 27e-9, "thickness": 22e-9}


def test_a_thin_wire_has_the_published_resistance():
    """The value that IMAC-Sim computes for its 9 nm class, cell of 12 x 9 nm along the line."""
    assert WireGeometry(**NINE_NM, length=108e-9).resistance == pytest.approx(9.2416, abs=5e-5)


def test_resistance_is_proportional_to_length():
    assert WireGeometry(**NINE_NM, length=135e-9).resistance == pytest.approx(9.24157 * 135 / 108, rel=1e-5)
    assert WireGeometry(**NINE_NM, length=135e-9).resistance == pytest.approx(11.552, abs=5e-4)


def test_without_size_effect_it_is_the_bulk():
    wire = WireGeometry(**NINE_NM, length=135e-9, mean_free_path=0.0)
    assert wire.resistance == pytest.approx(1.9e-8 * 135e-9 / (27e-9 * 22e-9), rel=1e-12)


def test_a_wide_wire_approaches_the_bulk():
    wide = WireGeometry(width=1e-4, thickness=1e-6, length=1e-6)
    bulk = WireGeometry(width=1e-4, thickness=1e-6, length=1e-6, mean_free_path=0.0)
    assert 1 < wide.resistance / bulk.resistance < 1.001


def test_a_very_wide_wire_is_a_plate_capacitor():
    wire = WireGeometry(width=1e-3, thickness=1e-7, length=1e-3, height=1e-6, permittivity=3.9)
    plate = 8.8541878128e-12 * 3.9 * 1e-6 / 1e-6
    assert plate < wire.capacitance < 1.2 * plate


def test_neighbours_add_capacitance():
    alone = WireGeometry(**NINE_NM, length=135e-9, height=40e-9)
    near = WireGeometry(**NINE_NM, length=135e-9, height=40e-9, pitch=54e-9)
    far = WireGeometry(**NINE_NM, length=135e-9, height=40e-9, pitch=108e-9)
    assert alone.capacitance < far.capacitance < near.capacitance


def test_a_chip_takes_a_geometry_for_a_number(tmp_path):
    text = format_chip(preset("generic-1t1r"))
    wire = '{ width = "27 nm", thickness = "22 nm", length = "108 nm", height = "40 nm" }'
    for key in ("r_word_line = 1.0", "c_word_line = 0.0"):
        assert key in text
        text = text.replace(key, f"{key.split()[0]} = {wire}")
    (tmp_path / "chip.toml").write_text(text)
    array = load_chip(tmp_path / "chip.toml").array
    geometry = WireGeometry(**NINE_NM, length=108e-9, height=40e-9)
    assert math.isclose(array.r_word_line, geometry.resistance, rel_tol=1e-12)
    assert math.isclose(array.c_word_line, geometry.capacitance, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"width": 27e-9, "thickness": 22e-9}, "length"),
        ({"width": 27e-9, "thickness": 22e-9, "length": 1e-7, "colour": 1}, "colour"),
        ({"width": -27e-9, "thickness": 22e-9, "length": 1e-7}, "width must be > 0"),
        ({"width": 27e-9, "thickness": 22e-9, "length": 1e-7, "pitch": 20e-9}, "pitch must be above the width"),
        ({"width": "27 parsec", "thickness": 22e-9, "length": 1e-7}, "parsec"),
    ],
)
def test_impossible_wires_are_refused(table, said):
    with pytest.raises(SpecError, match=said):
        preset("generic-1t1r").changed(array={"r_word_line": table})


def test_a_capacitance_needs_the_height():
    with pytest.raises(SpecError, match="height"):
        preset("generic-1t1r").changed(array={"c_bit_line": {**NINE_NM, "length": 1e-7}})
