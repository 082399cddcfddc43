"""Memory devices have thermal noise, and nothing else of them changes by it."""

import re

import numpy as np
import pytest

from spicesim.calibration.noise import integrate_noise
from spicesim.chip import preset
from spicesim.chip.library import library_text
from spicesim.draws import ChipDraw
from spicesim.netlist.devices import build_device_sweep
from spicesim.netlist.mismatch import with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.noise import build_noise
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

BOLTZMANN, CHARGE, KELVIN = 1.380649e-23, 1.602176634e-19, 300.15
CHIP = preset("generic-1t1r")
LINEAR = {"resistor": "g=2e-05", "rram": "g=2e-05 kappa=3", "pcm": "g=2e-05 v0=0.3", "ecram": "g=2e-05"}


@pytest.mark.parametrize("device", LINEAR)
def test_a_device_has_the_thermal_noise_of_its_conductance(device):
    gate = " 0" if device == "ecram" else ""
    circuit = f"i1 0 p dc 0 ac 1\nxdut p 0{gate} {device} {LINEAR[device]}\nc1 p 0 1p\n.temp 27"
    body = library_text(f"{device}.cir") + circuit
    response = Netlist(title=device, body=body, analyses=(".ac dec 20 1k 10g",), probes=("v(p)",))
    (results,) = run_all([build_noise(response, "p", "i1")])
    assert integrate_noise(results) == pytest.approx(BOLTZMANN * KELVIN / 1e-12, rel=0.01)
    found = results[0].vectors["inoise_spectrum"].real[0] ** 2
    assert found == pytest.approx(4 * BOLTZMANN * KELVIN * 2e-5, rel=1e-3)


@pytest.mark.parametrize("volts", [0.0, 0.45, 0.9])
def test_a_selector_has_the_noise_of_its_slope(volts):
    """Which is the shot noise of its current within a sixth, where it conducts."""
    i0, v0 = 1e-9, 45e-3
    circuit = f"v1 q 0 {volts!r}\nl1 q p 1k\ni1 0 p dc 0 ac 1\nxdut p 0 selector i0={i0!r} v0={v0!r}"
    body = library_text("selector.cir") + circuit
    response = Netlist(title="selector", body=f"{body}\n.temp 27", analyses=(".ac dec 5 1meg 1g",), probes=("v(p)",))
    (results,) = run_all([build_noise(response, "p", "i1")])
    found = results[0].vectors["inoise_spectrum"].real[-1] ** 2
    slope, current = i0 / v0 * np.cosh(volts / v0), i0 * np.sinh(volts / v0)
    assert found == pytest.approx(4 * BOLTZMANN * KELVIN * slope, rel=1e-3)
    if volts:
        assert found == pytest.approx(2 * CHARGE * current, rel=1 / 6)


@pytest.mark.parametrize(
    ("device", "limit", "parameters"),
    [
        ("rram", 0.6, {"g": 1 / 3e4, "kappa": 1.2345678901}),
        ("rram", 6.0, {"g": 5e-5, "kappa": 1.0}),
        ("pcm", 0.6, {"g": 1 / 7e4, "t": 1e5, "nu": 0.07}),
        ("selector", 1.5, {"i0": 1e-12, "v0": 45e-3}),
        ("cell_1s1r", 1.5, {"g": 1 / 3e4, "kappa": 1.5}),
    ],
)
def test_noise_changes_no_current(device, limit, parameters):
    """To a part in 1e12, against the same device without what makes its noise. Floor: rounding at 1e-22 A."""
    netlist = build_device_sweep(CHIP, device, [parameters], limit)
    silent = re.sub(r"^(rnoise|g1  p n|b2  p n).*\n", "", netlist.body, flags=re.MULTILINE)
    assert silent.count("\nrnoise ") == 0 < netlist.body.count("\nrnoise ")
    quiet = Netlist(title=netlist.title, body=silent, analyses=netlist.analyses, probes=netlist.probes)
    found, wanted = (results[0].vectors["i(vsense_0)"] for results in run_all([netlist, quiet]))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-22)


def test_drawn_resistors_leave_a_device_alone():
    netlist = build_device_sweep(CHIP, "rram", [{"g": 5e-5, "kappa": 1.0}], 0.5)
    drawn = with_mismatch(netlist, CHIP.process, ChipDraw(1), resistors=0.1)
    found, wanted = (results[0].vectors["i(vsense_0)"] for results in run_all([drawn, netlist]))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-22)
