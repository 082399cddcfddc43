"""Rails of a circuit: resistances between them and their sources, which are ideal otherwise, and rails displaced."""

import re
from collections.abc import Mapping
from dataclasses import replace

from spicesim.chip import Rails
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist
from spicesim.units import format_si, spice_number

__all__ = [
    "BEHIND",
    "GROUND",
    "REFERENCES",
    "SUPPLIES",
    "displaced",
    "with_rails",
    "with_source_resistances",
]

SUPPLIES = ("vdd",)
"""Sources of a tile that supply."""
REFERENCES = ("vref", "vlo", "vhi", "vread")
"""Sources of a tile that are references; each tile has those of its drivers."""
GROUND = "vss"
"""The ground of drivers and amplifiers, and the source that holds it, where that is not node 0."""
BEHIND = re.compile(r"^rv\w+ (\w+)_pad \1 ", re.MULTILINE)
"""Lines of resistances of sources."""
_BLOCK = re.compile(r"^x(?:dac|senseamp|bias)\S* .*? 0 (?:dac|tia|word_line_driver|bias)\b.*$", re.MULTILINE)
"""Lines of blocks that are fed."""
_BITS = re.compile(r"^(bb\d+ \S+ 0 v=)\S+?\*", re.MULTILINE)
"""Sources of a code's bits, which are at a supply."""


def _top(body: str) -> int:
    """Return where the top of a circuit begins: subcircuits may have sources of the same names, too."""
    return body.lower().rfind("\n.ends") + 1


def with_source_resistances(netlist: Netlist, resistances: Mapping[str, float]) -> Netlist:
    """Put a resistance between sources and the nodes that they hold.

    Parameters
    ----------
    netlist : Netlist
        The circuit.
    resistances : mapping of str to float
        By the sources' names [ohm]; names that the circuit does not have are passed over. What hangs on a source's
        node, other sources too, is behind its resistance.

    Raises
    ------
    SpecError
        If a resistance is not positive, or the circuit has none of the sources.
    """
    body, found = netlist.body, dict[str, float]()
    top = _top(body)
    for name, ohm in resistances.items():
        if not 0 < ohm < float("inf"):
            raise SpecError(f"the resistance of {name} must be positive, got {ohm:g} ohm")
        line = re.compile(rf"^{name} (\w+) (.*)$", re.MULTILINE)
        if (source := line.search(body, top)) is None:
            continue
        node, rest = source[1], source[2]
        found[name] = ohm
        text = f"{name} {node}_pad {rest}\nr{name} {node}_pad {node} {spice_number(ohm)} $ of the source"
        body = body[: source.start()] + text + body[source.end() :]
    if not found:
        raise SpecError(f"{netlist.title!r} has none of the sources {', '.join(resistances)}")
    words = ", ".join(f"{name} {format_si(ohm, 'ohm')}" for name, ohm in found.items())
    return replace(netlist, title=f"{netlist.title}; in series with sources: {words}", body=body)


def _with_ground(netlist: Netlist, volts: float = 0.0) -> Netlist:
    """Give drivers and amplifiers a ground of their own, held by a source [V]."""
    top = _top(netlist.body)
    head, circuit = netlist.body[:top], netlist.body[top:]

    def join(line: re.Match[str]) -> str:
        return re.sub(r"(?<= )0(?= )", GROUND, line[0])

    circuit, count = _BLOCK.subn(join, circuit)
    if not count:
        raise SpecError(
            f"{netlist.title!r} has no drivers and amplifiers on a ground of their own; set rails.r_ground = 0"
        )
    source = f"* ground of drivers and amplifiers\n{GROUND} {GROUND} 0 {spice_number(volts)}"
    return replace(netlist, body=f"{head}{circuit}\n\n{source}")


def with_rails(netlist: Netlist, rails: Rails) -> Netlist:
    """Put a chip's resistances between the rails of a tile and their sources; without any the netlist is the same."""
    if rails.r_ground:
        netlist = _with_ground(netlist)
    ohms = dict.fromkeys(SUPPLIES, rails.r_supply) | dict.fromkeys(REFERENCES, rails.r_reference)
    ohms[GROUND] = rails.r_ground
    wanted = {name: ohm for name, ohm in ohms.items() if ohm}
    return with_source_resistances(netlist, wanted) if wanted else netlist


def displaced(netlist: Netlist, volts: Mapping[str, float]) -> Netlist:
    """Move sources of a block's testbench, and with supply and ground the bits of its code.

    Parameters
    ----------
    netlist : Netlist
        The testbench of a driver or of an amplifier.
    volts : mapping of str to float
        What to add, by the sources' names [V]; :data:`GROUND` is one of them.
    """
    netlist = _with_ground(netlist, volts.get(GROUND, 0.0))
    top, body = _top(netlist.body), netlist.body
    head, circuit = body[:top], body[top:]
    for name, added in volts.items():
        if name != GROUND:
            line = re.compile(rf"^({name} \w+ \w+) (\S+)$", re.MULTILINE)
            if (source := line.search(circuit)) is None:
                raise SpecError(f"{netlist.title!r} has no source {name} to move")
            text = f"{source[1]} {spice_number(float(source[2]) + added)}"
            circuit = circuit[: source.start()] + text + circuit[source.end() :]
    circuit = _BITS.sub(rf"\g<1>v({GROUND})+v(vdd,{GROUND})*", circuit)
    words = ", ".join(f"{name} {format_si(v, 'V')}" for name, v in volts.items())
    return replace(netlist, title=f"{netlist.title}; moved: {words}", body=head + circuit)
