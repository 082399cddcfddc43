"""Arrays solved by nodal analysis in decimal numbers of many digits; shares no code with the package.

All resistors are written out one by one; those of 0 ohm make one node of two, those of infinite resistance are left
out. The digits are chosen by the range of the conductances, so that what is subtracted keeps forty of them.
"""

import itertools
import math
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

DIGITS = 40
NEWTON_LIMIT = 400


class Resistor(NamedTuple):
    one: object
    two: object
    ohm: float
    block: str


class Network:
    """The nodes of an array and what is between them.

    Nodes are ("source", i), ("driven", i, side), ("word", i, j), ("bit", i, j), ("sensed", j, side), ("ground", j,
    side); sources and grounds are held.
    """

    def __init__(self, g, r_word_line, r_bit_line, r_driver, r_sense, drive="left", sense="bottom"):
        g = np.asarray(g, dtype=float)
        rows, columns = self.shape = g.shape
        word = np.broadcast_to(np.asarray(r_word_line, float), (rows, columns + (drive == "both"))).tolist()
        bit = np.broadcast_to(np.asarray(r_bit_line, float), (rows + (sense == "both"), columns)).tolist()
        driver = np.broadcast_to(np.asarray(r_driver, float), (rows,)).tolist()
        ends = np.broadcast_to(np.asarray(r_sense, float), (columns,)).tolist()
        self.g = g.tolist()
        parts = []
        for i in range(rows):
            line = [("word", i, j) for j in range(columns)]
            if drive != "right":
                line.insert(0, ("driven", i, "left"))
                parts.append(Resistor(("source", i), line[0], driver[i], "drivers"))
            if drive != "left":
                line.append(("driven", i, "right"))
                parts.append(Resistor(line[-1], ("source", i), driver[i], "drivers"))
            parts += [Resistor(a, b, r, "word_lines") for a, b, r in zip(line, line[1:], word[i], strict=False)]
        for j in range(columns):
            line = [("bit", i, j) for i in range(rows)] + [("sensed", j, "bottom")]
            parts.append(Resistor(line[-1], ("ground", j, "bottom"), ends[j], "senses"))
            if sense == "both":
                line.insert(0, ("sensed", j, "top"))
                parts.append(Resistor(("ground", j, "top"), line[0], ends[j], "senses"))
            parts += [Resistor(a, b, bit[i][j], "bit_lines") for i, (a, b) in enumerate(itertools.pairwise(line))]
        self.resistors = [r for r in parts if r.ohm < math.inf]
        self.parents = {}
        for r in self.resistors:
            if r.ohm == 0 and self.root(r.one) != self.root(r.two):  # not yet one node by another way
                self.parents[self.root(r.one)] = self.root(r.two)
        self.held = {}
        for i in range(rows):
            self.held[self.root(("source", i))] = ("source", i)
        for j in range(columns):
            for side in ("bottom", "top")[: 1 + (sense == "both")]:
                self.held[self.root(("ground", j, side))] = ("ground", j, side)
        self.cells = [(("word", i, j), ("bit", i, j), i, j) for i in range(rows) for j in range(columns)]

    def root(self, node):
        while node in self.parents:
            node = self.parents[node]
        return node

    def digits(self, siemens):
        """Return the digits that solutions need where cells have these conductances."""
        every = [1 / Decimal(r.ohm) for r in self.resistors if r.ohm > 0] + [Decimal(s) for s in siemens if s > 0]
        spread = max(every).adjusted() - min(every).adjusted() if every else 0
        return DIGITS + 3 * spread + 10

    def voltages(self, siemens, injected, sources):
        """Return voltages {node: [Decimal, ..]} for some right-hand sides.

        Cells have conductances `siemens` (rows x columns, Decimal); `injected[k]` is {root: current into it};
        `sources[k]` the voltages of the sources.
        """
        count = len(sources)
        links = {}

        def link(a, b, conductance):
            a, b = self.root(a), self.root(b)
            if a != b and conductance:
                for x, y in ((a, b), (b, a)):
                    links.setdefault(x, {})
                    links[x][y] = links[x].get(y, Decimal(0)) + conductance

        for r in self.resistors:
            if r.ohm > 0:
                link(r.one, r.two, 1 / Decimal(r.ohm))
        for a, b, i, j in self.cells:
            link(a, b, siemens[i][j])
        fixed = {}
        for node, (kind, *where) in self.held.items():
            fixed[node] = [sources[k][where[0]] if kind == "source" else Decimal(0) for k in range(count)]
        reached, front = set(fixed), list(fixed)
        while front:
            for other in links.get(front.pop(), {}):
                if other not in reached:
                    reached.add(other)
                    front.append(other)
        # Gaussian elimination of the nodes' equations, rows as {node: coefficient}
        rows, right = {}, {}
        for node in reached - set(fixed):
            rows[node] = {node: sum(links[node].values())}
            right[node] = [injected[k].get(node, Decimal(0)) for k in range(count)]
            for other, conductance in links[node].items():
                if other in fixed:
                    right[node] = [x + conductance * f for x, f in zip(right[node], fixed[other], strict=True)]
                else:
                    rows[node][other] = -conductance
        order = []
        while rows:
            pivot = min(rows, key=lambda n: (len(rows[n]), str(n)))
            row, rhs = rows.pop(pivot), right[pivot]
            order.append((pivot, row, rhs))
            for other in row:
                if other != pivot:
                    target = rows[other]
                    factor = target.pop(pivot) / row[pivot]
                    for column, value in row.items():
                        if column != pivot:
                            target[column] = target.get(column, Decimal(0)) - factor * value
                    right[other] = [x - factor * y for x, y in zip(right[other], rhs, strict=True)]
        found = dict(fixed)
        for pivot, row, rhs in reversed(order):
            found[pivot] = [
                (rhs[k] - sum(c * found[n][k] for n, c in row.items() if n != pivot)) / row[pivot] for k in range(count)
            ]
        zero = [Decimal(0)] * count
        return lambda node: found.get(self.root(node), zero)


