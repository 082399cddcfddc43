"""Digital gain and offset of every output of a tile, which undo what wires and cells cost on average."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Bools, Floats

__all__ = ["GAIN_LIMITS", "Gains", "fit_tile_gains"]

GAIN_LIMITS = (0.5, 2.0)
"""Smallest and largest gain that a fit may give."""
FEWEST_SAMPLES = 16
"""Samples that a fit needs: as many as keep its error small beside what it mends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gains:
    """The correction of one tile: ``gain * y + offset * scale``, y the tile's share of the layer's output.

    The offset goes with the number that stands for a full DAC span, as do the errors it mends: they are volts.
    """

    gain: Floats
    """Factors, (outputs,)."""
    offset: Floats
    """Offsets, (outputs,), in units of the input scale."""
    left_out: int
    """Outputs with too few samples that no converter clipped; their gain is 1, their offset 0."""

    def apply(self, y: Floats, scales: Floats) -> Floats:
        """Correct outputs (batch, outputs) of vectors with input scales (batch, 1)."""
        return np.asarray(y * self.gain + self.offset * scales)


def fit_tile_gains(y: Floats, target: Floats, usable: Bools) -> Gains:
    """Fit gain and offset by least squares.

    Parameters
    ----------
    y : ndarray of shape (batch, outputs)
        What the tile gave, over the input scale.
    target : ndarray of shape (batch, outputs)
        What it should have given, over the same.
    usable : ndarray of bool, shape (batch, outputs)
        Samples that no converter clipped. A clipped one says nothing of the gain: fitted along, it would stretch
        all others.

    Returns
    -------
    Gains
        Gains within :data:`GAIN_LIMITS`; where a limit holds, the offset is the best for it.
    """
    count = usable.sum(axis=0)
    safe = np.maximum(count, 1)
    mean_y, mean_target = (np.where(usable, a, 0.0).sum(axis=0) / safe for a in (y, target))
    dy = np.where(usable, y - mean_y, 0.0)
    variance = (dy**2).sum(axis=0)
    covariance = (dy * (target - mean_target)).sum(axis=0)
    varies = variance > 1e-24 * np.where(usable, y**2, 0.0).sum(axis=0)
    gain = np.where(varies, covariance / np.where(varies, variance, 1.0), 1.0)
    gain = np.clip(gain, *GAIN_LIMITS)
    fitted = count >= FEWEST_SAMPLES
    gain = np.where(fitted, gain, 1.0)
    offset = np.where(fitted, mean_target - gain * mean_y, 0.0)
    return Gains(gain=gain, offset=offset, left_out=int((~fitted).sum()))
