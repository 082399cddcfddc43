"""Kinds of memory devices by name, every number with its source."""

from functools import partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.devices.model import DeviceModel, PowerDrift, PulsedWrite, Relaxation
from spicesim.errors import SpecError

__all__ = ["DEVICES", "device_preset"]


def _constant_noise(wanted: Floats, x: Floats, time: float, *, sigma: float) -> Floats:
    return np.full_like(x, sigma)


def _flicker_noise(
    wanted: Floats, x: Floats, time: float, *, factor: float, power: float, most: float, t_0: float, t_read: float
) -> Floats:
    """1/f noise of a read: ``x min(factor/wanted^power, most) sqrt(ln((time + t_0 + t_read)/(2 t_read)))``."""
    share = np.minimum(factor / np.maximum(wanted, 1e-7) ** power, most)
    return np.asarray(x * share * np.sqrt(np.log((time + t_0 + t_read) / (2 * t_read))))


_STUCK_LOW, _STUCK_HIGH = 1e-3 * 9.04 / 10.79, 1e-3 * 1.75 / 10.79
_FAULT_SOURCE = (
    "stuck-at faults: .1 % of cells, an assumption for a mature process, in the ratio 9.04 : 1.75 of low to high that "
    "C.-Y. Chen et al., IEEE Trans. Computers 64 (2015) 180, counted in a first 4 Mb HfO2 chip"
)
_CONSTANT_READ = partial(_constant_noise, sigma=0.005)


def _over(reference: float, *coefficients: float) -> tuple[float, ...]:
    """Return numbers as fractions of the largest conductance measured, both in one unit."""
    return tuple(c / reference for c in coefficients)


DEVICES = {
    "typical": DeviceModel(
        name="typical",
        programming=(0.01,),
        read=_CONSTANT_READ,
        stuck_low=_STUCK_LOW,
        stuck_high=_STUCK_HIGH,
        sources=("a working point, not a measurement: programming 1 %, read .5 % of g_max", _FAULT_SOURCE),
    ),
    "rram": DeviceModel(
        name="rram",
        relaxation=Relaxation(
            times=(1.0, 86400.0, 172800.0),
            coefficients=(
                _over(40, 0.348, 16.030, -43.853, 45.393, -16.815),
                _over(40, 0.701, 22.086, -50.773, 47.095, -16.458),
                _over(40, 0.782, 20.274, -43.507, 37.062, -11.934),
            ),
        ),
        read=partial(_constant_noise, sigma=0.01),
        stuck_low=_STUCK_LOW,
        stuck_high=_STUCK_HIGH,
        sources=(
            "programming and relaxation: W. Wan et al., Nature 608 (2022) 504, extended data figure 3, HfOx of up to "
            "40 uS after write-verify, as fitted by aihwkit's ReRamWan2022NoiseModel at 1 s, 1 d and 2 d",
            "read noise: 1 % of g_max, the advice of the same model for what was not published",
            _FAULT_SOURCE,
        ),
    ),
    "pcm": DeviceModel(
        name="pcm",
        programming=_over(25, 0.26348, 1.9650, -1.1731),
        drift=PowerDrift(t_0=20.0, mean=(-0.0155, 0.0244, 0.049, 0.1), spread=(-0.0125, -0.0059, 0.008, 0.045)),
        read=partial(_flicker_noise, factor=0.0088, power=0.65, most=0.2, t_0=20.0, t_read=250e-9),
        stuck_low=_STUCK_LOW,
        stuck_high=_STUCK_HIGH,
        sources=(
            "programming, drift, read noise: S. R. Nandakumar et al., ICECS 2019, and V. Joshi et al., Nature Commun. "
            "11 (2020) 2473, doped Ge2Sb2Te5 of up to 25 uS, with the constants of aihwkit's PCMLikeNoiseModel",
            _FAULT_SOURCE,
        ),
    ),
    "ecram": DeviceModel(
        name="ecram",
        pulses=PulsedWrite(step=0.001, step_spread=0.3, device_spread=0.1),
        read=_CONSTANT_READ,
        stuck_low=_STUCK_LOW,
        stuck_high=_STUCK_HIGH,
        sources=(
            "pulses: J. Tang et al., IEDM 2018, 1000 steps of a lithium device, with the spreads of aihwkit's "
            "EcRamPresetDevice; its step changes with the state, which alters the pulses needed, not where they end",
            "retention: none lost, as D. Kim et al., arXiv 2210.06658, expect for over 10 years at 85 degree Celsius",
            "read noise: .5 % of g_max, an assumption",
            _FAULT_SOURCE,
        ),
    ),
}
"""Kinds of devices by name."""


def device_preset(name: str) -> DeviceModel:
    """Return a kind of device by its name.

    Raises
    ------
    SpecError
        If there is none of that name.
    """
    if name not in DEVICES:
        raise SpecError(f"no device {name!r}; there are: {', '.join(DEVICES)}")
    return DEVICES[name]
