"""The netlist of a crossbar as a schematic: what a layout of it must be.

The very file is read, by klayout's reader. Wires of a netlist are rows of resistors, in a layout one piece of metal:
their ends become one net, which gets the name of its line. Sources and analyses are the testbench's.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import klayout.db as db

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.layout.extraction import VSS, element_class, transistor_class
from spicesim.netlist.expression import read_number

__all__ = ["read_schematic"]

ELEMENTS = ("resistor", "rram", "pcm", "ecram")
"""Subcircuits of memory elements; their first two nodes are its ends."""
_WIRE = re.compile(r"(wl|bl)_\d+_\d+", re.IGNORECASE)
"""A wire's resistor or capacitor, behind its first letter."""
_TOP = ".TOP"
"""What klayout calls all that stands outside of subcircuits."""
_UNREAD = re.compile(
    r"^\.(lib|include|inc|param|options?|option|save|print|op|dc|tran|ac|temp|ic|nodeset)\b.*$", re.IGNORECASE
)
_LINES = (
    (re.compile(r"(?:wl_(\d+)_\d+|(?:in|dac)_(\d+)|wl_(\d+))", re.IGNORECASE), "wl_"),
    (re.compile(r"(?:bl_\d+_(\d+)|foot_(\d+)|bl_(\d+))", re.IGNORECASE), "bl_"),
)


class _Reader(db.NetlistSpiceReaderDelegate):  # type: ignore[misc,unused-ignore]
    """Makes devices of a netlist's lines."""

    def __init__(self, transistor: str) -> None:
        super().__init__()
        self.transistor = transistor
        self.joined: list[tuple[str, str]] = []
        self.strange: list[str] = []

    def wants_subcircuit(self, name: str) -> bool:
        """Take memory elements as devices, and transistors of kits that are called as subcircuits."""
        return name.lower() in (*ELEMENTS, self.transistor.lower())

    def parse_element(self, text: str, kind: str) -> db.ParseElementData:
        """Split a line: nodes, model, sizes; klayout has all names of a netlist in capitals."""
        words = [word.upper() for word in re.split(r"\s+(?![^{]*\})", text.strip()) if "=" not in word]
        data = db.ParseElementData()
        count = {"M": 4, "X": len(words) - 1}.get(kind.upper(), 2)
        data.net_names = words[:count]
        data.model_name = words[count] if len(words) > count and kind.upper() in "MX" else ""
        data.value = 0.0
        data.parameters = {
            name.upper(): self._number(value)
            for name, value in re.findall(r"(\w+)\s*=\s*(\{[^}]*\}|\S+)", text)
            if name.lower() in ("w", "l", "m")
        }
        return data

    def _number(self, value: str) -> float:
        name = value.strip("{}").strip()
        known = {key.lower(): number for key, number in self.variables().items()}
        return float(known[name.lower()]) if name.lower() in known else read_number(name)

    def element(
        self, circuit: db.Circuit, kind: str, name: str, model: str, value: float, nets: Sequence[db.Net],
        parameters: Mapping[str, Any],
    ) -> bool:  # fmt: skip
        """Make the device of a line, or none of one that belongs to the testbench."""
        kind, model = kind.upper(), model.lower()
        if model in ELEMENTS and kind == "X":
            device = circuit.create_device(self._class(circuit, element_class()), name)
            device.connect_terminal("A", nets[0])
            device.connect_terminal("B", nets[1])
        elif model == self.transistor.lower():
            device = circuit.create_device(self._class(circuit, transistor_class(self.transistor)), name)
            for terminal, net in zip("DGSB", nets, strict=True):
                device.connect_terminal(terminal, net)
            device.set_parameter("W", parameters["W"] * parameters.get("M", 1.0) * 1e6)
            device.set_parameter("L", parameters["L"] * 1e6)
        elif kind == "R" and _WIRE.fullmatch(name):
            self.joined.append((nets[0].expanded_name(), nets[1].expanded_name()))
        elif kind == "V" or (kind == "C" and _WIRE.fullmatch(name)):
            pass
        else:
            self.strange.append(f"{kind.lower()}{name.lower()}")
        return True

    def _class(self, circuit: db.Circuit, wanted: db.DeviceClass) -> db.DeviceClass:
        """Return a device class of the netlist, which is put there when it is first needed."""
        netlist = circuit.netlist()
        known = netlist.device_class_by_name(wanted.name)
        if known is None:
            netlist.add(wanted)
            known = wanted
        return known


