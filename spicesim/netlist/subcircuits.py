"""Subcircuits of a netlist's own instances: what differs from one instance to the next needs a text of its own."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError

__all__ = ["Subcircuit", "individual_subcircuits", "join_lines", "split_subcircuits"]

_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)")


Change = Callable[[str, str], tuple[Sequence[str], Mapping[str, str]]]
"""Given the path of a line's home, such as ``"xtia_3.xa"`` (empty for the netlist itself), and the line: what to write
instead, and parameters with numbers that it takes, which the home is called with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcircuit:
    """A subcircuit's text, cut open."""

    name: str
    head: str
    """Its ``.subckt`` line."""
    lines: tuple[str, ...]
    """What stands between ``.subckt`` and ``.ends``."""


def join_lines(text: str) -> list[str]:
    """Split text into lines, each with its continuation lines."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("+") and lines:
            lines[-1] += " " + line.lstrip()[1:].strip()
        else:
            lines.append(line)
    return lines


def split_subcircuits(text: str) -> tuple[dict[str, Subcircuit], list[str]]:
    """Take the subcircuits out of a netlist's text.

    Returns
    -------
    subcircuits : dict of str to Subcircuit
        By lower-case name.
    rest : list of str
        All other lines.

    Raises
    ------
    SpecError
        If one does not end, or holds another.
    """
    found: dict[str, Subcircuit] = {}
    rest: list[str] = []
    head = ""
    inside: list[str] = []
    for line in join_lines(text):
        word = line.split(maxsplit=1)[0].lower() if line.strip() else ""
        if word == ".subckt":
            if head:
                raise SpecError(f"subcircuit within a subcircuit, at {line!r}; write it outside")
            head, inside = line, []
        elif word == ".ends" and head:
            name = head.split()[1].lower()
            found[name] = Subcircuit(name=name, head=head, lines=tuple(inside))
            head = ""
        else:
            (inside if head else rest).append(line)
    if head:
        raise SpecError(f"{head!r} has no .ends")
    return found, rest


def _call(line: str, known: Mapping[str, Subcircuit]) -> tuple[int, int] | None:
    """Find where in an instance's line the name of a known subcircuit stands."""
    if line[:1].lower() != "x":
        return None
    end = len(line)
    for stop in (_ASSIGNMENT.search(line), re.search(r"\s\$", line), re.search(r"\s;", line)):
        end = min(end, stop.start()) if stop else end
    last = re.search(r"(\S+)\s*$", line[:end])
    return last.span(1) if last and last[1].lower() in known else None


def _with_parameters(line: str, given: Mapping[str, str]) -> str:
    """Add parameters to the line of an instance or of ``.subckt``, before a comment at its end."""
    comment = re.search(r"\s+[$;].*$", line)
    end = comment.start() if comment else len(line)
    return " ".join([line[:end].rstrip(), *(f"{name}={value}" for name, value in given.items())]) + line[end:]


def individual_subcircuits(text: str, change: Change, shared: Collection[str] = ()) -> str:
    """Let every instance differ from others: by parameters of its call, or else by a subcircuit of its own.

    Instances whose text is the same share a subcircuit: ngspice knows some two thousand at most.

    Parameters
    ----------
    text : str
        A netlist without title. Subcircuits that nothing calls are left out.
    change : callable
        Called with each line of each instance, in the netlist's order. Lines of the netlist itself take no parameters.
    shared : collection of str
        Lower-case names of subcircuits that stay as they are; calls of them go to `change`.

    Returns
    -------
    str
        The same circuit. Instance ``xc_0_1`` of ``cell`` calls ``cell_drawn``, as others do, with its parameters;
        ``xtia_3`` of ``tia``, in which a call of another has some, calls ``tia__xtia_3``.

    Raises
    ------
    SpecError
        If a subcircuit does not end, holds another or calls itself, or has a name that a parameter would take.
    """
    known, rest = split_subcircuits(text)
    copies = ["\n".join([block.head, *block.lines, f".ends {name}"]) for name, block in known.items() if name in shared]
    known = {name: block for name, block in known.items() if name not in shared}
    names: dict[tuple[str, ...], str] = {}  # by the text of a subcircuit

    def place(line: str, home: str) -> tuple[Sequence[str], Mapping[str, str]]:
        span = _call(line, known)
        if span is None:
            return change(home, line)
        block = known[line[slice(*span)].lower()]
        path = f"{home}.{line.split(maxsplit=1)[0].lower()}".lstrip(".")
        if path.count(".") > 50:
            raise SpecError(f"subcircuit {block.name!r} calls itself")
        inside: list[str] = []
        given: dict[str, str] = {}
        alone = False  # whether a call within it differs, as in no other instance
        for inner in block.lines:
            lines, numbers = place(inner, path)
            alone |= _call(inner, known) is not None and list(lines) != [inner]
            inside += lines
            given |= numbers
        key = (block.name, *inside)
        if key not in names:
            for name in given:
                if any(re.search(rf"\b{name}\b", line, re.IGNORECASE) for line in (block.head, *block.lines)):
                    raise SpecError(
                        f"{name!r} of subcircuit {block.name!r} is the name of a number to be drawn; rename it"
                    )
            names[key] = block.name
            if tuple(inside) != block.lines:
                drawn = f"{block.name}_drawn"
                own = alone or not given or drawn in names.values() or drawn in known
                names[key] = f"{block.name}__{path.replace('.', '__')}" if own else drawn
            head = re.sub(r"^(\s*\S+\s+)\S+", lambda found: found[1] + names[key], block.head)
            head = _with_parameters(head, dict.fromkeys(given, "0"))
            copies.append("\n".join([head, *inside, f".ends {names[key]}"]))
        return [_with_parameters(f"{line[: span[0]]}{names[key]}{line[span[1] :]}", given)], {}

    main = [out for line in rest for out in place(line, "")[0]]
    return "\n\n".join([*copies, "\n".join(main)])
