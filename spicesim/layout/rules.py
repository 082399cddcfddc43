"""Design rules of the layers that an array uses, checked on any layout."""

from collections.abc import Iterator
from dataclasses import dataclass

import klayout.db as db

from spicesim.layout.technology import Cut, Technology, nm

__all__ = ["Violation", "check_rules", "format_violations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that is broken somewhere."""

    rule: str
    """Its name in the manual, and what it asks for."""
    count: int
    """How many times."""
    place: tuple[float, float]
    """One of the places [um]."""


def format_violations(found: list[Violation]) -> str:
    """Return a line for each."""
    return "\n".join(f"{one.count} x {one.rule}, at ({one.place[0]:.3f}, {one.place[1]:.3f}) um" for one in found)


def check_rules(layout: db.Layout, technology: Technology) -> list[Violation]:
    """Check a layout's top cell; an empty list is a clean layout.

    What is checked: width, space and area of active, poly, implants and metals; size, space and enclosure of contacts,
    vias and memory elements; length and end of gates, their distance to contacts and to other active; implants around
    active and channels, and the distance to a tie of the substrate; the grid. No density, antennas or wide metal.
    """
    return [violation for violation in _Check(layout, technology).all() if violation is not None]


class _Check:
    """The layers of a layout under check."""

    def __init__(self, layout: db.Layout, technology: Technology) -> None:
        self.technology, self.dbu = technology, layout.dbu
        top = layout.top_cell()
        self.layers = {
            name: db.Region(top.begin_shapes_rec(layout.layer(*pair))).merged()
            for name, pair in technology.layers.items()
        }

    def all(self) -> Iterator[Violation | None]:
        """Check everything, rule by rule."""
        yield from self.wires()
        yield from self.cuts()
        yield from self.transistors()
        yield from self.implants()
        for name, region in self.layers.items():
            grid = nm(self.technology.grid)
            yield self.broken(f"grid: {name} on multiples of {grid} nm", region.grid_check(grid, grid))

    def broken(self, rule: str, found: db.Region | db.EdgePairs | db.Edges) -> Violation | None:
        """Return what breaks a rule, if anything does."""
        if found.is_empty():
            return None
        first = next(iter(found.each()))
        center = first.bbox().center()
        return Violation(rule=rule, count=found.count(), place=(center.x * self.dbu, center.y * self.dbu))

    def wires(self) -> Iterator[Violation | None]:
        """Width, space and area."""
        for name, rule in self.technology.wires.items():
            region = self.layers[name]
            width, space, *area = rule.rules.split("/")
            yield self.broken(f"{width}: {name} {rule.width} um wide", region.width_check(nm(rule.width)))
            yield self.broken(f"{space}: {name} {rule.space} um apart", region.space_check(nm(rule.space)))
            if rule.area:
                small = region.with_area(0, round(rule.area * 1e6), False)
                yield self.broken(f"{area[0]}: {name} of {rule.area} um^2", small)

    def cuts(self) -> Iterator[Violation | None]:
        """Contacts, vias and memory elements."""
        on_active = self.layers["contact"] & self.layers["active"]
        metals = {"contact": (None, "metal1"), "via1": ("metal1", "metal2"), "device": ("metal2", "metal3")}
        for name, (below, above) in metals.items():
            cut, region = self.technology.cuts[name], self.layers[name]
            yield self.broken(f"{cut.rules}: {name} {cut.size} um in size", self._misshapen(region, cut))
            yield self.broken(f"{cut.rules}: {name} {cut.space} um apart", region.space_check(nm(cut.space)))
            places = (
                [(region.interacting(on_active), "active"), (region.not_interacting(on_active), "poly")]
                if below is None
                else [(region, below)]
            )
            for part, layer in places:
                yield self._enclosed(name, part, layer, cut.below, cut.rules)
            yield self._enclosed(name, region, above, cut.above, cut.rules)

    def _misshapen(self, region: db.Region, cut: Cut) -> db.Region:
        size = nm(cut.size)
        square = region.rectangles()
        largest = size if cut.fixed else 1_000_000
        good = square.with_bbox_min(size, largest + 1, False).with_bbox_max(size, largest + 1, False)
        return region - good

    def _enclosed(
        self, name: str, holes: db.Region, layer: str, rim: tuple[float, float], rules: str
    ) -> Violation | None:
        """Find holes that a layer encloses neither one way nor the other."""
        around = self.layers[layer]
        a, b = (nm(value) for value in rim)
        poor = holes
        for x, y in {(a, b), (b, a)}:
            poor = poor.sized(x, y, 2).not_inside(around).sized(-x, -y, 2)
        return self.broken(f"{rules}: {layer} {rim[0]} and {rim[1]} um beyond {name}", poor)

    def transistors(self) -> Iterator[Violation | None]:
        """Gates, and what lies near them."""
        technology, name = self.technology, self.technology.names
        active, poly = self.layers["active"], self.layers["poly"]
        gates = active & poly
        yield self.broken(
            f"{name['gate_length']}: channel {technology.gate_length} um long",
            (gates.edges() & poly.edges()).width_check(nm(technology.gate_length)),
        )
        reach = nm(technology.gate_extension)
        ends = gates.edges().inside_part(poly).extended_out(reach)
        yield self.broken(
            f"{name['gate_extension']}: poly {technology.gate_extension} um beyond a channel", ends - poly
        )
        on_active = self.layers["contact"].interacting(active)
        yield self.broken(
            f"{name['contact_gate']}: contact {technology.contact_gate} um from a gate",
            on_active.separation_check(gates, nm(technology.contact_gate)),
        )
        yield self.broken(f"{name['contact_gate']}: no contact on a channel", on_active & gates)
        yield self.broken(
            f"{name['poly_active']}: poly {technology.poly_active} um from active",
            (poly - active).separation_check(active.not_interacting(poly), nm(technology.poly_active)),
        )
        far = active.interacting(gates).sized(0) - (active & self.layers["pplus"]).sized(nm(technology.tap_distance))
        yield self.broken(f"{name['tap_distance']}: a substrate tie within {technology.tap_distance} um", far)

    def implants(self) -> Iterator[Violation | None]:
        """Every active area within one implant."""
        technology, name = self.technology, self.technology.names
        active = self.layers["active"]
        n, p = self.layers["nplus"], self.layers["pplus"]
        reach = nm(technology.implant_active)
        yield self.broken(f"{name['implant_active']}: one implant on active", (active & n & p) + (active - n - p))
        for mine, other in ((n, p), (p, n)):
            inside = active & mine
            yield self.broken(
                f"{name['implant_active']}: implant {technology.implant_active} um beyond active",
                (inside.sized(reach) - mine) + (inside.sized(reach) & other),
            )
        gates = active & self.layers["poly"]
        yield self.broken(
            f"{name['implant_gate']}: implant {technology.implant_gate} um beyond a channel",
            gates.sized(nm(technology.implant_gate)) - n,
        )
