"""Text from strangers stays text: no markup of a page or figure, and no code where an expression is computed."""

from xml.etree import ElementTree

import pytest

from spicesim.errors import SpecError
from spicesim.netlist.expression import evaluate_expression
from spicesim.plots import figure_svg, plot_layer_snr, plot_shares, plot_tile_map
from spicesim.report import write_calibration_report


def test_no_text_of_a_chip_becomes_markup_of_the_page(tmp_path, generic_calibration):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    chip = generic_calibration.chip.changed(name=evil, process={"name": evil})
    write_calibration_report(generic_calibration.model_copy(update={"chip": chip}), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", ["$\\frac$", "<script>alert(1)</script>", "_hidden", "a]]>b"])
def test_no_name_of_a_layer_becomes_markup_of_a_figure(name):
    for figure in (
        plot_layer_snr([name, "fc"], [10.0, 20.0]),
        plot_shares([name, "fc"], ["a", "b"], [[1.0, 2.0], [3.0, 4.0]], "energy [J]"),
        plot_tile_map([0, 1], [[8, 8], [4, 4]], (8, 8), [name, "fc"]),
    ):
        svg = figure_svg(figure)
        assert "<script" not in svg
        ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "_x",
        "(lambda: 1)()",
        "max.__class__",
        "1 if 1 else 2",
        "[1]",
        "sqrt(0-1)",
        "1/0",
        "2 3",
        "abs()",
    ],
)
def test_an_expression_of_a_netlist_is_computed_and_never_run(text):
    with pytest.raises(SpecError):
        evaluate_expression(text, {"lambda": 1.0, "if": 1.0})


def test_an_expression_without_end_is_refused():
    with pytest.raises(SpecError, match="cannot compute"):
        evaluate_expression("(" * 5000 + "1" + ")" * 5000, {})
