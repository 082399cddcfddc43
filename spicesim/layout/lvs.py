"""Layout versus schematic: whether a layout is the array that a netlist says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import klayout.db as db

from spicesim.chip import Chip
from spicesim.layout.extraction import ELEMENT, TOLERANCE, extract_netlist
from spicesim.layout.schematic import read_schematic
from spicesim.layout.technology import Technology

__all__ = ["Comparison", "compare_layout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out."""

    differences: tuple[str, ...]
    """A line for each; empty if the layout is the netlist."""
    transistors: int
    """Of the netlist."""
    elements: int
    """Memory elements of the netlist."""
    nets: int
    """Nets of the netlist that carry devices."""

    @property
    def is_same(self) -> bool:
        """Whether they are the same."""
        return not self.differences


def compare_layout(
    layout: db.Layout, netlist: str | Path, chip: Chip, technology: Technology, database: str | Path | None = None
) -> Comparison:
    """Extract a layout's netlist and hold it against the netlist of a crossbar.

    Compared are all devices, what their terminals are joined to, widths and lengths of the transistors, and where the
    cells are: nets are held against those of their name, and every cell's inner node has one. What memory elements
    conduct is programmed, not drawn.

    Parameters
    ----------
    layout : klayout.db.Layout
        The layout.
    netlist : str or Path
        The file of the netlist.
    chip : Chip
        Says what the access transistors are called.
    technology : Technology
        Says which layers are which.
    database : str or Path, optional
        Write klayout's report there, a .lvsdb file for its netlist browser.

    Raises
    ------
    SpecError
        If the netlist is none of an array of cells.
    """
    wanted = read_schematic(netlist, chip)
    found = extract_netlist(layout, technology, chip.process.nmos)
    drawn = found.netlist().top_circuit()
    told = wanted.top_circuit()
    told.name = drawn.name
    counts = {"transistors": 0, "elements": 0}
    for device in told.each_device():
        counts["transistors" if device.device_class().name == chip.process.nmos else "elements"] += 1
    nets = [net for net in told.each_net() if net.terminal_count()]
    comparer = db.NetlistComparer()
    comparer.max_depth, comparer.max_branch_complexity = 32, 500
    comparer.same_circuits(drawn, told)
    differences = list(_hold_names(drawn, nets, comparer))
    found.reference = wanted
    agree = found.compare(comparer)
    if database is not None:
        found.write(str(database))
    differences += _differences(drawn, told)
    if not agree and not differences:  # whatever it was that klayout saw
        differences.append("klayout finds them different; --report FILE.lvsdb shows it in its netlist browser")
    return Comparison(differences=tuple(differences), nets=len(nets), **counts)


def _hold_names(drawn: db.Circuit, nets: list[db.Net], comparer: db.NetlistComparer) -> Iterator[str]:
    """Hold nets against those of their name, and yield names that are not there, there twice, or on one net."""
    named: dict[str, list[db.Net]] = {}
    shorted: set[str] = set()
    for net in drawn.each_net():
        names = sorted(set(net.name.lower().split(","))) if net.name else []
        if len(names) > 1:
            yield f"short: {', '.join(names)} are one net in the layout"
            shorted.update(names)
        for name in names:
            named.setdefault(name, []).append(net)
    for net in nets:
        name = net.name.lower()
        here = named.get(name, [])
        if not here:
            yield f"the layout has no net of the label {name}"
        elif len(here) > 1:
            yield f"open: {name} is {len(here)} nets in the layout"
        elif name not in shorted:
            comparer.same_nets(here[0], net, True)


def _differences(drawn: db.Circuit, told: db.Circuit) -> Iterator[str]:
    """Yield devices that are in one circuit and not in the other, by the nets that they join."""
    left, right = _by_nets(drawn), _by_nets(told)
    for nets in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(nets, []), right.get(nets, [])
        for one, other in zip(ours, theirs, strict=False):
            if any(abs(a - b) > TOLERANCE for a, b in zip(_sizes(one), _sizes(other), strict=True)):
                yield f"{_describe(one)}{_place(one)} in the layout, {_describe(other)} in the netlist"
        for one in ours[len(theirs) :]:
            yield f"only in the layout: {_describe(one)}{_place(one)}"
        for other in theirs[len(ours) :]:
            yield f"only in the netlist: {_describe(other)}"


def _by_nets(circuit: db.Circuit) -> dict[str, list[db.Device]]:
    """Return the devices of a circuit by their kind and nets; terminals that may be exchanged are alike."""
    found: dict[str, list[db.Device]] = {}
    for device in circuit.each_device():
        kind = device.device_class()
        alike = {"B": "A"} if kind.name == ELEMENT else {"S": "D"}
        nets = sorted(
            f"{alike.get(terminal.name, terminal.name)} {_net(device, terminal.id())}"
            for terminal in kind.terminal_definitions()
        )
        found.setdefault(f"{kind.name} {nets}", []).append(device)
    return found


def _net(device: db.Device, terminal: int) -> str:
    net = device.net_for_terminal(terminal)
    return "-" if net is None else str(net.expanded_name()).lower()


def _sizes(device: db.Device) -> list[float]:
    """Return width and length [um], of what has them."""
    return [device.parameter(name) for name in ("W", "L") if device.device_class().has_parameter(name)]


def _place(device: db.Device) -> str:
    at = device.trans.disp
    return f" at ({at.x:.3f}, {at.y:.3f}) um"


def _describe(device: db.Device) -> str:
    """Return the nets and sizes of a device."""
    kind = device.device_class()
    nets = [f"{terminal.name}={_net(device, terminal.id())}" for terminal in kind.terminal_definitions()]
    sizes = [f"{name}={value:.4g}u" for name, value in zip("wl", _sizes(device), strict=False)]
    return " ".join([str(kind.name), *nets, *sizes])
