"""Numbers from waveforms and frequency responses."""

import numpy as np

from spicesim.arrays import Complexes, Floats
from spicesim.errors import ValidityError

__all__ = [
    "crossing",
    "excursion",
    "integral",
    "overshoot",
    "phase_margin",
    "rings",
    "settling_time",
    "unity_frequency",
]


def crossing(x: Floats, y: Floats, level: float, *, after: float = -np.inf, rising: bool | None = None) -> float:
    """Find where a curve first crosses a level, by linear interpolation.

    Parameters
    ----------
    x, y : ndarray of shape (points,)
        The curve; x rises.
    level : float
        The level.
    after : float
        Crossings before it do not count.
    rising : bool, optional
        Whether to count only crossings upwards (True) or downwards (False).

    Returns
    -------
    float
        NaN if there is none.
    """
    above = y > level
    places = np.flatnonzero(above[1:] != above[:-1])
    if rising is not None:
        places = places[above[places + 1] == rising]
    for k in places:
        where = x[k] + (level - y[k]) * (x[k + 1] - x[k]) / (y[k + 1] - y[k])
        if where >= after:
            return float(where)
    return float("nan")


def settling_time(time: Floats, wave: Floats, start: float, band: float, what: str) -> float:
    """Return how long after `start` a wave last enters the band around its final value, +-`band`.

    Raises
    ------
    ValidityError
        If it is not long enough in the band to say, or rings on.
    """
    outside = np.flatnonzero(np.abs(wave - wave[-1]) > band)
    if len(outside) == 0 or time[outside[-1]] <= start:
        return 0.0
    k = int(outside[-1])
    edge = wave[-1] + band * np.sign(wave[k] - wave[-1])
    settled = float(time[k] + (edge - wave[k]) * (time[k + 1] - time[k]) / (wave[k + 1] - wave[k]))
    if settled > start + 0.9 * (time[-1] - start):
        if rings(time, wave, start):
            last = np.ptp(wave[time > time[-1] - 0.25 * (time[-1] - start)])
            raise ValidityError(
                f"{what} rings on by {last:.3g} peak to peak after {time[-1] - start:.3g} s; compensate its amplifier"
            )
        raise ValidityError(
            f"{what} does not settle within {time[-1] - start:.3g} s; give its amplifier more current or less load"
        )
    return settled - start


def rings(time: Floats, wave: Floats, start: float) -> bool:
    """Return whether a wave swings around its mean in the last quarter after `start`, as far as in the one before."""
    quarter = 0.25 * (time[-1] - start)
    before = wave[(time > time[-1] - 2 * quarter) & (time <= time[-1] - quarter)]
    last = wave[time > time[-1] - quarter]
    if len(before) < 4 or len(last) < 4:
        return False
    turns = np.count_nonzero(np.diff(np.sign(last - last.mean())))
    return bool(turns >= 4 and np.ptp(last) > 0.9 * np.ptp(before))


def overshoot(time: Floats, wave: Floats, start: float) -> float:
    """Return how far a wave goes beyond its final value after a step, relative to the step [1]."""
    first = float(np.interp(start, time, wave))
    beyond = (wave[time >= start] - wave[-1]) / (wave[-1] - first)
    return max(0.0, float(beyond.max()))


def excursion(wave: Floats) -> Floats:
    """Return how far a wave lies outside its first and its last value."""
    low, high = sorted((float(wave[0]), float(wave[-1])))
    return np.maximum(0.0, np.maximum(wave - high, low - wave))


def integral(time: Floats, wave: Floats, start: float, end: float) -> float:
    """Integrate a wave over part of its time by trapezia."""
    inner = (time > start) & (time < end)
    x = np.concatenate([[start], time[inner], [end]])
    return float(np.trapezoid(np.interp(x, time, wave), x))


def unity_frequency(frequency: Floats, gain: Complexes) -> float:
    """Return where the size of a falling gain crosses one [Hz]; NaN if it does not."""
    return float(np.exp(crossing(np.log(frequency), np.log(np.abs(gain)), 0.0, rising=False)))


def phase_margin(frequency: Floats, loop_gain: Complexes) -> float:
    """Return the phase of a negative feedback's loop gain above -180 degrees, where its size is one [deg].

    The loop gain is positive at low frequencies.
    """
    where = unity_frequency(frequency, loop_gain)
    if not np.isfinite(where):
        return float("nan")
    phase = np.unwrap(np.angle(loop_gain))
    return 180 + float(np.degrees(np.interp(np.log(where), np.log(frequency), phase)))
