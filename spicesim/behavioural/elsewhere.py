"""Aspects of a chip elsewhere: at a few temperatures, and at the corners at some of these."""

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import Model, mix_models

__all__ = ["Elsewhere", "lagrange_weights"]

M = TypeVar("M", bound=Model)


def lagrange_weights(nodes: Sequence[float], x: float) -> Floats:
    """Return the weights of values at nodes in the polynomial through them, at x."""
    points = np.asarray(nodes, dtype=float)
    weights = np.ones(len(points))
    for k, node in enumerate(points):
        others = np.delete(points, k)
        weights[k] = np.prod((x - others) / (node - others))
    return weights


class Elsewhere(Model, Generic[M]):
    """A model at a few temperatures and corners beside the chip's own.

    Between temperatures every number of it follows the polynomial through those that were calibrated, the chip's own
    included. What a corner changes is added to that; it follows a polynomial, too, of the corners' own temperatures.
    """

    temperatures_c: tuple[float, ...]
    """The chip's own temperature first, then the others [degree Celsius]."""
    temperatures: tuple[M, ...]
    """The model at the others."""
    corner_temperatures_c: tuple[float, ...]
    """Those at which corners were calibrated [degree Celsius]."""
    corners: dict[str, tuple[M, ...]]
    """The model at other corners of the process and each of these temperatures, by name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.temperatures_c) != 1 + len(self.temperatures):
            raise ValueError("temperatures need one model each beside the chip's own")
        if any(len(models) != len(self.corner_temperatures_c) for models in self.corners.values()):
            raise ValueError("corners need one model a temperature of theirs")
        for temperatures in (self.temperatures_c, self.corner_temperatures_c):
            if len(set(temperatures)) < len(temperatures):
                raise ValueError("temperatures must differ")
        return self

    def at(self, own: M, corner: str | None, temperature_c: float) -> M:
        """Return the model at a corner, None for the chip's own, and a temperature [degree Celsius].

        `own` is that of the chip's own condition.
        """
        weights = lagrange_weights(self.temperatures_c, temperature_c)
        models = [own, *self.temperatures]
        if corner is not None:
            changes = lagrange_weights(self.corner_temperatures_c, temperature_c)
            beside = np.array([lagrange_weights(self.temperatures_c, t) for t in self.corner_temperatures_c])
            weights = np.concatenate([weights - changes @ beside, changes])
            models += self.corners[corner]
        return mix_models(weights, models)
