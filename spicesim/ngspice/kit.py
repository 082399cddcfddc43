"""Transistors that are subcircuits of a kit, each size with cards of its own, in place of cards for every instance."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.folding import fold_text
from spicesim.netlist.subcircuits import join_lines

__all__ = ["Called", "Specialised", "specialise"]

Called = dict[tuple[str, str, str], list[dict[str, float]]]
"""Parameters of all instances of a call: of its subcircuit, empty for the netlist itself, its name, what it calls."""

_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)")
_EXPRESSION = re.compile(r"'[^']*'|\{[^}]*\}")
_CONDITION = re.compile(r"\s*\.(if|elseif|else|endif)\b", re.IGNORECASE)
_COMPARISON = re.compile(r"\((?P<left>[^=!<>]+)(?P<sign>==|!=|<=|>=|<|>)(?P<right>[^=!<>]+)\)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_NUMBER = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?[a-z]*", re.IGNORECASE)
_CARD = re.compile(r"\s*\.model\s", re.IGNORECASE)
_VALUE = re.compile(r"(=\s*)('[^']*'|\{[^}]*\}|[a-z_]\w*(?=\s|$))", re.IGNORECASE)
_WORD = re.compile(r"(?<![\w.])[a-z_]\w*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specialised:
    """Subcircuits of a kit, one for each size of a transistor."""

    cards: tuple[str, ...]
    """Their text, with their cards outside of them."""
    names: Mapping[tuple[str, str], tuple[str, str]]
    """What each call calls, and what it is to call instead."""

    def rename(self, text: str) -> str:
        """Have the calls of a netlist's file call them."""
        if not self.names:
            return text
        lines: list[str] = []
        home = ""
        for line in join_lines(text):
            words = line.split(maxsplit=2)
            first = words[0].lower() if words else ""
            if first == ".subckt":
                home = words[1].lower()
            elif first == ".ends":
                home = ""
            elif found := self.names.get((home, first)):
                line = re.sub(rf"(\s){re.escape(found[0])}(?=\s|$)", rf"\g<1>{found[1]}", line, count=1, flags=re.I)
            lines.append(line)
        return fold_text("\n".join([*lines, ""]), comments=("*", "$"))


def specialise(blocks: Mapping[str, str], called: Called) -> Specialised | None:
    """Make subcircuits of a kit for each size that a netlist calls.

    Parameters
    ----------
    blocks : mapping of str to str
        Text of the kit's subcircuits, with what they include, by their names.
    called : Called
        What the netlist calls that is not in it.

    Returns
    -------
    Specialised
        None if that is not in the kit, or one line calls it with several of the parameters that cards hold.
    """
    kinds: dict[str, _Kind] = {}
    texts: dict[tuple[str, frozenset[str], frozenset[tuple[str, float]]], str] = {}
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for (home, name, master), calls in called.items():
        if master not in blocks:
            return None
        kind = kinds[master] = kinds.get(master) or _read(blocks[master])
        sizes = {frozenset((key, value) for key, value in given.items() if key in kind.held) for given in calls}
        if kind.is_opaque or len(sizes) > 1:
            return None
        free = frozenset(key for given in calls for key in given if key not in kind.held)
        kept = master, free, sizes.pop()
        if kept not in texts:
            texts[kept] = kind.of_size(len(texts), dict(kept[2]), free)
        names[home, name] = master, _numbered(master, list(texts).index(kept))
    return Specialised(cards=tuple(texts.values()), names=names)


