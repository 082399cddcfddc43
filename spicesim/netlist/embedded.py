"""A circuit as a subcircuit with ports, for a testbench or a schematic of one's own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from spicesim.chip import Chip
from spicesim.chip.section import require_name
from spicesim.errors import SpecError
from spicesim.netlist.dac import bit_nodes
from spicesim.netlist.folding import fold_text
from spicesim.netlist.impedance import BEHIND
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.statements import (
    Comment,
    Component,
    InitialCondition,
    ModelCard,
    ModelLibrary,
    Parameters,
    Statement,
    SubcircuitEnd,
    SubcircuitStart,
    Temperature,
    parse_statements,
)
from spicesim.netlist.subcircuits import join_lines

__all__ = ["Embedded", "embed"]

_ARRAY = re.compile(r"(rwl|rbl|cwl|cbl|xc)_\d")
"""Wires and cells, by name."""
_DRIVER = re.compile(r"xdac(?:far)?_(\d+)")
_INDEXED = re.compile(r".*_\d+")
_PROBED = re.compile(r"v\((\w+)\)")
_GROUND, _LOW = "0", "vss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A subcircuit, all that it calls, and a testbench that calls it."""

    name: str
    """Of the subcircuit."""
    ports: tuple[str, ...]
    """In its order: inputs, outputs, controls and references, supply, ground."""
    head: str
    """Comments on what it is."""
    definitions: str
    """The subcircuits that it calls, and itself; without models."""
    bench: Netlist
    """The testbench that it was taken from, with it in place of its circuit."""

    def format(self) -> str:
        """Format a file of the subcircuit, for whoever has the models."""
        files = [f"* with: {line}" for line in _model_lines(self.bench.body)]
        return "\n".join([self.head, *files, "", fold_text(self.definitions, comments=("*", "$")), ""])

    def format_bench(self, path: str) -> str:
        """Format the testbench, which reads the subcircuit from a file beside it."""
        whole = replace(self.bench, body=self.bench.body.replace(self.definitions, _HERE)).format()
        return whole.replace(_HERE, f".include '{PurePath(path).name}'")

    def symbol(self, path: str) -> str:
        """Format a symbol for xschem, which reads the subcircuit from a file; pins are in the ports' order."""
        left = [port for port in self.ports if not port.startswith(("out_", "foot_"))]
        right = [port for port in self.ports if port not in left]
        places = {port: (-160, 20 * k) for k, port in enumerate(left)}
        places |= {port: (160, 20 * k) for k, port in enumerate(right)}
        bottom = 20 * max(len(left), len(right), 1)
        lines = [
            "v {xschem version=3.4.4 file_version=1.2}",
            f'G {{}}\nK {{type=primitive\nformat="@name @pinlist {self.name}"\ntemplate="name=x1"',
            f'device_model=".include {PurePath(path).name}"\n}}\nV {{}}\nS {{}}\nE {{}}',
        ]
        edges = [(-130, -20, -130, bottom), (130, -20, 130, bottom), (-130, -20, 130, -20), (-130, bottom, 130, bottom)]
        lines += [f"L 4 {a} {b} {c} {d} {{}}" for a, b, c, d in edges]
        lines += [f"T {{{self.name}}} 0 -45 0 0 0.3 0.3 {{hcenter=true}}", "T {@name} 135 -32 0 0 0.2 0.2 {}"]
        for port, (x, y) in places.items():
            inner = 130 if x > 0 else -130
            lines.append(f"L 4 {min(x, inner)} {y} {max(x, inner)} {y} {{}}")
            align = 1 if x > 0 else 0
            lines.append(f"T {{{port}}} {inner - 5 if x > 0 else inner + 5} {y - 4} 0 {align} 0.2 0.2 {{}}")
        for port in self.ports:
            x, y = places[port]
            way = "out" if port.startswith("out_") else "inout" if not port.startswith("d_") else "in"
            lines.append(f"B 5 {x - 2.5:g} {y - 2.5:g} {x + 2.5:g} {y + 2.5:g} {{name={port} dir={way}}}")
        return "\n".join([*lines, ""])


_HERE = "* here the subcircuit"


@dataclass(slots=True)
class _Lines:
    """Lines of a circuit with what they say; comments stay before what they stand before."""

    text: list[str] = field(default_factory=list)
    parts: list[Component] = field(default_factory=list)

    def add(self, comments: Sequence[str], line: str, part: Component) -> None:
        self.text += [*comments, line]
        self.parts.append(part)

    @property
    def nodes(self) -> dict[str, None]:
        """All nodes, in the order in which they come."""
        return dict.fromkeys(node for part in self.parts for node in part.nodes)


