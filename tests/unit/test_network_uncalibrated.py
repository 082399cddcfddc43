"""The engine ideal on a chip that nobody calibrated, with converters of up to 16 bits."""

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.engine import IdealEngine
from spicesim.errors import NetworkError, SpecError
from spicesim.netlist.dac import build_dac
from spicesim.network import compile_network, digits_network, load_digits

DIGITS = load_digits()
FINE = preset("gf180-1t1r").changed(array={"rows": 32, "columns": 32}, dac={"bits": 16}, adc={"bits": 16})


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("scale", ["static", "vector"])
def test_sixteen_bits_reproduce_onnxruntime_on_inputs_that_no_range_was_fitted_to(kind, scale):
    network = compile_network(digits_network(kind), FINE, x_calibration=DIGITS.x_calibration, input_scale=scale)
    result, digital = network.run(DIGITS.x, "ideal"), network.run_digital(DIGITS.x)
    np.testing.assert_allclose(result.logits, digital, rtol=0, atol=1e-3 * np.abs(digital).max())
    np.testing.assert_array_equal(result.logits.argmax(axis=1), digital.argmax(axis=1))
    assert all(layer.adc_clipped == layer.dac_clipped == 0 for layer in result.stats.layers)


@pytest.mark.parametrize("engine", ["fast", "exact", "ngspice"])
def test_other_engines_ask_for_a_calibration(engine):
    network = compile_network(digits_network("mlp"), FINE, x_calibration=DIGITS.x_calibration)
    with pytest.raises(NetworkError, match=r"only the engine ideal runs.*spicesim calibrate"):
        network.run(DIGITS.x[:2], engine)


def test_an_engine_object_runs_it_too():
    network = compile_network(digits_network("mlp"), FINE, x_calibration=DIGITS.x_calibration)
    words = network.run(DIGITS.x[:9], "ideal").logits
    np.testing.assert_array_equal(network.run(DIGITS.x[:9], IdealEngine(FINE)).logits, words)


def test_no_ladder_is_built_of_more_than_twelve_bits():
    with pytest.raises(SpecError, match=r"at most 12 bits, got dac.bits = 16.*engine ideal"):
        build_dac(FINE)
