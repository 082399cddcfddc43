"""Any array gives the currents that a plain ``ngspice -b`` finds for its netlist."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Sinh
from spicesim.crossbar import Crossbar
from spicesim.ngspice.rawfile import read_raw
from spicesim.ports import PortTables

CASES = json.loads((Path(__file__).parents[1] / "golden" / "reference_crossbars.json").read_text())["cases"]
BIASED = BiasedPolynomial(
    [
        [[0.9, 0.1], [0.2, -0.1], [0.05, 0.02]],
        [[0.2, -0.05], [0.1, 0.03], [0.0, 0.1]],
        [[0.8, 0.1], [-0.2, 0.02], [0.3, 0.0]],
    ],
    g_reference=2e-5,
    v_limits=(-0.5, 0.5),
    u_limits=(-0.3, 0.3),
)
CELLS = [Linear(), Sinh(3.0), Polynomial([1.0, 0.2, 1.5]), BIASED]


def run(netlist, folder, columns):
    """Run ngspice as a user would and return the currents into the virtual grounds."""
    path = folder / "array.cir"
    path.write_text(netlist)
    done = subprocess.run(
        ["ngspice", "-b", "-r", str(folder / "array.raw"), str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (plot,) = read_raw(folder / "array.raw")
    return np.array([plot.vectors[f"i(vsense_{j})"][0] for j in range(columns)])


@st.composite
def arrays(draw, cells=CELLS):
    """Arrays of all kinds: wires and terminations scalar, a segment each, or none; open cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))

    def resistance(shape):
        kind = draw(st.sampled_from(["none", "scalar", "each", "some"]))
        each = rng.uniform(1.0, 50.0, shape)
        return {"none": 0.0, "scalar": 7.5, "each": each, "some": each * (rng.random(shape) < 0.5)}[kind]

    g = rng.uniform(1e-6, 1e-4, (rows, columns)) * (rng.random((rows, columns)) < 0.8)
    array = Crossbar(
        g,
        resistance((rows, columns)),
        resistance((rows, columns)),
        resistance((rows,)),
        resistance((columns,)),
        cell=draw(st.sampled_from(cells)),
    )
    return array, rng.uniform(-0.3, 0.3, rows)


def assert_agree(mine, theirs, array, v):
    """Agree to 1e-8; where currents of both signs cancel, of what the column would carry without cancelling."""
    scale = np.abs(v) @ array.g
    np.testing.assert_array_less(np.abs(mine - theirs), 1e-8 * np.maximum(np.abs(theirs), scale) + 1e-25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays())
def test_every_option_agrees_with_ngspice(tmp_path, drawn):
    array, v = drawn
    theirs = run(array.netlist(v), tmp_path, array.shape[1])
    assert_agree(array.currents(v), theirs, array, v)
    assert_agree(array.solve(v).currents[0], theirs, array, v)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(), st.floats(1.0, 1e4), st.floats(0.0, 1e12))
def test_ports_agree_with_ngspice(tmp_path, drawn, linear, cubic):
    """Cubic port laws, which a table with exact slopes holds exactly, written into the netlist as B-sources."""
    array, v = drawn
    grid = np.linspace(-1e-3, 1e-3, 101)

    def table(name, r, c):
        return PortTables(
            name=name,
            start=grid[0],
            step=grid[1] - grid[0],
            values=(r * grid + c * grid**3)[None],
            slopes=(r + 3 * c * grid**2)[None],
        )

    def source(name, plus, minus, r, c, i):
        return f"b{name} {plus} {minus} v={r!r}*i({i})+{c!r}*i({i})*i({i})*i({i})"

    solution = array.solve(v, senses=table("s", linear, cubic), drivers=table("d", 3.0, 1e8))
    text = re.sub(
        r"^vsense_(\d+) (\S+) 0 dc 0$",
        lambda m: (
            f"vsense_{m[1]} {m[2]} port_{m[1]} dc 0\n"
            + source(f"sense_{m[1]}", f"port_{m[1]}", "0", linear, cubic, f"vsense_{m[1]}")
        ),
        array.netlist(v),
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"^vin_(\d+) (\S+) 0 dc (\S+)$",
        lambda m: (
            f"vin_{m[1]} open_{m[1]} 0 dc {m[3]}\nvdroop_{m[1]} open_{m[1]} droop_{m[1]} dc 0\n"
            + source(f"droop_{m[1]}", f"droop_{m[1]}", m[2], 3.0, 1e8, f"vdroop_{m[1]}")
        ),
        text,
        flags=re.MULTILINE,
    )
    assert_agree(solution.currents[0], run(text, tmp_path, array.shape[1]), array, v)


@pytest.mark.parametrize("case", [c for c in CASES if len(c["v"][0]) <= 16], ids=lambda case: case["name"])
def test_netlists_of_the_references_run_as_they_stand(tmp_path, case):
    cell = Sinh(case["kappa"]) if case["cell"] == "sinh" else Linear()
    array = Crossbar(case["g"], case["r_word_line"], case["r_bit_line"], cell=cell)
    theirs = run(array.netlist(case["v"][0]), tmp_path, array.shape[1])
    np.testing.assert_allclose(theirs, case["currents"][0], rtol=1e-8)


def test_the_netlist_prints_its_currents_without_a_raw_file(tmp_path):
    path = tmp_path / "array.cir"
    path.write_text(Crossbar([[1e-5]], 1.0, 1.0).netlist([0.1]))
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "vsense_0#branch" in done.stdout
    assert "9.9998" in done.stdout