def _numbered(name: str, number: int) -> str:
    return f"{name}__{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A subcircuit of a kit."""

    head: str
    body: tuple[str, ...]
    """Its lines without cards."""
    cards: Mapping[str, str]
    """Cards within it that its elements name, by their names."""
    defaults: Mapping[str, str]
    """Of its parameters."""
    held: frozenset[str]
    """Parameters that its cards and conditions hold."""

    @property
    def is_opaque(self) -> bool:
        """Whether cards may depend on more than numbers of its parameters, or elements on more than its cards."""
        elements = [line for line in self.body if not line.lstrip().startswith(".")]
        return (
            any(re.match(r"\s*\.(param|subckt)\s", line, re.IGNORECASE) for line in self.body)
            or any(_NUMBER.fullmatch(self.defaults[name]) is None for name in self.held)
            or not all(_named([line]) & self.cards.keys() for line in elements)
        )

    def of_size(self, number: int, given: Mapping[str, float], free: frozenset[str]) -> str:
        """Return it by another name, and before it its cards, for these parameters; those that are free stay so."""
        values = {key: value for key, value in self.defaults.items() if key not in free}
        values |= {key: repr(float(value)) for key, value in given.items()}

        def value(found: re.Match[str]) -> str:
            return f"({values[found[0].lower()]})" if found[0].lower() in values else found[0]

        body = [_computed(line, values) for line in _decided(self.body, values)]
        cards = {name: card for name, card in self.cards.items() if name in _named(body)}
        text = [_EXPRESSION.sub(lambda found: _WORD.sub(value, found[0]), card) for card in cards.values()]
        head = re.sub(r"(\S+\s+)(\S+)", lambda found: found[1] + _numbered(found[2], number), self.head, count=1)
        lines = [*text, *body]
        if cards:
            named = re.compile(rf"(?<=\s)({'|'.join(map(re.escape, cards))})(?=\s|$)", re.IGNORECASE)
            lines = [named.sub(lambda found: _numbered(found[0], number), line, count=1) for line in lines]
        cut = len(text)
        return fold_text("\n".join([*lines[:cut], head, *lines[cut:]]), comments=("$",))


def _named(lines: Iterable[str]) -> set[str]:
    """Return all words of lines, cards' names among them."""
    return {word for line in lines for word in line.lower().split()}


def _computed(line: str, values: Mapping[str, str]) -> str:
    """Put numbers in place of those of a line's expressions that can be computed; ngspice does it for each instance."""

    def number(found: re.Match[str]) -> str:
        try:
            scope = {name: evaluate_expression(value, {}) for name, value in values.items()}
            return f"{found[1]}{evaluate_expression(found[2], scope)!r}"
        except SpecError:
            return found[0]

    return _VALUE.sub(number, line)


def _decided(lines: Sequence[str], values: Mapping[str, str]) -> Sequence[str]:
    """Return those of a subcircuit's lines that its conditions leave; all where one cannot be computed."""
    kept: list[str] = []
    open_: list[tuple[bool, bool]] = []  # whether a branch was taken, and whether this one is
    try:
        scope = {name: evaluate_expression(value, {}) for name, value in values.items()}
        for line in lines:
            found = _CONDITION.match(line)
            word = found[1].lower() if found else ""
            if word == "if":
                holds = _holds(line[found.end() :], scope) if found else False
                open_.append((holds, holds))
            elif word == "endif":
                open_.pop()
            elif word and found:
                taken = open_[-1][0]
                holds = not taken and (word == "else" or _holds(line[found.end() :], scope))
                open_[-1] = taken or holds, holds
            elif all(holds for _, holds in open_):
                kept.append(line)
    except (SpecError, IndexError):
        return lines
    return kept


def _holds(condition: str, scope: Mapping[str, float]) -> bool:
    """Compute a comparison."""
    found = _COMPARISON.fullmatch(condition.strip())
    if found is None:
        raise SpecError(f"no comparison: {condition!r}")
    left, right = (evaluate_expression(found[side], scope) for side in ("left", "right"))
    return _COMPARE[found["sign"]](left, right)


def _read(block: str) -> _Kind:
    """Cut a kit's subcircuit open."""
    head, *lines = join_lines(block)
    cards = {line.split()[1].lower(): line for line in lines if _CARD.match(line)}
    body = tuple(line for line in lines if not _CARD.match(line) and line.strip() and not line.startswith("*"))
    used = _named(body) & cards.keys()
    defaults = {key.lower(): value for key, value in _ASSIGNMENT.findall(head)}
    expressions = [found for name in used for found in _EXPRESSION.findall(cards[name])]
    expressions += [line for line in body if _CONDITION.match(line)]
    words = {word.lower() for expression in expressions for word in _WORD.findall(expression)}
    return _Kind(
        head=head, body=body, cards={name: cards[name] for name in sorted(used)}, defaults=defaults,
        held=frozenset(words & defaults.keys()),
    )  # fmt: skip
