"""Devices and cells obey the formulas in their files, read and written."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.devices import differential_bench, pcm_bench, selector_bench
from spicesim.characterise.writes import ecram_bench, pcm_state_bench, rram_gap_bench
from spicesim.chip import preset
from spicesim.chip.library import library_text
from spicesim.errors import SpecError
from spicesim.netlist.devices import (
    STATIC_DEVICES,
    build_device_pulses,
    build_device_sweep,
    build_differential_cells,
    device_parameters,
)
from spicesim.ngspice.batch import BatchSimulator

GENERIC = preset("generic-1t1r")


def run(netlist):
    return BatchSimulator().run(netlist)[0].vectors


def test_every_static_device_has_its_conductance_at_small_voltages():
    for device in set(STATIC_DEVICES) - {"selector", "cell_1s1r"}:
        g = np.array([1e-6, 20e-6, 80e-6])
        found = run(build_device_sweep(GENERIC, device, [{"g": x} for x in g], 2e-3, 3))
        np.testing.assert_allclose([found[f"i(vsense_{k})"][-1] / 2e-3 for k in range(3)], g, rtol=1e-5)


def test_pcm_conducts_by_poole_and_frenkel_and_drifts_by_its_power_law():
    found = run(build_device_sweep(GENERIC, "pcm", [{"g": 30e-6, "t": 100.0, "nu": 0.1, "v0": 0.3}], 1.0))
    v = found["v(p)"]
    expected = 30e-6 * 100**-0.1 * 0.3 * np.sinh(v / 0.3)
    np.testing.assert_allclose(found["i(vsense_0)"], expected, rtol=1e-6, atol=1e-15)
    sheet = run_bench(pcm_bench(GENERIC, nu=0.08), GENERIC, Conditions())
    assert sheet["nu"] == pytest.approx(0.08, rel=1e-6)
    assert sheet["drift"] == pytest.approx(100 * 1e6**-0.08, rel=1e-6)


def test_a_selector_is_a_hyperbolic_sine_over_nine_decades():
    found = run(build_device_sweep(GENERIC, "selector", [{"i0": 1e-12, "v0": 0.045}], 0.9, 91))
    expected = 1e-12 * np.sinh(found["v(p)"] / 0.045)
    np.testing.assert_allclose(found["i(vsense_0)"], expected, rtol=1e-5, atol=2e-12)


def test_selector_and_device_share_the_voltage_of_a_1s1r_cell():
    """The voltages that the current asks of either, by its formula, add up to that of the cell."""
    given = {"g": 50e-6, "kappa": 1.0, "i0": 1e-12, "v0": 0.045}
    found = run(build_device_sweep(GENERIC, "cell_1s1r", [given], 1.5, 151))
    v, i = found["v(p)"], found["i(vsense_0)"]
    sum_of_both = np.arcsinh(i * 1.0 / 50e-6) / 1.0 + 0.045 * np.arcsinh(i / 1e-12)
    on = np.abs(i) > 1e-9
    np.testing.assert_allclose(sum_of_both[on], v[on], rtol=1e-4)
    sheet = run_bench(selector_bench(GENERIC), GENERIC, Conditions())
    assert sheet["slope"] == pytest.approx(0.045 * np.log(10), rel=5e-3)
    assert sheet["third_ratio"] > 100


def test_a_differential_cell_is_two_cells_that_know_nothing_of_each_other(chip):
    pos, neg = np.array([40e-6, 5e-6]), np.array([10e-6, 5e-6])
    found = run(build_differential_cells(chip, pos, neg, 0.2))
    turned = run(build_differential_cells(chip, neg, pos, 0.2))
    np.testing.assert_allclose(found["i(vpos_0)"], turned["i(vneg_0)"], rtol=1e-9, atol=1e-15)
    alone = run(build_differential_cells(chip, pos, pos, 0.2))
    np.testing.assert_allclose(found["i(vpos_0)"], alone["i(vpos_0)"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found["i(vpos_1)"], found["i(vneg_1)"], rtol=1e-9, atol=1e-15)


def test_mismatch_makes_an_error_of_a_differential_cells_zero(chip):
    sheet = run_bench(differential_bench(chip), chip, Conditions(samples=8, seed=1))
    assert abs(sheet["zero"]) < 1e-6
    assert 0.01 < sheet.entry("zero").spread.sigma < 5
    assert 0.85 < sheet["gain"] < 1


def gap_model(drive, conductance, times, r_series, **changed):
    """Integrate the gap model by its formulas, apart from the simulator."""
    known = device_parameters(GENERIC, "rram_gap")
    text = library_text("rram_gap.cir")
    assert "gamma0=16 beta=0.8" in text
    i0, gap0, v0, nu, ea, gamma0, beta, a, tox, low, high, r_thermal, ambient = (
        1e-3, 0.25, 0.25, 1e10, 0.6, 16, 0.8, 0.25, 12, 0.2, 1.7, 2100, 300.15,
    )  # fmt: skip
    assert len(known) == 14

    def solve(volts, gap):
        scale = i0 * np.exp(-gap / gap0)
        first, last = min(0.0, volts), max(0.0, volts)
        for _ in range(80):
            v = (first + last) / 2
            if v + r_series * scale * np.sinh(v / v0) < volts:
                first = v
            else:
                last = v
        return v, scale * np.sinh(v / v0)

    def rate(time, state):
        v, i = solve(np.interp(time, *drive), state[0])
        kt = 8.617333e-5 * (ambient + r_thermal * abs(v * i))
        speed = -nu * np.exp(-ea / kt) * np.sinh(max(0, gamma0 - beta * state[0] ** 3) * a / tox * v / kt)
        room = high - state[0] if speed > 0 else state[0] - low
        return [speed * min(1, max(0, 100 * room))]

    start = -gap0 * np.log(conductance * v0 / i0)
    found = solve_ivp(rate, (0, times[-1]), [start], method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10, max_step=1e-9)
    return found.y[0]


def test_writes_of_the_gap_model_follow_its_equations():
    """Set and reset against an independent integration: the gap within 2 pm at any time."""
    pulses = [(2.0, 60e-9), (-2.2, 60e-9)]
    netlist = build_device_pulses(
        GENERIC, "rram_gap", pulses, parameters={"g": 5e-6}, r_series=1e3, rest=10e-9, step=0.2e-9
    )
    found = run(netlist)
    drive = (found["time"], found["v(drive)"])
    times = np.array([9e-9, 20e-9, 40e-9, 69e-9, 78e-9, 85e-9, 100e-9, 139e-9])
    expected = gap_model(drive, 5e-6, times, 1e3)
    np.testing.assert_allclose(np.interp(times, found["time"], found["v(state)"]), expected, atol=2e-3)
    assert np.ptp(expected) > 0.2, "the gap moved"


def pcm_model(drive, times, r_series, g_min, g_max):
    """Integrate the phase-change model by its formulas, apart from the simulator."""

    def current(v, x):
        over = abs(v) - 0.8
        on = (over + np.sqrt(over**2 + 4e-4)) / 2 / 2e3 - (-0.8 + np.sqrt(0.8**2 + 4e-4)) / 2 / 2e3
        read = g_min * (g_max / g_min) ** x * 0.4 * np.sinh(np.clip(v / 0.4, -5, 5))
        return read + np.sign(v) * on

    def rate(time, state):
        x, volts = state[0], np.interp(time, *drive)
        first, last = min(0.0, volts), max(0.0, volts)
        for _ in range(60):
            v = (first + last) / 2
            if v + r_series * current(v, x) < volts:
                first = v
            else:
                last = v
        t = 300.15 + 2e6 * abs(v * current(v, x))
        crystal = (1 - x) * np.exp(-min(50, ((t - 650) / 80) ** 2)) / 30e-9
        return [crystal - x * np.clip((t - 880) / 20, 0, 1) / 2e-9]

    return solve_ivp(
        rate, (0, times[-1]), [0.0], method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10, max_step=0.5e-9
    ).y[0]


def test_writes_of_the_phase_change_model_follow_its_equations():
    """Set, half a reset and a whole one against an independent integration: the fraction within .003 at any time."""
    pulses = [(1.2, 100e-9), (1.55, 4e-9), (2.0, 20e-9)]
    given = {"g": 1e-6, "g_min": 1e-6, "g_max": 50e-6}
    netlist = build_device_pulses(
        GENERIC, "pcm_state", pulses, parameters=given, r_series=1e3, rest=10e-9, step=0.1e-9
    )  # fmt: skip
    found = run(netlist)
    times = np.array([9e-9, 30e-9, 60e-9, 119e-9, 121e-9, 123e-9, 133e-9, 136e-9, 140e-9, 159e-9])
    expected = pcm_model((found["time"], found["v(drive)"]), times, 1e3, 1e-6, 50e-6)
    np.testing.assert_allclose(np.interp(times, found["time"], found["v(state)"]), expected, atol=3e-3)
    assert expected.max() > 0.8
    assert expected[-1] < 0.1


def test_a_phase_change_device_is_set_and_reset():
    sheet = run_bench(pcm_state_bench(GENERIC), GENERIC, Conditions())
    assert sheet["g_start"] == pytest.approx(GENERIC.cell.g_min, rel=0.15)  # and the knee of the on current
    assert sheet["g_on"] > 0.8 * GENERIC.cell.g_max
    assert sheet["on_off"] > 20
    assert sheet["t_reset"] < sheet["t_set"] < 200e-9


def test_the_gap_models_data_sheet_has_two_states():
    sheet = run_bench(rram_gap_bench(GENERIC), GENERIC, Conditions())
    assert sheet["g_start"] == pytest.approx(5e-6 * np.sinh(0.4) / 0.4, rel=0.01)
    assert sheet["on_off"] > 5
    assert 0 < sheet["t_set"] < 300e-9
    assert 0 < sheet["t_reset"] < 300e-9
    # no more than all of the pulse at all of its voltage through the series resistor
    assert 0 < sheet["energy_set"] < 2.0**2 / 1e3 * 300e-9


def test_ecram_counts_the_charge_of_its_gate():
    """Each pulse moves the conductance by its charge over that of the whole range, up as down."""
    sheet = run_bench(ecram_bench(GENERIC), GENERIC, Conditions())
    span = GENERIC.cell.g_max - GENERIC.cell.g_min
    # 1 V for 19 ns (the edges count half) through 1 Mohm, into 1 pC
    assert sheet["step"] == pytest.approx(19e-9 * 1.0 / 1e6 / 1e-12 * span, rel=0.01)
    assert sheet["charge"] == pytest.approx(19e-15, rel=0.01)
    assert abs(sheet["asymmetry"]) < 0.1
    assert abs(sheet["return"]) < 0.1


def test_ecram_stays_within_its_range():
    pulses = [(2.0, 1e-6), (-2.0, 2e-6)]
    given = {"g": 25e-6, "g_min": 1e-6, "g_max": 50e-6, "q_full": 1e-12, "r_ion": 1e6}
    found = run(build_device_pulses(GENERIC, "ecram_state", pulses, parameters=given))
    # the window closes over the last half per cent
    state = found["v(state)"]
    assert state.max() == pytest.approx(1, abs=5e-3)
    assert state.min() == pytest.approx(0, abs=5e-3)
    assert -1e-6 < state.min() < state.max() < 1 + 1e-6


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: build_device_sweep(GENERIC, "diode", [{}], 1.0), "no static device 'diode'"),
        (lambda: build_device_sweep(GENERIC, "pcm", [{"h": 1.0}], 1.0), "no parameter 'h'; it has: g, v0"),
        (lambda: build_device_sweep(GENERIC, "pcm", [{}], -1.0), "positive voltage"),
        (lambda: build_device_pulses(GENERIC, "rram", [(1.0, 1e-8)]), "no device with state 'rram'"),
        (lambda: build_device_pulses(GENERIC, "rram_gap", [(1.0, 1e-10)]), "widths"),
        (lambda: build_differential_cells(GENERIC, [1e-5], [0.0], 0.1), "must be positive"),
        (lambda: build_differential_cells(GENERIC, [1e-5], [1e-5, 1e-5], 0.1), "two conductances"),
    ],
)
def test_impossible_devices_are_refused(build, said):
    with pytest.raises(SpecError, match=said):
        build()
