"""Random arrays, degenerate ones on purpose, are right or refused; ``scripts/fuzz arrays`` tries more."""

import pytest

from fuzz import arrays
from fuzz.verdict import find_verdict

CASES, PARTS, SOON = 2000, 20, 6


@pytest.mark.parametrize("part", [*range(SOON), *(pytest.param(k, marks=pytest.mark.long) for k in range(SOON, PARTS))])
def test_random_arrays_are_right_or_refused(part):
    refused = 0
    for seed in range(part, CASES, PARTS):
        case = arrays.case(seed)
        verdict = find_verdict(arrays, case)
        assert verdict.kind in ("right", "refused"), f"case {seed}: {verdict.detail}\n{case.script()}"
        refused += verdict.kind == "refused"
    assert refused <= 0.1 * CASES / PARTS
