"""Parameters hidden in netlists come back from simulated currents and voltages alone, and lie in their intervals."""

import numpy as np
import pytest

from spicesim.calibration.laws import fit_amplifier, fit_driver
from spicesim.calibration.patterns import random_conductances
from spicesim.calibration.silicon import fit_measurements, read_measurements
from spicesim.calibration.wires import WIRES, fit_wires
from spicesim.cells import Sinh
from spicesim.chip import preset
from spicesim.crossbar import Crossbar
from spicesim.netlist import build_crossbar
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.sampling import run_all

pytestmark = pytest.mark.long

SEEDS = range(10)


def bare_array(seed):
    """Return a chip of sinh cells with hidden wires, conductances, inputs, and ngspice's netlists."""
    rng = np.random.default_rng(seed)
    r_word_line, r_bit_line = rng.uniform(0.5, 5, 2)
    chip = preset("generic-1t1r").changed(
        array={"r_word_line": float(r_word_line), "r_bit_line": float(r_bit_line)}, cell={"kind": "1r", "kappa": 2.0}
    )
    g = random_conductances((8, 8), chip.cell.g_min, chip.cell.g_max, rng)
    v = rng.uniform(-0.2, 0.2, (3, 8))
    return chip, g, v, [build_crossbar(chip, g, vector) for vector in v]


@pytest.fixture(scope="module")
def arrays():
    """Ten arrays, simulated."""
    cases = [bare_array(seed) for seed in SEEDS]
    results = iter(run_all([netlist for case in cases for netlist in case[3]]))
    found = []
    for chip, g, v, netlists in cases:
        vectors = [next(results)[0].vectors for _ in netlists]
        currents = np.array([[point[f"i(vsense_{j})"][0].real for j in range(8)] for point in vectors])
        found.append((chip.array.r_word_line, chip.array.r_bit_line, g, v, currents))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_wires_come_back_to_a_thousandth(arrays, seed):
    r_word_line, r_bit_line, g, v, currents = arrays[seed]
    fit = fit_wires(g, v, currents, cell=Sinh(2.0))
    assert fit.values == pytest.approx({"r_word_line": r_word_line, "r_bit_line": r_bit_line}, rel=1e-3)


def test_wires_lie_in_the_intervals_of_noisy_tables(arrays, tmp_path):
    """0.1 % of noise, drawn five times, over a CSV file as from silicon; ten arrays with two resistances each."""
    inside = []
    head = ",".join([*(f"v_{k}_V" for k in range(8)), *(f"i_{k}_A" for k in range(8))])
    for seed, (r_word_line, r_bit_line, g, v, currents) in enumerate(arrays):
        rng = np.random.default_rng(seed)
        for _ in range(5):
            noise = 1e-3 * np.abs(currents).max() * rng.standard_normal(currents.shape)
            path = tmp_path / f"{seed}.csv"
            np.savetxt(path, np.hstack([v, currents + noise]), header=head, delimiter=",", comments="")
            fit = fit_measurements(read_measurements(path), conductances=g, cell=Sinh(2.0))["array"]
            truth = {"r_word_line": r_word_line, "r_bit_line": r_bit_line}
            assert set(fit.parameters) | set(fit.unidentifiable) == set(truth)
            inside += [p.interval[0] <= truth[name] <= p.interval[1] for name, p in fit.parameters.items()]
    assert len(inside) >= 60
    assert 0.9 <= np.mean(inside) <= 0.99


def five_resistances(seed):
    """Return an array with five hidden resistances, its inputs, and ngspice's netlists."""
    rng = np.random.default_rng(seed)
    truth = {
        name: float(rng.uniform(low, 10 * low))
        for name, low in zip(list(WIRES)[:5], (0.5, 0.5, 5.0, 5.0, 50.0), strict=True)
    }
    g, v = rng.uniform(1e-6, 5e-5, (8, 8)), rng.uniform(0, 0.2, (5, 8))
    array = Crossbar(g / (1 + truth["r_contact"] * g), *list(truth.values())[:4])
    bodies = [array.netlist(vector).partition("\n.op\n")[0].partition("\n.options")[2] for vector in v]
    probes = tuple(f"i(vsense_{j})" for j in range(8))
    return truth, g, v, [Netlist(title="array", body=f"*{body}", probes=probes) for body in bodies]


