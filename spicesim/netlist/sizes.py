"""Sizes of transistors and resistors held against what a process covers, before a simulator stumbles over them."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from spicesim.chip import Process
from spicesim.errors import SpecError
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.passives import RESISTOR, require_drawn
from spicesim.netlist.subcircuits import Subcircuit, split_subcircuits
from spicesim.units import format_si

__all__ = ["require_sizes"]

_ASSIGNMENT = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)")


def require_sizes(process: Process, sections: Sequence[str]) -> None:
    """Refuse transistors that are wider or shorter than the process allows, and resistors that are too short.

    Parameters
    ----------
    process : Process
        Its transistors.
    sections : sequence of str
        Parts of a netlist; subcircuits stand in parts of their own, and before those that call them.

    Raises
    ------
    SpecError
        If there is one, naming it.

    Notes
    -----
    Sizes may be expressions of the parameters that an instance gives to its subcircuit. What cannot be computed here,
    such as a function that only a simulator knows, is left to the simulator.
    """
    definitions = tuple(part for part in sections if ".subckt" in part.lower())
    blocks, names = _read(definitions, process.nmos, process.pmos, process.fingers or "nf")
    if not blocks:
        return
    call = re.compile(rf"^x[^$\n]*?[ \t]({'|'.join(blocks)})(?=[ \t\n]|$)([^$\n]*)", re.IGNORECASE | re.MULTILINE)
    telling = re.compile(rf"\b(?:{'|'.join(names)})\s*=", re.IGNORECASE)
    calls = {
        (master.lower(), given if telling.search(given) else "")
        for part in sections
        if part not in definitions
        for master, given in call.findall(part)
    }
    for master, given in calls:
        _check_call(process, definitions, master, given)


@lru_cache(maxsize=64)
def _read(
    definitions: tuple[str, ...], nmos: str, pmos: str, fingers: str
) -> tuple[dict[str, Subcircuit], frozenset[str]]:
    """Find the subcircuits that hold transistors, themselves or in what they call, and the names that sizes hang on."""
    known: dict[str, Subcircuit] = {}
    for text in definitions:
        known |= split_subcircuits(text)[0]
    holding: dict[str, Subcircuit] = {}
    while True:
        masters = "|".join(re.escape(name) for name in (nmos, pmos, RESISTOR, *holding))
        pattern = re.compile(rf"^[mx].*\s({masters})\b", re.MULTILINE | re.IGNORECASE)
        more = {k: block for k, block in known.items() if k not in holding and pattern.search("\n".join(block.lines))}
        if not more:
            break
        holding |= more
    lines = [line.lower() for block in holding.values() for line in (block.head, *block.lines)]
    given = [pair for line in lines for pair in _ASSIGNMENT.findall(line)]
    names: set[str] = {"w", "l", fingers, "ohm"}
    while more_names := {word for k, v in given if k in names for word in re.findall(r"[a-z_]\w*", v)} - names:
        names |= more_names
    return holding, frozenset(names)


@lru_cache(maxsize=4096)  # many netlists have the same parts; what is refused is not kept
def _check_call(process: Process, definitions: tuple[str, ...], name: str, given: str) -> None:
    """Check the transistors of a subcircuit that was given these parameters, a line's text."""
    blocks, _ = _read(definitions, process.nmos, process.pmos, process.fingers or "nf")
    _check(process, blocks, name, _numbers(given, {}))


def _numbers(text: str, scope: Mapping[str, float]) -> dict[str, float]:
    """Compute the assignments of a line, those that can be."""
    found: dict[str, float] = {}
    for name, value in _ASSIGNMENT.findall(text):
        try:
            found[name.lower()] = evaluate_expression(value, scope)
        except SpecError:
            continue
    return found


def _check(process: Process, blocks: Mapping[str, Subcircuit], name: str, given: Mapping[str, float]) -> None:
    """Check the transistors of a subcircuit that was given these parameters."""
    block = blocks[name]
    scope: dict[str, float] = {}
    for parameter, default in _ASSIGNMENT.findall(block.head.lower()):
        scope |= {parameter: given[parameter]} if parameter in given else _numbers(f"{parameter}={default}", scope)
    for line in block.lines:
        code = re.split(r"\s[$;]", line.lower())[0]
        words = [word for word in _ASSIGNMENT.sub("", code).split() if word]
        if code.startswith(".param"):
            scope |= _numbers(code, scope)
        elif not words or words[0][0] not in "mx":
            continue
        elif words[-1] in (process.nmos.lower(), process.pmos.lower()):
            _require(process, f"{words[0]} of {name}", _numbers(code, scope))
        elif words[-1] == RESISTOR and process.resistor is not None:
            if (ohm := _numbers(code, scope).get("ohm")) is not None:
                require_drawn(process.resistor, ohm)
        elif words[-1] in blocks:
            _check(process, blocks, words[-1], _numbers(code, scope))


def _require(process: Process, transistor: str, sizes: Mapping[str, float]) -> None:
    finger = sizes.get("w", 0.0) / max(sizes.get(process.fingers or "nf", 1.0), 1.0)
    length = sizes.get("l", process.min_length)
    if finger > process.max_width * (1 + 1e-9):
        raise SpecError(
            f"transistor {transistor} is {format_si(finger, 'm')} wide, and the models of {process.name} cover "
            f"{format_si(process.max_width, 'm')} (process.max_width); make it narrower, with m= of them in parallel"
        )
    if length < process.min_length * (1 - 1e-9):
        raise SpecError(
            f"transistor {transistor} has a gate of {format_si(length, 'm')}, and the shortest of {process.name} is "
            f"{format_si(process.min_length, 'm')} (process.min_length); make it longer"
        )
