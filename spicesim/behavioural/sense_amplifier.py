"""The calibrated sense amplifier: tables of its input and output voltage against its current."""

from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive
from spicesim.behavioural.dac import IDEAL_REACH
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.tables import CubicTables
from spicesim.ports import PortTables

__all__ = ["SenseAmplifierModel"]


class SenseAmplifierModel(Model):
    """A transimpedance amplifier with one feedback resistor, at rest."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    i_limit: float
    """The tables span -i_limit..i_limit evenly; positive into the virtual ground [A]."""
    v_in: FloatArray
    """Input (virtual ground) above the reference [V]."""
    v_out: FloatArray
    """Output below the reference, positive for positive currents [V]."""
    parameters: dict[str, Parameter]
    """Gain, offset, input resistance and rails, fitted in the linear range."""
    linear_limits: tuple[float, float]
    """Outputs between which the amplifier is linear to a thousandth of full scale [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.v_in.shape != self.v_out.shape or self.v_in.ndim != 1:
            raise ValueError("v_in and v_out must be two equally long lists")
        require_positive(r_feedback=self.r_feedback, i_limit=self.i_limit)
        if len(self.v_in) < 3 or (np.diff(self.v_in) < 0).any():
            raise ValueError("v_in must have three numbers or more and must not fall")
        if missing := {"rail_low", "rail_high"} - set(self.parameters):
            raise ValueError(f"parameters lack {min(missing)!r}")
        if not self.linear_limits[0] < 0 < self.linear_limits[1] or not self.full_scale > 0:
            raise ValueError("the linear range and the rails must lie on both sides of 0 V")
        return self

    @property
    def currents(self) -> Floats:
        """Currents of the tables [A]."""
        return np.linspace(-self.i_limit, self.i_limit, len(self.v_in))

    @property
    def feedback(self) -> float:
        """Resistance between input and output in the linear range, that of the process where it has its own [ohm]."""
        if "gain" not in self.parameters:  # an integrator's input, whose output is counted as charge
            return self.r_feedback
        return self.parameters["gain"].value * self.r_feedback + self.parameters["r_in"].value

    @property
    def full_scale(self) -> float:
        """Swing from the reference to the nearer rail [V]."""
        return min(-self.parameters["rail_high"].value, self.parameters["rail_low"].value)

    @property
    def linear_swing(self) -> float:
        """Largest output of either sign in the linear range [V]."""
        return min(-self.linear_limits[0], self.linear_limits[1])

    @cached_property
    def ports(self) -> PortTables:
        """The input voltage against the current as a port table."""
        return PortTables.from_samples(self.currents, self.v_in, name="sense amplifier")

    def output(self, currents: npt.ArrayLike) -> Floats:
        """Return the output below the reference for currents of any shape [V]."""
        array = np.asarray(currents, dtype=float)
        return self.output_tables.evaluate(array.reshape(-1, array.shape[-1] if array.ndim else 1)).reshape(array.shape)

    @cached_property
    def output_tables(self) -> CubicTables:
        """The output against the current as a table; past its rail it bends back a little, so this is no port table."""
        return CubicTables.of(self.currents, self.v_out[None])

    @property
    def tables(self) -> CubicTables:
        """Input and output against the current."""
        return CubicTables.of(self.currents, np.stack([self.v_in, self.v_out]))

    def moved(self, feedback: float, currents: Floats, changes: Floats) -> Floats:
        """Return input and output at :attr:`currents` where the amplifier is another, shape (2, points) [V].

        Parameters
        ----------
        feedback : float
            What is added to its feedback resistance, relative [1].
        currents : ndarray of shape (n,)
            Currents times one and `feedback`, at which changes are known [A]; beyond, these go on straight.
        changes : ndarray of shape (2, n)
            What is added to input and output there [V].

        Raises
        ------
        ValueError
            If no feedback is left.
        """
        require_positive(feedback=1 + feedback)
        x = self.currents * (1 + feedback)
        curves, inside = PchipInterpolator(currents, changes, axis=1), np.clip(x, currents[0], currents[-1])
        added = curves(inside) + curves.derivative()(inside) * (x - inside)
        return np.asarray(self.tables.evaluate(np.stack([x, x], axis=1), np.arange(2)).T + added)

    def ideal(self) -> Self:
        """Return an amplifier that holds its input and has no rails."""
        limit = IDEAL_REACH * self.i_limit
        currents = np.linspace(-limit, limit, len(self.v_in))
        changes = {"i_limit": limit, "v_in": np.zeros_like(currents), "v_out": self.r_feedback * currents}
        return self.model_copy(update=changes)
