"""Temperatures that were never simulated, and corners, come out as ngspice says."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.climate import NODES, check_climate
from spicesim.calibration.conditions import choose_temperatures
from spicesim.cli.main import cli
from spicesim.cli.tables import format_aspects
from spicesim.errors import CalibrationError, SpecError
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.network import digits_network, load_digits
from spicesim.report import write_calibration_report
from spicesim.report.numbers import parts_per_million

pytestmark = pytest.mark.long

SMALL = 2e-4
"""Largest error, as a fraction of full scale."""


@pytest.fixture(scope="module")
def calibration(gf180_everywhere):
    """GF180MCU with blocks at seven temperatures beside its own, and four corners."""
    return gf180_everywhere


@pytest.fixture(scope="module")
def calibration_file(calibration, tmp_path_factory):
    path = tmp_path_factory.mktemp("climate") / "chip.cal.json"
    calibration.save(path)
    return path


def test_eight_temperatures_reach_from_minus_40_to_125_degrees():
    temperatures = choose_temperatures(27.0, NODES)
    assert len(temperatures) == 7
    assert (temperatures[0], temperatures[-1]) == (-40.0, 125.0)
    assert 27.0 not in temperatures


def test_tiles_between_the_calibrated_temperatures_are_right_to_two_hundredths_of_a_percent(calibration):
    climate = calibration.climate
    assert len(climate.held_out_c) == 2
    assert not set(climate.held_out_c) & {climate.temperature_c, *climate.temperatures_c}
    assert max(climate.held_out_errors) <= SMALL


@pytest.mark.parametrize("temperature", [-33.0, 71.0])
def test_larger_tiles_at_temperatures_never_simulated_are_as_good(calibration, temperature):
    checks = check_climate(calibration.at(temperature_c=temperature), Campaign(), size=16, random=1, seed=9)
    assert {check.r_feedback for check in checks} >= {5e3, 160e3}
    assert max(check.max_error for check in checks) <= SMALL


@pytest.mark.parametrize("condition", [{"temperature_c": 60.0}, {"corner": "ss"}], ids=["warm", "slow"])
@pytest.mark.parametrize("r_feedback", [5e3, 160e3])
def test_the_knees_of_amplifiers_move_with_the_climate(calibration, condition, r_feedback):
    """Five temperatures were 150 uV off at 60 C, and points spread by the nominal knees 73 uV at the slow corner."""
    at, own = calibration.at(**condition), calibration.senseamp(r_feedback)
    netlist = build_sense_amplifier(at.chip, r_feedback, own.i_limit, len(own.v_in))
    (results,) = Campaign().run([netlist], "amplifier")
    v_in = results[0].vectors["v(sense)"].real - at.chip.sense_amplifier.v_reference
    assert np.abs(at.senseamp(r_feedback).v_in - v_in).max() <= 25e-6


def test_every_corner_converges_and_is_as_good_at_temperatures_in_no_fit(calibration):
    assert set(calibration.climate.corners) == {"ff", "ss", "fs", "sf"}
    assert {name.partition(",")[0] for name in calibration.climate.corner_errors} == {"ff", "ss", "fs", "sf"}
    # a quick calibration knows corners at three temperatures
    assert max(calibration.climate.corner_errors.values()) <= 5e-4


def test_conditions_matter(calibration):
    g, codes = np.full((8, 8), 2e-5), np.full((1, 8), 200)
    own = calibration.tile(g, "unipolar", 5e3).solve(codes).v_out
    for other in (calibration.at(temperature_c=125.0), calibration.at(corner="ss")):
        volts = other.tile(g, "unipolar", 5e3).solve(codes).v_out
        assert np.abs(volts - own).max() > 2e-3 * own.max()


@pytest.mark.parametrize("corner", [None, "typical"])
def test_the_chips_own_condition_changes_nothing(calibration, corner):
    own = calibration.at(corner=corner, temperature_c=calibration.chip.process.temperature_c)
    assert own.chip == calibration.chip
    np.testing.assert_array_equal(own.cell.coefficients, calibration.cell.coefficients)
    np.testing.assert_array_equal(own.senseamps[0].v_out, calibration.senseamps[0].v_out)


def test_a_condition_that_was_not_calibrated_is_refused(calibration, gf180_calibration):
    for options, said in (
        ({"temperature_c": 126.0}, r"-40\.\.125 C"),
        ({"corner": "ss", "temperature_c": 126.0}, r"-40\.\.125 C"),
        ({"corner": "tt"}, "typical, ff, ss, fs, sf"),
    ):
        with pytest.raises((CalibrationError, SpecError), match=said):
            calibration.at(**options)
    with pytest.raises(CalibrationError, match="--aspects climate"):
        gf180_calibration.at(temperature_c=50.0)


def test_a_climate_survives_its_file(calibration, calibration_file):
    loaded = load_calibration(calibration_file)
    assert loaded.hash == calibration.hash
    assert loaded.at(temperature_c=60.0).hash == calibration.at(temperature_c=60.0).hash


def test_temperatures_and_corners_are_on_the_page(calibration, tmp_path):
    made_up = tuple(0.001 * (k + 0.123) for k in range(len(calibration.climate.errors)))
    climate = calibration.climate.model_copy(update={"hand_over_errors": made_up})
    with_hand_overs = calibration.model_copy(update={"climate": climate})
    write_calibration_report(with_hand_overs, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = re.search(r'<section id="climate">.*?</section>', text, re.DOTALL)[0]
    table = format_aspects(with_hand_overs)
    for error in made_up:
        assert f"{1e3 * error:.3f}</td>" in section
        assert f"{1e3 * error:.3f}" in table.split()
    assert "hand-over" not in format_aspects(calibration)
    for error in (*calibration.climate.held_out_errors, *calibration.climate.corner_errors.values()):
        assert parts_per_million(error) in section
    assert section.count("<figure") == 2


@pytest.mark.parametrize(
    "condition", [("--temperature", "85"), ("--corner", "ss", "--temperature", "85")], ids=["hot", "hot and slow"]
)
def test_a_network_runs_elsewhere_and_its_audit_agrees(calibration_file, calibration, tmp_path, condition):
    digits = load_digits()
    np.savez(tmp_path / "data.npz", x=digits.x[:20], y=digits.y[:20], x_calibration=digits.x_calibration)
    words = ["infer", str(digits_network("mlp")), str(tmp_path / "data.npz"), "--calibration", str(calibration_file)]
    words += [*condition, "--audit", "2", "--json", str(tmp_path / "out.json")]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["provenance"]["chip_hash"] != calibration.chip.hash
    assert document["audit"]["max_error_full_scale"] <= 5e-4
    assert document["accuracy"] >= 0.9
