"""Codes in one pass over memory are numpy's to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spicesim.coding import POLARITIES, AdcRange, dac_codes
from spicesim.errors import SpecError
from spicesim.fast.converting import convert_inputs, read_outputs
from spicesim.network.ranges import LayerRanges

NUMBERS = st.floats(-4, 4) | st.integers(-1024, 1024).map(lambda n: n / 512) | st.sampled_from([np.inf, -np.inf, -0.0])


@given(
    values=arrays(float, st.tuples(st.integers(0, 5), st.integers(1, 19)), elements=NUMBERS),
    bits=st.integers(1, 24),
    polarity=st.sampled_from(POLARITIES),
    scale=st.floats(1e-3, 1e3) | st.sampled_from([1.0, 2.0, 255 / 256]),
)
def test_codes_of_inputs_are_those_of_the_definition(values, bits, polarity, scale):
    scales = scale * np.arange(1.0, len(values) + 1)[:, None]
    codes, beyond = convert_inputs(values, bits, scales, polarity)
    np.testing.assert_array_equal(codes, dac_codes(values, bits, scales, polarity))
    ranges = LayerRanges(polarity=polarity, input_scale=scale, r_feedback=1.0, adc=AdcRange(low=0.0, high=1.0, bits=8))
    codes, beyond = convert_inputs(values, bits, ranges.scales(values), polarity)
    assert beyond == np.count_nonzero(ranges.overdriven(values, bits))


@pytest.mark.parametrize("polarity", POLARITIES)
def test_a_number_that_is_none_has_no_code(polarity):
    with pytest.raises(SpecError, match="NaN"):
        convert_inputs(np.array([[0.0, np.nan]]), 8, np.ones((1, 1)), polarity)


@given(
    volts=arrays(float, st.tuples(st.integers(0, 5), st.integers(1, 19)), elements=st.floats(-3, 3)),
    low=st.floats(-1, 0.5), span=st.floats(1e-3, 2), bits=st.integers(1, 24),
)  # fmt: skip
def test_what_codes_of_outputs_stand_for_is_that_of_the_definition(volts, low, span, bits):
    adc = AdcRange(low=low, high=low + span, bits=bits)
    seen, beyond = read_outputs(volts, adc)
    np.testing.assert_array_equal(seen, adc.volts(adc.codes(volts)))
    ranges = LayerRanges(polarity="unipolar", input_scale=1.0, r_feedback=1.0, adc=adc)
    assert beyond == np.count_nonzero(ranges.clipped(volts))


def test_converters_of_ones_own_convert_themselves():
    class Rough(AdcRange):
        def codes(self, volts):
            return super().codes(np.round(np.asarray(volts), 1))

    volts, rough = np.linspace(-0.2, 1.2, 57)[None], Rough(low=0.0, high=1.0, bits=8)
    ranges = LayerRanges(polarity="unipolar", input_scale=1.0, r_feedback=1.0, adc=rough)
    seen, _ = ranges.read(volts)
    np.testing.assert_array_equal(seen, rough.volts(rough.codes(volts)))
    plain = AdcRange(low=0.0, high=1.0, bits=8)
    np.testing.assert_array_equal(ranges.read(volts, plain)[0], plain.volts(plain.codes(volts)))
