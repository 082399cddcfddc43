"""A netlist as a PySpice circuit whose elements and subcircuits can be reached by name, and changed."""

import logging
from collections.abc import Sequence
from typing import Any

from PySpice.Spice.Netlist import Circuit, SubCircuit

from spicesim.netlist.statements import (
    Comment,
    Component,
    SubcircuitEnd,
    SubcircuitStart,
    parse_statements,
)
from spicesim.netlist.subcircuits import join_lines

__all__ = ["NamedCircuit", "NamedSubCircuit", "read_circuit"]

_GEOMETRY = ("w", "l", "m", "ad", "as", "pd", "ps", "nrd", "nrs")
"""Parameters of a transistor that PySpice knows."""


class _Named:
    """A PySpice netlist where names count as SPICE has them: in any case, subcircuits among them."""

    _elements: dict[str, Any]
    _subcircuits: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return an element, a subcircuit, a model or a node.

        Raises
        ------
        IndexError
            If there is none.
        """
        wanted = str(name).lower()
        for known in (self._elements, self._subcircuits):
            for key, found in known.items():
                if key.lower() == wanted:
                    return found
        return super().__getitem__(name)  # type: ignore[misc]


class NamedSubCircuit(_Named, SubCircuit):  # type: ignore[misc]  # PySpice has no types
    """A subcircuit: ``opamp["m5"].width = "4u"``."""


class NamedCircuit(_Named, Circuit):  # type: ignore[misc]  # PySpice has no types
    """A circuit: ``circuit["xc_3_1"].parameters["g"] = 20e-6``, ``circuit["opamp"]["m5"].width = "4u"``."""


def read_circuit(title: str, text: str, cards: Sequence[str] = ()) -> Circuit:
    """Read a circuit: every element is an element of PySpice, every subcircuit a subcircuit.

    Values are kept as they are written, to the last digit. Models, temperature and initial values stay text.

    Parameters
    ----------
    title : str
        First line of a file.
    text : str
        A netlist without title, first guesses and analyses, in ngspice's language.
    cards : sequence of str
        Lines to put in as they are.

    Raises
    ------
    SpecError
        At a line that is not of the subset that all dialects have.
    """
    names = logging.getLogger("PySpice.Spice.Netlist.Node")
    names.addFilter(_is_told)
    try:
        return _read(title, text, cards)
    finally:
        names.removeFilter(_is_told)


def _is_told(record: logging.LogRecord) -> bool:
    """Tell a warning that matters from one of every node whose name Python reserves, such as ``in``."""
    return "Python keyword" not in record.getMessage()


def _read(title: str, text: str, cards: Sequence[str]) -> Circuit:
    circuit = NamedCircuit(title)
    text = "\n".join(line for line in text.splitlines() if not line.startswith(".save "))  # of analyses, as probes are
    place: Any = circuit
    raw: list[str] = []
    for line, statement in zip(join_lines(text), parse_statements(text), strict=True):
        match statement:
            case SubcircuitStart(name=name, ports=ports, parameters=parameters):
                place = NamedSubCircuit(name, *ports, **parameters)
            case SubcircuitEnd():
                circuit.subcircuit(place)
                place = circuit
            case Component():
                _add(place, statement, line)
            case Comment():
                pass
            case _ if place is not circuit:  # its parameters, models and initial values
                place.raw_spice += f"{line}\n"
            case _:
                raw.append(line)
    circuit.raw_spice = "\n".join([*raw, *cards, ""])
    return circuit


def _add(place: Any, part: Component, line: str) -> None:
    """Add an element to a circuit or a subcircuit."""
    name, nodes = part.name[1:], part.nodes
    value = line.partition("$")[0].split(None, 1 + len(nodes))[-1].strip()
    if part.kind == "x":
        place.X(name, part.master, *nodes, **part.parameters)
    elif part.kind == "m":
        known = {key: text for key, text in part.parameters.items() if key in _GEOMETRY}
        rest = " ".join(f"{key}={text}" for key, text in part.parameters.items() if key not in known)
        place.M(name, *nodes, model=part.master, raw_spice=rest, **known)
    elif part.kind == "b":
        ((quantity, expression),) = part.parameters.items()
        word = {"i": "current_expression", "v": "voltage_expression"}[quantity]
        place.B(name, *nodes, **{word: expression})
    else:
        getattr(place, {"e": "VCVS", "g": "VCCS"}.get(part.kind, part.kind.upper()))(name, *nodes, value)
