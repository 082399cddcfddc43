"""Moments of 10^5 cells against the published formulas."""

import numpy as np
import pytest

from spicesim.devices import DeviceModel, PulsedWrite, TileDevices
from spicesim.devices.presets import DEVICES, device_preset
from spicesim.errors import SpecError

SHAPE = (400, 250)
WIDE = (0.0, 1e-3)
"""Limits so wide that no cell of a share up to 0.5 leaves them."""
DAY = 86400.0


def cells(name, share, *, limits=WIDE, seed=0, tile="fc:0", shape=SHAPE):
    model = name if isinstance(name, DeviceModel) else without_faults(name)
    return TileDevices(model, np.full(shape, share * limits[1]), limits, seed=seed, name=tile)


def without_faults(name):
    model = device_preset(name)
    fields = {key: getattr(model, key) for key in DeviceModel.__slots__}
    return DeviceModel(**{**fields, "stuck_low": 0.0, "stuck_high": 0.0})


def moments(devices, time=0.0):
    x = devices.conductances(time) / devices.limits[1]
    return x.mean(), x.std()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_pcm_is_programmed_with_the_published_error(share):
    mean, sigma = moments(cells("pcm", share))
    wanted = (0.26348 + 1.9650 * share - 1.1731 * share**2) / 25
    assert mean == pytest.approx(share, abs=4 * wanted / np.sqrt(1e5))
    assert sigma == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("time", [3600.0, DAY, 365 * DAY])
def test_pcm_drifts_with_the_published_exponents(share, time):
    devices = cells("pcm", share)
    ratio = devices.conductances(time) / devices.conductances(0.0)
    nu = -np.log(ratio) / np.log((time + 20) / 20)
    mean = np.clip(-0.0155 * np.log(share) + 0.0244, 0.049, 0.1)
    sigma = np.clip(-0.0125 * np.log(share) - 0.0059, 0.008, 0.045)
    assert nu.mean() == pytest.approx(mean, rel=0.01)
    assert nu.std() == pytest.approx(sigma, rel=0.03)


def test_pcm_reads_with_the_published_noise():
    for share in (0.001, 0.5):
        devices = cells("pcm", share, shape=(20, 20))
        part = min(0.0088 / share**0.65, 0.2)
        wanted = devices.conductances(DAY) * part * np.sqrt(np.log((DAY + 20 + 250e-9) / 500e-9))
        np.testing.assert_allclose(devices.read_noise(DAY), wanted, rtol=1e-9)


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize(
    ("time", "polynomial"),
    [
        (1.0, (-16.815, 45.393, -43.853, 16.030, 0.348)),
        (DAY, (-16.458, 47.095, -50.773, 22.086, 0.701)),
        (2 * DAY, (-11.934, 37.062, -43.507, 20.274, 0.782)),
    ],
)
def test_rram_spreads_as_was_measured(share, time, polynomial):
    mean, sigma = moments(cells("rram", share), time)
    assert mean == pytest.approx(share, abs=2e-3)
    assert sigma == pytest.approx(np.polyval(polynomial, share) / 40, rel=0.01)


def test_rram_spreads_more_with_time_and_only_as_far_as_anyone_looked():
    devices = cells("rram", 0.4)
    spreads = [moments(devices, time)[1] for time in (0.0, 1.0, 60.0, 3600.0, DAY)]
    assert spreads[0] == spreads[1]
    assert (np.diff(spreads[1:]) > 0).all()
    with pytest.raises(SpecError, match=r"measured up to 172800 s after programming, got 864000 s"):
        devices.conductances(10 * DAY)


def test_pulses_end_within_half_a_step_and_ecram_keeps_its_state():
    devices = cells("ecram", 0.5)
    error = devices.conductances() / 1e-3 - 0.5
    assert np.abs(error).max() <= 0.0005 * (1 + 1e-9)
    assert 0.0001 < error.std() < 0.0005
    np.testing.assert_array_equal(devices.conductances(365 * DAY), devices.conductances())


def test_coarse_pulses_leave_more():
    errors = []
    for step in (0.01, 0.1):
        model = DeviceModel(name="x", pulses=PulsedWrite(step=step, step_spread=0.3, device_spread=0.1))
        errors.append((cells(model, 0.43, shape=(100, 100)).conductances() / 1e-3 - 0.43).std())
    assert errors[1] == pytest.approx(10 * errors[0], rel=0.3)


def test_faults_are_as_many_as_asked_and_at_the_ends():
    model = DeviceModel(name="x", stuck_low=0.02, stuck_high=0.01)
    g = cells(model, 0.5, limits=(1e-6, 5e-5)).conductances()
    assert np.mean(g == 1e-6) == pytest.approx(0.02, rel=0.1)
    assert np.mean(g == 5e-5) == pytest.approx(0.01, rel=0.15)
    assert np.mean(np.isclose(g, 2.5e-5)) == pytest.approx(0.97, rel=0.01)


def test_every_cell_tile_and_seed_draws_for_itself_and_again_the_same():
    first = cells("typical", 0.5).conductances()
    np.testing.assert_array_equal(first, cells("typical", 0.5).conductances())
    assert len(np.unique(first)) > 0.99 * first.size
    for other in (cells("typical", 0.5, seed=1), cells("typical", 0.5, tile="fc:1")):
        assert abs(np.corrcoef(first.ravel(), other.conductances().ravel())[0, 1]) < 0.015


def test_programming_does_not_depend_on_when_it_is_looked_at():
    devices = cells("pcm", 0.5)
    before = devices.conductances()
    devices.conductances(DAY)
    np.testing.assert_array_equal(devices.conductances(), before)


def test_cells_stay_within_the_limits_and_how_far_others_would_be_is_kept():
    devices = cells("typical", 1.0, limits=(1e-6, 5e-5))
    assert devices.conductances().max() == 5e-5
    assert np.mean(devices.outside > 0) == pytest.approx(0.5, abs=0.01)
    assert np.sqrt(np.mean(devices.outside[devices.outside > 0] ** 2)) == pytest.approx(0.01 * 5e-5, rel=0.02)


def test_zero_time_is_the_start_and_negative_time_is_refused():
    for time in (-1.0, np.nan, np.inf):
        with pytest.raises(SpecError, match="time since programming must be finite and >= 0"):
            cells("pcm", 0.5, shape=(2, 2)).conductances(time)


def test_every_preset_names_its_sources():
    assert set(DEVICES) == {"typical", "rram", "pcm", "ecram"}
    for name, model in DEVICES.items():
        assert model.name == name
        assert model.sources
    with pytest.raises(SpecError, match="no device 'flash'; there are: typical, rram, pcm, ecram"):
        device_preset("flash")
    with pytest.raises(SpecError, match="stuck_low and stuck_high must be fractions"):
        DeviceModel(name="x", stuck_low=0.9, stuck_high=0.2)
