"""Word lines driven a bit at a time: what chips, codes and models of such drivers are."""

import numpy as np
import pytest

from spicesim.behavioural.dac import DacModel
from spicesim.calibration.patterns import adversarial_vectors, code_vectors
from spicesim.characterise.dac import dac_bench
from spicesim.chip import format_chip, load_chip, preset
from spicesim.coding import POLARITIES, bit_voltages, rest_code
from spicesim.engine import IdealEngine, Tile
from spicesim.errors import SpecError
from spicesim.netlist.area import block_areas
from spicesim.netlist.dac import build_dac
from spicesim.netlist.tile import build_tile

LADDER = preset("generic-1t1r").changed(array={"rows": 4, "columns": 2})
BITS = LADDER.changed(dac={"kind": "bits"})


def test_a_chip_has_ladders_by_default_and_its_hash_does_not_know_of_others():
    assert preset("generic-1t1r").hash == "216aec06e114586b"
    assert LADDER.changed(dac={"kind": "r2r"}).hash == LADDER.hash
    assert "kind" not in LADDER.model_dump()["dac"]
    assert BITS.hash != LADDER.hash
    assert BITS.changed(word_line_driver={"width": 20e-6}).hash != BITS.hash


def test_a_description_keeps_the_kind_of_its_drivers(tmp_path):
    (tmp_path / "chip.toml").write_text(format_chip(BITS))
    assert load_chip(tmp_path / "chip.toml") == BITS


def test_the_bits_of_a_code_are_those_a_driver_takes():
    assert (LADDER.dac.code_bits, BITS.dac.code_bits) == (8, 1)
    assert BITS.dac.bits == 8


def test_a_bit_is_one_of_two_levels():
    np.testing.assert_array_equal(BITS.dac.volts([0, 1], "unipolar"), [0.0, 0.2])
    np.testing.assert_array_equal(BITS.dac.volts(np.array([0, 1], dtype=np.uint8), "bipolar"), [-0.2, 0.2])
    with pytest.raises(SpecError, match=r"0\.\.1, got 0\.\.2"):
        bit_voltages([0, 2], 0.2, "unipolar")
    with pytest.raises(SpecError, match="integers"):
        BITS.dac.volts([0.5], "unipolar")


def test_a_bit_of_both_signs_rests_at_the_lower_level():
    assert [rest_code(polarity, 1) for polarity in POLARITIES] == [0, 0]
    assert [rest_code(polarity, 8) for polarity in POLARITIES] == [0, 128]


@pytest.mark.parametrize("polarity", POLARITIES)
def test_vectors_that_hurt_are_vectors_of_bits_and_differ(polarity):
    rng = np.random.default_rng(0)
    plain, hard = code_vectors(8, 1, 2, rng), adversarial_vectors(8, 1, polarity)
    assert all(set(np.unique(codes)) <= {0, 1} for codes in (*plain.values(), *hard.values()))
    assert len({codes.tobytes() for codes in hard.values()}) == len(hard)
    assert hard["first row alone"].tolist() == [1, *[0] * 7]


def test_the_ideal_driver_of_bits_has_two_codes():
    table = DacModel(polarity="bipolar", v_open=[-0.2, 0.2], knots=(0, 1), i_limit=1e-3, droop=[[-1, 0, 1]] * 2)
    assert table.droop_of_codes().tolist() == [[-1, 0, 1]] * 2
    ideal = table.ideal(BITS.dac)
    assert ideal.v_open.tolist() == [-0.2, 0.2]
    assert len(table.ideal(LADDER.dac).v_open) == 256


def test_an_ideal_tile_takes_bits():
    tile = Tile(name="a", g=np.full((4, 2), 1e-5), polarity="bipolar", r_feedback=1e4)
    found = IdealEngine(BITS).prepare(tile).mvm(np.array([[1, 1, 1, 0]]))
    np.testing.assert_allclose(found, 1e4 * 0.2 * (3 - 1) * 1e-5)


def test_a_tile_has_a_switch_a_word_line_and_no_ladder():
    g = np.full((4, 2), 1e-5)
    body = build_tile(BITS, g, [0, 1, 1, 0], polarity="bipolar", r_feedback=1e4).body
    assert "xdac_1 vdd dac_1 vhi vlo vdd 0 word_line_driver w=4e-05 taper=4.0 l=3.5e-07" in body
    assert "xdac_3 0 dac_3 vhi vlo" in body
    assert ".subckt dac " not in body
    assert "vlo vlo vref -0.2" in body
    with pytest.raises(SpecError, match=r"0\.\.1"):
        build_tile(BITS, g, [0, 1, 2, 0], polarity="bipolar", r_feedback=1e4)


def test_the_bench_of_a_driver_sweeps_both_levels():
    assert build_dac(BITS, i_limit=1e-3, load_points=3).analyses == (".dc iload -0.001 0.0015 0.001 vcode 0 1 1",)


def test_a_switch_wider_than_the_models_is_refused():
    with pytest.raises(SpecError, match="wider than the models"):
        build_dac(BITS.changed(word_line_driver={"width": 80e-6}))


def test_the_data_sheet_of_the_ladder_is_there_on_any_chip():
    assert "ladder" in next(iter(dac_bench(BITS).netlists.values())).body


def test_a_switch_takes_less_area_than_a_ladder():
    switches, ladders = block_areas(BITS), block_areas(LADDER)
    assert switches.dac < ladders.dac / 5
    assert switches.amplifier == ladders.amplifier
