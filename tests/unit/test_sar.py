"""The search of a successive-approximation ADC, trial by trial and as steps."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicesim.behavioural.converter import ConverterRange
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.noise import AmplifierNoise, NoiseModel
from spicesim.behavioural.sar import SarModel, SarSearch, SarSpan
from spicesim.chip import preset
from spicesim.coding import AdcRange
from spicesim.engine import CONVERTER_PARTS, IdealEngine, NoisyEngine, PartialConverterEngine, Tile
from spicesim.errors import CalibrationError, SpecError

BITS, SPAN = 5, 1.6
QUIET = {"sampling_noise": 30e-6, "comparator_noise": 200e-6}


def search(polarity="bipolar", weights=None, trials=0.0, rejected=0.0, curve=(0.0, SPAN / 2)):
    """An array whose top plate follows the input; without errors by default."""
    own = SPAN * 2.0 ** (np.arange(BITS) - BITS) if weights is None else np.asarray(weights)
    middle, sampled = (0.0, 2 ** (BITS - 1)) if polarity == "bipolar" else (-SPAN / 2, 2**BITS - 1)
    start = 0.0 if polarity == "bipolar" else -SPAN / 2
    settling = np.full(BITS, trials), np.full(BITS, rejected)
    return SarSearch(
        sampled=sampled, middle=middle, curve=(curve[0] + start, *curve[1:]), weights=own, trials=settling[0],
        rejected=settling[1], low=middle - SPAN / 2, high=middle + SPAN / 2,
    )  # fmt: skip


def trial_by_trial(found, volts, threshold=0.0, levels=0.0):
    """Search as the circuit does, one voltage at a time; bits that are set, or are not, move the threshold."""
    codes = []
    for u in volts:
        place = np.clip((-u - found.middle) / (SPAN / 2), -1.1, 1.1)
        top = sum(c * place**k for k, c in enumerate(found.curve))
        top += sum(w for k, w in enumerate(found.weights) if found.sampled >> k & 1)
        code, kept, before = 0, True, True
        for k in reversed(range(BITS)):
            left = top - found.weights[k] + found.trials[k] + (0.0 if kept else found.rejected[k])
            left += 0.0 if before else found.earlier
            tried = (code | 1 << k) >> np.arange(BITS) & 1
            left -= threshold + np.sum(levels * (tried - 0.5))
            before, kept = kept, left > 0
            if kept:
                top -= found.weights[k]
                code |= 1 << k
        codes.append(2**BITS - 1 - code)
    return codes


def converter(found):
    return ConverterRange(low=found.low, high=found.high, bits=BITS, search=found, span=SPAN)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["bipolar", "unipolar"]))
def test_steps_are_the_search_whatever_the_capacitors(seed, polarity):
    rng = np.random.default_rng(seed)
    lsb = SPAN / 2**BITS
    weights = SPAN * 2.0 ** (np.arange(BITS) - BITS) * (1 + rng.normal(0, 0.3, BITS))
    found = search(
        polarity, weights, rng.normal(0, lsb), rng.normal(0, lsb),
        (rng.normal(0, lsb), SPAN / 2, *rng.normal(0, 0.1 * lsb, 4)),
    ).model_copy(update={"earlier": rng.normal(0, lsb)})  # fmt: skip
    volts = rng.uniform(-1.2, 1.2, 60)
    assert converter(found).codes(volts).tolist() == trial_by_trial(found, volts)


def numpy_codes(found, volts):
    """Convert as the model is defined, in numpy."""
    place = np.clip((-np.asarray(volts) - found.middle) / (SPAN / 2), -1.1, 1.1)
    steps = found.tables.steps[0, 1:-2]
    return len(steps) - np.searchsorted(steps, np.polynomial.polynomial.polyval(place, found.curve))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["bipolar", "unipolar"]), st.sampled_from([1e-9, 1.0, 30.0, 1e50]))
def test_the_kernel_has_the_codes_of_numpy_to_the_last_bit_whatever_the_search(seed, polarity, disorder):
    rng = np.random.default_rng(seed)
    order, lsb = rng.integers(0, 7), SPAN / 2**BITS
    found = search(polarity, rng.normal(0.1, disorder, BITS), curve=(0.0, SPAN / 2)).model_copy(
        update={
            "curve": np.array([0.0, SPAN / 2, *np.zeros(order)]) + rng.normal(0, disorder, 2 + order),
            "trials": rng.normal(0, disorder * lsb, BITS),
            "rejected": rng.normal(0, disorder * lsb, BITS),
        }
    )
    steps = found.tables.steps[0, 1:-2]
    assert (np.diff(steps) >= 0).all()
    volts = rng.uniform(-1.2, 1.2, (3, 200))
    edges = -steps - found.middle  # of the curve alone, and the numbers on either side
    edges = np.concatenate([edges, np.nextafter(edges, 9), np.nextafter(edges, -9)])
    for some in (volts, edges, volts[:, ::7].T, volts[0, 0], np.empty((0, 4)), [np.nan, np.inf, -np.inf, 0.0, -0.0]):
        codes = converter(found).codes(some)
        assert codes.shape == np.shape(some)
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, numpy_codes(found, some))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["bipolar", "unipolar"]))
def test_converters_beside_each_other_are_each_its_own(seed, polarity):
    rng = np.random.default_rng(seed)
    found = search(polarity, trials=1e-3, rejected=-2e-3)
    offsets, weights = rng.normal(0, 0.05, 3), found.weights * (1 + rng.normal(0, 0.2, (3, BITS)))
    which = rng.integers(0, 3, 7)
    volts = rng.uniform(-1.2, 1.2, (2, 5, 7))
    codes = found.drawn(offsets, weights, which).codes(volts, found, SPAN / 2)
    for column, k in enumerate(which):
        alone = found.model_copy(update={"weights": weights[k], "trials": found.trials - offsets[k]})
        np.testing.assert_array_equal(codes[..., column], converter(alone).codes(volts[..., column]))


def test_outputs_of_other_columns_than_the_converters_are_refused():
    found = search()
    tables = found.drawn(np.zeros(2), np.tile(found.weights, (2, 1)), [0, 1])
    with pytest.raises(SpecError, match="2 columns have converters"):
        tables.codes(np.zeros((5, 3)), found, SPAN / 2)


def test_without_errors_it_is_a_uniform_quantiser():
    found, lsb = search(), SPAN / 2**BITS
    uniform = AdcRange(low=-SPAN / 2 + lsb / 2, high=SPAN / 2 - lsb / 2, bits=BITS)
    volts = np.random.default_rng(0).uniform(-1, 1, (20, 50))
    np.testing.assert_array_equal(converter(found).codes(volts), uniform.codes(volts))


def test_a_code_that_no_input_has_is_never_given():
    weights = SPAN * 2.0 ** (np.arange(BITS) - BITS)
    weights[-1] *= 0.9  # codes just below the middle are missing
    codes = converter(search(weights=weights)).codes(np.linspace(-1, 1, 20001))
    assert len(np.unique(codes)) < 2**BITS
    assert (np.diff(codes) >= 0).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(["bipolar", "unipolar"]), st.booleans())
def test_places_among_steps_round_to_the_codes(seed, polarity, rising):
    rng = np.random.default_rng(seed)
    lsb = SPAN / 2**BITS
    weights = SPAN * 2.0 ** (np.arange(BITS) - BITS) * (1 + rng.normal(0, 0.05, (3, BITS)))
    found = search(polarity, weights[0], curve=(rng.normal(0, lsb), SPAN / 2, 0.01 * lsb))
    drawn = found.drawn(rng.normal(0, 3 * lsb, 3), weights, [0, 1, 1, 2])
    own = dataclasses.replace(converter(found), drawn=drawn, rising=rising)
    volts = rng.uniform(-1.2, 1.2, (40, 4))
    rounded = np.clip(np.rint(own.places(volts)), 0, 2**BITS - 1)
    assert np.array_equal(rounded, own.codes(volts))


def parts_of(own, kept):
    engine = PartialConverterEngine(Read(own), kept)
    return engine.prepare(Tile(name="t", g=np.ones((2, 4)), polarity="bipolar", r_feedback=1.0)).adc


class Read(IdealEngine):
    """An engine whose tiles have converters of their own."""

    def __init__(self, adc):
        super().__init__(preset("generic-1t1r"))
        self.adc = adc

    def prepare(self, tile):
        return super().prepare(dataclasses.replace(tile, adc=self.adc))


def drawn_converter():
    rng = np.random.default_rng(0)
    ideal = SPAN * 2.0 ** (np.arange(BITS) - BITS)
    nominal = search(weights=ideal * [1, 1, 1, 1.02, 0.97])
    moved = nominal.drawn(rng.normal(0, SPAN / 2**BITS, 4), ideal * (1 + rng.normal(0, 0.01, (4, BITS))), range(4))
    return dataclasses.replace(converter(nominal), drawn=moved)


VOLTS = np.random.default_rng(1).uniform(-0.7, 0.7, (2000, 4))


def test_converters_without_steps_and_errors_read_what_is_there():
    adc = parts_of(drawn_converter(), ())
    np.testing.assert_allclose(adc.volts(adc.codes(VOLTS)), VOLTS, atol=0.51 * adc.lsb)
    assert adc.lsb < SPAN / 2**15


def test_converters_with_all_their_parts_are_the_converters():
    """But at inputs that lie on a step to the last bit."""
    own = drawn_converter()
    adc = parts_of(own, CONVERTER_PARTS)
    assert np.array_equal(adc.codes(VOLTS), own.codes(VOLTS))


def test_parts_of_converters_are_told_apart():
    own = drawn_converter()
    nominal = dataclasses.replace(own, drawn=None)
    steps = parts_of(own, ("output bits",))
    assert np.array_equal(steps.codes(VOLTS), AdcRange(low=own.low, high=own.high, bits=BITS).codes(VOLTS))
    assert np.array_equal(parts_of(own, ("output bits", "converters")).codes(VOLTS), nominal.codes(VOLTS))
    errs, differs = (parts_of(own, (name,)) for name in ("converters", "converter mismatch"))
    sums = errs.volts(errs.codes(VOLTS)) + differs.volts(differs.codes(VOLTS)) - VOLTS
    both = parts_of(own, ("converters", "converter mismatch"))
    np.testing.assert_allclose(both.volts(both.codes(VOLTS)), sums, atol=2 * both.lsb)
    assert np.abs(differs.volts(differs.codes(VOLTS)) - VOLTS).max() > own.lsb / 2


def test_a_model_of_other_bits_is_none():
    with pytest.raises(ValueError, match="must have 6 bits"):
        SarModel(bits=6, span=SPAN, searches={"bipolar": search()}, checks={}, **QUIET)


def test_outputs_reach_the_span_of_their_side():
    model = SarModel(
        bits=BITS, span=SPAN, searches={"bipolar": search(), "unipolar": search("unipolar")}, checks={}, **QUIET
    )
    assert (model.reach("bipolar"), model.reach("unipolar")) == (SPAN / 2, SPAN)
    assert isinstance(model.range("unipolar"), ConverterRange)
    assert dataclasses.replace(model.range("bipolar"), low=-1.0).low == -1.0


def test_a_chip_has_ideal_converters_by_default_and_its_hash_does_not_know_of_them():
    chip = preset("generic-1t1r")
    assert chip.converter is None
    assert chip.changed(adc={"kind": "ideal"}).hash == chip.hash
    real = chip.changed(adc={"kind": "sar"})
    assert real.hash != chip.hash
    assert real.converter.dac.bits == real.adc.bits


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adc": {"kind": "sar", "bits": 12}}, "up to 10 bits"),
        ({"adc": {"kind": "sar"}, "sar_adc": {"dac": {"span": 3.4}}}, "must lie within the supply"),
        ({"adc": {"kind": "sar"}, "sar_adc": {"dac": {"span": 1.7}}}, "would end below ground"),
        ({"adc": {"kind": "sar", "bits": 7}, "sar_adc": {"dac": {"errors": (0.01,) * 6}}}, "one for each of adc.bits"),
        ({"adc": {"kind": "flash"}}, "adc.kind"),
    ],
)
def test_a_converter_that_cannot_be_is_refused(changes, said):
    with pytest.raises(SpecError, match=said):
        preset("generic-1t1r").changed(**changes)


def test_the_mismatch_of_capacitors_is_a_key_that_todays_chips_do_not_show():
    chip = preset("generic-1t1r").changed(adc={"kind": "sar"})
    assert "mismatch" not in chip.model_dump(mode="json")["sar_adc"]["dac"]
    other = chip.changed(sar_adc={"dac": {"mismatch": 0.01}})
    assert other.hash != chip.hash
    assert type(chip).model_validate(other.model_dump(mode="json")) == other
    spreads = other.converter.dac.spreads
    np.testing.assert_allclose(spreads, 0.01 / np.sqrt(2.0 ** np.arange(8)))
    varied = other.converter.dac.varied(spreads)
    np.testing.assert_allclose(varied.capacitors, other.converter.dac.capacitors * (1 + spreads), rtol=1e-15)
    assert varied.mismatch == 0.01


def test_a_larger_capacitor_takes_more_and_loads_the_array():
    model = SarModel(bits=BITS, span=SPAN, searches={"bipolar": search()}, checks={}, **QUIET)
    errors = np.zeros((1, BITS))
    errors[0, -1] = 0.01  # half of the array: the array is .5 % larger
    drawn = model.drawn("bipolar", np.zeros((1, 1 + model.bits)), errors, [0])
    expected = search(weights=search().weights * np.where(np.arange(BITS) == BITS - 1, 1.01, 1.0) / 1.005)
    volts = np.linspace(-1, 1, 997)
    np.testing.assert_array_equal(drawn.codes(volts), converter(expected).codes(volts))


@pytest.mark.parametrize("polarity", ["bipolar", "unipolar"])
def test_a_drawn_threshold_goes_with_the_levels_of_bits(polarity):
    own, lsb = search(polarity), SPAN / 2**BITS
    model = SarModel(bits=BITS, span=SPAN, searches={polarity: own}, checks={}, **QUIET)
    threshold, *levels = thresholds = np.random.default_rng(3).normal(0, 0.4 * lsb, 1 + BITS)
    drawn = model.drawn(polarity, thresholds[None], np.zeros((1, BITS)), [0])
    volts = own.middle * -1 + np.linspace(-0.9, 0.9, 997) * SPAN / 2
    wanted = np.array(trial_by_trial(own, volts, threshold, np.array(levels)))
    np.testing.assert_array_equal(drawn.codes(volts), wanted)
    assert np.mean(wanted != converter(own).codes(volts)) > 0.2


def test_noise_adds_up_and_is_refused_where_the_comparators_is_unknown():
    words = {"bits": BITS, "span": SPAN, "searches": {"bipolar": search()}, "checks": {}, "sampling_noise": 3e-5}
    assert SarModel(**words, comparator_noise=4e-5).noise == pytest.approx(5e-5)
    with pytest.raises(CalibrationError, match="bare models"):
        _ = SarModel(**words, comparator_noise=None).noise


def test_samples_of_real_converters_have_their_noise_and_those_of_ideal_ones_have_not():
    chip, count = preset("generic-1t1r"), 4000
    amplifiers = tuple(
        AmplifierNoise(
            r_feedback=r, conductances=np.array([0.0, 1.0]), variance=np.zeros(2), driver_variance=np.zeros(2)
        )
        for r in chip.sense_amplifier.r_feedback
    )
    quiet = NoiseModel(f_low=1e3, temperature_c=27.0, max_error=0.0, amplifiers=amplifiers)
    engine = NoisyEngine(IdealEngine(chip), quiet, converter=2e-4)
    g, codes = np.full((8, 3), 2e-5), np.zeros((count, 8), dtype=np.int64)
    for adc, sigma in ((converter(search()), 2e-4), (AdcRange(low=-1, high=1, bits=8), 0.0)):
        tile = Tile(name="a", g=g, polarity="unipolar", r_feedback=chip.sense_amplifier.r_feedback[0], adc=adc)
        prepared = engine.prepare(tile)
        volts = prepared.mvm(codes)
        noise = prepared.read(codes, volts) - volts
        # of 4000 draws a sigma is known to 1.1 %, a correlation to 1.6 %
        np.testing.assert_allclose(noise.std(axis=0), sigma, rtol=0.05)
        if sigma:
            assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.07


def test_between_temperatures_the_numbers_of_a_converter_follow_a_line_and_its_resolution_stays():
    words = {"bits": BITS, "span": SPAN, "checks": {}, "sampling_noise": 3e-5}
    own = SarModel(**words, searches={"bipolar": search()}, comparator_noise=2e-4)
    hot = SarModel(**words, searches={"bipolar": search(trials=2e-3, curve=(0.01, 0.8, 1e-3))}, comparator_noise=3e-4)
    own = own.model_copy(update={"searches": {"bipolar": search(curve=(0.0, 0.8, 0.0))}})
    climate = Elsewhere[SarModel](
        temperatures_c=(27.0, 127.0), temperatures=(hot,), corner_temperatures_c=(27.0,), corners={"ss": (hot,)}
    )
    half = climate.at(own, None, 77.0)
    np.testing.assert_allclose(half.searches["bipolar"].curve, (0.005, 0.8, 5e-4), rtol=1e-12)
    np.testing.assert_allclose(half.searches["bipolar"].trials, 1e-3, rtol=1e-12)
    assert half.comparator_noise == pytest.approx(2.5e-4)
    assert (half.bits, half.searches["bipolar"].sampled) == (own.bits, own.searches["bipolar"].sampled)
    volts = np.linspace(-1, 1, 997)
    np.testing.assert_array_equal(
        climate.at(own, "ss", 27.0).range("bipolar").codes(volts), hot.range("bipolar").codes(volts)
    )


def spanned():
    """A model of two spans."""
    narrow = SarSpan(span=SPAN / 2, searches={"bipolar": search()}, checks={})
    return SarModel(bits=BITS, span=SPAN, searches={"bipolar": search()}, checks={}, narrower=(narrow,), **QUIET)


def test_converters_of_one_span_are_those_of_a_chip_that_has_no_other():
    model = spanned()
    assert model.spans == (SPAN, SPAN / 2)
    narrow = model.over(SPAN / 2)
    assert (narrow.span, narrow.narrower, narrow.reach("bipolar")) == (SPAN / 2, (), SPAN / 4)
    assert narrow.range("bipolar").span == SPAN / 2
    with pytest.raises(CalibrationError, match=r"add it to sar_adc\.spans"):
        model.over(SPAN / 3)


def test_every_span_has_the_same_searches():
    other = SarSpan(span=SPAN / 2, searches={"unipolar": search("unipolar")}, checks={})
    with pytest.raises(ValueError, match="every span must have searches for bipolar"):
        SarModel(bits=BITS, span=SPAN, searches={"bipolar": search()}, checks={}, narrower=(other,), **QUIET)


@pytest.mark.parametrize("spans", [(2.0,), (1.5,), (0.4, 0.8), (0.4, 0.4), (0.0,), (-0.4,)])
def test_spans_that_are_no_choice_are_refused(spans):
    with pytest.raises(SpecError, match="spans"):
        preset("generic-1t1r").changed(adc={"kind": "sar"}, sar_adc={"spans": spans})


def test_spans_are_a_key_that_todays_chips_do_not_show():
    chip = preset("generic-1t1r").changed(adc={"kind": "sar"})
    assert "spans" not in chip.model_dump(mode="json")["sar_adc"]
    other = chip.changed(sar_adc={"spans": ("800 mV", 0.2)})
    assert other.sar_adc.spans == (0.8, 0.2)
    assert other.hash != chip.hash
    assert type(chip).model_validate(other.model_dump(mode="json")) == other
    assert other.over(0.2) == chip.over(0.2)
    assert other.over(1.6) == chip
