import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.chip import preset
from spicesim.report import IrDropMap, NetworkReport, write_network_report

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
def test_page_renders_without_errors_or_requests(tmp_path, width):
    calibration = calibrate(preset("generic-1t1r").changed(array={"rows": 8, "columns": 8}), quick=True, aspects=())
    report = NetworkReport(
        model="digits",
        engine="exact",
        images=2,
        layers=(),
        confusion=np.eye(2, dtype=int),
        ir_drop=IrDropMap(name="fc", loss=np.ones((8, 8)), input_name="all on"),
    )
    path = tmp_path / "page.html"
    write_network_report(report, calibration, path)
    page = path.read_text(encoding="utf-8")
    path.write_text(page.replace("</body>", PROBE), encoding="utf-8")

    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--enable-logging=stderr", f"--window-size={width},2000",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    seen = json.loads(unescape(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert len(seen["figures"]) == page.count("<figure") > 10
    assert all(w > 200 and h > 50 for w, h in seen["figures"])
    assert seen["requests"] == []
    assert seen["overflow"] <= 0
    assert "CONSOLE" not in done.stderr
