"""Mismatch of integrators: what the devices of a drawn one make of how it holds its line, and of its output."""

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.response import Response
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tables import CubicTables

__all__ = ["INTEGRATOR", "IntegratorMismatch", "line_basis"]

INTEGRATOR = "xintegrator"
"""Name of integrators in a tile's netlist, without their column."""


def line_basis(cells: npt.ArrayLike, total: npt.ArrayLike, rows: int, g_cell: float) -> Floats:
    """Return what a drawn integrator's output without charge goes with: 1, capacitance, conductance; (lines, 3).

    Parameters
    ----------
    cells : array_like of int, shape (lines,)
        Cells of each line.
    total : array_like of shape (lines,)
        Sum of the conductances of their devices [S].
    rows : int
        Unit of the first.
    g_cell : float
        Unit of the second, of one cell [S].
    """
    count, siemens = np.asarray(cells, dtype=float), np.asarray(total, dtype=float)
    return np.stack([np.ones(len(count)), count / rows, siemens / (rows * g_cell)], axis=1)


class IntegratorMismatch(Model):
    """How integrators of one design differ: by a gain, and by a few components of their inputs and outputs.

    An offset lies at the input for as long as an integrator runs, so the line's conductance makes a charge of it; that
    follows from the input's table. With the reset it is at the output, too, and the line's capacitance takes some.
    """

    rows: int
    """Cells of the longest line that was calibrated."""
    g_cell: float
    """Unit of conductance, of one cell: the largest [S]."""
    currents: FloatArray
    """Currents at which inputs are known, (points,) [A]."""
    inputs: FloatArray
    """What a unit of each component adds to the input, (components, points) [V]."""
    pedestals: FloatArray
    """The same to the output without charge, by :func:`line_basis`, (components, 3) [V]."""
    response: Response
    """Of the gain, output over charge relative to the nominal one's, and of the sizes of the components [1]."""
    residual: float
    """Largest error of an input, or of an output without charge, over held-out integrators [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(rows=self.rows, g_cell=self.g_cell)
        require_rising("currents", self.currents)
        components = len(self.response.names) - 1
        require_shape("inputs", self.inputs, components, len(self.currents))
        require_shape("pedestals", self.pedestals, components, 3)
        return self

    def tables(self, nominal: SenseAmplifierModel, parameters: Floats) -> tuple[CubicTables, CubicTables]:
        """Return the tables of drawn ports.

        Parameters
        ----------
        nominal : SenseAmplifierModel
            The port without mismatch.
        parameters : ndarray of shape (columns, 1 + components)
            Of each integrator.

        Returns
        -------
        v_in, v_out : CubicTables
            Inputs above and outputs below the reference against the current, a table a column, on the same grid.
        """
        known = np.clip(nominal.currents, self.currents[0], self.currents[-1])
        added = parameters[:, 1:] @ PchipInterpolator(self.currents, self.inputs, axis=1)(known)
        # noise of the simulator may bend an input back by some nV where it hardly moves
        v_in = np.maximum.accumulate(nominal.v_in + added, axis=1)
        v_out = np.broadcast_to(nominal.v_out, v_in.shape)
        return CubicTables.of(nominal.currents, v_in), CubicTables.of(nominal.currents, v_out)

    def added(self, parameters: Floats, cells: npt.ArrayLike, total: npt.ArrayLike) -> Floats:
        """Return what integrators of these parameters add to their nominal outputs without charge, (columns,) [V].

        Parameters
        ----------
        parameters : ndarray of shape (columns, 1 + components)
            Of each integrator.
        cells, total
            As of :func:`line_basis`, (columns,).
        """
        basis = line_basis(cells, total, self.rows, self.g_cell)
        return np.asarray(((parameters[:, 1:] @ self.pedestals) * basis).sum(axis=1))

    def offsets(self, parameters: Floats) -> Floats:
        """Return the inputs without current of integrators of these parameters, beyond the nominal one's [V]."""
        return np.asarray(parameters[:, 1:] @ self._at_rest)

    @property
    def sigma(self) -> float:
        """Standard deviation of an offset [V]."""
        covariance = self.response.distribution.covariance[1:, 1:]
        return float(np.sqrt(self._at_rest @ covariance @ self._at_rest))

    @property
    def _at_rest(self) -> Floats:
        return np.asarray(PchipInterpolator(self.currents, self.inputs, axis=1)(0.0))
