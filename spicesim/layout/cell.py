"""The 1T1R cell as a parametric cell: its sizes from the transistor and the rules, and its shapes.

::

    y  ^            bit line, metal 2        plate, metal 2
       |               |                  +---------+
       |  D row   =====|==================| via1    |   metal 1      word line, metal 3, over the device on the plate
       |  gate  -------|------------------|---------|-- poly, through all cells of a row
       |  S row   ===[via1]===============+         +== metal 1
       +---------------------------------------------> x

The gates of a folded transistor lie above each other, rows of contacts between them: even rows are the source, which a
via brings up to the bit line, odd rows the drain, which goes up to the plate. The memory element stands between
the plate and the word line.
"""

from dataclasses import dataclass

import klayout.db as db

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.layout.technology import Technology, nm

__all__ = ["CellPlan", "CellWishes", "draw_cell", "fill_cuts", "plan_cell"]

MOST_FINGERS = 16
"""Fingers that are tried for the smallest cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellWishes:
    """What a designer may want other than the smallest cell; lengths in metres."""

    fingers: int | None = None
    """Gates that the transistor is folded into."""
    pitch: tuple[float, float] | None = None
    """Width and height of a cell [m]."""
    word_line: float | None = None
    """Width of the word line [m]."""
    bit_line: float | None = None
    """Width of the bit line [m]."""
    device: float | None = None
    """Side of the memory element [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlan:
    """Sizes and places of a cell [nm]; y = 0 is the lower edge of its active area."""

    technology: Technology
    fingers: int
    length: int
    """Of a channel."""
    active: db.Box
    implant: db.Box
    """Around the active area, up to those of the neighbours."""
    plate: db.Box
    """Of metal 2, below the memory element."""
    device: db.Box
    word_line: db.Box
    """Segment of metal 3 within the cell."""
    bit_line: db.Box
    """Segment of metal 2 within the cell."""
    gates: tuple[db.Box, ...]
    contacts: tuple[int, ...]
    """Centres of the rows of contacts."""
    pitch: tuple[int, int]

    @property
    def width(self) -> int:
        """Width of the transistor, of all fingers."""
        return int(self.active.width()) * self.fingers

    @property
    def area(self) -> float:
        """Area of a cell [m^2]."""
        return self.pitch[0] * self.pitch[1] * 1e-18


def plan_cell(chip: Chip, technology: Technology, wishes: CellWishes | None = None) -> CellPlan:
    """Find the sizes of a chip's cell.

    Parameters
    ----------
    chip : Chip
        Its cell has an access transistor.
    technology : Technology
        The process.
    wishes : CellWishes, optional
        What shall be otherwise than in the smallest cell.

    Raises
    ------
    SpecError
        If the chip's cell has no transistor, a size is off the grid, or a rule forbids it.
    """
    wishes = wishes or CellWishes()
    cell = chip.cell
    if not cell.has_gate:
        raise SpecError(
            f"cells of kind {cell.kind} have no access transistor to draw; set cell.kind = '1t1r' or '2t2r'"
        )
    width, length = (
        _on_grid("cell.access_width", cell.access_width, technology),
        _on_grid("cell.access_length", cell.access_length, technology),
    )
    if length < nm(technology.gate_length):
        raise SpecError(
            f"cell.access_length of {length} nm is shorter than {technology.name} allows; make it "
            f"{nm(technology.gate_length)} nm or longer (rule {technology.names['gate_length']})"
        )
    counts = [wishes.fingers] if wishes.fingers is not None else range(1, MOST_FINGERS + 1)
    step = 2 * nm(technology.grid)
    fitting = [n for n in counts if width % (n * step) == 0 and width // n >= _least_finger(technology)]
    if not fitting:
        raise SpecError(
            f"a transistor {width} nm wide cannot be folded into {wishes.fingers or 1} fingers: each must be "
            f"{_least_finger(technology)} nm wide or more, in steps of {step} nm; choose another cell.access_width or "
            "other fingers"
        )
    plans = [_Sizes(technology, width, length, n, wishes).plan() for n in fitting]
    return min(plans, key=lambda plan: plan.area)


def _on_grid(what: str, metres: float, technology: Technology) -> int:
    """Return a length in nanometres, which must be on the grid."""
    value, grid = round(metres * 1e9), nm(technology.grid)
    if abs(metres * 1e9 - value) > 1e-3 or value % grid:
        raise SpecError(
            f"{what} of {metres * 1e9:g} nm is off the grid of {technology.name}; make it a multiple of {grid} nm"
        )
    return value


def _least_finger(technology: Technology) -> int:
    """Return the least width of a finger that a contact fits on [nm]."""
    contact = technology.cuts["contact"]
    return max(nm(contact.size) + 2 * nm(contact.below[0]), nm(technology.wires["active"].width))


class _Sizes:
    """A cell in the making."""

    def __init__(self, technology: Technology, width: int, length: int, fingers: int, wishes: CellWishes) -> None:
        self.technology, self.length, self.fingers, self.wishes = technology, length, fingers, wishes
        self.finger = width // fingers

    def _wish(self, name: str, least: int) -> int:
        """Return a wanted size, or the least."""
        value = getattr(self.wishes, name)
        if value is None:
            return least
        size = _on_grid(f"the wanted {name}", value, self.technology)
        if size < least or (size - least) % (2 * nm(self.technology.grid)):
            raise SpecError(
                f"the wanted {name.replace('_', ' ')} of {size} nm does not fit: it must be {least} nm or more, in "
                f"steps of {2 * nm(self.technology.grid)} nm"
            )
        return size

    def plan(self) -> CellPlan:
        """Work out all places."""
        rules, cuts = self.technology.wires, self.technology.cuts
        contact, via, element = cuts["contact"], cuts["via1"], cuts["device"]
        # upwards: contacts, gate, contacts, ..
        edge, hole, gap = nm(contact.below[0]), nm(contact.size), nm(self.technology.contact_gate)
        step = hole + 2 * gap + self.length
        rows = tuple(edge + hole // 2 + k * step for k in range(self.fingers + 1))
        height = rows[-1] + hole // 2 + edge
        # across: bit line, gap, plate; the active area in their middle, or they at its edges
        device = self._wish("device", nm(element.size))
        side = max(device + 2 * nm(element.below[0]), nm(via.size) + 2 * nm(via.above[0]))
        bit = self._wish("bit_line", nm(via.size) + 2 * nm(via.above[1]))
        word = self._wish("word_line", device + 2 * nm(element.above[0]))
        space = nm(rules["metal2"].space)
        span = max(self.finger, bit + space + side)
        across = span + max(space, nm(rules["active"].space))
        upwards = max(height + nm(rules["active"].space), word + nm(rules["metal3"].space))
        pitch = self._pitch((across, upwards))
        left = _even((pitch[0] - span) // 2, self.technology)
        active_left = left + _even((span - self.finger) // 2, self.technology)
        active = db.Box(active_left, 0, active_left + self.finger, height)
        reach = nm(self.technology.implant_active)
        aside = max(nm(self.technology.implant_gate), _even((pitch[0] - self.finger) // 2, self.technology) + 10)
        drains = rows[1::2]
        middle = _even((drains[0] + drains[-1]) // 2, self.technology)
        half = drains[-1] - middle + side // 2
        plate = db.Box(left + span - side, middle - half, left + span, middle + half)
        at = plate.center()
        return CellPlan(
            technology=self.technology,
            fingers=self.fingers,
            length=self.length,
            active=active,
            implant=db.Box(active.left - aside, -reach, active.right + aside, max(height + reach, pitch[1] - reach)),
            plate=plate,
            device=db.Box(at.x - device // 2, at.y - device // 2, at.x + device // 2, at.y + device // 2),
            word_line=db.Box(0, at.y - word // 2, pitch[0], at.y + word // 2),
            bit_line=db.Box(left, 0, left + bit, pitch[1]),
            gates=tuple(
                db.Box(0, row + hole // 2 + gap, pitch[0], row + hole // 2 + gap + self.length) for row in rows[:-1]
            ),
            contacts=rows,
            pitch=pitch,
        )

    def _pitch(self, least: tuple[int, int]) -> tuple[int, int]:
        if self.wishes.pitch is None:
            return least
        wanted = tuple(_on_grid("the wanted pitch", value, self.technology) for value in self.wishes.pitch)
        if wanted[0] < least[0] or wanted[1] < least[1]:
            raise SpecError(
                f"the wanted pitch of {wanted[0]} x {wanted[1]} nm is too narrow for a cell with {self.fingers} "
                f"fingers, which needs {least[0]} x {least[1]} nm; widen it, or fold the transistor otherwise"
            )
        return wanted[0], wanted[1]


def _even(value: int, technology: Technology) -> int:
    """Return the next value below that is on the grid."""
    return value - value % nm(technology.grid)


def draw_cell(layout: db.Layout, plan: CellPlan, name: str = "cell_1t1r") -> db.Cell:
    """Draw a cell into a layout; its lines touch those of its neighbours."""
    technology = plan.technology
    cell = layout.create_cell(name)
    contact, via = technology.cuts["contact"], technology.cuts["via1"]

    def put(layer: str, *boxes: db.Box) -> None:
        shapes = cell.shapes(layout.layer(*technology.layers[layer]))
        for box in boxes:
            shapes.insert(box)

    put("active", plan.active)
    put("poly", *plan.gates)
    put("nplus", plan.implant)
    half = nm(contact.size) // 2 + nm(contact.above[0])
    rim = nm(contact.below[0])
    for k, row in enumerate(plan.contacts):
        below = plan.plate if k % 2 else plan.bit_line
        up = db.Box(below.left, row - half, below.right, row + half)
        hole = nm(via.size)
        inset = nm(via.above[1])
        landing = db.Box(up.left + inset, row - hole // 2, up.right - inset, row + hole // 2)
        vias = fill_cuts(landing, hole, nm(via.space))
        put("via1", *vias)
        strip = db.Box(plan.active.left, row - half, plan.active.right, row + half)
        for box in vias:
            strip += db.Box(box.left - nm(via.below[0]), strip.bottom, box.right + nm(via.below[0]), strip.top)
        put("metal1", strip)
        inner = db.Box(
            plan.active.left + rim, row - nm(contact.size) // 2, plan.active.right - rim, row + nm(contact.size) // 2
        )
        put("contact", *fill_cuts(inner, nm(contact.size), nm(contact.space)))
    put("metal2", plan.bit_line, plan.plate)
    put("device", plan.device)
    put("metal3", plan.word_line)
    return cell


def fill_cuts(box: db.Box, size: int, space: int) -> list[db.Box]:
    """Fill a box with as many squares as fit, one at least, centred."""

    def places(low: int, high: int) -> list[int]:
        count = max(1, (high - low + space) // (size + space))
        start = (low + high - count * size - (count - 1) * space) // 2
        start -= start % 5
        return [start + k * (size + space) for k in range(count)]

    return [db.Box(x, y, x + size, y + size) for y in places(box.bottom, box.top) for x in places(box.left, box.right)]
