import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest

from spicesim.experiment.budget import Budget, Variant
from spicesim.experiment.findings import Findings, IrDropMap, TileUse
from spicesim.experiment.footprint import BLOCKS, Footprint, LayerFootprint
from spicesim.report import NetworkReport, write_network_report


def variant(error):
    return Variant(sources=(), errors=np.full((1, 2, 3), error), snr_db=(30.0,), cosine=0.999, accuracy=0.5)


BUDGET = Budget(
    layers=("fc",), sources=("wires", "read noise"), digital=np.ones((2, 3)), none=variant(0.0), whole=variant(0.2),
    alone={"wires": variant(0.1), "read noise": variant(0.12)},
    without={"wires": variant(0.12), "read noise": variant(0.1)}, chips=1, seed=0,
)  # fmt: skip
FOOTPRINT = Footprint(
    layers=tuple(
        LayerFootprint(
            name=f"layer {k}", array=f"layer {k}", tiles=2, vectors=1.0, products=2.0, macs=64.0,
            energy=dict.fromkeys(BLOCKS, 1e-9), standard_error=1e-12, sampled=4,
            t_product=3e-7, area=dict.fromkeys(BLOCKS, 1e-8),
        )
        for k in range(3)
    ),
    t_read=2e-7, columns_per_adc=1,
)  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PROBE = """
<pre id="probe"></pre>
<script>
addEventListener("load", () => {
  const size = svg => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height];
  document.getElementById("probe").textContent = JSON.stringify({
    figures: [...document.querySelectorAll("figure svg")].map(size),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  });
});
</script>
</body>"""
"""Appended to a copy of the page, to ask the browser what it made of it."""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: the page is looked at in a browser")
@pytest.mark.parametrize("width", [1200, 500])
def test_page_renders_without_errors_or_requests(small_calibration, tmp_path, width):
    report = NetworkReport(
        model="digits",
        engine="exact",
        images=2,
        layers=(),
        confusion=np.eye(2, dtype=int),
        findings=Findings(
            map_drops=lambda: (IrDropMap(name="fc", loss=np.ones((8, 8)), input_name="all on"),),
            tiles=tuple(TileUse(layer=f"layer {k % 3}", rows=8 - k, columns=4) for k in range(6)),
            array=(8, 8),
            budget=BUDGET,
            footprint=FOOTPRINT,
        ),
    )
    path = tmp_path / "page.html"
    write_network_report(report, small_calibration, path)
    page = path.read_text(encoding="utf-8")
    path.write_text(page.replace("</body>", PROBE), encoding="utf-8")

    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--enable-logging=stderr", f"--window-size={width},2000",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=1800, check=True,
    )  # fmt: skip

    seen = json.loads(unescape(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert len(seen["figures"]) == page.count("<figure") > 10
    assert all(w > 200 and h > 50 for w, h in seen["figures"])
    assert seen["requests"] == []
    assert seen["overflow"] <= 0
    assert "CONSOLE" not in done.stderr