def embed(chip: Chip, netlist: Netlist, name: str) -> Embedded:
    """Make a subcircuit of a netlist's circuit: sources that stand for the world around become ports.

    Parameters
    ----------
    chip : Chip
        Says which nodes of a driver are the bits of its code.
    netlist : Netlist
        A tile, crossbar or column.
    name : str
        Of the subcircuit.

    Returns
    -------
    Embedded
        Ports ``d_I_K`` are bit K of the driver of row I, ``out_J`` outputs, ``in_I`` word lines without drivers,
        ``foot_J`` bit lines without read-outs; ``vss`` is the ground. Resistances of wires are parameters. Wires and
        cells are a subcircuit of their own, ``xarray``.

    Raises
    ------
    SpecError
        If nothing drives the circuit, its sources have resistances, its text is not of the subset that dialects share,
        or the name is none.
    """
    try:
        require_name(name)
    except ValueError as error:
        raise SpecError(f"the name of a subcircuit {error}, got {name!a}") from None
    if BEHIND.search(netlist.body):
        raise SpecError("supplies and references of a subcircuit are ports; put resistances before them yourself")
    pairs = list(zip(join_lines(netlist.body), parse_statements(netlist.body), strict=True))
    head, models, library, top = _regions(pairs)
    parameters = {k: v for _, s in top if isinstance(s, Parameters) for k, v in s.parameters.items()}
    outside = _outside(part for _, part in top if isinstance(part, Component))
    if not outside:
        raise SpecError(f"{netlist.title!r} has no sources that could become ports")
    around, inside, tied = _Lines(), _Lines(), dict[str, str]()
    for comments, line, part in _commented(top):
        if part.name in outside:
            around.add(comments, line, part)
        else:
            kept, bits = _with_ports(chip, part)
            tied |= bits
            renamed = {node: _LOW if node == _GROUND else node for node in kept.nodes}
            moved = replace(kept, nodes=tuple(renamed[node] for node in kept.nodes), note="" if bits else part.note)
            told = [text.partition(", tied to ")[0] for text in comments]  # its bits are ports now
            inside.add(told if bits else comments, _with_nodes(line, moved, keep_note=not bits), moved)
    seen = _PROBED.findall(" ".join(netlist.probes))
    ports = _ports(inside, around, tied, seen)
    definitions = _define(name, ports, inside, parameters)
    links = [tied.get(port, _GROUND if port == _LOW else port) for port in ports]
    call = f"x{name} {' '.join(links)} {name}"
    guesses = {
        f"{'' if node in ports or node in around.nodes else f'x{name}.'}{node}": v
        for node, v in netlist.nodesets.items()
    }
    initial = [_within(line, s, name, ports) for line, s in top if isinstance(s, InitialCondition)]
    text = "\n\n".join([*library, *definitions])
    body = ["\n".join([*head, "*", *_port_notes(name, ports)]), "\n".join(models).strip("\n"), text]
    body += [re.sub(r"\n{3,}", "\n\n", "\n".join(around.text)).strip("\n")]
    body += ["\n".join(["* the circuit", call, *initial])]
    return Embedded(
        name=name, ports=ports, head=body[0], definitions=text,
        bench=replace(
            netlist, title=f"testbench of {name}: {netlist.title}", body="\n\n".join(body), nodesets=guesses,
            probes=tuple(probe for probe in netlist.probes if not _is_inside(probe, inside)),
        ),
    )  # fmt: skip


def _regions(
    pairs: Sequence[tuple[str, Statement]],
) -> tuple[list[str], list[str], list[str], list[tuple[str, Statement]]]:
    """Cut a body into its head, its models, the subcircuits it calls, and its circuit."""
    head: list[str] = []
    models: list[str] = []
    library: list[str] = []
    top: list[tuple[str, Statement]] = []
    pending: list[tuple[str, Statement]] = []
    block: list[str] = []
    for line, statement in pairs:
        if block:
            block.append(line)
            if isinstance(statement, SubcircuitEnd):
                library.append("\n".join(block))
                block = []
        elif isinstance(statement, SubcircuitStart):
            block = [*(text for text, _ in pending), line]
            pending = []
        elif isinstance(statement, ModelCard | ModelLibrary | Temperature):
            models += [*(text for text, _ in pending), line]
            pending = []
        elif isinstance(statement, Comment) and statement.text is None:
            if not head and pending and all(isinstance(s, Comment) for _, s in pending):
                head = [text for text, _ in pending]
            else:
                top += [*pending, (line, statement)]
            pending = []
        elif isinstance(statement, Comment):
            pending.append((line, statement))
        else:
            top += [*pending, (line, statement)]
            pending = []
    return head, models, library, top + pending


def _commented(top: Iterable[tuple[str, Statement]]) -> Iterable[tuple[list[str], str, Component]]:
    """Yield every component with the comments and empty lines before it."""
    comments: list[str] = []
    for line, statement in top:
        if isinstance(statement, Comment):
            comments.append(line)
        elif isinstance(statement, Component):
            yield comments, line, statement
            comments = []


