"""Conditions that are calibrated: temperatures and corners beside a chip's own."""

import numpy as np

from spicesim.chip import CORNERS, Chip

__all__ = ["LIMITS", "choose_temperatures", "other_corners"]

LIMITS = (-40.0, 125.0)
"""Temperatures that are calibrated [degree Celsius]: the industrial and automotive range."""


def choose_temperatures(own: float, count: int) -> tuple[float, ...]:
    """Choose temperatures to calibrate beside the chip's own: Chebyshev nodes, without the one next to it."""
    angles = np.pi * (np.arange(count) + 0.5) / count
    nodes = np.sort(sum(LIMITS) / 2 - (LIMITS[1] - LIMITS[0]) / 2 * np.cos(angles) / np.cos(angles[0]))
    return tuple(round(float(node), 1) for k, node in enumerate(nodes) if k != np.argmin(np.abs(nodes - own)))


def other_corners(chip: Chip) -> tuple[str, ...]:
    """Return the corners other than the chip's own; none if its models have none."""
    if not any(model.has_corners for model in chip.process.models):
        return ()
    return tuple(name for name in CORNERS if chip.process.corner(name) != chip.process)
