"""The calibrated word-line driver: a table of codes and a load curve."""

from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import CubicSpline

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.chip import Dac
from spicesim.coding import Polarity
from spicesim.ports import PortTables

__all__ = ["IDEAL_REACH", "DacModel"]

IDEAL_REACH = 4.0
"""Currents that an ideal driver or amplifier takes, over those of the one it stands for."""


class DacModel(Model):
    """Voltage of a word line's driver: v(code, i) = v_open[code] - droop(code, i)."""

    polarity: Polarity
    """Coding it was calibrated for."""
    v_open: FloatArray
    """Unloaded output above the reference, one value a code [V]."""
    knots: tuple[int, ...]
    """Codes whose load curve was measured."""
    i_limit: float
    """The load curves span -i_limit..i_limit evenly; positive out of the driver [A]."""
    droop: FloatArray
    """Loss of output voltage under load, shape (knots, currents) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.droop.ndim != 2 or self.droop.shape[0] != len(self.knots) or self.droop.shape[1] % 2 == 0:
            raise ValueError("droop must have one row a knot and an odd number of currents")
        require_positive(i_limit=self.i_limit)
        require_shape("v_open", self.v_open, None)
        require_rising("knots", self.knots)
        if self.knots[0] < 0 or self.knots[-1] >= len(self.v_open):
            raise ValueError(f"knots must be codes, 0..{len(self.v_open) - 1}")
        require_rising("v_open at the knots", self.v_open[list(self.knots)])
        if self.droop.shape[1] < 3 or (np.diff(self.droop_of_codes(), axis=1) < 0).any():
            raise ValueError("droop must have three currents or more, and must not fall with them at any code")
        return self

    @property
    def currents(self) -> Floats:
        """Load currents of the droop table [A]."""
        return np.linspace(-self.i_limit, self.i_limit, self.droop.shape[1])

    def droop_of_codes(self) -> Floats:
        """Interpolate the droop to all codes along the output voltage; shape (codes, currents) [V]."""
        knots = np.array(self.knots)
        return np.asarray(CubicSpline(self.v_open[knots], self.droop, axis=0)(self.v_open))

    @cached_property
    def ports(self) -> PortTables:
        """The droop as port tables, one a code."""
        return PortTables.from_samples(self.currents, self.droop_of_codes(), name="word-line driver")

    def volts(self, codes: npt.ArrayLike, currents: npt.ArrayLike) -> Floats:
        """Return the output above the reference for codes under load currents of the same shape [V]."""
        index = np.asarray(codes, dtype=np.int64)
        return np.asarray(self.v_open[index] - self.ports.evaluate(currents, index)[0])

    def refined(self, bits: int) -> Self:
        """Return the same driver with more codes, evenly between those it has; the last go on as those before."""
        if bits == 0:
            return self
        step = 2**bits
        codes, fine = np.arange(len(self.v_open)), np.arange(step * len(self.v_open)) / step
        beyond = np.maximum(fine - codes[-1], 0.0)
        v_open = np.interp(fine, codes, self.v_open) + beyond * (self.v_open[-1] - self.v_open[-2])
        return self.model_copy(update={"v_open": v_open, "knots": tuple(step * knot for knot in self.knots)})

    def ideal(self, dac: Dac) -> "DacModel":
        """Return a driver without errors and droop, of the kind, bits and span of `dac`."""
        v_open = dac.levels(self.polarity)
        return DacModel(
            polarity=self.polarity, v_open=v_open, knots=(0, len(v_open) - 1), i_limit=IDEAL_REACH * self.i_limit,
            droop=np.zeros((2, 3)),
        )  # fmt: skip
