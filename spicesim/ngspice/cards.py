"""Model cards that a netlist needs, in place of the files that hold all of a process.

A kit has hundreds of cards, each transistor in as many bins of width and length, and ngspice looks through all of them
for every instance. With those of SKY130 that is four fifths of the time of a tile's operating point. Where transistors
are subcircuits with sizes in their cards, it reads all of them for every instance.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spicesim.errors import SpecError
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.measured import MeasuredNetlist
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.statements import (
    Component,
    ModelLibrary,
    Parameters,
    Statement,
    SubcircuitEnd,
    SubcircuitStart,
    parse_statements,
)
from spicesim.ngspice.kit import Called, specialise

__all__ = ["CARDS_NAME", "needed_cards"]

CARDS_NAME = "models.cir"
"""Name of the file that stands for those of the process."""
MARGIN = 1e-2
"""By which a size may miss a bin and still count as in it: ngspice decides, among all that come near."""

_READ = re.compile(r"^\s*\.(lib|include|inc)\s+(?:'([^']+)'|\"([^\"]+)\"|(\S+))\s*(\S*)", re.IGNORECASE)
_END = re.compile(r"^\s*\.endl\b", re.IGNORECASE)
_MODEL = re.compile(r"^\s*\.model\s+(\S+)", re.IGNORECASE)
_LIMIT = re.compile(r"\b([lw])(min|max)\s*=\s*(\S+)", re.IGNORECASE)
_SUBCIRCUIT, _SUBCIRCUIT_END = (re.compile(rf"^\s*\.{word}\b", re.IGNORECASE) for word in ("subckt", "ends"))

Sizes = frozenset[tuple[str, float, float]]
"""Models that transistors name, with their width and length [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Some lines of a model file."""

    text: str
    model: str = ""
    """Name of the model that they are, without its bin; empty for others."""
    box: tuple[float, float, float, float] | None = None
    """Shortest and longest, narrowest and widest transistor of the bin [m]; None if it has none."""
    subcircuit: str = ""
    """Name of the subcircuit that they are; empty for others."""

    def fits(self, sizes: Sizes) -> bool:
        """Tell whether a netlist may need it."""
        if not self.model:
            return not self.subcircuit  # of which a netlist that calls it has its own
        own = [(width, length) for name, width, length in sizes if name == self.model]
        if self.box is None:
            return bool(own)
        l_min, l_max, w_min, w_max = self.box
        return any(
            l_min * (1 - MARGIN) <= length <= l_max * (1 + MARGIN)
            and w_min * (1 - MARGIN) <= width <= w_max * (1 + MARGIN)
            for width, length in own
        )


def needed_cards(netlist: Netlist) -> tuple[str, str] | None:
    """Cut the models of a netlist down to what its transistors need.

    Parameters
    ----------
    netlist : Netlist
        Any netlist.

    Returns
    -------
    text, cards : str
        The netlist's file, which reads the cards from :data:`CARDS_NAME` beside it, and these. None where all is needed
        as it is: there are no files, they cannot be read, or the netlist calls what they hold by other ways than as
        transistors with sizes.
    """
    if isinstance(netlist, MeasuredNetlist):  # anybody's, whose files may hold more than models
        return None
    try:
        statements = parse_statements(netlist.body)
        sizes, called = _sizes(statements)
    except (SpecError, RecursionError):  # beyond what the library writes, or a subcircuit that calls itself
        return None
    files = [statement for statement in statements if isinstance(statement, ModelLibrary)]
    if not files or sizes is None:
        return None
    parts: list[_Part] = []
    try:
        for file in files:
            parts += _parts(Path(file.path), file.section.lower())
    except (OSError, RecursionError):  # missing, or read by itself, which the simulator says better
        return None
    own = specialise({part.subcircuit: part.text for part in parts if part.subcircuit}, called)
    if own is None:
        return None
    cards = "\n".join([*(part.text for part in parts if part.fits(sizes)), *own.cards])
    lines, told = [], False
    for line in own.rename(netlist.format()).splitlines():
        if not _READ.match(line):
            lines.append(line)
        elif not told:
            lines.append(f".include '{CARDS_NAME}'")
            told = True
    return "\n".join([*lines, ""]), f"* of the model files, what the netlist needs\n{cards}\n"


def _sizes(statements: Sequence[Statement]) -> tuple[Sizes | None, Called]:
    """Return the sizes of all transistors, None if one has none; and what the netlist calls that is not in it."""
    bodies: dict[str, tuple[SubcircuitStart | None, list[Component | Parameters]]] = {"": (None, [])}
    scope: dict[str, float] = {}
    name = ""
    for statement in statements:
        if isinstance(statement, SubcircuitStart):
            name = statement.name
            bodies[name] = statement, []
        elif isinstance(statement, SubcircuitEnd):
            name = ""
        elif isinstance(statement, Component) and statement.kind in "mx":
            bodies[name][1].append(statement)
        elif isinstance(statement, Parameters) and not name:
            scope |= {key: evaluate_expression(value, scope) for key, value in statement.parameters.items()}
        elif isinstance(statement, Parameters):
            bodies[name][1].append(statement)
    called: Called = {}
    seen: dict[tuple[object, ...], Sizes] = {}

    def collect(master: str, own: Mapping[str, float]) -> Sizes:
        key = master, *sorted(own.items())
        if key not in seen:
            found: set[tuple[str, float, float]] = set()
            for part in bodies[master][1]:
                if isinstance(part, Parameters):
                    own = {**own, **{word: evaluate_expression(value, own) for word, value in part.parameters.items()}}
                    continue
                if part.kind == "m" or part.master not in bodies:
                    width, length = (evaluate_expression(part.parameters[size], own) for size in ("w", "l"))
                    fingers = evaluate_expression(part.parameters.get("nf", "1"), own)
                    # whether bins are of single fingers is a matter of ngspice's modes
                    found |= {(part.master, width, length), (part.master, width / fingers, length)}
                    if part.kind == "x":
                        call = {word: evaluate_expression(value, own) for word, value in part.parameters.items()}
                        called.setdefault((master, part.name, part.master), []).append(call)
                    continue
                inner, _ = bodies[part.master]
                assert inner is not None
                values: dict[str, float] = dict(scope)
                for word, default in inner.parameters.items():
                    given = part.parameters.get(word)
                    values[word] = (
                        evaluate_expression(default, values) if given is None else evaluate_expression(given, own)
                    )
                found |= collect(part.master, values)
            seen[key] = frozenset(found)
        return seen[key]

    try:
        return collect("", scope), called
    except KeyError:  # a transistor without a size
        return None, called


_KNOWN: dict[tuple[Path, str], tuple[dict[Path, int], tuple[_Part, ...]]] = {}
"""Parts of sections that were read, with the files behind them and when these were changed."""


def _parts(path: Path, section: str) -> tuple[_Part, ...]:
    """Cut a section of a model file, or all of a file, into parts; once, as long as no file behind it changes."""
    files, parts = _KNOWN.get((path, section), ({}, ()))
    if not files or any(file.stat().st_mtime_ns != changed for file, changed in files.items()):
        files = {}
        parts = _cut(_lines(path, section, files))
        _KNOWN[path, section] = files, parts
    return parts


def _cut(lines: Iterable[str]) -> tuple[_Part, ...]:
    """Cut lines of a model file into parts."""
    parts: list[_Part] = []
    rest: list[str] = []
    block: list[str] = []
    card: list[str] = []

    def close() -> None:
        if rest:
            parts.append(_Part(text="\n".join(rest)))
            rest.clear()
        if card:
            parts.append(_card(card))
            card.clear()

    depth = 0
    for line in lines:
        if _SUBCIRCUIT.match(line):
            depth += 1
        if depth:
            block.append(line)
        else:
            if _MODEL.match(line):
                close()
                card.append(line)
            elif card and (line.startswith(("+", "*")) or not line.strip()):
                card.append(line)
            else:
                if card:
                    close()
                rest.append(line)
        if _SUBCIRCUIT_END.match(line):
            depth -= 1
            if not depth:
                parts.append(_Part(text="\n".join(block), subcircuit=block[0].split()[1].lower()))
                block.clear()
    close()
    return tuple(parts)


def _lines(path: Path, section: str, files: dict[Path, int]) -> Iterator[str]:
    """Yield the lines of a section of a file, or of all of it, and of those that it reads; note all in `files`."""
    inside = not section
    files[path] = path.stat().st_mtime_ns
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        reads = _READ.match(line)
        if reads and reads[1].lower() == "lib" and not reads[5]:  # the head of a section
            inside = (reads[2] or reads[3] or reads[4]).lower() == section
        elif section and _END.match(line):
            inside = False
        elif inside and reads:
            yield from _lines(path.parent / (reads[2] or reads[3] or reads[4]), reads[5].lower(), files)
        elif inside:
            yield line


def _card(lines: list[str]) -> _Part:
    """Return a model card with what it holds for."""
    text = "\n".join(lines)
    found = _MODEL.match(lines[0])
    assert found is not None
    base, _, number = found[1].lower().rpartition(".")
    limits = {f"{axis}{end}".lower(): value for axis, end, value in _LIMIT.findall(text)}
    if not (base and number.isdigit()):
        return _Part(text=text, model=found[1].lower())
    try:
        box = tuple(float(limits[key]) for key in ("lmin", "lmax", "wmin", "wmax"))
    except (KeyError, ValueError):  # none, or not plain numbers
        return _Part(text=text, model=base)
    return _Part(text=text, model=base, box=(box[0], box[1], box[2], box[3]))
