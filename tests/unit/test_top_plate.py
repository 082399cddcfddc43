"""The top plate and the threshold of a SAR ADC are found again from conversions of one that is known."""

from dataclasses import replace

import numpy as np
import pytest

from spicesim.behavioural.sar import SarSearch
from spicesim.calibration import decisions
from spicesim.calibration.decisions import find_threshold
from spicesim.calibration.delays import DelayLaw
from spicesim.calibration.top_plate import Plate, Seen, _columns, fit_plate
from spicesim.errors import CalibrationError

BITS, SPAN, SAMPLED = 6, 1.6, 32
WEIGHTS = SPAN / 2 ** np.arange(BITS, 0, -1)
LATE = np.array([0.0, 40e-6, 30e-6, 20e-6, 10e-6, 0.0])
PLATE = Plate(
    curve=np.array([2e-3, -0.79, 1e-4, -3e-4, 0.0, 1e-5]), weights=-WEIGHTS, trials=LATE, rejected=LATE / 2,
)  # fmt: skip
TILT, MIDDLE, FIRST = -0.5e-3, 4e-3, 0.3e-3
STATES = np.array([-20e-6, -30e-6, -50e-6, 20e-6, 15e-6, 0.0])


LAW = DelayLaw(rate=1 / 20e-12, middle=400e-12, terms=np.array([0.4e-3, 0.0, 0.0, 0.0]), lopsided=0.0, shortest=300e-12)
"""How long that comparator takes: 20 ps less for each factor of e."""


def delays(over):
    return LAW.middle - np.log(np.abs(over) / LAW.terms[0]) / LAW.rate


def threshold(inputs, bit):
    """It recovers from its first trial, by half from one to the next."""
    return MIDDLE + TILT * inputs + FIRST * 0.5 ** (BITS - 1 - bit)


def convert(inputs):
    """Convert as that converter does."""
    bits = np.arange(BITS)
    codes, tops = np.zeros(len(inputs), int), np.zeros((len(inputs), BITS))
    for bit in reversed(bits):
        seen = Seen(inputs=inputs, codes=codes, tops=tops, delays=tops)
        tops[:, bit] = (_columns(seen, SAMPLED) @ PLATE.numbers)[:, bit]
        codes = codes | (tops[:, bit] < threshold(inputs, bit)).astype(int) << bit
    # the comparator says it the other way round for a plate that falls with its input
    late = delays(tops - threshold(inputs[:, None], bits))
    return Seen(inputs=inputs, codes=codes, tops=-tops, delays=late)


@pytest.mark.parametrize("seed", range(4))
def test_the_plate_is_found(seed):
    seen = convert(np.random.default_rng(seed).uniform(-1, 1, 32))
    found = fit_plate(seen, SAMPLED)
    np.testing.assert_allclose(_columns(seen, SAMPLED) @ found.numbers, seen.tops, rtol=0, atol=1e-9)


def test_a_plate_that_bends_is_found_with_what_changes_of_it():
    """As where sources do not charge arrays whole."""
    rng = np.random.default_rng(7)
    own = fit_plate(convert(rng.uniform(-1, 1, 32)), SAMPLED, bent=True)
    seen, others = (convert(rng.uniform(-1, 1, count)) for count in (24, 64))

    def bend(one):
        return replace(one, tops=one.tops + 5e-3 * np.sin(3 * one.inputs)[:, None])

    found = fit_plate(bend(seen), SAMPLED, own, bent=True)
    told = _columns(others, SAMPLED, len(found.curve) - 1) @ found.numbers
    np.testing.assert_allclose(told, bend(others).tops, rtol=0, atol=20e-6)
    smooth = fit_plate(bend(seen), SAMPLED, fit_plate(seen, SAMPLED))
    assert np.abs(_columns(others, SAMPLED) @ smooth.numbers - bend(others).tops).max() > 100e-6


def test_what_a_condition_changes_is_found_from_few_conversions():
    rng = np.random.default_rng(7)
    own = fit_plate(convert(rng.uniform(-1, 1, 32)), SAMPLED)
    seen = convert(rng.uniform(-1, 1, 8))
    more = replace(seen, tops=seen.tops + 2e-3 + 1e-3 * seen.inputs[:, None])
    found = fit_plate(more, SAMPLED, own)
    np.testing.assert_allclose(found.curve[:2] - own.curve[:2], [2e-3, 1e-3], rtol=1e-6)


def test_delays_tell_a_threshold_without_aims():
    """To a thousandth of a step, from conversions that end anywhere in one."""
    x = np.linspace(-0.8, 0.8, 5)
    for seed in range(8):
        seen = convert(np.random.default_rng(seed).uniform(-0.9, 0.9, 8))
        found = find_threshold(seen, LAW, SPAN / 2**BITS)
        # plates here rise with codes, and what the last trials add to the middle has decayed
        np.testing.assert_allclose(
            found.middle + found.tilt * x + found.bits[0], -threshold(x, 0), rtol=0, atol=1e-3 * SPAN / 2**BITS
        )


