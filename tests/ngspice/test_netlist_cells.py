"""Arrays of cells with selectors and of differential cells, and tiles with all their options."""

import dataclasses

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.netlist import Parasitics, arrange_weights, build_cell, build_crossbar, build_tile
from spicesim.ngspice.batch import BatchSimulator

GENERIC = preset("generic-1t1r")
SELECTORS = GENERIC.changed(cell={"kind": "1s1r"}, dac={"v_span": 1.5}, array={"r_word_line": 40.0, "r_bit_line": 25.0})
PAIRS = GENERIC.changed(cell={"kind": "2t2r"}, array={"r_word_line": 7.0, "r_bit_line": 3.0})
G = np.array([[5e-6, 40e-6, 12e-6, 1e-6], [25e-6, 8e-6, 50e-6, 30e-6], [18e-6, 3e-6, 22e-6, 45e-6]])
V = np.array([0.2, 0.05, 0.15])


def run(netlist, *probes):
    (plot,) = BatchSimulator().run(dataclasses.replace(netlist, probes=(*netlist.probes, *probes)))
    return plot.vectors


def feet(netlist):
    found = run(netlist)
    return np.array([found[f"i(vsense_{j})"][0] for j in range(G.shape[1])])


def test_currents_of_an_array_with_selectors_are_those_of_its_cells_at_their_nodes():
    """By Kirchhoff's law, each cell by its two formulas at the node voltages that the wires leave it."""
    g = np.where(G == 12e-6, 0, G)
    nodes = [f"v({line}_{i}_{j})" for line in ("wl", "bl") for i, j in np.ndindex(G.shape)]
    found = run(build_crossbar(SELECTORS, g, [1.5, 0.9, 1.2]), *nodes)
    v = np.array([[found[f"v(wl_{i}_{j})"][0] - found[f"v(bl_{i}_{j})"][0] for j in range(4)] for i in range(3)])
    assert v[0].min() < 1.5 - 2e-3, "the wires take their share"
    low, high = np.zeros_like(v), np.full_like(v, 1e-3)
    for _ in range(60):  # bisection: the voltages that a current asks of device and selector add up to the cell's
        i = (low + high) / 2
        needed = np.arcsinh(i / np.where(g > 0, g, 1)) + 0.045 * np.arcsinh(i / 1e-12)
        low, high = np.where(needed < v, i, low), np.where(needed < v, high, i)
    expected = np.where(g > 0, (low + high) / 2, 0).sum(axis=0)
    np.testing.assert_allclose([found[f"i(vsense_{j})"][0] for j in range(4)], expected, rtol=1e-5)


def test_half_selected_rows_add_no_more_than_their_selectors_let_through():
    def added(chip):
        on, half = (feet(build_crossbar(chip, G, [1.5, v, v])) for v in (0.0, 0.5))
        return half - on

    leak = 2 * 1e-12 * np.sinh(0.5 / 0.045)  # of two cells, were all the voltage at the selector
    assert (added(SELECTORS) > 0.8 * leak).all()
    assert (added(SELECTORS) < leak).all()
    without = SELECTORS.changed(cell={"kind": "1r"})
    assert added(without).min() > 50 * leak


@pytest.mark.parametrize("both_ends", [False, True])
def test_differential_cells_are_cells_with_transistors_whose_two_columns_share_the_word_line(both_ends):
    paired = feet(build_crossbar(PAIRS, G, V, parasitics=Parasitics.of_chip(PAIRS, 3, 4, both_ends=both_ends)))
    word = np.full((3, 4 + both_ends), 7.0)
    word[:, 1:4:2] = 0
    wires = Parasitics(r_word_line=word, r_bit_line=np.full((3, 4), 3.0), c_word_line=0 * word, c_bit_line=0 * G)
    alone = feet(build_crossbar(PAIRS.changed(cell={"kind": "1t1r"}), G, V, parasitics=wires))
    np.testing.assert_allclose(paired, alone, rtol=1e-9)


