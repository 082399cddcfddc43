"""What a sample of products says of all."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from spicesim.audit import audit_samples
from spicesim.bound import (
    CodeBound,
    SampleBound,
    exceeding_share,
    share_interval,
    share_text,
    strata_mean,
    strata_share,
)
from spicesim.engine import ExactEngine
from spicesim.errors import SpecError
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.ngspice.rawfile import read_raw


@pytest.mark.parametrize("draw", ["uniform", "exponential", "standard_cauchy"])
def test_bound_of_the_largest_holds_as_often_as_promised_whatever_the_distribution(draw):
    generator = np.random.default_rng(1)
    population = np.abs(getattr(generator, draw)(size=20_000))
    trials, held = 2000, 0
    for _ in range(trials):
        bound = SampleBound.of(generator.choice(population, 30), confidence=0.9)
        held += np.mean(population > bound.limit) <= bound.share
    assert 0.9 - 3 * np.sqrt(0.09 / trials) <= held / trials <= 0.9 + 3 * np.sqrt(0.09 / trials)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_interval_of_a_share_holds_at_least_as_often_as_promised(share):
    generator = np.random.default_rng(2)
    held = [low <= share <= high for low, high in (share_interval(k, 40) for k in generator.binomial(40, share, 1000))]
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_bounds_in_closed_form():
    assert exceeding_share(59) < 0.05 < exceeding_share(58)
    assert share_interval(0, 10)[1] == exceeding_share(10)
    low, high = share_interval(3, 10)  # as published tables have it
    assert (low, high) == pytest.approx((0.0667, 0.6525), abs=1e-4)


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.9968, "100"), (0.994, "99"), (0.6026, "60"), (0.0031, "0.31"), (0.0, "0")]
)
def test_shares_are_told_in_hundredths_without_an_exponent(share, text):
    assert share_text(share) == text


def test_strata_in_closed_form():
    """One stratum, and counts that go with the sizes, are a uniform sample; the rest was found by a general search."""
    assert strata_share([1.0], [16]) == pytest.approx(exceeding_share(16), rel=1e-12)
    assert strata_share([0.5, 0.25, 0.25], [8, 4, 4]) == pytest.approx(exceeding_share(16), rel=1e-12)
    assert strata_share([0.5, 0.5, 0.0], [8, 8, 3]) == pytest.approx(exceeding_share(16), rel=1e-12)
    for weights, counts in (([0.7, 0.3], [3, 9]), ([0.1, 0.2, 0.7], [5, 1, 2]), ([0.98, 0.02], [1, 40])):
        w, n = np.array(weights), np.array(counts)
        found = minimize(
            lambda t, w=w: np.sum(w * np.expm1(-t)), np.full(len(w), np.log(20) / n.sum()), bounds=[(0, None)] * len(w),
            constraints=[{"type": "ineq", "fun": lambda t, n=n: np.log(20) - n @ t}],
        )  # fmt: skip
        assert strata_share(weights, counts) == pytest.approx(-found.fun, rel=1e-5)


def test_bound_of_strata_holds_as_often_as_promised():
    """The worst case, where all strata are as far above as the bound allows; and a case in which one alone is."""
    generator, weights, counts = np.random.default_rng(4), np.array([0.6, 0.3, 0.1]), np.array([4, 4, 8])
    promised = strata_share(weights, counts)
    for direction in ([1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]):
        shares = np.minimum(np.array(direction) * (1.001 * promised / (weights @ direction)), 1.0)
        if weights @ shares <= promised:
            continue  # so many cannot lie above there
        missed = np.all(generator.random((4000, 16)) >= np.repeat(shares, counts), axis=1).mean()
        assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize(
    ("weights", "counts"), [([], []), ([0.5, 0.5], [3, 0]), ([0.5, 0.6], [1, 1]), ([1.5, -0.5], [1, 1])]
)
def test_strata_of_nothing_or_no_shares_bound_nothing(weights, counts):
    with pytest.raises(SpecError, match=r"at least|add up to 1"):
        strata_share(weights, counts)


def test_mean_of_one_stratum_is_that_of_chernoff():
    """With 2 of 40 the divergence of the bound from .05 is worth just the confidence."""
    bound, seen = strata_mean([1.0], [40], [0.05]), 0.05
    divergence = seen * np.log(seen / bound) + (1 - seen) * np.log((1 - seen) / (1 - bound))
    assert 40 * divergence == pytest.approx(np.log(20), rel=1e-3)
    assert strata_mean([0.7, 0.3], [3, 9], [1.0, 1.0]) == 1.0
    assert strata_mean([0.7, 0.3, 0.0], [3, 9, 1], [0.1, 0.0, 1.0]) == strata_mean([0.7, 0.3], [3, 9], [0.1, 0.0])
    rising = [strata_mean([0.7, 0.3], [3, 9], [seen, 0.1]) for seen in (0.0, 0.01, 0.2, 0.5, 0.9)]
    assert (np.diff(rising) > 0).all()
    assert rising[0] > strata_share([0.7, 0.3], [3, 9])


@pytest.mark.parametrize("means", [[0.5], [-0.1, 0.5], [0.5, 1.1], [0.5, np.nan]])
def test_means_that_are_none_bound_nothing(means):
    with pytest.raises(SpecError, match=r"within 0\.\.1"):
        strata_mean([0.5, 0.5], [2, 2], means)


@pytest.mark.parametrize("shares", [[0.04, 0.04, 0.04], [0.3, 0.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.2, 0.9]])
@pytest.mark.parametrize("together", [True, False])
def test_bound_of_codes_holds_where_those_of_a_product_hang_together(shares, together):
    """All codes of a product differ or none, or each by itself; counted as independent ones the first would fail."""
    generator, weights, counts = np.random.default_rng(5), np.array([0.6, 0.3, 0.1]), np.array([4, 4, 8])
    kinds, fell = np.repeat(shares, counts), 0
    for _ in range(60):
        drawn = generator.random((16, 1 if together else 32)) < kinds[:, None]
        bound = CodeBound.of([np.broadcast_to(own, 32) * 1 for own in drawn], weights, counts)
        fell += 1 - bound.least_identical < weights @ shares
    assert fell / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_bound_of_codes_without_a_difference_is_that_of_products():
    found = CodeBound.of([np.zeros(8, dtype=int)] * 16)
    assert found.least_identical == pytest.approx(1 - exceeding_share(16), rel=1e-9)
    assert (found.identical, found.largest, found.share) == (1.0, 0, pytest.approx(exceeding_share(16)))
    one = CodeBound.of([np.zeros(8, dtype=int)] * 15 + [np.array([0, 0, -3, 0, 0, 0, 0, 0])])
    assert 1 - share_interval(1, 16)[1] < one.least_identical < found.least_identical
    assert (one.identical, one.largest, one.count) == (127 / 128, 3, 128)


def test_second_sample_speaks_for_a_true_bound_and_against_a_false_one():
    bound = SampleBound(limit=1.0, share=0.1, confidence=0.95, count=28)
    assert bound.probability(np.zeros(20)) == 1.0
    assert bound.probability(np.full(20, 2.0)) < 1e-15


def test_sample_of_nothing_bounds_nothing():
    with pytest.raises(SpecError, match="a sample of 1 at least"):
        SampleBound.of([])


def test_bound_stated_by_an_audit_holds_on_a_second_sample(generic_calibration):
    first, second = (audit_digits(generic_calibration, seed) for seed in (1, 2))
    assert first.bound.limit == first.max_error == first.product_errors.max() < 2e-3
    assert second.max_error < 2e-3
    assert first.bound.probability(second.product_errors) > 0.01
    assert first.other_codes[1] >= np.mean(second.code_differences != 0)


def test_an_audit_by_layer_tells_of_each_and_bounds_all(generic_calibration):
    digits = load_digits()
    network = compile_network(digits_network("cnn"), generic_calibration, x_calibration=digits.x_calibration)
    found = network.run(digits.x[:20], ExactEngine(generic_calibration), sample=8, by_layer=True, seed=3)
    products = {layer.name: layer.mvms for layer in found.stats.layers}
    audit = audit_samples(found.samples, generic_calibration).of_layers(products)
    assert list(audit.by_layer) == list(products)
    assert audit.count == 8
    for name, own in audit.by_layer.items():
        assert own.products == products[name]
        assert own.bound.count in (8 // len(products), 8 // len(products) + 1)
        assert own.bound.share == exceeding_share(own.bound.count)
    assert audit.bound.limit == max(own.bound.limit for own in audit.by_layer.values())
    uniform = audit.of_layers({}).bound.share
    assert uniform < audit.bound.share < 1  # the largest layers gave less than their share of the sample
    assert audit.other_codes[1] <= 1
    none, one = np.zeros_like(audit.code_differences), np.zeros_like(audit.code_differences)
    one[-1] = 1
    assert replace(audit, code_differences=none).other_codes == (0.0, audit.bound.share)
    spoilt = replace(audit, code_differences=2 * one)
    low, high = spoilt.other_codes
    assert 0 <= low < high <= 1
    assert replace(audit, code_differences=none).code_bound.least_identical == pytest.approx(1 - audit.bound.share)
    *others, last = spoilt.by_layer.values()
    assert [own.codes.largest for own in (*others, last)] == [0] * len(others) + [2]
    assert last.codes.count * (1 - last.codes.identical) == pytest.approx(1)
    assert 1 - high < spoilt.code_bound.least_identical < 1 - audit.bound.share
    assert spoilt.code_bound.largest == 2


def test_worst_product_is_a_netlist_that_gives_the_same_voltages_again(generic_calibration, tmp_path):
    audit = audit_digits(generic_calibration, 3, count=2)
    audit.worst.write(tmp_path / "worst.cir")
    command = ["ngspice", "-b", "-r", "out.raw", "worst.cir"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=1800)
    voltages = read_raw(tmp_path / "out.raw")[0].vectors
    k = int(np.argmax(audit.product_errors))
    outputs = np.split(audit.measured, np.cumsum(audit.sizes)[:-1])[k]
    again = [float(voltages[f"v(out_{j})"][0]) for j in range(len(outputs))]
    reference = generic_calibration.chip.sense_amplifier.v_reference
    np.testing.assert_allclose(reference - np.array(again), outputs, rtol=1e-9, atol=1e-12)


def audit_digits(calibration, seed, count=12, **options):
    """Audit a convolutional network on 50 images of digits."""
    digits = load_digits()
    network = compile_network(digits_network("cnn"), calibration, x_calibration=digits.x_calibration)
    samples = network.run(digits.x[:50], ExactEngine(calibration), sample=count, seed=seed).samples
    return audit_samples(samples, calibration, **options)


def test_an_audit_tells_how_near_a_step_lie_outputs_with_another_code(generic_calibration):
    network = compile_network(digits_network("mlp"), generic_calibration)
    network.fit_ranges(load_digits().x_calibration)
    samples = network.run(load_digits().x[:4], "exact", sample=6).samples
    moved = [replace(own, volts=own.volts + 0.3 * own.adc.lsb) for own in samples]
    same, other = (audit_samples(given, generic_calibration) for given in (samples, moved))
    assert not same.code_differences.any()
    assert not same.code_misses.any()
    assert 0 < np.mean(other.code_differences == 1) < 1
    np.testing.assert_array_equal(other.code_misses > 0, other.code_differences != 0)
    assert 0.1 < other.code_misses.max() < 0.31  # all that lie less than that below a step are beyond it now
