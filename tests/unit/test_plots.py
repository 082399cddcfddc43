import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from spicesim.calibration.calibration import Calibration
from spicesim.plots import (
    figure_svg,
    plot_accuracies,
    plot_cell,
    plot_cell_bias,
    plot_cell_nonlinearity,
    plot_confusion,
    plot_dac,
    plot_dac_load,
    plot_error_by_vector,
    plot_ir_drop,
    plot_ir_drop_profile,
    plot_layer_snr,
    plot_parity,
    plot_residuals,
    plot_sense_amplifier_input,
    plot_sense_amplifier_output,
    plot_virtual_ground,
)
from spicesim.plots.figure import prefixed


@pytest.fixture(scope="session")
def calibration(small_calibration) -> Calibration:
    return small_calibration


def block_figures(calibration):
    held = calibration.held_out
    output, sense = (
        {m.r_feedback: held[f"TIA {side}, {m.r_feedback / 1e3:g} kohm"] for m in calibration.senseamps}
        for side in ("output", "input")
    )
    return {
        "dac": plot_dac(calibration.dacs, calibration.chip.dac),
        "load": plot_dac_load(calibration.dacs["bipolar"], held["DAC output, bipolar"]),
        "output": plot_sense_amplifier_output(calibration.senseamps, output),
        "input": plot_sense_amplifier_input(calibration.senseamps, sense),
        "ground": plot_virtual_ground(calibration.senseamps, sense),
        "cell": plot_cell(calibration.cell, held["cell current"]),
        "nonlinearity": plot_cell_nonlinearity(calibration.cell, held["cell current"]),
        "bias": plot_cell_bias(calibration.cell),
        "residuals": plot_residuals({"cell": held["cell current"]}, "v [V]"),
    }


def network_figures():
    rng = np.random.default_rng(1)
    volts = rng.uniform(-1, 1, 3000)
    return {
        "accuracy": plot_accuracies(["digital", "exact"], [0.98, 0.97]),
        "snr": plot_layer_snr(["a", "b", "c"], [31.0, np.inf, np.nan]),
        "confusion": plot_confusion(rng.integers(0, 9, (10, 10)), [str(k) for k in range(10)]),
        "many classes": plot_confusion(rng.integers(0, 9, (100, 100)), [str(k) for k in range(100)]),
        "map": plot_ir_drop(rng.uniform(0, 1e-2, (16, 8))),
        "profile": plot_ir_drop_profile(rng.uniform(0, 1e-2, (16, 8))),
        "parity": plot_parity(volts, volts + 1e-6, 1.6, volts > 0.9),
        "vectors": plot_error_by_vector(["all on", "random", "random"], [1e-6, 2e-6, 3e-6], [False, False, True]),
    }


def assert_labelled(figure):
    """Every axes names what it shows, numbers with their unit in brackets."""
    for axes in figure.axes:
        assert axes.get_ylabel() or axes.get_yticklabels()
    assert any(axes.get_xlabel() for axes in figure.axes)


def test_block_figures_are_labelled_and_render(calibration):
    for name, figure in block_figures(calibration).items():
        assert_labelled(figure)
        assert "<path" in figure_svg(figure), name


def test_network_figures_are_labelled_and_render():
    for name, figure in network_figures().items():
        assert_labelled(figure)
        assert "<path" in figure_svg(figure), name


def test_equal_data_give_equal_svg():
    first, second = ([figure_svg(figure, name=name) for name, figure in network_figures().items()] for _ in range(2))
    assert first == second


def test_svg_is_well_formed_and_ids_differ_between_names():
    figures = network_figures()
    ids = []
    for name, figure in figures.items():
        text = figure_svg(figure, name=name, label='a "label" <here>')
        root = ElementTree.fromstring(text)
        assert root.get("aria-label") == 'a "label" <here>'
        assert root.get("viewBox")
        assert root.get("width") is None
        found = re.findall(r' id="([^"]+)"', text)
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(found)
        ids += found
    assert len(ids) == len(set(ids))


def test_user_settings_of_matplotlib_neither_matter_nor_change():
    expected = figure_svg(plot_accuracies(["a"], [0.5]))
    with matplotlib.rc_context({"font.size": 30.0, "axes.grid": False, "svg.fonttype": "path"}):
        assert figure_svg(plot_accuracies(["a"], [0.5])) == expected
        assert matplotlib.rcParams["font.size"] == 30.0


def test_largest_error_is_always_drawn():
    measured = np.linspace(-1, 1, 20001)
    predicted = measured.copy()
    predicted[12345] += 1e-3
    figure = plot_parity(measured, predicted, 1.0)
    drawn = np.concatenate([line.get_ydata() for line in figure.axes[1].lines])
    assert np.abs(drawn).max() == pytest.approx(1000)
    assert drawn.size < 2000


@pytest.mark.parametrize(
    ("largest", "unit", "expected"),
    [(2e-3, "V", (1e3, "mV")), (1e-6, "A", (1e6, "µA")), (0.0, "V", (1.0, "V")), (5e3, "ohm", (1e-3, "kΩ"))],
)
def test_axes_take_the_prefix_of_their_largest_value(largest, unit, expected):
    factor, name = prefixed([0.0, -largest], unit)
    assert factor == pytest.approx(expected[0])
    assert name == expected[1]
