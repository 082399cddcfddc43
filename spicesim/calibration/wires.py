"""Recover the resistances of an array's wires, drivers, senses and contacts from its column currents alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.calibration.fit import Fit, Loss
from spicesim.calibration.least_squares import Unknown, fit_parameters
from spicesim.cells import Cell, Linear
from spicesim.crossbar import Crossbar
from spicesim.errors import CalibrationError, SpecError

__all__ = ["WIRES", "ContactedCell", "fit_wires"]

WIRES = {
    "r_word_line": "a segment of the word lines [ohm]",
    "r_bit_line": "a segment of the bit lines [ohm]",
    "r_driver": "between source and word line [ohm]",
    "r_sense": "between bit line and virtual ground [ohm]",
    "r_contact": "in series with every cell [ohm]",
    "g_scale": "common factor of the conductances given [1]",
}
"""What :func:`fit_wires` can find."""


@dataclass(frozen=True, slots=True, eq=False)
class ContactedCell:
    """Any cell with a resistance in series."""

    cell: Cell
    """The cell without it."""
    resistance: float
    """Of both contacts together [ohm]."""

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]; g, v, u broadcast."""
        return self.cell.current(g, self._inner(g, v, u), u)

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]; g, v, u broadcast."""
        bare = self.cell.slope(g, self._inner(g, v, u), u)
        return np.asarray(bare / (1 + self.resistance * bare))

    def _inner(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> Floats:
        """Find the voltage across the bare cell."""
        across = np.asarray(v, dtype=float)
        inner = across + np.zeros(np.broadcast_shapes(np.shape(g), np.shape(v), np.shape(u)))
        for _ in range(30):  # the drop is small, so three steps do
            excess = inner + self.resistance * self.cell.current(g, inner, u) - across
            step = excess / (1 + self.resistance * self.cell.slope(g, inner, u))
            inner = inner - step
            if float(np.abs(step).max(initial=0.0)) <= 1e-15:
                break
        return inner


def fit_wires(
    g: npt.ArrayLike,
    v: npt.ArrayLike,
    currents: npt.ArrayLike,
    *,
    cell: Cell | None = None,
    wanted: Sequence[str] = ("r_word_line", "r_bit_line"),
    known: Mapping[str, float] | None = None,
    start: float = 1.0,
    loss: Loss = "linear",
) -> Fit:
    """Fit resistances of an array to its column currents, with the exact crossbar as the model.

    Parameters
    ----------
    g : array_like of shape (rows, columns)
        Conductances of the devices [S].
    v : array_like of shape (batch, rows)
        Source voltages [V].
    currents : array_like of shape (batch, columns)
        Currents into the virtual grounds, measured or simulated [A]; NaN where there is none.
    cell : Cell, optional
        Law of the cells; linear by default. A calibrated cell is ``CellModel.cell``.
    wanted : sequence of str
        Of :data:`WIRES`, what to find.
    known : mapping of str to float, optional
        Values of the others; by default resistances are 0 and g_scale is 1.
    start : float
        First guess of the resistances, and the change of them that matters [ohm].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        Parameters with intervals. What the currents do not tell apart is named in ``unidentifiable``: a contact acts
        like a lower conductance, so with g_scale free it takes cells of several conductances to see it, and a driver
        acts like the first segment of its line.

    Raises
    ------
    SpecError
        If shapes or names are wrong.
    CalibrationError
        If there are too few data, or the fit does not end.
    """
    conductances, volts = np.asarray(g, dtype=float), np.atleast_2d(np.asarray(v, dtype=float))
    measured = np.atleast_2d(np.asarray(currents, dtype=float))
    if conductances.ndim != 2 or volts.shape[1] != len(conductances):
        raise SpecError(f"g {conductances.shape} and v {volts.shape} do not fit; wanted (rows, columns), (batch, rows)")
    if measured.shape != (len(volts), conductances.shape[1]):
        raise SpecError(
            f"currents must have shape {(len(volts), conductances.shape[1])} for {len(volts)} vectors, "
            f"got {measured.shape}"
        )
    given = dict.fromkeys(WIRES, 0.0) | {"g_scale": 1.0} | dict(known or {})
    for name in [*wanted, *given]:
        if name not in WIRES:
            raise SpecError(f"no parameter {name!r} of an array; there are: {', '.join(WIRES)}")
    valid = np.isfinite(measured)
    if not valid.any():
        raise CalibrationError("there is no current to fit to; measure some columns")
    law = Linear() if cell is None else cell

    def residuals(values: Any) -> Floats:
        model = _array(conductances, law, {**given, **dict(zip(wanted, map(float, values), strict=True))})
        return np.asarray((model.currents(volts) - measured)[valid])

    unknowns = [
        Unknown(name=name, unit="1", start=1.0, low=0.0, scale=1.0)
        if name == "g_scale"
        else Unknown(name=name, unit="ohm", start=start, low=0.0, scale=start)
        for name in wanted
    ]
    return fit_parameters(residuals, unknowns, unit="A", jacobian="3-point", loss=loss)


def _array(g: Floats, cell: Cell, values: Mapping[str, float]) -> Crossbar:
    scaled, contact = g * values["g_scale"], values["r_contact"]
    if contact and isinstance(cell, Linear):
        scaled, contact = scaled / (1 + scaled * contact), 0.0
    return Crossbar(
        scaled, values["r_word_line"], values["r_bit_line"], values["r_driver"], values["r_sense"],
        cell=ContactedCell(cell, contact) if contact else cell,
    )  # fmt: skip
