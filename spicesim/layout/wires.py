"""The wires of a drawn array: resistance and capacitance of each segment, measured on its shapes.

Nothing here knows how a line was drawn. A line is the piece of metal that its label lies on. Its resistance is
counted in squares, from the pin to the first cell and from cell to cell, with the cross-section that it has at each
place; current flows along it. The middle of a cell's memory element is its place on a word line, the middle of its vias
its place on a bit line. Its capacitance is that of all metal that hangs on it, with all else at rest: overlap and edges
over the nearest conductor below, the same of what lies above, and sides that face neighbours within :data:`HALO`. Edges
are not lessened by near neighbours, so it is rather too much than too little.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import klayout.db as db
import numpy as np

from spicesim.arrays import Floats
from spicesim.errors import SpecError
from spicesim.layout.technology import Technology, nm
from spicesim.netlist import Parasitics

__all__ = ["HALO", "LineWires", "WireTable", "format_parasitics", "measure_wires"]

HALO = 4000
"""Distance within which sides of wires face each other [nm]; assumed."""
ATTO = 1e-18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineWires:
    """Word lines or bit lines of an array."""

    resistance: Floats
    """Of segments, (lines, cells of a line), in the order of current's way through netlists [ohm]."""
    capacitance: Floats
    """Of segments, the same shape [F]."""
    length: float
    """From cell to cell, mean of the middle line [m]."""
    width: float
    """Of the middle line, its area by its length [m]."""
    squares: float
    """A cell of the middle line."""
    parts: dict[str, float]
    """Capacitance a cell of the middle line: `overlap`, `edges`, `sides` [F]."""

    @property
    def r_cell(self) -> float:
        """Resistance from cell to cell, mean of the middle line [ohm]."""
        return float(_inner(self.resistance).mean())

    @property
    def c_cell(self) -> float:
        """Capacitance a cell, mean of the middle line [F]."""
        return float(_inner(self.capacitance).mean())


