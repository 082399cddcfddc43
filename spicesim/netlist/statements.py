"""The statements of a netlist as plain data, and the parser that makes them from text.

The text is the subset of ngspice's language that the library and the builders write. What the parser does not know
it refuses, so nothing gets lost on the way to another dialect.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spicesim.errors import SpecError

__all__ = [
    "Comment",
    "Component",
    "InitialCondition",
    "ModelCard",
    "ModelLibrary",
    "Parameters",
    "Statement",
    "SubcircuitEnd",
    "SubcircuitStart",
    "Temperature",
    "parse_statements",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A line of prose, without its mark; None for an empty line."""

    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A device or a call of a subcircuit."""

    kind: str
    """First letter of its name: r c l, v i, b, e g, m, x."""
    name: str
    """With the first letter."""
    nodes: tuple[str, ...]
    master: str = ""
    """Model of a transistor, or subcircuit."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Expressions by name: "value" of r c l e g; "dc" and "ac" of v i; "v" or "i" of b; any of m and x."""
    wave: tuple[str, tuple[str, ...]] | None = None
    """Waveform of a source: "pulse", "pwl" or "sin", and its numbers."""
    note: str = ""
    """What follows the ``$`` at the end of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcircuitStart:
    """Head of a subcircuit."""

    name: str
    ports: tuple[str, ...]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcircuitEnd:
    """End of a subcircuit."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A transistor model in full."""

    name: str
    kind: str
    """nmos or pmos."""
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLibrary:
    """A model file, and the section to read of it."""

    path: str
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Values with a name."""

    parameters: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """Temperature of the circuit [degree Celsius]."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialCondition:
    """Voltage of a node at the start of a transient."""

    node: str
    value: str


Statement = (
    Comment
    | Component
    | SubcircuitStart
    | SubcircuitEnd
    | ModelCard
    | ModelLibrary
    | Parameters
    | Temperature
    | InitialCondition
)

_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|[^\s=]+)(?=\s|$)")
_NAME = re.compile(r"[a-z0-9_.]+")
_NODES = {"r": 2, "c": 2, "l": 2, "v": 2, "i": 2, "b": 2, "e": 4, "g": 4, "m": 4}
_WAVE = re.compile(r"\b(pulse|pwl|sin)\s*\(([^()]*)\)")
_INITIAL = re.compile(r"v\(\s*([\w.]+)\s*\)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)")
_PATH = re.compile(r"\.(?:include|lib)\s+(?:'([^']+)'|\"([^\"]+)\"|(\S+))\s*(\S*)\s*", re.IGNORECASE)


def parse_statements(text: str) -> list[Statement]:
    """Parse the body of a netlist, all but title, nodesets, options, and analyses.

    Raises
    ------
    SpecError
        At the first line that is not of the subset.
    """
    statements: list[Statement] = []
    for number, line in _joined(text):
        try:
            statements.append(_parse(line))
        except SpecError as error:
            raise SpecError(f"netlist line {number}, {line[:60]!r}: {error}") from None
    return statements


def _joined(text: str) -> Iterator[tuple[int, str]]:
    pending: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("+") and pending:
            pending = (pending[0], f"{pending[1]} {line[1:].strip()}")
            continue
        if pending:
            yield pending
        pending = (number, line.strip())
    if pending:
        yield pending


def _parse(line: str) -> Statement:
    if not line:
        return Comment(text=None)
    if line.startswith("*"):
        return Comment(text=line[1:].removeprefix(" "))
    code, _, note = line.partition("$")
    if code.split()[0].lower() in (".include", ".lib"):
        found = _PATH.fullmatch(code)
        if found is None:
            raise SpecError("expected a file, in quotes, and perhaps a section")
        return ModelLibrary(path=found[1] or found[2] or found[3], section=found[4])
    code = code.strip().lower()
    return _card(code, note.strip()) if code.startswith(".") else _component(code, note.strip())


