"""Any array gives the currents that a plain ``ngspice -b`` finds for its netlist."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spicesim.cells import BiasedPolynomial, Linear, Polynomial, Selected, Sinh
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


class Diode:
    """A cell of a user's own: exponential, each of its own steepness, a little less steep where its bit line rises."""

    def __init__(self, rng, shape):
        self.steepness = rng.uniform(1.0, 3.0, shape)

    def current(self, g, v, u=0.0):
        k = self.steepness
        return np.asarray(g) * np.expm1(k * np.asarray(v)) / k * (1 - 0.3 * np.asarray(u))

    def slope(self, g, v, u=0.0):
        return np.asarray(g) * np.exp(self.steepness * np.asarray(v)) * (1 - 0.3 * np.asarray(u))

    def element(self, name, plus, minus, k, bias):
        v = "0" if plus == minus else f"(v({plus})-v({minus}))"
        i, j = map(int, name.split("_")[-2:])
        g, steepness = float(k[0, 0]), float(self.steepness[i, j])
        return f"b{name} {plus} {minus} i={g!r}*(exp({steepness!r}*{v})-1)/{steepness!r}*(1-0.3*{bias})"


def each_its_own(rng, shape):
    """Return a polynomial cell with coefficients for each cell."""
    return Polynomial(rng.uniform([0.8, 0.0, 0.5], [1.2, 0.4, 2.0], (*shape, 3)))


CELLS = [
    Linear(), Sinh(3.0), Polynomial([1.0, 0.2, 1.5]), BIASED, each_its_own, Selected(i0=1e-9, v0=0.02, kappa=2.0),
]  # fmt: skip
BATCH = 16  # enough for the solver that marches