def _inner(segments: Floats) -> Floats:
    """Return the segments between cells of the middle line; of one cell, the one there is."""
    middle: Floats = segments[len(segments) // 2]
    return middle if middle.size == 1 else middle[1:]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WireTable:
    """All wires of an array."""

    word: LineWires
    """Word lines; a segment leads into its cell from the left."""
    bit: LineWires
    """Bit lines; a segment leads from its cell downwards; (columns, rows)."""
    r_gate: float
    """Resistance of a row's gates from cell to cell, mean [ohm]."""

    def parasitics(self, *, paired: bool = False) -> Parasitics:
        """Return the segments as a netlist takes them; the two columns of a 2T2R cell share a word-line node."""
        r, c = self.word.resistance.copy(), self.word.capacitance.copy()
        if paired:
            for values in (r, c):
                values[:, 2::2] += values[:, 1:-1:2]
                values[:, 1::2] = 0.0
        return Parasitics(
            r_word_line=r,
            r_bit_line=np.ascontiguousarray(self.bit.resistance.T),
            c_word_line=c,
            c_bit_line=np.ascontiguousarray(self.bit.capacitance.T),
        )


def format_parasitics(wires: Parasitics) -> str:
    """Return the text of a file that ``spicesim netlist crossbar --parasitics`` reads."""
    lines = ["segment,resistance,capacitance"]
    for name, r, c in (("rwl", wires.r_word_line, wires.c_word_line), ("rbl", wires.r_bit_line, wires.c_bit_line)):
        lines += [f"{name}_{i}_{j},{float(r[i, j])!r},{float(c[i, j])!r}" for i, j in np.ndindex(r.shape)]
    return "\n".join(lines) + "\n"


def measure_wires(layout: db.Layout, technology: Technology) -> WireTable:
    """Measure the wires of an array's layout.

    Parameters
    ----------
    layout : klayout.db.Layout
        An array with the labels of :func:`spicesim.layout.draw_array`.
    technology : Technology
        Sheet resistances and capacitances.

    Raises
    ------
    SpecError
        If a line is not one piece from its pin over all of its cells.
    """
    shapes = _Shapes(layout, technology)
    words = [_Line(shapes, "metal3", name, at, "device", 0) for name, at in shapes.pins("metal3", "wl_")]
    bits = [_Line(shapes, "metal2", name, at, "via1", 1) for name, at in shapes.pins("metal2", "bl_")]
    if not words or not bits:
        raise SpecError(
            "the layout has no labels wl_0, .. on metal 3 and bl_0, .. on metal 2; draw it with 'layout array'"
        )
    return WireTable(
        word=_measure(shapes, words, len(bits), tail=False),
        bit=_measure(shapes, bits, len(words), tail=True),
        r_gate=_gate_resistance(shapes, words, len(bits)),
    )


class _Shapes:
    """The layers of a layout, and what touches what on them."""

    def __init__(self, layout: db.Layout, technology: Technology) -> None:
        self.technology = technology
        self.top = layout.top_cell()
        self.layout = layout
        self.layers = {
            name: db.Region(self.top.begin_shapes_rec(layout.layer(*pair))).merged()
            for name, pair in technology.layers.items()
        }
        self.layers["active"] -= self.layers["poly"]
        self._index = db.Layout()
        self._places = self._index.create_cell("index")
        self._numbers = {}
        for name, region in self.layers.items():
            self._numbers[name] = self._index.layer(db.LayerInfo(name))
            self._places.shapes(self._numbers[name]).insert(region)

    def pins(self, metal: str, prefix: str) -> Iterator[tuple[str, db.Point]]:
        """Yield the labels of lines, by their number."""
        found = {}
        layer = self.layout.layer(*self.technology.pins[metal])
        each = self.top.begin_shapes_rec(layer)
        while not each.at_end():
            shape = each.shape()
            if shape.is_text() and shape.text_string.startswith(prefix) and shape.text_string[len(prefix) :].isdigit():
                place = each.trans() * shape.text_trans.disp
                found[int(shape.text_string[len(prefix) :])] = db.Point(place.x, place.y)
            each.next()
        if sorted(found) != list(range(len(found))):
            raise SpecError(
                f"the layout lacks some of its labels {prefix}0, {prefix}1, ..; draw it with 'layout array'"
            )
        yield from ((f"{prefix}{number}", found[number]) for number in range(len(found)))

    def near(self, layer: str, box: db.Box) -> db.Region:
        """Return the shapes of a layer that touch a box."""
        return db.Region([shape.polygon for shape in self._places.shapes(self._numbers[layer]).each_touching(box)])


class _Line:
    """One line: its metal, and where cells are on it."""

    def __init__(self, shapes: _Shapes, metal: str, name: str, pin: db.Point, cut: str, axis: int) -> None:
        self.metal, self.name, self.axis, self.pin = metal, name, axis, pin
        here = [part for part in shapes.near(metal, db.Box(pin, pin)).each() if part.inside(pin)]
        if len(here) != 1:
            raise SpecError(f"the label {name} lies on no {metal}; draw the array with 'spicesim layout array'")
        self.polygon = here[0]
        self.region = db.Region(self.polygon)
        self.cuts = [part.bbox() for part in shapes.near(cut, self.polygon.bbox()).interacting(self.region).each()]
        self.cuts.sort(key=lambda box: box.center().x if axis == 0 else -box.center().y)

    def taps(self, cells: int) -> list[db.Point]:
        """Return where its cells are, those farthest from the driver last."""
        each, rest = divmod(len(self.cuts), cells)
        if rest or not each:
            raise SpecError(
                f"{self.name} has {len(self.cuts)} places for {cells} cells; is it whole? See 'spicesim layout lvs'"
            )
        groups = [self.cuts[k * each : (k + 1) * each] for k in range(cells)]
        mean = [sum((box.center().x, box.center().y)[self.axis] for box in group) // each for group in groups]
        across = self.polygon.bbox().center()
        return [db.Point(value, across.y) if self.axis == 0 else db.Point(across.x, value) for value in mean]


def _measure(shapes: _Shapes, lines: Sequence[_Line], cells: int, *, tail: bool) -> LineWires:
    """Measure lines; `tail` says that their pins lie behind the last cell, and not before the first."""
    technology = shapes.technology
    metal = lines[0].metal
    sheet = technology.sheet_resistance[metal]
    squares, capacitance, lengths, parts = [], [], [], []
    owned = [_own(shapes, line) for line in lines]
    for line, own, sides in zip(lines, owned, _sides(shapes, owned), strict=True):
        taps = line.taps(cells)
        way = [*taps, line.pin] if tail else [line.pin, *taps]
        squares.append(_squares(line, way))
        spans = np.array([abs(a.x - b.x) + abs(a.y - b.y) for a, b in pairwise(way)], dtype=float)
        parts.append({name: value * ATTO for name, value in {**_capacitance(shapes, own), "sides": sides}.items()})
        lengths.append(spans)
        whole = line.polygon.bbox()
        share = spans / max(whole.width(), whole.height())
        capacitance.append(sum(parts[-1].values()) * share)
    middle = len(lines) // 2
    inner = _inner(np.array(lengths))
    box = lines[middle].polygon.bbox()
    length = max(box.width(), box.height())
    return LineWires(
        resistance=sheet * np.array(squares),
        capacitance=np.array(capacitance),
        length=float(inner.mean()) * 1e-9,
        width=lines[middle].polygon.area() / length * 1e-9,
        squares=float(_inner(np.array(squares)).mean()),
        parts={name: value * float(inner.mean()) / length for name, value in parts[middle].items()},
    )


def _squares(line: _Line, way: list[db.Point]) -> list[float]:
    """Count the squares of a line from place to place: its length over its cross-section, wherever that changes."""
    turned = line.region if line.axis else line.region.transformed(db.Trans.R90)
    pieces = turned.decompose_trapezoids_to_region(db.Polygon.TD_simple)
    spans = [(part.bbox().bottom, part.bbox().top, part.area() / part.bbox().height()) for part in pieces.each()]
    at = np.unique([edge for low, high, _ in spans for edge in (low, high)])
    width = np.zeros(len(at) - 1)
    for low, high, across in spans:
        width[np.searchsorted(at, low) : np.searchsorted(at, high)] += across
    so_far = np.concatenate([[0.0], np.cumsum(np.diff(at) / width)])
    places = np.interp([point.y if line.axis else point.x for point in way], at, so_far)
    return [float(value) for value in np.abs(np.diff(places))]


BELOW = ("metal2", "metal1", "poly", "active")
"""What a wire may lie over, from above; the substrate is below all."""
METALS = ("metal1", "metal2", "metal3")
STACK = {"via1": ("metal2", "metal1"), "contact": ("metal1", "active")}
"""What hangs on a bit line below its metal, and by which cuts."""


def _own(shapes: _Shapes, line: _Line) -> dict[str, db.Region]:
    """Return all shapes of a line, by layer."""
    own = {line.metal: line.region}
    for cut, (above, below) in STACK.items():
        if above in own:
            cuts = shapes.near(cut, own[above].bbox()).interacting(own[above])
            own[below] = shapes.near(below, cuts.bbox()).interacting(cuts)
    return own


def _capacitance(shapes: _Shapes, own: Mapping[str, db.Region]) -> dict[str, float]:
    """Return the capacitance of a line to what is below and above it [aF], by where it comes from."""
    strays = shapes.technology.strays
    overlap, edge = 0.0, 0.0
    for metal in [name for name in METALS if name in own]:
        around = {name: shapes.near(name, own[metal].bbox()) for name in (*BELOW, *METALS, "device")}
        # downwards: whatever conductor is first below; a piece of the line itself shields, and carries nothing
        bare, edges = own[metal], own[metal].edges()
        if metal == "metal3":
            bare = bare - around["device"]
        for below in (*BELOW[BELOW.index(metal) + 1 if metal in BELOW else 0 :], "substrate"):
            covered, over = bare, edges
            if below != "substrate":
                other = around[below] - own.get(below, db.Region())
                covered, over = bare & other, edges & other
                bare, edges = bare - around[below], edges - around[below]
            overlap += strays[metal, below].area * covered.area() * 1e-6
            edge += strays[metal, below].edge * over.length() * 1e-3
        # upwards: what others have above it, where nothing is between
        bare = own[metal]
        for above in METALS[METALS.index(metal) + 1 :]:
            other = around[above] - own.get(above, db.Region())
            overlap += strays[above, metal].area * (bare & other).area() * 1e-6
            edge += strays[above, metal].edge * (other.edges() & bare).length() * 1e-3
            bare = bare - around[above]
    return {"overlap": overlap, "edges": edge}


def _sides(shapes: _Shapes, owned: Sequence[Mapping[str, db.Region]]) -> list[float]:
    """Return the capacitance of lines to their neighbours on the same layer [aF].

    The gaps of a layer are cut into rectangles that reach from metal to metal, once sideways and once upwards: across
    each, two sides face each other.
    """
    total = [0.0] * len(owned)
    for metal in METALS:
        side = shapes.technology.side[metal]
        for turn in (db.Trans.R0, db.Trans.R90):
            index = db.Layout()
            mine = index.create_cell("own").shapes(index.layer(db.LayerInfo(metal)))
            for k, own in enumerate(owned):
                for polygon in own.get(metal, db.Region()).each():
                    mine.insert(polygon.transformed(turn), k + 1)
            if mine.is_empty():
                continue

            def owner(box: db.Box, mine: db.Shapes = mine) -> int:
                return next((shape.prop_id for shape in mine.each_touching(box)), 0)

            region = shapes.layers[metal].transformed(turn)
            frame = region.bbox().enlarged(HALO, HALO)
            gaps = db.Region(frame) - region
            for gap in gaps.decompose_trapezoids_to_region(db.Polygon.TD_simple).each():
                box = gap.bbox()
                if box.width() > HALO or box.left == frame.left or box.right == frame.right:
                    continue
                y = box.center().y
                ends = {owner(db.Box(box.left - 1, y, box.left, y)), owner(db.Box(box.right, y, box.right + 1, y))}
                if len(ends) == 2:
                    for k in ends - {0}:
                        total[k - 1] += side * box.height() / box.width()
    return total


def _gate_resistance(shapes: _Shapes, words: Sequence[_Line], cells: int) -> float:
    """Return the resistance of a row's gates a cell, from their area within the rows and their number."""
    first, last = words[len(words) // 2].taps(cells)[0], words[len(words) // 2].taps(cells)[-1]
    gates = shapes.layers["poly"] & db.Region(db.Box(first.x, first.y - HALO, last.x, first.y + HALO))
    lines = [part for part in gates.each() if abs(part.bbox().center().y - first.y) < _half_row(shapes, words)]
    if cells == 1 or not lines:
        return float("nan")
    conductance = sum(part.area() / (last.x - first.x) ** 2 for part in lines)
    return float(shapes.technology.sheet_resistance["poly"] / conductance / (cells - 1))


def _half_row(shapes: _Shapes, words: Sequence[_Line]) -> float:
    """Return half of the least distance of rows, or of the cells' height if there is one row."""
    if len(words) == 1:
        return nm(shapes.layers["active"].bbox().height() / 2000)
    places = sorted(line.pin.y for line in words)
    return float(min(np.diff(places))) / 2
