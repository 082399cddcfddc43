"""Every netlist that is written runs as it stands, and what comes out obeys physics."""

import re
import subprocess

import numpy as np
import pytest

from simulation import run
from spicesim.chip import preset
from spicesim.errors import SpecError
from spicesim.netlist import (
    LadderDac,
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_sense_amplifier,
    build_tile,
)
from spicesim.netlist.cell import build_cell_samples
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.rawfile import read_raw
from spicesim.ngspice.shared import SharedSimulator


def all_netlists(chip):
    g = np.full((3, 2), 20e-6)
    return {
        "cell": build_cell(chip, 30e-6),
        "column": build_column(chip, g[:, 0], [0.1, 0.0, 0.2], 20e3),
        "crossbar": build_crossbar(chip, g, [0.1, 0.0, 0.2]),
        "senseamp": build_sense_amplifier(chip, 20e3, 50e-6),
        "dac": build_dac(chip),
        "tile": build_tile(chip, g, [0, 128, 255], polarity="unipolar", r_feedback=20e3),
    }


@pytest.mark.parametrize("kind", ["cell", "column", "crossbar", "senseamp", "dac", "tile"])
def test_plain_ngspice_runs_the_file_as_it_stands(chip, kind, tmp_path):
    netlist = all_netlists(chip)[kind]
    netlist.write(tmp_path / "it.cir")
    subprocess.run(
        ["ngspice", "-b", "-r", "out.raw", "it.cir"], cwd=tmp_path, check=True, capture_output=True, timeout=1800
    )
    (plot,) = read_raw(tmp_path / "out.raw")
    for probe in netlist.probes:
        assert np.isfinite(plot.vectors[probe]).all()


@pytest.mark.parametrize("kind", ["cell", "column", "crossbar", "senseamp", "dac", "tile"])
def test_a_file_says_what_it_is_of_which_chip_and_how_to_run_it(chip, kind):
    text = all_netlists(chip)[kind].format()
    assert chip.hash in text
    assert "run: ngspice -b" in text
    assert "np.float64" not in text
    names = re.findall(r"^[rvibxm]\S*", text, re.MULTILINE | re.IGNORECASE)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in names)


def test_both_simulators_agree_to_the_last_digit(chip):
    netlist = all_netlists(chip)["column"]
    (batch,), (shared,) = BatchSimulator().run(netlist), SharedSimulator().run(netlist)
    for probe in netlist.probes:
        np.testing.assert_array_equal(batch.vectors[probe], shared.vectors[probe])


def test_a_resistive_cell_is_sinh(chip):
    resistive = chip.changed(cell={"kind": "1r", "kappa": 2.5})
    found = run(build_cell(resistive, 30e-6))
    v = found["v(wl)"] - found["v(bl)"]
    np.testing.assert_allclose(found["i(vsense_0)"], 30e-6 * np.sinh(2.5 * v) / 2.5, rtol=1e-9, atol=1e-16)


def test_a_linear_cell_obeys_ohm(chip):
    found = run(build_cell(chip.changed(cell={"kind": "1r", "kappa": 0.0}), 30e-6))
    np.testing.assert_allclose(found["i(vsense_0)"], 30e-6 * (found["v(wl)"] - found["v(bl)"]), rtol=1e-9, atol=1e-16)