class Point(NamedTuple):
    """An operating point; numbers are Decimal, in nested lists."""

    currents: list  # (columns,)
    row_currents: list  # (rows,)
    top_currents: list | None  # (columns,); None for an entry that is not defined
    cell_currents: list  # (rows, columns)
    cell_voltages: list
    bit_voltages: list
    power: dict  # by block


def describe(network, at, current, sources, k=0):
    """Return the operating point of voltages `at` and cell currents (rows x columns)."""
    rows, columns = network.shape
    power = dict.fromkeys(("drivers", "word_lines", "bit_lines", "senses"), Decimal(0))
    for r in network.resistors:
        if r.ohm > 0:
            power[r.block] += (at(r.one)[k] - at(r.two)[k]) ** 2 / Decimal(r.ohm)
    voltage = [[at(("word", i, j))[k] - at(("bit", i, j))[k] for j in range(columns)] for i in range(rows)]
    power["cells"] = sum(voltage[i][j] * current[i][j] for i in range(rows) for j in range(columns))
    row = [sum(line) for line in current]
    power["sources"] = sum(v * x for v, x in zip(sources, row, strict=True))
    total = [sum(line[j] for line in current) for j in range(columns)]
    tops = []
    for j in range(columns):
        top, foot = network.root(("ground", j, "top")), network.root(("ground", j, "bottom"))
        if top == foot:
            tops.append(None)
            continue
        into = Decimal(0)
        for r in network.resistors:
            a, b = network.root(r.one), network.root(r.two)
            if r.ohm > 0 and a != b and top in (a, b):
                other = r.two if a == top else r.one
                into += at(other)[k] / Decimal(r.ohm)
        into += sum(current[i][j] for i in range(rows) if network.root(("bit", i, j)) == top)
        tops.append(into)
    return Point(total, row, tops, current, voltage,
                 [[at(("bit", i, j))[k] for j in range(columns)] for i in range(rows)], power)  # fmt: skip


def solve_linear(network, v, mask=None):
    """Return the operating point of linear cells for sources v, and the transfer matrix (columns x rows), exactly."""
    rows, columns = network.shape
    gate = [1.0] * rows if mask is None else [float(x) for x in mask]
    g = [[x if gate[i] else 0.0 for x in line] for i, line in enumerate(network.g)]
    with localcontext() as context:
        context.prec = network.digits([x for line in g for x in line])
        siemens = [[Decimal(x) for x in line] for line in g]
        each = [[Decimal(int(i == k)) for i in range(rows)] for k in range(rows)]
        sources = [[Decimal(float(x)) for x in v], *each]
        at = network.voltages(siemens, [{}] * len(sources), sources)

        def currents(k):
            return [
                [siemens[i][j] * (at(("word", i, j))[k] - at(("bit", i, j))[k]) for j in range(columns)]
                for i in range(rows)
            ]

        transfer = [[+sum(line[j] for line in currents(k)) for k in range(1, rows + 1)] for j in range(columns)]
        return describe(network, at, currents(0), sources[0]), transfer


def solve_sinh(network, kappa, v, word, bit, mask=None):
    """Return the operating point of sinh cells by Newton from voltages (rows x columns); None if it does not arrive.

    The network has one operating point only, so where Newton arrives, it is this, wherever it started.
    """
    rows, columns = network.shape
    gate = [1.0] * rows if mask is None else [float(x) for x in mask]
    with localcontext() as context:
        context.prec = network.digits([x * gate[i] for i, line in enumerate(network.g) for x in line])
        k = Decimal(float(kappa))
        sources = [Decimal(float(x)) for x in v]
        across = [[Decimal(float(word[i][j])) - Decimal(float(bit[i][j])) for j in range(columns)] for i in range(rows)]
        for _ in range(NEWTON_LIMIT):
            siemens, current, injected = [], [], {}
            for i in range(rows):
                up = [(k * x).exp() for x in across[i]]
                g = [Decimal(x) * Decimal(gate[i]) for x in network.g[i]]
                siemens.append([a * (e + 1 / e) / 2 for a, e in zip(g, up, strict=True)])
                current.append([a * (e - 1 / e) / 2 / k for a, e in zip(g, up, strict=True)])
            for one, two, i, j in network.cells:
                rest = current[i][j] - siemens[i][j] * across[i][j]
                for node, sign in ((network.root(one), -1), (network.root(two), 1)):
                    injected[node] = injected.get(node, Decimal(0)) + sign * rest
            at = network.voltages(siemens, [injected], [sources])
            fresh = [[at(("word", i, j))[0] - at(("bit", i, j))[0] for j in range(columns)] for i in range(rows)]
            moved = max(abs(k * (fresh[i][j] - across[i][j])) for i in range(rows) for j in range(columns))
            linear = [
                [current[i][j] + siemens[i][j] * (fresh[i][j] - across[i][j]) for j in range(columns)]
                for i in range(rows)
            ]
            # no further than one e-fold: from below, a whole step would overshoot by powers of ten
            across = [
                [x + max(min(y - x, 1 / k), -1 / k) for x, y in zip(*lines, strict=True)]
                for lines in zip(across, fresh, strict=True)
            ]
            if moved < Decimal("1e-12"):  # the next error is its square
                return describe(network, at, linear, sources)
        return None
