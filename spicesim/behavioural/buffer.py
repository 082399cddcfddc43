"""The buffer behind a hold capacitor: what it puts out of a voltage that it has followed.

It is an amplifier in unity feedback, whose gain is finite and whose halves are not alike. Its charge on the capacitor
is in the models of the hold switch and of the plane adder, which were found with it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_shape
from spicesim.behavioural.response import Response
from spicesim.errors import ValidityError

__all__ = ["BUFFER", "BufferMismatch", "BufferModel", "DrawnBuffers"]

BUFFER = "xbuffer"
"""Name of buffers in a tile's netlist, without their column."""


class BufferModel(Model):
    """A polynomial of the held voltage."""

    v_limit: float
    """Calibrated voltages reach so far on either side of the reference [V]."""
    settle: float
    """From the last change of what is held until the buffer has followed [s]."""
    added: FloatArray
    """What it adds: coefficients of the powers of the held voltage in v_limit, (orders,) [V]."""
    noise: float
    """Standard deviation of its output, with the array that samples it [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(v_limit=self.v_limit, settle=self.settle, noise=self.noise)
        require_shape("added", self.added, None)
        return self

    def output(self, held: npt.ArrayLike, drawn: Floats | None = None) -> Floats:
        """Return the outputs of held voltages, both above the reference [V].

        Parameters
        ----------
        held : array_like of shape (..., columns)
            What is held [V].
        drawn : ndarray of shape (orders, columns), optional
            What buffers that differ add to that of the nominal one, as :attr:`added` [V].

        Raises
        ------
        ValidityError
            If a voltage is beyond the calibrated ones.
        """
        volts = np.asarray(held, dtype=float)
        x = volts / self.v_limit
        largest = float(np.abs(x).max(initial=0.0))
        if not largest <= 1:
            raise ValidityError(
                f"a buffer holds {largest * self.v_limit:.4g} V off the reference, beyond the calibrated "
                f"{self.v_limit:.4g} V; lower dac.v_span, or calibrate again"
            )
        out = volts + np.polynomial.polynomial.polyval(x, self.added)
        return np.asarray(out if drawn is None else out + np.polynomial.polynomial.polyval(x, drawn, tensor=False))

    def ideal(self) -> Self:
        """Return a buffer that adds nothing."""
        return self.model_copy(update={"added": np.zeros_like(self.added)})


class BufferMismatch(Model):
    """How buffers of one design differ: by what each adds to the nominal one's output."""

    v_limit: float
    """Unit of voltage [V]."""
    response: Response
    """Of the coefficients of powers of the held voltage in v_limit [V]."""
    residual: float
    """Largest error of an output by these parameters, over held-out buffers [V]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnBuffers:
    """The buffers of one tile, each with its parameters."""

    kind: BufferMismatch
    """What the parameters mean."""
    parameters: Floats
    """Shape (columns, orders) [V]."""

    def added(self, v_limit: float) -> Floats:
        """Return what they add to the nominal ones' outputs, as polynomials in another unit, (orders, columns) [V]."""
        return np.asarray((self.parameters * (v_limit / self.kind.v_limit) ** np.arange(self.parameters.shape[1])).T)
