"""Noise of circuits around engines."""

import numpy as np
import pytest

from spicesim.behavioural.noise import AmplifierNoise, NoiseModel
from spicesim.chip import preset
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, IdealEngine, NoisyEngine, Tile
from spicesim.errors import ValidityError
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.uncalibrated import UncalibratedChip

CHIP = preset("gf180-1t1r").changed(array={"rows": 64, "columns": 64}, dac={"bits": 10}, adc={"bits": 12})
LIMITS = (1e-6, 45e-6)
NOISE = NoiseModel(
    f_low=1e3, temperature_c=27.0, max_error=0.0,
    amplifiers=tuple(
        AmplifierNoise(
            r_feedback=r, conductances=np.array([0.0, 1.5e-3, 3e-3]), variance=np.array([1.0, 2.0, 3.0]) * 1e-8,
            driver_variance=np.array([0.4, 0.2, 0.1]),
        )
        for r in CHIP.sense_amplifier.r_feedback
    ),
)  # fmt: skip
TILE = Tile(
    name="fc:0", g=np.random.default_rng(0).uniform(*LIMITS, (64, 8)), polarity="unipolar",
    r_feedback=CHIP.sense_amplifier.r_feedback[0],
)  # fmt: skip
CODES = np.random.default_rng(1).integers(0, 1024, (5000, 64))
DIGITS = load_digits()


def noisy(**options):
    return NoisyEngine(IdealEngine(CHIP), NOISE, **options)


@pytest.fixture(scope="module")
def network():
    return compile_network(digits_network("mlp"), UncalibratedChip(CHIP), x_calibration=DIGITS.x_calibration)


def test_samples_have_the_calibrated_sigma_of_their_column_and_products_none():
    engine = noisy()
    prepared = engine.prepare(TILE)
    volts = prepared.mvm(CODES)
    np.testing.assert_array_equal(volts, IdealEngine(CHIP).prepare(TILE).mvm(CODES))
    noise = prepared.read(CODES, volts) - volts
    sigma = NOISE.tile_sigma(TILE.g, TILE.r_feedback)
    # of 5000 draws a sigma is known to 1 %, a mean to 1.4 % of it, a correlation to 1.4 %
    np.testing.assert_allclose(noise.std(axis=0), sigma, rtol=0.04)
    assert np.abs(noise.mean(axis=0) / sigma).max() < 0.06
    # what columns have in common is their drivers' noise
    own, drivers = NOISE.tile_parts(TILE.g, TILE.r_feedback)
    covariance = drivers.T @ drivers + np.diag(own**2)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sigma, rtol=1e-9)
    assert np.abs(np.corrcoef(noise.T) - covariance / np.outer(sigma, sigma)).max() < 0.06
    assert np.abs([np.corrcoef(column[:-1], column[1:])[0, 1] for column in noise.T]).max() < 0.06


def test_noise_of_circuits_adds_to_that_of_reads_and_sees_the_real_devices():
    devices = DeviceEngine(noisy(), CHIP, device_preset("typical"), LIMITS, seed=3)
    prepared = devices.prepare(TILE)
    codes = np.full((5000, 64), 1023)
    volts = prepared.mvm(codes)
    noise = prepared.read(codes, volts) - volts
    reads = (TILE.r_feedback * CHIP.dac.v_span * 1023 / 1024) ** 2 * prepared.variance.sum(axis=0)
    wanted = np.sqrt(reads + NOISE.tile_sigma(prepared.tile.g, TILE.r_feedback) ** 2)
    np.testing.assert_allclose(noise.std(axis=0), wanted, rtol=0.04)


def test_the_same_seed_gives_the_same_run_and_another_does_not(network):
    first, again, other = (network.run(DIGITS.x[:20], noisy(seed=seed)).logits for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_chunks_change_no_noise(network):
    whole, pieces = (network.run(DIGITS.x[:20], noisy(), chunk=chunk).logits for chunk in (20, 7))
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_a_tile_prepared_again_has_the_same_noise_and_another_seed_has_not():
    volts = np.zeros((9, 8))
    first, again, other = (noisy(seed=seed).prepare(TILE).read(CODES[:9], volts) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0


def test_slow_noise_is_kept_from_product_to_product_and_fades_as_long_as_it_takes():
    """1/f noise alone, 1 Hz to 1 MHz, of one variance a decade: neighbours in time are nearly one."""
    frequencies = np.geomspace(1.0, 1e6, 25)
    rising = np.log(frequencies) / np.log(1e6)
    slow = NOISE.model_copy(update={
        "f_low": 1.0,
        "amplifiers": tuple(
            model.model_copy(update={
                "frequencies": frequencies, "density": np.ones(25),
                "below": model.variance[:, None] * rising, "driver_below": model.driver_variance[:, None] * rising,
            })
            for model in NOISE.amplifiers
        ),
    })  # fmt: skip
    times = 20_000
    noise = (
        NoisyEngine(IdealEngine(CHIP), slow, t_product=1e-3)
        .prepare(TILE)
        .read(np.zeros((times, 64), int), np.zeros((times, 8)))
    )
    np.testing.assert_allclose(noise.std(axis=0), NOISE.tile_sigma(TILE.g, TILE.r_feedback), rtol=0.25)
    near, far = (np.mean([np.corrcoef(c[:-lag], c[lag:])[0, 1] for c in noise.T]) for lag in (1, 1000))
    # below 500 Hz are 2.7 of 6 decades, of which 1 ms leaves most and 1 s little
    assert 0.2 < near < 0.45
    assert abs(far) < 0.1


def test_noise_costs_a_network_signal_and_its_samples_stay_clean(network):
    own = tuple(model.model_copy(update={"variance": 25 * model.variance}) for model in NOISE.amplifiers)
    loud = NoisyEngine(IdealEngine(CHIP), NOISE.model_copy(update={"amplifiers": own}))
    clean, result = (network.run(DIGITS.x[:50], engine, sample=5) for engine in (IdealEngine(CHIP), loud))
    assert result.engine == "ideal with noise"
    for quiet, loud in zip(clean.stats.layers, result.stats.layers, strict=True):
        assert loud.snr_db < quiet.snr_db
    for sample in result.samples:
        np.testing.assert_allclose(sample.volts, IdealEngine(CHIP).prepare(sample.tile).mvm(sample.codes[None])[0])


def test_columns_whose_noise_was_not_calibrated_are_refused():
    heavy = Tile(name="fc:1", g=np.full((64, 2), 60e-6), polarity="unipolar", r_feedback=TILE.r_feedback)
    with pytest.raises(ValidityError, match="smaller tiles"):
        noisy().prepare(heavy)
