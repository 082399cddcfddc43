"""Arrays as netlists: large ones are written and solved in time, and their wires obey physics."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from simulation import run
from spicesim.chip import preset
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError
from spicesim.netlist import ARRANGEMENTS, Parasitics, arrange_weights, build_crossbar, build_tile

LINEAR = preset("generic-1t1r").changed(cell={"kind": "1r", "kappa": 0.0}, dac={"v_span": 1.0})


def tile_text(size):
    g, codes = np.full((size, size), 2e-5), np.arange(size)
    return build_tile(preset("generic-1t1r"), g, codes, polarity="unipolar", r_feedback=5e3).format()


def array_text(size):
    return build_crossbar(LINEAR, np.full((size, size), 2e-5), np.full(size, 0.1)).format()


def count_calls(work, *arguments):
    """Count the calls of Python and C functions, which unlike seconds are the same on every machine."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work(*arguments)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("write", [tile_text, array_text])
def test_each_cell_of_a_netlist_is_as_much_work_in_large_arrays_as_in_small(write):
    """How many seconds that takes is told by scripts/bench kernels."""
    write(4)  # what is made once
    calls = {size: count_calls(write, size) for size in (32, 64, 128)}
    small, large = ((calls[2 * size] - calls[size]) / (3 * size**2) for size in (32, 64))
    assert large < 1.05 * small
    assert large < 20


