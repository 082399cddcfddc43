"""Random values that a deck asks for, ``agauss(10k, 100, 1)``, drawn here: a chip is the same on every machine.

Ngspice draws them anew in each run, also in one without any mismatch. Here each call has its number by its place in the
circuit, and none where no chip is drawn.
"""

import re
from collections.abc import Callable

from scipy.special import ndtr

from spicesim.errors import SpecError
from spicesim.netlist.mismatch import Draw
from spicesim.netlist.subcircuits import individual_subcircuits
from spicesim.units import spice_number

__all__ = ["draw_values", "has_random_values", "typical_values"]

_CALL = re.compile(r"(?<![\w.])(agauss|gauss|aunif|unif|limit)\s*\(", re.IGNORECASE)
_ASSIGNED = re.compile(r"(\w+)\s*=[^=]*$")


def _gauss(arguments: list[str], number: float, *, relative: bool) -> str:
    value, spread, *count = arguments
    unit = f"({value})*({spread})" if relative else f"({spread})"
    return f"(({value})+{unit}/({count[0] if count else 1})*({spice_number(number)}))"


def _uniform(arguments: list[str], number: float, *, relative: bool) -> str:
    value, spread = arguments
    unit = f"({value})*({spread})" if relative else f"({spread})"
    return f"(({value})+{unit}*({spice_number(2 * float(ndtr(number)) - 1)}))"


def _limit(arguments: list[str], number: float) -> str:
    value, spread = arguments
    return f"(({value})+({spread})*({spice_number((number > 0) - (number < 0))}))"


_RULES: dict[str, tuple[tuple[int, ...], Callable[[list[str], float], str]]] = {
    "gauss": ((2, 3), lambda arguments, z: _gauss(arguments, z, relative=True)),
    "agauss": ((2, 3), lambda arguments, z: _gauss(arguments, z, relative=False)),
    "unif": ((2,), lambda arguments, z: _uniform(arguments, z, relative=True)),
    "aunif": ((2,), lambda arguments, z: _uniform(arguments, z, relative=False)),
    "limit": ((2,), _limit),
}
"""Numbers of arguments, and what ngspice makes of them with a standard normal number (ngspice 44)."""


def has_random_values(text: str) -> bool:
    """Whether a text calls any of these functions."""
    return _CALL.search(text) is not None


def typical_values(text: str) -> str:
    """Return a text with all random values in their middle."""
    return "\n".join(_replace(line, "", lambda _: (0.0, 0.0)) for line in text.split("\n"))


def draw_values(text: str, draw: Draw) -> str:
    """Return a text in which every instance of every subcircuit has its own values.

    Parameters
    ----------
    text : str
        A netlist without title, each line whole.
    draw : callable
        Standard normal numbers by path; that of ``.param r1=gauss(..)`` in ``xa`` is ``"xa.r1"``, of a device its name.
    """
    if not has_random_values(text):
        return text
    return individual_subcircuits(text, lambda home, line: ([_replace(line, home, draw)], {}))


def _replace(line: str, home: str, draw: Draw) -> str:
    """Put values in the place of the calls in a line."""
    places: dict[str, int] = {}
    at = 0
    while found := _CALL.search(line, at):
        if line.lstrip().startswith("*"):
            break
        arguments, end = _arguments(line, found.end())
        counts, rule = _RULES[found[1].lower()]
        if len(arguments) not in counts:
            wanted = " or ".join(map(str, counts))
            raise SpecError(f"{found[1]} takes {wanted} arguments, got {line[found.start() : end]!a}; correct it")
        named = _ASSIGNED.search(line[: found.start()]) if line.lstrip().startswith(".") else None
        place = f"{home}.{named[1] if named else line.split()[0]}".lstrip(".").lower()
        count = places[place] = places.get(place, -1) + 1
        value = rule([typical_values(argument) for argument in arguments], draw(f"{place}{count or ''}")[0])
        line, at = f"{line[: found.start()]}{value}{line[end:]}", found.start() + len(value)
    return line


def _arguments(line: str, start: int) -> tuple[list[str], int]:
    """Return what stands between the parentheses of a call, and where it ends."""
    depth, found, begin = 1, [], start
    for k in range(start, len(line)):
        if line[k] == "(":
            depth += 1
        elif line[k] == ")":
            depth -= 1
        if depth == 0 or (depth == 1 and line[k] == ","):
            found.append(line[begin:k].strip())
            begin = k + 1
        if depth == 0:
            return found, k + 1
    raise SpecError(f"a parenthesis is not closed in {line[:80]!a}; close it")
