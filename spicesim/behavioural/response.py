"""How the few parameters of a block follow from the numbers of its devices, and how they are distributed."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_shape
from spicesim.draws import ChipDraw

__all__ = ["Gaussian", "Response", "Shift"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussian:
    """A joint normal distribution of a block's parameters."""

    names: tuple[str, ...]
    """What they are, with unit."""
    mean: Floats
    """Shape (parameters,); not 0, as a large shift of a device does not act like a small one."""
    covariance: Floats
    """Shape (parameters, parameters)."""

    @property
    def sigma(self) -> Floats:
        """Standard deviations, shape (parameters,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def correlation(self) -> Floats:
        """Correlation matrix, shape (parameters, parameters)."""
        scale = np.where(self.sigma > 0, self.sigma, 1.0)
        return np.asarray(self.covariance / np.outer(scale, scale))


class Shift(Model):
    """What a condition adds to one parameter of a block."""

    rest: float
    """Of a block whose devices are all nominal."""
    slopes: FloatArray
    """By the two numbers of each device in turn, shape (2 devices,)."""
    bend: float | None = None
    """Part by which its bends grow [1]; None where they stay."""


class Response(Model):
    """How the few parameters of a block follow from the numbers of its devices.

    They are ``rest + slopes @ numbers + sum of bend_ab x_a x_b`` with ``x = directions @ numbers``: a block bends along
    few directions.
    """

    block: str
    """Name of its instances in a netlist, without their index, such as ``"xdac"``."""
    devices: tuple[str, ...]
    """Paths of its devices within it."""
    names: tuple[str, ...]
    """Parameters, with unit."""
    rest: FloatArray
    """Of a block whose devices are all nominal, shape (parameters,)."""
    slopes: FloatArray
    """By the two numbers of each device in turn, shape (parameters, 2 devices)."""
    directions: FloatArray
    """Shape (directions, 2 devices)."""
    bends: FloatArray
    """Shape (parameters, directions, directions), the latter two alike."""
    simulated: int
    """Instances behind it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        count, along = len(self.names), len(self.directions)
        if self.rest.shape != (count,) or self.bends.shape != (count, along, along):
            raise ValueError(f"rest and bends must be of {count} parameters, and bends of {along} directions twice")
        require_shape("slopes", self.slopes, count, 2 * len(self.devices))
        require_shape("directions", self.directions, along, 2 * len(self.devices))
        return self

    def shifted(self, parameter: int, shift: Shift) -> Self:
        """Return the response under a condition that shifts one parameter."""
        rest, slopes, bends = self.rest.copy(), self.slopes.copy(), self.bends.copy()
        rest[parameter] += shift.rest
        slopes[parameter] += shift.slopes
        bends[parameter] *= 1 + (shift.bend or 0.0)
        return self.model_copy(update={"rest": rest, "slopes": slopes, "bends": bends})

    def alike(self) -> Self:
        """Return the response of blocks that all are as one whose devices are nominal."""
        return self.model_copy(update={"slopes": np.zeros_like(self.slopes), "bends": np.zeros_like(self.bends)})

    def parameters(self, numbers: Floats) -> Floats:
        """Return the parameters of instances whose devices have these numbers.

        Parameters
        ----------
        numbers : ndarray of shape (instances, 2 devices)
            Standard normal ones.

        Returns
        -------
        ndarray of shape (instances, parameters)
        """
        x = numbers @ self.directions.T
        bent = np.einsum("pab,ia,ib->ip", self.bends, x, x, optimize=True)
        return np.asarray(self.rest + numbers @ self.slopes.T + bent)

    def draw(self, draw: ChipDraw, count: int, stream: str = "") -> Floats:
        """Draw the first instances of a stream, by default of the block, shape (count, parameters)."""
        own = [draw.numbers(stream or self.block, device, count) for device in self.devices]
        return self.parameters(np.concatenate([np.zeros((count, 0)), *own], axis=1))

    @cached_property
    def distribution(self) -> Gaussian:
        """The joint distribution of the parameters, to its first two moments."""
        linear = self.slopes @ self.slopes.T
        bent = self.bends @ (self.directions @ self.directions.T)
        return Gaussian(
            names=self.names,
            mean=self.rest + np.trace(bent, axis1=1, axis2=2),
            covariance=linear + 2 * np.einsum("pab,qba->pq", bent, bent),
        )