def test_drivers_senses_and_contacts_come_back_with_the_wires():
    cases = [five_resistances(seed) for seed in SEEDS]
    results = iter(run_all([netlist for case in cases for netlist in case[3]]))
    for truth, g, v, netlists in cases:
        vectors = [next(results)[0].vectors for _ in netlists]
        currents = np.array([[point[f"i(vsense_{j})"][0].real for j in range(8)] for point in vectors])
        fit = fit_wires(g, v, currents, wanted=tuple(truth))
        assert fit.values == pytest.approx(truth, rel=1e-3)


@pytest.fixture(scope="module")
def amplifiers():
    """Ten amplifiers at transistor level with hidden feedback resistors."""
    hidden = [float(np.random.default_rng(seed).uniform(8e3, 9e4)) for seed in SEEDS]
    chip = preset("generic-1t1r")
    netlists = [build_sense_amplifier(chip, r, 1.5 / r, 101) for r in hidden]
    return list(zip(hidden, run_all(netlists), strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_feedback_resistors_come_back_to_a_ten_thousandth(amplifiers, seed):
    hidden, results = amplifiers[seed]
    vectors = results[0].vectors
    i = np.linspace(-1.5 / hidden, 1.5 / hidden, 101)
    fit = fit_amplifier(i, 1.65 - vectors["v(out)"].real, vectors["v(sense)"].real - 1.65, r_feedback=2e4)
    assert fit.values["r_feedback"] == pytest.approx(hidden, rel=1e-4)
    assert fit.parameters["r_feedback"].interval[0] <= hidden <= fit.parameters["r_feedback"].interval[1]


BITS = 6


def ladder(seed):
    """Return an R-2R ladder with mismatched resistors and an output resistance, and what nodal analysis says of it."""
    rng = np.random.default_rng(seed)
    end, *legs = 4e4 * rng.normal(1, 0.01, BITS + 1)
    rungs = 2e4 * rng.normal(1, 0.01, BITS - 1)
    offset, r_out = rng.normal(0, 2e-3), rng.uniform(1, 5)
    admittance = np.diag([1 / leg for leg in legs])
    admittance[0, 0] += 1 / end
    for k, rung in enumerate(rungs):
        admittance[k : k + 2, k : k + 2] += np.array([[1, -1], [-1, 1]]) / rung
    weights = 0.2 * np.linalg.inv(admittance)[-1] / np.array(legs)
    lines = ["vcode code 0 0", "iload out 0 0", f"rend n0 0 {float(end)!r}"]
    lines += [f"rrung_{k} n{k} n{k + 1} {float(rung)!r}" for k, rung in enumerate(rungs)]
    for k, leg in enumerate(legs):
        scaled = f"(v(code)+0.5)/{2**k}"
        lines.append(f"bbit_{k} b{k} 0 v=0.2*(floor({scaled})-2*floor({scaled}/2))")
        lines.append(f"rleg_{k} b{k} n{k} {float(leg)!r}")
    lines += [f"voffset buffered shifted {float(offset)!r}", f"ebuffer shifted 0 n{BITS - 1} 0 1"]
    lines.append(f"rout buffered out {r_out!r}")
    netlist = Netlist(
        title="ladder", body="\n".join(lines), probes=("v(out)", "v(code)"),
        analyses=(f".dc iload -1e-3 1.1e-3 1e-3 vcode 0 {2**BITS - 1} 1",),
    )  # fmt: skip
    return netlist, {f"weight_{k}": w for k, w in enumerate(weights)} | {"offset": offset, "r_out": r_out}


def test_weights_of_mismatched_ladders_come_back_to_a_ten_thousandth_of_full_scale():
    cases = [ladder(seed) for seed in SEEDS]
    for (_, truth), results in zip(cases, run_all([netlist for netlist, _ in cases]), strict=True):
        vectors = results[0].vectors
        codes = np.rint(vectors["v(code)"].real)
        load = np.tile([-1e-3, 0.0, 1e-3], 2**BITS)
        fit = fit_driver(codes, load, vectors["v(out)"].real, bits=BITS, v_span=0.2)
        assert set(fit.parameters) == set(truth)
        for name, value in truth.items():
            assert abs(fit.values[name] - value) <= (1e-4 * value if name == "r_out" else 1e-4 * 0.2)
