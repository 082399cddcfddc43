"""Bit planes added as charge: two capacitors, one with a new plane and one with those before, that a switch joins.

The switch ends as it began, so what its gates take they give back: both have the mean but for the capacitances of
junctions, which differ a little and bend with the voltage.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_shape
from spicesim.errors import ValidityError

__all__ = ["ORDERS", "PlaneAdder", "split_planes"]

ORDERS = 4
"""Coefficients in each voltage; products are of no higher power than single ones."""


class PlaneAdder(Model):
    """Two capacitors at the foot of a floating line, and the switch between them."""

    bits: int = Field(ge=2, le=16)
    """Planes of an input."""
    share: float
    """From the opening of the sampling switch until the next plane [s]."""
    c_plane: float
    """The capacitor that samples a plane [F]."""
    v_limit: float
    """Calibrated voltages of both capacitors reach so far on either side of the reference [V]."""
    resets: FloatArray
    """What cutting off the sum adds, while lines rest: coefficients as the pedestals of its hold switch [V]."""
    joins: FloatArray
    """Coefficients, powers of the new plane's voltage in v_limit, powers of the sum's before, (ORDERS, ORDERS) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(share=self.share, c_plane=self.c_plane, v_limit=self.v_limit)
        require_shape("resets", self.resets, None, None, None)
        require_shape("joins", self.joins, ORDERS, ORDERS)
        return self

    def joined(self, held: npt.ArrayLike, stored: npt.ArrayLike) -> Floats:
        """Return the sum after a plane, of what is held of it and of the sum before, of any one shape [V].

        Raises
        ------
        ValidityError
            If either is beyond the calibrated voltages.
        """
        x, y = np.asarray(held, dtype=float) / self.v_limit, np.asarray(stored, dtype=float) / self.v_limit
        largest = max(float(np.abs(x).max(initial=0.0)), float(np.abs(y).max(initial=0.0)))
        if not largest <= 1:
            raise ValidityError(
                f"a capacitor of an adder is {largest * self.v_limit:.4g} V off the reference, beyond the calibrated "
                f"{self.v_limit:.4g} V; lower dac.v_span, or calibrate again"
            )
        return np.asarray(np.polynomial.polynomial.polyval2d(x, y, self.joins))

    def in_units(self, v_limit: float) -> Self:
        """Return the same with another unit of voltages [V], as far as which it then counts as calibrated."""
        powers = np.add.outer(np.arange(ORDERS), np.arange(ORDERS))
        return self.model_copy(update={"v_limit": v_limit, "joins": self.joins * (v_limit / self.v_limit) ** powers})

    def ideal(self) -> Self:
        """Return equal capacitors, and a switch without charge."""
        joins = np.zeros((ORDERS, ORDERS))
        joins[1, 0] = joins[0, 1] = self.v_limit / 2
        return self.model_copy(update={"joins": joins, "resets": np.zeros_like(self.resets)})


def split_planes(codes: Codes, bits: int) -> Codes:
    """Split codes (batch, rows) into their bits, plane by plane from the least, (bits batch, rows)."""
    planes = np.asarray(codes)[None] >> np.arange(bits)[:, None, None] & 1
    return np.ascontiguousarray(planes.reshape(-1, planes.shape[-1]))
