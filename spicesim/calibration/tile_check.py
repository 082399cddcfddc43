"""Whole tiles at transistor level beside the behavioural ones: what was measured, and what was predicted."""

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import FloatArray, Model
from spicesim.coding import AdcRange, Polarity
from spicesim.metrics import largest

__all__ = ["TileCheck"]


class TileCheck(Model):
    """Whole tiles at transistor level against the behavioural tile, on vectors held out from every fit."""

    name: str
    """What was run, such as "16x16 random"."""
    rows: int
    columns: int
    polarity: Polarity
    r_feedback: float
    """Feedback resistance [ohm]."""
    full_scale: float
    """Swing to the nearer rail [V]."""
    pattern: tuple[str, ...]
    """Kind of each vector, one a simulation."""
    saturated: tuple[tuple[bool, ...], ...]
    """Whether the column's amplifier is outside its linear range, shape (vectors, columns)."""
    measured: FloatArray
    """Amplifier outputs below the reference in ngspice, shape (vectors, columns) [V]."""
    predicted: FloatArray
    """The same of the behavioural tile."""

    @property
    def errors(self) -> FloatArray:
        """Predicted less measured, as fractions of full scale, shape (vectors, columns)."""
        return np.asarray((self.predicted - self.measured) / self.full_scale)

    @property
    def max_error(self) -> float:
        """Largest error, as a fraction of full scale."""
        return largest(self.errors)

    def code_differences(self, bits: int) -> npt.NDArray[np.int64]:
        """Return the codes of `predicted` less those of `measured`, shape (vectors, columns).

        The ADC spans the swing: 0..full scale for unipolar inputs, both signs for bipolar ones.
        """
        low = 0.0 if self.polarity == "unipolar" else -self.full_scale
        adc = AdcRange(low=low, high=self.full_scale, bits=bits)
        return np.asarray(adc.codes(self.predicted) - adc.codes(self.measured))
