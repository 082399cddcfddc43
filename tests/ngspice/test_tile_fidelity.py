"""Whole tiles at transistor level against the behavioural tile, on what no fit has seen."""

import numpy as np
import pytest

from spicesim.calibration.tiles import build_cases, check_tiles, random_matrices
from spicesim.cli.audit import trained_matrices


@pytest.fixture(scope="module")
def checks(gf180_calibration, one_at_a_time):
    """16x16 and 32x32, random and trained conductances, random and structured vectors, linear and saturating."""
    chip = gf180_calibration.chip
    matrices = random_matrices(chip, (16, 32), 77) | trained_matrices(gf180_calibration, (16, 32))
    cases = build_cases(chip, gf180_calibration.tile, matrices, random_vectors=1, seed=78)
    with one_at_a_time("tile fidelity"):
        return check_tiles(chip, cases)


def errors(check):
    return np.abs(check.predicted - check.measured) / check.full_scale


def test_cases_cover_sizes_codings_kinds_and_regions(checks):
    names = " ".join(check.name for check in checks)
    for word in ("16x16 random", "32x32 random", "16x16 trained", "32x32 trained", "unipolar", "bipolar"):
        assert word in names
    for kind in ("all on", "near half on", "far half on", "ramp up", "sparse", "random 0"):
        assert all(kind in check.pattern for check in checks)
    saturated = [np.mean(check.saturated) for check in checks if "random unipolar saturating" in check.name]
    assert min(saturated) > 0.2


def test_linear_vectors_are_right_to_five_millionths_of_full_scale(checks):
    for check in checks:
        linear = ~np.array(check.saturated).any(axis=1)
        assert errors(check)[linear].max(initial=0.0) <= 5e-6, check.name


def test_vectors_with_saturated_columns_are_right_to_a_twenty_thousandth(checks):
    for check in checks:
        assert errors(check).max() <= 5e-5, check.name


def test_codes_of_8_bits_are_identical_in_99_of_100_and_never_worse_than_off_by_one(checks):
    differences = np.concatenate([check.code_differences(8).ravel() for check in checks])
    assert np.mean(differences == 0) >= 0.99
    assert np.abs(differences).max() <= 1


def test_the_generic_chip_is_as_good(generic_calibration):
    for check in generic_calibration.checks:
        assert errors(check).max() <= 5e-4, check.name