def run(netlists, folder):
    """Run ngspice once for many netlists; return the probes of each."""
    lines = ["* many arrays", ".control", "set filetype=binary"]
    for k, text in enumerate(netlists):
        (folder / f"array_{k}.cir").write_text(text)
        (folder / f"array_{k}.raw").unlink(missing_ok=True)
        lines += [f"source {folder}/array_{k}.cir", "run", f"write {folder}/array_{k}.raw", "remcirc", "destroy all"]
    (folder / "all.cir").write_text("\n".join([*lines, "quit", ".endc", ".end"]) + "\n")
    done = subprocess.run(["ngspice", "-b", str(folder / "all.cir")], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return [read_raw(folder / f"array_{k}.raw")[0].vectors for k in range(len(netlists))]


def probes(vectors, name, columns):
    return np.array([vectors[f"i({name}_{j})"][0] for j in range(columns)])


@st.composite
def arrays(draw, cells=CELLS, options=True):
    """Arrays of all kinds, and an input: ends, wires scalar, a segment each, none or broken; stuck and open cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    drive = draw(st.sampled_from(["left", "right", "both"])) if options else "left"
    sense = draw(st.sampled_from(["bottom", "both"])) if options else "bottom"
    kinds = ["none", "scalar", "each", "some", *["broken"] * options]

    def resistance(shape, kinds):
        kind = draw(st.sampled_from(kinds))
        each = rng.uniform(1.0, 50.0, shape)
        broken = np.where(rng.random(shape) < 0.1, np.inf, each)
        return {"none": 0.0, "scalar": 7.5, "each": each, "some": each * (rng.random(shape) < 0.5), "broken": broken}[
            kind
        ]

    g = rng.uniform(1e-6, 1e-4, (rows, columns)) * (rng.random((rows, columns)) < 0.8)
    g[rng.random((rows, columns)) < 0.1] = 1e-4  # stuck at the low resistance
    cell = draw(st.sampled_from(cells))
    array = Crossbar(
        g,
        resistance((rows, columns + (drive == "both")), kinds),
        resistance((rows + (sense == "both"), columns), kinds),
        resistance((rows,), kinds[:4]),
        # two ends without resistance would be two ideal sources in parallel
        resistance((columns,), kinds[:4] if sense == "bottom" else ["scalar", "each"]),
        cell=cell(rng, g.shape) if callable(cell) else cell,
        drive=drive,
        sense=sense,
    )
    mask = (rng.random(rows) < 0.7).astype(float) if options and draw(st.booleans()) else None
    return array, rng.uniform(-0.3, 0.3, rows), mask


def assert_agree(mine, theirs, array, v):
    """Agree to 1e-8; where currents of both signs cancel, of what the column would carry without cancelling."""
    scale = np.maximum(np.abs(theirs), np.abs(v) @ array.g)
    np.testing.assert_array_less(np.abs(mine - theirs), 1e-8 * scale + 1e-22)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(arrays([*CELLS, Diode]), min_size=10, max_size=10))
def test_every_option_agrees_with_ngspice(tmp_path, drawn):
    """200 arrays: a few vectors by the general solver, many by the one that marches, in both precisions."""
    found = run([array.netlist(v, mask=mask) for array, v, mask in drawn], tmp_path)
    for (array, v, mask), vectors in zip(drawn, found, strict=True):
        theirs = probes(vectors, "vsense", array.shape[1])
        one = array.solve(v, mask=mask)
        if array.sense == "both":
            tops = probes(vectors, "vtop", array.shape[1])
            assert_agree(one.top_currents[0], tops, array, v)
            assert_agree(one.bottom_currents[0], theirs, array, v)
            theirs = theirs + tops
        assert_agree(one.currents[0], theirs, array, v)
        assert_agree(array.currents(v, mask=mask), theirs, array, v)
        many = np.tile(v, (BATCH, 1))
        assert_agree(array.solve(many, mask=mask).currents[-1], theirs, array, v)
        single = array.currents(many, mask=mask, precision="single")[-1]
        assert np.abs(single - theirs).max() <= 3e-5 * (np.abs(v) @ array.g).max() + 1e-22


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(arrays(options=False), st.floats(1.0, 1e4), st.floats(0.0, 1e12))
def test_ports_agree_with_ngspice(tmp_path, drawn, linear, cubic):
    """Cubic port laws, which a table with exact slopes holds exactly, written into the netlist as B-sources."""
    array, v, _ = drawn
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
    (vectors,) = run([text], tmp_path)
    assert_agree(solution.currents[0], probes(vectors, "vsense", array.shape[1]), array, v)


@pytest.mark.parametrize("case", [c for c in CASES if len(c["v"][0]) <= 16], ids=lambda case: case["name"])
def test_netlists_of_the_references_run_as_they_stand(tmp_path, case):
    cell = Sinh(case["kappa"]) if case["cell"] == "sinh" else Linear()
    array = Crossbar(case["g"], case["r_word_line"], case["r_bit_line"], cell=cell)
    (vectors,) = run([array.netlist(case["v"][0])], tmp_path)
    theirs = probes(vectors, "vsense", array.shape[1])
    np.testing.assert_allclose(theirs, case["currents"][0], rtol=1e-8)


def test_the_netlist_prints_its_currents_without_a_raw_file(tmp_path):
    path = tmp_path / "array.cir"
    path.write_text(Crossbar([[1e-5]], 1.0, 1.0).netlist([0.1]))
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0
    assert "vsense_0#branch" in done.stdout
    assert "9.9998" in done.stdout


@pytest.mark.parametrize("cell", [Linear(), Sinh(3.0), BIASED])
def test_open_feet_float_as_they_do_in_ngspice(tmp_path, cell):
    rng = np.random.default_rng(8)
    g = rng.uniform(1e-6, 5e-5, (6, 5))
    ohm = np.where(np.arange(5) % 2, 40.0, np.inf)
    array, v = Crossbar(g, 2.0, 3.0, 50.0, ohm, cell), rng.uniform(-0.2, 0.2, 6)
    (vectors,) = run([array.netlist(v)], tmp_path)
    found = array.solve(v)
    theirs = np.array([float(np.ravel(vectors[f"v(bl_{j})"])[0].real) for j in (0, 2, 4)])
    np.testing.assert_allclose(found.foot_voltages[0, ::2], theirs, rtol=1e-7, atol=1e-9 * 0.2)
    theirs = np.array([float(np.ravel(vectors[f"i(vsense_{j})"])[0].real) for j in (1, 3)])
    np.testing.assert_allclose(found.currents[0, 1::2], theirs, rtol=1e-7, atol=1e-9 * g.max() * 0.2)
