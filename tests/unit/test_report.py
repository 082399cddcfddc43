import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from spicesim.audit import Audit
from spicesim.calibration.calibration import Calibration
from spicesim.coding import AdcRange
from spicesim.errors import StorageError
from spicesim.experiment.findings import Findings, IrDropMap, TileUse
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.netlist import build_cell
from spicesim.network import digits_network, load_digits
from spicesim.network.dataset import Dataset
from spicesim.network.result import LayerStats
from spicesim.report import (
    AccuracyRow,
    NetworkReport,
    describe_run,
    write_calibration_report,
    write_network_report,
)
from spicesim.report.numbers import parts_per_million, percent, quantity, uncertain
from spicesim.report.tiles import code_agreement

LAYER = LayerStats(
    name="fc <1>", op="Gemm", tiles=2, array="fc <1>", rows=64, columns=20, mvms=800, snr_db=31.25, adc_clipped=0.0125,
    dac_clipped=0.0, polarity="unipolar", input_scale=1.0, r_feedback=2e4, adc=AdcRange(low=0, high=1.5, bits=8),
)  # fmt: skip

VOID = {"meta", "link", "br", "img", "hr", "input"}


@pytest.fixture(scope="session")
def calibration(small_calibration) -> Calibration:
    return small_calibration


def network_report(calibration, **changes):
    check = calibration.checks[0]
    fields = {
        "model": "digits & more",
        "engine": "exact",
        "images": 400,
        "layers": (LAYER,),
        "accuracies": (
            AccuracyRow(label="digital", accuracy=0.985),
            AccuracyRow(label="exact", accuracy=0.9725, note="the calibrated chip"),
        ),
        "confusion": np.array([[198, 2], [9, 191]]),
        "audit": Audit(
            count=8, sizes=(check.measured.size // 8,) * 8,
            converted=(4,) * 8, measured=check.measured.ravel(), predicted=check.predicted.ravel(),
            full_scale=np.full(check.measured.size, check.full_scale), lsb=np.full(check.measured.size, 0.006),
            code_differences=np.array([0] * 31 + [1]), code_misses=np.array([0.0] * 31 + [0.02]),
            ngspice_seconds=0.25, worst=build_cell(calibration.chip, 2e-5),
        ),
        "product_seconds": 1e-4,
        "findings": Findings(
            map_drops=lambda: (
                IrDropMap(name="fc, tile 0", loss=np.arange(64.0).reshape(8, 8) * 1e-4, input_name="all on"),
            ),
            tiles=(TileUse(layer="fc <1>", rows=8, columns=4), TileUse(layer="fc <1>", rows=4, columns=8)),
            array=(8, 8),
        ),
        "notes": ("Softmax stays digital",),
        "provenance": {"seed": 7, "versions": {"ngspice": "44.2"}},
    }  # fmt: skip
    return NetworkReport(**{**fields, **changes})


def written(write, *args, folder, name="page.html"):
    write(*args, folder / name)
    return (folder / name).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects ids, references and cells, and checks that tags nest."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.references, self.cells = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.references.append(value)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def outline(text):
    parser = Outline()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_pages_need_nothing_but_themselves(calibration, tmp_path):
    for text in (
        written(write_calibration_report, calibration, folder=tmp_path),
        written(write_network_report, network_report(calibration), calibration, folder=tmp_path),
    ):
        page = outline(text)
        assert all(reference.startswith(("#", "data:")) for reference in page.references)
        assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        assert "<script" not in text
        assert "@import" not in text
        assert not re.search(r"url\((?!#)", text)


@pytest.mark.long
def test_equal_input_gives_equal_bytes(calibration, tmp_path):
    for write, args in (
        (write_calibration_report, lambda: (calibration,)),
        (write_network_report, lambda: (network_report(calibration), calibration)),
    ):
        assert written(write, *args(), folder=tmp_path) == written(write, *args(), folder=tmp_path, name="again.html")


def test_numbers_on_the_page_are_those_of_the_calibration(calibration, tmp_path):
    text = written(write_calibration_report, calibration, folder=tmp_path)
    cells = outline(text).cells
    for held_out in calibration.held_out.values():
        for error in (held_out.max_error, held_out.p99_error, held_out.rms_error):
            assert parts_per_million(error) in cells
    for check in calibration.checks:
        assert percent(np.abs(check.predicted - check.measured).max() / check.full_scale) in cells
        assert f"{100 * code_agreement(check, calibration.chip.adc.bits)[0]:.2f}" in cells
        assert f"{int(np.sum(check.saturated))} of {check.measured.size}" in cells
    for model in calibration.senseamps:
        for parameter in model.parameters.values():
            assert uncertain(parameter.value, parameter.standard_error, parameter.unit) in cells
    for words in (calibration.hash, calibration.chip.hash, f"{calibration.simulations}", "quick calibration"):
        assert words in text


def test_calibration_without_checks_says_so(calibration, tmp_path):
    bare = calibration.model_copy(update={"checks": ()})
    text = written(write_calibration_report, bare, folder=tmp_path)
    assert "was not checked on whole tiles" in text
    assert "identical" not in text


def test_network_page_tells_run_and_calibration(calibration, tmp_path):
    text = written(write_network_report, network_report(calibration), calibration, folder=tmp_path)
    for words in ("digits &amp; more", "fc &lt;1&gt;", "98.50", "97.25", "31.2", "1.25", "96.88 %", "3.12 %",
                  "11 of 400 lie off the diagonal", "2,500", "Softmax stays digital.", "versions.ngspice",
                  "row 7, column 7: 6.3 mV", "8x4, 4x8", "50.0", calibration.hash, "Memory cell",
                  "Sense amplifiers"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("absent", [
    "everything",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("accuracies", "confusion", "audit", "findings")),
])  # fmt: skip
def test_network_page_without_some_of_its_parts(calibration, tmp_path, absent):
    empty = {
        "accuracies": (),
        "confusion": None,
        "audit": None,
        "findings": Findings(),
        "notes": (),
        "provenance": {},
    }
    changes = empty if absent == "everything" else {absent: empty[absent]}
    text = written(write_network_report, network_report(calibration, **changes), calibration, folder=tmp_path)
    outline(text)
    assert ("Audit in ngspice" in text) == (absent not in ("audit", "everything"))


def test_run_of_a_network_becomes_its_report(calibration, tmp_path):
    digits = load_digits()
    dataset = Dataset(inputs={"x": digits.x[:20]}, labels=digits.y[:20], calibration_inputs=digits.x_calibration)
    plans = (RunPlan(engine="ideal"), RunPlan(gains=False, audit=2))
    other, found = (run(plan, digits_network("mlp"), dataset, calibration) for plan in plans)
    ideal, exact, findings, network = other.first, found.first, found.findings, found.network
    report = describe_run(found, "digits", {"ideal circuit": other})
    assert [row.label for row in report.accuracies] == ["digital", "ideal circuit", "exact"]
    assert [row.accuracy for row in report.accuracies[1:]] == [ideal.accuracy, exact.accuracy]
    assert np.trace(report.confusion) == round(20 * exact.accuracy)
    assert report.confusion.sum() == 20
    assert {drop.loss.shape for drop in findings.ir_drops} <= {(8, 8), (8, 4)}
    assert findings.ir_drops
    assert len(findings.tiles) == sum(layer.tiles for layer in exact.result.stats.layers)
    document = json.loads(json.dumps(findings.document()))
    assert [drop["max_loss"] for drop in document["ir_drops"]] == [np.max(drop.loss) for drop in findings.ir_drops]
    assert {use["layer"] for use in document["tiles"]} == {layer.name for layer in network.layers}
    low, high = exact.document()["accuracy_interval"]
    assert low < exact.accuracy <= high
    assert np.array_equal(report.audit.measured, exact.audit.measured)
    text = written(write_network_report, report, calibration, folder=tmp_path)
    assert f"{100 * exact.accuracy:.2f} %" in text


def test_run_without_labels_or_audit_becomes_its_report(calibration, tmp_path):
    digits = load_digits()
    dataset = Dataset(inputs={"x": digits.x[:4]}, labels=None, calibration_inputs=digits.x_calibration)
    found = run(RunPlan(gains=False), digits_network("mlp"), dataset, calibration)
    experiment, report = found.first, describe_run(found, "digits")
    assert (report.accuracies, report.confusion, report.audit) == ((), None, None)
    assert report.findings.ir_drops, "voltages are mapped without an audit, too"
    assert experiment.document()["accuracy_interval"] is None
    outline(written(write_network_report, report, calibration, folder=tmp_path))


def test_layers_without_error_or_signal(calibration, tmp_path):
    layers = tuple(replace(LAYER, name=f"l{k}", snr_db=snr) for k, snr in enumerate((np.inf, np.nan)))
    text = written(write_network_report, network_report(calibration, layers=layers), calibration, folder=tmp_path)
    cells = outline(text).cells
    assert {"∞", "none"} <= set(cells)
    assert "nan" not in cells


def test_page_that_cannot_be_written(calibration, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_calibration_report(calibration, tmp_path / "file" / "page.html")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (quantity(999.98e-9, "S"), "1 µS"),
        (quantity(-0.44, "V"), "\N{MINUS SIGN}440 mV"),
        (quantity(2e4, "ohm"), "20 kΩ"),
        (parts_per_million(4.4351e-6), "4.44"),
        (parts_per_million(0.0), "0"),
        (percent(1.68e-5), "0.00168"),
        (percent(2.98e-9), "< 0.000001"),
        (uncertain(0.99907179, 5.166e-6, "1"), "0.9990718 ± 0.0000052"),
        (uncertain(-1.62949e-3, 4.74e-6, "V"), "\N{MINUS SIGN}1.6295 ± 0.0047 mV"),
        (uncertain(4.641, 0.0258, "ohm"), "4.641 ± 0.026 Ω"),
        (uncertain(4.641, 0.0, "ohm"), "4.641 Ω"),
    ],
)
def test_numbers_are_formatted_for_people(text, expected):
    assert text == expected


def test_a_page_tells_what_the_engine_did_for_each_layer(calibration, tmp_path):
    """The form of its tiles, with their number where there are several, its promise, its time and its memory."""
    forms = ("rank 1, orders 3-2-0", "exact")
    formed = replace(LAYER, forms=forms, promised_error=1.5e-3, held=1_500_000, seconds=4e-3)
    page = written(write_network_report, network_report(calibration, layers=(formed,)), calibration, folder=tmp_path)
    (row,) = re.findall(r"<tr>(?:(?!</tr>).)*rank 1.*?</tr>", page, flags=re.DOTALL)
    cells = [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, flags=re.DOTALL)]
    assert cells[1:] == ["5", "1.5", "1", "0.150", "rank 1, orders 3-2-0 (1); exact (1)"]


def test_a_page_promises_nothing_where_no_form_does(calibration, tmp_path):
    page = written(write_network_report, network_report(calibration), calibration, folder=tmp_path)
    assert "What the engine did for each layer" in page
    assert "promised error" not in page