def test_a_factor_of_distances_and_odd_delays_move_no_threshold():
    seen = convert(np.random.default_rng(5).uniform(-0.9, 0.9, 32))
    odd = seen.delays.copy()
    odd[3, 0] += 40e-12
    odd[17, 1] -= 60e-12
    own = find_threshold(seen, LAW, SPAN / 2**BITS)
    found = find_threshold(replace(seen, delays=odd), replace(LAW, terms=1.05 * LAW.terms), SPAN / 2**BITS)
    np.testing.assert_allclose(found.middle, own.middle, rtol=0, atol=15e-6)


def test_a_comparator_that_always_decides_alike_has_no_threshold():
    seen = convert(np.linspace(-0.5, 0.5, 8))
    with pytest.raises(CalibrationError, match="no threshold"):
        find_threshold(replace(seen, codes=np.zeros(8, int)), LAW)


def aimed(seed, lowest=-0.1e-3):
    """Return tops within .1 mV of the threshold, or less below it, as aimed conversions have them, eight a bit.

    The threshold moves with the bits that are set.
    """
    rng = np.random.default_rng(seed)
    bits = np.tile(np.arange(BITS), 8)
    inputs, codes = rng.uniform(-1, 1, len(bits)), rng.integers(0, 2**BITS, len(bits))
    over = rng.uniform(lowest, 0.1e-3, len(bits))
    codes = np.where(over > 0, codes | 1 << bits, codes & ~(1 << bits))
    every = np.arange(BITS)
    over = np.where(every == bits[:, None], over[:, None], np.where(codes[:, None] >> every & 1, 50e-3, -50e-3))
    seen = Seen(inputs=inputs, codes=codes, tops=over, delays=delays(over))
    return replace(seen, tops=over + threshold(inputs[:, None], every) + levels(seen.tried) @ STATES)


def levels(codes):
    return (codes[..., None] >> np.arange(BITS) & 1) - 0.5


def errors(seed, lowest=-0.1e-3):
    """Return by how much the threshold found is another, over other conversions [V]."""
    found, others, bits = find_threshold(aimed(seed, lowest), LAW), aimed(1000 + seed), np.arange(BITS)
    x = others.inputs[:, None]
    return (
        found.middle + found.tilt * x + found.bits - threshold(x, bits)
        + levels(others.tried) @ (found.states - STATES) + others.rejected @ found.memory
    )  # fmt: skip


def test_a_threshold_that_recovers_is_found_at_every_bit(monkeypatch):
    """A free number a bit, as good for any threshold, would be farther off."""
    found = np.sqrt(np.mean(np.square([errors(seed) for seed in range(8)])))
    assert found < 3e-6
    monkeypatch.setattr(decisions, "DECAYS", (1.0,))
    assert np.sqrt(np.mean(np.square([errors(seed) for seed in range(8)]))) > 1.5 * found


def test_what_bits_that_are_set_add_to_the_threshold_belongs_to_their_weights(monkeypatch):
    seen, others, bits = aimed(1), aimed(2), np.arange(BITS)
    own = SarSearch(sampled=SAMPLED, middle=0.0, low=-0.8, high=0.8, **PLATE.search)
    search = find_threshold(seen, LAW).applied(own)
    found = PLATE.threshold(search, others)
    x = others.inputs[:, None]
    np.testing.assert_allclose(found, threshold(x, bits) + levels(others.tried) @ STATES, rtol=0, atol=15e-6)
    monkeypatch.setattr(decisions, "STATE", 1e-12)
    without = PLATE.threshold(find_threshold(seen, LAW).applied(own), others)
    off = without - threshold(x, bits) - levels(others.tried) @ STATES
    assert np.sqrt(np.mean(off**2)) > 15e-6


def test_where_most_decisions_are_of_one_side_the_threshold_is_found_as_well():
    """Aims lie where the threshold was taken to be."""
    assert np.sqrt(np.mean(np.square([errors(seed, lowest=-0.02e-3) for seed in range(8)]))) < 3e-6


def test_another_coding_tells_of_a_threshold_what_few_decisions_do_not():
    """Of one conversion a bit with noisy delays one finds it better that knows one 15 uV away."""
    rms = {}
    for known in (False, True):
        found = []
        for seed in range(16):
            like, rng = find_threshold(aimed(seed), LAW), np.random.default_rng(seed)
            few = aimed(100 + seed)[:BITS]
            noisy = few.tops + 15e-6 + rng.normal(scale=15e-6, size=few.tops.shape)
            x, bits = np.linspace(-0.8, 0.8, 5)[:, None], np.arange(BITS)
            own = find_threshold(replace(few, tops=noisy), LAW, like=like if known else None)
            moved = levels(1 << bits) @ (own.states - STATES)
            found.append(own.middle + own.tilt * x + own.bits + moved - threshold(x, bits) - 15e-6)
        rms[known] = np.sqrt(np.mean(np.square(found)))
    assert rms[True] < 25e-6
    assert rms[True] < 0.6 * rms[False]
