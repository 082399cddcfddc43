"""Arrays by star-mesh transformation: as exact for extreme wires and cells as for ordinary ones, but slow.

A node between conductances G_a to its neighbours can be taken away if each pair of them gets G_a G_b / sum(G) more.
Products, quotients and sums of positive numbers lose no digits: what remains between sources and grounds is right in
each entry, whatever lies between the smallest and the largest conductance. On the way back the voltage of a node is a
mean of its neighbours'. Means of voltages would lose small differences, means of differences do not: so the
differences between all nodes of the front are carried along, and the current of each branch is right, too.

Segments of 0 ohm make one node of two, broken ones and open cells are left out, and what hangs on nothing is at 0 V.
"""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats, Integers
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import SpecError

__all__ = ["MeshPoint", "StarMesh"]

OVERFLOW = (
    "the numbers of the array overflow: conductances and resistances are beyond double precision; "
    "make extreme ones 0 or infinite"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeshPoint:
    """Voltages and currents of linear cells."""

    word: Floats
    """Word-line nodes, (rows, columns) [V]."""
    bit: Floats
    """Bit-line nodes, (rows, columns) [V]."""
    across: Floats
    """Across the cells, (rows, columns) [V]; right where the difference of the nodes is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One node taken away."""

    slot: int
    neighbours: Integers
    """Slots."""
    share: Floats
    """Of the neighbours in the voltage of the node, and in what current is fed into it."""
    total: float
    """Sum of its conductances [S]."""
    nodes: Integers
    """What of the array is this node."""
    cells: list[tuple[int, int, float]]
    """Cells at this node that no earlier step had: number, the other end's slot, 1 or -1 if this is its bit line."""


class StarMesh:
    """An array of linear cells.

    Parameters
    ----------
    wiring : Wiring
        The wires; segments may be 0 or infinite.
    slope : ndarray of shape (rows, columns)
        Conductances of the cells [S].

    Raises
    ------
    SpecError
        If a number overflows.
    """

    def __init__(self, wiring: Wiring, slope: Floats) -> None:
        rows, columns = wiring.shape
        self._shape, cells = (rows, columns), rows * columns
        one, two, ohm = wiring.branches()
        ends = 2 * cells + rows + (1 if wiring.top is None else 2) * columns
        merged = wiring.merged
        self._terminals = np.arange(2 * cells, ends)
        with np.errstate(all="ignore"):
            conducts = (ohm > 0) & np.isfinite(ohm)
            number = np.concatenate([np.full(np.count_nonzero(conducts), -1), np.arange(cells)])
            one = merged[np.concatenate([one[conducts], np.arange(cells)])]
            two = merged[np.concatenate([two[conducts], np.arange(cells, 2 * cells)])]
            siemens = np.concatenate([1 / ohm[conducts], slope.ravel()])
            if not np.isfinite(siemens).all():
                raise SpecError(OVERFLOW)
            self._open = slope == 0
            useful = siemens > 0
            self._eliminate(one[useful], two[useful], siemens[useful], number[useful], merged, cells)

    def _order(self, merged: Integers, cells: int) -> list[int]:
        """Return the nodes to take away, so that few stand between them: by columns, or by rows if there are fewer."""
        rows, columns = self._shape
        row, column = np.divmod(np.arange(cells), columns)
        place = (
            np.concatenate([2 * column + 1, 2 * column]) if rows <= columns else np.concatenate([2 * row, 2 * row + 1])
        )
        last = np.full(int(merged.max()) + 1, -1)
        np.maximum.at(last, merged[: 2 * cells], place)
        last[merged[self._terminals]] = -1
        return [int(node) for node in np.argsort(last, kind="stable") if last[node] >= 0]

    def _eliminate(
        self, one: Integers, two: Integers, siemens: Floats, number: Integers, merged: Integers, cells: int
    ) -> None:
        at: list[list[int]] = [[] for _ in range(int(merged.max()) + 1)]
        for k, (a, b) in enumerate(zip(one.tolist(), two.tolist(), strict=True)):
            if a != b:
                at[a].append(k)
                at[b].append(k)
        members: list[list[int]] = [[] for _ in at]
        for node, root in enumerate(merged[: 2 * cells].tolist()):
            members[root].append(node)
        slots: dict[int, int] = {}
        for node in merged[self._terminals].tolist():
            slots.setdefault(node, len(slots))
        self._members = [(slots[node], np.array(members[node])) for node in slots if members[node]]
        free: list[int] = []
        mesh = np.zeros((len(slots) + 8, len(slots) + 8))
        free.extend(range(len(mesh) - 1, len(slots) - 1, -1))
        added = np.zeros(len(one), bool)
        self._steps: list[_Step] = []

        def slot_of(node: int) -> int:
            nonlocal mesh
            if node not in slots:
                if not free:
                    mesh = np.pad(mesh, (0, len(mesh)))
                    free.extend(range(len(mesh) - 1, len(mesh) // 2 - 1, -1))
                slots[node] = free.pop()
            return slots[node]

        ends = (one.tolist(), two.tolist())
        for node in self._order(merged, cells):
            p, here = slot_of(node), []
            for k in at[node]:
                if added[k]:
                    continue
                added[k] = True
                sign = 1.0 if ends[0][k] == node else -1.0
                q = slot_of(ends[1][k] if sign > 0 else ends[0][k])
                mesh[p, q] += siemens[k]
                mesh[q, p] += siemens[k]
                if number[k] >= 0:
                    here.append((int(number[k]), q, sign))
            neighbours = np.flatnonzero(mesh[p])
            star = mesh[p, neighbours]
            total = float(star.sum())
            if not np.isfinite(total):
                raise SpecError(OVERFLOW)
            share = star / total if total > 0 else star
            joined = np.outer(star, share)
            joined = np.maximum(joined, joined.T)  # of the two orders the one that does not underflow
            block = mesh[np.ix_(neighbours, neighbours)] + joined
            np.fill_diagonal(block, 0.0)
            mesh[np.ix_(neighbours, neighbours)] = block
            mesh[p] = mesh[:, p] = 0.0
            self._steps.append(_Step(p, neighbours, share, total, np.array(members[node]), here))
            free.append(slots.pop(node))
        self._direct: list[tuple[int, int, int]] = []  # cells from a source straight to a ground
        for k in np.flatnonzero(~added).tolist():
            p, q = slots[ends[0][k]], slots[ends[1][k]]
            if p != q:
                mesh[p, q] += siemens[k]
                mesh[q, p] += siemens[k]
                if number[k] >= 0:
                    self._direct.append((int(number[k]), p, q))
        if not np.isfinite(mesh).all():
            raise SpecError(OVERFLOW)
        self._size = len(mesh)
        self._slots = np.array([slots[node] for node in merged[self._terminals].tolist()])
        self._held = mesh[np.ix_(self._slots, self._slots)]
        again = np.setdiff1d(np.arange(len(self._slots)), np.unique(self._slots, return_index=True)[1])
        self._held[again] = self._held[:, again] = 0.0  # foot and top of a bit line in one

    def linear_maps(self) -> tuple[Floats, Floats, Floats]:
        """Return the currents a volt [S].

        Of columns and of rows for source i, (rows, columns) and (rows, rows); out of ground k for one volt at the
        ends of bit line j, (columns, columns).
        """
        rows, columns = self._shape
        held = self._held
        # with two grounds a column, those at the same voltage carry no current between them
        groups = np.concatenate([np.arange(rows), rows + np.arange(len(held) - rows) % columns])
        folded = np.zeros((rows + columns, rows + columns))
        with np.errstate(over="ignore"):
            np.add.at(folded, (groups[:, None], groups), held)
            np.fill_diagonal(folded, 0.0)
            totals = folded.sum(axis=1)
        if not np.isfinite(totals).all():
            raise SpecError(OVERFLOW)
        admittance = np.diag(totals) - folded
        return folded[:rows, rows:], admittance[:rows, :rows], admittance[rows:, rows:]

    def solve(self, v: Floats, ground: Floats | None = None, fed: Floats | None = None) -> MeshPoint:
        """Return voltages for sources v (rows,), grounds (columns,) and currents beside the cells (rows, columns).

        `fed` flows from the word line to the bit line of each cell, beside what its conductance carries [A].
        """
        rows, columns = self._shape
        ends = np.zeros(len(self._slots))
        ends[:rows] = v
        if ground is not None:
            ends[rows:] = np.resize(ground, len(ends) - rows)
        held = np.zeros(self._size)
        held[self._slots] = ends
        rises = self._feed(None if fed is None else fed.ravel())
        apart = held[:, None] - held  # voltage of a slot above that of another
        level = held  # and above the reference
        nodes, across = np.zeros(2 * rows * columns), np.zeros(rows * columns)
        for slot, members in self._members:
            nodes[members] = level[slot]
        for cell, p, q in self._direct:
            across[cell] = apart[p, q]
        for step, rise in zip(reversed(self._steps), reversed(rises), strict=True):
            p = step.slot
            level[p] = step.share @ level[step.neighbours] + rise
            above = step.share @ apart[step.neighbours] + rise if step.total > 0 else -level
            apart[p], apart[:, p] = above, -above
            apart[p, p] = 0.0
            nodes[step.nodes] = level[p]
            for cell, other, sign in step.cells:
                across[cell] = sign * above[other]
        shape = self._shape
        word, bit = nodes[: across.size].reshape(shape), nodes[across.size :].reshape(shape)
        across = np.where(self._open, word - bit, across.reshape(shape))
        return MeshPoint(word=word, bit=bit, across=across)

    def _feed(self, fed: Floats | None) -> list[float]:
        """Return by how much currents fed into the nodes lift each of them above the mean of its neighbours [V]."""
        if fed is None:
            return [0.0] * len(self._steps)
        into = np.zeros(self._size)
        rises = []
        for step in self._steps:
            own = 0.0
            whole = into[step.slot]
            for cell, other, sign in step.cells:
                own -= sign * fed[cell]
                # the neighbour gives back its share: what is left of the current is the share of all others
                rest = float(step.share[step.neighbours != other].sum())
                into[step.neighbours] -= sign * fed[cell] * np.where(step.neighbours == other, 0.0, step.share)
                into[other] += sign * fed[cell] * rest
            into[step.neighbours] += whole * step.share
            into[step.slot] = 0.0
            rises.append((whole + own) / step.total if step.total > 0 else 0.0)
        return rises
