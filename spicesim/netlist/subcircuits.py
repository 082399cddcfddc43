"""Subcircuits of a netlist's own instances: what differs from one instance to the next needs a text of its own."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError

__all__ = ["Subcircuit", "individual_subcircuits", "join_lines", "split_subcircuits"]

_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)")


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


def individual_subcircuits(text: str, change: Callable[[str, str], Sequence[str]], shared: Collection[str] = ()) -> str:
    """Give every instance that differs from others a subcircuit of its own, and change the lines of each.

    One in which nothing changes keeps the common one: ngspice knows some two thousand subcircuits at most.

    Parameters
    ----------
    text : str
        A netlist without title. Subcircuits that nothing calls are left out.
    change : callable
        Given the path of a line's home, such as ``"xtia_3.xa"`` (empty for the netlist itself), and the line, returns
        what to write instead.
    shared : collection of str
        Lower-case names of subcircuits that stay as they are; calls of them go to `change`.

    Returns
    -------
    str
        The same circuit, where instance ``xa`` of ``opamp`` within ``xtia_3`` calls ``opamp__xtia_3__xa``.
    """
    known, rest = split_subcircuits(text)
    copies = ["\n".join([block.head, *block.lines, f".ends {name}"]) for name, block in known.items() if name in shared]
    known = {name: block for name, block in known.items() if name not in shared}
    common: set[str] = set()

    def place(line: str, home: str) -> list[str]:
        span = _call(line, known)
        if span is None:
            return list(change(home, line))
        block = known[line[slice(*span)].lower()]
        path = f"{home}.{line.split(maxsplit=1)[0].lower()}".lstrip(".")
        if path.count(".") > 50:
            raise SpecError(f"subcircuit {block.name!r} calls itself")
        own = f"{block.name}__{path.replace('.', '__')}"
        inside = [out for inner in block.lines for out in place(inner, path)]
        if tuple(inside) == block.lines:
            if block.name not in common:
                common.add(block.name)
                copies.append("\n".join([block.head, *inside, f".ends {block.name}"]))
            return [line]
        head = re.sub(r"^(\s*\S+\s+)\S+", lambda found: found[1] + own, block.head)
        copies.append("\n".join([head, *inside, f".ends {own}"]))
        return [f"{line[: span[0]]}{own}{line[span[1] :]}"]

    main = [out for line in rest for out in place(line, "")]
    return "\n\n".join([*copies, "\n".join(main)])
