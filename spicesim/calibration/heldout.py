"""Held-out points: what a model predicts where it was not fitted, and what ngspice says there."""

from typing import Self

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_shape
from spicesim.metrics import largest, percentile, rms

__all__ = ["ErrorSummary", "HeldOut"]


class ErrorSummary(Model):
    """Errors in short, as fractions of full scale."""

    points: int
    """Held-out points."""
    max: float
    """Largest error."""
    p99: float
    """99th percentile."""
    rms: float
    """Root mean square."""


class HeldOut(Model):
    """Points of a block that took no part in its fit."""

    unit: str
    """Unit of the quantity."""
    full_scale: float
    """What errors are measured against, in that unit."""
    coordinates: dict[str, FloatArray]
    """Where the points lie, by name with unit; each of shape (points,)."""
    measured: FloatArray
    """Ngspice, shape (points,)."""
    predicted: FloatArray
    """The model, shape (points,)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("measured", self.measured, None)
        for name, points in {"predicted": self.predicted, **self.coordinates}.items():
            require_shape(name, points, len(self.measured))
        require_positive(full_scale=self.full_scale)
        return self

    @property
    def errors(self) -> Floats:
        """Predicted less measured, as a fraction of full scale."""
        return np.asarray((self.predicted - self.measured) / self.full_scale)

    @property
    def max_error(self) -> float:
        """Largest error, as a fraction of full scale."""
        return largest(self.errors)

    @property
    def p99_error(self) -> float:
        """99th percentile of the errors, as a fraction of full scale."""
        return percentile(self.errors, 99)

    @property
    def rms_error(self) -> float:
        """Root mean square of the errors, as a fraction of full scale."""
        return rms(self.errors)

    def summary(self) -> ErrorSummary:
        """Return the errors in short."""
        return ErrorSummary(points=len(self.errors), max=self.max_error, p99=self.p99_error, rms=self.rms_error)
