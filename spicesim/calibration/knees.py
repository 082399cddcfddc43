"""Points of amplifiers' tables that other conditions are simulated at, and those of them that are kept."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats, Integers
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.chip import Chip

__all__ = ["is_tight", "kept_points", "swept_points"]

TABLE_ERROR = 5e-6
"""Largest error of an output between those points of an amplifier's changes that are kept, relative to full scale."""

FEW, NEAR_RAIL = 16, 0.35
"""Of so many points of an amplifier's tables one is simulated elsewhere, and all for outputs that near their rails [V]:
between knees every 60th tells enough. Where it does not, all are simulated."""


def swept_points(amplifier: SenseAmplifierModel, chip: Chip) -> Integers:
    """Choose the points of an amplifier's tables at which it is simulated elsewhere, among them all near its rails."""
    v_out, index = amplifier.v_out, np.arange(len(amplifier.v_out))
    if chip.process.resistor is not None:
        return index  # rails are met at other currents, and tables with another feedback need an even grid
    between = (v_out > v_out.min() + NEAR_RAIL) & (v_out < v_out.max() - NEAR_RAIL)
    return np.flatnonzero(~between | (index % FEW == 0))


def kept_points(amplifier: SenseAmplifierModel, swept: Integers, changes: Floats, noise_gain: float) -> Integers:
    """Choose points of those swept between which changes (tables, 2, points) follow, by halving intervals.

    An error of its input drives a current through all cells of its column: it is in the output by the noise gain.
    """
    currents = amplifier.currents[swept]
    counts = np.array([[noise_gain], [1.0]]) / (TABLE_ERROR * amplifier.full_scale)
    points = np.linspace(0, len(currents) - 1, 33).astype(int)
    while True:
        # interpolated as where they are used, in Calibration.at
        between = PchipInterpolator(currents[points], changes[..., points], axis=-1)(currents)
        errors = np.maximum.reduceat((counts * np.abs(between - changes)).max(axis=(0, 1)), points[:-1])
        missed = np.flatnonzero((errors > 1) & (np.diff(points) > 1))
        if not len(missed):
            return points
        points = np.union1d(points, (points[missed] + points[missed + 1]) // 2)


def is_tight(swept: Integers, points: Integers) -> bool:
    """Tell whether neighbours of those swept are kept where few of an amplifier's points were."""
    return bool(((np.diff(points) == 1) & (np.diff(swept)[points[:-1]] > 1)).any())
