"""The top plate and the threshold of a SAR ADC are found again from conversions of one that is known."""

import numpy as np
import pytest

from spicesim.behavioural.sar import SarSearch
from spicesim.calibration import decisions
from spicesim.calibration.decisions import find_threshold
from spicesim.calibration.top_plate import Plate, Seen, _columns, fit_plate

BITS, SPAN, SAMPLED, MEMORY = 6, 1.6, 32, 3e-4
WEIGHTS = SPAN / 2 ** np.arange(BITS, 0, -1)
LATE = np.array([0.0, 40e-6, 30e-6, 20e-6, 10e-6, 0.0])
PLATE = Plate(
    curve=np.array([2e-3, -0.79, 1e-4, -3e-4, 0.0, 1e-5]), weights=-WEIGHTS, trials=LATE, rejected=LATE / 2,
    memory=np.array([MEMORY]),
)  # fmt: skip
TILT, MIDDLE, FIRST = -0.5e-3, 4e-3, 0.3e-3


FINER = 5
FINER_PLATE = Plate(
    curve=PLATE.curve, weights=np.append(-WEIGHTS[0] / 2 ** np.arange(FINER, 0, -1), PLATE.weights),
    trials=np.append(np.zeros(FINER), LATE), rejected=np.append(np.zeros(FINER), LATE / 2), memory=PLATE.memory,
)  # fmt: skip


def threshold(inputs, bit):
    """It recovers from its first trial, by half from one to the next."""
    return MIDDLE + TILT * inputs + FIRST * 0.5 ** (BITS - 1 - bit)


def convert(inputs, finer=0):
    """Convert as that converter does, each input after the one before it, and go on with finer bits."""
    before, plate, bits = np.roll(inputs, 1) * SPAN / 2, FINER_PLATE if finer else PLATE, BITS + finer
    codes, tops = np.zeros(len(inputs), int), np.zeros((len(inputs), bits))
    for bit in reversed(range(bits)):
        seen = Seen(inputs=inputs, before=before, codes=codes, tops=tops)
        tops[:, bit] = (_columns(seen, SAMPLED << finer) @ plate.numbers)[:, bit]
        codes = codes | (tops[:, bit] < threshold(inputs, bit - finer)).astype(int) << bit
    # the comparator says it the other way round for a plate that falls with its input
    return Seen(inputs=inputs, before=before, codes=codes, tops=-tops)


@pytest.mark.parametrize("seed", range(4))
def test_the_plate_and_what_it_keeps_of_the_input_before_are_found(seed):
    seen = convert(np.random.default_rng(seed).uniform(-1, 1, 32))
    found = fit_plate(seen, SAMPLED)
    np.testing.assert_allclose(found.memory, -MEMORY, rtol=1e-6)
    np.testing.assert_allclose(_columns(seen, SAMPLED) @ found.numbers, seen.tops, rtol=0, atol=1e-9)
    beyond = found.beyond(seen, SAMPLED)
    np.testing.assert_allclose(beyond, np.broadcast_to(-MEMORY * seen.before[:, None], beyond.shape), atol=1e-8)


def test_a_condition_that_adds_a_memory_is_found_from_few_conversions():
    rng = np.random.default_rng(7)
    own = fit_plate(convert(rng.uniform(-1, 1, 32)), SAMPLED)
    seen = convert(rng.uniform(-1, 1, 8))
    more = Seen(
        inputs=seen.inputs, before=seen.before, codes=seen.codes, tops=seen.tops + 1e-3 * seen.before[:, None] + 2e-3
    )
    found = fit_plate(more, SAMPLED, own)
    np.testing.assert_allclose(found.memory - own.memory, 1e-3, rtol=1e-6)
    np.testing.assert_allclose(found.curve[0] - own.curve[0], 2e-3, rtol=1e-6)


def test_finer_bits_tell_a_threshold_without_aims():
    """So much of a step as they divide it into; without them it is anywhere between the nearest decisions."""
    step, worst = SPAN / 2**BITS, {}
    for finer in (0, FINER):
        found = [find_threshold(convert(np.random.default_rng(k).uniform(-0.9, 0.9, 8), finer)) for k in range(8)]
        x = np.linspace(-0.8, 0.8, 5)
        off = [own.middle + own.tilt * x + threshold(x, -9) for own in found]  # plates here rise with codes
        worst[finer] = np.abs(off).max()
    assert worst[FINER] < step / 2**FINER
    assert worst[0] > 2 * worst[FINER]


