"""The readings of an array about a fit, and what each kind of error does to them."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.crossbar import Crossbar

__all__ = ["ALONE", "COMMON", "LINES", "ProgrammedArray", "Readings"]

ALONE = {"noise": "A", "relative noise": "1"}
"""Errors of one reading, with the unit of their standard deviation."""
COMMON = {
    "conductances": "1", "conductances, absolute": "S", "gains by column": "1", "offsets by column": "A"
}  # fmt: skip
"""Errors that the readings of a column share: each cell has its own, relative or absolute, or each column has."""
LINES = {"gains by row": "1", "offsets by row": "V", "gains by vector": "1", "offsets by vector": "A"}
"""Errors that columns share."""

_LEAST_RELATIVE = 0.1
"""Current below which relative noise falls no further, relative to the RMS: else readings near 0 would rule the fit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProgrammedArray:
    """An array, and the devices that it is made of."""

    array: Crossbar
    """With wires and contacts."""
    g: Floats
    """Conductances of the devices as given [S], shape (rows, columns)."""
    lift: Floats
    """Derivatives of the array's conductances by them, shape (rows, columns)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """Residuals and their derivatives; 0 where nothing was measured."""

    valid: Floats
    """1 where a current was measured, else 0, shape (columns, vectors)."""
    residuals: Floats
    """Data less model [A], shape (columns, vectors)."""
    slopes: Floats
    """Derivatives of the model by the unknowns, shape (columns, vectors, unknowns)."""
    currents: Floats
    """The model's currents [A], shape (columns, vectors)."""
    noise: Floats
    """Variance of the noise, relative to that of most readings, shape (columns, vectors)."""
    relative: Floats
    """Derivatives by the logarithms of the conductances of the same column [A], shape (columns, vectors, rows)."""
    absolute: Floats
    """Derivatives by these conductances [V], shape (columns, vectors, rows)."""
    rise: Floats
    """Derivatives by the source voltages [S], shape (columns, rows)."""

    @classmethod
    def of(cls, made: ProgrammedArray, v: Floats, currents: Floats, slopes: Floats, noise: Floats) -> "Readings":
        """Linearise about an array.

        Parameters
        ----------
        made : ProgrammedArray
            At the fit.
        v, currents : ndarray of shape (vectors, rows) and (vectors, columns)
            Source voltages [V] and measured currents [A], NaN where there is none.
        slopes : ndarray of shape (measured, unknowns)
            Derivatives of the model's currents.
        noise : ndarray of shape (measured,)
            Relative variances of the noise.
        """
        array, g = made.array, made.g
        probe = np.full(len(g), float(np.sqrt(np.mean(v**2))) or 1.0)
        everywhere, once = array.solve(v, fields=True), array.solve(probe, fields=True)
        assert everywhere.cell_currents is not None  # asked for, as all below
        assert everywhere.cell_voltages is not None
        assert once.cell_currents is not None
        assert once.cell_voltages is not None
        # How much of a cell's change reaches its column differs little between vectors: one tells of all.
        pull = made.lift * np.stack([array.sensitivity(probe, j)[:, j] for j in range(g.shape[1])], axis=1)
        valid = np.isfinite(currents)

        def spread(values: Floats) -> Floats:
            full = np.zeros((*currents.shape, *values.shape[1:]))
            full[valid] = values
            return np.ascontiguousarray(full.swapaxes(0, 1))

        def by_column(cells: Floats) -> Floats:
            return np.ascontiguousarray((cells * valid[:, None, :]).transpose(2, 0, 1))

        return cls(
            valid=np.ascontiguousarray(valid.T.astype(float)),
            residuals=spread((currents - everywhere.currents)[valid]), slopes=spread(slopes),
            currents=spread(everywhere.currents[valid]), noise=spread(noise),
            relative=by_column(everywhere.cell_currents * _ratio(g * pull, once.cell_currents[0])),
            absolute=by_column(everywhere.cell_voltages * _ratio(pull, once.cell_voltages[0])),
            rise=np.ascontiguousarray((g * pull / probe[0]).T),
        )  # fmt: skip

    def part(self, columns: slice, vectors: slice) -> "Readings":
        """Return some of the readings."""
        both = columns, vectors
        return Readings(
            valid=self.valid[both], residuals=self.residuals[both], slopes=self.slopes[both],
            currents=self.currents[both], noise=self.noise[both], relative=self.relative[both],
            absolute=self.absolute[both], rise=self.rise[columns],
        )  # fmt: skip

    def alone(self) -> dict[str, Floats]:
        """Return the variances of unit errors of one reading, (columns, vectors)."""
        least = _LEAST_RELATIVE**2 * float(np.mean(self.currents**2))
        return {"noise": self.noise, "relative noise": (self.currents**2 + least) * self.noise}

    def common(self) -> dict[str, Floats]:
        """Return U of unit errors within a column, of covariance U U^T, (columns, vectors, causes)."""
        return {
            "conductances": self.relative, "conductances, absolute": self.absolute,
            "gains by column": self.currents[..., None], "offsets by column": self.valid[..., None],
        }  # fmt: skip

    def lines(self) -> dict[str, Floats]:
        """Return U of unit errors that columns share, (columns, vectors, causes)."""
        each = np.eye(self.valid.shape[1])
        return {
            "gains by row": self.relative, "offsets by row": self.valid[..., None] * self.rise[:, None, :],
            "gains by vector": self.currents[..., None] * each, "offsets by vector": self.valid[..., None] * each,
        }  # fmt: skip


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)