def read_schematic(path: str | Path, chip: Chip) -> db.Netlist:
    """Read the netlist of a crossbar of the chip's cells.

    Parameters
    ----------
    path : str or Path
        What ``spicesim netlist crossbar`` wrote, in the ngspice dialect.
    chip : Chip
        Says what its access transistors are called.

    Returns
    -------
    klayout.db.Netlist
        One flat circuit of transistors [um] and memory elements; its nets are ``wl_ROW``, ``bl_COLUMN``, ``gate`` or
        ``gate_ROW``, ``vss``, and a node in each cell, ``xc_ROW_COLUMN.d``.

    Raises
    ------
    SpecError
        If it cannot be read, holds no cells, joins two lines, or has elements that are no part of an array.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read netlist {path}: {error}") from None
    if not re.search(r"^xc_\d+_\d+\s", text, re.MULTILINE | re.IGNORECASE):
        raise SpecError(f"{path}: no cells xc_ROW_COLUMN; compare a layout with what 'spicesim netlist crossbar' wrote")
    reader = _Reader(chip.process.nmos)
    netlist = db.Netlist()
    _read(netlist, text, reader, path)
    if reader.strange:
        raise SpecError(
            f"{path}: {reader.strange[0]} (and {len(reader.strange) - 1} more) is no part of an array; "
            "compare a layout with what 'spicesim netlist crossbar' wrote"
        )
    for circuit in netlist.top_circuits():
        if circuit.name != _TOP:  # subcircuits as they stand in the file; called are copies of them
            netlist.remove(circuit)
    _name_lines(netlist.top_circuit(), reader.joined, path)
    netlist.flatten()
    for net in netlist.top_circuit().each_net():
        if "." in net.name:  # klayout leaves the x of an instance out
            net.name = f"x{net.name.lower()}"
    return netlist


def _read(netlist: db.Netlist, text: str, reader: _Reader, path: str | Path) -> None:
    """Read a text; lines of a testbench that klayout would follow or refuse are left out, all others stay in place."""
    lines = [_UNREAD.sub("*", line.partition(" $ ")[0]) for line in text.splitlines()]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "netlist.cir"
        file.write_text("\n".join(["*", *lines[1:], ""]), encoding="utf-8")  # the first line is a title
        try:
            netlist.read(str(file), db.NetlistSpiceReader(reader))
        except RuntimeError as error:
            reason = str(error).replace(str(file), str(path)).removesuffix(" in Netlist.read")
            reason = re.sub(r" in NetlistSpiceReaderDelegate.* in ", ", ", " ".join(reason.split()))
            raise SpecError(
                f"cannot read netlist {path}: {reason}; write it again with 'spicesim netlist crossbar'"
            ) from None


def _name_lines(circuit: db.Circuit, joined: Sequence[tuple[str, str]], path: str | Path) -> None:
    """Make one net of each line's nodes, and name the nets as pins of layouts are named."""
    nets = {net.name: net for net in circuit.each_net()}
    group = {name: name for name in nets}

    if not all(name in nets for pair in joined for name in pair):
        raise SpecError(
            f"{path}: cells and wires lie in a subcircuit; compare with what 'spicesim netlist crossbar' wrote "
            "without --as subckt"
        )

    def head(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for one, other in joined:
        group[head(other)] = head(one)
    members: dict[str, list[str]] = {}
    for name in group:
        members.setdefault(head(name), []).append(name)
    for names in members.values():
        lines = sorted({line for name in names if (line := _line_of(name))})
        if len(lines) > 1:
            raise SpecError(f"{path}: wires join {lines[0]} and {lines[1]}, which no layout of an array does")
        net = nets[names[0]]
        for name in names[1:]:
            circuit.join_nets(net, nets[name])
        net.name = lines[0] if lines else names[0].lower()


def _line_of(node: str) -> str:
    """Return the line that a node belongs to, if it belongs to one."""
    if node == "0":
        return VSS
    for pattern, name in _LINES:
        if found := pattern.fullmatch(node):
            return name + next(number for number in found.groups() if number)
    return ""