def test_the_bits_above_finer_ones_are_those_of_the_converter():
    inputs = np.random.default_rng(3).uniform(-1, 1, 16)
    plain, finer = convert(inputs), convert(inputs, FINER)
    np.testing.assert_array_equal(finer.upper(BITS).codes, plain.codes)
    np.testing.assert_allclose(finer.upper(BITS).tops, plain.tops, rtol=0, atol=1e-12)
    search = find_threshold(finer).applied(SarSearch(sampled=SAMPLED, middle=0.0, low=-0.8, high=0.8, **PLATE.search))
    np.testing.assert_allclose(PLATE.threshold(search, finer)[:, FINER:], PLATE.threshold(search, plain), atol=1e-12)


def aimed(seed, lowest=-0.1e-3):
    """Return tops within .1 mV of the threshold, or less below it, as aimed conversions have them, eight a bit."""
    rng = np.random.default_rng(seed)
    bits = np.tile(np.arange(BITS), 8)
    inputs, codes = rng.uniform(-1, 1, len(bits)), rng.integers(0, 2**BITS, len(bits))
    over = rng.uniform(lowest, 0.1e-3, len(bits))
    codes = np.where(over > 0, codes | 1 << bits, codes & ~(1 << bits))
    tops = threshold(inputs[:, None], np.arange(BITS)) + np.where(codes[:, None] >> np.arange(BITS) & 1, 50e-3, -50e-3)
    tops[np.arange(len(bits)), bits] = threshold(inputs, bits) + over
    return Seen(inputs=inputs, before=np.roll(inputs, 1), codes=codes, tops=tops)


def errors(seed, lowest=-0.1e-3):
    """Return by how much the threshold found is another, over bits and inputs [V]."""
    found, x, bits = find_threshold(aimed(seed, lowest)), np.linspace(-0.8, 0.8, 5)[:, None], np.arange(BITS)
    return found.middle + found.tilt * x + found.bits - threshold(x, bits)


def test_a_threshold_that_recovers_is_found_at_every_bit(monkeypatch):
    """A free number a bit, as good for any threshold, would be farther off."""
    found = np.sqrt(np.mean(np.square([errors(seed) for seed in range(8)])))
    assert found < 20e-6
    monkeypatch.setattr(decisions, "DECAYS", (1.0,))
    assert np.sqrt(np.mean(np.square([errors(seed) for seed in range(8)]))) > 1.5 * found


def test_where_most_decisions_are_of_one_side_the_threshold_is_found_as_well(monkeypatch):
    """Aims lie where the threshold was taken to be; each side pushes from as far as the margin."""
    found = np.sqrt(np.mean(np.square([errors(seed, lowest=-0.02e-3) for seed in range(8)])))
    assert found < 15e-6
    monkeypatch.setattr(decisions, "MARGIN", 50e-6)
    assert np.sqrt(np.mean(np.square([errors(seed, lowest=-0.02e-3) for seed in range(8)]))) > 1.5 * found


def test_another_coding_tells_of_a_threshold_what_few_decisions_do_not():
    """Of two conversions a bit one finds it better that knows one 15 uV away; so does one that knows it from none."""
    rms = {}
    for known in (False, True):
        found = []
        for seed in range(8):
            like = find_threshold(aimed(seed))
            few = aimed(100 + seed)[: 2 * BITS]
            moved = Seen(inputs=few.inputs, before=few.before, codes=few.codes, tops=few.tops + 15e-6)
            x, bits = np.linspace(-0.8, 0.8, 5)[:, None], np.arange(BITS)
            own = find_threshold(moved, like if known else None)
            found.append(own.middle + own.tilt * x + own.bits - threshold(x, bits) - 15e-6)
        rms[known] = np.sqrt(np.mean(np.square(found)))
    assert rms[True] < 25e-6
    assert rms[True] < 0.6 * rms[False]