@pytest.mark.parametrize("kind", ["1s1r", "2t2r"])
@pytest.mark.parametrize("device", ["pcm", "ecram", "resistor"])
def test_selectors_and_pairs_take_any_device(kind, device):
    """PCM is RRAM at these voltages, ECRAM a resistor but for its gate's leak."""
    chip = SELECTORS if kind == "1s1r" else PAIRS
    v = 6 * V if kind == "1s1r" else V
    like = {"kappa": 1.0 if device == "pcm" else 0.0}
    found = feet(build_crossbar(chip.changed(cell=like | ({} if device == "resistor" else {"device": device})), G, v))
    expected = feet(build_crossbar(chip.changed(cell={"kappa": like["kappa"]}), G, v))
    np.testing.assert_allclose(found, expected, rtol=1e-9 if device != "ecram" else 1e-4)
    if device == "resistor":
        assert (found < feet(build_crossbar(chip, G, v))).all(), "sinh adds to the current"


def test_one_differential_cell_carries_its_weight_and_its_sign():
    found = run(build_cell(PAIRS, 30e-6, v_limit=0.1))
    v = found["v(wl)"] - found["v(bl)"]
    positive, negative = (np.polyfit(v, found[f"i(vsense_{k})"], 1)[0] for k in (0, 1))
    assert 0.85 * 30e-6 < positive < 30e-6
    assert negative == pytest.approx(PAIRS.cell.g_min, rel=0.02)


def test_a_tile_of_differential_cells_multiplies_by_its_weights():
    """Amplifiers and DACs at transistor level: products within a hundredth of the largest."""
    chip = PAIRS.changed(dac={"bits": 4}, cell={"access_width": 20e-6})
    w = np.array([[1.0, -0.5, 0.25], [-0.75, 0.1, 0.6]])
    arranged = arrange_weights(w, "differential", (chip.cell.g_min, chip.cell.g_max))
    outputs = []
    for codes in ([15, 6, 10], [0, 0, 0]):  # differences, as offsets are not of interest
        found = run(build_tile(chip, arranged, codes, polarity="unipolar", r_feedback=20e3))
        outputs.append(arranged.decode([-found[f"v(out_{j})"][0] / 20e3 for j in range(4)]))
    expected = w @ (np.array([15, 6, 10]) / 16 * chip.dac.v_span)
    np.testing.assert_allclose(outputs[0] - outputs[1], expected, rtol=0, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["reference", "differential"])
def test_a_tile_of_bit_sliced_weights_multiplies_by_them(kind):
    chip = GENERIC.changed(
        dac={"bits": 4}, cell={"kind": "1r", "kappa": 0.0}, array={"r_word_line": 0.0, "r_bit_line": 0.0}
    )
    w = np.array([[1.0, -0.5, 0.25]])
    arranged = arrange_weights(w, kind, (1e-6, 50e-6), slices=2, bits=2)
    outputs = []
    for codes in ([15, 6, 10], [0, 0, 0]):
        found = run(build_tile(chip, arranged, codes, polarity="unipolar", r_feedback=20e3))
        outputs.append(arranged.decode([-found[f"v(out_{j})"][0] / 20e3 for j in range(arranged.g.shape[1])]))
    expected = arranged.weights @ (np.array([15, 6, 10]) / 16 * chip.dac.v_span)
    np.testing.assert_allclose(outputs[0] - outputs[1], expected, rtol=0, atol=0.02 * np.abs(expected).max())


def test_a_tile_driven_from_both_ends_halves_the_wires_drop():
    """Columns of one row behind a long line: currents fall along it as between ideal sources."""
    chip = GENERIC.changed(dac={"bits": 4}, cell={"kind": "1r", "kappa": 0.0}, array={"r_word_line": 500.0})
    g = np.full((1, 4), 50e-6)
    for both_ends in (False, True):
        wires = Parasitics.of_chip(chip, 1, 4, both_ends=both_ends)
        tile = run(build_tile(chip, g, [15], polarity="unipolar", r_feedback=20e3, parasitics=wires))
        ideal = feet(build_crossbar(chip, g, [15 / 16 * 0.2], parasitics=wires))
        found = np.array([tile[f"i(vsense_{j})"][0] for j in range(4)])
        np.testing.assert_allclose(found / found[0], ideal / ideal[0], rtol=5e-3)
        assert (found[-1] > 0.98 * found[0]) == both_ends
