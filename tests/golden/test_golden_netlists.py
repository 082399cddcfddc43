"""Netlists are what they were, and so are their operating points; ``scripts/refresh_golden`` writes both anew."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / "netlists" / "golden"

spec = importlib.util.spec_from_file_location("golden_netlists", Path(__file__).with_name("golden_netlists.py"))
golden_netlists = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden_netlists)

NETLISTS = golden_netlists.golden_netlists()
DIALECTS = golden_netlists.golden_dialects()


def test_nothing_is_left_over():
    assert (
        {path.stem for path in GOLDEN.glob("*.cir")} == set(NETLISTS) == {path.stem for path in GOLDEN.glob("*.json")}
    )


@pytest.mark.parametrize("name", NETLISTS)
def test_the_text_is_what_it_was(name):
    assert golden_netlists.portable(NETLISTS[name].format()) == (GOLDEN / f"{name}.cir").read_text()


def test_no_dialect_is_left_over():
    assert {path.name for path in (GOLDEN / "dialects").iterdir()} == set(DIALECTS)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_text_in_another_dialect_is_what_it_was(name):
    assert DIALECTS[name] == (GOLDEN / "dialects" / name).read_text()


@pytest.mark.parametrize("name", NETLISTS)
def test_the_operating_point_is_what_it_was(name):
    """To a millionth; other versions of ngspice differ in the last digits. Floor: 1 nV, 0.1 pA."""
    values = json.loads((GOLDEN / f"{name}.json").read_text())["values"]
    for probe, found in golden_netlists.simulate(NETLISTS[name]).items():
        np.testing.assert_allclose(found, values[probe], rtol=1e-6, atol=1e-9 if probe.startswith("v") else 1e-13)
