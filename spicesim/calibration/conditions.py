"""Conditions that are calibrated: temperatures and corners beside a chip's own."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

import numpy as np

from spicesim.behavioural.arrays import Model
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.chip import CORNERS, Chip

__all__ = ["LIMITS", "Conditions", "choose_temperatures", "other_corners"]

M = TypeVar("M", bound=Model)

LIMITS = (-40.0, 125.0)
"""Temperatures that are calibrated [degree Celsius]: the industrial and automotive range."""


def choose_temperatures(own: float, count: int) -> tuple[float, ...]:
    """Choose temperatures to calibrate beside the chip's own: Chebyshev nodes, without the one next to it."""
    angles = np.pi * (np.arange(count) + 0.5) / count
    nodes = np.sort(sum(LIMITS) / 2 - (LIMITS[1] - LIMITS[0]) / 2 * np.cos(angles) / np.cos(angles[0]))
    return tuple(round(float(node), 1) for k, node in enumerate(nodes) if k != np.argmin(np.abs(nodes - own)))


def other_corners(chip: Chip) -> tuple[str, ...]:
    """Return the corners other than the chip's own; none if its models have none."""
    if not chip.process.has_corners:
        return ()
    return tuple(name for name in CORNERS if chip.process.corner(name) != chip.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A few temperatures, and corners at some of these, at which a model is found again."""

    own: float
    """The chip's own temperature [degree Celsius]."""
    temperatures: tuple[float, ...]
    """The others [degree Celsius]."""
    corners: tuple[str, ...]
    """Corners beside the chip's own."""
    of_corners: tuple[float, ...]
    """Temperatures of corners [degree Celsius]."""

    @classmethod
    def of(cls, chip: Chip, nodes: int, at: Literal["ends", "own and ends", "all"] = "own and ends") -> Self:
        """Choose conditions.

        Parameters
        ----------
        chip : Chip
            At its own condition.
        nodes : int
            Temperatures that polynomials go through.
        at : {"ends", "own and ends", "all"}
            At which of these corners are; what a corner and a temperature change is no sum.
        """
        own, temperatures = chip.process.temperature_c, choose_temperatures(chip.process.temperature_c, nodes)
        ends = (temperatures[0], temperatures[-1])
        of_corners = {"ends": ends, "own and ends": (own, *ends), "all": (own, *temperatures)}
        return cls(own=own, temperatures=temperatures, corners=other_corners(chip), of_corners=of_corners[at])

    @property
    def pairs(self) -> list[tuple[str | None, float]]:
        """Corner, None for the chip's own, and temperature [degree Celsius] of each condition but the chip's own."""
        return [(None, t) for t in self.temperatures] + [(name, t) for name in self.corners for t in self.of_corners]

    def elsewhere(self, kind: type[Elsewhere[M]], models: Iterable[M]) -> Elsewhere[M]:
        """Join the models of :attr:`pairs`."""
        each = iter(models)
        return kind(
            temperatures_c=(self.own, *self.temperatures),
            temperatures=tuple(next(each) for _ in self.temperatures),
            corner_temperatures_c=self.of_corners,
            corners={corner: tuple(next(each) for _ in self.of_corners) for corner in self.corners},
        )
