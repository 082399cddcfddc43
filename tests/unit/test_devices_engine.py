"""Networks on chips with real devices."""

from dataclasses import dataclass

import numpy as np
import pytest

from spicesim.chip import Chip, preset
from spicesim.devices import DeviceModel
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, IdealEngine, Tile
from spicesim.errors import SpecError
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import UncalibratedChip

CHIP = preset("gf180-1t1r").changed(array={"rows": 64, "columns": 64}, dac={"bits": 10}, adc={"bits": 12})
LIMITS = (1e-6, 45e-6)
DIGITS = load_digits()
DATASET = Dataset(inputs={"x": DIGITS.x}, labels=DIGITS.y, calibration_inputs=DIGITS.x_calibration)
DAY = 86400.0


@dataclass(frozen=True)
class FakeCalibration:
    chip: Chip = CHIP
    conductance_range: tuple[float, float] = LIMITS
    conductance_limits: tuple[float, float] = LIMITS
    hash: str = "0" * 16
    versions: tuple[str, ...] = ()
    verdict: None = None

    def linear_swing(self, r_feedback):
        return 1.2

    def require_converter(self):
        return None


def engine(name, **options):
    return DeviceEngine(IdealEngine(CHIP), CHIP, device_preset(name), LIMITS, **options)


def network(kind="mlp"):
    return compile_network(digits_network(kind), FakeCalibration(), x_calibration=DIGITS.x_calibration)


def snr(network, engine):
    return np.array([layer.snr_db for layer in network.run(DIGITS.x, engine).stats.layers])


def study(name, **options):
    plan = RunPlan(engine="ideal", device=name, **options)
    return run(plan, digits_network("mlp"), DATASET, UncalibratedChip(CHIP))


def test_devices_change_what_a_tile_holds_and_reads_change_each_product():
    tile = Tile(name="fc:0", g=np.full((64, 64), 2e-5), polarity="unipolar", r_feedback=2e4)
    devices = engine("typical")
    prepared = devices.prepare(tile)
    assert np.abs(prepared.tile.g / 2e-5 - 1).max() > 0.01
    codes = np.full((5000, 64), 1023)
    volts = prepared.mvm(codes)
    np.testing.assert_allclose(volts, IdealEngine(CHIP).prepare(prepared.tile).mvm(codes))
    noise = prepared.read(codes, volts) - volts
    # 64 cells of .5 % of g_max each
    wanted = 2e4 * 8 * 0.005 * LIMITS[1] * CHIP.dac.v_span * 1023 / 1024
    assert noise.std() == pytest.approx(wanted, rel=0.01)
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.06
    np.testing.assert_array_equal(prepared.read(np.zeros_like(codes), volts), volts)


def test_every_tile_has_devices_of_its_own():
    tiles = [Tile(name=f"fc:{k}", g=np.full((64, 64), 2e-5), polarity="unipolar", r_feedback=2e4) for k in range(2)]
    first, second = (engine("typical").prepare(tile).tile.g for tile in tiles)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.06


def test_the_same_seed_gives_the_same_run_and_another_does_not():
    net = network()
    first, again, other = (net.run(DIGITS.x[:20], engine("rram", seed=seed)).logits for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_samples_hold_the_conductances_that_the_devices_have_and_no_read_noise():
    result = network().run(DIGITS.x[:20], engine("rram"), sample=10)
    for sample in result.samples:
        v = CHIP.dac.v_span * sample.codes / 1024
        np.testing.assert_allclose(sample.volts, sample.tile.r_feedback * v @ sample.tile.g, rtol=1e-9)


def test_better_devices_are_better():
    net = network()
    clean = snr(net, IdealEngine(CHIP))
    ecram, typical, rram = (snr(net, engine(name)) for name in ("ecram", "typical", "rram"))
    assert (clean > ecram).all()
    assert (ecram > typical).all()
    assert (typical > rram).all()


def test_rram_is_worse_after_a_day():
    net = network()
    assert (snr(net, engine("rram", time=DAY)) < snr(net, engine("rram")) - 1).all()


def test_compensation_undoes_the_mean_drift_of_pcm():
    net = network()
    drifted = snr(net, engine("pcm", time=365 * DAY, compensate=False))
    compensated = snr(net, engine("pcm", time=365 * DAY))
    assert (compensated > drifted + 3).all()
    assert (snr(net, engine("pcm")) > compensated).all()


def test_cells_beyond_the_calibrated_conductances_are_noted():
    result = network().run(DIGITS.x[:5], engine("pcm", time=DAY))
    assert "% of the cells would leave the calibrated conductances, 1e-06..4.5e-05 S, by" in result.stats.notes[-1]
    faultless = DeviceModel(name="perfect")
    perfect = DeviceEngine(IdealEngine(CHIP), CHIP, faultless, LIMITS)
    assert network().run(DIGITS.x[:5], perfect).stats.notes == ()


def test_a_study_gives_accuracy_with_a_confidence_interval():
    found = study("rram", chips=4, time=DAY)
    accuracies = found.accuracies
    assert len(set(accuracies)) > 1
    low, high = found.interval
    assert low < accuracies.mean() < high
    # Student's factor of 3 degrees of freedom at 95 % is 3.182
    assert high - accuracies.mean() == pytest.approx(3.182 * accuracies.std(ddof=1) / 2, rel=1e-3)
    document = found.document()
    assert document["chips"]["accuracies"] == accuracies.tolist()
    assert document["chips"]["seeds"] == [0, 1, 2, 3]
    assert document["device"]["name"] == "rram"
    assert document["device"]["drift_compensated"] is False
    assert (found.logit_errors > 0.01).all()


def test_one_chip_has_no_interval_and_no_chip_is_refused():
    assert study("pcm", seed=7).interval is None
    with pytest.raises(SpecError, match="chips"):
        RunPlan().changed(device="pcm", chips=0)


def test_gains_are_fitted_on_each_chip():
    plain, fitted = (study("pcm", chips=2, gains=gains) for gains in (False, True))
    assert plain.network.gains is None
    assert fitted.network.gains is not None
    assert (fitted.logit_errors < plain.logit_errors).all()
