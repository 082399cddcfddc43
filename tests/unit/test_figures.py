"""Figures of a paper: every one is drawn, as data, files and page, and its numbers are those of the circuit."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import onnx
import pytest

from spicesim.cli.main import run
from spicesim.errors import SpecError
from spicesim.figures.album import Sheet, about, draw_album, find_chart
from spicesim.figures.catalogue import FIGURES, choose_figures
from spicesim.figures.linearity import column_linearity
from spicesim.figures.memory import TIMES, conductance_drift, programmed_conductances
from spicesim.figures.product import draw_inputs, make_product, product_model, step_limit
from spicesim.figures.signal import snr_by_rows
from spicesim.figures.study import Study
from spicesim.figures.written import SIGMAS, written_name
from spicesim.network.dataset import Dataset
from spicesim.plots.chart import Chart, Panel, Series, chart_csv, chart_file, plot_chart

OTHERS = [name for name in FIGURES if {"network", "climate", "energy"} & {*FIGURES[name].needs}]
"""Figures that need more than a calibration without aspects."""


@pytest.fixture(scope="module")
def study(small_calibration):
    """A study of a chip without aspects, cheap, whose chips differ by their devices."""
    return Study(calibration=small_calibration, chips=2, vectors=16, images=12)


@pytest.fixture(scope="module")
def whole_study(climate_calibration, tmp_path_factory):
    """A study of a chip with all aspects, and of a network that fits one of its arrays."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("network") / "net.onnx"
    weights = rng.standard_normal((6, 3))
    onnx.save(product_model(weights), path)
    x = rng.random((60, 6), dtype=np.float32)
    data = Dataset(inputs={"x": x[:40]}, labels=np.argmax(x[:40] @ weights, axis=1), calibration_inputs=x[40:])
    return Study(calibration=climate_calibration, model=str(path), dataset=data, chips=2, vectors=16, images=40)


@pytest.fixture(scope="module")
def album(study, tmp_path_factory):
    """All figures that a calibration without aspects allows."""
    folder = tmp_path_factory.mktemp("figures")
    return draw_album(study, tuple(FIGURES), folder), folder


def test_what_a_calibration_does_not_allow_is_left_out_with_the_reason(album):
    drawn, _ = album
    assert set(drawn.left_out) == {"corners", "shares", *(name for name in FIGURES if name.startswith("accuracy"))}
    assert "aspect climate" in drawn.left_out["corners"]
    page = drawn.page.read_text()
    assert all(name in page for name in drawn.left_out)
    assert {*drawn.made, *drawn.left_out} == set(FIGURES)


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OTHERS])
def test_every_figure_is_data_csv_svg_and_pdf(album, name):
    _, folder = album
    chart = Chart.model_validate(json.loads((folder / f"{name}.json").read_text())["chart"])
    assert len(chart.caption) > 60
    for panel in chart.panels:
        assert re.search(r"\[|chips|µS", panel.y_label), "axes have units"
        for series in panel.series:
            assert np.isfinite(series.y).all()
    rows = list(csv.reader((folder / f"{name}.csv").read_text().splitlines()))
    assert len(rows) > 2
    assert len({len(row) for row in rows}) == 1
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (folder / f"{name}.svg").read_text()