def test_the_access_transistor_takes_its_share(chip):
    found = run(build_cell(chip, 50e-6))
    v = found["v(wl)"] - found["v(bl)"]
    conductance = np.gradient(found["i(vsense_0)"], v)[len(v) // 2]
    assert 0.75 * 50e-6 < conductance < 50e-6
    assert (np.diff(found["i(vsense_0)"]) > 0).all()


def test_cell_samples_agree_with_the_sweep(chip):
    swept = run(build_cell(chip, 20e-6))
    v = swept["v(wl)"] - swept["v(bl)"]
    sampled = run(build_cell_samples(chip, np.full(len(v), 20e-6), v, np.zeros(len(v))))
    currents = [sampled[f"i(vsense_{k})"][0] for k in range(len(v))]
    np.testing.assert_allclose(currents, swept["i(vsense_0)"], rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_the_dac_is_monotone_and_within_an_lsb_of_a_line(chip, polarity):
    found = run(build_dac(chip, polarity))
    out = found["v(out)"]
    lsb = chip.dac.v_span / 256 * (1 if polarity == "unipolar" else 2)
    np.testing.assert_array_equal(np.rint(found["v(code)"]), np.arange(256))
    assert (np.diff(out) > 0.5 * lsb).all()
    line = np.polyval(np.polyfit(np.arange(256), out, 1), np.arange(256))
    assert np.abs(out - line).max() < lsb
    assert np.diff(out).mean() == pytest.approx(lsb, rel=2e-3)


def test_the_dac_takes_any_resolution(chip):
    four = chip.changed(dac={"bits": 4})
    out = run(build_dac(four))["v(out)"]
    assert len(out) == 16
    assert np.diff(out).mean() == pytest.approx(four.dac.v_span / 16, rel=5e-3)


def test_a_planted_ladder_error_shows_in_the_dac(chip):
    """The top leg 1 % too large moves the midpoint step by what the ladder's algebra says."""
    netlist = build_dac(chip)
    leg = f"rleg7 n7 s7 {2 * chip.dac.r_unit!r}"
    assert leg in netlist.body
    planted = netlist.body.replace(leg, f"rleg7 n7 s7 {2.02 * chip.dac.r_unit!r}")
    out = run(netlist)["v(out)"]
    wrong = run(type(netlist)(**{f: getattr(netlist, f) for f in netlist.__slots__} | {"body": planted}))["v(out)"]
    # the leg's Thevenin weight falls from 1/2 to 2R/(2R + 2.02R) of the span
    expected = (2 / 4.02 - 1 / 2) * chip.dac.v_span
    step, wrong_step = out[128] - out[0], wrong[128] - wrong[0]
    assert wrong_step - step == pytest.approx(expected, rel=0.05)


def test_the_dac_drives_a_whole_row(chip):
    full = chip.array.columns * chip.cell.g_max * chip.dac.v_span
    out = run(build_dac(chip, i_limit=full, load_points=3, code_step=255))["v(out)"].reshape(2, 3)
    assert np.abs(out[:, 0] - out[:, 2]).max() < 0.01, "the buffer's load regulation is some millivolts"
    assert (np.diff(out, axis=1) < 0).all()


def test_the_dac_is_a_pyspice_subcircuit(chip):
    dac = LadderDac(chip)
    assert dac.name == "dac"
    assert len(list(dac.elements)) == 3 * chip.dac.bits + 1


def test_the_sense_amplifier_turns_current_into_voltage(chip):
    found = run(build_sense_amplifier(chip, 20e3, 50e-6))
    i = np.linspace(-50e-6, 50e-6, 201)
    reference = chip.sense_amplifier.v_reference
    gain, offset = np.polyfit(i, reference - found["v(out)"], 1)
    assert gain == pytest.approx(20e3, rel=5e-3)
    assert abs(offset) < 10e-3
    assert np.abs(found["v(sense)"] - reference).max() < 10e-3, "a virtual ground stays put"


def test_currents_in_a_crossbar_balance_at_every_sense_node():
    """With one input on, what the source delivers arrives at the feet and in nothing else."""
    chip = preset("generic-1t1r")
    g = np.array([[10e-6, 20e-6, 30e-6], [40e-6, 5e-6, 1e-6]])
    netlist = build_crossbar(chip, g, [0.2, 0.0])
    more = type(netlist)(
        **{f: getattr(netlist, f) for f in netlist.__slots__} | {"probes": (*netlist.probes, "i(vin_0)", "i(vin_1)")}
    )
    found = run(more)
    feet = sum(found[f"i(vsense_{j})"][0] for j in range(3))
    sources = found["i(vin_0)"][0] + found["i(vin_1)"][0]
    junctions = 2 * g.size * 1e-12 * chip.sense_amplifier.v_reference  # ngspice's gmin to the bulk of each transistor
    assert feet + sources == pytest.approx(0, abs=1.1 * junctions)


def test_the_column_agrees_with_the_crossbar_behind_its_amplifier():
    chip = preset("generic-1t1r")
    g = np.array([10e-6, 20e-6, 40e-6])
    column = run(build_column(chip, g, [0.1, 0.2, 0.05], 20e3))
    array = run(build_crossbar(chip, g[:, None], [0.1, 0.2, 0.05]))
    assert column["i(vsense_0)"][0] == pytest.approx(array["i(vsense_0)"][0], rel=0.05), "the virtual ground is off"
    assert chip.sense_amplifier.v_reference - column["v(out_0)"][0] == pytest.approx(
        20e3 * column["i(vsense_0)"][0], abs=5e-3
    )


def test_no_wires_means_no_wire_resistors():
    chip = preset("generic-1t1r").changed(array={"r_word_line": 0.0, "r_bit_line": 0.0})
    text = build_crossbar(chip, np.full((2, 2), 1e-5), [0.1, 0.2]).format()
    assert not re.search(r"^r[wb]l_", text, re.MULTILINE)


def test_an_open_cell_has_no_element():
    text = build_crossbar(preset("generic-1t1r"), [[0.0, 1e-5]], [0.1]).format()
    assert "xc_0_1 " in text
    assert not re.search(r"^xc_0_0 ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: build_crossbar(c, [1e-5], [0.1]), "matrix"),
        (lambda c: build_crossbar(c, [[1e-5]], [0.1, 0.2]), "word line"),
        (lambda c: build_crossbar(c, [[-1e-5]], [0.1]), "not negative"),
        (lambda c: build_crossbar(c, [[np.nan]], [0.1]), "finite"),
        (lambda c: build_crossbar(c, [[1e-5]], [np.inf]), "inf"),
        (lambda c: build_tile(c, [[1e-5]], [256], polarity="unipolar", r_feedback=1e4), "0..255"),
        (lambda c: build_tile(c, [[1e-5]], [0.5], polarity="unipolar", r_feedback=1e4), "integers"),
    ],
)
def test_impossible_circuits_are_refused(call, said):
    with pytest.raises(SpecError, match=re.escape(said)):
        call(preset("generic-1t1r"))
