"""The engine of linear cells in runs: what it leaves out is measured on the run's own products, and told."""

import numpy as np
import pytest

from spicesim.chip import preset
from spicesim.engine import ExactEngine, build_engine
from spicesim.errors import SpecError
from spicesim.experiment.deviation import measure_deviation
from spicesim.experiment.plan import make_plan
from spicesim.experiment.run import run
from spicesim.network import compile_network, digits_network, load_digits

DIGITS = load_digits()


@pytest.fixture(scope="module")
def found(gf180_calibration):
    plan = make_plan({"engine": "transfer", "images": 20})
    data = {"x": DIGITS.x[:20]}
    return run(plan, digits_network("cnn"), data, gf180_calibration)


def test_a_run_tells_how_far_linear_cells_are_from_the_circuit(found, gf180_calibration):
    deviation = found.findings.deviation
    assert 0 < deviation.rms_error < deviation.max_error < 0.02
    samples = found.first.result.samples
    assert {sample.layer for sample in samples} == {layer.name for layer in found.network.layers}
    assert deviation.count == len(samples)
    errors = {}
    for sample in samples:  # one by one
        volts = ExactEngine(gf180_calibration).prepare(sample.tile).mvm(sample.codes[None])[0]
        low, high = sample.adc.low - 0.5 * sample.adc.lsb, sample.adc.high + 0.5 * sample.adc.lsb
        error = np.abs(np.clip(volts, low, high) - np.clip(sample.volts, low, high)).max()
        errors[sample.layer] = max(errors.get(sample.layer, 0.0), error / (sample.adc.high - sample.adc.low))
    assert deviation.max_error == pytest.approx(max(errors.values()), rel=1e-6)
    assert deviation.layer == max(errors, key=errors.__getitem__)
    assert found.first.result.stats.notes[-1] == deviation.format("transfer")
    assert found.document()["deviation"] == deviation.document()


def test_the_circuit_does_not_differ_from_itself(gf180_calibration):
    network = compile_network(digits_network("mlp"), gf180_calibration, x_calibration=DIGITS.x_calibration)
    engine = ExactEngine(gf180_calibration)
    samples = network.run(DIGITS.x[:10], engine, sample=6, by_layer=True).samples
    assert measure_deviation(samples, engine).max_error < 1e-9
    exact = run(make_plan({"images": 4}), digits_network("mlp"), {"x": DIGITS.x[:4]}, gf180_calibration)
    assert exact.findings.deviation is None


@pytest.mark.parametrize("key", [{"mismatch": 1}, {"early": True, "t_read": "50ns"}])
def test_linear_cells_have_no_mismatch_and_are_settled(key):
    with pytest.raises(SpecError, match="the engine 'transfer' knows nominal blocks and settled outputs only"):
        make_plan({"engine": "transfer", **key})


@pytest.mark.parametrize(
    ("name", "word"), [("gf180-voltage", "hold.planes = charge"), ("gf180-pulse", "dac.kind = pulse"),
                       ("gf180-gate", "cell.inputs = gate")],
)  # fmt: skip
def test_chips_whose_products_are_no_settled_point_of_linear_cells_are_refused(gf180_calibration, name, word):
    calibration = gf180_calibration.model_construct(**{**gf180_calibration.__dict__, "chip": preset(name)})
    with pytest.raises(SpecError, match=word):
        build_engine("transfer", calibration)
