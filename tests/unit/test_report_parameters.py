"""Named parameters and costs on the page: what the calibration says, and nothing it does not know."""

import re

import pytest

from spicesim.behavioural.parameter import Parameter
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.calibration.campaign import Cost
from spicesim.chip import preset
from spicesim.plots.figure import figure_svg
from spicesim.plots.fits import plot_correlation, plot_quantiles
from spicesim.report import write_calibration_report
from spicesim.report.parameters import interval_texts


@pytest.fixture(scope="module")
def calibration(calibrate_once) -> Calibration:
    chip = preset("generic-1t1r").changed(array={"rows": 8, "columns": 8})
    return calibrate_once("parameters", lambda: calibrate(chip, quick=True, aspects=("parameters",)))


def page(calibration, folder):
    write_calibration_report(calibration, folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def section(text, anchor):
    return re.search(rf'<section id="{anchor}">.*?</section>', text, re.DOTALL)[0]


def test_the_data_sheet_finds_what_the_chip_description_says(calibration):
    """The truth is known: the device's kappa and the feedback resistors are in the netlists."""
    fits = calibration.parameters
    chip = calibration.chip
    low, high = fits["cell"].parameters["kappa"].interval
    assert low < chip.cell.kappa < high
    for r in chip.sense_amplifier.r_feedback:
        low, high = fits[f"TIA, {r / 1e3:g} kohm"].parameters["r_feedback"].interval
        assert low < r < high
        assert fits[f"TIA, {r / 1e3:g} kohm"].values["r_feedback"] == pytest.approx(r, rel=1e-6)
    for polarity, span in (("unipolar", 0.2), ("bipolar", 0.4)):
        fit = fits[f"DAC, {polarity}"]
        assert sum(v for n, v in fit.values.items() if n.startswith("weight_")) == pytest.approx(span, rel=1e-2)
        assert fit.rms < 1e-4 * span


def test_the_virtual_ground_follows_from_gain_and_output_resistance(calibration):
    core = calibration.parameters["TIA core"].values
    for r in calibration.chip.sense_amplifier.r_feedback:
        r_in = (r + core["r_out"]) / (core["gain"] + 1)
        fitted = calibration.parameters[f"TIA, {r / 1e3:g} kohm"].values["r_in"]
        assert fitted == pytest.approx(r_in, rel=0.03)  # the gain falls with the current


def test_parameters_do_not_change_what_is_computed_and_survive_the_file(calibration, tmp_path):
    bare = calibration.model_copy(update={"parameters": None})
    assert bare.hash == calibration.hash
    calibration.save(tmp_path / "c.json")
    loaded = load_calibration(tmp_path / "c.json")
    assert {n: f.values for n, f in loaded.parameters.items()} == {
        n: f.values for n, f in calibration.parameters.items()
    }


def test_estimates_and_correlations_are_on_the_page(calibration, tmp_path):
    text = section(page(calibration, tmp_path), "parameters")
    for name in ("cell", "TIA core"):
        for parameter in calibration.parameters[name].parameters.values():
            unit, (shown,) = interval_texts([parameter])
            assert f"{shown} {unit}".rstrip() in text
    for fit in calibration.parameters.values():
        assert fit.form in text
    assert text.count("<figure") == 6
    assert "against a Gaussian" in text


def test_what_is_not_determined_is_listed_with_the_reason(calibration, tmp_path):
    fits = dict(calibration.parameters)
    fits["cell"] = fits["cell"].model_copy(update={"unidentifiable": {"bend": "the data do not depend on it"}})
    text = section(page(calibration.model_copy(update={"parameters": fits}), tmp_path), "parameters")
    assert "What the data do not determine" in text
    assert "the data do not depend on it" in text


def test_a_calibration_without_parameters_says_how_to_get_them(calibration, tmp_path):
    text = page(calibration.model_copy(update={"parameters": None}), tmp_path)
    assert "--aspects parameters" in section(text, "parameters")
    assert "Parameters of the linear range" in text


def test_costs_aids_and_failures_are_told(calibration, tmp_path):
    text = section(page(calibration, tmp_path), "cost")
    assert f"{calibration.simulations} simulations" in text
    told = {
        "costs": {"calibrate blocks": Cost(simulations=29, seconds=12.34)}, "aids": {"gear": 3},
        "failures": ("tile 7: run again with ngspice -b tile.cir",),
    }  # fmt: skip
    text = section(page(calibration.model_copy(update=told), tmp_path), "cost")
    for words in ("29", "12.3", "gear", "3 of them converged only with an aid", "1 failed", "ngspice -b tile.cir"):
        assert words in text


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([(6.52, 0.5, "ohm"), None], ("Ω", ["6.52 ± 0.50", ""])),
        ([(5e3, 1e-2, "ohm"), (1.6e5, 2.0, "ohm")], ("kΩ", ["5.000000 ± 0.000010", "160.0000 ± 0.0020"])),
        ([(-1.65, 1e-3, "V")], ("mV", ["−1650.0 ± 1.0"])),  # noqa: RUF001
        ([(0.05, 1e-3, "1/V")], ("1/V", ["0.0500 ± 0.0010"])),
        ([(2.81e8, 2.4e7, "ohm/A^2")], ("Ω/A²", ["2.81e8 ± 2.40e7"])),
    ],
)
def test_estimates_read_well(parameters, expected):
    made = [
        None
        if p is None
        else Parameter(value=p[0], standard_error=p[1], unit=p[2], interval=(p[0] - p[1], p[0] + p[1]))
        for p in parameters
    ]
    assert interval_texts(made) == expected


def test_an_interval_cut_at_a_bound_is_written_out():
    cut = Parameter(value=1.0, standard_error=2.0, unit="1", interval=(0.0, 5.0))
    assert interval_texts([cut]) == ("", ["0 .. 5"])


def test_figures_are_labelled_and_render(calibration):
    fits = calibration.parameters
    for figure in (
        plot_quantiles(fits), plot_quantiles({"cell": fits["cell"]}), plot_correlation(fits["DAC, unipolar"])
    ):  # fmt: skip
        assert figure.axes[0].get_xlabel()
        assert "<path" in figure_svg(figure)


def test_every_residual_is_drawn_on_the_line_of_its_rank(calibration):
    fit = calibration.parameters["cell"]
    drawn = plot_quantiles({"cell": fit}).axes[0].lines[0].get_ydata()
    assert len(drawn) == len(fit.residuals)
    assert drawn[0] == pytest.approx(fit.residuals.min() / fit.rms)
