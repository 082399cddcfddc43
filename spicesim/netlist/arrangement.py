"""How signed weights lie on the columns of an array: differential pairs, a reference column, bit slices.

A :class:`Arrangement` is plain data: conductances, what each column is for, and the digital sums that make outputs of
column currents. Its `g` goes into any builder.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.errors import SpecError
from spicesim.mapping import split_digits

__all__ = ["ARRANGEMENTS", "Arrangement", "Column", "Kind", "arrange_weights"]

Kind = Literal["differential", "reference"]

ARRANGEMENTS: tuple[Kind, ...] = ("differential", "reference")
"""Kinds of columns: a pair for each output, or one column that all outputs share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column is for."""

    output: int | None
    """Output to which it belongs; None for the reference column of all."""
    sign: int
    """+1 if its current is added, -1 if it is subtracted."""
    slice: int = 0
    """Which digit of the weight it holds, the least significant first."""

    def __str__(self) -> str:
        whose = "reference of all outputs" if self.output is None else f"output {self.output}"
        return f"{whose}, {'+' if self.sign > 0 else '-'}, slice {self.slice}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrangement:
    """Weights as an array."""

    g: Floats
    """Conductances of the cells (rows, columns) [S]."""
    columns: tuple[Column, ...]
    """What the columns are for."""
    decoder: Floats
    """(columns, outputs) [1/S]: column currents times this are the weights times the word-line voltages."""

    def decode(self, currents: npt.ArrayLike) -> Floats:
        """Turn column currents (.., columns) [A] into outputs (.., outputs) [V]."""
        return np.asarray(np.asarray(currents, dtype=float) @ self.decoder)

    @property
    def weights(self) -> Floats:
        """The weights that the conductances stand for, (outputs, rows)."""
        return np.asarray((self.g @ self.decoder).T)


def arrange_weights(
    weights: npt.ArrayLike,
    kind: Kind,
    conductance_range: tuple[float, float],
    *,
    slices: int = 1,
    bits: int | None = None,
) -> Arrangement:
    """Arrange signed weights on an array.

    Parameters
    ----------
    weights : array_like of shape (outputs, rows)
        Weights.
    kind : {"differential", "reference"}
        ``differential``: a column for the positive and one for the negative part of each output, next to each other.
        ``reference``: one column for each output, offset by the middle of the range, and one of the middle, the last.
    conductance_range : tuple of float
        Lowest and highest conductance [S].
    slices : int
        Columns over which the digits of a weight are spread; more than 1 needs `bits`.
    bits : int, optional
        Bits of one cell: its conductance takes 2^bits equidistant levels. By default it is not quantised.

    Raises
    ------
    SpecError
        If the weights are not a finite matrix, or the options do not fit each other.

    Notes
    -----
    With s the largest magnitude of the weights of an output and L = 2^(bits slices) - 1, ``round(L |w| / s)`` is
    written in base 2^bits, one digit a slice. With a reference column it is ``round(L (1 + w/s) / 2)``, whose slices
    all have the middle of the conductance range subtracted.
    """
    w = np.asarray(weights, dtype=float)
    low, high = conductance_range
    if w.ndim != 2 or w.size == 0 or not np.isfinite(w).all():
        raise SpecError(f"weights must be a finite matrix (outputs, rows), got shape {w.shape}")
    if kind not in ARRANGEMENTS:
        raise SpecError(f"no arrangement {kind!r}; there are {', '.join(ARRANGEMENTS)}")
    if not 0 <= low < high:
        raise SpecError(f"conductance range must satisfy 0 <= low < high, got {low:g}..{high:g} S")
    if slices < 1 or (bits is None and slices > 1) or (bits is not None and not 1 <= bits * slices <= 32):
        raise SpecError(f"slices need bits of a cell, 32 in all at most; got slices={slices}, bits={bits}")
    scale = np.abs(w).max(axis=1)
    share = (w / np.where(scale > 0, scale, 1.0)[:, None]).T  # (rows, outputs), -1..1
    parts = {1: np.maximum(share, 0), -1: np.maximum(-share, 0)} if kind == "differential" else {1: (1 + share) / 2}
    base = 2 if bits is None else 2**bits
    total = 1 if bits is None else base**slices - 1
    columns: list[Column] = []
    g: list[Floats] = []
    factors: list[tuple[int, float]] = []
    digits = {sign: [part] if bits is None else split_digits(part, bits, slices) for sign, part in parts.items()}
    largest = 1 if bits is None else base - 1
    for k in range(len(w)):
        for s in range(slices):
            for sign in digits:
                columns.append(Column(output=k, sign=sign, slice=s))
                g.append(low + (high - low) * digits[sign][s][:, k] / largest)
                weight = base**s * largest / total * scale[k] / (high - low)
                factors.append((k, sign * weight * (1 if kind == "differential" else 2)))
    decoder = np.zeros((len(columns) + (kind == "reference"), len(w)))
    decoder[np.arange(len(columns)), [k for k, _ in factors]] = [factor for _, factor in factors]
    if kind == "reference":
        columns.append(Column(output=None, sign=-1))
        g.append(np.full(w.shape[1], (low + high) / 2))
        decoder[-1] = -decoder.sum(axis=0)
    return Arrangement(g=np.stack(g, axis=1), columns=tuple(columns), decoder=decoder)
