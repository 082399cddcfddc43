"""Resistances of a circuit's supplies and references, which are ideal sources otherwise."""

import re
from collections.abc import Mapping
from dataclasses import replace

from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist
from spicesim.units import format_si, spice_number

__all__ = ["REFERENCES", "SUPPLIES", "with_source_resistances"]

SUPPLIES = ("vdd",)
"""Sources of a tile that supply."""
REFERENCES = ("vref", "vlo", "vhi", "vread")
"""Sources of a tile that are references; each tile has those of its drivers."""


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
    body, found = netlist.body, False
    top = body.lower().rfind("\n.ends") + 1  # subcircuits may have sources of these names, too
    for name, ohm in resistances.items():
        if not 0 < ohm < float("inf"):
            raise SpecError(f"the resistance of {name} must be positive, got {ohm:g} ohm")
        line = re.compile(rf"^{name} (\w+) (.*)$", re.MULTILINE)
        if (source := line.search(body, top)) is None:
            continue
        node, rest, found = source[1], source[2], True
        text = f"{name} {node}_pad {rest}\nr{name} {node}_pad {node} {spice_number(ohm)} $ of the source"
        body = body[: source.start()] + text + body[source.end() :]
    if not found:
        raise SpecError(f"{netlist.title!r} has none of the sources {', '.join(resistances)}")
    words = ", ".join(f"{name} {format_si(ohm, 'ohm')}" for name, ohm in resistances.items())
    return replace(netlist, title=f"{netlist.title}; in series with sources: {words}", body=body)
