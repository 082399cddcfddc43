"""Crossbar currents agree with other simulators: Qucs, ngspice, and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest

from spicesim.cells import Linear, Sinh
from spicesim.crossbar import Crossbar

CASES = json.loads((Path(__file__).parent / "reference_crossbars.json").read_text())["cases"]


def test_there_are_cases():
    assert len(CASES) >= 8
    assert {case["cell"] for case in CASES} == {"linear", "sinh"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_currents_agree_with_the_reference(case):
    cell = Sinh(case["kappa"]) if case["cell"] == "sinh" else Linear()
    array = Crossbar(case["g"], case["r_word_line"], case["r_bit_line"], cell=cell)
    np.testing.assert_allclose(array.currents(case["v"]), case["currents"], rtol=1e-9)
    np.testing.assert_allclose(array.solve(case["v"]).currents, case["currents"], rtol=1e-9)
