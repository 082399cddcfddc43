"""What a sample of products says of all."""

import subprocess

import numpy as np
import pytest

from spicesim.audit import audit_samples
from spicesim.bound import SampleBound, exceeding_share, share_interval
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
