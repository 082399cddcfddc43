"""Recover the resistance of word-line and bit-line segments from the currents of an array alone."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.senseamp import Parameter
from spicesim.cells import Cell
from spicesim.crossbar import Crossbar
from spicesim.errors import CalibrationError

__all__ = ["fit_wires"]


def fit_wires(
    g: npt.ArrayLike, v: npt.ArrayLike, currents: npt.ArrayLike, *, cell: Cell | None = None, start: float = 1.0
) -> dict[str, Parameter]:
    """Fit the two segment resistances of an array to its column currents.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances of the devices [S].
    v : array_like of shape (batch, rows)
        Word-line voltages [V].
    currents : array_like of shape (batch, columns)
        Currents into the virtual grounds, measured or simulated [A].
    cell : Cell, optional
        Law of the cells; linear by default. A calibrated cell is ``CellModel.cell``.
    start : float
        First guess of both [ohm].

    Returns
    -------
    dict of Parameter
        "r_word_line" and "r_bit_line" with standard errors [ohm].

    Raises
    ------
    CalibrationError
        If the fit does not end, or the currents do not depend on both resistances.
    """
    measured = np.asarray(currents, dtype=float)
    scale = float(np.abs(measured).max())

    def residuals(r: Floats) -> Floats:
        model = Crossbar(g, r_word_line=float(r[0]), r_bit_line=float(r[1]), cell=cell)
        return np.asarray((model.currents(v) - measured) / scale).ravel()

    fit = least_squares(
        residuals, [start, start], bounds=(0, np.inf), x_scale=start, xtol=1e-12, ftol=1e-12, gtol=1e-12, diff_step=1e-4
    )
    if not fit.success:
        raise CalibrationError(f"the wire resistances did not converge: {fit.message}; give a better first guess")
    information = fit.jac.T @ fit.jac
    if np.linalg.cond(information) > 1e12:
        raise CalibrationError(
            "the currents do not tell word-line from bit-line resistance; use more rows, columns or input vectors"
        )
    degrees = max(1, measured.size - 2)
    errors = np.sqrt(np.diag(np.linalg.inv(information)) * 2 * fit.cost / degrees)
    return {
        name: Parameter(value=float(value), standard_error=float(error), unit="ohm")
        for name, value, error in zip(("r_word_line", "r_bit_line"), fit.x, errors, strict=True)
    }
