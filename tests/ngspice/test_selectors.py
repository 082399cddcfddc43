"""Chips of cells with selectors: they calibrate, tiles hold at transistor level, and networks run bit by bit."""

import numpy as np
import pytest

from spicesim.behavioural.cell import SelectorCellModel
from spicesim.behavioural.response import Response
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.cell import HELD_CURRENT, plan_cell
from spicesim.calibration.mismatch import cell_responses
from spicesim.calibration.mismatch_bench import MismatchBench
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.engine import SampledEngine
from spicesim.engine.write_verify import WriteVerify
from spicesim.errors import SpecError
from spicesim.network import compile_network
from spicesim.network.digits import digits_network, load_digits
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

GENERIC = preset("generic-1t1r")
OPEN = GENERIC.changed(
    array={"rows": 8, "columns": 8}, cell={"kind": "1s1r", "v_read": 1.0}, dac={"v_span": 1.0},
    sense_amplifier={"v_reference": 1.9, "r_feedback": (20e3, 80e3)},
)  # fmt: skip
"""Selectors that open: inputs of 1 V, above a reference from which the drivers' amplifiers reach as far down."""


@pytest.fixture(scope="module")
def calibration(calibrate_once):
    return calibrate_once("selectors-8", lambda: calibrate(OPEN, quick=True, aspects=("parameters",)))


def fitted(chip):
    plan = plan_cell(chip, quick=True)
    return plan.fit(chip, run_all(plan.netlists(chip)))


def test_whole_tiles_are_right_to_a_twenty_thousandth_of_full_scale(calibration):
    """Random, structured and adversarial vectors, linear and saturating columns; no vector took part in a fit."""
    for check in calibration.checks:
        assert check.max_error <= 5e-5, check.name
    assert calibration.verdict.is_met


def test_the_law_of_device_and_selector_is_found_from_currents_alone(calibration):
    """The first guesses know nothing of the description, so what comes out is what the simulator has."""
    cell = OPEN.cell
    law = calibration.cell.cell
    assert (law.i0, law.v0) == pytest.approx((cell.selector_current, cell.selector_voltage), rel=1e-6)
    assert (law.kappa, law.gain) == pytest.approx((cell.kappa, 1.0), rel=1e-6)
    sheet = calibration.parameters["cell"].parameters
    assert sheet["v_selector"].value == pytest.approx(cell.selector_voltage, rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "ecram", "kappa": 0.0},
        {"device": "pcm", "selector_current": 1e-9, "selector_voltage": 60e-3},
        {"selector_current": 1e-14, "selector_voltage": 30e-3, "g_min": 1e-7, "g_max": 5e-6},
    ],
)
def test_other_devices_and_selectors_are_calibrated_as_well(change):
    judged = fitted(OPEN.changed(cell=change))
    assert judged.test["cell current"].max_error < 1e-6
    assert judged.test[HELD_CURRENT].max_error < 1e-6


def test_selectors_that_stay_closed_are_refused_with_the_voltage_that_opens_them():
    with pytest.raises(SpecError, match=r"at 0\.1 V, the lower of .* Set both to 0\.8\d V or more"):
        plan_cell(GENERIC.changed(cell={"kind": "1s1r"}))
    at = GENERIC.changed(cell={"kind": "1s1r", "v_read": 0.82}, dac={"v_span": 0.82})
    assert len(plan_cell(at, quick=True).fits[0])


def test_cells_are_programmed_to_what_write_verify_reads(calibration):
    """At the read voltage, where the selector is open; the device alone would conduct several times as much."""
    cell, limits = calibration.cell, calibration.cell.g_limits
    wanted = np.geomspace(*calibration.conductance_range, 7)
    devices = cell.program(wanted)
    np.testing.assert_allclose(cell.read_conductance(devices), wanted, rtol=1e-9)
    np.testing.assert_allclose(WriteVerify(calibration.chip, limits).read(devices), wanted, rtol=1e-5)
    assert (devices > 1.5 * wanted).all()


def test_a_network_runs_bit_by_bit_and_its_products_are_those_of_transistors(calibration):
    digits = load_digits()
    network = compile_network(digits_network("cnn"), calibration, input_digit=1)
    network.fit_ranges(digits.x_calibration)
    assert not any("selectors" in note for note in network.notes)
    found = network.run(digits.x[:8], "exact")
    assert np.mean(np.argmax(found.logits, axis=1) == digits.y[:8]) >= 0.9
    audit = network.audit(digits.x[:1], count=3)
    assert np.abs((audit.measured - audit.predicted) / audit.full_scale).max() <= 5e-5
    assert (audit.code_differences == 0).all()


def test_whole_codes_are_run_with_a_note_that_selectors_close(calibration):
    network = compile_network(digits_network("mlp"), calibration)
    assert any("selectors of 1s1r cells close" in note and "input_digit = 1" in note for note in network.notes)


def test_a_calibration_is_stored_and_refused_for_a_chip_without_selectors(calibration, tmp_path):
    calibration.save(tmp_path / "chip.cal.json")
    again = load_calibration(tmp_path / "chip.cal.json")
    assert isinstance(again.cell, SelectorCellModel)
    assert again.hash == calibration.hash
    content = calibration.model_dump(mode="json")
    content["chip"]["cell"]["kind"] = "1r"
    with pytest.raises(ValueError, match="cell must be that of a selector for cells of kind 1s1r"):
        type(calibration).model_validate(content)


def test_cells_without_transistors_do_not_differ_and_their_response_is_stored(calibration):
    bench = MismatchBench(calibration=calibration, campaign=Campaign(quick=True, jobs=1))
    (response,) = cell_responses(bench)
    assert response.devices == ()
    assert not response.distribution.sigma.any()
    assert Response.model_validate_json(response.model_dump_json()).slopes.shape == (1, 0)
    assert np.abs(response.draw(ChipDraw(seed=1), 4)).max() < 1e-6, "ohm"


def test_conditions_add_to_the_parameters_of_the_law(calibration):
    """The library's selectors know no temperature, so nothing is added, to the last digits of the fit."""
    warm = fitted(OPEN.at(temperature_c=60.0)).model
    np.testing.assert_allclose(warm.coefficients, calibration.cell.coefficients, rtol=1e-6)


def test_early_samples_are_refused_as_slopes_change_on_the_way(calibration):
    with pytest.raises(SpecError, match="not followed in time"):
        SampledEngine(calibration, 50e-9)