def _card(code: str, note: str) -> Statement:
    word, _, rest = code.partition(" ")
    if word == ".param":
        names, parameters = _assignments(rest)
        if not names and parameters:
            return Parameters(parameters=parameters, note=note)
    elif word == ".subckt":
        names, parameters = _assignments(rest)
        if names:
            return SubcircuitStart(name=names[0], ports=tuple(names[1:]), parameters=parameters)
    elif word == ".ends" and len(rest.split()) == 1:
        return SubcircuitEnd(name=rest.strip())
    elif word == ".model":
        names, parameters = _assignments(rest.replace("(", " ").replace(")", " "))
        if len(names) == 2 and names[1] in ("nmos", "pmos"):
            return ModelCard(name=names[0], kind=names[1], parameters=parameters)
    elif word == ".ic" and (found := _INITIAL.fullmatch(rest.strip())):
        return InitialCondition(node=found[1], value=found[2])
    elif word == ".temp" and len(rest.split()) == 1:
        return Temperature(value=rest.strip())
    raise SpecError("not a card that all dialects have; there are .param .subckt .ends .model .include .lib .ic .temp")


def _component(code: str, note: str) -> Component:
    name, _, rest = code.partition(" ")
    kind = name[0]
    if kind == "x":
        words, parameters = _assignments(rest)
        if len(words) < 2:
            raise SpecError("expected nodes and a subcircuit")
        return Component(
            kind=kind, name=name, nodes=tuple(words[:-1]), master=words[-1], parameters=parameters, note=note
        )
    if kind not in _NODES:
        raise SpecError(f"no element that all dialects have; there are {' '.join(_NODES)} x")
    *nodes, value = rest.split(None, _NODES[kind]) if rest.split() else [""]
    if len(nodes) != _NODES[kind] or not all(_NAME.fullmatch(node) for node in nodes):
        raise SpecError(f"expected {_NODES[kind]} nodes and a value")
    if kind == "m":
        words, parameters = _assignments(value)
        if len(words) != 1:
            raise SpecError("expected a model behind the four nodes, and parameters with names")
        return Component(kind=kind, name=name, nodes=tuple(nodes), master=words[0], parameters=parameters, note=note)
    if kind == "b":
        quantity, equals, expression = value.partition("=")
        if quantity.strip() not in ("i", "v") or not equals:
            raise SpecError("expected i=.. or v=..")
        return Component(
            kind=kind, name=name, nodes=tuple(nodes), parameters={quantity.strip(): expression.strip()}, note=note
        )
    if kind in "vi":
        parameters, wave = _source(value)
        return Component(kind=kind, name=name, nodes=tuple(nodes), parameters=parameters, wave=wave, note=note)
    if not re.fullmatch(r"\{[^}]*\}|'[^']*'|\S+", value) or "=" in value.split("{")[0]:
        raise SpecError("expected one value behind the nodes")
    return Component(kind=kind, name=name, nodes=tuple(nodes), parameters={"value": value}, note=note)


def _source(text: str) -> tuple[dict[str, str], tuple[str, tuple[str, ...]] | None]:
    """Cut the value of a source into dc, ac, and a waveform."""
    wave = None
    if found := _WAVE.search(text):
        wave = (found[1], tuple(found[2].replace(",", " ").split()))
        text = text[: found.start()] + text[found.end() :]
    words = re.findall(r"\{[^}]*\}|'[^']*'|\S+", text)
    parameters: dict[str, str] = {}
    while words:
        word = words.pop(0)
        key = word if word in ("dc", "ac") and words else "dc"
        if key in parameters:
            raise SpecError(f"expected dc, ac and a waveform, each once; got {text!r}")
        parameters[key] = words.pop(0) if key == word else word
    return parameters, wave


def _assignments(text: str) -> tuple[list[str], dict[str, str]]:
    """Cut text into words and, behind them, assignments."""
    parameters: dict[str, str] = {}
    for found in _ASSIGNMENT.finditer(text):
        parameters[found[1]] = found[2]
    rest = _ASSIGNMENT.sub(" ", text)
    words = rest.split()
    for word in words:
        if not _NAME.fullmatch(word):
            raise SpecError(f"did not understand {word!r}")
    return words, parameters
