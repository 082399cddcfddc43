"""A testbench of one's own around exported tiles, and changed PySpice circuits, in ngspice."""

import dataclasses
import subprocess

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.netlist import build_crossbar, build_tile, embed
from spicesim.netlist.impedance import with_source_resistances
from spicesim.ngspice.batch import BatchSimulator

G = np.random.default_rng(3).uniform(1e-6, 1e-5, (4, 2))


def outputs(netlist, probes):
    (plot,) = BatchSimulator().run(netlist)
    return np.array([plot.vectors[probe].ravel()[-1] for probe in probes])


def tile(name, codes=None):
    chip = preset(name)
    codes = np.array([0, 1, 1, 0]) if chip.dac.kind == "bits" and not chip.hold.adds_planes else codes
    codes = np.array([7, 0, 255, 130]) if codes is None else codes
    return chip, build_tile(chip, G, codes, polarity=chip.polarities[0], r_feedback=max(chip.settings))


@pytest.mark.parametrize("name", ["gf180-1t1r", "gf180-bits", "gf180-gate", "gf180-voltage", "gf180-pulse"])
def test_a_tile_gives_the_same_within_a_subcircuit(name):
    chip, built = tile(name)
    bench = embed(chip, built, "core").bench
    probes = ["v(out_0)", "v(out_1)"]
    # what is left is ngspice's own tolerance: it eliminates nodes in another order
    np.testing.assert_allclose(outputs(bench, probes), outputs(built, probes), rtol=1e-6)


def test_two_tiles_on_two_supplies_in_a_bench_of_one_s_own(tmp_path):
    chip, built = tile("gf180-1t1r")
    core = embed(chip, built, "core")
    (tmp_path / "core.cir").write_text(core.format())
    models = [line for line in built.body.splitlines() if line.startswith((".lib", ".temp"))]

    def call(k):
        """Instantiate one whose supply, ground and outputs have a number."""
        words = []
        for port in core.ports:
            if port.startswith("d_"):
                words.append(f"vdd{k}" if built_bit(built, port) else "0")
            elif port.startswith("out_") or port == "vdd":
                words.append(f"{port}{k}")
            else:
                words.append("0" if port == "vss" else port)
        return f"x{k} {' '.join(words)} core"

    lines = [
        "a bench of my own", *models, ".include 'core.cir'",
        "vdd1 vdd1 0 3.3", "vdd2 vdd2 0 3.0", "vref vref 0 1.65", "vgate gate 0 3.3",
        "vlo vlo vref 0", "vhi vhi vref 0.2", call(1), call(2),
        ".options klu reltol=1e-6 vntol=1e-9 abstol=1e-13", ".control", "set numdgt=12", "op",
        *(f"print v(out_{j}{k})" for k in (1, 2) for j in (0, 1)), ".endc", ".end",
    ]  # fmt: skip
    (tmp_path / "bench.cir").write_text("\n".join([*lines, ""]))
    said = subprocess.run(
        ["ngspice", "-n", "-b", "bench.cir"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = [float(line.split("=")[1]) for line in said.stdout.splitlines() if line.startswith("v(out_")]
    assert len(found) == 4, said.stdout + said.stderr
    probes = ["v(out_0)", "v(out_1)"]
    np.testing.assert_allclose(found[:2], outputs(built, probes), rtol=1e-6)
    other = dataclasses.replace(built, body=built.body.replace("vdd vdd 0 3.3", "vdd vdd 0 3.0"))
    np.testing.assert_allclose(found[2:], outputs(other, probes), rtol=1e-6)


def built_bit(built, port):
    """Return whether a bit is tied to the supply in the tile that was exported."""
    if not port.startswith("d_"):
        return True
    _, row, bit = port.split("_")
    (line,) = [line for line in built.body.splitlines() if line.startswith(f"xdac_{row} ")]
    return line.split()[2 + int(bit)] == "vdd"


def test_a_pyspice_circuit_is_the_same_circuit_and_its_changes_count():
    _, built = tile("gf180-1t1r")
    probes = ["v(out_0)", "v(out_1)"]

    def run(circuit):
        body = str(circuit).split("\n", 1)[1]  # its title is a card
        return outputs(dataclasses.replace(built, body=body, nodesets={}), probes)

    before = outputs(built, probes)
    circuit = built.circuit()
    np.testing.assert_allclose(run(circuit), before, rtol=1e-9)
    circuit["xc_2_1"].parameters["g"] = 5e-5
    changed = G.copy()
    changed[2, 1] = 5e-5
    chip = preset("gf180-1t1r")
    wanted = build_tile(chip, changed, np.array([7, 0, 255, 130]), polarity="unipolar", r_feedback=max(chip.settings))
    np.testing.assert_allclose(run(circuit), outputs(wanted, probes), rtol=1e-9)
    assert abs(run(circuit)[1] - before[1]) > 1e-2
    circuit["cell_1t1r"]["m1"].width = "20u"
    assert abs(run(circuit)[0] - before[0]) > 1e-5


def test_a_resistance_before_a_supply_drops_what_the_circuit_draws():
    _, built = tile("gf180-1t1r")
    behind = with_source_resistances(built, {"vdd": 5.0})
    probes = ("v(vdd)", "i(vdd)", "v(vdd_pad)")
    v, i, source = outputs(dataclasses.replace(behind, probes=probes), probes)
    assert source - v == pytest.approx(-5 * i, rel=1e-6)
    assert source - v > 1e-3


def test_bit_lines_of_an_exported_crossbar_can_be_held_elsewhere():
    """Both with the bit lines at the reference and, in a bench of one's own, above it: currents follow the cells."""
    chip = preset("generic-1t1r")
    v = [0.1, 0.2, 0.0, -0.1]
    built = build_crossbar(chip, G, v)
    bench = embed(chip, built, "xbar").bench
    probes = ["i(vsense_0)", "i(vsense_1)"]
    np.testing.assert_allclose(outputs(bench, probes), outputs(built, probes), rtol=1e-9)
    higher = dataclasses.replace(bench, body=bench.body.replace("vsense_0 foot_0 vref 0", "vsense_0 foot_0 vref 0.05"))
    lower = outputs(bench, probes)[0] - outputs(higher, probes)[0]
    assert lower == pytest.approx(0.05 * G[:, 0].sum(), rel=0.1)  # the transistor and the wires in series
