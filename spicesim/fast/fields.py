"""Linear fields: how the voltages of an array's cells follow its inputs, and its outputs the currents of its cells."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats, Singles
from spicesim.cells import Linear
from spicesim.crossbar import Crossbar

__all__ = ["SHAPES", "LinearFields", "find_fields", "shapes"]

SHAPES = 6
"""Smooth functions along a bit line that represent what other inputs do to a cell."""
PORTION = 64
"""Fields held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFields:
    """Fields of an array with linear cells, whose outputs are the currents of feet, or the voltages of open ones.

    Nearly all that an input does to a cell of another row is to lift its bit line: smooth along the column. The
    step at the input's own row is kept apart, so that the rest needs few shapes.
    """

    transfer: Floats
    """Outputs for 1 V at an input, (columns, rows) [S; 1]."""
    row_admittance: Floats
    """Currents of the drivers for 1 V at an input, (rows, rows) [S]."""
    port_admittance: Floats | None
    """Current that leaves the foot of column k into the array for 1 V at the foot of column j, (j, k) [S].

    None for open feet."""
    own_v: Floats
    """Voltage across cell (i, j) for 1 V at input i, (rows, columns)."""
    own_u: Floats
    """Bit-line voltage at cell (i, j) for 1 V at input i, (rows, columns)."""
    all_v: Floats
    """Voltage across each cell for 1 V at all inputs, (rows, columns)."""
    all_u: Floats
    """Bit-line voltage at each cell for 1 V at all inputs, (rows, columns)."""
    other_v: Floats
    """Voltages across the cells of column j for 1 V at input i, in shapes, (shapes, columns, rows)."""
    other_u: Floats
    """The same of the bit-line voltages."""
    adjoint: Singles
    """Output j for 1 A from word line to bit line at cell (i, l), (columns l, rows, columns j) [1; ohm]."""


def shapes(rows: int) -> Floats:
    """Return orthonormal polynomials along a bit line, (rows, at most SHAPES)."""
    place = np.linspace(-1.0, 1.0, rows) if rows > 1 else np.zeros(1)
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(place, min(SHAPES, rows) - 1))
    return np.asarray(basis)


def find_fields(array: Crossbar, slopes: Floats, r_sense: Floats, *, threads: int) -> LinearFields:
    """Find the fields of the wires of `array` with linear cells.

    Parameters
    ----------
    array : Crossbar
        Gives the wires.
    slopes : ndarray of shape (rows, columns)
        Conductances in place of the cells [S].
    r_sense : ndarray of shape (columns,)
        Resistances at the feet of the bit lines [ohm]; infinite for all of them, or for none.
    threads : int
        Threads.
    """
    rows, columns = array.shape
    linear = array.changed(g=slopes, r_sense=r_sense, cell=Linear())
    basis = shapes(rows).T.astype(np.float32)
    own_v, own_u, row_admittance = np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, rows))
    all_v, all_u = np.zeros((2, rows, columns))
    other_v, other_u = np.empty((2, len(basis), columns, rows))
    for first in range(0, rows, PORTION):
        part = np.arange(first, min(first + PORTION, rows))
        across, bit = np.empty((2, rows, columns, len(part)), np.float32)
        row_admittance[part] = linear.fill_voltages(np.eye(rows)[part], across, bit, threads)
        index = np.arange(len(part))
        for field, own, every, other in ((across, own_v, all_v, other_v), (bit, own_u, all_u, other_u)):
            every += field.sum(axis=2, dtype=float)
            own[part] = field[part, :, index]
            field[part, :, index] = 0.0
            other[:, :, part] = (basis @ field.reshape(rows, -1)).reshape(len(basis), columns, -1)
    floats = bool(np.isinf(r_sense).all())
    adjoint, port_admittance = _open_adjoint(linear, threads) if floats else _adjoint(linear, threads)
    return LinearFields(
        transfer=linear.foot_matrix() if floats else linear.transfer_matrix(),
        row_admittance=row_admittance,
        port_admittance=port_admittance,
        own_v=own_v,
        own_u=own_u,
        all_v=all_v,
        all_u=all_u,
        other_v=other_v,
        other_u=other_u,
        adjoint=adjoint,
    )


def _adjoint(linear: Crossbar, threads: int) -> tuple[Singles, Floats]:
    """By reciprocity: the voltages across the cells for 1 V at the foot of a bit line, the word lines grounded.

    Seen from its feet the array is an array again, with bit lines for word lines and last for first.
    """
    rows, columns = linear.shape
    order = slice(None) if linear.drive == "right" else slice(None, None, -1)
    turned = Crossbar(
        linear.g[::-1, order].T,
        linear.r_bit_line[::-1, order].T,
        linear.r_word_line[::-1, order].T,
        linear.r_sense[order],
        linear.r_driver[::-1],
        drive="both" if linear.sense == "both" else "left",
        sense="both" if linear.drive == "both" else "bottom",
    )
    adjoint = np.empty((columns, rows, columns), np.float32)
    currents = turned.fill_voltages(np.eye(columns)[order], adjoint[order, ::-1], threads=threads)
    return adjoint, currents[:, order]


def _open_adjoint(linear: Crossbar, threads: int) -> tuple[Singles, None]:
    """By reciprocity: the voltages across the cells for 1 A into an open foot, the word lines grounded.

    Sources of 1 V behind resistances at all feet tell it: in sums of them, one foot alone has a current.
    """
    total = linear.g.sum(axis=0)
    behind = 1 / np.where(total > 0, total, 1.0)
    fields, currents = _adjoint(linear.changed(r_sense=behind), threads)
    sums = np.linalg.inv(currents.T).astype(np.float32)  # (source j, foot k)
    return np.matmul(fields, sums), None