def test_a_large_tile_is_written_in_200_megabytes(tmp_path):
    """Of the whole process, imports included."""
    program = (
        "import numpy as np; from spicesim.chip import preset; from spicesim.netlist import build_tile;"
        "g = np.random.default_rng(1).uniform(1e-6, 50e-6, (128, 128));"
        "tile = build_tile(preset('generic-1t1r'), g, np.arange(128), polarity='unipolar', r_feedback=5e3);"
        "tile.write('tile.cir'); print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert int(ran.stdout) * 1024 < 200e6


def test_capacitance_of_bit_lines_and_geometry_reach_a_transient():
    """A cell that charges the far end of its bit line through the wire's own RC: Elmore, by the geometry's numbers."""
    wire = {"width": "27 nm", "thickness": "22 nm", "length": "20 um", "height": "40 nm", "pitch": "54 nm"}
    chip = LINEAR.changed(array={"r_word_line": 0.0, "r_bit_line": wire, "c_bit_line": wire})
    rows, r, c = 10, chip.array.r_bit_line, chip.array.c_bit_line
    g = np.zeros((rows, 1))
    g[0] = 1e-12  # nothing but a name for the far node
    netlist = build_crossbar(chip, g, np.zeros(rows))
    # the virtual ground steps, so the line charges from its foot
    body = netlist.body.replace("vsense_0 foot_0 vref 0", "vsense_0 foot_0 vref pulse(0 1 0 1p 1p 1 2)")
    assert body != netlist.body
    elmore = r * c * rows**2 / 2
    netlist = dataclasses.replace(
        netlist, body=body, probes=("v(bl_0_0)", "v(vref)", "time"), analyses=(f".tran {elmore / 200} {10 * elmore}",)
    )
    found = run(netlist)
    rise = 1 - (found["v(bl_0_0)"] - found["v(vref)"])
    assert np.trapezoid(rise, found["time"]) == pytest.approx(elmore, rel=1e-2)


def test_wires_of_the_netlist_are_those_of_the_array():
    g = np.random.default_rng(2).uniform(1e-6, 50e-6, (6, 5))
    v = np.linspace(0.05, 0.2, 6)
    chip = LINEAR.changed(array={"r_word_line": 7.0, "r_bit_line": 3.0})
    found = run(build_crossbar(chip, g, v))
    expected = Crossbar(g, 7.0, 3.0).currents(v)
    np.testing.assert_allclose([found[f"i(vsense_{j})"][0] for j in range(5)], expected, rtol=1e-6)


def test_driving_both_ends_mirrors():
    """One cell in the middle of a row of three sees its source through both halves in parallel."""
    g = np.array([[0.0, 50e-6, 0.0]])
    chip = LINEAR.changed(array={"r_word_line": 1000.0, "r_bit_line": 0.0})
    for both_ends, r_wire in ((False, 2000.0), (True, 1000.0)):
        wires = Parasitics.of_chip(chip, 1, 3, both_ends=both_ends)
        found = run(build_crossbar(chip, g, [0.2], parasitics=wires))
        assert found["i(vsense_1)"][0] == pytest.approx(0.2 / (1 / 50e-6 + r_wire), rel=1e-6)


def test_a_line_charges_with_its_elmore_delay():
    """Ten segments of 1 kohm and 1 pF with a far cell: the far node's delay is sum(R C) to within the ladder's form."""
    columns, r, c = 10, 1e3, 1e-12
    chip = LINEAR.changed(array={"r_word_line": r, "c_word_line": c, "r_bit_line": 0.0})
    g = np.zeros((1, columns))
    g[0, -1] = 1e-9
    netlist = build_crossbar(chip, g, [0.0])
    body = netlist.body.replace("vin_0 in_0 vref 0.0", "vin_0 in_0 vref pulse(0 1 0 1p 1p 1 2)")
    assert body != netlist.body
    fields = {name: getattr(netlist, name) for name in netlist.__slots__}
    probes = ("v(wl_0_9)", "v(vref)")
    found = run(type(netlist)(**fields | {"body": body, "probes": probes, "analyses": (".tran 0.2n 400n",)}))
    rise = 1 - (found["v(wl_0_9)"] - found["v(vref)"])
    elmore = r * c * columns**2 / 2  # halves at both ends: exactly that of the distributed line
    assert np.trapezoid(rise, found["time"]) == pytest.approx(elmore, rel=5e-3)


def test_extracted_segments_are_those_of_the_array():
    rng = np.random.default_rng(4)
    g, v = rng.uniform(1e-6, 50e-6, (4, 3)), np.array([0.1, 0.2, 0.05, 0.15])
    word, bit = rng.uniform(0, 50, (4, 3)), rng.uniform(0, 50, (4, 3))
    none = np.zeros((4, 3))
    wires = Parasitics(r_word_line=word, r_bit_line=bit, c_word_line=none, c_bit_line=none)
    found = run(build_crossbar(LINEAR, g, v, parasitics=wires))
    expected = Crossbar(g, word, bit).currents(v)
    np.testing.assert_allclose([found[f"i(vsense_{j})"][0] for j in range(3)], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ARRANGEMENTS)
@pytest.mark.parametrize(("slices", "bits"), [(1, None), (1, 4), (3, 2)])
def test_arranged_weights_multiply(kind, slices, bits):
    """Without wires the decoded currents of the array are the weights, as programmed, times the voltages."""
    w = np.random.default_rng(5).normal(size=(3, 4))
    arranged = arrange_weights(w, kind, (1e-6, 50e-6), slices=slices, bits=bits)
    v = np.array([0.1, 0.2, 0.0, 0.15])
    chip = LINEAR.changed(array={"r_word_line": 0.0, "r_bit_line": 0.0})
    found = run(build_crossbar(chip, arranged, v))
    currents = [found[f"i(vsense_{j})"][0] for j in range(arranged.g.shape[1])]
    expected = arranged.weights @ v
    np.testing.assert_allclose(arranged.decode(currents), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_gate_driven_array_adds_the_rows_that_are_on():
    """With the word lines at one voltage, the inputs are gates: off rows give nothing, on rows their own current."""
    chip = preset("generic-1t1r").changed(array={"r_word_line": 0.0, "r_bit_line": 0.0})
    g, v = np.array([[10e-6, 40e-6], [20e-6, 5e-6], [50e-6, 1e-6]]), [0.2, 0.2, 0.2]
    supply = chip.process.supply

    def currents(*on):
        found = run(build_crossbar(chip, g, v, gates=[supply * bit for bit in on]))
        return np.array([found[f"i(vsense_{j})"][0] for j in range(2)])

    alone = [currents(*(k == row for k in range(3))) for row in range(3)]
    np.testing.assert_allclose(currents(1, 0, 1), alone[0] + alone[2], rtol=1e-4)
    np.testing.assert_allclose(currents(0, 0, 0), 0, atol=1e-11)
    every = run(build_crossbar(chip, g, v))
    np.testing.assert_allclose(currents(1, 1, 1), [every[f"i(vsense_{j})"][0] for j in range(2)], rtol=1e-9)


def test_cells_without_transistors_have_no_gates():
    with pytest.raises(SpecError, match="no gates to drive"):
        build_crossbar(LINEAR, [[1e-5]], [0.1], gates=[3.3])


def test_a_gate_driven_tile_reads_the_rows_that_are_on():
    chip = preset("generic-1t1r").changed(dac={"bits": 4})
    g = np.full((2, 1), 20e-6)
    outs = []
    for gates in ([3.3, 0.0], [3.3, 3.3]):
        found = run(build_tile(chip, g, [15, 15], polarity="unipolar", r_feedback=40e3, gates=gates))
        outs.append(chip.sense_amplifier.v_reference - found["v(out_0)"][0])
    assert outs[1] == pytest.approx(2 * outs[0], rel=0.02)


def test_both_ends_are_those_of_the_array():
    rng = np.random.default_rng(6)
    g, v = rng.uniform(1e-6, 50e-6, (4, 3)), np.array([0.1, 0.2, 0.05, 0.15])
    word, bit = rng.uniform(1, 50, (4, 4)), rng.uniform(1, 50, (4, 3))
    wires = Parasitics(r_word_line=word, r_bit_line=bit, c_word_line=0 * word, c_bit_line=0 * bit)
    found = run(build_crossbar(LINEAR, g, v, parasitics=wires))
    expected = Crossbar(g, word, bit, drive="both").currents(v)
    np.testing.assert_allclose([found[f"i(vsense_{j})"][0] for j in range(3)], expected, rtol=1e-6)