def _outside(parts: Iterable[Component]) -> set[str]:
    """Find the sources that hang on ground, or on one another: what the circuit does not own."""
    sources, grounded, found = [part for part in parts if part.kind == "v"], {_GROUND}, set[str]()
    while fresh := [part for part in sources if part.name not in found and grounded & set(part.nodes)]:
        found |= {part.name for part in fresh}
        grounded |= {node for part in fresh for node in part.nodes}
    return found


def _with_ports(chip: Chip, part: Component) -> tuple[Component, dict[str, str]]:
    """Give a driver's bits ports of their own; returns the nodes that they were tied to, too."""
    driver = _DRIVER.fullmatch(part.name)
    if driver is None:
        return part, {}
    where = bit_nodes(chip)
    bits = part.nodes[where]
    names = [f"d_{driver[1]}_{k}" for k in range(len(bits))] if len(bits) > 1 else [f"d_{driver[1]}"]
    nodes = (*part.nodes[: where.start], *names, *part.nodes[where.stop :])
    return replace(part, nodes=nodes), dict(zip(names, bits, strict=True))


def _with_nodes(line: str, part: Component, *, keep_note: bool) -> str:
    """Write other nodes into a component's line."""
    words = line.split()
    words[1 : 1 + len(part.nodes)] = part.nodes
    text = " ".join(words)
    return text if keep_note else text.split(" $")[0]


def _ports(inside: _Lines, around: _Lines, tied: Mapping[str, str], seen: Sequence[str]) -> tuple[str, ...]:
    """Order the ports: inputs, outputs, controls and references, supply, ground."""
    shared = [node for node in around.nodes if node in inside.nodes]
    data = [node for node in shared if _INDEXED.fullmatch(node)]
    outputs = [node for node in seen if _INDEXED.fullmatch(node) and node in inside.nodes and node not in data]
    rails = [node for node in ("vref", "vdd", _LOW) if node in inside.nodes]
    rest = [node for node in shared if node not in data and node not in rails]
    return tuple(dict.fromkeys([*tied, *data, *outputs, *rest, *rails]))


def _define(name: str, ports: Sequence[str], inside: _Lines, parameters: Mapping[str, str]) -> list[str]:
    """Write the subcircuit, and before it one of its array where there is more."""
    values = "".join(f" {key}={value}" for key, value in parameters.items())
    cells = {part.name for part in inside.parts if _ARRAY.match(part.name)}
    if len(cells) == len(inside.parts):
        return [_subcircuit(name, ports, values, inside.text)]
    array, rest = _Lines(), _Lines()
    for comments, line, part in _commented(zip(inside.text, parse_statements("\n".join(inside.text)), strict=True)):
        (array if part.name in cells else rest).add(comments, line, part)
    shared = [node for node in array.nodes if node in rest.nodes or node in ports]
    inner = f"{name}_array"
    passed = "".join(f" {key}={{{key}}}" for key in parameters)
    call = ["* wires and cells", f"xarray {' '.join(shared)} {inner}{passed}"]
    return [
        _subcircuit(inner, shared, values, array.text),
        _subcircuit(name, ports, values, [*call, *rest.text]),
    ]


def _subcircuit(name: str, ports: Sequence[str], values: str, lines: Sequence[str]) -> str:
    inner = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f".subckt {name} {' '.join(ports)}{values}\n{inner}\n.ends {name}"


def _port_notes(name: str, ports: Sequence[str]) -> list[str]:
    """Say what the ports are."""
    words = {
        "d": "bits of the drivers' codes, d_ROW_BIT, the least first",
        "in": "word lines", "infar": "their far ends", "read": "word lines", "gate": "gates of the cells",
        "foot": "bit lines", "out": "outputs", "vlo": "lower level of the drivers", "vhi": "their higher level",
        "vref": "reference", "vdd": "supply", "vss": "ground", "track": "hold switches follow",
        "share": "adders join", "rst": "integrators are reset", "run": "integrators run",
    }  # fmt: skip
    kinds = dict.fromkeys(port.split("_")[0] for port in ports)
    return [f"* subcircuit {name}, ports in this order:"] + [
        f"*   {kind:6} {words.get(kind, '')}".rstrip() for kind in kinds
    ]


def _within(line: str, condition: InitialCondition, name: str, ports: Sequence[str]) -> str:
    """Move an initial condition to where its node is now."""
    node = condition.node
    return line if node in ports else line.replace(f"v({node})", f"v(x{name}.{node})")


def _is_inside(probe: str, inside: _Lines) -> bool:
    """Tell whether a probe asks for the current of a source that lies inside now."""
    return any(probe == f"i({part.name})" for part in inside.parts)


def _model_lines(body: str) -> list[str]:
    return [line for line in body.splitlines() if line.lower().startswith((".lib", ".include", ".temp"))]
