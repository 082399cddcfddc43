"""An array of cells: rows in blocks between ties of the substrate, lines led out to pins, a ring around all."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import klayout.db as db

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.layout.cell import CellPlan, draw_cell, fill_cuts
from spicesim.layout.technology import nm

__all__ = ["ArrayLayout", "draw_array", "node_name"]

MOST_CELLS = 1024 * 1024
PIN = 500
"""Length of a pin, along its line [nm]."""


def node_name(chip: Chip, row: int, column: int) -> str:
    """Return the name of the node between a memory element and its transistor, as netlists have it."""
    if chip.cell.is_paired:
        return f"xc_{row}_{column // 2}.{'dn' if column % 2 else 'dp'}"
    return f"xc_{row}_{column}.d"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLayout:
    """A drawn array."""

    layout: db.Layout
    plan: CellPlan
    rows: int
    columns: int
    name: str
    """Of the top cell."""


def draw_array(chip: Chip, plan: CellPlan, rows: int, columns: int) -> ArrayLayout:
    """Draw an array of a chip's cells.

    Word lines are driven from the left, at pins ``wl_ROW`` on metal 3; bit lines end below, at ``bl_COLUMN`` on metal
    2; gates come out at the left on metal 2, joined to ``gate``, or each as ``gate_ROW`` where inputs drive them; the
    ring on
    metal 1 is ``vss``. Every node between a memory element and its transistor has the label that it has in netlists.

    Parameters
    ----------
    chip : Chip
        Says of which kind the cells are, and what drives their gates.
    plan : CellPlan
        Sizes of the cell.
    rows, columns : int
        Size of the array: row 0 is the upper one. The two transistors of a 2T2R cell are two columns.

    Raises
    ------
    SpecError
        If there is no cell, or half a 2T2R cell, or more than a million.
    """
    if rows < 1 or columns < 1 or rows * columns > MOST_CELLS:
        raise SpecError(
            f"an array has 1 to {MOST_CELLS} cells, got {rows} x {columns}; choose other --rows and --columns"
        )
    if chip.cell.is_paired and columns % 2:
        raise SpecError(f"2T2R cells lie on two columns each, got {columns}; choose an even number of --columns")
    layout = db.Layout()
    layout.dbu = 0.001
    name = f"array_{rows}x{columns}"
    top = layout.create_cell(name)
    cell = draw_cell(layout, plan, f"cell_{chip.cell.kind}" if not chip.cell.is_paired else "half_cell_2t2r")
    drawing = _Drawing(layout, top, plan, rows, columns)
    drawing.cells(cell)
    drawing.lines()
    drawing.gates(each=chip.cell.is_gated)
    drawing.ties()
    for row in range(rows):
        for column in range(columns):
            at = drawing.move(row, column) * plan.plate.center()
            drawing.label("metal2", node_name(chip, row, column), at)
    top.shapes(layout.layer(*plan.technology.layers["outline"])).insert(top.bbox())
    return ArrayLayout(layout=layout, plan=plan, rows=rows, columns=columns, name=name)


class _Drawing:
    """The top cell in the making."""

    def __init__(self, layout: db.Layout, top: db.Cell, plan: CellPlan, rows: int, columns: int) -> None:
        self.layout, self.top, self.plan, self.rows, self.columns = layout, top, plan, rows, columns
        technology = self.technology = plan.technology
        contact = technology.cuts["contact"]
        self.tie = nm(contact.size) + 2 * nm(contact.below[0])
        """Height of a tie's active area."""
        reach = nm(technology.implant_active)
        self.below, self.above = reach - plan.implant.bottom, plan.implant.top - plan.active.top + reach
        """From a tie to the cell's active area above it, and from that to the tie above: implants meet between them."""

    # --- places ---------------------------------------------------------------------------------------------------

    @cached_property
    def per_block(self) -> int:
        """Rows between two ties, so that none is too far from one."""
        reach = nm(self.technology.tap_distance) - max(self.below, self.above)
        height = self.plan.active.height()
        return max(1, int(2 * reach - height) // self.plan.pitch[1] + 1)

    @cached_property
    def blocks(self) -> list[tuple[int, int, int]]:
        """First row, last row and y of the last row's cells of each block, downwards."""
        count = -(-self.rows // self.per_block)
        bounds = [round(k * self.rows / count) for k in range(count + 1)]
        between = self.plan.active.height() + self.above + self.tie + self.below
        found: list[tuple[int, int, int]] = []
        y = 0
        for first, after in reversed(list(pairwise(bounds))):
            found.insert(0, (first, after - 1, y))
            y += (after - first - 1) * self.plan.pitch[1] + between
        return found

    def y(self, row: int) -> int:
        """Return where the cells of a row are."""
        for first, last, y in self.blocks:
            if first <= row <= last:
                return y + (last - row) * self.plan.pitch[1]
        raise AssertionError(row)

    def move(self, row: int, column: int) -> db.Trans:
        """Return where a cell is."""
        return db.Trans(column * self.plan.pitch[0], self.y(row))

    @cached_property
    def right(self) -> int:
        """Right end of all cells."""
        return self.columns * self.plan.pitch[0]

    @cached_property
    def upper(self) -> int:
        """Upper edge of all cells' active areas."""
        return self.y(0) + int(self.plan.active.height())

    @cached_property
    def bar(self) -> tuple[int, int]:
        """Left and right edge of what joins the gates of a row, at their left."""
        contact = self.technology.cuts["contact"]
        right = min(
            self.plan.active.left - nm(self.technology.poly_active) - 40,
            self.plan.bit_line.left - nm(self.technology.wires["metal2"].space) - 20,
            0,
        )
        width = nm(contact.size) + 2 * max(nm(contact.below[0]), nm(contact.above[0]))
        return right - width, right

    @cached_property
    def ring(self) -> db.Box:
        """What lies within the ring."""
        away = nm(self.technology.poly_active)
        last = self.right - self.plan.pitch[0] + self.plan.active.right
        right = max(self.gate_end + away, last + self.plan.implant.right - self.plan.active.right + self.below // 2)
        return db.Box(self.bar[0] - away, -self.below, right, self.upper + self.above)

    @cached_property
    def gate_end(self) -> int:
        """Right end of the gates, beyond the last channel."""
        last = self.right - self.plan.pitch[0] + self.plan.active.right
        return max(self.right, int(last) + nm(self.technology.gate_extension))

    # --- shapes ---------------------------------------------------------------------------------------------------

    def put(self, layer: str, *boxes: db.Box) -> None:
        """Draw boxes."""
        shapes = self.top.shapes(self.layout.layer(*self.technology.layers[layer]))
        for box in boxes:
            shapes.insert(box)

    def label(self, metal: str, text: str, at: db.Point) -> None:
        """Write a label."""
        self.top.shapes(self.layout.layer(*self.technology.pins[metal])).insert(db.Text(text, db.Trans(at.x, at.y)))

    def pin(self, metal: str, text: str, box: db.Box) -> None:
        """Draw a pin on its line, with its label."""
        self.top.shapes(self.layout.layer(*self.technology.pins[metal])).insert(box)
        self.label(metal, text, box.center())

    def cells(self, cell: db.Cell) -> None:
        """Place the cells, an array a block."""
        across, up = db.Vector(self.plan.pitch[0], 0), db.Vector(0, self.plan.pitch[1])
        for first, last, y in self.blocks:
            self.top.insert(
                db.CellInstArray(cell.cell_index(), db.Trans(0, y), across, up, self.columns, last - first + 1)
            )

    def lines(self) -> None:
        """Lead word lines out to the left, bit lines through the ties and down."""
        left = self.ring.left - self.tie - 4 * PIN
        for row in range(self.rows):
            line = self.plan.word_line.moved(0, self.y(row))
            self.put("metal3", db.Box(left, line.bottom, 0, line.top))
            self.pin("metal3", f"wl_{row}", db.Box(left, line.bottom, left + PIN, line.top))
        foot = self.ring.bottom - self.tie - 2 * PIN
        for column in range(self.columns):
            line = self.plan.bit_line.moved(column * self.plan.pitch[0], 0)
            self.put("metal2", db.Box(line.left, foot, line.right, 0))
            self.pin("metal2", f"bl_{column}", db.Box(line.left, foot, line.right, foot + PIN))
            for (_, last, y), (first, _, _) in pairwise(self.blocks):
                assert last + 1 == first
                self.put("metal2", db.Box(line.left, self.y(first) + self.plan.pitch[1], line.right, y))

    def gates(self, *, each: bool) -> None:
        """Join the gates of each row, and lead them out to the left: each, or joined."""
        contact, via = self.technology.cuts["contact"], self.technology.cuts["via1"]
        area = self.technology.wires["metal1"].area
        left = self.ring.left - self.tie - 2 * PIN
        metal = nm(self.technology.wires["metal2"].width)
        x0, x1 = self.bar
        stubs = []
        for row in range(self.rows):
            gates = [gate.moved(0, self.y(row)) for gate in self.plan.gates]
            middle = (gates[0].bottom + gates[-1].top) // 2
            middle -= middle % nm(self.technology.grid)
            half = max((gates[-1].top - gates[0].bottom) // 2, 10 * round(area * 1e6 / (x1 - x0 - 20) / 20 + 1) + 10)
            bar = db.Box(x0, middle - half, x1, middle + half)
            self.put("poly", bar, *(db.Box(x0, gate.bottom, self.plan.gates[0].left, gate.top) for gate in gates))
            end = self.gate_end
            if end > self.right:
                self.put("poly", *(db.Box(self.right, gate.bottom, end, gate.top) for gate in gates))
            self.put("metal1", db.Box(x0 + 10, bar.bottom, x1 - 10, bar.top))
            rim = nm(contact.above[0])
            self.put("contact", *fill_cuts(bar.enlarged(-rim - 10, -rim - 10), nm(contact.size), nm(contact.space)))
            hole, side = nm(via.size), nm(via.above[0])
            at = db.Box((x0 + x1 - hole) // 2, middle - hole // 2, (x0 + x1 + hole) // 2, middle + hole // 2)
            self.put("via1", at)
            stub = db.Box(left, middle - metal // 2, at.right + side, middle + metal // 2)
            self.put("metal2", stub)
            stubs.append(stub)
            if each:
                self.pin("metal2", f"gate_{row}", db.Box(left, stub.bottom, left + PIN, stub.top))
        if not each:
            rail = db.Box(left, stubs[-1].bottom, left + PIN, stubs[0].top)
            self.put("metal2", rail)
            self.pin("metal2", "gate", db.Box(left, rail.bottom, left + PIN, rail.bottom + metal))

    def ties(self) -> None:
        """Draw the ring of substrate ties, and one between each two blocks."""
        inner, tie = self.ring, self.tie
        outer = inner.enlarged(tie, tie)
        sides = [
            db.Box(outer.left, outer.bottom, outer.right, inner.bottom),
            db.Box(outer.left, inner.top, outer.right, outer.top),
            db.Box(outer.left, inner.bottom, inner.left, inner.top),
            db.Box(inner.right, inner.bottom, outer.right, inner.top),
        ]
        bars = list(self._between())
        rim = tie // 2 - nm(self.technology.cuts["contact"].size) // 2
        thin = rim - nm(self.technology.cuts["contact"].above[0])
        self.put("active", *sides, *bars)
        self.put(
            "metal1", *(box.enlarged(-thin, -thin) for box in sides[:2]), *(bar.enlarged(thin, -thin) for bar in bars)
        )
        apart = nm(self.technology.cuts["contact"].space)
        for box in sides[:2]:
            self._contacts(box.enlarged(-rim, -rim))
        for box in bars:
            self._contacts(box.enlarged(-rim - apart, -rim))
        for box in sides[2:]:
            self.put("metal1", box.enlarged(-thin, tie - thin))
            self._contacts(box.enlarged(-rim, -rim - apart))
        reach = nm(self.technology.implant_active)
        ring = db.Region(outer.enlarged(reach, reach)) - db.Region(inner.enlarged(-reach, -reach))
        implant = ring + db.Region([bar.enlarged(0, reach) for bar in bars])
        self.top.shapes(self.layout.layer(*self.technology.layers["pplus"])).insert(implant.merged())
        self.pin("metal1", "vss", sides[0].enlarged(-thin, -thin))

    def _between(self) -> Iterator[db.Box]:
        """Yield the ties between blocks."""
        for first, _, _ in self.blocks[1:]:
            bottom = self.y(first) + self.plan.active.height() + self.above
            yield db.Box(self.ring.left, bottom, self.ring.right, bottom + self.tie)

    def _contacts(self, box: db.Box) -> None:
        contact = self.technology.cuts["contact"]
        self.put("contact", *fill_cuts(box, nm(contact.size), nm(contact.space)))