def test_the_page_opens_in_chromium(album, tmp_path):
    drawn, _ = album
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("chromium is not installed")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{drawn.page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.count("<svg") == len(drawn.made)


def test_figures_that_are_there_are_kept_until_forced(study, tmp_path):
    first = draw_album(study, ("programming",), tmp_path)
    before = (tmp_path / "programming.json").read_bytes()
    again = draw_album(study, ("programming",), tmp_path)
    assert (first.made, again.made, again.kept) == (("programming",), (), ("programming",))
    assert (tmp_path / "programming.json").read_bytes() == before
    assert draw_album(study, ("programming",), tmp_path, force=True).made == ("programming",)


def test_a_figure_of_something_else_or_damaged_is_not_taken(study, tmp_path):
    path, chart = tmp_path / "one.json", programmed_conductances(study)
    assert find_chart(path, "key") is None
    path.write_text(Sheet(key="key", chart=chart).model_dump_json())
    assert chart_csv(find_chart(path, "key")) == chart_csv(chart)
    assert find_chart(path, "other") is None
    path.write_text(path.read_text()[:-9])
    assert find_chart(path, "key") is None
    assert about(study) != about(replace(study, seed=1)) != about(replace(study, chips=3))


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_a_chip_with_all_aspects_has_the_others(whole_study, name, tmp_path):
    drawn = draw_album(whole_study, (name,), tmp_path)
    assert drawn.left_out == {}
    assert drawn.made == (name,)


def test_the_ratio_stays_below_that_of_steps_and_ideal_converters_come_near(study):
    for rows in study.rows:
        product = make_product(study, rows)
        limit = step_limit(product, study, input_bits=8, output_bits=8)
        ideal = float(product.snr_db(study, study.nominal.changed(engine="ideal", gains=True))[0])
        assert float(product.snr_db(study, study.nominal)[0]) < limit + 1
        assert ideal < limit + 1


def test_a_bit_more_leaves_six_decibels_more(study):
    product = make_product(study, 8)
    first, second = (step_limit(product, study, input_bits=20, output_bits=bits) for bits in (5, 9))
    assert (second - first) / 4 == pytest.approx(6.02, abs=0.1)


def test_bands_hold_their_means_and_drawn_chips_are_worse_than_nominal_ones(study):
    nominal, drawn, limit = snr_by_rows(study).panels[0].series
    assert (drawn.low <= drawn.y).all()
    assert (drawn.y <= drawn.high).all()
    assert drawn.y[-1] < nominal.y[-1] < limit.y[-1] + 1


def test_a_column_has_the_largest_step_of_its_drivers_and_steps_add_up_to_the_bend(study):
    integral, differential = (panel.series[-1].y for panel in column_linearity(study).panels)
    driver = study.calibration.dacs[study.calibration.chip.polarities[0]].v_open
    own = np.diff(driver) - np.diff(driver).mean()
    assert np.argmax(np.abs(differential)) == np.argmax(np.abs(own)) == 127, (
        "the highest bit takes over from all others"
    )
    assert 0 < np.abs(integral).max() < 1
    np.testing.assert_allclose(np.cumsum(differential), integral[1:], rtol=1e-9, atol=1e-9 * np.abs(integral).max())


def test_drift_ends_where_nobody_measured(study):
    high = {series.label: series for series in conductance_drift(study).panels[0].series}
    assert high["pcm"].x[-1] == pytest.approx(TIMES[-1])
    assert high["rram"].x[-1] <= 2 * 86400
    assert high["pcm"].y[-1] < 0.7 * high["pcm"].y[0]


def test_devices_are_written_within_what_is_asked():
    from spicesim.own_code import load_own

    assert [load_own(written_name(k)).programming for k in range(len(SIGMAS))] == [(sigma,) for sigma in SIGMAS]


def test_inputs_have_the_share_of_zeros_and_the_signs_asked_for():
    rng = np.random.default_rng(0)
    x = draw_inputs("half normal", (500, 40), rng, 0.75)
    assert np.mean(x == 0) == pytest.approx(0.75, rel=0.02)
    assert x.min() == 0
    assert draw_inputs("normal", (50, 40), rng).min() < -0.5


def test_a_chart_is_the_same_bytes_again_and_a_series_without_values_for_its_places_is_refused():
    series = Series(label="one", x=np.arange(3.0), y=np.ones(3), low=np.zeros(3), high=np.full(3, 2.0))
    chart = Chart(title="t", caption="c", x_label="x [1]", panels=(Panel(y_label="y [1]", series=(series,)),))
    assert chart_file(plot_chart(chart), "svg") == chart_file(plot_chart(chart), "svg")
    assert chart_file(plot_chart(chart), "pdf") == chart_file(plot_chart(chart), "pdf")
    assert chart_csv(chart).splitlines()[1] == "one,0.0,y [1],1.0,0.0,2.0"
    with pytest.raises(ValueError, match="as many values"):
        Series(label="", x=np.arange(3.0), y=np.ones(2))


def test_unknown_figures_are_refused_and_listed(capsys):
    with pytest.raises(SpecError, match="no figure 'nothing'; there are: snr-rows"):
        choose_figures(("nothing",))
    assert run(["figures", "--list"], debug=False) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in FIGURES)
    assert run(["figures"], debug=False) == 2
    assert "CAL.json" in capsys.readouterr().err


def test_the_command_draws_what_it_is_asked_for(small_calibration, tmp_path, capsys):
    small_calibration.save(tmp_path / "chip.cal.json")
    words = ["figures", str(tmp_path / "chip.cal.json"), "-o", str(tmp_path / "f"), "--only", "drift"]
    assert run(words, debug=False) == 0
    assert "1 figures made, 0 kept" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == [
        "drift.csv", "drift.json", "drift.pdf", "drift.svg", "figures.html"
    ]  # fmt: skip
    assert run([*words, "--network", "net.onnx"], debug=False) == 2
