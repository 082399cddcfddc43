"""The switched integrator counts charge."""

import dataclasses

import numpy as np
import pytest

from simulation import run
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.integrator import integrator_bench
from spicesim.chip import preset
from spicesim.chip.blocks import Integrator
from spicesim.errors import SpecError
from spicesim.netlist.integrator import Window, build_integrators


def test_its_data_sheet_is_that_of_an_integrator(chip):
    sheet = run_bench(integrator_bench(chip), chip, Conditions())
    # beside the capacitor, only gate-drain capacitances of the reset switch and 1/gain count
    assert sheet["c_effective"] == pytest.approx(2e-12, rel=0.01)
    assert abs(sheet["reset_level"]) < 1e-3
    assert abs(sheet["pedestal"]) < 20e-3
    assert sheet["nonlinearity"] < 0.02
    assert sheet["gain"] > 1e3
    assert 60 < sheet["phase_margin"] < 90


def test_mismatch_moves_levels_and_leaves_the_line_straight():
    """All currents of a sample are integrated by the same device."""
    chip = preset("generic-1t1r")
    sheet = run_bench(integrator_bench(chip), chip, Conditions(samples=3, seed=1))
    assert sheet.entry("reset_level").spread.sigma > 0.2e-3
    assert sheet.entry("nonlinearity").spread.mean < 0.02


def test_charge_is_current_by_time_whatever_their_share(chip):
    """The same charge in twice the time gives the same output; twice the capacitor halves it."""

    def change(current, window, sizes):
        found = run(build_integrators(chip, [0.0, current], window=window, sizes=sizes))
        at = window.end + 100e-9
        rest, moved = (np.interp(at, found["time"], found[f"v(out_{k})"]) for k in (0, 1))
        return moved - rest

    one = change(2e-6, Window(length=400e-9, hold=200e-9), Integrator())
    slow = change(1e-6, Window(length=800e-9, hold=200e-9), Integrator())
    large = change(2e-6, Window(length=400e-9, hold=200e-9), Integrator(capacitor=4e-12))
    assert one == pytest.approx(-2e-6 * 400e-9 / 2e-12, rel=0.01)
    assert slow == pytest.approx(one, rel=5e-3)  # the switch opens and closes within its edges
    assert large == pytest.approx(one / 2, rel=5e-3)


def test_outside_the_window_the_current_flows_into_the_reference(chip):
    """Kirchhoff at the held bit line: the source's current arrives at the reference, whatever is stored."""
    netlist = build_integrators(chip, [3e-6])
    more = dataclasses.replace(
        netlist,
        probes=(*netlist.probes, "i(vref)"),
        body=netlist.body.replace("vref vref 0", "vref vref_source 0 ", 1) + "\nvmeter vref vref_source 0",
    )
    more = dataclasses.replace(more, probes=(*netlist.probes, "i(vmeter)"))
    found = run(more)
    assert np.interp(1.7e-6, found["time"], found["i(vmeter)"]) == pytest.approx(3e-6, rel=1e-3)
    # and within the window none of it does, apart from what charges the line
    assert abs(np.interp(0.7e-6, found["time"], found["i(vmeter)"])) < 0.02 * 3e-6


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda c: c.changed(integrator={"capacitor": 0.0}), r"integrator.capacitor.*greater than 0"),
        (lambda c: c.changed(integrator={"reset_width": 1e-9}), r"integrator.reset_width.*300 nm or more"),
        (lambda c: Window(start=100e-9), "reset, then runs"),
        (lambda c: build_integrators(c, []), "currents"),
        (lambda c: build_integrators(c, [np.nan]), "currents"),
    ],
)
def test_impossible_integrators_are_refused(build, said):
    with pytest.raises(SpecError, match=said):
        build(preset("generic-1t1r"))
