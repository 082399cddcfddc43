"""Write-verify by the circuit itself, and audits that nothing of the calibrated cell enters but first guesses."""

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.calibration.tiles import choose_feedback
from spicesim.chip import preset
from spicesim.coding import AdcRange
from spicesim.devices import DeviceModel
from spicesim.engine import DeviceEngine, ExactEngine, NgspiceEngine, SampledMvm, Tile, WriteVerify
from spicesim.errors import MappingError
from spicesim.netlist.cell import build_cell_samples
from spicesim.sampling import run_all

SIZE = 8


def read_in_ngspice(chip, devices):
    v = chip.cell.v_read
    (results,) = run_all([build_cell_samples(chip, devices, np.full(devices.size, v), np.zeros(devices.size))])
    return np.array([float(results[0].vectors[f"i(vsense_{k})"][0].real) for k in range(devices.size)]) / v


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("generic-1t1r", {}),
        ("generic-1t1r", {"kappa": 4.0}),
        ("generic-1t1r", {"kind": "1r", "kappa": 6.0}),
        ("generic-1t1r", {"kind": "1r", "kappa": 0.0}),
        ("gf180-1t1r", {}),
    ],
)
def test_cells_of_the_circuit_are_what_was_wanted(isolation, name, cell):
    chip = preset(name).changed(cell=cell)
    write = WriteVerify(chip, (chip.cell.g_min, chip.cell.g_max))
    wanted = np.geomspace(*write.read((chip.cell.g_min, chip.cell.g_max)), 37)
    np.testing.assert_allclose(read_in_ngspice(chip, write.program(wanted)), wanted, rtol=1e-9)


def test_cells_that_no_device_makes_are_refused(isolation):
    chip = preset("generic-1t1r")
    write = WriteVerify(chip, (chip.cell.g_min, chip.cell.g_max))
    with pytest.raises(MappingError, match="can be programmed to"):
        write.program([2 * chip.cell.g_max])


def wanted_tile(calibration, chosen=0):
    g = np.random.default_rng(chosen).uniform(*calibration.conductance_range, (SIZE, SIZE))
    feedback = choose_feedback(calibration.chip, g, saturating=False)
    swing = calibration.linear_swing(feedback)
    adc = AdcRange(low=0.0, high=swing, bits=8)
    return Tile(name="t:0", g=g, polarity="unipolar", r_feedback=feedback, adc=adc)


def audit_cell(calibration, cell):
    """Audit a tile whose behavioural side has another cell."""
    other, tile = calibration.model_copy(update={"cell": cell}), wanted_tile(calibration)
    codes = np.random.default_rng(3).integers(128, 256, (3, SIZE))
    engine = ExactEngine(other)
    ready = engine.prepare(tile)
    samples = [SampledMvm.of(ready, c, v, layer="t") for c, v in zip(codes, ready.mvm(codes), strict=True)]
    audit = audit_samples(samples, other)
    return np.abs(audit.predicted / audit.measured - 1)


def test_a_calibrated_cell_of_false_conductances_is_seen_by_an_audit(generic_calibration):
    """The model's cell reads as if all were 1 % more at the read voltage and nowhere else: its devices are off."""
    cell = generic_calibration.cell
    # write-verify at the wrong voltage: the same currents of the same devices, but other devices for the same cells
    v = np.linspace(0.0, 4 * cell.v_read, 4001)[1:]
    middle = np.sqrt(np.prod(cell.conductance_range))
    device = cell.program(middle)
    apparent = cell.current(device, v) / v / cell.read_conductance(device)
    falsely_read = cell.model_copy(update={"v_read": float(v[np.argmax(np.abs(apparent - 1) > 0.01)])})
    honest, false = audit_cell(generic_calibration, cell), audit_cell(generic_calibration, falsely_read)
    assert honest.max() < 2e-3
    assert 0.005 < np.median(false) < 0.02


def test_devices_of_an_audit_do_not_depend_on_the_calibrated_cell(generic_calibration):
    """Coefficients scaled by 1.01 are programmed out by either side, as on the chip: no device of the circuit moves."""
    tile, cell = wanted_tile(generic_calibration), generic_calibration.cell
    wrong = cell.model_copy(update={"coefficients": 1.01 * cell.coefficients})
    devices = [
        NgspiceEngine(generic_calibration.model_copy(update={"cell": own})).prepare(tile).devices
        for own in (cell, wrong)
    ]
    np.testing.assert_array_equal(*devices)
    true = generic_calibration.cell.program(tile.g)
    np.testing.assert_allclose(devices[0], true, rtol=5e-3)
    assert np.abs(wrong.program(tile.g) / devices[0] - 1).min() > 5e-3


def test_devices_that_miss_their_cell_miss_it_alike_on_both_sides(generic_calibration):
    """What programming misses is drawn of cells, so the circuit gets the cells that the behavioural tile gets."""
    chip, tile = generic_calibration.chip, wanted_tile(generic_calibration)
    model = DeviceModel(name="noisy", programming=(0.02,))
    drawn = [
        DeviceEngine(engine, chip, model, generic_calibration.conductance_range, seed=5).prepare(tile)
        for engine in (ExactEngine(generic_calibration), NgspiceEngine(generic_calibration))
    ]
    np.testing.assert_array_equal(drawn[0].tile.g, drawn[1].tile.g)
    assert np.abs(drawn[0].tile.g / tile.g - 1).max() > 0.01
    cells = read_in_ngspice(chip, drawn[1].under.devices.ravel())
    np.testing.assert_allclose(cells, drawn[0].tile.g.ravel(), rtol=1e-9)
