"""The wires of an array in the one orientation that the kernels know: driven at column 0, sensed below the last row."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from spicesim.arrays import Bools, Floats, Integers

__all__ = ["Wiring"]

DROP_LIMIT = 1e6
DIGITS_LOST = 1e-9
"""Relative error that rounding may make in what holds a node."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiring:
    """Resistances of segments, drivers and senses [ohm]."""

    word: Floats
    """Segment to the left of each node, (rows, columns)."""
    bit: Floats
    """Segment below each node, (rows, columns)."""
    driver: Floats
    """In series with the source at the left, (rows,)."""
    sense: Floats
    """In series with the virtual ground below, (columns,); infinite: an open foot, whose bit line floats."""
    right: Floats | None = None
    """From the last node of a row to a second source of the same voltage, (rows,); None: an open end."""
    top: Floats | None = None
    """From the first node of a column to a second virtual ground, (columns,); None: an open end."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of word lines and bit lines."""
        rows, columns = self.word.shape
        return rows, columns

    def drops_little(self, g: Floats, limit: float = DROP_LIMIT) -> bool:
        """Tell whether no resistance is so large that sums of currents lose their digits in it; g (rows, columns)."""
        parts = (self.word, self.bit, self.driver, self.sense, self.right, self.top)
        greatest = max(float(part.max(where=np.isfinite(part), initial=0.0)) for part in parts if part is not None)
        with np.errstate(all="ignore"):
            return bool(greatest * max(float(g.sum(axis=0).max()), float(g.sum(axis=1).max())) <= limit)

    def ends_matter(self, error: float) -> bool:
        """Tell whether one end of a bit line is seen from the other: with an error of rounding below this fraction.

        Of the voltage that a small resistance leaves at one end, one far larger between leaves less at the other than
        what that of the first rounds to.
        """
        if self.top is None:
            return True
        ends = np.concatenate([self.sense, self.top])
        with np.errstate(all="ignore"):
            ratio = float(self.bit.sum(axis=0).max(initial=0.0)) / float(ends[ends > 0].min(initial=np.inf))
        return bool(np.finfo(float).eps * ratio <= error)

    def keeps_digits(self, g: Floats) -> bool:
        """Tell whether sums of conductances keep what matters: g (rows, columns) beside segments of small resistance.

        A sum of conductances is wrong by its rounding, which is a conductance to nowhere. That does no harm while all
        of a line are far below what holds it: the line to its end or, of a piece that has none, its cells.
        """
        _, _, ohm = self.branches()
        real = ohm[(ohm > 0) & np.isfinite(ohm)]
        with np.errstate(all="ignore"):
            largest = max(float((1 / real).max(initial=0.0)), float(g.max()))
            holding = self._longest_line + (0.0 if self.is_finite else self._weakest_hold(g))
            return bool(np.finfo(float).eps * np.sqrt(max(self.shape)) * largest * holding <= DIGITS_LOST)

    @functools.cached_property
    def _longest_line(self) -> float:
        """The largest resistance of a line's unbroken segments, ends included [ohm]."""
        rows = np.column_stack([self.word, self.driver, *([] if self.right is None else [self.right])])
        columns = np.vstack([self.bit, self.sense, *([] if self.top is None else [self.top])]).T
        return max(float(line.sum(axis=1, where=np.isfinite(line)).max()) for line in (rows, columns))

    def _weakest_hold(self, g: Floats) -> float:
        """Return the largest resistance by which cells hold a piece of a line without an end; g (rows, columns) [ohm].

        By those at lines with ends; if a piece that conducts has none, the largest of any cell.
        """
        cells, piece = g.size, self._pieces(np.isfinite)
        count, flat = piece.max() + 1, g.ravel()
        word, bit = piece[:cells], piece[cells : 2 * cells]
        held = np.zeros(count, dtype=bool)
        held[piece[2 * cells :]] = True
        conducts, holding = np.zeros(count), np.zeros(count)
        for own, other in ((word, bit), (bit, word)):
            conducts += np.bincount(own, flat, count)
            holding += np.bincount(own, np.where(held[other], flat, 0.0), count)
        floating = ~held & (conducts > 0)
        if not holding[floating].all():
            return float((1 / g[g > 0]).max(initial=0.0))
        return float((1 / holding[floating]).max(initial=0.0))

    @property
    def has_one_end(self) -> bool:
        """Whether lines are driven at one end and sensed at one."""
        return self.right is None and self.top is None

    @property
    def is_whole(self) -> bool:
        """Whether no segment is broken; feet may be open."""
        parts = (self.word, self.bit, self.driver, self.right, self.top)
        return all(part is None or bool(np.isfinite(part).all()) for part in parts)

    @property
    def is_finite(self) -> bool:
        """Whether no segment is broken and no foot is open."""
        return self.is_whole and not self.open_feet.any()

    @functools.cached_property
    def open_feet(self) -> Bools:
        """Which bit lines float, (columns,)."""
        return np.isinf(self.sense)

    def branches(self) -> tuple[Integers, Integers, Floats]:
        """Return all segments: their two nodes and their resistance, drivers and senses included [ohm].

        Nodes are the word-line nodes, the bit-line nodes, the sources, the feet and, where there are, the tops of the
        bit lines, rows first.
        """
        rows, columns = self.shape
        cells = rows * columns
        word, bit = np.arange(cells).reshape(rows, columns), np.arange(cells, 2 * cells).reshape(rows, columns)
        source = 2 * cells + np.arange(rows)
        foot = 2 * cells + rows + np.arange(columns)
        parts = [
            (source, word[:, 0], self.word[:, 0] + self.driver),
            (word[:, :-1], word[:, 1:], self.word[:, 1:]),
            (bit[:-1], bit[1:], self.bit[:-1]),
            (bit[-1], foot, self.bit[-1] + self.sense),
        ]
        if self.right is not None:
            parts.append((word[:, -1], source, self.right))
        if self.top is not None:
            parts.append((foot + columns, bit[0], self.top))
        one, two, ohm = (np.concatenate([np.ravel(part[k]) for part in parts]) for k in range(3))
        return one, two, ohm

    @functools.cached_property
    def merged(self) -> Integers:
        """Number of each node of :meth:`branches`, the same for nodes that segments of 0 ohm join."""
        return self._pieces(lambda ohm: ohm == 0)

    def _pieces(self, joins: Callable[[Floats], Bools]) -> Integers:
        """Return a number for each node, the same for those that segments of such resistances join."""
        one, two, ohm = self.branches()
        rows, columns = self.shape
        total = 2 * rows * columns + rows + (1 if self.top is None else 2) * columns
        joined = joins(ohm)
        links = sparse.csr_array((np.ones(np.count_nonzero(joined)), (one[joined], two[joined])), shape=(total, total))
        return np.asarray(csgraph.connected_components(links, directed=False)[1], dtype=np.int64)

    @functools.cached_property
    def largest_segment(self) -> float:
        """The largest resistance of a segment that is not broken, and of an end [ohm]."""
        ohm = self.branches()[2]
        return float(ohm[np.isfinite(ohm)].max(initial=0.0))

    @functools.cached_property
    def reach(self) -> Floats:
        """Resistance from the source at the left to each cell and on to the ground below, (rows, columns) [ohm]."""
        word = self.driver[:, None] + np.cumsum(self.word, axis=1)
        bit = self.sense + np.cumsum(self.bit[::-1], axis=0)[::-1]
        return np.asarray(word + bit)

    @functools.cached_property
    def _wired(self) -> tuple[Bools, Bools]:
        """Whether segments lead from each word-line node to a source, and from each bit-line node to a ground."""
        word = np.logical_and.accumulate(np.isfinite(self.word), axis=1)
        if self.right is not None:
            behind = np.column_stack([self.right, self.word[:, :0:-1]])
            word |= np.logical_and.accumulate(np.isfinite(behind), axis=1)[:, ::-1]
        bit = np.logical_and.accumulate(np.isfinite(self.bit[::-1]), axis=0)[::-1]
        if self.top is not None:
            bit |= np.logical_and.accumulate(np.isfinite(np.vstack([self.top, self.bit[:-1]])), axis=0)
        return word, bit

    def sum_rows(self, current: Floats) -> Floats:
        """Return the currents of drivers for those of cells (.., rows, columns): cut off, they add up to 0 [A]."""
        return np.asarray((current * self._wired[0]).sum(axis=-1))

    def sum_columns(self, current: Floats) -> Floats:
        """Return the currents into grounds for those of cells (.., rows, columns): cut off, they add up to 0 [A]."""
        return np.asarray((current * self._wired[1]).sum(axis=-2))

    def share_word_lines(self, current: Floats) -> Floats:
        """Return what the right-hand drivers deliver of the cells' currents (.., rows, columns); (.., rows) [A]."""
        assert self.right is not None
        ohm = np.column_stack([self.word[:, 0] + self.driver, self.word[:, 1:], self.right])
        return _far_end(current, ohm)

    def share_bit_lines(self, current: Floats) -> Floats:
        """Return what flows out of the tops of the cells' currents (.., rows, columns); (.., columns) [A]."""
        assert self.top is not None
        ohm = np.vstack([self.bit[-1] + self.sense, self.bit[-2::-1], self.top]).T
        return _far_end(np.swapaxes(current[..., ::-1, :], -1, -2), ohm)


def _far_end(current: Floats, ohm: Floats) -> Floats:
    """Return what of the currents along lines (.., lines, nodes) flows through the far ends; ohm (lines, nodes + 1).

    Both ends are at one voltage, so the drops of the segments add up to 0: that says how currents divide, without any
    voltage. A broken segment carries none. If no segment has resistance, halves are as right as anything.
    """
    broken = np.isinf(ohm)
    weight = np.where(broken.any(axis=1, keepdims=True), broken, ohm)
    greatest = weight.max(axis=1, keepdims=True)
    weight = np.where(greatest > 0, weight / np.where(greatest > 0, greatest, 1.0), 1.0)
    weight = weight / weight.sum(axis=1, keepdims=True)
    # share of the current of each node that flows on to the far end: the resistance on its near side
    return np.asarray((current * np.cumsum(weight, axis=1)[:, :-1]).sum(axis=-1))
